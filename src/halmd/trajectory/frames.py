"""What every trajectory reader hands over: a trajectory in blocks of successive frames.

Nothing longer than a block is ever in memory, so that a file of any size can be analysed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK_BYTES = 32 * 2**20
"""Readers make blocks of about this size."""


@dataclass(frozen=True)
class Block:
    """Some successive frames of a trajectory."""

    positions_A: Floats
    """Cartesian positions in Å, shape (n_frames, n_atoms, 3)."""
    cells_A: Floats
    """Cell of each frame, rows are the cell vectors in Å, shape (n_frames, 3, 3)."""
    time_ps: Floats
    """Time of each frame in ps, shape (n_frames,)."""


@dataclass(frozen=True)
class Frames:
    """A trajectory that is read block by block."""

    path: Path
    """The file, for messages."""
    symbols: tuple[str, ...]
    """Element of each atom, the same in all frames."""
    continuous: bool
    """True: positions run on across the cell's faces (or image flags were added), so that nothing
    need be unwrapped. False: they may have been put back into the cell."""
    blocks: Callable[[], Iterator[Block]]
    """Opens the file and yields its blocks; may be called again. Raises HalmdError."""

    @property
    def masses_amu(self) -> Floats:
        """Mass of each atom in amu."""
        masses: Floats = atomic_masses[[chemical_symbols.index(symbol) for symbol in self.symbols]]
        return masses


def frames_in_a_block(n_atoms: int) -> int:
    """How many frames of float64 positions make a block."""
    return max(1, BLOCK_BYTES // (24 * max(1, n_atoms)))
