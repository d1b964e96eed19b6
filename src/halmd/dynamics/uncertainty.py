"""Does a run stay within what its potential was trained on? A committee's disagreement tells.

Students fitted with other seeds agree where the data decide and part where they do not. They look
at frames that the run has saved, after it has ended: the run itself is not touched, and one that
was killed and continued is judged as one that was not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.files import whole_file

Floats = NDArray[np.float64]

_MOST_KEPT = 20


def force_spread_eV_per_A(forces_eV_per_A: Floats) -> Floats:
    """Disagreement of a committee about the force on each atom, shape (n_atoms,).

    forces_eV_per_A (n_members, n_atoms, 3). The root of the mean over members of the squared
    distance from their mean force.
    """
    away = forces_eV_per_A - forces_eV_per_A.mean(axis=0)
    spread: Floats = np.sqrt((away**2).sum(axis=2).mean(axis=0))
    return spread


def committee_forces(atoms: Atoms, members: Sequence[Any]) -> Floats:
    """Forces by every member in eV/Å, shape (n_members, n_atoms, 3); `atoms` is left as it is."""
    found = []
    for member in members:
        probe = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
        probe.calc = member
        found.append(probe.get_forces())
    return np.array(found)


def look(
    positions_A: NDArray[np.float32],
    atoms: Atoms,
    members: Sequence[Any],
    *,
    every: int,
    frame_ps: float,
    threshold: dict[str, Any],
) -> tuple[dict[str, Any], list[Atoms]]:
    """Judge every `every`-th frame of a run; returns the record and the worst frames.

    threshold has `force_std_eV_per_A`, above which an atom is not known, and `share`, the largest
    share of frames that may hold such an atom. The worst frames, at most twenty and none next to
    another, are given when that share is exceeded.
    """
    limit, allowed = threshold["force_std_eV_per_A"], threshold["share"]
    numbers = np.arange(0, len(positions_A), every)
    largest, typical = _spreads(positions_A[numbers], atoms, members)
    above = float(np.mean(largest > limit))
    record = {
        "looks": len(numbers),
        "interval_ps": every * frame_ps,
        "members": len(members),
        "max_eV_per_A": _number(largest.max()),
        "rms_eV_per_A": _number(np.sqrt(np.mean(np.square(typical)))),
        "threshold_eV_per_A": limit,
        "share_above_threshold": above,
        "share_allowed": allowed,
        "extrapolating": above > allowed,
    }
    if not record["extrapolating"]:
        return record, []
    frames = []
    for k in _worst(largest, limit):
        frame = Atoms(atoms.symbols, positions=positions_A[numbers[k]], cell=atoms.cell, pbc=True)
        frame.info |= {
            "origin": "extrapolating",
            "time_ps": float(numbers[k] * frame_ps),
            "force_std_eV_per_A": float(largest[k]),
        }
        frames.append(frame)
    return record, frames


def _spreads(
    positions_A: NDArray[np.float32], atoms: Atoms, members: Sequence[Any]
) -> tuple[Floats, Floats]:
    """Largest and root-mean-square disagreement over the atoms of each frame, in eV/Å."""
    largest, typical = [], []
    for positions in positions_A:
        frame = Atoms(atoms.symbols, positions=positions, cell=atoms.cell, pbc=True)
        spread = force_spread_eV_per_A(committee_forces(frame, members))
        # A member without an answer knows the frame less than any other; NaN would count as below.
        spread[~np.isfinite(spread)] = np.inf
        largest.append(spread.max())
        typical.append(np.sqrt((spread**2).mean()))
    return np.array(largest), np.array(typical)


def _number(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return float(value) if np.isfinite(value) else None


def _worst(largest: Floats, limit: float) -> list[int]:
    """Looks above the limit, worst first, none beside one that was taken."""
    taken: list[int] = []
    for k in np.argsort(largest)[::-1]:
        if largest[k] <= limit or len(taken) == _MOST_KEPT:
            break
        if all(abs(int(k) - other) > 1 for other in taken):
            taken.append(int(k))
    return taken


def extrapolating_file(record: Path) -> Path:
    """Where the frames that the committee doubts lie, beside the record of their run."""
    return record.with_name("extrapolating.extxyz")


def write_frames(frames: Sequence[Atoms], path: Path, info: dict[str, Any]) -> None:
    """Write the worst frames for `halmd distill`, whole; an older file goes when there are none."""
    if not frames:
        path.unlink(missing_ok=True)
        return
    for frame in frames:
        frame.info |= info
    with whole_file(path) as temporary:
        ase.io.write(temporary, list(frames), format="extxyz")
