"""Cell volumes of student and teacher: relaxed at 0 K, and in NPT, without any MD of the teacher.

The teacher only labels what the student visited. At 0 K its volume is where its own pressure along
the student's relaxed cell is zero. In NPT the student's frames are reweighted to the teacher's
ensemble by exp(-(E_teacher - E_student)/kT), which is exact where the weights are even.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import LBFGS
from numpy.typing import NDArray

from halmd.distill.starts import Start, bare
from halmd.files import whole_file

Floats = NDArray[np.float64]

STRAINS = (-0.02, -0.01, 0.0, 0.01, 0.02)
"""Relative changes of volume at which the teacher is asked for its pressure."""


def relaxed_cells(start: Start, calculator: Any) -> list[Atoms]:
    """The student's relaxed cell at its own volume and at STRAINS around it."""
    atoms = bare(start.atoms)
    atoms.calc = calculator
    _relax(atoms, 0.01, 500)
    frames = []
    for strain in STRAINS:
        frame = bare(atoms)
        frame.set_cell(np.array(atoms.cell) * (1 + strain) ** (1 / 3), scale_atoms=True)
        frame.info |= {"origin": "relaxed", "start": start.tag, "family": start.family}
        frames.append(frame)
    return frames


def _relax(atoms: Atoms, force_eV_per_A: float, steps: int) -> None:
    """Relax positions and cell."""
    with warnings.catch_warnings():
        # ASE asks for the logarithm of nearly a unit matrix, and scipy warns of errors of 1e-13.
        warnings.filterwarnings("ignore", message="logm result may be inaccurate")
        LBFGS(FrechetCellFilter(atoms), logfile=None).run(force_eV_per_A, steps)


def teacher_volume_A3(volumes_A3: Floats, pressures_eV_per_A3: Floats) -> float:
    """Volume at which the pressure is zero, by a parabola through the given points.

    Raises ValueError when the pressure does not change sign within twice their range.
    """
    middle, half = volumes_A3.mean(), np.ptp(volumes_A3) / 2
    x = (volumes_A3 - middle) / half
    roots = np.roots(np.polyfit(x, pressures_eV_per_A3, 2))
    near = [root.real for root in roots if abs(root.imag) < 1e-9 and abs(root.real) < 2]
    if not near:
        raise ValueError("no volume of zero pressure within the range")
    return float(middle + half * min(near, key=abs))


def npt_frames(
    start: Start,
    calculator: Any,
    *,
    temperature_K: float = 500.0,
    frames: int = 60,
    interval_ps: float = 0.5,
    settle_ps: float = 4.0,
    seed: int = 0,
) -> list[Atoms]:
    """Frames of the student's NPT run at no pressure, `interval_ps` apart."""
    atoms = bare(start.atoms)
    atoms.calc = calculator
    _relax(atoms, 0.05, 200)
    rng = np.random.default_rng(seed)
    thermalize_momenta(atoms, temperature_K, rng=rng)
    dynamics = IsotropicMTKNPT(
        atoms,
        2 * units.fs,
        temperature_K=temperature_K,
        pressure_au=0.0,
        tdamp=100 * units.fs,
        pdamp=1000 * units.fs,
    )
    dynamics.run(round(settle_ps * 500))
    found = []
    for number in range(frames):
        dynamics.run(round(interval_ps * 500))
        frame = bare(atoms)
        frame.info |= {
            "origin": "npt500",
            "start": start.tag,
            "family": start.family,
            "temperature_K": temperature_K,
            "time_ps": settle_ps + (number + 1) * interval_ps,
            "student_energy_eV": float(atoms.get_potential_energy()),
        }
        found.append(frame)
    return found


def reweighted_volume(
    volumes_A3: Floats, student_eV: Floats, teacher_eV: Floats, temperature_K: float
) -> dict[str, float]:
    """Mean volume of the student and, by reweighting, of the teacher, with its standard error.

    effective_share is the share of frames that carries the weight; below a third the reweighted
    mean is not to be trusted.
    """
    difference = teacher_eV - student_eV
    exponent = -(difference - difference.mean()) / (units.kB * temperature_K)
    weights = np.exp(exponent - exponent.max())
    weights /= weights.sum()
    mean = float((weights * volumes_A3).sum())
    ratio = mean / float(volumes_A3.mean())
    # Jackknife over blocks: frames half a picosecond apart are not quite independent.
    blocks = np.array_split(np.arange(len(volumes_A3)), 10)
    ratios = []
    for block in blocks:
        keep = np.setdiff1d(np.arange(len(volumes_A3)), block)
        w = weights[keep] / weights[keep].sum()
        ratios.append(float((w * volumes_A3[keep]).sum() / volumes_A3[keep].mean()))
    spread = np.array(ratios)
    error = float(np.sqrt((len(spread) - 1) / len(spread) * ((spread - spread.mean()) ** 2).sum()))
    return {
        "student_A3": float(volumes_A3.mean()),
        "teacher_A3": mean,
        "student_over_teacher": 1 / ratio,
        "standard_error": error,
        "effective_share": float(1 / (weights**2).sum() / len(weights)),
    }


def hot_cell(start: Start, calculator: Any, temperature_K: float, path: Path) -> Atoms:
    """A frame of the student's NPT run, scaled to its mean volume; kept in `path`, made once."""
    if not path.exists():
        frames = npt_frames(start, calculator, temperature_K=temperature_K)
        mean_A3 = float(np.mean([frame.get_volume() for frame in frames]))
        atoms = frames[-1]
        atoms.set_cell(
            np.array(atoms.cell) * (mean_A3 / atoms.get_volume()) ** (1 / 3), scale_atoms=True
        )
        with whole_file(path) as temporary:
            ase.io.write(temporary, atoms, format="extxyz")
    found: Atoms = ase.io.read(path, format="extxyz")
    return found


def one_of_each_family(starts: Sequence[Start]) -> list[Start]:
    """The smallest held-out ordering of every family."""
    chosen: dict[str, Start] = {}
    for start in starts:
        if start.held_out:
            known = chosen.setdefault(start.family, start)
            if len(start.atoms) < len(known.atoms):
                chosen[start.family] = start
    return list(chosen.values())
