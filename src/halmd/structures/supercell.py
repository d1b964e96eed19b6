"""Near-cubic supercells that hold a composition in whole, neutral numbers of atoms."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from halmd.composition import Formula, format_formula
from halmd.errors import HalmdError

Matrix = NDArray[np.int64]

_MOST_ROUNDED_BOTH_WAYS = 6
"""So many elements are rounded in all ways; two to this power are looked at for each size."""

_LARGEST_SHAPED = 200
"""Supercells of more cells are taken to exist in any shape, without looking for one."""


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

    @property
    def achieved(self) -> str:
        """The formula that the supercell holds."""
        return format_formula({e: n / self.formula_units for e, n in self.counts.items() if n})


def face_distances_A(lattice_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances between opposite faces of cells in Å, (..., 3, 3) to (..., 3); rows are vectors."""
    a, b, c = np.moveaxis(lattice_A, -2, 0)
    normals = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-2)
    volume = np.abs(np.linalg.det(lattice_A))[..., None]
    distances: NDArray[np.float64] = volume / np.linalg.norm(normals, axis=-1)
    return distances


def whole_counts(
    formula: Formula, states: Mapping[str, int], units: Fraction, mobile: str
) -> tuple[dict[str, int], float] | None:
    """Whole neutral numbers of atoms nearest to `units` formula units, and their deviation.

    The anions together are counted exactly (their sites are full); each anion and each cation other
    than `mobile`, and all metals together, are rounded up or down; the mobile ion makes the cell
    neutral. No element is lost, however little of it there is. None when the anions do not come
    out whole or no rounding is neutral. The deviation is the largest one per formula unit.
    """
    exact = {element: amount * units for element, amount in formula.items()}
    anions = {element: n for element, n in exact.items() if states[element] < 0}
    if sum(anions.values(), Fraction(0)).denominator != 1:
        return None
    others = {e: n for e, n in exact.items() if e not in anions and e != mobile}
    best: tuple[dict[str, int], float] | None = None
    for cations in _rounded(others, exactly=False):
        for halves in _rounded(anions, exactly=True):
            counts = cations | halves
            charge = sum(n * states[e] for e, n in counts.items())
            if mobile in formula and mobile not in counts:
                rest, left = divmod(-charge, states[mobile])
                if left or rest < 0:
                    continue
                counts[mobile] = rest
            elif charge:
                continue
            if not all(counts.values()):
                continue
            deviation = max(float(abs(counts[e] - exact[e]) / units) for e in formula)
            if best is None or deviation < best[1] - 1e-12:
                best = ({element: counts[element] for element in formula}, deviation)
    return best


def _rounded(exact: Mapping[str, Fraction], *, exactly: bool) -> Iterator[dict[str, int]]:
    """Ways to round amounts up or down, their sum being kept (or rounded, if not `exactly`).

    With many elements only the nearest way for each sum is given: the largest remainders go up.
    """
    whole = {element: math.floor(n) for element, n in exact.items()}
    broken = {e: n - whole[e] for e, n in exact.items() if n != whole[e]}
    total = sum(broken.values(), Fraction(0))
    ups = {math.floor(total), math.ceil(total)} if not exactly else {int(total)}
    for up in sorted(ups):
        if len(broken) <= _MOST_ROUNDED_BOTH_WAYS:
            ways: Iterable[tuple[str, ...]] = itertools.combinations(broken, up)
        else:
            ways = [tuple(sorted(broken, key=lambda e: broken[e], reverse=True)[:up])]
        for way in ways:
            yield whole | {element: whole[element] + 1 for element in way}


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
    or_nearest: bool = False,
) -> Supercell:
    """The smallest, then most cubic, supercell that is wide enough and holds the composition.

    With `or_nearest`, the one of up to `max_atoms` that deviates least where none is within the
    tolerance. Raises HalmdError when `max_atoms` is too small, naming the size that would do.
    """
    atoms_per_cell = float(sum(formula.values()) * units_per_cell)
    volume = abs(float(np.linalg.det(lattice_A)))
    largest = int(max_atoms / atoms_per_cell + 1e-9)
    # No cell can be thinner than the cube root of its volume is short.
    smallest = max(1, math.ceil(min_length_A**3 / volume - 1e-9))
    nearest: Supercell | None = None
    for n in range(smallest, largest + 1):
        found = whole_counts(formula, states, units_per_cell * n, mobile)
        if found is None:
            continue
        counts, deviation = found
        closer = nearest is None or deviation < nearest.deviation - 1e-12
        if deviation > tolerance + 1e-12 and not closer:
            continue
        matrix = most_cubic(lattice_A, n, min_length_A)
        if matrix is None:
            continue
        supercell = Supercell(matrix, counts, units_per_cell * n, deviation)
        if deviation <= tolerance + 1e-12:
            return supercell
        nearest = supercell
    if nearest is not None and or_nearest:
        return nearest
    raise HalmdError(
        _too_small(
            lattice_A,
            min_length_A,
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
    lattice_A: NDArray[np.float64],
    min_length_A: float,
    formula: Formula,
    states: Mapping[str, int],
    units_per_cell: Fraction,
    smallest: int,
    largest: int,
    max_atoms: int,
    tolerance: float,
    nearest: Supercell | None,
    mobile: str,
) -> str:
    """Say which size would hold the composition."""
    text = f"{format_formula(formula)}: no supercell of up to {max_atoms} atoms "
    text += f"holds it within composition_tolerance={tolerance:g} at this min_length_A"
    first = max(smallest, largest + 1)
    for n in range(first, first + 1000):
        found = whole_counts(formula, states, units_per_cell * n, mobile)
        if not found or found[1] > tolerance + 1e-12:
            continue
        if n <= _LARGEST_SHAPED and most_cubic(lattice_A, n, min_length_A) is None:
            continue
        text += f"; {sum(found[0].values())} atoms would (raise structure.max_atoms)"
        break
    else:
        text += "; no size up to a very large one does (raise structure.composition_tolerance)"
    if nearest is not None:
        text += (
            f"; the nearest within the limit deviates by {nearest.deviation:.3g} "
            f"({sum(nearest.counts.values())} atoms; structure.beyond_tolerance: nearest takes it)"
        )
    return text


def most_cubic(lattice_A: NDArray[np.float64], n: int, min_length_A: float) -> Matrix | None:
    """The most cubic supercell of `n` cells whose faces are all `min_length_A` apart, or None.

    A diagonal matrix is preferred to an oblique one of nearly the same shape, because people can
    picture it.
    """
    side = (n * abs(float(np.linalg.det(lattice_A)))) ** (1 / 3)
    matrices = _supercells(lattice_A, n)
    widths = face_distances_A(matrices @ lattice_A)
    off_diagonal = matrices.reshape(-1, 9)[:, [1, 2, 3, 5, 6, 7]].any(axis=1)
    score = np.abs(widths / side - 1).max(axis=1) + 0.02 * off_diagonal
    score[widths.min(axis=1) < min_length_A - 1e-9] = np.inf
    # The first of equal ones, whatever the last digit of their floating-point scores.
    best = int(np.argmax(score < score.min() + 1e-9)) if np.isfinite(score).any() else -1
    return matrices[best] if best >= 0 else None


def _supercells(lattice_A: NDArray[np.float64], n: int) -> Matrix:
    """All superlattices of index `n` (Hermite normal forms), each with short vectors, (k, 3, 3)."""
    forms = []
    for a in _divisors(n):
        for b in _divisors(n // a):
            c = n // a // b
            x, y, z = (g.ravel() for g in np.meshgrid(range(b), range(c), range(c), indexing="ij"))
            block = np.zeros((len(x), 3, 3), dtype=np.int64)
            block[:, 0, 0], block[:, 1, 1], block[:, 2, 2] = a, b, c
            block[:, 0, 1], block[:, 0, 2], block[:, 1, 2] = x, y, z
            forms.append(block)
    return _shortened(np.concatenate(forms), lattice_A)


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def _shortened(matrices: Matrix, lattice_A: NDArray[np.float64]) -> Matrix:
    """The same superlattices with pairwise reduced (short) vectors, right-handed; diagonal ones
    are left as they are."""
    m = matrices.copy()
    oblique = m.reshape(-1, 9)[:, [1, 2, 5]].any(axis=1)
    changed = True
    while changed:
        changed = False
        for i, j in itertools.permutations(range(3), 2):
            vectors = m @ lattice_A
            first, second = vectors[:, i], vectors[:, j]
            along = (first * second).sum(axis=1) / (second**2).sum(axis=1)
            k = np.where(oblique, np.rint(along), 0).astype(np.int64)
            shorter = first - k[:, None] * second
            k[(shorter**2).sum(axis=1) > (first**2).sum(axis=1) - 1e-9] = 0
            if k.any():
                m[:, i] -= k[:, None] * m[:, j]
                changed = True
    m[np.linalg.det(m) < 0] *= -1
    return m
