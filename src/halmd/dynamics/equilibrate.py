"""`halmd equilibrate`: relax the cell, find its mean at temperature, and hand on a settled start.

Relaxation of cell and positions at the target pressure (the shape comes from here), then isotropic
NPT; the cell is the relaxed shape at the mean volume of the second half. The shape is not averaged
over NPT: in cells of a hundred atoms it fluctuates by several percent, and the mean of a few
picoseconds is noise. Two picoseconds of NVT in that cell take the heat of the change out. A killed
equilibration starts again from its beginning and, being seeded, ends in the same place.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from numpy.typing import NDArray

from halmd.config import DynamicsSettings
from halmd.dynamics.engines.ase import (
    hold_centre_of_mass,
    npt,
    nvt,
    start_velocities,
    temperature_K,
)
from halmd.dynamics.progress import Progress
from halmd.dynamics.stability import closest_contact, contact_limits_A, temperature_runaway
from halmd.errors import HalmdError
from halmd.files import fingerprint, whole_file, write_json
from halmd.potentials.evaluators import Loaded

SAMPLE_STEPS = 10
_RELAX_STEPS = 1000
_RELAX_FORCE_EV_PER_A = 0.01
"""Also the limit of the virial per atom in eV: 0.08 GPa at 20 Å³ per atom, where 0.05 eV would
leave the cell of a soft halide two percent from its minimum."""
_BLOCKS = 8
_SETTLE_PS = 2.0
"""NVT in the mean cell at the end: the step from the last cell to the mean one heats the atoms."""


@dataclass(frozen=True)
class Equilibrated:
    """A settled start for production, and the record of how it was found."""

    atoms: Atoms
    record: dict[str, Any]


def equilibrate(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    seed: int,
    show_progress: bool = True,
) -> Equilibrated:
    """Relax and run NPT; returns atoms with momenta in the mean cell, and the npt.json record.

    A guard that trips gives a verdict other than "ok" and the structure as it was before NPT, so
    that what reads it finds numbers. Raises HalmdError where the structure handed in already has
    forces that are not numbers.
    """
    settled = atoms.copy()
    atoms = atoms.copy()
    atoms.calc = loaded.calculator
    loaded.fresh_neighbours()
    volume_given = float(atoms.get_volume())
    if not _finite(atoms):
        raise HalmdError(
            f"{atoms.get_chemical_formula()}: forces of the structure given are not numbers; look "
            "at it for atoms on top of each other"
        )
    relaxation = _relax(atoms, settings)
    rng = np.random.default_rng(seed)
    verdict = "ok" if relaxation["largest_force_eV_per_A"] is not None else "nan_forces"
    if verdict == "ok":
        settled = atoms.copy()
        start_velocities(atoms, target_K, rng)
        series = _run_npt(atoms, settings, target_K, show_progress)
        verdict = series.pop("verdict")
    relaxed_cell = np.array(settled.cell)
    record: dict[str, Any] = {
        "verdict": verdict,
        "temperature_K": target_K,
        "pressure_GPa": settings.pressure_GPa,
        "seed": seed,
        "atoms": len(atoms),
        "volume_given_A3": volume_given,
        "volume_relaxed_A3": float(abs(np.linalg.det(relaxed_cell))),
        "relaxation": relaxation,
        "potential": loaded.provenance,
        "settings": settings.model_dump(exclude={"temperatures_K", "replicas", "production_ps"}),
        "length_ps": settings.equilibration_ps,
    }
    if verdict != "ok":
        atoms = settled
        start_velocities(atoms, target_K, rng)
    else:
        volumes, temperatures = series["volume_A3"], series["temperature_K"]
        half = len(volumes) // 2
        mean, error = _block_mean(volumes[half:])
        atoms.set_cell(relaxed_cell * (mean / record["volume_relaxed_A3"]) ** (1 / 3))
        atoms.set_positions(_affine(series["last_positions"], series["last_cell"], atoms))
        start_velocities(atoms, target_K, rng)
        with _refusing_nan(atoms):
            nvt(atoms, settings, target_K, rng).run(round(_SETTLE_PS * 1000 / settings.timestep_fs))
        hold_centre_of_mass(atoms)
        pressure, pressure_error = _block_mean(series["pressure_GPa"][half:])
        first, second = np.array_split(volumes[half:], 2)
        record |= {
            "volume_A3": mean,
            "volume_error_A3": error,
            "volume_drift_percent": float(100 * (second.mean() / first.mean() - 1)),
            "cell_lengths_A": atoms.cell.lengths().tolist(),
            "cell_angles_degree": atoms.cell.angles().tolist(),
            "mean_pressure_GPa": pressure,
            "mean_pressure_error_GPa": pressure_error,
            "mean_temperature_K": float(temperatures[half:].mean()),
        }
    atoms.calc = None
    atoms.info |= {"temperature_K": target_K, "equilibration_verdict": verdict}
    return Equilibrated(atoms, record)


def write_equilibrated(result: Equilibrated, structure: Path, record: Path) -> None:
    """Write the settled start (extxyz with momenta) and npt.json, each whole or not at all."""
    with whole_file(structure) as temporary:
        ase.io.write(temporary, result.atoms, format="extxyz", write_results=False)
    write_json(record, result.record)


def equilibrate_in(
    scratch: Path,
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    seed: int,
    show_progress: bool = False,
) -> Path:
    """File of a settled start in a scratch folder, found there or made now; its record is beside.

    Both are named by a fingerprint of all that decides them, the record with .json at its end.
    """
    start, record = _kept_in(scratch, atoms, loaded, settings, target_K, seed)
    if not (start.is_file() and record.is_file()):
        result = equilibrate(
            atoms, loaded, settings, target_K=target_K, seed=seed, show_progress=show_progress
        )
        write_equilibrated(result, start, record)
    return start


def equilibrated_in(
    scratch: Path,
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    seed: int,
    start: Path,
    record: Path,
) -> bool:
    """Copy what `equilibrate_in` has left in a scratch folder to its place, if it is there."""
    kept = _kept_in(scratch, atoms, loaded, settings, target_K, seed)
    if not all(path.is_file() for path in kept):
        return False
    for source, target in zip(kept, (start, record), strict=True):
        with whole_file(target) as temporary:
            shutil.copyfile(source, temporary)
    return True


def _kept_in(
    scratch: Path,
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    target_K: float,
    seed: int,
) -> tuple[Path, Path]:
    own = ("timestep_fs", "pressure_GPa", "equilibration_ps", "thermostat_time_ps")
    name = fingerprint(
        {
            "numbers": atoms.numbers.tolist(),
            "cell_A": np.array(atoms.cell).tolist(),
            "positions_A": atoms.positions.tolist(),
            "potential": loaded.identity(),
            "settings": {key: getattr(settings, key) for key in (*own, "barostat_time_ps")},
            "temperature_K": target_K,
            "seed": seed,
        }
    )
    return scratch / f"equilibrated-{name}.extxyz", scratch / f"equilibrated-{name}.json"


def _relax(atoms: Atoms, settings: DynamicsSettings) -> dict[str, Any]:
    pressure = settings.pressure_GPa * units.GPa
    optimiser = FIRE(FrechetCellFilter(atoms, scalar_pressure=pressure), logfile=None)
    converged = False
    with warnings.catch_warnings(), _refusing_nan(atoms):
        warnings.simplefilter("ignore")
        for done in optimiser.irun(fmax=_RELAX_FORCE_EV_PER_A, steps=_RELAX_STEPS):
            converged = bool(done)
            if not _finite(atoms):
                break
    sound = _finite(atoms)
    return {
        "converged": converged and sound,
        "steps": int(optimiser.nsteps),
        "largest_force_eV_per_A": float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        if sound
        else None,
        "energy_eV": float(atoms.get_potential_energy()) if sound else None,
    }


def _finite(atoms: Atoms) -> bool:
    """Whether cell, positions and forces are all numbers; forces are asked for last."""
    return (
        bool(np.isfinite(np.array(atoms.cell)).all())
        and bool(np.isfinite(atoms.positions).all())
        and bool(np.isfinite(atoms.get_forces()).all())
    )


@contextmanager
def _refusing_nan(atoms: Atoms) -> Iterator[None]:
    """Let a calculator's complaint about positions that are not numbers be the guard's business."""
    try:
        yield
    except Exception:
        if np.isfinite(np.array(atoms.cell)).all() and np.isfinite(atoms.positions).all():
            raise


def _run_npt(
    atoms: Atoms, settings: DynamicsSettings, target_K: float, show_progress: bool
) -> dict[str, Any]:
    """Sampled volume (Å³), temperature (K) and pressure (GPa), the last frame, and a verdict."""
    dynamics = npt(atoms, settings, target_K)
    samples = max(
        4 * _BLOCKS, round(settings.equilibration_ps * 1000 / settings.timestep_fs / SAMPLE_STEPS)
    )
    interval_ps = SAMPLE_STEPS * settings.timestep_fs / 1000
    limits = contact_limits_A(tuple(atoms.get_chemical_symbols()))
    progress = Progress(f"NPT {target_K:g} K", samples * interval_ps, shown=show_progress)
    rows: list[tuple[float, float, float]] = []
    verdict = "ok"
    start_volume = atoms.get_volume()
    for sample in range(1, samples + 1):
        with _refusing_nan(atoms):
            dynamics.run(SAMPLE_STEPS)
        if not _finite(atoms):
            verdict = "nan_forces"
            break
        stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
        rows.append((atoms.get_volume(), temperature_K(atoms), -np.trace(stress) / 3 / units.GPa))
        if closest_contact(atoms.positions, np.array(atoms.cell), limits):
            verdict = "atoms_too_close"
            break
        if not 0.5 < rows[-1][0] / start_volume < 2:
            verdict = "cell_unstable"
            break
        progress.update(sample * interval_ps, rows[-1][1])
    table = np.array(rows).reshape(-1, 3)
    settled = table[len(table) // 2 :, 1]
    if verdict == "ok" and temperature_runaway(
        settled, interval_ps, target_K, 3 * len(atoms) - 3, settings.thermostat_time_ps
    ):
        verdict = "temperature_runaway"
    return {
        "verdict": verdict,
        "volume_A3": table[:, 0],
        "temperature_K": table[:, 1],
        "pressure_GPa": table[:, 2],
        "last_positions": atoms.get_positions(),
        "last_cell": np.array(atoms.cell),
    }


def _affine(
    positions_A: NDArray[np.float64], old_cell_A: NDArray[np.float64], atoms: Atoms
) -> NDArray[np.float64]:
    """Positions carried from one cell to that of `atoms`, fractional coordinates kept."""
    moved: NDArray[np.float64] = positions_A @ np.linalg.inv(old_cell_A) @ np.array(atoms.cell)
    return moved


def _block_mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and its standard error from eight blocks."""
    blocks = values[: len(values) // _BLOCKS * _BLOCKS].reshape(_BLOCKS, -1).mean(axis=1)
    return float(values.mean()), float(blocks.std(ddof=1) / np.sqrt(_BLOCKS))
