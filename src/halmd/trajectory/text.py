"""Lines of text files, plain or compressed, and numbers out of them."""

import gzip
import io
from itertools import islice
from pathlib import Path
from typing import IO, TextIO, cast

import numpy as np

from halmd.trajectory.frames import Floats

_GZIP = b"\x1f\x8b"


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, decompressed if it is gzip by content."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP
    if compressed:
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def open_text(path: Path) -> TextIO:
    """The text of a file, decompressed if it is gzip by content."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8", errors="replace")


def whole_line(stream: TextIO) -> str:
    """The next line; raises EOFError where it is missing or cut short.

    A line without its end may have lost digits.
    """
    line = stream.readline()
    if not line.endswith("\n"):
        raise EOFError
    return line


def whole_lines(stream: TextIO, count: int) -> str:
    """The next lines, as one text; raises EOFError where they are missing or cut short."""
    lines = list(islice(stream, count))
    if len(lines) < count or (lines and not lines[-1].endswith("\n")):
        raise EOFError
    return "".join(lines)


def next_filled(stream: TextIO) -> str | None:
    """The next line that is not blank, or None at the end; EOFError where it is cut short."""
    for line in stream:
        if line.strip():
            if not line.endswith("\n"):
                raise EOFError
            return line
    return None


def table(text: str, rows: int) -> list[list[str]]:
    """The columns of a text of `rows` lines; raises ValueError if lines differ in length."""
    words = text.split()
    width = len(words) // rows
    if width * rows != len(words):
        raise ValueError("lines of different lengths")
    return [words[column::width] for column in range(width)]


def numbers(words: list[str]) -> Floats:
    """Words as numbers; raises ValueError."""
    return np.fromiter(map(float, words), dtype=np.float64, count=len(words))
