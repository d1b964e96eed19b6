"""A long run of the student at a temperature of use: does it hold, and does the teacher agree?

A crystal may melt in a nanosecond, and the teacher cannot be asked by MD of its own: it labels
frames of the student's run instead. Where the forces agree all along the way, the teacher would
have gone the same way.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.distill import student_md
from halmd.distill.cells import hot_cell
from halmd.distill.errors import compare, errors
from halmd.distill.explore import guard_A
from halmd.distill.label import Labelled
from halmd.distill.starts import Start, bare
from halmd.dynamics.stability import (
    closest_contact,
    framework_displacement_A2,
    framework_growth,
)
from halmd.files import read_json, whole_file, write_json
from halmd.potentials.evaluators import native_calculator

Record = dict[str, Any]

TEMPERATURE_K = 800.0
PART_PS = 20.0
_FRAME_FS = 500.0
_LABELLED = 24


def long_run(
    start: Start,
    native: Path,
    cache: Path,
    folder: Path,
    *,
    mobile: str,
    length_ps: float,
    seed: int,
) -> Path:
    """Run an ordering at constant volume; returns the frames for the teacher, `frames.extxyz`.

    `run.json` beside them says how it ended: `stable` is a run in which no two ions met and nothing
    ceased to be a number; `melted` is a framework that drifts away. A killed run goes on.
    """
    chosen = folder / "frames.extxyz"
    if chosen.exists():
        return chosen
    calculator = native_calculator(native, cache)
    job = {
        "temperature_K": TEMPERATURE_K,
        "timestep_fs": 2.0,
        "frame_fs": _FRAME_FS,
        "part_ps": PART_PS,
        "length_ps": length_ps,
        "thermostat_ps": 0.5,
        "settle_ps": 1.0,
        "seed": seed,
        "target": str(folder / "run"),
    }
    why = None
    atoms = bare(start.atoms)
    try:
        atoms = hot_cell(start, calculator, TEMPERATURE_K, folder / "start.extxyz")
        student_md.run(atoms, job, calculator)
    except (ValueError, RuntimeError, FloatingPointError) as error:
        # What a bad student does to a cell ends in whatever its evaluator stumbles over.
        why = f"the student fails: {' '.join(str(error).split())[:80]}"
    parts = [np.load(part)["positions_A"] for part in sorted((folder / "run").glob("part-*.npz"))]
    positions = np.concatenate(parts) if parts else atoms.positions[None]
    record = judged(atoms, positions, mobile, why)
    frames = []
    sound = max(1, round(record["length_ps"] * 1000 / _FRAME_FS))
    for index in np.unique(np.linspace(0, sound - 1, _LABELLED).astype(int)):
        frame = bare(atoms)
        frame.positions = positions[index]
        frame.info |= {"origin": "long", "start": start.tag, "family": start.family}
        frame.info |= {"temperature_K": TEMPERATURE_K, "time_ps": float(index * _FRAME_FS / 1000)}
        frames.append(frame)
    write_json(folder / "run.json", {"ordering": start.tag, "atoms": len(atoms), **record})
    with whole_file(chosen) as temporary:
        ase.io.write(temporary, frames, format="extxyz")
    return chosen


def judged(atoms: Atoms, positions_A: NDArray[np.float64], mobile: str, why: str | None) -> Record:
    """How a run ended, from its frames, shape (n_frames, n_atoms, 3) in Å, not wrapped."""
    limits = guard_A(atoms.get_chemical_symbols())
    reached_ps = len(positions_A) * _FRAME_FS / 1000
    for number, frame in enumerate(positions_A):
        if why:
            break
        if not np.isfinite(frame).all():
            why = "positions are no longer numbers"
        elif contact := closest_contact(frame, np.array(atoms.cell), limits):
            length_A, i, j = contact
            why = f"{atoms.symbols[i]}-{atoms.symbols[j]} at {length_A:.2f} Å"
        if why:
            reached_ps = number * _FRAME_FS / 1000
    framework = np.array(atoms.symbols) != mobile
    moved_A2 = framework_displacement_A2(positions_A, atoms.get_masses(), framework)
    return {
        "stable": why is None,
        "why": why,
        "length_ps": reached_ps,
        "melted": bool(framework_growth(moved_A2, _FRAME_FS / 1000)["unstable"]),
        "framework_displacement_A2": float(moved_A2[-1]),
    }


def agreement_on_the_way(data: Sequence[Labelled], run: Path, native: Path, cache: Path) -> Record:
    """What `run.json` says, with the student's errors on the labelled frames of its run."""
    calculator = native_calculator(native, cache)
    found = errors([compare(entry, calculator) for entry in data])
    head = ("schema_version", "halmd_version")
    return {k: v for k, v in read_json(run).items() if k not in head} | {
        "frames": found["snapshots"],
        "force_relative": found["force_relative"],
        "energy_rmse_meV_per_atom": found["energy_rmse_meV_per_atom"],
    }
