"""Which orderings a campaign keeps: sampled, quasirandom, ranked by Ewald or by a potential."""

import itertools

import numpy as np
import pytest
from ase import Atoms

from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.structure import OrderingSet, build_orderings

SETTINGS = StructureSettings(min_length_A=9.5, n_orderings=3, monte_carlo_steps=300)


def metal_contacts(atoms: Atoms) -> float:
    """A made-up energy in eV that Ewald knows nothing of: the spread of Zr around Zr."""
    zr = [atom.index for atom in atoms if atom.symbol == "Zr"]
    return float(
        sum(1 / atoms.get_distance(i, j, mic=True) for i, j in itertools.combinations(zr, 2))
    )


def built(**changes: object) -> OrderingSet:
    settings = SETTINGS.model_copy(update=changes)
    return build_orderings("Li2.5Y0.5Zr0.5Cl6", settings, seed=3, energy=metal_contacts)


def test_potential_keeps_the_lowest_of_all_candidates() -> None:
    every = built(n_orderings=12)
    kept = built(rank_by="potential", candidates=4)
    energies = sorted(metal_contacts(ordering.atoms) for ordering in every.orderings)
    assert [o.potential_energy_eV for o in kept.orderings] == pytest.approx(energies[:3])
    assert all(o.potential_energy_eV is None for o in every.orderings)
    # Otherwise the test could not tell the two rankings apart.
    assert [o.ewald_energy_eV for o in kept.orderings] != sorted(
        o.ewald_energy_eV for o in every.orderings
    )[:3]


def test_ranking_by_a_potential_needs_one() -> None:
    settings = SETTINGS.model_copy(update={"rank_by": "relaxed"})
    with pytest.raises(HalmdError, match="rank_by: relaxed needs a potential"):
        build_orderings("Li3YCl6", settings, seed=0)


def test_samplings_differ_in_energy_as_their_names_say() -> None:
    means = [
        np.mean([o.ewald_energy_eV for o in built(n_orderings=8, sampling=sampling).orderings])
        for sampling in ("low_energy", "boltzmann", "random")
    ]
    assert means[0] < means[1] < means[2]


def test_quasirandom_metals_are_reproducible_and_keep_the_counts() -> None:
    one, other = built(sqs=True), built(sqs=True)
    sampled = built()
    for first, second in zip(one.orderings, other.orderings, strict=True):
        assert np.array_equal(first.atoms.positions, second.atoms.positions)
    assert (
        one.orderings[0].atoms.get_chemical_formula()
        == sampled.orderings[0].atoms.get_chemical_formula()
    )
    assert one.achieved_occupancies == sampled.achieved_occupancies
