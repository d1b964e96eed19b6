"""Exchanged orderings: the same sites, other ions of the same charge, and a cell to match."""

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from toy_cells import RECORD

from halmd.composition import parse_formula, reduced
from halmd.distill.exchange import Exchange, exchange_of, exchanged
from halmd.distill.settings import DistillSettings
from halmd.distill.starts import Start, build_starts

CHARGES = {"Li": 1, "Y": 3, "In": 3, "Zr": 4, "Cl": -1, "Br": -1}
FAMILIES = [
    {
        "name": "all",
        "compositions": [
            {"formula": "Li3YCl6", "prototype": "Li3YCl6_P-3m1_M1M2"},
            "Li2.5In0.5Zr0.5Cl6",
            "Li3InBr6",
            {"formula": "Li3YBr6", "held_out": True},
        ],
    }
]


@pytest.fixture(scope="module")
def recipe() -> DistillSettings:
    return DistillSettings.model_validate(RECORD | {"families": FAMILIES})


@pytest.fixture(scope="module")
def starts(recipe: DistillSettings) -> list[Start]:
    return build_starts(recipe, lambda text: None)


def test_species_are_kept_apart_by_charge(recipe: DistillSettings) -> None:
    assert exchange_of(recipe).species == {3: ["In", "Y"], 4: ["Zr"], -1: ["Br", "Cl"]}


@given(seed=st.integers(0, 10_000), which=st.integers(0, 100))
def test_charge_sites_and_mobile_ions_stay(
    recipe: DistillSettings, starts: list[Start], seed: int, which: int
) -> None:
    start = starts[which % len(starts)]
    other = exchanged(start, exchange_of(recipe), np.random.default_rng(seed))
    before, after = start.atoms.get_chemical_symbols(), other.atoms.get_chemical_symbols()
    assert [CHARGES[a] for a in before] == [CHARGES[b] for b in after]
    assert [a == "Li" for a in before] == [b == "Li" for b in after]
    moved = other.atoms.get_scaled_positions() - start.atoms.get_scaled_positions()
    assert np.allclose(moved, np.round(moved))
    assert (other.family, other.composition) == (start.family, start.composition)


LITHIUM_CHLORIDE = Start(
    tag="LiCl-0-00",
    family="all",
    composition="LiCl",
    atoms=bulk("LiCl", "rocksalt", a=5.1),
    held_out=False,
)
STATES = {"LiCl": {"Li": 1, "Cl": -1}}


def test_a_held_out_composition_is_never_made() -> None:
    exchange = Exchange("Li", STATES, {-1: ["Br", "Cl"]}, held_out=[reduced(parse_formula("LiCl"))])
    rng = np.random.default_rng(0)
    made = [exchanged(LITHIUM_CHLORIDE, exchange, rng) for _ in range(50)]
    assert {start.atoms.get_chemical_formula() for start in made} == {"BrLi"}


def test_the_cell_grows_as_measured_cells_do() -> None:
    """Rock-salt LiCl and LiBr have lattice constants of 5.14 and 5.50 Å."""
    exchange = Exchange("Li", STATES, {-1: ["Br"]}, held_out=[])
    bromide = exchanged(LITHIUM_CHLORIDE, exchange, np.random.default_rng(0)).atoms
    ratio = bromide.get_volume() / LITHIUM_CHLORIDE.atoms.get_volume()
    assert ratio == pytest.approx((5.50 / 5.14) ** 3, rel=0.03)
