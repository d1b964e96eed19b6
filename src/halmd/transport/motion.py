"""Continuous motion of every atom relative to the framework, from anybody's trajectory.

A trajectory is read once, block by block, unwrapped in fractional coordinates, freed of the drift
of the framework, and mapped onto the mean cell, so that the breathing of an NPT cell is no motion
(unwrapping Cartesian positions of a fluctuating cell adds noise that grows with the distance gone:
Bullerjahn et al., J. Chem. Theory Comput. 2023, 10.1021/acs.jctc.3c00308). Rounding a fractional
step to the nearest integer is exact in the most compact cell of a lattice, which may be another
than the file's, as long as no step exceeds half a cell vector; longer ones are refused.

Everything later asks for one atom at all times, and a file gives all atoms at one time: blocks are
kept atom by atom, in single precision, and in a temporary file once they exceed `MEMORY_BYTES`.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.trajectory.frames import Block, Frames, frames_in_a_block

Floats = NDArray[np.float64]

MEMORY_BYTES = 800 * 2**20
"""Positions beyond this are kept in a temporary file."""

GROUP_BYTES = 4 * 2**20
"""Atoms are handed out in groups of about this size, small enough for a processor's cache."""

LARGEST_STEP = 0.4
"""Largest part of a cell vector that an atom may move between frames to be unwrapped."""

_UNEVEN = 0.01
"""Largest difference of a time step from the others, as a share of it."""

_ROUNDED = 2e-6
"""Rounding of times in files, as a share of the time."""


@dataclass(frozen=True)
class Motion:
    """Positions of all atoms over time, continuous, relative to the framework, in the mean cell."""

    symbols: tuple[str, ...]
    """Element of each atom, in the order in which atoms are kept: the mobile element first."""
    mobile: str
    """Element whose motion is measured."""
    framework: tuple[str, ...]
    """Elements whose centre of mass is held still; all elements when there are no others."""
    n_frames: int
    interval_ps: float
    """Time between frames in ps."""
    cell_A: Floats
    """Mean cell, rows are the cell vectors in Å, shape (3, 3)."""
    volume_spread: float
    """Standard deviation of the cell's volume over its mean; zero at fixed cell."""
    largest_step: float
    """Largest fraction of a vector of the most compact cell that an atom moved in a frame."""
    start: Floats
    """Fractional positions in the first frame, shape (n_atoms, 3)."""
    _store: "_Store" = field(repr=False)

    @property
    def length_ps(self) -> float:
        """Time from the first to the last frame."""
        return (self.n_frames - 1) * self.interval_ps

    @property
    def volume_A3(self) -> float:
        """Volume of the mean cell in Å³."""
        return abs(float(np.linalg.det(self.cell_A)))

    def count(self, symbol: str) -> int:
        """Number of atoms of an element."""
        return self.symbols.count(symbol)

    def ions(self, symbol: str) -> Iterator[Floats]:
        """Positions of all atoms of an element in Å, in groups of shape (n_ions, n_frames, 3).

        The last two axes are those of a contiguous (3, n_frames) array.
        """
        atoms = [k for k, other in enumerate(self.symbols) if other == symbol]
        size = max(1, GROUP_BYTES // (24 * self.n_frames))
        for first in range(atoms[0], atoms[-1] + 1, size) if atoms else ():
            last = min(first + size, atoms[-1] + 1)
            moved = self._store.atoms(first, last)
            moved += self.start[first:last, :, None]
            yield np.matmul(self.cell_A.T, moved).transpose(0, 2, 1)


class _Store:
    """Blocks of fractional displacements, each kept atom by atom as (n_atoms, 3, n_frames)."""

    def __init__(self, n_atoms: int) -> None:
        self._n_atoms = n_atoms
        self._blocks: list[NDArray[np.float32]] = []
        self._sizes: list[int] = []
        self._file: IO[bytes] | None = None

    def append(self, moved: Floats) -> None:
        """Add frames: moved (n_frames, n_atoms, 3)."""
        block = np.ascontiguousarray(moved.transpose(1, 2, 0), dtype=np.float32)
        self._sizes.append(block.shape[2])
        if self._file is None and sum(b.nbytes for b in self._blocks) + block.nbytes > MEMORY_BYTES:
            self._file = tempfile.TemporaryFile(prefix="halmd-")  # noqa: SIM115  closed with self
            for kept in self._blocks:
                kept.tofile(self._file)
            self._blocks.clear()
        if self._file is None:
            self._blocks.append(block)
        else:
            block.tofile(self._file)

    def atoms(self, first: int, last: int) -> Floats:
        """Displacements of atoms first to last, shape (n_atoms, 3, n_frames)."""
        result = np.empty((last - first, 3, sum(self._sizes)))
        begin = 0
        for number, size in enumerate(self._sizes):
            result[:, :, begin : begin + size] = self._part(number, begin, size, first, last)
            begin += size
        return result

    def _part(self, number: int, begin: int, size: int, first: int, last: int) -> Any:
        if self._file is None:
            return self._blocks[number][first:last]
        self._file.flush()
        offset = 12 * (begin * self._n_atoms + first * size)
        data = os.pread(self._file.fileno(), 12 * (last - first) * size, offset)
        return np.frombuffer(data, dtype=np.float32).reshape(last - first, 3, size)


def read_motion(
    frames: Frames,
    *,
    mobile: str = "Li",
    framework: Sequence[str] | None = None,
    fewest_frames: int = 2,
) -> Motion:
    """Read a whole trajectory; raises HalmdError, in one line, for what cannot be analysed.

    `framework` names the elements whose centre of mass defines what does not drift; all elements
    but the mobile one when left out. A run that a guard stopped at its start has one frame.
    """
    order, held = _order_and_frame(frames.path, frames.symbols, mobile, framework)
    masses = frames.masses_amu[order]
    weights = np.where(held[order], masses, 0.0)
    weights /= weights.sum()
    store = _Store(len(order))
    cells = _Cells()
    clock = _Clock(frames.path)
    start = last = np.zeros(0)
    reached: Any = 0.0
    compact: Floats | None = None
    largest, largest_A = 0.0, 0.0
    for block in frames.blocks():
        clock.tick(block.time_ps)
        cells.add(block.cells_A)
        fractional = _fractional(block)[:, order]
        if not start.size:
            start = last = fractional[0]
        steps = np.diff(fractional, axis=0, prepend=last[None])
        last = fractional[-1]
        if compact is None:
            compact = np.asarray(minkowski_reduce(block.cells_A[0])[1], dtype=np.float64)
        if not frames.continuous:
            steps = _shortest(steps, compact)
        here, here_A = _largest_step(steps, block.cells_A, compact)
        largest, largest_A = max(largest, here), max(largest_A, here_A)
        # Mean positions of the framework move as its steps do, wherever its atoms are.
        steps -= np.einsum("fai,a->fi", steps, weights)[:, None]
        moved = np.cumsum(steps, axis=0) + reached
        reached = moved[-1]
        store.append(moved)
    if clock.n_frames < fewest_frames:
        raise HalmdError(
            f"{frames.path}: {clock.n_frames} frame{'' if clock.n_frames == 1 else 's'}; "
            "a diffusivity needs a run of frames"
        )
    if not frames.continuous and largest > LARGEST_STEP:
        raise HalmdError(
            f"{frames.path}: atoms move by up to {largest_A:.1f} Å ({largest:.2f} of a cell "
            f"vector) between frames {1000 * clock.interval_ps:g} fs apart, too far to unwrap; "
            "save frames more often, or give unwrapped positions or image flags"
        )
    return Motion(
        symbols=tuple(np.array(frames.symbols)[order].tolist()),
        mobile=mobile,
        framework=tuple(sorted(set(np.array(frames.symbols)[held].tolist()))),
        n_frames=clock.n_frames,
        interval_ps=clock.interval_ps,
        cell_A=cells.mean,
        volume_spread=cells.volume_spread,
        largest_step=largest,
        start=start,
        _store=store,
    )


def motion_of(
    positions_A: Floats,
    cell_A: Floats,
    symbols: Sequence[str],
    time_ps: Floats,
    *,
    mobile: str = "Li",
    framework: Sequence[str] | None = None,
    wrapped: bool = False,
    fewest_frames: int = 2,
) -> Motion:
    """Motion of arrays in memory.

    positions_A (n_frames, n_atoms, 3) in Å; cell_A (3, 3) or (n_frames, 3, 3), rows are vectors.
    """
    cells = np.broadcast_to(cell_A, (len(positions_A), 3, 3))

    def blocks() -> Iterator[Block]:
        size = frames_in_a_block(len(symbols))
        for first in range(0, len(positions_A), size):
            part = slice(first, first + size)
            yield Block(np.asarray(positions_A[part], dtype=np.float64), cells[part], time_ps[part])

    frames = Frames(Path("trajectory"), tuple(symbols), not wrapped, blocks)
    return read_motion(frames, mobile=mobile, framework=framework, fewest_frames=fewest_frames)


def _order_and_frame(
    path: Path, symbols: Sequence[str], mobile: str, framework: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Order that puts the mobile element first and keeps elements together; atoms held still."""
    found = sorted(set(symbols))
    if mobile not in found:
        raise HalmdError(
            f"{path}: no {mobile} in the trajectory (it has {', '.join(found)}); set "
            "diffusion.mobile (--mobile)"
        )
    names = np.array(symbols)
    if framework is None:
        held = names != mobile
    else:
        missing = [symbol for symbol in framework if symbol not in found]
        if missing or mobile in framework:
            wrong = missing[0] if missing else mobile
            why = "is not in the trajectory" if missing else "is the mobile element"
            others = ", ".join(symbol for symbol in found if symbol != mobile) or "none"
            raise HalmdError(
                f"{path}: {wrong} {why} and cannot be the framework; it can be of: {others}"
            )
        held = np.isin(names, list(framework))
    if not held.any():
        held = np.ones(len(names), dtype=bool)
    rank = {symbol: (symbol != mobile, symbol) for symbol in found}
    order = sorted(range(len(names)), key=lambda k: (rank[symbols[k]], k))
    return np.array(order, dtype=np.int64), held


def _fractional(block: Block) -> Floats:
    """Positions in units of the cell vectors."""
    if (block.cells_A == block.cells_A[0]).all():
        result: Floats = block.positions_A @ np.linalg.inv(block.cells_A[0])
        return result
    return np.asarray(np.matmul(block.positions_A, np.linalg.inv(block.cells_A)))


def _shortest(steps: Floats, compact: Floats) -> Floats:
    """Fractional steps to the nearest image.

    `compact` holds the most compact cell vectors of the lattice in units of the cell's: rounding is
    right in that cell only, and silently wrong in one of long vectors.
    """
    if (compact == np.eye(3)).all():
        return steps - np.round(steps)
    inside = steps @ np.linalg.inv(compact)
    result: Floats = (inside - np.round(inside)) @ compact
    return result


def _largest_step(steps: Floats, cells_A: Floats, compact: Floats) -> tuple[float, float]:
    """Largest component of a step in units of the compact cell vectors, and its length in Å."""
    inside = steps if (compact == np.eye(3)).all() else steps @ np.linalg.inv(compact)
    highest, lowest = int(inside.argmax()), int(inside.argmin())
    place = highest if inside.flat[highest] > -inside.flat[lowest] else lowest
    frame, atom, _ = np.unravel_index(place, steps.shape)
    length = float(np.linalg.norm(steps[frame, atom] @ cells_A[frame]))
    return abs(float(inside.flat[place])), length


class _Cells:
    """Mean cell and spread of its volume, block by block."""

    def __init__(self) -> None:
        self._count, self._sum = 0, np.zeros((3, 3))
        self._volumes: list[Floats] = []

    def add(self, cells_A: Floats) -> None:
        self._count += len(cells_A)
        self._sum += cells_A.sum(axis=0)
        self._volumes.append(np.abs(np.linalg.det(cells_A)))

    @property
    def mean(self) -> Floats:
        return self._sum / self._count

    @property
    def volume_spread(self) -> float:
        volumes = np.concatenate(self._volumes)
        return float(volumes.std() / volumes.mean())


class _Clock:
    """Checks that time goes on evenly."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first = self._last = 0.0
        self._step = 0.0
        self.n_frames = 0

    def tick(self, time_ps: Floats) -> None:
        """Take the times of a block; raises HalmdError when they stop, go back or jump."""
        if not self.n_frames:
            self._first = float(time_ps[0])
        before = time_ps[:0] if not self.n_frames else [self._last]
        steps = np.diff(np.concatenate([before, time_ps]))
        first = self.n_frames + len(time_ps) - len(steps)
        if len(steps):
            self._step = self._step or float(np.median(steps))
            if not steps.min() > 0:
                raise HalmdError(
                    f"{self._path}: time does not increase at frame "
                    f"{first + int(np.argmax(~(steps > 0)))}; remove frames that a restart wrote "
                    "twice"
                )
            allowed = max(_UNEVEN * self._step, _ROUNDED * abs(float(time_ps[-1])))
            wrong = np.abs(steps - self._step) > allowed
            if wrong.any():
                k = int(np.argmax(wrong))
                raise HalmdError(
                    f"{self._path}: frames are not evenly spaced in time: {steps[k]:g} ps before "
                    f"frame {first + k}, {self._step:g} ps elsewhere; cut the trajectory where the "
                    "spacing changes"
                )
        self._last = float(time_ps[-1])
        self.n_frames += len(time_ps)

    @property
    def interval_ps(self) -> float:
        """Mean time between frames."""
        return (self._last - self._first) / max(1, self.n_frames - 1)
