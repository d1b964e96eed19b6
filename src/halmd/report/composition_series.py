"""Which materials belong to a series of compositions, found by their formulas alone.

Compositions of a series lie on a line: amounts of all elements, per formula unit, are linear in x.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from halmd.composition import parse_formula, reduced

FEWEST = 3
"""Compositions of a series: any two lie on a line."""

_OFF_THE_LINE = 0.005
"""Largest deviation per formula unit: formulas are written with rounded amounts."""
_SAME = 0.02
"""Compositions nearer to one another than this define no line."""


@dataclass(frozen=True)
class Series:
    """Materials whose compositions differ by one number."""

    template: str
    """Formula with x in braces, as `halmd add` takes it: Li{3-x}In{1-x}Zr{x}Cl6."""
    members: tuple[int, ...]
    """Places of the materials among the formulas, x rising."""
    x: tuple[float, ...]


def find_series(formulas: Sequence[str], *, mobile: str = "Li") -> list[Series]:
    """Series among formulas, the longest first; each has a formula that no earlier one has.

    x is the amount per formula unit of an element that one end lacks, if possible the end that is
    listed first; where both ends have all, of one that grows. Raises HalmdError for a malformed
    formula.
    """
    compositions = [reduced(parse_formula(formula)) for formula in formulas]
    first: dict[tuple[tuple[str, Fraction], ...], int] = {}
    for number, composition in enumerate(compositions):
        first.setdefault(tuple(composition.items()), number)
    distinct = list(first.values())
    lines = _lines(
        [compositions[k] for k in distinct], scale=_anions(formulas[0]) if formulas else 1
    )
    found: list[Series] = []
    taken: set[int] = set()
    for line in sorted(lines, key=lambda line: (-len(line), line)):
        on_it = {tuple(compositions[distinct[k]].items()) for k in line}
        members = [k for k, c in enumerate(compositions) if tuple(c.items()) in on_it]
        if set(members) <= taken:
            continue
        taken |= set(members)
        found.append(_described(formulas, members, mobile))
    return found


def _anions(formula: str) -> Fraction:
    """Anions per formula unit, as the formula is written."""
    amounts = parse_formula(formula)
    element = next(iter(amounts))
    return amounts[element] / reduced(amounts)[element]


def _lines(
    compositions: Sequence[dict[str, Fraction]], *, scale: Fraction | int
) -> list[list[int]]:
    """All largest sets of at least `FEWEST` compositions on a line."""
    elements = sorted({element for composition in compositions for element in composition})
    points: NDArray[np.float64] = np.array(
        [[float(c.get(e, 0) * scale) for e in elements] for c in compositions]
    )
    lines: list[list[int]] = []
    together: set[tuple[int, int]] = set()
    for i, j in itertools.combinations(range(len(compositions)), 2):
        direction = points[j] - points[i]
        length = float(np.linalg.norm(direction))
        if (i, j) in together or length < _SAME:
            continue
        away = points - points[i]
        along = away @ direction / length**2
        off = np.linalg.norm(away - along[:, None] * direction, axis=1)
        line = [int(k) for k in np.flatnonzero(off < _OFF_THE_LINE)]
        together |= set(itertools.combinations(line, 2))
        if len(line) >= FEWEST:
            lines.append(line)
    return lines


def _described(formulas: Sequence[str], members: Sequence[int], mobile: str) -> Series:
    """A series with its x: which element it counts, and all amounts as functions of it."""
    written = [parse_formula(formulas[k]) for k in members]
    unit = _anions(formulas[members[0]])
    amounts = [{e: v * unit for e, v in reduced(formula).items()} for formula in written]
    # An end may lack an element; the fullest formula has all, in the order a person wrote.
    elements = max((list(formula) for formula in written), key=len)
    rows = [[float(amount.get(e, 0)) for e in elements] for amount in amounts]
    points = np.array(rows)
    widest = int(np.argmax(np.ptp(points, axis=0)))
    ends = sorted((int(points[:, widest].argmin()), int(points[:, widest].argmax())))
    start, end = (amounts[k] for k in ends)
    change = {e: end.get(e, Fraction(0)) - start.get(e, Fraction(0)) for e in elements}
    varying = [e for e in elements if abs(change[e]) > _OFF_THE_LINE]
    ions = [e for e in varying if e != mobile] or varying
    ions.sort(key=lambda e: (e in start, e in end, change[e] < 0))
    counted = ions[0]
    x = [float(amount.get(counted, 0)) for amount in amounts]
    terms = []
    for element in elements:
        slope = change[element] / change[counted]
        at_zero = start.get(element, Fraction(0)) - slope * start.get(counted, Fraction(0))
        terms.append(element + _linear(float(at_zero), float(slope)))
    order = sorted(range(len(members)), key=lambda k: (x[k], members[k]))
    return Series("".join(terms), tuple(members[k] for k in order), tuple(x[k] for k in order))


def _linear(at_zero: float, slope: float) -> str:
    """An amount a + b x as a template writes it; rounded to three digits behind the point."""
    a, b = round(at_zero, 3), round(slope, 3)
    if b == 0:
        return "" if a == 1 else f"{a:g}"
    term = ("" if abs(b) == 1 else f"{abs(b):g}") + "x"
    if a == 0:
        return "{" + ("-" if b < 0 else "") + term + "}"
    return "{" + f"{a:g}{'-' if b < 0 else '+'}{term}" + "}"


def in_mathtext(template: str) -> str:
    """A template with its amounts as subscripts and x in italics."""
    parts = re.split(r"(\{[^}]*\}|[\d.]+)", template)
    return "".join(
        "$_{" + part.strip("{}").replace("x", r"\mathit{x}") + "}$" if number % 2 else part
        for number, part in enumerate(parts)
    )
