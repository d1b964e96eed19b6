"""VASP: XDATCAR and vasprun.xml.

Formats: https://vasp.at/wiki/XDATCAR and https://vasp.at/wiki/Vasprun.xml.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree
from xml.parsers.expat import errors as xml_errors

import numpy as np

from halmd.errors import HalmdError
from halmd.trajectory.checks import (
    Frame,
    agreeing,
    cartesian,
    frames_from,
    known_elements,
    needs_interval,
)
from halmd.trajectory.frames import Floats, Frames
from halmd.trajectory.text import numbers, open_bytes, open_text, whole_line, whole_lines

_SEPARATOR = re.compile(
    r"\s*(direct|cartesian|konfig)\w*(\s+configuration)?\s*(=.*)?", re.IGNORECASE
)
"""The line above the positions of a frame: Direct configuration= 12."""

_CUT_SHORT = {
    xml_errors.codes[message]
    for message in (
        xml_errors.XML_ERROR_NO_ELEMENTS,
        xml_errors.XML_ERROR_UNCLOSED_TOKEN,
        xml_errors.XML_ERROR_PARTIAL_CHAR,
        xml_errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
"""What is wrong with XML that ends too early."""


@dataclass(frozen=True)
class _Header:
    """The lines of an XDATCAR above `Direct configuration=`."""

    cell_A: Floats
    scale: Floats
    """Of each Cartesian component, shape (3,)."""
    groups: tuple[str, ...]
    """Element of each group of atoms; empty in files of VASP 4."""
    counts: tuple[int, ...]


def open_xdatcar(
    path: Path, *, frame_interval_fs: float | None, species: Sequence[str] | None = None
) -> Frames:
    """Open an XDATCAR: one header, or one for every frame with its own cell (NPT).

    `species` are the elements of the groups of atoms, needed where the file (VASP 4) names none.
    Raises HalmdError without `frame_interval_fs`, and as `checks` does.
    """
    if frame_interval_fs is None:
        raise needs_interval(path, "an XDATCAR has no times")

    def symbols(frame: Frame) -> tuple[str, ...]:
        return tuple(frame.labels["elements"].tolist())

    def frames() -> Iterator[Frame]:
        return _xdatcar_frames(path, species)

    return frames_from(path, frames, symbols, frame_interval_fs=frame_interval_fs)


def _xdatcar_frames(path: Path, species: Sequence[str] | None) -> Iterator[Frame]:
    with open_text(path) as stream:
        comment = stream.readline()
        if not comment:
            return
        header = _header(path, whole_lines(stream, 4), stream)
        elements = _elements(path, header, species)
        count = len(elements)
        separator, first_row = _separator(stream), ""
        number = 0
        while True:
            text = first_row + whole_lines(stream, count - bool(first_row))
            rows = numbers(text.split()).reshape(count, 3)
            if separator.strip()[:1] in ("c", "C"):
                rows = rows * header.scale
            else:
                rows = cartesian(rows, header.cell_A)
            yield Frame(rows, header.cell_A, number, {"elements": elements})
            number += 1
            following = _next_separator(path, stream, separator)
            if following is None:
                return
            separator, first_row, new = following
            if new is not None:
                header = new
                elements = _elements(path, header, species)
                count = len(elements)


def _next_separator(
    path: Path, stream: TextIO, last: str
) -> tuple[str, str, _Header | None] | None:
    """What follows a frame whose separator was `last`: the next separator, the first row of
    positions if that had to be read to know, and the header if it is repeated; None at the end."""
    line = stream.readline()
    if not line:
        return None
    if _SEPARATOR.fullmatch(_whole(line).rstrip()):
        return line, "", None
    if not line.strip():
        # Blank: a separator of old files, the comment of a header, or the end.
        second = stream.readline()
        while second and not second.strip():
            second = stream.readline()
        if not second:
            return None
        words = _whole(second).split()
        if _SEPARATOR.fullmatch(second.rstrip()):
            return second, "", None
        if not last.strip() and len(words) == 3 and _are_numbers(words):
            return line, second, None
        if len(words) in (1, 3) and _are_numbers(words):
            header = _header(path, second + whole_lines(stream, 3), stream)
            return _separator(stream), "", header
    header = _header(path, whole_lines(stream, 4), stream)
    return _separator(stream), "", header


def _separator(stream: TextIO) -> str:
    """The line between a header and positions."""
    line = whole_line(stream)
    if line.strip() and not _SEPARATOR.fullmatch(line.rstrip()):
        raise ValueError(f"expected Direct configuration=, found {line.strip()[:40]!r}")
    return line


def _whole(line: str) -> str:
    if not line.endswith("\n"):
        raise EOFError
    return line


def _are_numbers(words: list[str]) -> bool:
    try:
        numbers(words)
    except ValueError:
        return False
    return True


def _header(path: Path, lines: str, stream: TextIO) -> _Header:
    """A header from the lines of scale and cell on."""
    rows = [numbers(line.split()) for line in lines.splitlines()]
    if any(len(row) != 3 for row in rows[1:]) or len(rows[0]) not in (1, 3):
        raise ValueError(
            "the header has no cell; a file of VASP 4.6 or older needs the header of its POSCAR"
        )
    vectors = np.array(rows[1:])
    scale = np.broadcast_to(rows[0], 3)
    if len(rows[0]) == 1 and scale[0] < 0:
        # A negative scale is the volume.
        scale = np.full(3, np.cbrt(-scale[0] / abs(np.linalg.det(vectors))))
    words = whole_line(stream).split()
    groups: tuple[str, ...] = ()
    if not all(word.isdigit() for word in words):
        if not all(word[0].isalpha() for word in words):
            raise ValueError(f"expected elements, found {' '.join(words)[:40]!r}")
        # Potentials may follow the element: Y_sv, or Li/0a1b2c in VASP 6.
        groups = known_elements(path, [re.split("[_/]", word)[0] for word in words])
        words = whole_line(stream).split()
    counts = tuple(int(word) for word in words)
    if not counts or min(counts) < 1 or (groups and len(groups) != len(counts)):
        raise ValueError(f"numbers of atoms {' '.join(words)[:40]!r} do not fit the elements")
    return _Header(vectors * scale, scale, groups, counts)


def _elements(path: Path, header: _Header, species: Sequence[str] | None) -> Any:
    groups = header.groups
    if not groups and species is None:
        raise HalmdError(
            f"{path}: the file does not name its elements; give those of its "
            f"{len(header.counts)} groups of atoms in this order (--species)"
        )
    if not groups:
        groups = known_elements(path, species or ())
        if len(groups) != len(header.counts):
            raise HalmdError(
                f"{path}: the file has {len(header.counts)} groups of atoms, and --species names "
                f"{len(groups)} elements; name one for every group"
            )
    elements = np.repeat(groups, header.counts)
    agreeing(path, tuple(elements.tolist()), species)
    return elements


def open_vasprun(
    path: Path,
    *,
    frame_interval_fs: float | None = None,
    species: Sequence[str] | None = None,
) -> Frames:
    """Open a vasprun.xml of molecular dynamics; time is the number of the step times POTIM.

    Raises HalmdError for relaxations (IBRION is not 0) and thinned output (ML_OUTBLOCK) without
    `frame_interval_fs`, and as `checks` does.
    """

    def frames() -> Iterator[Frame]:
        return _vasprun_frames(path, frame_interval_fs)

    def symbols(frame: Frame) -> tuple[str, ...]:
        elements = known_elements(path, frame.labels["elements"].tolist())
        return agreeing(path, elements, species)

    return frames_from(path, frames, symbols, frame_interval_fs=frame_interval_fs)


def _vasprun_frames(path: Path, frame_interval_fs: float | None) -> Iterator[Frame]:
    settings: dict[str, str] = {}
    elements = np.empty(0, dtype="U2")
    number, step_fs, inside = 0, 1.0, False
    with open_bytes(path) as stream:
        events = ElementTree.iterparse(stream, events=("start", "end"))
        try:
            _, root = next(events)
            for event, element in events:
                if event == "start":
                    inside = inside or element.tag == "calculation"
                elif element.tag == "i" and element.get("name") in _SETTINGS and not inside:
                    settings[str(element.get("name"))] = (element.text or "").strip()
                elif element.tag == "array" and element.get("name") == "atoms":
                    atoms = [str(row[0].text).strip() for row in element.iter("rc")]
                    elements = np.array(atoms)
                elif element.tag == "structure" and inside:
                    if number == 0 and frame_interval_fs is None:
                        step_fs = _step_fs(path, settings)
                    cell, rows = _vectors(element, "basis"), _vectors(element, "positions")
                    labels = {"elements": elements}
                    if len(elements) != len(rows):
                        raise ValueError(f"{len(rows)} positions of {len(elements)} atoms")
                    yield Frame(cartesian(rows, cell), cell, number * step_fs * 1e-3, labels)
                    number += 1
                elif element.tag == "calculation":
                    inside = False
                    root.clear()
        except ElementTree.ParseError as error:
            if error.code in _CUT_SHORT:
                raise EOFError from None
            raise ValueError(str(error)) from None


_SETTINGS = ("POTIM", "IBRION", "ML_OUTBLOCK")


def _step_fs(path: Path, settings: dict[str, str]) -> float:
    if settings.get("IBRION") != "0":
        raise needs_interval(path, "not molecular dynamics (IBRION is not 0), so POTIM is no time")
    if settings.get("ML_OUTBLOCK", "1") != "1":
        raise needs_interval(path, "not every step is in the file (ML_OUTBLOCK)")
    if "POTIM" not in settings:
        raise needs_interval(path, "the file has no POTIM")
    return float(settings["POTIM"])


def _vectors(structure: Any, name: str) -> Floats:
    for array in structure.iter("varray"):
        if array.get("name") == name:
            text = " ".join(row.text for row in array)
            return numbers(text.split()).reshape(-1, 3)
    raise ValueError(f"a structure without {name}")
