"""LAMMPS text dumps: every style of coordinates, orthogonal and triclinic cells.

Format: https://docs.lammps.org/dump.html and https://docs.lammps.org/Howto_triclinic.html.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from halmd.errors import HalmdError
from halmd.trajectory.checks import (
    Frame,
    agreeing,
    cartesian,
    frames_from,
    known_elements,
    of_types,
)
from halmd.trajectory.frames import Floats, Frames
from halmd.trajectory.text import next_filled, numbers, open_text, table, whole_line, whole_lines

_TIMES_PS = {"metal": 1.0, "real": 1e-3}
"""Time units of the unit styles with lengths in Å."""

_IMAGES = ("ix", "iy", "iz")
# From the best to the worst: what is unwrapped and what has more digits comes first.
_COORDINATES = (
    (("xu", "yu", "zu"), False),
    (("xsu", "ysu", "zsu"), False),
    (("x", "y", "z"), True),
    (("xs", "ys", "zs"), True),
    (("x", "y", "z"), False),
    (("xs", "ys", "zs"), False),
)
"""Columns of positions, and whether image flags are added to them."""


@dataclass(frozen=True)
class _Head:
    """What stands above the atoms of a frame."""

    step: int
    time: float | None
    n_atoms: int
    cell_A: Floats
    origin_A: Floats
    columns: tuple[str, ...]
    units: str | None


def open_lammps(
    path: Path,
    *,
    frame_interval_fs: float | None = None,
    timestep_fs: float | None = None,
    species: Sequence[str] | None = None,
) -> Frames:
    """Open a LAMMPS text dump (gzip or not); atoms are sorted by id, the box starts at 0.

    Lengths are Å (units metal or real). Time is ITEM: TIME where the dump has it and names its
    units, else the step times `timestep_fs`. `species` are the elements of types 1, 2, 3, ...

    Raises HalmdError for other units, non-periodic boxes, dumps without ids, elements or positions,
    and as `checks` does.
    """

    def frames() -> Iterator[Frame]:
        return _frames(path, frame_interval_fs, timestep_fs)

    def symbols(frame: Frame) -> tuple[str, ...]:
        types = frame.labels.get("types")
        if "elements" in frame.labels:
            elements = known_elements(path, frame.labels["elements"].tolist())
            if species is not None and types is not None and len(species) >= types.max():
                if of_types(path, types, species) != elements:
                    raise HalmdError(
                        f"{path}: the element column contradicts the elements given for types "
                        f"1, 2, ... ({' '.join(species)}); leave out --species"
                    )
                return elements
            return agreeing(path, elements, species)
        if types is None:
            raise HalmdError(
                f"{path}: the dump has neither an element nor a type column; dump one of them"
            )
        if species is None:
            raise HalmdError(
                f"{path}: the dump names types, not elements; give the elements of types 1 to "
                f"{types.max()} in this order (--species)"
            )
        return of_types(path, types, species)

    return frames_from(path, frames, symbols, frame_interval_fs=frame_interval_fs)


def _frames(
    path: Path, frame_interval_fs: float | None, timestep_fs: float | None
) -> Iterator[Frame]:
    units: str | None = None
    steps: list[int] = []
    with open_text(path) as stream:
        while (head := _head(path, stream, units)) is not None:
            units = head.units
            steps = [*steps[-2:], head.step]
            if frame_interval_fs is not None:
                _check_steps(path, steps)
            time_ps = _time_ps(path, head, frame_interval_fs, timestep_fs)
            yield _atoms(path, head, whole_lines(stream, head.n_atoms), time_ps)


def _check_steps(path: Path, steps: list[int]) -> None:
    """One interval for all frames needs steps at one distance."""
    gaps = np.diff(steps)
    if (gaps <= 0).any() or len(set(gaps.tolist())) > 1:
        raise HalmdError(
            f"{path}: steps {', '.join(map(str, steps))} follow each other, which no single "
            "interval between frames describes; give --timestep-fs instead, or remove frames that "
            "a restart wrote twice"
        )


def _time_ps(
    path: Path, head: _Head, frame_interval_fs: float | None, timestep_fs: float | None
) -> float:
    if frame_interval_fs is not None:
        return float(head.step)
    if head.time is not None and head.units is not None:
        return head.time * _TIMES_PS[head.units]
    if timestep_fs is not None:
        return head.step * timestep_fs * 1e-3
    raise HalmdError(
        f"{path}: the dump counts steps and does not say how long one is; give the timestep of the "
        "run (--timestep-fs)"
    )


def _head(path: Path, stream: TextIO, units: str | None) -> _Head | None:
    """Everything up to the ATOMS line; None at the end of the file."""
    line = next_filled(stream)
    if line is None:
        return None
    step, n_atoms, time = None, None, None
    cell, origin = np.empty(0), np.empty(0)
    while not line.startswith("ITEM: ATOMS"):
        item = line.removeprefix("ITEM:").split()
        if not line.startswith("ITEM:"):
            raise ValueError(f"expected an ITEM line, found {line.strip()[:40]!r}")
        if item[:2] == ["BOX", "BOUNDS"]:
            cell, origin = _box(path, item[2:], [whole_line(stream) for _ in range(3)])
        elif item == ["UNITS"]:
            units = _known_units(path, whole_line(stream).strip())
        elif item == ["TIME"]:
            time = float(whole_line(stream))
        elif item == ["TIMESTEP"]:
            step = int(whole_line(stream))
        elif item == ["NUMBER", "OF", "ATOMS"]:
            n_atoms = int(whole_line(stream))
        else:
            raise ValueError(f"unknown section {line.strip()[:40]!r}")
        line = whole_line(stream)
    if step is None or not n_atoms or not cell.size:
        raise ValueError("a frame without step, atoms or box")
    return _Head(step, time, n_atoms, cell, origin, tuple(line.split()[2:]), units)


def _known_units(path: Path, units: str) -> str:
    if units not in _TIMES_PS:
        raise HalmdError(
            f"{path}: the dump is in units {units!r}; known unit styles are {', '.join(_TIMES_PS)}"
        )
    return units


def _box(path: Path, words: list[str], lines: list[str]) -> tuple[Floats, Floats]:
    """Cell vectors and origin of a box, restricted or general."""
    boundaries = [word for word in words if re.fullmatch("[pfsm]{2}", word)]
    if set(boundaries) - {"pp"}:
        raise HalmdError(
            f"{path}: the box has boundaries {' '.join(boundaries)}; halmd needs one that is "
            "periodic in all three directions (pp pp pp)"
        )
    rows = np.array([line.split() for line in lines], dtype=np.float64)
    if words[:2] == ["abc", "origin"]:
        return rows[:, :3], rows[:, 3]
    low, high = rows[:, 0], rows[:, 1]
    xy, xz, yz = rows[:, 2] if words[:3] == ["xy", "xz", "yz"] else (0.0, 0.0, 0.0)
    # The bounds enclose the tilted box.
    low = low - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = high - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    lx, ly, lz = high - low
    return np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]]), low


def _coordinates(path: Path, columns: tuple[str, ...]) -> tuple[tuple[str, ...], bool, bool]:
    """Columns of positions, whether image flags are added to them, and whether they run on."""
    for names, images in _COORDINATES:
        if set(names) <= set(columns) and (not images or set(_IMAGES) <= set(columns)):
            return names, images, images or names[0] in ("xu", "xsu")
    raise HalmdError(
        f"{path}: no columns with positions among {' '.join(columns)}; dump x y z, xu yu zu, "
        "xs ys zs or xsu ysu zsu"
    )


def _atoms(path: Path, head: _Head, text: str, time_ps: float) -> Frame:
    names, images, continuous = _coordinates(path, head.columns)
    if "id" not in head.columns:
        raise HalmdError(
            f"{path}: the dump has no id column, and LAMMPS changes the order of atoms from frame "
            "to frame; dump the ids"
        )
    words = table(text, head.n_atoms)
    if len(words) != len(head.columns):
        raise ValueError(f"{len(words)} columns, expected {len(head.columns)}")
    column = dict(zip(head.columns, words, strict=True))
    ids = np.array(column["id"], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    labels = {"ids": ids[order]}
    if (np.diff(labels["ids"]) == 0).any():
        raise ValueError("two atoms with the same id")
    if "element" in column:
        labels["elements"] = np.array(column["element"])[order]
    if "type" in column:
        labels["types"] = np.array(column["type"], dtype=np.int64)[order]
    values = np.column_stack([numbers(column[name]) for name in names])
    scaled = names[0].startswith("xs")
    positions = cartesian(values, head.cell_A) if scaled else values - head.origin_A
    if images:
        flags = np.column_stack([numbers(column[name]) for name in _IMAGES])
        positions += cartesian(flags, head.cell_A)
    return Frame(positions[order], head.cell_A, time_ps, labels, continuous)
