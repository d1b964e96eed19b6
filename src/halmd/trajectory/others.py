"""Everybody else's files: ASE trajectories, xyz files, and what MDAnalysis reads."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.io.extxyz import key_val_str_to_dict
from ase.io.trajectory import TrajectoryReader

from halmd.errors import HalmdError
from halmd.trajectory.checks import (
    UNREADABLE,
    Frame,
    agreeing,
    frames_from,
    known_elements,
    needs_interval,
    of_types,
)
from halmd.trajectory.frames import Floats, Frames
from halmd.trajectory.text import next_filled, numbers, open_text, table, whole_line, whole_lines


def open_ase(
    path: Path, *, frame_interval_fs: float | None, species: Sequence[str] | None = None
) -> Frames:
    """Open an ASE .traj file.

    Raises HalmdError without `frame_interval_fs`, because ASE keeps the time step and not how often
    frames were written, for atoms that are not periodic, and as `checks` does.
    """
    if frame_interval_fs is None:
        raise needs_interval(path, "an ASE trajectory has no times")

    def frames() -> Iterator[Frame]:
        with TrajectoryReader(str(path)) as file:
            for number in range(len(file)):
                atoms = file[number]
                _all_periodic(path, number, atoms.pbc)
                cell = np.array(atoms.cell, dtype=np.float64)
                yield Frame(atoms.positions, cell, number, {"elements": atoms.numbers})

    def symbols(frame: Frame) -> tuple[str, ...]:
        names = [chemical_symbols[number] for number in frame.labels["elements"]]
        return agreeing(path, known_elements(path, names), species)

    return frames_from(path, frames, symbols, frame_interval_fs=frame_interval_fs)


def _all_periodic(path: Path, number: int, periodic: Any) -> None:
    if not np.all(periodic):
        raise HalmdError(
            f"{path}: frame {number} is not periodic in all three directions; halmd needs a "
            "periodic cell"
        )


def open_xyz(
    path: Path, *, frame_interval_fs: float | None, species: Sequence[str] | None = None
) -> Frames:
    """Open an extended xyz file (https://github.com/libAtoms/extxyz): Lattice in the comment.

    Raises HalmdError without `frame_interval_fs` (a time in the comment has no unit), without a
    Lattice, and as `checks` does.
    """
    if frame_interval_fs is None:
        raise needs_interval(path, "an xyz file has no times with a unit")

    def frames() -> Iterator[Frame]:
        with open_text(path) as stream:
            number = 0
            while (count := next_filled(stream)) is not None:
                comment = whole_line(stream)
                yield _xyz_frame(path, number, comment, whole_lines(stream, int(count)), int(count))
                number += 1

    def symbols(frame: Frame) -> tuple[str, ...]:
        elements = known_elements(path, frame.labels["elements"].tolist())
        return agreeing(path, elements, species)

    return frames_from(path, frames, symbols, frame_interval_fs=frame_interval_fs)


def _xyz_frame(path: Path, number: int, comment: str, text: str, count: int) -> Frame:
    if not re.search("lattice *=", comment, re.IGNORECASE):
        raise HalmdError(
            f"{path}: frame {number} has no cell; write extended xyz with Lattice=... in the "
            "second line, or give another format"
        )
    comment = re.sub("lattice *=", "Lattice=", comment, flags=re.IGNORECASE)
    info = {key.lower(): value for key, value in key_val_str_to_dict(comment).items()}
    _all_periodic(path, number, info.get("pbc", True))
    # ASE reads nine numbers column by column.
    cell = np.array(info["lattice"], dtype=np.float64).reshape(3, 3).T
    properties = str(info.get("properties", "species:S:1:pos:R:3")).split(":")
    at, places = 0, {}
    for name, width in zip(properties[::3], properties[2::3], strict=True):
        places[name.lower()] = at
        at += int(width)
    columns = table(text, count)
    if len(columns) < at or not {"pos", "species"} <= places.keys():
        raise ValueError(f"{len(columns)} columns do not fit {':'.join(properties)[:60]}")
    first = places["pos"]
    positions = np.column_stack([numbers(column) for column in columns[first : first + 3]])
    return Frame(positions, cell, number, {"elements": np.array(columns[places["species"]])})


def open_mdanalysis(
    path: Path,
    *,
    topology: Path | None = None,
    frame_interval_fs: float | None = None,
    timestep_fs: float | None = None,
    species: Sequence[str] | None = None,
    format: str | None = None,
) -> Frames:
    """Open any file that MDAnalysis reads (DCD, XTC, TRR, NetCDF, ...), which gives Å and ps.

    Elements are those of the topology; where it has none, `species` names those of all atoms, or
    of types 1, 2, 3, ... Times are the file's, except in DCD files of LAMMPS, whose time unit is
    not the format's; these need `timestep_fs` or `frame_interval_fs`.

    Raises HalmdError without MDAnalysis, for files it cannot read, and as `checks` does.
    """
    try:
        import MDAnalysis
    except ImportError:
        raise HalmdError(
            f"{path}: reading this format needs MDAnalysis; install it (pip install MDAnalysis) or "
            "convert the file to extxyz"
        ) from None

    def universe() -> Any:
        files = [str(topology or path), str(path)]
        options = {"format": format, **_atom_style(topology or path)}
        # Guesses of masses and types are not used.
        return _quietly(lambda: MDAnalysis.Universe(*files, to_guess=(), **options))

    def frames() -> Iterator[Frame]:
        reader = universe().trajectory
        factor = _time_factor(path, reader, frame_interval_fs, timestep_fs)
        steps = iter(reader)
        number = 0
        try:
            while (step := _quietly(lambda: next(steps, None))) is not None:
                yield _mdanalysis_frame(path, number, step, factor)
                number += 1
        finally:
            reader.close()

    try:
        opened = universe()
    except UNREADABLE as error:
        help_ = "" if topology else "; if it holds no atoms, give a file that does (--topology)"
        problem = " ".join(str(error).split())[:160] or type(error).__name__
        raise HalmdError(f"{path}: MDAnalysis cannot read it ({problem}){help_}") from None
    symbols = _mdanalysis_elements(path, opened.atoms, species)
    opened.trajectory.close()
    return frames_from(path, frames, lambda frame: symbols, frame_interval_fs=frame_interval_fs)


_ATOM_STYLES = {
    "atomic": "id type x y z",
    "charge": "id type charge x y z",
    "molecular": "id resid type x y z",
    "full": "id resid type charge x y z",
}


def _atom_style(topology: Path) -> dict[str, str]:
    """Columns of a LAMMPS data file, which MDAnalysis takes for `full` unless told."""
    if topology.suffix.lower() != ".data":
        return {}
    with open_text(topology) as stream:
        styles = (re.match(r"\s*Atoms\s*#\s*(\w+)", line) for line in stream)
        style = next((found[1] for found in styles if found), None)
    if style not in _ATOM_STYLES:
        raise HalmdError(
            f"{topology}: the data file does not say its atom style (Atoms # charge), or one that "
            f"is not known; known are {', '.join(_ATOM_STYLES)}"
        )
    return {"atom_style": _ATOM_STYLES[style]}


def _quietly(call: Callable[[], Any]) -> Any:
    """MDAnalysis warns of much that is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def _mdanalysis_frame(path: Path, number: int, step: Any, factor: float) -> Frame:
    cell = step.triclinic_dimensions
    if cell is None:
        raise HalmdError(
            f"{path}: frame {number} has no cell; halmd needs a periodic cell in every frame"
        )
    # Times that an interval replaces may be missing, of which MDAnalysis warns.
    time_ps = float(_quietly(lambda: step.time)) * factor
    positions: Floats = np.array(step.positions, dtype=np.float64)
    return Frame(positions, np.array(cell, dtype=np.float64), time_ps, {})


def _time_factor(
    path: Path, reader: Any, frame_interval_fs: float | None, timestep_fs: float | None
) -> float:
    """What the reader's times are multiplied with."""
    if frame_interval_fs is not None:
        return 1.0
    if "time" not in reader.ts.data and "dt" not in reader.ts.data:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _ = reader.ts.dt
        if any("no dt information" in str(warning.message) for warning in caught):
            raise needs_interval(path, "the file has no times")
    if reader.format != "DCD" or "LAMMPS" not in _remarks(reader):
        return 1.0
    if timestep_fs is None:
        raise HalmdError(
            f"{path}: LAMMPS writes times into DCD files in its own unit; give the timestep of the "
            "run (--timestep-fs)"
        )
    # dt is what MDAnalysis makes of the steps between frames times the timestep.
    steps: int = reader.skip_timestep
    return float(steps * timestep_fs * 1e-3 / reader.dt)


def _remarks(reader: Any) -> str:
    remarks = reader._file.header["remarks"]
    return remarks.decode(errors="replace") if isinstance(remarks, bytes) else str(remarks)


def _mdanalysis_elements(path: Path, atoms: Any, species: Sequence[str] | None) -> tuple[str, ...]:
    for attribute in ("elements", "names", "types"):
        names = [str(name) for name in getattr(atoms, attribute, ())]
        if attribute == "elements":
            names = [name.capitalize() for name in names]
        if names and set(names) <= set(chemical_symbols[1:]):
            return agreeing(path, tuple(names), species)
    if species is None:
        raise HalmdError(
            f"{path}: no element names; give a file with those of all atoms (--topology), or the "
            "elements of the topology's types 1, 2, 3, ... (--species)"
        )
    if len(species) == len(atoms):
        return known_elements(path, species)
    types = [str(kind) for kind in getattr(atoms, "types", ())]
    if types and all(kind.isdigit() for kind in types):
        return of_types(path, np.array(types, dtype=np.int64), species)
    raise HalmdError(
        f"{path}: {len(species)} elements given for {len(atoms)} atoms without numbered types; "
        "name one for every atom, or give a topology with elements"
    )
