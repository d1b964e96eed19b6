"""Trajectories in H5MD 1.1: unwrapped positions in Å, time in ps, readable by MDAnalysis.

Layout: https://nongnu.org/h5md/h5md.html. Thermodynamic columns are observables; the record of the
run that made the file is the JSON attribute `run` of the group /parameters.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
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
from halmd.trajectory.checks import (
    UNREADABLE,
    agreeing,
    check_positions,
    check_time,
    checked,
    known_elements,
    needs_interval,
    of_types,
)
from halmd.trajectory.frames import Block, Floats, Frames, frames_in_a_block

THERMO_UNITS = {
    "temperature": "K",
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "conserved_energy": "eV",
}


_LENGTHS_A = {"Angstrom": 1.0, "angstrom": 1.0, "Å": 1.0, "nm": 10.0}
_TIMES_PS = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}


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
    return np.asarray(dataset, dtype=np.float64) * _factor(path, dataset, known)


def _factor(path: Path, dataset: Any, known: Mapping[str, float]) -> float:
    unit = dataset.attrs.get("unit", "(none)")
    unit = unit.decode(errors="replace") if isinstance(unit, bytes) else str(unit)
    if unit not in known:
        raise HalmdError(
            f"{path}: {dataset.name} has unit {unit}; known units are {', '.join(known)}"
        )
    return known[unit]


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
    except UNREADABLE as error:
        raise _not_whole(path, error) from None
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
    check_positions(path, positions)
    check_time(path, time_ps)
    if cells.ndim not in (2, 3) or cells.shape[-2:] != (3, 3) or not cells.size:
        raise HalmdError(f"{path}: box edges of shape {cells.shape}; expected 3x3 cell vectors")
    cells = cells.reshape(-1, 3, 3)
    if not abs(float(np.linalg.det(cells[0]))) > 0:
        raise HalmdError(f"{path}: the cell has no volume")
    if not np.abs(cells - cells[0]).max() <= 1e-6:
        raise HalmdError(f"{path}: the cell changes along the run; produce at a fixed cell")
    return Trajectory(positions, cells[0], symbols, time_ps, thermo)


def _not_whole(path: Path, error: BaseException) -> HalmdError:
    problem = " ".join(str(error).split())[:120] or "no particles"
    return HalmdError(
        f"{path}: not a complete H5MD trajectory, or truncated ({problem}); run the step that "
        "makes it again"
    )


def open_h5md(
    path: Path,
    *,
    frame_interval_fs: float | None = None,
    species: Sequence[str] | None = None,
) -> Frames:
    """Open an H5MD file of any program, to be read block by block.

    Cells may be fixed or change, as three edges or as vectors. Image flags are added to the
    positions. The numbers of `species` in the file are atomic numbers, or types that `species`
    names. Files of halmd, and those with image flags, are continuous.

    Raises HalmdError for unknown units, times without unit (unless `frame_interval_fs` replaces
    them), columns that do not fit together, damage, and as `checks` does.
    """
    if not path.is_file():
        raise HalmdError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            group = next(iter(file["particles"].values()))
            symbols = _symbols(path, group["species"], species)
            own = "h5md" in file and _creator(file["h5md"]) == "halmd"
            n_frames = len(_times(path, group["position"], frame_interval_fs))
            _check_layout(path, group, n_frames, len(symbols))
            continuous = own or "image" in group
    except UNREADABLE as error:
        raise _not_whole(path, error) from None

    def blocks() -> Iterator[Block]:
        return checked(path, _blocks(path, frame_interval_fs), frame_interval_fs)

    return Frames(path, symbols, continuous, blocks)


def _creator(head: Any) -> str:
    name = head["creator"].attrs.get("name", "") if "creator" in head else ""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _symbols(path: Path, dataset: Any, species: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(dataset, h5py.Group):
        dataset = dataset["value"]
        _check_constant(path, dataset, "species")
        values = dataset[0]
    else:
        values = dataset[()]
    names = h5py.check_enum_dtype(dataset.dtype)
    if names:
        back = {number: name for name, number in names.items()}
        return agreeing(path, known_elements(path, [back[int(n)] for n in values]), species)
    if values.dtype.kind in "SO":
        return agreeing(path, known_elements(path, [n.decode() for n in values]), species)
    numbers = values.astype(np.int64)
    if numbers.min() < 1 or numbers.max() >= len(chemical_symbols):
        raise ValueError(f"species {numbers.min()} to {numbers.max()} are no atomic numbers")
    symbols = tuple(chemical_symbols[number] for number in numbers)
    # Hydrogen, helium, ... without a gap: LAMMPS and others number their types.
    if set(numbers.tolist()) != set(range(1, max(2, numbers.max()) + 1)):
        return agreeing(path, symbols, species)
    if species is None:
        raise HalmdError(
            f"{path}: species 1 to {numbers.max()} look like types, not atomic numbers; give the "
            "elements of the types in this order (--species)"
        )
    return of_types(path, numbers, species)


def _times(path: Path, position: Any, frame_interval_fs: float | None) -> Floats:
    """Times of all frames in ps; frame numbers if an interval replaces them."""
    n_frames = len(position["value"])
    if frame_interval_fs is not None:
        return np.arange(n_frames, dtype=np.float64)
    if "time" not in position:
        raise needs_interval(path, f"{position.name} has no times")
    time = position["time"]
    if "unit" not in time.attrs:
        raise needs_interval(path, f"{time.name} has no unit")
    time_ps = _in_unit(path, time, _TIMES_PS)
    if time_ps.ndim == 0:
        # H5MD may store the interval alone.
        time_ps = np.arange(n_frames) * time_ps
    if time_ps.shape != (n_frames,):
        raise ValueError(f"{n_frames} frames and times of shape {time_ps.shape}")
    return time_ps


def _check_layout(path: Path, group: Any, n_frames: int, n_atoms: int) -> None:
    shape = group["position/value"].shape
    if shape != (n_frames, n_atoms, 3):
        raise ValueError(f"positions of shape {shape} for {n_atoms} atoms")
    _factor(path, group["position/value"], _LENGTHS_A)
    _cells(path, group, 0, 0)
    boundary = group["box"].attrs.get("boundary", [])
    if any(word in (b"none", "none") for word in np.atleast_1d(boundary)):
        raise HalmdError(f"{path}: the box is not periodic; halmd needs a periodic cell")
    if "image" in group and _images(group, 0, n_frames and 1).shape[-2:] != (n_atoms, 3):
        raise ValueError("image flags do not fit the positions")
    if "id" in group and isinstance(group["id"], h5py.Group):
        _check_constant(path, group["id/value"], "order")


def _check_constant(path: Path, series: Any, what: str) -> None:
    """Refuse a series, shape (n_frames, n_atoms), that is not the same in all frames."""
    first_row = series[0]
    size = frames_in_a_block(len(first_row))
    for first in range(0, len(series), size):
        same = (series[first : first + size] == first_row).all(axis=1)
        if not same.all():
            raise HalmdError(
                f"{path}: the {what} of the atoms changes in frame {first + int(np.argmin(same))}; "
                "write every atom in every frame, in one order"
            )


def _images(group: Any, first: int, last: int) -> NDArray[np.int64]:
    image = group["image"]
    values = image["value"][first:last] if isinstance(image, h5py.Group) else image[()]
    return np.asarray(values, dtype=np.int64)


def _cells(path: Path, group: Any, first: int, last: int) -> Floats:
    """Cells of the frames from `first` to before `last`."""
    edges = group["box/edges"]
    n_frames = len(group["position/value"])
    series = isinstance(edges, h5py.Group)
    edges = edges["value"] if series else edges
    factor = _factor(path, edges, _LENGTHS_A)
    # One matrix in a group is a fixed cell, unless it is three edges of each of three frames.
    series = series and not (edges.shape == (3, 3) and n_frames != 3)
    if edges.shape[int(series) :] not in ((3,), (3, 3)) or (series and len(edges) != n_frames):
        raise ValueError(f"box edges of shape {edges.shape}; expected 3 edges or 3x3 cell vectors")
    values = np.asarray(edges[first:last] if series else edges, dtype=np.float64) * factor
    if edges.ndim == int(series) + 1:
        values = values[..., None] * np.eye(3)
    return np.broadcast_to(values, (last - first, 3, 3))


def _blocks(path: Path, frame_interval_fs: float | None) -> Iterator[Block]:
    try:
        with h5py.File(path, "r") as file:
            group = next(iter(file["particles"].values()))
            position = group["position/value"]
            factor = _factor(path, position, _LENGTHS_A)
            time_ps = _times(path, group["position"], frame_interval_fs)
            size = frames_in_a_block(position.shape[1])
            if position.chunks and position.chunks[0] < size:
                # A chunk that is read in two parts is decompressed twice.
                size -= size % position.chunks[0]
            for first in range(0, len(position), size):
                last = min(first + size, len(position))
                cells = _cells(path, group, first, last)
                positions = position[first:last].astype(np.float64) * factor
                if "image" in group:
                    positions += _images(group, first, last) @ cells
                yield Block(positions, cells, time_ps[first:last])
    except UNREADABLE as error:
        raise _not_whole(path, error) from None
