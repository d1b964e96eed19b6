"""`halmd structure`: from a formula and a prototype to seeded, ranked, distinct orderings."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from halmd.composition import (
    Formula,
    charge,
    check_neutral,
    format_formula,
    oxidation_states,
    parse_formula,
)
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.files import whole_file, write_json
from halmd.structures.filling import exclusions, roundings, sites, without_blocked
from halmd.structures.ordering import VACANCY, Lattice, Occupation, distinct_orderings
from halmd.structures.prototypes import Prototype, choose_prototype, load_prototype
from halmd.structures.supercell import Supercell, find_supercell

MOBILE = "Li"
_TOLERATED_CHARGE_E = 0.02
"""Refined occupancies are neutral to about a hundredth of a charge per formula unit."""

_ROUNDINGS = 20


@dataclass(frozen=True)
class Ordering:
    """One way of filling the sites of the supercell."""

    atoms: Atoms
    ewald_energy_eV: float
    """Energy of formal charges in vacuum, for ranking only."""
    chain: int
    """Number of the Monte Carlo chain that found it."""


@dataclass(frozen=True)
class OrderingSet:
    """The orderings of a material, and everything that was decided on the way."""

    formula: str
    prototype: Prototype
    settings: StructureSettings
    seed: int
    supercell: Supercell
    oxidation_states: Mapping[str, int]
    wanted_occupancies: Mapping[str, Mapping[str, float]]
    """Site label to element to occupancy, as the prototype and the formula ask."""
    achieved_occupancies: Mapping[str, Mapping[str, float]]
    orderings: tuple[Ordering, ...]


def build_orderings(
    formula: str,
    settings: StructureSettings,
    *,
    seed: int,
    prototype: str | None = None,
    site_fractions: Mapping[str, float] | None = None,
    structures_folder: Path | None = None,
) -> OrderingSet:
    """Build the supercell of a material and its orderings.

    `prototype` is a name or a CIF path, chosen by the formula when left out. `site_fractions` gives
    sites (CIF labels) another total occupancy, such as {"Y2": 1.0, "Y3": 0.0} for no M3. The same
    seed gives the same orderings. Raises HalmdError for a formula that is not neutral, has elements
    the prototype has no place for, or fits in no allowed supercell.
    """
    wanted = parse_formula(formula)
    states = oxidation_states(wanted)
    _require_nearly_neutral(formula, wanted, states)
    chosen = load_prototype(
        prototype or choose_prototype(wanted, structures_folder), structures_folder
    )
    _require_elements(formula, wanted, chosen)
    occupancies = _scaled_occupancies(formula, wanted, states, chosen, site_fractions)
    supercell = find_supercell(
        chosen.lattice_A,
        wanted,
        states,
        _units_per_cell(wanted, states, chosen),
        min_length_A=settings.min_length_A,
        max_atoms=settings.max_atoms,
        tolerance=settings.composition_tolerance,
        mobile=MOBILE,
    )
    lattice, orderings = _fill(formula, chosen, occupancies, states, supercell, settings, seed)
    return OrderingSet(
        formula=formula,
        prototype=chosen,
        settings=settings,
        seed=seed,
        supercell=supercell,
        oxidation_states=states,
        wanted_occupancies=occupancies,
        achieved_occupancies={
            group: {e: n / len(lattice.members(group)) for e, n in content.items() if n}
            for group, content in lattice.contents.items()
        },
        orderings=tuple(orderings),
    )


def _require_nearly_neutral(text: str, formula: Formula, states: Mapping[str, int]) -> None:
    if abs(charge(formula, states)) > _TOLERATED_CHARGE_E:
        check_neutral(text, MOBILE)


def _require_elements(text: str, formula: Formula, prototype: Prototype) -> None:
    hosted = {element for occupancy in prototype.occupancies for element in occupancy}
    strangers = sorted(set(formula) - hosted)
    absent = sorted(hosted - set(formula))
    if strangers or absent:
        what = f"has no site for {', '.join(strangers)}" if strangers else ""
        what += " and " if strangers and absent else ""
        what += f"holds {', '.join(absent)}, which the formula does not" if absent else ""
        raise HalmdError(
            f"{text}: prototype {prototype.name} {what}; give a prototype: with the same elements"
        )


def _units_per_cell(formula: Formula, states: Mapping[str, int], prototype: Prototype) -> Fraction:
    """Formula units in the prototype's cell, from its anions, whose sites are full."""
    anions = sum((amount for e, amount in formula.items() if states[e] < 0), Fraction(0))
    sites = sum(
        round(sum(occupancy.values()))
        for occupancy in prototype.occupancies
        if all(states[element] < 0 for element in occupancy)
    )
    return Fraction(sites) / anions


def _scaled_occupancies(
    text: str,
    formula: Formula,
    states: Mapping[str, int],
    prototype: Prototype,
    site_fractions: Mapping[str, float] | None,
) -> dict[str, dict[str, float]]:
    """Occupancy of each site label by each element, scaled so that the formula comes out.

    Ratios between the sites of one element are kept, but no site is filled more than once.
    """
    by_label: dict[str, dict[str, float]] = {}
    sizes: dict[str, int] = {}
    for label, occupancy in zip(prototype.labels, prototype.occupancies, strict=True):
        by_label[label] = dict(occupancy)
        sizes[label] = sizes.get(label, 0) + 1
    for label, total in (site_fractions or {}).items():
        if label not in by_label:
            known = ", ".join(by_label)
            raise HalmdError(f"{prototype.name}: no site {label!r}; its sites are {known}")
        before = sum(by_label[label].values())
        by_label[label] = {e: x * total / before for e, x in by_label[label].items()}
    units = float(_units_per_cell(formula, states, prototype))
    for element, amount in formula.items():
        # Water-filling: sites that reach one stay there, the rest share what is left.
        for _ in range(len(by_label) + 1):
            now = sum(sizes[k] * o.get(element, 0.0) for k, o in by_label.items())
            wanted = float(amount) * units
            if abs(now - wanted) < 1e-6 * max(1.0, wanted) or now == 0:
                break
            room = {
                k: 1.0 - sum(o.values()) for k, o in by_label.items() if o.get(element, 0.0) > 0
            }
            if wanted > now:
                open_sites = [k for k, free in room.items() if free > 1e-9]
                weight = sum(sizes[k] * by_label[k][element] for k in open_sites)
                if not weight:
                    break
                factor = 1 + (wanted - now) / weight
                for k in open_sites:
                    grown = by_label[k][element] * factor
                    by_label[k][element] = min(grown, by_label[k][element] + room[k])
            else:
                for k in room:
                    by_label[k][element] *= wanted / now
        now = sum(sizes[k] * o.get(element, 0.0) for k, o in by_label.items())
        if abs(now - float(amount) * units) > 0.02 * units:
            raise HalmdError(
                f"{text}: the sites of {element} in {prototype.name} hold {now / units:.3g} per "
                f"formula unit, not {float(amount):.3g}; choose another prototype:"
            )
    return by_label


def _fill(
    text: str,
    prototype: Prototype,
    occupancies: Mapping[str, Mapping[str, float]],
    states: Mapping[str, int],
    supercell: Supercell,
    settings: StructureSettings,
    seed: int,
) -> tuple[Lattice, list[Ordering]]:
    """Round the occupancies to atoms in the supercell and sample orderings.

    Roundings are tried from the nearest on, because exclusions can forbid the nearest one (columns
    of M2 and M3 hold a whole number of each).
    """
    cell, fractional, labels = sites(prototype, supercell)
    excluded = exclusions(prototype, cell, fractional, labels, states)
    sizes = {label: labels.count(label) for label in dict.fromkeys(labels)}
    occupancies = without_blocked(occupancies, sizes, labels, excluded)
    species = tuple(supercell.counts)
    for contents in itertools.islice(roundings(occupancies, sizes, supercell.counts), _ROUNDINGS):
        lattice = Lattice(
            cell,
            fractional,
            labels,
            species,
            np.array([float(states[element]) for element in species]),
            contents,
            excluded,
        )
        try:
            found = distinct_orderings(
                lattice,
                wanted=settings.n_orderings,
                temperature_K=settings.ordering_temperature_K,
                steps=settings.monte_carlo_steps,
                seed=seed,
            )
        except HalmdError:
            continue
        return lattice, [
            Ordering(_atoms(lattice, occupation), energy, chain)
            for occupation, energy, chain in found
        ]
    raise HalmdError(
        f"{text}: no filling of {prototype.name} with {sum(supercell.counts.values())} atoms keeps "
        "face-sharing sites apart; raise structure.min_length_A for a larger supercell"
    )


def _atoms(lattice: Lattice, occupation: Occupation) -> Atoms:
    """The occupied sites as Atoms, grouped by species, with their site labels."""
    full = np.flatnonzero(occupation != VACANCY)
    order = full[np.argsort(occupation[full], kind="stable")]
    atoms = Atoms(
        [lattice.species[k] for k in occupation[order]],
        scaled_positions=lattice.fractional[order],
        cell=lattice.cell_A,
        pbc=True,
    )
    atoms.set_array("site_label", np.array(lattice.groups)[order])
    return atoms


def shortest_distance_A(atoms: Atoms) -> float:
    """Shortest distance between two atoms, periodic images of the same atom included, in Å."""
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, min(atoms.cell.lengths()))
    return float(distances.min())


def density_g_per_cm3(atoms: Atoms) -> float:
    """Mass density in g/cm³."""
    return float(atoms.get_masses().sum() * 1.66053906660 / atoms.get_volume())


def write_orderings(found: OrderingSet, folder: Path) -> None:
    """Write `<NN>.extxyz` for each ordering and `orderings.json` last, each whole or not at all.

    Raises HalmdError, before writing, when fewer distinct orderings exist than were asked for.
    """
    wanted = found.settings.n_orderings
    if len(found.orderings) < wanted:
        raise HalmdError(
            f"{found.formula}: {found.prototype.name} has {len(found.orderings)} distinct ordering"
            f"{'s' if len(found.orderings) > 1 else ''} in this supercell, not {wanted}; "
            f"set structure.n_orderings to {len(found.orderings)} or raise structure.min_length_A"
        )
    for number, ordering in enumerate(found.orderings):
        atoms = ordering.atoms.copy()
        atoms.info |= {
            "formula": found.formula,
            "prototype": found.prototype.name,
            "confidence": found.prototype.confidence,
            "ewald_energy_eV": ordering.ewald_energy_eV,
            "seed": found.seed,
        }
        with whole_file(folder / f"{number:02d}.extxyz") as temporary:
            ase.io.write(temporary, atoms, format="extxyz")
    write_json(folder / "orderings.json", summary(found))


def summary(found: OrderingSet) -> dict[str, Any]:
    """Everything that was decided, JSON-able, units in the key names."""
    first = found.orderings[0].atoms
    units = float(found.supercell.formula_units)
    return {
        "formula": found.formula,
        "prototype": found.prototype.name,
        "confidence": found.prototype.confidence,
        "prototype_details": dict(found.prototype.details),
        "oxidation_states": dict(found.oxidation_states),
        "seed": found.seed,
        "settings": found.settings.model_dump(),
        "supercell_matrix": found.supercell.matrix.tolist(),
        "atoms": len(first),
        "counts": dict(found.supercell.counts),
        "achieved_per_formula_unit": {e: n / units for e, n in found.supercell.counts.items()},
        "achieved_formula": format_formula(
            {
                e: Fraction(n) / found.supercell.formula_units
                for e, n in found.supercell.counts.items()
            }
        ),
        "composition_deviation": found.supercell.deviation,
        "site_occupancies_wanted": {k: dict(o) for k, o in found.wanted_occupancies.items()},
        "site_occupancies_achieved": {k: dict(o) for k, o in found.achieved_occupancies.items()},
        "volume_A3": float(first.get_volume()),
        "density_g_per_cm3": density_g_per_cm3(first),
        "orderings": [
            {
                "number": f"{number:02d}",
                "ewald_energy_eV": ordering.ewald_energy_eV,
                "chain": ordering.chain,
                "shortest_distance_A": shortest_distance_A(ordering.atoms),
            }
            for number, ordering in enumerate(found.orderings)
        ],
    }
