"""Repulsion of bare nuclei: that of the students, and force and energy of one another."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.distill.repulsion import zbl

ELEMENTS = ("Br", "Cl", "Li", "Y", "Zr")
pairs = st.tuples(st.sampled_from(ELEMENTS), st.sampled_from(ELEMENTS))


@given(pair=pairs, distance_A=st.floats(0.5, 3.5))
def test_the_force_is_the_slope_of_the_energy(pair: tuple[str, str], distance_A: float) -> None:
    step = 1e-5
    (before, _), (after, _) = (zbl(distance_A + s * step, *pair) for s in (-1, 1))
    _, force = zbl(distance_A, *pair)
    assert force == pytest.approx((before - after) / (2 * step), rel=1e-4, abs=1e-6)


@given(pair=pairs)
def test_it_repels_more_and_more(pair: tuple[str, str]) -> None:
    forces = [zbl(1.4 - 0.05 * k, *pair)[1] for k in range(15)]
    assert all(inner > outer >= 0 for outer, inner in itertools.pairwise(forces))


@pytest.mark.torch
def test_it_is_what_mace_has_under_a_student() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("mace")
    from halmd.distill import network
    from halmd.distill.settings import StudentSettings

    model = network.build(StudentSettings(hidden_irreps="16x0e", radial=(8,)), ELEMENTS).double()
    for one in range(len(ELEMENTS)):
        for other in range(len(ELEMENTS)):
            for distance_A in (0.6, 1.0, 1.5, 2.0, 3.6):
                kinds = torch.nn.functional.one_hot(torch.tensor([one, other]), len(ELEMENTS))
                theirs = model.pair_repulsion_fn(
                    torch.full((2, 1), distance_A, dtype=torch.float64),
                    kinds.double(),
                    torch.tensor([[0, 1], [1, 0]]),
                    model.atomic_numbers,
                )
                energy_eV, _ = zbl(distance_A, ELEMENTS[one], ELEMENTS[other])
                assert energy_eV == pytest.approx(float(theirs.sum()), rel=1e-6, abs=1e-9)
