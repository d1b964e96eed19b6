"""How far a student is from its teacher on labelled snapshots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.distill.label import Labelled
from halmd.distill.starts import bare

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """One snapshot as teacher and student see it."""

    symbols: NDArray[np.str_]
    energy_eV_per_atom: tuple[float, float]
    """Student, teacher."""
    forces_eV_per_A: tuple[Floats, Floats]
    """Student, teacher; each of shape (n_atoms, 3)."""
    pressure_eV_per_A3: tuple[float, float]
    """Student, teacher; positive when the cell wants to grow."""
    info: dict[str, Any]
    """Origin, start, family, temperature."""


def compare(entry: Labelled, calculator: Any) -> Compared:
    """Compute a labelled snapshot with the student."""
    atoms: Atoms = bare(entry.atoms)
    atoms.calc = calculator
    return Compared(
        np.array(atoms.get_chemical_symbols()),
        (float(atoms.get_potential_energy()) / len(atoms), entry.energy_eV / len(atoms)),
        (atoms.get_forces(), entry.forces_eV_per_A),
        (
            -float(atoms.get_stress()[:3].mean()),
            -float(entry.stress_eV_per_A3[:3].mean()),
        ),
        dict(entry.atoms.info),
    )


def errors(rows: Sequence[Compared]) -> dict[str, Any]:
    """Root-mean-square errors over snapshots, and of each species the slope of its forces.

    The slope is that of the student's force components on the teacher's through the origin: below
    one, the student is soft. Energies are compared as they are, without a shift.
    """
    found = np.concatenate([row.forces_eV_per_A[0] for row in rows])
    wanted = np.concatenate([row.forces_eV_per_A[1] for row in rows])
    symbols = np.concatenate([row.symbols for row in rows])
    energy = np.array([row.energy_eV_per_atom for row in rows])
    pressure = np.array([row.pressure_eV_per_A3 for row in rows])
    return {
        "snapshots": len(rows),
        "energy_rmse_meV_per_atom": 1000 * _rms(energy[:, 0] - energy[:, 1]),
        "force_rmse_meV_per_A": 1000 * _rms(found - wanted),
        "force_rms_meV_per_A": 1000 * _rms(wanted),
        "force_relative": _rms(found - wanted) / _rms(wanted),
        "pressure_rmse_GPa": 160.21766 * _rms(pressure[:, 0] - pressure[:, 1]),
        "by_species": {
            str(symbol): _of_species(found[symbols == symbol], wanted[symbols == symbol])
            for symbol in np.unique(symbols)
        },
    }


def _of_species(found: Floats, wanted: Floats) -> dict[str, float]:
    return {
        "force_rmse_meV_per_A": 1000 * _rms(found - wanted),
        "force_rms_meV_per_A": 1000 * _rms(wanted),
        "force_slope": float((found * wanted).sum() / (wanted**2).sum()),
    }


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def grouped(rows: Sequence[Compared], key: Callable[[Compared], str]) -> dict[str, dict[str, Any]]:
    """Errors of every group of snapshots, in the order of their names."""
    groups: dict[str, list[Compared]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {name: errors(groups[name]) for name in sorted(groups)}
