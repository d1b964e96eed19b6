"""The sampling against exact enumeration: every allowed filling at its Boltzmann weight."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy.stats import chi2

from halmd.structures.chains import Chains, ion_classes
from halmd.structures.ewald import ewald_matrix
from halmd.structures.lattice import VACANCY, Lattice, Occupation, site_charges, total_energy_eV
from halmd.structures.ordering import inverse_temperatures_per_eV, run_chains
from halmd.structures.packing import NoFillingError, start

MakeColumns = Callable[[int, Mapping[str, Mapping[str, int]]], Lattice]

MOVES = 1000
FILLINGS = {
    # M3 holds lithium too: exchanged with metals of another charge, beside columns that move.
    "lithium in full columns": (
        2,
        {"M2": {"Y": 1, "Li": 1}, "M3": {"Zr": 1, "Li": 1}, "Li": {"Li": 1}},
    ),
    # Every column is all M2 or all M3: only whole columns can move.
    "full columns": (2, {"M2": {"Y": 1, "Zr": 1}, "M3": {"Y": 2}, "Li": {"Li": 2}}),
    "elements of one charge": (2, {"M2": {"Y": 1, "Sc": 1}, "M3": {"Zr": 2}, "Li": {"Li": 2}}),
    "gaps in the columns": (3, {"M2": {"Y": 2}, "M3": {"Y": 2}, "Li": {"Li": 1}}),
    "few metals": (3, {"M2": {"Zr": 1, "Y": 1}, "M3": {"Y": 1}, "Li": {}}),
    "no exclusions bind": (2, {"M2": {"Y": 2, "Zr": 1}, "M3": {}, "Li": {"Li": 4}}),
}


def all_fillings(lattice: Lattice) -> list[tuple[int, ...]]:
    """Every occupation with the right numbers that keeps excluded sites apart."""
    found = [np.full(len(lattice.groups), VACANCY)]
    for group, content in lattice.contents.items():
        for element, n in content.items():
            longer = []
            for occupation in found:
                clashes = lattice.excluded[:, occupation != VACANCY].any(axis=1)
                free = [k for k in lattice.members(group) if occupation[k] == VACANCY]
                for places in itertools.combinations([k for k in free if not clashes[k]], n):
                    if not lattice.excluded[np.ix_(places, places)].any():
                        longer.append(occupation.copy())
                        longer[-1][list(places)] = lattice.species.index(element)
            found = longer
    return [tuple(occupation.tolist()) for occupation in found]


def shuffled(lattice: Lattice, occupation: Occupation, rng: np.random.Generator) -> Occupation:
    """Ions of one charge within a group in random order."""
    result = occupation.copy()
    for one in ion_classes(lattice):
        numbers = [lattice.species.index(element) for element in one.species]
        places = one.members[np.isin(occupation[one.members], numbers)]
        result[places] = rng.permutation(occupation[places])
    return result


def chance_of_what_is_drawn(
    lattice: Lattice, beta_per_eV: float, *, chains: int, moves: int
) -> float:
    """Probability of a chi-squared as large, if the chains draw from the Boltzmann distribution.

    At least `chains` of them, and enough for ten in the average state.
    """
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    states = all_fillings(lattice)
    chains = max(chains, 10 * len(states))
    energies = np.array([total_energy_eV(lattice, matrix, np.array(s)) for s in states])
    weights = np.exp(-beta_per_eV * (energies - energies.min()))
    weights /= weights.sum()
    rngs = [np.random.default_rng([7, k]) for k in range(chains)]
    # All begin at the same places, those of highest energy, so that only the moves can bring the
    # states about; which element of one charge is which is drawn at the start.
    first = np.array(states[int(energies.argmax())])
    state = Chains.of(lattice, matrix, [shuffled(lattice, first, rng) for rng in rngs])
    state.run(np.full(moves, beta_per_eV), rngs, np.random.default_rng(7))
    number = {occupation: k for k, occupation in enumerate(states)}
    seen = np.bincount(
        [number[tuple(o.tolist())] for o in state.occupations()], minlength=len(states)
    )
    # Rare states are pooled, so that the statistic is chi-squared distributed.
    rare = chains * weights < 5
    expected, got = list(chains * weights[~rare]), list(seen[~rare])
    if chains * weights[rare].sum() > 1:
        expected.append(chains * weights[rare].sum())
        got.append(seen[rare].sum())
    statistic = sum((g - e) ** 2 / e for g, e in zip(got, expected, strict=True))
    return float(chi2.sf(statistic, len(expected) - 1))


@pytest.mark.parametrize("beta_per_eV", [0.06, 0.0], ids=["warm", "infinite"])
@pytest.mark.parametrize("name", FILLINGS)
def test_every_filling_comes_at_its_boltzmann_weight(
    columns: MakeColumns, name: str, beta_per_eV: float
) -> None:
    lattice = columns(*FILLINGS[name])
    assert chance_of_what_is_drawn(lattice, beta_per_eV, chains=2000, moves=MOVES) > 1e-3


def test_inverse_temperatures_are_those_of_the_screened_charges() -> None:
    betas = inverse_temperatures_per_eV("boltzmann", 800.0, 3)
    assert betas == pytest.approx([1 / (8.617333e-5 * 800 * 10)] * 3)
    assert not inverse_temperatures_per_eV("random", 800.0, 3).any()
    cooling = inverse_temperatures_per_eV("low_energy", 800.0, 50)
    assert (np.diff(cooling) > 0).all()


def test_incremental_energy_equals_a_fresh_sum_after_ten_thousand_moves(
    lattice_of: Callable[..., Lattice],
) -> None:
    lattice = lattice_of("Li3YCl6_P-3m1_M2M3", (2, 2, 2), {"Li": 72, "Y": 24, "Cl": 144})
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    rngs = [np.random.default_rng(k) for k in range(3)]
    chains = Chains.of(lattice, matrix, [start(lattice, rng) for rng in rngs])
    before = chains.occupations()
    chains.run(np.full(10_000, 0.2), rngs, np.random.default_rng(9))
    after = chains.occupations()
    assert (after != before).mean() > 0.1
    for k in range(3):
        charges = site_charges(lattice, after[k])
        assert chains.energies_eV()[k] == pytest.approx(charges @ matrix @ charges / 2, abs=1e-6)
        assert np.allclose(chains.potential_V[k], matrix @ charges, atol=1e-8)
        full = after[k] != VACANCY
        assert np.array_equal(chains.blocked[k], lattice.excluded @ full.astype(int))
        assert not lattice.excluded[np.ix_(full, full)].any()
        for group, content in lattice.contents.items():
            held = after[k][lattice.members(group)]
            for element, number in content.items():
                assert np.sum(held == lattice.species.index(element)) == number


def test_a_chain_does_not_depend_on_its_neighbours(columns: MakeColumns) -> None:
    lattice = columns(*FILLINGS["gaps in the columns"])
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    betas = np.full(700, 0.5)
    together = run_chains(lattice, matrix, betas_per_eV=betas, seed=1, chains=range(6))
    alone = run_chains(lattice, matrix, betas_per_eV=betas, seed=1, chains=[4])
    assert np.array_equal(together[4][0], alone[0][0])
    other = run_chains(lattice, matrix, betas_per_eV=betas, seed=2, chains=range(6))
    assert any(not np.array_equal(a, b) for (a, _), (b, _) in zip(together, other, strict=True))


def test_frozen_metals_stay(columns: MakeColumns) -> None:
    lattice = columns(3, {"M2": {"Y": 2}, "M3": {"Y": 1}, "Li": {"Li": 4}})
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    rngs = [np.random.default_rng(k) for k in range(4)]
    chains = Chains.of(lattice, matrix, [start(lattice, r) for r in rngs], frozen=["Y"])
    before = chains.occupations()
    chains.run(np.zeros(300), rngs, np.random.default_rng(0))
    assert np.array_equal(before == 1, chains.occupations() == 1)
    assert not np.array_equal(before == 0, chains.occupations() == 0)


def test_numbers_that_cannot_be_kept_apart_are_refused_at_once(columns: MakeColumns) -> None:
    # Six of one column's sites, half filled, are all M2 or all M3.
    lattice = columns(3, {"M2": {"Y": 4}, "M3": {"Y": 2}, "Li": {}})
    with pytest.raises(NoFillingError, match="keeps excluded pairs apart"):
        start(lattice, np.random.default_rng(0))
