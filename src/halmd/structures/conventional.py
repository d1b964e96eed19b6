"""The prototype's own cell out of a supercell of it, whatever became of that cell since."""

from dataclasses import dataclass

import numpy as np
from ase.cell import Cell
from numpy.typing import ArrayLike, NDArray

from halmd.errors import HalmdError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ConventionalCell:
    """Lattice constants of a cell."""

    lengths_A: Floats
    """a, b, c, shape (3,)."""
    angles_degree: Floats
    """alpha, beta, gamma, shape (3,)."""
    volume_A3: float


def conventional_cell(supercell_A: ArrayLike, matrix: ArrayLike) -> ConventionalCell:
    """The cell of which a supercell is made, from the supercell's vectors.

    `supercell_A` has its vectors as rows, shape (3, 3); `matrix`, whole numbers, shape (3, 3), has
    them in units of the wanted cell's vectors. Nothing is symmetrised: of a cubic crystal whose
    ordering is not cubic, a, b and c differ. Raises HalmdError for a matrix of another kind.
    """
    whole = np.asarray(matrix, dtype=float)
    if whole.shape != (3, 3) or (whole % 1).any() or round(np.linalg.det(whole)) == 0:
        raise HalmdError(
            f"supercell_matrix: {whole.tolist()} is no supercell; build the orderings again"
        )
    cell = Cell(np.linalg.solve(whole, np.asarray(supercell_A, dtype=float)))
    return ConventionalCell(cell.lengths(), cell.angles(), float(cell.volume))


def mean_and_half_spread(values: ArrayLike) -> tuple[Floats, Floats]:
    """Mean and half the distance from least to largest, over the first axis."""
    table = np.asarray(values, dtype=float)
    return table.mean(axis=0), np.ptp(table, axis=0) / 2
