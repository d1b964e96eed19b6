"""Which materials belong to a series of compositions, found by their formulas alone.

Compositions of a series lie on a line: amounts of all elements, per formula unit, are linear in x.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from halmd.composition import parse_formula, reduced

Floats = NDArray[np.float64]

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
    alike: dict[tuple[tuple[str, Fraction], ...], list[int]] = {}
    for number, formula in enumerate(formulas):
        alike.setdefault(tuple(reduced(parse_formula(formula)).items()), []).append(number)
    materials = list(alike.values())
    lines = _lines(list(map(dict, alike)), scale=_anions(formulas[0]) if formulas else 1)
    found: list[Series] = []
    taken: set[int] = set()
    for line in sorted(lines, key=lambda line: (-len(line), line)):
        if not taken.issuperset(line):
            taken |= set(line)
            members = sorted(number for k in line for number in materials[k])
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
    points: Floats = np.array(
        [[float(c.get(e, 0) * scale) for e in elements] for c in compositions]
    )
    present = [frozenset(composition) for composition in compositions]
    lines = set()
    # Between its ends a line has all elements of both: it is looked for among those that have no
    # others, which keeps many materials of many elements cheap.
    for every in dict.fromkeys(present):
        members = [k for k, elements_of in enumerate(present) if elements_of <= every]
        for line in _through(points[members]):
            found = tuple(members[k] for k in line)
            if any(present[k] == every for k in found):
                lines.add(found)
    return [list(line) for line in lines]


def _through(points: Floats) -> list[list[int]]:
    """Largest sets of at least `FEWEST` of the points on a line; points (n, n_elements)."""
    lines: list[list[int]] = []
    together = np.zeros((len(points), len(points)), dtype=bool)
    for i in range(len(points)):
        far = np.linalg.norm(points - points[i], axis=1) >= _SAME
        later = np.flatnonzero(far & (np.arange(len(points)) > i))
        on_line = _on_line(points, i, later)
        for column in np.flatnonzero(on_line.sum(axis=0) >= FEWEST):
            if not together[i, later[column]]:
                line = np.flatnonzero(on_line[:, column])
                together[np.ix_(line, line)] = True
                lines.append([int(k) for k in line])
    return lines


def _on_line(points: Floats, i: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each point is on the line from point i to each of the others, (n, n_others)."""
    away = points - points[i]
    directions = away[others] / np.linalg.norm(away[others], axis=1)[:, None]
    off2 = (away**2).sum(axis=1)[:, None] - (away @ directions.T) ** 2
    found: NDArray[np.bool_] = off2 < _OFF_THE_LINE**2
    return found


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
