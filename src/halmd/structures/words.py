"""What was done to a prototype and what had to be assumed, in words and as a confidence."""

from collections.abc import Mapping
from fractions import Fraction

from halmd.composition import Formula
from halmd.structures.radii import mean_radius_A

_METALS_DIFFER_A = 0.13
"""Mean radii of the metals so far apart change the type of structure among the trivalent
chlorides (Y 0.90 Å trigonal, Sc 0.745 Å monoclinic)."""


_HALOGEN_KEPT = 0.75
"""With less of the prototype's halogens left, the type of another end member may be taken: Li3YCl6
is trigonal, Li3YBr6 monoclinic; Li2ZrCl4.8F1.2 and Li3InCl4.8F1.2 are still of the chloride's."""

_OWN_SURROUNDINGS = 0.75
"""So large a share of metals that seldom have six halogens around them asks for a structure of its
own; Li3Al0.7Y0.3Cl6 is still monoclinic as Li3ScCl6."""

_FOUR_HALOGENS = {("Be", 2), ("Al", 3), ("Ga", 3), ("Si", 4), ("Ge", 4)}
"""Metals with four heavy halogens around them, as in LiAlCl4, LiGaCl4 and SiCl4; fluorine has room
for six."""

_LONE_PAIRS = {("Sn", 2), ("Sb", 3), ("Bi", 3)}
_JAHN_TELLER = {("Cr", 2), ("Mn", 3), ("Cu", 2)}

_MONOVALENT_REPLACED = Fraction(1, 10)
"""Larger shares of another monovalent cation on the sites of the mobile ion are an assumption."""

_CHARGE_DIFFERS = 0.6
"""Mean charges of the metals so far apart empty or fill so many Li sites that the crystal becomes
another: Li3MX6, Li2MX6 and LiMX6 have types of their own."""


def part_of(formula: Formula, states: Mapping[str, int], low: int, high: int) -> Formula:
    """Elements of a formula whose oxidation states lie between two numbers, both included."""
    return {e: n for e, n in formula.items() if low <= states[e] <= high}


def shares(part: Formula) -> dict[str, Fraction]:
    """Amounts divided by their sum."""
    total = sum(part.values(), Fraction(0))
    return {e: n / total for e, n in part.items()}


def replaced_words(
    formula: Formula, states: Mapping[str, int], parent: Formula, before: Mapping[str, int]
) -> tuple[str, ...]:
    """Words on the kinds of site whose species or ratios changed."""
    words = []
    for low, high in ((2, 9), (1, 1), (-9, -1)):
        new = shares(part_of(formula, states, low, high))
        old = shares(part_of(parent, before, low, high))
        if new != old and old:
            text = ", ".join(f"{e} {100 * float(x):.3g} %" for e, x in new.items()) or "nothing"
            words.append(f"sites of {' and '.join(old)}: {text}")
    return tuple(words)


def caution_words(
    formula: Formula,
    states: Mapping[str, int],
    parent: Formula,
    before: Mapping[str, int],
    kinds_of_anion_site: int,
    extra_sites: list[str],
) -> tuple[str, ...]:
    """What had to be assumed to put a formula on the sites of a prototype."""
    words = list(extra_sites)
    anions, old = part_of(formula, states, -9, -1), part_of(parent, before, -9, -1)
    kept = sum(float(x) for e, x in shares(anions).items() if e in old)
    if kept <= 0.5:
        words.append(
            f"the prototype holds {', '.join(old)}, of which half or more is replaced: "
            f"{', '.join(anions)}"
        )
    elif kept < _HALOGEN_KEPT:
        words.append(
            f"{100 * (1 - kept):.3g} % of the anions are not those of the prototype, which may "
            "change the type of structure"
        )
    if len({states[e] for e in anions}) > kinds_of_anion_site:
        words.append("anions of different charge share sites, which is assumed")
    mobile, old = part_of(formula, states, 1, 1), part_of(parent, before, 1, 1)
    new = {e: x for e, x in shares(mobile).items() if e not in old}
    if old and sum(new.values(), Fraction(0)) > _MONOVALENT_REPLACED:
        words.append(f"{', '.join(new)} put in the place of {', '.join(old)}")
    metals, old = part_of(formula, states, 2, 9), part_of(parent, before, 2, 9)
    if metals and old:
        away = mean_radius_A(metals, states) - mean_radius_A(old, before)
        if abs(away) > _METALS_DIFFER_A:
            words.append(
                f"the metals are {abs(away):.2f} Å {'larger' if away > 0 else 'smaller'} than "
                f"{' and '.join(old)}, which may change the type of structure"
            )
        charge, old_charge = mean_charge(metals, states), mean_charge(old, before)
        if abs(charge - old_charge) > _CHARGE_DIFFERS:
            words.append(
                f"the metals' mean charge is {charge:+.3g}, not {old_charge:+.3g} as in the "
                "prototype, which may change the type of structure"
            )
        words += _unusual_surroundings(metals, old, states, before, anions)
    return tuple(words)


def _unusual_surroundings(
    metals: Formula,
    old: Formula,
    states: Mapping[str, int],
    before: Mapping[str, int],
    anions: Formula,
) -> list[str]:
    """Words on metals that seldom sit in the octahedra of most prototypes."""
    light = float(shares(anions).get("F", Fraction(0))) >= 0.5
    kinds = [
        (_LONE_PAIRS, "has a lone pair, which seldom leaves it in a regular octahedron"),
        (_JAHN_TELLER, "is a Jahn-Teller ion, which distorts its octahedron"),
    ]
    if not light:
        kinds.append((_FOUR_HALOGENS, "mostly has four of these anions around it, not six"))
    words = []
    for kind, what in kinds:
        mine = {e: x for e, x in shares(metals).items() if (e, states[e]) in kind}
        known = any((e, before[e]) in kind for e in old)
        if not known and float(sum(mine.values(), Fraction(0))) >= _OWN_SURROUNDINGS:
            words += [f"{e}{states[e]}+ {what}" for e in mine]
    return words


def mean_charge(metals: Formula, states: Mapping[str, int]) -> float:
    """Mean oxidation state of some metals."""
    total = sum(metals.values(), Fraction(0))
    return float(sum((n * states[e] for e, n in metals.items()), Fraction(0)) / total)


def confidence_of(parent: str, same: bool, doubtful: bool) -> str:
    """Confidence in a prototype with other ions on its sites.

    Nothing substituted is better than derived, and nothing that needed an assumption than low.
    """
    if parent in ("user", "low") or (same and not doubtful):
        return parent
    if doubtful:
        return "low"
    return "derived" if parent == "verbatim" else parent
