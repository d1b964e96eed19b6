"""Blocks out of single frames, and the checks that every trajectory passes, whoever wrote it.

Frames are counted from 0 in all messages.
"""

import warnings
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.trajectory.frames import Block, Floats, Frames, frames_in_a_block

_ELEMENTS = frozenset(chemical_symbols[1:])

UNREADABLE = (
    OSError,
    RuntimeError,
    KeyError,
    IndexError,
    StopIteration,
    AttributeError,
    ValueError,
    TypeError,
    zlib.error,
)
"""What parsers raise for damaged or foreign files, depending on where the damage is."""


@dataclass(frozen=True)
class Frame:
    """One frame as a reader finds it."""

    positions_A: Floats
    """Cartesian positions in Å, shape (n_atoms, 3)."""
    cell_A: Floats
    """Rows are the cell vectors in Å, shape (3, 3)."""
    time_ps: float
    """Time in ps; anything that increases where the file has no time."""
    labels: Mapping[str, NDArray[Any]]
    """What must stay the same from frame to frame, such as the elements; each (n_atoms,)."""
    continuous: bool = False
    """As in Frames."""


FramesOf = Callable[[], Iterator[Frame]]
"""Opens a file and yields its frames; may be called again."""


def frames_from(
    path: Path,
    frames: FramesOf,
    symbols: Callable[[Frame], tuple[str, ...]],
    *,
    frame_interval_fs: float | None = None,
) -> Frames:
    """A trajectory of single frames; the first is read at once.

    `frame_interval_fs` replaces the file's times. Raises HalmdError as `until_cut` and `checked`.
    """
    with closing(until_cut(path, frames())) as opened:
        first = next(opened, None)
    if first is None:
        raise HalmdError(f"{path}: the file holds no frame")
    elements = symbols(first)

    def blocks() -> Iterator[Block]:
        return checked(path, _in_blocks(path, until_cut(path, frames())), frame_interval_fs)

    return Frames(path, elements, first.continuous, blocks)


def until_cut(path: Path, frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    """The whole frames of a file.

    A reader raises EOFError where its file ends in the middle of a frame, as that of a killed run
    does: the frames before it are used, with a warning. Whatever else it raises is damage, and
    becomes one line of HalmdError with the number of the frame.
    """
    done = 0
    try:
        for frame in frames:
            yield frame
            done += 1
    except EOFError:
        if not done:
            raise HalmdError(f"{path}: the file ends before its first frame is complete") from None
        warnings.warn(
            f"{path}: the file ends in the middle of frame {done}; the {done} before it are used",
            stacklevel=2,
        )
    except UNREADABLE as error:
        raise damaged(path, done, error) from None


def damaged(path: Path, frame: int, error: BaseException) -> HalmdError:
    """The one line for a frame that cannot be read."""
    problem = " ".join(str(error).split())[:120] or type(error).__name__
    return HalmdError(
        f"{path}: frame {frame} cannot be read ({problem}); the file is damaged or of another "
        "format (--format)"
    )


def _in_blocks(path: Path, frames: Iterator[Frame]) -> Iterator[Block]:
    """Blocks of frames of the same atoms in the same order."""
    first: Frame | None = None
    positions = cells = time_ps = np.empty(0)
    size = filled = 0
    for number, frame in enumerate(frames):
        if first is None:
            first = frame
            size = frames_in_a_block(len(frame.positions_A))
        if filled == 0:
            positions = np.empty((size, *frame.positions_A.shape))
            cells, time_ps = np.empty((size, 3, 3)), np.empty(size)
        _same_kind(path, number, frame, first)
        positions[filled], cells[filled] = frame.positions_A, frame.cell_A
        time_ps[filled] = frame.time_ps
        filled += 1
        if filled == size:
            yield Block(positions, cells, time_ps)
            filled = 0
    if filled:
        yield Block(positions[:filled], cells[:filled], time_ps[:filled])


def _same_kind(path: Path, number: int, frame: Frame, first: Frame) -> None:
    if len(frame.positions_A) != len(first.positions_A):
        raise HalmdError(
            f"{path}: frame {number} has {len(frame.positions_A)} atoms, frame 0 has "
            f"{len(first.positions_A)}; the atoms of a trajectory must stay the same"
        )
    for name in {**first.labels, **frame.labels}:
        before, now = first.labels.get(name), frame.labels.get(name)
        if before is None or now is None or not np.array_equal(before, now):
            raise HalmdError(
                f"{path}: the {name} of the atoms in frame {number} are not those of frame 0; "
                "write every atom in every frame, in one order"
            )
    if frame.continuous != first.continuous:
        raise HalmdError(
            f"{path}: positions are wrapped in some frames and not in others (frame {number}); "
            "analyse the parts on their own"
        )


def checked(
    path: Path, blocks: Iterator[Block], frame_interval_fs: float | None = None
) -> Iterator[Block]:
    """Blocks whose numbers are numbers, whose cells have a volume and whose time increases.

    `frame_interval_fs` replaces the times. Raises HalmdError with the number of the frame.
    """
    done, last_ps = 0, -np.inf
    for block in blocks:
        time_ps: Floats = block.time_ps
        if frame_interval_fs is not None:
            time_ps = np.arange(done, done + len(time_ps), dtype=np.float64)
            time_ps *= frame_interval_fs * 1e-3
        _check_cells(path, block.cells_A, done)
        check_positions(path, block.positions_A, done)
        check_time(path, np.concatenate([[last_ps], time_ps]), done - 1)
        yield Block(block.positions_A, block.cells_A, time_ps)
        done, last_ps = done + len(time_ps), time_ps[-1]
    if not done:
        raise HalmdError(f"{path}: the file holds no frame")


def check_positions(path: Path, positions_A: Floats, first_frame: int = 0) -> None:
    """Refuse NaN and infinite positions, shape (n_frames, n_atoms, 3)."""
    # Sums are quicker than isfinite of everything, and NaN and infinity survive them.
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(positions_A.sum()):
            return
    fine = np.isfinite(positions_A).all(axis=(1, 2))
    if not fine.all():
        frame = first_frame + int(np.argmin(fine))
        raise HalmdError(f"{path}: positions of frame {frame} are not numbers")


def check_time(path: Path, time_ps: Floats, first_frame: int = 0) -> None:
    """Refuse times that do not increase from frame to frame, shape (n_frames,)."""
    # Written so that NaN fails.
    fine = (time_ps[1:] > time_ps[:-1]) & np.isfinite(time_ps[1:])
    if not fine.all():
        frame = first_frame + 1 + int(np.argmin(fine))
        raise HalmdError(
            f"{path}: time does not increase from frame to frame (frame {frame}, "
            f"{time_ps[frame - first_frame]:g} ps); remove frames that a restart wrote twice, or "
            "give --frame-interval-fs if the times are wrong"
        )


def _check_cells(path: Path, cells_A: Floats, first_frame: int) -> None:
    finite = np.isfinite(cells_A).all(axis=(1, 2))
    if not finite.all():
        frame = first_frame + int(np.argmin(finite))
        raise HalmdError(f"{path}: the cell of frame {frame} is not made of numbers")
    boxes = np.linalg.norm(cells_A, axis=2).prod(axis=1)
    # A millionth of the box spanned by the same lengths is flat, not skew.
    fine = np.abs(np.linalg.det(cells_A)) > 1e-6 * boxes
    if not fine.all():
        frame = first_frame + int(np.argmin(fine))
        raise HalmdError(
            f"{path}: the cell of frame {frame} has no volume; a periodic cell is needed in all "
            "three directions"
        )


def cartesian(fractional: Floats, cell_A: Floats) -> Floats:
    """Fractions of the cell vectors as Å; what is not a number is left to `checked`."""
    with np.errstate(invalid="ignore", over="ignore"):
        result: Floats = fractional @ cell_A
    return result


def known_elements(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The names, if all are element symbols; raises HalmdError."""
    for name in dict.fromkeys(names):
        if name not in _ELEMENTS:
            raise HalmdError(
                f"{path}: {name!r} is no element; name the elements of the file (--species)"
            )
    return tuple(str(name) for name in names)


def agreeing(
    path: Path, symbols: tuple[str, ...], species: Sequence[str] | None
) -> tuple[str, ...]:
    """The elements that a file names, unless `species` (of all atoms, or a list of the elements
    that occur) says otherwise; raises HalmdError."""
    if species is None:
        return symbols
    every_atom = len(species) == len(symbols) and len(species) > len(set(species))
    strangers = set(symbols) - set(species)
    if strangers or (every_atom and tuple(species) != symbols):
        raise HalmdError(
            f"{path}: the elements of the file ({' '.join(dict.fromkeys(symbols))}) contradict "
            f"those given ({' '.join(dict.fromkeys(species))}); leave out --species"
        )
    return symbols


def of_types(path: Path, types: NDArray[np.int64], species: Sequence[str]) -> tuple[str, ...]:
    """Elements of atoms of types 1, 2, 3, ..., which are those of `species` in this order."""
    elements = known_elements(path, species)
    if types.min() < 1 or types.max() > len(elements):
        raise HalmdError(
            f"{path}: atoms have types {types.min()} to {types.max()}, and --species names "
            f"{len(elements)} elements; name one for every type"
        )
    return tuple(elements[kind - 1] for kind in types)


def needs_interval(path: Path, why: str) -> HalmdError:
    """The one line for a file without times."""
    return HalmdError(
        f"{path}: {why}; give the time between saved frames (--frame-interval-fs), for VASP "
        "POTIM times NBLOCK"
    )
