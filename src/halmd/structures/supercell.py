"""Near-cubic supercells that hold a composition in whole, neutral numbers of atoms."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from halmd.composition import Formula, format_formula
from halmd.errors import HalmdError

Matrix = NDArray[np.int64]


@dataclass(frozen=True)
class Supercell:
    """A supercell and the atoms it holds."""

    matrix: Matrix
    """Rows are the new cell vectors in units of the old ones, shape (3, 3)."""
    counts: Mapping[str, int]
    """Atoms of each element in the supercell."""
    formula_units: Fraction
    deviation: float
    """Largest deviation of an amount per formula unit from the formula."""


def face_distances_A(lattice_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances between opposite faces of a cell (rows are vectors), in Å, shape (3,)."""
    a, b, c = lattice_A
    normals = np.array([np.cross(b, c), np.cross(c, a), np.cross(a, b)])
    distances: NDArray[np.float64] = abs(np.linalg.det(lattice_A)) / np.linalg.norm(normals, axis=1)
    return distances


def whole_counts(
    formula: Formula, states: Mapping[str, int], units: Fraction, mobile: str
) -> tuple[dict[str, int], float] | None:
    """Whole neutral numbers of atoms nearest to `units` formula units, and their deviation.

    Anions are counted exactly (their sites are full); cations other than `mobile` are rounded
    either way; the mobile ion makes the cell neutral. None when the anions do not come out whole or
    no rounding is neutral. The deviation is the largest one per formula unit.
    """
    exact = {element: amount * units for element, amount in formula.items()}
    anions = {element: n for element, n in exact.items() if states[element] < 0}
    if any(n.denominator != 1 for n in anions.values()):
        return None
    others = [element for element in formula if element not in anions and element != mobile]
    best: tuple[dict[str, int], float] | None = None
    ways = itertools.product(
        *({math.floor(exact[element]), math.ceil(exact[element])} for element in others)
    )
    for way in ways:
        counts = dict(zip(others, way, strict=True)) | {e: int(n) for e, n in anions.items()}
        if mobile in formula:
            rest, left = divmod(-sum(n * states[e] for e, n in counts.items()), states[mobile])
            if left or rest < 0:
                continue
            counts[mobile] = rest
        elif sum(n * states[e] for e, n in counts.items()):
            continue
        deviation = max(float(abs(counts[e] - exact[e]) / units) for e in formula)
        if best is None or deviation < best[1]:
            best = ({element: counts[element] for element in formula}, deviation)
    return best


def find_supercell(
    lattice_A: NDArray[np.float64],
    formula: Formula,
    states: Mapping[str, int],
    units_per_cell: Fraction,
    *,
    min_length_A: float,
    max_atoms: int,
    tolerance: float,
    mobile: str = "Li",
) -> Supercell:
    """The smallest, then most cubic, supercell that is wide enough and holds the composition.

    Raises HalmdError when `max_atoms` is too small, naming the size that would do.
    """
    atoms_per_cell = float(sum(formula.values()) * units_per_cell)
    volume = abs(float(np.linalg.det(lattice_A)))
    largest = int(max_atoms / atoms_per_cell + 1e-9)
    # No cell can be thinner than the cube root of its volume is short.
    smallest = max(1, math.ceil(min_length_A**3 / volume - 1e-9))
    nearest: tuple[float, int] | None = None
    for n in range(smallest, largest + 1):
        found = whole_counts(formula, states, units_per_cell * n, mobile)
        if found is None:
            continue
        counts, deviation = found
        if nearest is None or deviation < nearest[0]:
            nearest = (deviation, sum(counts.values()))
        if deviation > tolerance + 1e-12:
            continue
        matrix = most_cubic(lattice_A, n, min_length_A)
        if matrix is not None:
            return Supercell(matrix, counts, units_per_cell * n, deviation)
    raise HalmdError(
        _too_small(
            formula,
            states,
            units_per_cell,
            smallest,
            largest,
            max_atoms,
            tolerance,
            nearest,
            mobile,
        )
    )


def _too_small(
    formula: Formula,
    states: Mapping[str, int],
    units_per_cell: Fraction,
    smallest: int,
    largest: int,
    max_atoms: int,
    tolerance: float,
    nearest: tuple[float, int] | None,
    mobile: str,
) -> str:
    """Say which size would hold the composition."""
    text = f"{format_formula(formula)}: no supercell of up to {max_atoms} atoms "
    text += f"holds it within composition_tolerance={tolerance:g} at this min_length_A"
    for n in range(max(smallest, largest + 1), max(smallest, largest + 1) + 2000):
        found = whole_counts(formula, states, units_per_cell * n, mobile)
        if found and found[1] <= tolerance + 1e-12:
            text += f"; {sum(found[0].values())} atoms would (raise structure.max_atoms)"
            break
    else:
        text += "; no size up to a very large one does (raise structure.composition_tolerance)"
    if nearest and nearest[0] > tolerance:
        text += f"; the nearest within the limit deviates by {nearest[0]:.3g} ({nearest[1]} atoms)"
    return text


def most_cubic(lattice_A: NDArray[np.float64], n: int, min_length_A: float) -> Matrix | None:
    """The most cubic supercell of `n` cells whose faces are all `min_length_A` apart, or None.

    A diagonal matrix is preferred to an oblique one of nearly the same shape, because people can
    picture it.
    """
    side = (n * abs(float(np.linalg.det(lattice_A)))) ** (1 / 3)
    best: tuple[float, Matrix] | None = None
    for matrix in _supercells(lattice_A, n):
        widths = face_distances_A(matrix @ lattice_A)
        if widths.min() < min_length_A - 1e-9:
            continue
        score = float(np.abs(widths / side - 1).max())
        if np.count_nonzero(matrix - np.diag(np.diag(matrix))):
            score += 0.02
        if best is None or score < best[0] - 1e-9:
            best = (score, matrix)
    return best[1] if best else None


def _supercells(lattice_A: NDArray[np.float64], n: int) -> Iterator[Matrix]:
    """All superlattices of index `n` (Hermite normal forms), each with short vectors."""
    for a in _divisors(n):
        for b in _divisors(n // a):
            c = n // a // b
            for x, y, z in itertools.product(range(b), range(c), range(c)):
                matrix = np.array([[a, x, y], [0, b, z], [0, 0, c]], dtype=np.int64)
                yield matrix if not (x or y or z) else _shortened(matrix, lattice_A)


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def _shortened(matrix: Matrix, lattice_A: NDArray[np.float64]) -> Matrix:
    """The same superlattice with pairwise reduced (short) vectors, right-handed."""
    m = matrix.copy()
    changed = True
    while changed:
        changed = False
        vectors = m @ lattice_A
        for i, j in itertools.permutations(range(3), 2):
            k = int(np.rint(vectors[i] @ vectors[j] / (vectors[j] @ vectors[j])))
            shorter = vectors[i] - k * vectors[j]
            if k and shorter @ shorter < vectors[i] @ vectors[i] - 1e-9:
                m[i] -= k * m[j]
                changed = True
                break
    if np.linalg.det(m) < 0:
        m = -m
    return m
