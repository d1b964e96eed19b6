"""Formulas, oxidation states and neutrality."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from halmd.composition import (
    OXIDATION_STATES,
    charge,
    check_neutral,
    format_formula,
    oxidation_states,
    parse_formula,
    reduced,
)
from halmd.errors import HalmdError

HALIDE_ELEMENTS = [
    "Li",
    "Na",
    "Y",
    "In",
    "Sc",
    "Er",
    "Zr",
    "Hf",
    "Ta",
    "Mg",
    "Zn",
    "Cl",
    "Br",
    "F",
    "I",
]


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Li3YCl6", {"Li": 3, "Y": 1, "Cl": 6}),
        ("Li2.5Y0.5Zr0.5Cl6", {"Li": 2.5, "Y": 0.5, "Zr": 0.5, "Cl": 6}),
        ("Li2Sc2/3Cl4", {"Li": 2, "Sc": Fraction(2, 3), "Cl": 4}),
        ("Li3(Y0.5In0.5)Cl6", {"Li": 3, "Y": 0.5, "In": 0.5, "Cl": 6}),
        ("Li2ZrCl5.5F0.5", {"Li": 2, "Zr": 1, "Cl": 5.5, "F": 0.5}),
        ("LiCl LiCl", {"Li": 2, "Cl": 2}),
    ],
)
def test_formulas_are_read_exactly(text: str, amounts: dict[str, float]) -> None:
    assert parse_formula(text) == {
        e: Fraction(str(a)) if isinstance(a, float) else Fraction(a) for e, a in amounts.items()
    }


def test_a_tenth_is_a_tenth() -> None:
    assert parse_formula("Li2.9In0.9Zr0.1Cl6")["Zr"] == Fraction(1, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("Li3YtCl6", "unknown element Yt; did you mean Y"),
        ("li3YCl6", "cannot read 'l'"),
        ("3LiCl", "follows no element"),
        ("Li3(YCl6", "not closed"),
        ("Li3Y)Cl6", "closes nothing"),
        ("Li3/0Cl", "divides by zero"),
        ("Li0YCl3", "amount of 0"),
        ("Li-3YCl6", "cannot read '-'"),
        ("Li" * 200, "no formula is that long"),
    ],
)
def test_malformed_formula_is_one_line(text: str, message: str) -> None:
    with pytest.raises(HalmdError, match=message):
        parse_formula(text)


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Li3YCl6", {"Y": 3}),
        ("Li2ZrCl6", {"Zr": 4}),
        ("LiTaCl6", {"Ta": 5}),
        ("Li3TiCl6", {"Ti": 3}),
        ("Li2TiCl6", {"Ti": 4}),
        ("Li3VCl6", {"V": 3}),
        ("Li2FeCl4", {"Fe": 2}),
        ("Li3FeCl6", {"Fe": 3}),
        ("Li1.52Mn1.24Cl4", {"Mn": 2}),
        ("Li3OCl", {"O": -2}),
        ("LiWCl6", {"W": 5}),
        ("Li3MoCl6", {"Mo": 3}),
    ],
)
def test_oxidation_states_are_those_of_the_neutral_compound(
    text: str, states: dict[str, int]
) -> None:
    found = check_neutral(text)
    assert {element: found[element] for element in states} == states


def test_ambiguous_oxidation_states_are_refused() -> None:
    # Fe2+ with V3+, or Fe3+ with V2+.
    with pytest.raises(HalmdError, match="several oxidation states"):
        check_neutral("LiFeVCl6")


def test_states_that_are_given_settle_the_others() -> None:
    assert check_neutral("LiFeVCl6", fixed={"Fe": 3})["V"] == 2
    assert check_neutral("LiFeVCl6", fixed={"V": 3})["Fe"] == 2
    with pytest.raises(HalmdError, match=r"charge of -1.*V \+4"):
        check_neutral("Li2VCl7", fixed={"V": 4})


def test_charged_formula_says_by_how_much_and_what_would_do() -> None:
    with pytest.raises(HalmdError, match=r"charge of \+1 per formula unit.*; Li2ZrCl6 would be"):
        check_neutral("Li3ZrCl6")
    with pytest.raises(HalmdError, match=r"charge of -0\.5.*; Li2\.5Y0\.5Zr0\.5Cl6 would be"):
        check_neutral("Li2Y0.5Zr0.5Cl6")
    with pytest.raises(HalmdError, match="no Li content makes it neutral"):
        check_neutral("Li3YCl")


def test_element_without_a_tabulated_state_is_named() -> None:
    with pytest.raises(HalmdError, match="no oxidation state is known for Xe"):
        check_neutral("Li3XeCl6")


@given(st.text(max_size=40))
def test_no_text_crashes_the_parser(text: str) -> None:
    problem, amounts = "", {}
    try:
        amounts = parse_formula(text)
    except HalmdError as error:
        problem = str(error)
    assert bool(problem) != bool(amounts)
    assert "\n" not in problem


amounts = st.fractions(min_value=Fraction(1, 100), max_value=12, max_denominator=100)


@given(st.dictionaries(st.sampled_from(HALIDE_ELEMENTS), amounts, min_size=1, max_size=6))
def test_written_and_read_again(formula: dict[str, Fraction]) -> None:
    text = "".join(
        f"{element}{amount.numerator}/{amount.denominator}" for element, amount in formula.items()
    )
    assert parse_formula(text) == formula
    judge = Composition(format_formula(formula))
    for element, amount in formula.items():
        assert abs(judge[element] - float(amount)) < 1e-4


@given(
    st.dictionaries(
        st.sampled_from(["Y", "In", "Zr", "Mg", "Ta"]), amounts, min_size=1, max_size=4
    ),
    amounts,
)
def test_proposed_lithium_content_is_neutral(
    metals: dict[str, Fraction], chlorine: Fraction
) -> None:
    formula = {"Li": Fraction(1)} | metals | {"Cl": chlorine}
    states = oxidation_states(formula)
    wanted = chlorine - sum(amount * states[element] for element, amount in metals.items())
    mended = formula | {"Li": wanted}
    assert charge(mended, states) == 0


def test_reduced_compares_multiples_as_equal() -> None:
    assert reduced(parse_formula("Li3YCl6")) == reduced(parse_formula("Li6Y2Cl12"))
    assert reduced(parse_formula("Li3YCl6")) != reduced(parse_formula("Li3YBr6"))


def test_table_of_states_is_sane() -> None:
    assert all(states and 0 not in states for states in OXIDATION_STATES.values())
