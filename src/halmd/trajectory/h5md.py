"""Trajectories in H5MD 1.1: unwrapped positions in Å, time in ps, readable by MDAnalysis.

Layout: https://nongnu.org/h5md/h5md.html. Thermodynamic columns are observables; the record of the
run that made the file is the JSON attribute `run` of the group /parameters.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

import halmd
from halmd.errors import HalmdError
from halmd.files import whole_file

THERMO_UNITS = {
    "temperature": "K",
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "conserved_energy": "eV",
}


_LENGTHS_A = {"Angstrom": 1.0, "angstrom": 1.0, "nm": 10.0}
_TIMES_PS = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}
_UNREADABLE = (
    OSError,
    RuntimeError,
    KeyError,
    IndexError,
    StopIteration,
    AttributeError,
    ValueError,
    TypeError,
)
"""What h5py raises for damaged or foreign files, depending on where the damage is."""


@dataclass(frozen=True)
class Trajectory:
    """Positions of all atoms over time, in one fixed cell."""

    positions_A: NDArray[np.float64]
    """Unwrapped positions in Å, shape (n_frames, n_atoms, 3)."""
    cell_A: NDArray[np.float64]
    """Rows are the cell vectors in Å, shape (3, 3)."""
    symbols: tuple[str, ...]
    """Element of each atom."""
    time_ps: NDArray[np.float64]
    """Time of each frame in ps, increasing, shape (n_frames,)."""
    thermo: Mapping[str, NDArray[np.float64]]
    """Columns named as in THERMO_UNITS, shape (n_frames,); empty for foreign files."""

    @property
    def volume_A3(self) -> float:
        """Volume of the cell in Å³."""
        return abs(float(np.linalg.det(self.cell_A)))

    @property
    def masses_amu(self) -> NDArray[np.float64]:
        """Mass of each atom in amu."""
        masses: NDArray[np.float64] = atomic_masses[
            [chemical_symbols.index(symbol) for symbol in self.symbols]
        ]
        return masses


def write_trajectory(
    path: Path, trajectory: Trajectory, run: Mapping[str, Any], *, steps_per_frame: int = 1
) -> None:
    """Write an H5MD file, whole or not at all; `run` is a JSON-able record of what made it.

    Positions are stored as float32, which is 1e-6 Å for a cell of 10 Å.
    """
    frames = len(trajectory.time_ps)
    steps = np.arange(frames) * steps_per_frame
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        head = file.create_group("h5md")
        head.attrs["version"] = np.array([1, 1])
        head.create_group("author").attrs["name"] = "halmd"
        creator = head.create_group("creator")
        creator.attrs["name"] = "halmd"
        creator.attrs["version"] = halmd.__version__
        particles = file.create_group("particles/trajectory")
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic"] * 3
        edges = box.create_group("edges")
        cells = np.broadcast_to(trajectory.cell_A, (frames, 3, 3))
        _series(edges, cells.astype(np.float64), steps, trajectory.time_ps, "Angstrom")
        position = particles.create_group("position")
        _series(
            position,
            trajectory.positions_A.astype(np.float32),
            steps,
            trajectory.time_ps,
            "Angstrom",
        )
        numbers = [chemical_symbols.index(symbol) for symbol in trajectory.symbols]
        particles["species"] = np.array(numbers, dtype=np.int32)
        particles["mass"] = trajectory.masses_amu
        particles["mass"].attrs["unit"] = "u"
        observables = file.create_group("observables")
        for name, values in trajectory.thermo.items():
            group = observables.create_group(name)
            _series(group, values, steps, trajectory.time_ps, THERMO_UNITS[name])
        file.create_group("parameters").attrs["run"] = json.dumps(dict(run))


def _series(
    group: Any,
    values: NDArray[Any],
    steps: NDArray[np.int64],
    time_ps: NDArray[np.float64],
    unit: str,
) -> None:
    chunks = (min(len(values), 256), *values.shape[1:]) if values.ndim > 1 else None
    group.create_dataset(
        "value", data=values, chunks=chunks, compression="gzip" if chunks else None
    )
    group["value"].attrs["unit"] = unit
    group["step"] = steps
    group["time"] = time_ps
    group["time"].attrs["unit"] = "ps"


def _in_unit(path: Path, dataset: Any, known: Mapping[str, float]) -> NDArray[np.float64]:
    """A dataset in halmd's unit; another program's nanometres must not pass for ångströms."""
    unit = str(dataset.attrs.get("unit", "(none)"))
    if unit not in known:
        raise HalmdError(
            f"{path}: {dataset.name} has unit {unit}; known units are {', '.join(known)}"
        )
    return np.asarray(dataset, dtype=np.float64) * known[unit]


def read_trajectory(path: Path, *, fewest_frames: int = 2) -> Trajectory:
    """Read an H5MD file with a fixed cell, as halmd writes it.

    Raises HalmdError, in one line, for a file that is missing, truncated or not H5MD, for columns
    that do not fit together, unknown units, NaN positions, fewer than `fewest_frames`, and a cell
    that changes. A run that a guard stopped at its start has one frame.
    """
    if not path.is_file():
        raise HalmdError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            group = next(iter(file["particles"].values()))
            positions = _in_unit(path, group["position/value"], _LENGTHS_A)
            time_ps = _in_unit(path, group["position/time"], _TIMES_PS)
            edges = group["box/edges"]
            edges = edges["value"] if isinstance(edges, h5py.Group) else edges
            cells = _in_unit(path, edges, _LENGTHS_A)
            symbols = tuple(chemical_symbols[int(number)] for number in group["species"])
            thermo = {
                name: np.asarray(file[f"observables/{name}/value"], dtype=np.float64)
                for name in file.get("observables", {})
                if name in THERMO_UNITS
            }
    except _UNREADABLE as error:
        problem = " ".join(str(error).split())[:120] or "no particles"
        raise HalmdError(
            f"{path}: not a complete H5MD trajectory, or truncated ({problem}); run the step that "
            "makes it again"
        ) from None
    if time_ps.ndim == 0:
        # H5MD may store the interval alone.
        time_ps = np.arange(len(positions)) * time_ps
    if positions.shape != (len(time_ps), len(symbols), 3):
        raise HalmdError(
            f"{path}: positions of shape {positions.shape} do not fit {len(time_ps)} times and "
            f"{len(symbols)} atoms; run the step that makes it again"
        )
    if len(positions) < fewest_frames:
        raise HalmdError(f"{path}: {len(positions)} frame; a diffusivity needs a run of frames")
    if not np.isfinite(positions).all():
        frame = int(np.argmax(~np.isfinite(positions).all(axis=(1, 2))))
        raise HalmdError(f"{path}: positions of frame {frame} are not numbers")
    # Written so that NaN fails.
    if not np.all(np.diff(time_ps) > 0):
        raise HalmdError(f"{path}: time does not increase from frame to frame")
    if cells.ndim not in (2, 3) or cells.shape[-2:] != (3, 3) or not cells.size:
        raise HalmdError(f"{path}: box edges of shape {cells.shape}; expected 3x3 cell vectors")
    cells = cells.reshape(-1, 3, 3)
    if not abs(float(np.linalg.det(cells[0]))) > 0:
        raise HalmdError(f"{path}: the cell has no volume")
    if not np.abs(cells - cells[0]).max() <= 1e-6:
        raise HalmdError(f"{path}: the cell changes along the run; produce at a fixed cell")
    return Trajectory(positions, cells[0], symbols, time_ps, thermo)
