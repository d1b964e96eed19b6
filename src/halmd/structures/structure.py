"""`halmd structure`: from a formula and a prototype to seeded, ranked, distinct orderings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from halmd.composition import (
    charge,
    check_neutral,
    oxidation_states,
    parse_formula,
)
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.files import whole_file, write_json
from halmd.structures.family import resolve
from halmd.structures.filling import exclusions, sites, without_blocked
from halmd.structures.ordering import (
    VACANCY,
    Lattice,
    Occupation,
    distinct_orderings,
)
from halmd.structures.packing import nearest_contents
from halmd.structures.prototypes import Prototype
from halmd.structures.rerank import Energy, rerank
from halmd.structures.substitution import Substitution
from halmd.structures.supercell import Supercell, find_supercell

_TOLERATED_CHARGE_E = 0.02
"""Refined occupancies are neutral to about a hundredth of a charge per formula unit."""


@dataclass(frozen=True)
class Ordering:
    """One way of filling the sites of the supercell."""

    atoms: Atoms
    ewald_energy_eV: float
    """Energy of formal charges in vacuum, for ranking only."""
    chain: int
    """Number of the Monte Carlo chain that found it."""
    potential_energy_eV: float | None = None
    """By the potential, where it did the ranking; of the relaxed structure if that was asked."""


@dataclass(frozen=True)
class Build:
    """All that is decided of a material before its sites are filled."""

    formula: str
    mobile: str
    oxidation_states: Mapping[str, int]
    substitution: Substitution
    why: str
    """Why this prototype."""
    supercell: Supercell

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of any result must know; never empty where the confidence is low."""
        parent = self.substitution.parent
        own = (f"{parent.name}: {_sentence(parent.details)}",) if parent.confidence == "low" else ()
        return own + self.substitution.cautions


def _sentence(details: Mapping[str, Any]) -> str:
    return str(details.get("confidence_detail", "low confidence")).removeprefix("LOW: ")


def decide(
    formula: str,
    settings: StructureSettings,
    *,
    mobile: str = "Li",
    prototype: str | None = None,
    site_fractions: Mapping[str, float] | None = None,
    fixed_states: Mapping[str, int] | None = None,
    structures_folder: Path | None = None,
) -> Build:
    """Prototype, substitutions and supercell of a formula.

    `prototype` is a name or a CIF path, chosen by the formula when left out. `site_fractions` gives
    sites (CIF labels) another total occupancy, such as {"Y2": 1.0, "Y3": 0.0} for no M3;
    `fixed_states` settles oxidation states that the formula leaves open. Raises HalmdError for a
    formula that is not neutral, has ions the prototype has no place for, or fits in no allowed
    supercell.
    """
    wanted = parse_formula(formula)
    states = oxidation_states(wanted, fixed_states)
    if abs(charge(wanted, states)) > _TOLERATED_CHARGE_E:
        check_neutral(formula, mobile, fixed_states)
    made, why = resolve(
        formula,
        wanted,
        states,
        prototype=prototype,
        site_fractions=site_fractions,
        folder=structures_folder,
    )
    supercell = find_supercell(
        made.prototype.lattice_A,
        wanted,
        states,
        made.units_per_cell,
        min_length_A=settings.min_length_A,
        max_atoms=settings.max_atoms,
        tolerance=settings.composition_tolerance,
        mobile=mobile,
        or_nearest=settings.beyond_tolerance == "nearest",
    )
    return Build(formula, mobile, states, made, why, supercell)


@dataclass(frozen=True)
class OrderingSet:
    """The orderings of a material, and everything that was decided on the way."""

    build: Build
    settings: StructureSettings
    seed: int
    wanted_occupancies: Mapping[str, Mapping[str, float]]
    """Site label to element to occupancy, as the prototype and the formula ask."""
    achieved_occupancies: Mapping[str, Mapping[str, float]]
    orderings: tuple[Ordering, ...]

    @property
    def formula(self) -> str:
        """As asked for."""
        return self.build.formula

    @property
    def prototype(self) -> Prototype:
        """The prototype with the ions of the formula on its sites."""
        return self.build.substitution.prototype

    @property
    def supercell(self) -> Supercell:
        """The supercell and the atoms it holds."""
        return self.build.supercell


def build_orderings(
    formula: str,
    settings: StructureSettings,
    *,
    seed: int,
    mobile: str = "Li",
    prototype: str | None = None,
    site_fractions: Mapping[str, float] | None = None,
    fixed_states: Mapping[str, int] | None = None,
    structures_folder: Path | None = None,
    energy: Energy | None = None,
) -> OrderingSet:
    """Build the supercell of a material and its orderings: what `decide` decides, filled.

    The same seed gives the same orderings. `energy` ranks them where settings.rank_by does not say
    ewald. Raises HalmdError as `decide` does, and where no filling keeps face-sharing sites apart.
    """
    by_potential = settings.rank_by != "ewald"
    if by_potential and energy is None:
        raise HalmdError(
            f"rank_by: {settings.rank_by} needs a potential; rank_by: ewald needs none"
        )
    build = decide(
        formula,
        settings,
        mobile=mobile,
        prototype=prototype,
        site_fractions=site_fractions,
        fixed_states=fixed_states,
        structures_folder=structures_folder,
    )
    chosen = build.substitution.prototype
    occupancies = chosen.by_label
    wanted = settings.n_orderings * (settings.candidates if by_potential else 1)
    lattice, orderings = _fill(build, settings, wanted, seed)
    if by_potential and energy is not None:
        orderings = _ranked(orderings, energy, settings.n_orderings)
    return OrderingSet(
        build=build,
        settings=settings,
        seed=seed,
        wanted_occupancies=occupancies,
        achieved_occupancies={
            group: {e: n / len(lattice.members(group)) for e, n in content.items() if n}
            for group, content in lattice.contents.items()
        },
        orderings=tuple(orderings),
    )


def _fill(
    build: Build, settings: StructureSettings, wanted: int, seed: int
) -> tuple[Lattice, list[Ordering]]:
    """Round the occupancies to atoms that the supercell has room for, and sample orderings."""
    prototype, supercell, states = (
        build.substitution.prototype,
        build.supercell,
        build.oxidation_states,
    )
    cell, fractional, labels = sites(prototype, supercell)
    excluded = exclusions(prototype, cell, fractional, labels, states)
    sizes = {label: labels.count(label) for label in dict.fromkeys(labels)}
    occupancies = without_blocked(prototype.by_label, sizes, labels, excluded)
    species = tuple(supercell.counts)
    contents = nearest_contents(occupancies, sizes, supercell.counts, labels, excluded)
    if contents is None:
        raise HalmdError(
            f"{build.formula}: no filling of {prototype.name} with {sum(supercell.counts.values())}"
            " atoms keeps face-sharing sites apart; raise structure.min_length_A for a larger "
            "supercell"
        )
    lattice = Lattice(
        cell,
        fractional,
        labels,
        species,
        np.array([float(states[element]) for element in species]),
        contents,
        excluded,
    )
    found = distinct_orderings(
        lattice,
        wanted=wanted,
        temperature_K=settings.ordering_temperature_K,
        steps=settings.monte_carlo_steps,
        seed=seed,
        sampling=settings.sampling,
        sqs=[e for e in species if states[e] > 1] if settings.sqs else (),
    )
    return lattice, [
        Ordering(_atoms(lattice, occupation), energy, chain) for occupation, energy, chain in found
    ]


def _ranked(orderings: list[Ordering], energy: Energy, keep: int) -> list[Ordering]:
    """The orderings of lowest energy by the potential."""
    return [
        replace(orderings[best.candidate], potential_energy_eV=best.energy_eV)
        for best in rerank([ordering.atoms for ordering in orderings], energy, keep=keep)
    ]


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
        if ordering.potential_energy_eV is not None:
            atoms.info["potential_energy_eV"] = ordering.potential_energy_eV
        with whole_file(folder / f"{number:02d}.extxyz") as temporary:
            ase.io.write(temporary, atoms, format="extxyz")
    write_json(folder / "orderings.json", summary(found))


def summary(found: OrderingSet) -> dict[str, Any]:
    """Everything that was decided, JSON-able, units in the key names."""
    first = found.orderings[0].atoms
    units = float(found.supercell.formula_units)
    return {
        "formula": found.formula,
        "mobile": found.build.mobile,
        "prototype": found.prototype.name,
        "why": found.build.why,
        "confidence": found.prototype.confidence,
        "cautions": list(found.build.cautions),
        "prototype_details": dict(found.prototype.details),
        "oxidation_states": dict(found.build.oxidation_states),
        "replaced": list(found.build.substitution.replaced),
        "cell_scale": found.build.substitution.cell_scale,
        "seed": found.seed,
        "settings": found.settings.model_dump(),
        "supercell_matrix": found.supercell.matrix.tolist(),
        "atoms": len(first),
        "counts": dict(found.supercell.counts),
        "achieved_per_formula_unit": {e: n / units for e, n in found.supercell.counts.items()},
        "achieved_formula": found.supercell.achieved,
        "composition_deviation": found.supercell.deviation,
        "site_occupancies_wanted": {k: dict(o) for k, o in found.wanted_occupancies.items()},
        "site_occupancies_achieved": {k: dict(o) for k, o in found.achieved_occupancies.items()},
        "volume_A3": float(first.get_volume()),
        "density_g_per_cm3": density_g_per_cm3(first),
        "orderings": [
            {
                "number": f"{number:02d}",
                "ewald_energy_eV": ordering.ewald_energy_eV,
                "potential_energy_eV": ordering.potential_energy_eV,
                "chain": ordering.chain,
                "shortest_distance_A": shortest_distance_A(ordering.atoms),
            }
            for number, ordering in enumerate(found.orderings)
        ],
    }
