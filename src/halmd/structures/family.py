"""Which prototype a formula takes its crystal from, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from halmd.composition import Formula, format_formula, oxidation_states, parse_formula
from halmd.errors import HalmdError
from halmd.structures.known import known_row
from halmd.structures.prototypes import (
    MELT_QUENCH,
    Prototype,
    catalogue,
    choose_prototype,
    load_prototype,
)
from halmd.structures.radii import mean_radius_A, relative_volume
from halmd.structures.substitution import Substitution, substitute
from halmd.structures.words import mean_charge, part_of, shares

_HALOGENS = ("F", "Cl", "Br", "I")

_FARTHEST_METAL_TO_ANION = 0.05
_FARTHEST_STATE = 1.25
_FARTHEST_RADIUS_A = 0.25
"""Beyond these a prototype is not of the family of a formula."""


@dataclass(frozen=True)
class Candidate:
    """A prototype that may lend its sites, and how far it is from the formula."""

    name: str
    distance: float
    """Sum of the penalties that `candidates` lists."""
    why: str


def candidates(
    formula: Formula, states: Mapping[str, int], folder: Path | None = None
) -> list[Candidate]:
    """Prototypes of the formula's family, the nearest first.

    A unit of distance is 0.1 Å in the metals' mean radius, half a charge in their mean oxidation
    state, half the metals being other elements, or a tenth of the anions; another number of metals
    per anion counts two and one for each 0.02. Ordered models, those that are not the first of
    their composition, and those written with another number of anions (MX4, MX6) stand a little
    back. A prototype is left out for metals smaller than its `smallest_metals_A`.
    """
    entries = catalogue(folder)
    found = []
    for name, entry in entries.items():
        other = parse_formula(entry["formula"])
        if entry.get("only_as_written") and not _same_writing(formula, other, states):
            continue
        if _too_small(formula, states, entry):
            continue
        candidate = _compared(formula, states, name, other, _is_first(name, entries))
        if candidate is not None:
            found.append(candidate)
    return sorted(found, key=lambda c: (c.distance, c.name))


def _is_first(name: str, entries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a prototype is the one taken for its own composition."""
    mine = entries[name]
    twins = [e for e in entries.values() if e["formula"] == mine["formula"]]
    return (len(twins) == 1 or bool(mine.get("default"))) and not mine.get("ordered")


def _too_small(formula: Formula, states: Mapping[str, int], entry: Mapping[str, Any]) -> bool:
    """Whether the metals are smaller than any with which a type of structure is known."""
    metals = part_of(formula, states, 2, 9)
    return mean_radius_A(metals, states) < float(entry.get("smallest_metals_A", 0.0))


def _compared(
    formula: Formula, states: Mapping[str, int], name: str, other: Formula, first: bool
) -> Candidate | None:
    before = oxidation_states(other)
    anions, old_anions = (part_of(f, q, -9, -1) for f, q in ((formula, states), (other, before)))
    metals, old_metals = (part_of(f, q, 2, 9) for f, q in ((formula, states), (other, before)))
    if bool(metals) != bool(old_metals):
        return None
    x, old_x = sum(anions.values(), Fraction(0)), sum(old_anions.values(), Fraction(0))
    per_anion = float(sum(metals.values(), Fraction(0)) / x)
    old_per_anion = float(sum(old_metals.values(), Fraction(0)) / old_x)
    kept = _common(anions, old_anions)
    distance = 10 * (1 - kept) + 50 * abs(per_anion - old_per_anion)
    words = f"it holds {_main(old_anions)} as this {'does' if kept >= 0.5 else 'does not'}"
    if metals:
        radius, old_radius = mean_radius_A(metals, states), mean_radius_A(old_metals, before)
        state, old_state = mean_charge(metals, states), mean_charge(old_metals, before)
        if (
            abs(per_anion - old_per_anion) > _FARTHEST_METAL_TO_ANION
            or abs(state - old_state) > _FARTHEST_STATE
            or abs(radius - old_radius) > _FARTHEST_RADIUS_A
        ):
            return None
        common = _common(metals, old_metals)
        distance += 10 * abs(radius - old_radius) + 2 * abs(state - old_state) + 2 * (1 - common)
        words += (
            f", {old_per_anion:.3g} metals per anion (wanted {per_anion:.3g}), "
            f"{_named(old_metals, before)} of charge {old_state:+.3g} and radius "
            f"{old_radius:.3f} Å (wanted {state:+.3g} and {radius:.3f} Å)"
        )
    if abs(per_anion - old_per_anion) > 0.004:
        distance += 2
    if not _same_writing(formula, other, states):
        distance += 1.5
    if not first:
        distance += 0.3
    return Candidate(name, distance, f"chosen because {words}")


def volume_per_anion_A3(
    formula: Formula, states: Mapping[str, int], parent: Prototype, folder: Path | None = None
) -> float:
    """Volume of the cell per anion in Å³: Vegard over the prototypes of the parent's family.

    Each prototype of the same family and space group that shares anions and metals with the formula
    counts by what it shares, its volume brought to the sizes of the formula's ions.
    """
    entries = catalogue(folder)
    weights: dict[str, float] = {parent.name: 1e-3}
    for name, entry in entries.items():
        same_type = all(entry.get(k) == parent.details.get(k) for k in ("family", "space_group"))
        if not (same_type and _is_first(name, entries)) and name != parent.name:
            continue
        other = parse_formula(entry["formula"])
        before = oxidation_states(other)
        shared = 1.0
        for low, high in ((-9, -1), (2, 9)):
            mine, theirs = part_of(formula, states, low, high), part_of(other, before, low, high)
            shared *= _common(mine, theirs) if mine else 1.0
        if shared > 0:
            weights[name] = weights.get(name, 0.0) + shared
    total = 0.0
    for name, weight in weights.items():
        lender = parent if name == parent.name else load_prototype(name, folder)
        before = oxidation_states(lender.formula)
        anions = sum(n for o in lender.occupancies for e, n in o.items() if before[e] < 0)
        volume = abs(float(np.linalg.det(lender.lattice_A))) / anions
        ratio = relative_volume(formula, states) / relative_volume(lender.formula, before)
        total += weight * volume * ratio
    return total / sum(weights.values())


def _same_writing(formula: Formula, other: Formula, states: Mapping[str, int]) -> bool:
    """Whether one formula has a whole multiple of the other's anions (MX4 and MX6 do not)."""
    x = sum(part_of(formula, states, -9, -1).values(), Fraction(0))
    before = oxidation_states(other)
    ratio = x / sum(part_of(other, before, -9, -1).values(), Fraction(0))
    return 1 in (ratio.numerator, ratio.denominator)


def _common(one: Formula, other: Formula) -> float:
    a, b = shares(one), shares(other)
    return float(sum((min(x, b.get(e, Fraction(0))) for e, x in a.items()), Fraction(0)))


def _main(part: Formula) -> str:
    return max(part, key=lambda e: part[e])


def _named(metals: Formula, states: Mapping[str, int]) -> str:
    return " and ".join(f"{e}{states[e]}+" for e in metals)


def _require_halide(text: str, formula: Formula, states: Mapping[str, int]) -> None:
    """Refuse what is no halide, and oxyhalides of metals, whose good conductors are glasses."""
    if not any(e in _HALOGENS for e in formula):
        raise HalmdError(
            f"{text} holds no halogen; the prototypes of halmd are halides, give a CIF as "
            "prototype: for anything else"
        )
    others = [e for e in formula if states[e] < -1]
    if not others and not part_of(formula, states, 2, 9):
        raise HalmdError(
            f"{text} holds nothing but monovalent ions, of which no prototype is known; give a CIF "
            "as prototype:"
        )
    if others and part_of(formula, states, 2, 9):
        raise HalmdError(
            f"{text}: no prototype is known for an oxyhalide of a metal (it holds "
            f"{', '.join(others)}): {MELT_QUENCH}; for a crystal, name its prototype: or give a CIF"
        )


def resolve(
    text: str,
    formula: Formula,
    states: Mapping[str, int],
    *,
    prototype: str | None = None,
    site_fractions: Mapping[str, float] | None = None,
    folder: Path | None = None,
) -> tuple[Substitution, str]:
    """The formula on the sites of a prototype, and why it is this one.

    `prototype` is a name or a CIF path; without it the one with this composition is taken, or the
    nearest of the family that has room for every ion. Raises HalmdError where there is none.
    """
    if prototype is not None:
        parent = load_prototype(prototype, folder)
        made = _placed(formula, states, parent, site_fractions, folder)
        return made, "chosen because the config names it"
    known = known_row(formula, folder)
    if known is not None and known.later:
        raise HalmdError(f"{text} ({known.phase}): {known.later}")
    if known is not None and known.prototype:
        parent = load_prototype(known.prototype, folder)
        made = _placed(formula, states, parent, site_fractions, folder)
        return made, f"chosen because it is the phase known ({known.phase})"
    _require_halide(text, formula, states)
    try:
        parent = load_prototype(choose_prototype(formula, folder), folder)
    except HalmdError as error:
        unknown = str(error)
    else:
        made = _placed(formula, states, parent, site_fractions, folder)
        return made, "chosen because it has this composition"
    tried = []
    for candidate in candidates(formula, states, folder)[:12]:
        parent = load_prototype(candidate.name, folder)
        try:
            made = _placed(formula, states, parent, site_fractions, folder)
        except HalmdError as error:
            if site_fractions:
                # Labels belong to one prototype; another would not know them.
                raise
            tried.append(str(error).split("; ")[0])
            continue
        return made, candidate.why
    if tried:
        raise HalmdError(f"{tried[0]}; set prototype: to another one or to a CIF")
    raise HalmdError(
        f"{format_formula(formula)}: no prototype of its family is known (anion, metals per anion, "
        f"their charge and size); {unknown.split('; ')[-1]}"
    )


def _placed(
    formula: Formula,
    states: Mapping[str, int],
    parent: Prototype,
    site_fractions: Mapping[str, float] | None,
    folder: Path | None,
) -> Substitution:
    volume = volume_per_anion_A3(formula, states, parent, folder)
    return substitute(
        formula, states, parent, volume_per_anion_A3=volume, site_fractions=site_fractions
    )
