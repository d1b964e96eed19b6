"""Another composition on the sites of a prototype: shared sites, vacancies, interstitials.

One rule for all: the anions of one charge share the anion sites of that charge, the metals share
the metal sites, the monovalent cations share the sites of the mobile ion, each in the wanted ratio.
What the metal sites do not take goes to sites named in prototypes.yaml; the same for mobile ions,
which first fill metal sites left empty. The cell is scaled by the sizes of the ions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from halmd.composition import Formula, format_formula, oxidation_states, reduced
from halmd.errors import HalmdError
from halmd.structures.prototypes import ExtraSite, Prototype
from halmd.structures.radii import radius_A
from halmd.structures.words import caution_words, confidence_of, replaced_words

_REST_PER_FORMULA = 0.02
"""Refined occupancies miss the composition by about a hundredth of an atom per formula unit."""

_ALKALI_LARGER_A = 0.45
"""A monovalent cation so much larger than the prototype's mobile ion has no place on its sites."""

Occupancies = dict[str, dict[str, float]]
"""Site label to element to occupancy."""


@dataclass(frozen=True)
class Substitution:
    """A prototype with the ions of a formula on its sites."""

    prototype: Prototype
    """Sites, cell, occupancies and confidence for the formula; name and labels of the parent."""
    parent: Prototype
    units_per_cell: Fraction
    """Formula units in the parent's cell."""
    replaced: tuple[str, ...]
    """Words on each kind of site that holds other species than in the parent."""
    cell_scale: float
    """Factor on the cell lengths."""
    mobile_sites_per_cell: int
    """Sites that hold, or could hold, monovalent cations."""
    mobile_change_per_cell: float
    """Monovalent cations more (or, negative, fewer) than in the parent."""
    metal_change_per_cell: float
    cautions: tuple[str, ...]
    """What was assumed; any of it lowers the confidence to low."""


def units_per_cell(formula: Formula, states: Mapping[str, int], parent: Prototype) -> Fraction:
    """Formula units in the prototype's cell, from its anions, whose sites are full.

    Raises HalmdError where the prototype has anion sites of several charges in another ratio.
    """
    sites = _anion_sites(parent)
    wanted: dict[int, Fraction] = {}
    for element, amount in formula.items():
        if states[element] < 0:
            wanted[states[element]] = wanted.get(states[element], Fraction(0)) + amount
    if not wanted or not sites:
        raise HalmdError(f"{format_formula(formula)}: no anion to place in {parent.name}")
    if len(sites) > 1 and (
        set(sites) != set(wanted) or len({Fraction(n) / wanted[q] for q, n in sites.items()}) > 1
    ):
        raise HalmdError(
            f"{format_formula(formula)}: its anions of different charge are not in the ratio of "
            f"the sites of {parent.name}; choose another prototype:"
        )
    return Fraction(sum(sites.values())) / sum(wanted.values(), Fraction(0))


def _anion_sites(parent: Prototype) -> dict[int, int]:
    """Charge to the number of anion sites in the cell."""
    states = oxidation_states(parent.formula)
    sites: dict[int, int] = {}
    for occupancy in parent.occupancies:
        charges = [states[e] for e in occupancy]
        if charges and max(charges) < 0:
            sites[max(charges)] = sites.get(max(charges), 0) + round(sum(occupancy.values()))
    return sites


def substitute(
    formula: Formula,
    states: Mapping[str, int],
    parent: Prototype,
    *,
    volume_per_anion_A3: float | None = None,
    site_fractions: Mapping[str, float] | None = None,
) -> Substitution:
    """Put the ions of a formula on the sites of a prototype, its cell scaled to a volume.

    `volume_per_anion_A3` is the parent's where it is left out. `site_fractions` gives sites (CIF
    labels) another total occupancy to begin with, such as {"Y2": 1.0, "Y3": 0.0} for no M3. Raises
    HalmdError where ions find no room.
    """
    before = oxidation_states(parent.formula)
    units = units_per_cell(formula, states, parent)
    target = {e: float(amount * units) for e, amount in formula.items()}
    start = _with_fractions(parent, site_fractions)
    sizes = parent.sizes
    _require_small_alkalis(formula, states, parent, before)

    filled: Occupancies = {label: {} for label in start}
    charges = sorted(_anion_sites(parent))
    for q in charges:
        mine = [e for e in formula if states[e] < 0 and (len(charges) == 1 or states[e] == q)]
        hosts = _hosts(start, lambda e, q=q: before[e] == q)  # type: ignore[misc]
        _add(filled, _shared(hosts, sizes, {e: target[e] for e in mine}, start))

    metals = {e: target[e] for e in formula if states[e] > 1}
    hosts = _hosts(start, lambda e: before[e] > 1)
    caps = {label: _cap(parent, label, hosts, sizes) for label in hosts}
    totals, rest = spread(hosts, sizes, caps, sum(metals.values()))
    used: list[ExtraSite] = []
    if rest > _REST_PER_FORMULA * float(units):
        extra = [site for site in parent.extra_sites if site.metal]
        rest = _overflow(extra, totals, sizes, dict.fromkeys(sizes, 1.0), rest, used)
    _require_room(formula, parent, "metals", rest, metals, units)
    _add(filled, _shared(totals, sizes, metals, start))

    alkalis = {e: target[e] for e in formula if states[e] == 1}
    free = {label: 1.0 - sum(filled.get(label, {}).values()) for label in sizes}
    mobile_hosts = _hosts(start, lambda e: before[e] == 1)
    totals, rest = spread(mobile_hosts, sizes, free, sum(alkalis.values()))
    if rest > _REST_PER_FORMULA * float(units):
        kept = {label for rule in parent.keep_apart if rule.at_most < 1 for label in rule.sites}
        empty = {k: 1.0 for k in hosts if free[k] > 1e-6 and k not in (*mobile_hosts, *kept)}
        more, rest = spread(empty, sizes, free, rest)
        totals |= {label: n for label, n in more.items() if n > 0}
    if rest > _REST_PER_FORMULA * float(units):
        extra = [site for site in parent.extra_sites if not site.metal]
        rest = _overflow(extra, totals, sizes, free, rest, used)
    _require_room(formula, parent, "mobile ions", rest, alkalis, units)
    _add(filled, _shared(totals, sizes, alkalis, start))

    per_cell = {e: _amount_per_cell(parent, e) for e in before}
    metal_change = sum(metals.values()) - sum(n for e, n in per_cell.items() if before[e] > 1)
    cautions = caution_words(
        formula,
        states,
        parent.formula,
        before,
        len(charges),
        [f"{s.label}: {s.what}" for s in used],
    )
    if abs(metal_change) > 0.03 * max(1e-9, sum(metals.values())) and not used:
        cautions = (*cautions, "which metal sites are left empty or filled up is assumed")
    replaced = replaced_words(formula, states, parent.formula, before)
    same = reduced(formula) == reduced(parent.formula)
    scale = 1.0
    if not same and volume_per_anion_A3 is not None:
        volume = abs(float(np.linalg.det(parent.lattice_A))) / sum(_anion_sites(parent).values())
        scale = float((volume_per_anion_A3 / volume) ** (1 / 3))
    return Substitution(
        prototype=_prototype(
            parent,
            formula,
            filled,
            used,
            scale,
            confidence_of(parent.confidence, same, bool(cautions)),
        ),
        parent=parent,
        units_per_cell=units,
        replaced=replaced,
        cell_scale=scale,
        mobile_sites_per_cell=sum(
            sizes[label] for label in sizes if label in mobile_hosts or label in totals
        ),
        mobile_change_per_cell=sum(alkalis.values())
        - sum(n for e, n in per_cell.items() if before[e] == 1),
        metal_change_per_cell=metal_change,
        cautions=cautions,
    )


def spread(
    weights: Mapping[str, float],
    sizes: Mapping[str, int],
    caps: Mapping[str, float],
    total: float,
) -> tuple[dict[str, float], float]:
    """Share `total` atoms over sites in proportion to their weights, none above its cap.

    Weights, caps and the result are occupancies of labels; sizes are sites per label. Returns the
    occupancies and the atoms that found no room.
    """
    filled = dict.fromkeys(weights, 0.0)
    rest = total
    open_labels = {k for k, w in weights.items() if w > 1e-9 and caps[k] > 1e-9}
    while open_labels and rest > 1e-9:
        factor = rest / sum(sizes[k] * weights[k] for k in open_labels)
        full = {k for k in open_labels if factor * weights[k] >= caps[k] - 1e-12}
        for k in full or open_labels:
            filled[k] = min(caps[k], factor * weights[k])
            rest -= sizes[k] * filled[k]
        if not full:
            break
        open_labels -= full
    return filled, max(0.0, rest)


def _overflow(
    extra: Iterable[ExtraSite],
    totals: dict[str, float],
    sizes: dict[str, int],
    free: Mapping[str, float],
    rest: float,
    used: list[ExtraSite],
) -> float:
    """Put what is left on sites named for it; adds to `totals`, `sizes` and `used`."""
    for site in extra:
        if rest < 1e-9:
            break
        n = len(site.fractional) or sizes.get(site.label, 0)
        room = min(site.at_most, free.get(site.label, 1.0) - totals.get(site.label, 0.0))
        if not n or room < 1e-9:
            continue
        sizes[site.label] = n
        taken = min(room, rest / n)
        totals[site.label] = totals.get(site.label, 0.0) + taken
        rest -= n * taken
        used.append(site)
    return rest


def _shared(
    totals: Mapping[str, float],
    sizes: Mapping[str, int],
    target: Mapping[str, float],
    start: Occupancies,
) -> Occupancies:
    """Which elements make up the total occupancy of each label.

    All labels are shared in the ratio of the target, unless the prototype has these very elements
    on sites of their own: then its pattern is kept, as far as the amounts allow (iterative
    proportional fitting).
    """
    whole = sum(target.values())
    if not whole:
        return {}
    labels = [label for label, occupancy in totals.items() if occupancy > 0]
    atoms = np.array([sizes[label] * totals[label] for label in labels])
    wanted = np.array(list(target.values())) * atoms.sum() / whole
    even = np.outer(wanted, atoms) / atoms.sum()
    pattern = np.array([[start.get(k, {}).get(e, 0.0) for k in labels] for e in target]) * atoms
    if len(target) > 1 and pattern.any(axis=0).all() and pattern.any(axis=1).all():
        for _ in range(1000):
            pattern = pattern * (wanted / pattern.sum(axis=1))[:, None]
            pattern = pattern * (atoms / pattern.sum(axis=0))
            if np.abs(pattern.sum(axis=1) - wanted).max() < 1e-9:
                even = pattern
                break
    return {
        label: {
            e: float(even[i, j] / sizes[label]) for i, e in enumerate(target) if even[i, j] > 1e-12
        }
        for j, label in enumerate(labels)
    }


def _hosts(start: Occupancies, chosen: Callable[[str], bool]) -> dict[str, float]:
    """Occupancy of each label by elements that are `chosen`; labels without any are left out."""
    found = {k: sum(n for e, n in o.items() if chosen(e)) for k, o in start.items()}
    return {
        label: occupancy
        for label, occupancy in found.items()
        if occupancy > 0 or any(chosen(e) for e in start[label])
    }


def _cap(
    parent: Prototype, label: str, weights: Mapping[str, float], sizes: Mapping[str, int]
) -> float:
    """Largest occupancy of a metal site, which rules on pairs may hold below one."""
    cap = 1.0
    for rule in parent.keep_apart:
        held = [k for k in rule.sites if k in weights]
        if label in held and rule.at_most < 1:
            now = sum(sizes[k] * weights[k] for k in held)
            room = rule.at_most * sum(sizes[k] for k in held)
            cap = min(cap, weights[label] * room / now) if now else 0.0
    return cap


def _with_fractions(parent: Prototype, fractions: Mapping[str, float] | None) -> Occupancies:
    start = parent.by_label
    for label, total in (fractions or {}).items():
        if label not in start:
            raise HalmdError(
                f"{parent.name}: site_fractions names no site {label!r}; its sites are "
                f"{', '.join(start)}"
            )
        if not 0 <= total <= 1:
            raise HalmdError(f"site_fractions: {label}: {total} is not between 0 and 1")
        before = sum(start[label].values())
        start[label] = {e: n * total / before for e, n in start[label].items()}
    return start


def _require_small_alkalis(
    formula: Formula, states: Mapping[str, int], parent: Prototype, before: Mapping[str, int]
) -> None:
    sizes = [radius_A(e, 1) for e in parent.formula if before[e] == 1]
    for element in formula:
        if states[element] == 1 and sizes and radius_A(element, 1) > max(sizes) + _ALKALI_LARGER_A:
            raise HalmdError(
                f"{format_formula(formula)}: {element}+ ({radius_A(element, 1):.2f} Å) is too "
                f"large for the sites of {parent.name}; give a CIF as prototype:"
            )


def _require_room(
    formula: Formula,
    parent: Prototype,
    what: str,
    rest: float,
    wanted: Mapping[str, float],
    units: Fraction,
) -> None:
    if rest > _REST_PER_FORMULA * float(units):
        held = (sum(wanted.values()) - rest) / float(units)
        raise HalmdError(
            f"{format_formula(formula)}: {parent.name} has room for {held:.3g} {what} per formula "
            f"unit, not {sum(wanted.values()) / float(units):.3g}, and no further site for them is "
            "known; give another prototype:"
        )


def _amount_per_cell(parent: Prototype, element: str) -> float:
    return sum(occupancy.get(element, 0.0) for occupancy in parent.occupancies)


def _add(filled: Occupancies, more: Occupancies) -> None:
    for label, occupancy in more.items():
        filled.setdefault(label, {}).update(occupancy)


def _prototype(
    parent: Prototype,
    formula: Formula,
    filled: Occupancies,
    used: Iterable[ExtraSite],
    scale: float,
    confidence: str,
) -> Prototype:
    """The parent with other occupancies, the extra sites that are used, and a scaled cell."""
    new = [site for site in used if len(site.fractional)]
    labels = parent.labels + tuple(s.label for s in new for _ in range(len(s.fractional)))
    return replace(
        parent,
        formula=dict(formula),
        lattice_A=parent.lattice_A * scale,
        fractional=np.concatenate([parent.fractional, *(site.fractional for site in new)]),
        labels=labels,
        occupancies=tuple(filled.get(label, {}) for label in labels),
        keep_apart=tuple(
            replace(rule, within_A=rule.within_A * scale)
            for rule in (*parent.keep_apart, *(r for site in used for r in site.keep_apart))
        ),
        confidence=confidence,
    )
