"""Series of compositions, found among formulas."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.composition import parse_formula, reduced
from halmd.report.composition_series import find_series, in_mathtext
from halmd.series import expand

TEMPLATES = (
    "Li{3-x}In{1-x}Zr{x}Cl6",
    "Li3YCl{6-x}Br{x}",
    "Li{6-3x}Y{x}Cl6",
    "Li2ZrCl{6-x}F{x}",
    "Li{2.2+x}In{0.2+x}Zr{0.8-x}Cl6",
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_template_gives_the_compositions_back(template: str) -> None:
    first = Fraction(1) if template.startswith("Li{6-3x}") else Fraction(0)
    values = [first + Fraction(k, 10) for k in (0, 1, 3, 4)]
    formulas = expand([template], {"x": values})
    (found,) = find_series(formulas)
    assert found.members == (0, 1, 2, 3)
    again = [
        expand([found.template], {"x": [Fraction(x).limit_denominator(1000)]})[0] for x in found.x
    ]
    for formula, other in zip(formulas, again, strict=True):
        assert reduced(parse_formula(other)) == reduced(parse_formula(formula))


def test_x_counts_what_one_end_lacks_and_rises() -> None:
    (found,) = find_series(["Li2.5Y0.5Zr0.5Cl6", "Li2.7Y0.7Zr0.3Cl6", "Li3YCl6"])
    assert found.template == "Li{3-x}Y{1-x}Zr{x}Cl6"
    assert found.members == (2, 1, 0)
    assert found.x == (0.0, 0.3, 0.5)
    # Both ends lack something: x begins at the one that is listed first.
    ends = ["Li2ZrCl6", "Li2.5Y0.5Zr0.5Cl6", "Li3YCl6"]
    assert find_series(ends)[0].template == "Li{2+x}Y{x}Zr{1-x}Cl6"
    assert find_series(ends[::-1])[0].template == "Li{3-x}Y{1-x}Zr{x}Cl6"


@pytest.mark.parametrize(
    "formulas",
    [
        [],
        ["Li3YCl6"],
        ["Li3YCl6", "Li2ZrCl6"],
        ["Li3YCl6", "Li6Y2Cl12", "Li2ZrCl6"],
        ["Li3YCl6", "Li3InCl6", "Li3ErCl6", "Li3ScCl6"],
        ["Li3YCl6", "Li2.5Y0.5Zr0.5Cl6", "Li2.5In0.5Zr0.5Cl6"],
    ],
)
def test_two_compositions_or_unrelated_ones_are_no_series(formulas: list[str]) -> None:
    assert find_series(formulas) == []


def test_two_crystals_of_a_composition_are_both_members() -> None:
    (found,) = find_series(["Li3YCl6", "Li6Y2Cl12", "Li2.5Y0.5Zr0.5Cl6", "Li2ZrCl6"])
    assert found.members == (0, 1, 2, 3)
    assert found.x == (0.0, 0.0, 0.5, 1.0)


def test_rounded_amounts_still_lie_on_the_line() -> None:
    (found,) = find_series(["Li3YCl6", "Li2.727Y1.091Cl6", "Li2.61Y1.13Cl6"])
    assert found.template == "Li{6-3x}Y{x}Cl6"
    assert found.x == pytest.approx((1.0, 1.091, 1.13))


def test_a_plane_of_compositions_is_its_rows_not_every_diagonal() -> None:
    values = [Fraction(k, 4) for k in range(5)]
    formulas = expand(["Li3Y{1-x}In{x}Cl{6-y}Br{y}"], {"x": values, "y": values})
    found = find_series(formulas)
    assert len(found) <= 10
    assert {member for series in found for member in series.members} == set(range(25))
    assert all(len(series.members) == 5 for series in found)


def test_end_members_may_belong_to_several_series() -> None:
    formulas = ["Li3YCl6", "Li2.5Y0.5Zr0.5Cl6", "Li2ZrCl6", "Li3Y0.5In0.5Cl6", "Li3InCl6"]
    assert {series.members for series in find_series(formulas)} == {(0, 1, 2), (0, 3, 4)}


@given(st.permutations(["Li3YCl6", "Li2.9Y0.9Zr0.1Cl6", "Li2.6Y0.6Zr0.4Cl6", "Li2ZrCl6"]))
def test_the_order_of_the_list_changes_no_membership(formulas: list[str]) -> None:
    (found,) = find_series(formulas)
    assert sorted(found.members) == [0, 1, 2, 3]
    assert list(found.x) == sorted(found.x)


def test_amounts_of_a_template_are_subscripts() -> None:
    assert in_mathtext("Li{3-x}YCl6") == r"Li$_{3-\mathit{x}}$YCl$_{6}$"
    assert in_mathtext("Li2.5Y{x}Cl6") == r"Li$_{2.5}$Y$_{\mathit{x}}$Cl$_{6}$"
