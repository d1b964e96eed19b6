"""Formulas, oxidation states and charge balance, in exact fractions."""

import difflib
import itertools
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

from ase.data import chemical_symbols

from halmd.errors import HalmdError

Formula = Mapping[str, Fraction]
"""Element to amount per formula unit, in the order written."""

ELEMENTS = frozenset(chemical_symbols[1:])

OXIDATION_STATES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs", "Ag"), (1,)),
    **dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd"), (2,)),
    **dict.fromkeys(("Al", "Ga", "In", "Sc", "Y", "La", "Pr", "Nd", "Sm"), (3,)),
    **dict.fromkeys(("Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Lu"), (3,)),
    **dict.fromkeys(("Zr", "Hf", "Si", "Ge"), (4,)),
    **dict.fromkeys(("Nb", "Ta"), (5,)),
    "W": (6, 5, 4),
    "Mo": (6, 5, 4, 3),
    "Yb": (3, 2),
    "Eu": (3, 2),
    "Ce": (3, 4),
    "Bi": (3,),
    "Sb": (3, 5),
    "Sn": (4, 2),
    "Ti": (3, 4, 2),
    "V": (3, 2, 4),
    "Cr": (3, 2),
    "Mn": (2, 3),
    "Fe": (2, 3),
    "Co": (2, 3),
    "Ni": (2,),
    "Cu": (2, 1),
    **dict.fromkeys(("F", "Cl", "Br", "I"), (-1,)),
    "O": (-2,),
    "S": (-2,),
    "N": (-3,),
}
"""Common oxidation states in halides, the commonest first."""

_TOKEN = re.compile(r"([A-Z][a-z]?)|(\d+(?:\.\d+)?(?:/\d+)?)|([()\[\]])|(\s+)")
_MAX_LENGTH = 200


def parse_formula(text: str) -> dict[str, Fraction]:
    """Read a formula such as Li2.5Y0.5Zr0.5Cl6, Li2Sc2/3Cl4 or Li3(Y0.5In0.5)Cl6.

    Returns element to exact amount, in the order written. Raises HalmdError for a malformed formula
    or an unknown element, naming the place.
    """
    return dict(_parsed(text))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Mapping[str, Fraction]:
    """What is read a thousand times in a large campaign; callers get copies."""
    if not text.strip():
        raise HalmdError("the formula is empty; write for example Li3YCl6")
    if len(text) > _MAX_LENGTH:
        raise HalmdError(f"formula of {len(text)} characters: no formula is that long")
    stack: list[dict[str, Fraction]] = [{}]
    last: dict[str, Fraction] | None = None
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise HalmdError(f"formula {text!r}: cannot read {text[position]!r} at {position + 1}")
        element, number, bracket, _ = match.groups()
        if element:
            _merge(stack, last, Fraction(1))
            last = {_known(element, text): Fraction(1)}
        elif number:
            if last is None:
                raise HalmdError(f"formula {text!r}: the amount {number} follows no element")
            amount = _amount(number, text)
            _merge(stack, last, amount)
            last = None
        elif bracket and bracket in "([":
            _merge(stack, last, Fraction(1))
            last = None
            stack.append({})
        elif bracket:
            _merge(stack, last, Fraction(1))
            if len(stack) == 1:
                raise HalmdError(f"formula {text!r}: {bracket!r} closes nothing")
            last = stack.pop()
        position = match.end()
    _merge(stack, last, Fraction(1))
    if len(stack) > 1:
        raise HalmdError(f"formula {text!r}: a bracket is not closed")
    if not stack[0]:
        raise HalmdError(f"formula {text!r}: no element in it")
    return stack[0]


def _merge(
    stack: list[dict[str, Fraction]], group: dict[str, Fraction] | None, amount: Fraction
) -> None:
    for element, each in (group or {}).items():
        stack[-1][element] = stack[-1].get(element, Fraction(0)) + each * amount


def _amount(number: str, text: str) -> Fraction:
    try:
        whole, _, below = number.partition("/")
        amount = Fraction(whole) / (Fraction(below) if below else 1)
    except ZeroDivisionError:
        raise HalmdError(f"formula {text!r}: the amount {number} divides by zero") from None
    if amount == 0:
        raise HalmdError(f"formula {text!r}: an amount of 0; leave the element out")
    return amount


def _known(symbol: str, text: str) -> str:
    if symbol in ELEMENTS:
        return symbol
    near = difflib.get_close_matches(symbol, sorted(ELEMENTS), n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise HalmdError(f"formula {text!r}: unknown element {symbol}{hint}")


def format_formula(formula: Formula) -> str:
    """Write a formula with decimal amounts, at most four digits after the point."""
    return "".join(
        element + ("" if amount == 1 else f"{float(amount):.4f}".rstrip("0").rstrip("."))
        for element, amount in formula.items()
    )


def charge(formula: Formula, states: Mapping[str, int]) -> Fraction:
    """Net charge per formula unit, in elementary charges."""
    return sum((amount * states[element] for element, amount in formula.items()), Fraction(0))


def oxidation_states(formula: Formula, fixed: Mapping[str, int] | None = None) -> dict[str, int]:
    """The one set of common oxidation states that makes a formula neutral.

    `fixed` states are taken as they are. Where no set is neutral, the commonest states are
    returned, so that the caller can say how large the charge is. Raises HalmdError for an element
    without a tabulated state, and where several sets are neutral.
    """
    known = {**OXIDATION_STATES, **{e: (state,) for e, state in (fixed or {}).items()}}
    for element in formula:
        if element not in known:
            raise HalmdError(
                f"{format_formula(formula)}: no oxidation state is known for {element} in a halide"
            )
    elements = list(formula)
    neutral = [
        dict(zip(elements, states, strict=True))
        for states in itertools.product(*(known[element] for element in elements))
        if charge(formula, dict(zip(elements, states, strict=True))) == 0
    ]
    if len(neutral) > 1:
        shown = "; ".join(
            ", ".join(f"{element} {state:+d}" for element, state in states.items())
            for states in neutral
        )
        raise HalmdError(
            f"{format_formula(formula)}: several oxidation states fit: {shown}; say which in "
            "oxidation_states:, as {Fe: 3}"
        )
    if neutral:
        return neutral[0]
    return {element: known[element][0] for element in elements}


def check_neutral(
    text: str, mobile: str = "Li", fixed: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Oxidation states of a neutral formula, those `fixed` being taken as they are.

    Raises HalmdError for a charged one, saying by how much, and naming the content of `mobile` that
    would be neutral.
    """
    formula = parse_formula(text)
    states = oxidation_states(formula, fixed)
    excess = charge(formula, states)
    if excess == 0:
        return states
    shown = ", ".join(f"{element} {state:+d}" for element, state in states.items())
    problem = f"{text} has a charge of {float(excess):+.4g} per formula unit ({shown})"
    others = {element: amount for element, amount in formula.items() if element != mobile}
    wanted = -charge(others, states) if others else Fraction(0)
    if wanted > 0:
        mended = {mobile: wanted} | others
        raise HalmdError(f"{problem}; {format_formula(mended)} would be neutral")
    raise HalmdError(f"{problem}; no {mobile} content makes it neutral")


def reduced(formula: Formula) -> dict[str, Fraction]:
    """Amounts per one atom of anion, sorted by element: equal compositions compare equal."""
    anions = sum(
        (
            amount
            for element, amount in formula.items()
            if OXIDATION_STATES.get(element, (1,))[0] < 0
        ),
        Fraction(0),
    ) or sum(formula.values(), Fraction(0))
    return {element: formula[element] / anions for element in sorted(formula)}
