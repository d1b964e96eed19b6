"""Ranking by a potential: order, relaxation, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from halmd.errors import HalmdError
from halmd.structures.rerank import calculator_energy, rerank


def pair(distance_A: float) -> Atoms:
    return Atoms("Ar2", [[0, 0, 0], [distance_A, 0, 0]], cell=[20, 20, 20], pbc=True)


# As stiff as a crystal: relaxation must not be judged on harder things than it is for.
EPSILON_EV = 0.1
LJ = LennardJones(sigma=2.5, epsilon=EPSILON_EV, rc=8.0)


def test_lowest_energy_comes_first_and_the_rest_is_dropped() -> None:
    candidates = [pair(2.5 * x) for x in (1.0, 2 ** (1 / 6), 1.5, 3.0)]
    found = rerank(candidates, calculator_energy(LJ))
    assert [entry.candidate for entry in found] == [1, 2, 3, 0]
    assert found[0].energy_eV == pytest.approx(-EPSILON_EV, abs=1e-3)
    assert rerank(candidates, calculator_energy(LJ), keep=2) == found[:2]


def test_ties_stay_in_the_order_given() -> None:
    found = rerank([pair(1.0), pair(2.0), pair(3.0)], lambda atoms: 0.0)
    assert [entry.candidate for entry in found] == [0, 1, 2]


def test_relaxed_energies_rank_the_minima_and_leave_the_candidates_alone() -> None:
    # Steep but near the minimum, against flat and too far to bind.
    close, far = pair(2.45), pair(9.0)
    single = rerank([close, far], calculator_energy(LJ))
    relaxed = rerank(
        [close, far], calculator_energy(LJ, relax=True, max_steps=100, force_eV_per_A=0.001)
    )
    assert [entry.candidate for entry in single] == [1, 0]
    assert [entry.candidate for entry in relaxed] == [0, 1]
    assert relaxed[0].energy_eV == pytest.approx(-EPSILON_EV, abs=1e-3)
    assert np.array_equal(close.positions, pair(2.45).positions)
    assert close.calc is None


def test_relaxing_the_cell_goes_lower_than_relaxing_positions() -> None:
    crystal = Atoms("Ar", cell=np.eye(3) * 3.0, pbc=True).repeat(3)
    positions = rerank([crystal], calculator_energy(LJ, relax=True))[0].energy_eV
    cell = rerank([crystal], calculator_energy(LJ, relax=True, relax_cell=True))[0].energy_eV
    assert cell < positions - EPSILON_EV


def test_other_compositions_and_broken_energies_are_refused() -> None:
    with pytest.raises(HalmdError, match="different composition"):
        rerank([pair(1.0), Atoms("Ar3")], lambda atoms: 0.0)
    with pytest.raises(HalmdError, match="ordering 0 of Ar2: the potential gives nan eV"):
        rerank([pair(1.0)], lambda atoms: float("nan"))


def test_nothing_ranks_to_nothing() -> None:
    assert rerank([], lambda atoms: 0.0) == ()
