"""Supercells: whole, neutral, wide enough; the size that would fit is named and does fit."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from halmd.composition import charge, oxidation_states, parse_formula
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.plan import plan
from halmd.structures.supercell import face_distances_A, most_cubic, whole_counts

SMALL = StructureSettings(min_length_A=9.0, max_atoms=120, composition_tolerance=0.005)


def test_named_size_does_fit_and_one_atom_less_does_not() -> None:
    with pytest.raises(HalmdError, match=r"no supercell of up to 120 atoms") as caught:
        plan("Li2.9Y0.9Zr0.1Cl6", SMALL, prototype="Li3YCl6_P-3m1_M2M3")
    found = re.search(r"; (\d+) atoms would", str(caught.value))
    assert found is not None
    needed = int(found.group(1))
    made = plan(
        "Li2.9Y0.9Zr0.1Cl6",
        SMALL.model_copy(update={"max_atoms": needed}),
        prototype="Li3YCl6_P-3m1_M2M3",
    )
    assert made.atoms == needed
    assert made.deviation <= 0.005
    with pytest.raises(HalmdError, match="no supercell of up to"):
        plan(
            "Li2.9Y0.9Zr0.1Cl6",
            SMALL.model_copy(update={"max_atoms": needed - 1}),
            prototype="Li3YCl6_P-3m1_M2M3",
        )


def test_nearest_is_taken_where_the_config_says_so_and_its_deviation_is_told() -> None:
    nearest = SMALL.model_copy(update={"beyond_tolerance": "nearest"})
    made = plan("Li2.9Y0.9Zr0.1Cl6", nearest, prototype="Li3YCl6_P-3m1_M2M3")
    assert 0.005 < made.deviation < 0.1
    assert made.atoms <= 120
    assert any("off by at most" in line for line in made.lines())
    units = made.counts["Cl"] / 6
    worst = max(
        abs(made.counts[e] / units - float(n))
        for e, n in parse_formula("Li2.9Y0.9Zr0.1Cl6").items()
    )
    assert made.deviation == pytest.approx(worst)


amounts = st.fractions(min_value=Fraction(1, 50), max_value=2, max_denominator=50)


@settings(max_examples=150, deadline=None)
@example(
    {"Y": Fraction(1, 50)},
    {**dict.fromkeys(("F", "Cl", "Br"), Fraction(1, 50)), "O": Fraction(11, 50)},
    9,
)
@given(
    st.dictionaries(
        st.sampled_from(["Y", "In", "Zr", "Mg", "Ta", "Sc", "Er", "Hf", "Na"]),
        amounts,
        min_size=1,
        max_size=9,
    ),
    st.dictionaries(st.sampled_from(["F", "Cl", "Br", "O"]), amounts, min_size=1),
    st.integers(1, 60),
)
def test_counts_are_neutral_and_within_one_atom(
    metals: dict[str, Fraction], anions: dict[str, Fraction], n: int
) -> None:
    formula = metals | anions
    states = oxidation_states(formula)
    lithium = -charge(formula, states)
    formula = ({"Li": lithium} if lithium > 0 else {"Li": Fraction(1)}) | formula
    states = oxidation_states(formula)
    units = Fraction(n) / sum(anions.values(), Fraction(0))
    found = whole_counts(formula, states, units, "Li")
    if found is None:
        # Three anions of two thirds of an atom each cannot all be kept while their sum is.
        scarce = any(formula[e] * units < 1 for e in (*metals, *anions))
        assert scarce or lithium <= 2 * sum(metals.values(), Fraction(0)) + 12 / units
        return
    counts, deviation = found
    assert sum(k * states[e] for e, k in counts.items()) == 0
    assert sum(counts[e] for e in anions) == n
    assert all(abs(counts[e] - formula[e] * units) < 1 for e in (*metals, *anions))
    worst = max(float(abs(counts[e] - formula[e] * units) / units) for e in formula)
    assert deviation == pytest.approx(worst)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 8, 12])
def test_shape_is_right_handed_wide_and_of_the_right_size(n: int) -> None:
    lattice = np.array([[11.2, 0, 0], [-5.6, 9.7, 0], [0, 0, 6.05]])
    matrix = most_cubic(lattice, n, 6.0)
    assert matrix is not None
    assert round(np.linalg.det(matrix)) == n
    assert face_distances_A(matrix @ lattice).min() >= 6.0
    assert most_cubic(lattice, n, 100.0) is None


def test_cubic_cells_are_found() -> None:
    assert np.array_equal(most_cubic(np.eye(3) * 3.9, 27, 11.0), 3 * np.eye(3))
    # Face-centred translations of a primitive cell give the conventional cube.
    primitive = np.array([[0, 5.2, 5.2], [5.2, 0, 5.2], [5.2, 5.2, 0]])
    matrix = most_cubic(primitive, 4, 10.0)
    assert matrix is not None
    assert np.allclose(face_distances_A(matrix @ primitive), 10.4)


@pytest.mark.parametrize("beyond", ["refuse", "nearest"])
@pytest.mark.parametrize("text", ["Li2.99Y0.99Zr0.01Cl6", "Li3YCl5.98F0.02"])
def test_a_dopant_is_never_lost_to_the_tolerance(text: str, beyond: str) -> None:
    settings_ = StructureSettings.model_validate({"min_length_A": 8.0, "beyond_tolerance": beyond})
    made = plan(text, settings_)
    assert min(made.counts.values()) >= 1
    assert set(made.counts) == set(parse_formula(text))
    assert made.deviation <= settings_.composition_tolerance
