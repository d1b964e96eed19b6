"""One motion, known exactly, and the means to compare what readers make of it."""

import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.trajectory import Block, Frames

Floats = NDArray[np.float64]

# Restricted as LAMMPS and MDAnalysis want them: a along x, b in the xy plane.
CELLS_A = {
    "orthorhombic": np.diag([9.0, 11.0, 13.0]),
    "hexagonal": np.array([[10.0, 0.0, 0.0], [-5.0, 8.660254037844386, 0.0], [0.0, 0.0, 12.0]]),
    "monoclinic": np.array([[9.0, 0.0, 0.0], [0.0, 11.0, 0.0], [-3.0, 0.0, 12.0]]),
    "triclinic": np.array([[9.0, 0.0, 0.0], [-2.5, 10.0, 0.0], [1.5, -2.0, 11.0]]),
}
SYMBOLS = ("Li",) * 4 + ("Y",) * 2 + ("Cl",) * 6
INTERVAL_PS = 0.05


@dataclass(frozen=True)
class Motion:
    """Atoms that leave the cell."""

    fractional: Floats
    cells_A: Floats

    @property
    def continuous_A(self) -> Floats:
        return self.fractional @ self.cells_A

    @property
    def images(self) -> NDArray[np.int64]:
        return np.floor(self.fractional).astype(int)

    @property
    def wrapped(self) -> Floats:
        """Fractional positions inside the cell."""
        return self.fractional - self.images

    @property
    def wrapped_A(self) -> Floats:
        return self.wrapped @ self.cells_A

    @property
    def time_ps(self) -> Floats:
        return np.arange(len(self.cells_A)) * INTERVAL_PS


def motion(
    cell: str = "triclinic", *, npt: bool = False, n_frames: int = 9, seed: int = 0
) -> Motion:
    """A random walk over many cells; with `npt` the cell changes from frame to frame."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(scale=0.15, size=(n_frames, len(SYMBOLS), 3))
    steps[0] = rng.random((len(SYMBOLS), 3))
    cells = np.repeat(CELLS_A[cell][None], n_frames, axis=0)
    if npt:
        factors = 1 + 0.03 * rng.normal(size=(n_frames, 3, 3))
        # A cell without tilt keeps none.
        cells = cells * factors
    return Motion(steps.cumsum(axis=0), cells)


def whole(frames: Frames) -> Block:
    """All blocks of a trajectory as one."""
    blocks = list(frames.blocks())
    return Block(
        np.concatenate([block.positions_A for block in blocks]),
        np.concatenate([block.cells_A for block in blocks]),
        np.concatenate([block.time_ps for block in blocks]),
    )


def assert_same_modulo_cell(found: Block, expected: Motion, atol_A: float = 1e-6) -> None:
    apart = found.positions_A @ np.linalg.inv(found.cells_A) - expected.fractional
    apart -= np.round(apart)
    np.testing.assert_allclose(apart @ expected.cells_A, 0.0, atol=atol_A)


def one_line(call: Callable[[], object], path: Path) -> str:
    """The message of the HalmdError that a call raises."""
    with pytest.raises(HalmdError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def peak_bytes(frames: Frames) -> int:
    """Most memory in use while all blocks are read and forgotten."""
    tracemalloc.start()
    for _ in frames.blocks():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@contextmanager
def quiet() -> Iterator[None]:
    """Judges warn of much."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
