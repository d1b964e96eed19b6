"""Series of compositions: exact amounts, and one clear line for every mistake."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.composition import parse_formula
from halmd.errors import HalmdError
from halmd.series import exact, expand, parse_variable, series


def test_a_series_by_start_stop_and_step() -> None:
    assert series(["Li{3-x}In{1-x}Zr{x}Cl6", "x=0:0.5:0.1"]) == [
        "Li3InCl6",
        "Li2.9In0.9Zr0.1Cl6",
        "Li2.8In0.8Zr0.2Cl6",
        "Li2.7In0.7Zr0.3Cl6",
        "Li2.6In0.6Zr0.4Cl6",
        "Li2.5In0.5Zr0.5Cl6",
    ]


def test_a_series_in_one_argument_with_blanks() -> None:
    assert series(["Li{ 3 - x }Y{1-x}Zr{x}Cl6 x = 0, 0.25 ,1"]) == [
        "Li3YCl6",
        "Li2.75Y0.75Zr0.25Cl6",
        "Li2ZrCl6",
    ]


def test_several_variables_make_all_combinations() -> None:
    found = series(["Li{3-2x-y}Y{1-x-y}Ta{x}Zr{y}Cl6", "x=0,0.1", "y=0:0.2:0.1"])
    assert found == [
        "Li3YCl6",
        "Li2.9Y0.9Zr0.1Cl6",
        "Li2.8Y0.8Zr0.2Cl6",
        "Li2.8Y0.9Ta0.1Cl6",
        "Li2.7Y0.8Ta0.1Zr0.1Cl6",
        "Li2.6Y0.7Ta0.1Zr0.2Cl6",
    ]


def test_each_formula_takes_the_variables_it_mentions() -> None:
    found = series(["Li3YCl6", "Li{3-x}Y{1-x}Zr{x}Cl6", "Li3YCl{6-y}Br{y}", "x=0,1", "y=6"])
    assert found == ["Li3YCl6", "Li2ZrCl6", "Li3YBr6"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Li3(Y{1-x}In{x})Cl6", "x=0,0.5,1"], ["Li3YCl6", "Li3Y0.5In0.5Cl6", "Li3InCl6"]),
        (["(LiCl){x}(YCl3){1-x}", "x=0,3/4,1"], ["YCl3", "(LiCl)0.75(YCl3)0.25", "LiCl"]),
        (["Li2[Sc{2(1-x)/3}In{2x/3}]Cl4", "x=1/2"], ["Li2Sc1/3In1/3Cl4"]),
        (["Li{-x+3}YCl6", "x=-0:0:1"], ["Li3YCl6"]),
        (["Li{x}Cl", "x=1:0.5:-0.25"], ["LiCl", "Li0.75Cl", "Li0.5Cl"]),
        (["Li{x}Cl", "x=0.1:0.3:0.1,1"], ["Li0.1Cl", "Li0.2Cl", "Li0.3Cl", "LiCl"]),
        (["Li{x}Cl", "x=0.5:1:0.4"], ["Li0.5Cl", "Li0.9Cl"]),
        (["Li{8*x/(1+1)-.5}Cl", "x=.5"], ["Li1.5Cl"]),
        (["Li3 Y Cl6"], ["Li3YCl6"]),
        (["Li2.50Y0.5Zr0.5Cl6", "Li3YCl6", "Li3YCl6"], ["Li2.50Y0.5Zr0.5Cl6", "Li3YCl6"]),
    ],
)
def test_what_a_series_may_hold(arguments: list[str], expected: list[str]) -> None:
    assert series(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Li{3-x}In{1-x}Zr{x}Cl6", "x=0:1.5:0.5"], r"amount 1-x of In is -0\.5 at x=1\.5"),
        (["Li{x-y}Cl", "x=0", "y=1"], r"at x=0, y=1; amounts may not be negative"),
        (["Li{1/x}Cl", "x=1,0"], r"division by zero in \{1 / x\} at x=0"),
        (["Li{1/2x}Cl", "x=1"], "before a product without '\\*'"),
        (["Li{x}Cl"], "x has no values"),
        (["Li3YCl6", "x=1"], "x stands in no formula"),
        (["Li{x}Cl", "x=1", "x=2"], "x is defined twice"),
        (["x=1"], "no formula is given"),
        (["Li{x}{x}Cl", "x=1"], "follows no element"),
        (["Li{3-x", "x=1"], "cannot read '{' at 3"),
        (["Li{x}Cl6}", "x=1"], "cannot read '}' at 9"),
        (["(Li{x}Cl", "x=1"], "a bracket is not closed"),
        (["Li{x})Cl", "x=1"], "closes nothing"),
        (["Li{}Cl"], "an amount is missing"),
        (["Li{(1}Cl"], "a parenthesis is not closed"),
        (["Li{1 2}Cl"], "unexpected '2'"),
        (["Li{x**2}Cl", "x=1"], r"unexpected '\*'"),
        (["Li{__import__('os')}Cl"], "cannot read '_'"),
        (["Li{x.real}Cl", "x=1"], r"cannot read '\.'"),
        (["Li{" + "(" * 90 + "1" + ")" * 90 + "}Cl"], "deeper than 20"),
        (["(" * 90 + "Li{1}" + ")" * 90], "deeper than 20"),
        (["Li{x*x*x*x}Cl", "x=1" + "0" * 100], "more than 30 digits"),
        (["Li{x}", "x=0"], "nothing is left at x=0"),
        (["Lj{x}", "x=1"], "unknown element Lj"),
        (["Li{x}Cl", "x=0:1:0.00001"], "more than 500"),
        (["Li{x}Cl{y}", "x=1:100:1", "y=1:100:1"], "10000 compositions"),
        (["Li{x}Cl", "x=1:0:0.1"], "leads away"),
        (["Li{x}Cl", "x=0:1:0"], "never ends"),
        (["Li{x}Cl", "x=0:1"], "a start, a stop and a step"),
        (["Li{x}Cl", "x=1/0"], "divides by zero"),
        (["Li{x}Cl", "x="], "'' is no number"),
        (["Li{x}Cl", "x=nan"], "'nan' is no number"),
        (["Li{x}Cl", "=1"], "defines no variable"),
        (["Li" * 101], "no formula is that long"),
    ],
)
def test_mistake_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(HalmdError, match=message) as caught:
        series(arguments)
    assert "\n" not in str(caught.value)


amounts = st.fractions(min_value=0, max_value=1000, max_denominator=1000)


@given(amounts.filter(bool))
def test_written_amounts_are_read_back_exactly(amount: Fraction) -> None:
    assert parse_formula(f"Li{exact(amount)}Cl")["Li"] == amount
    assert parse_variable(f"x={exact(amount)}") == ("x", (amount,))


# An expression as text with its value, built side by side; None where it divides by zero.
Expression = tuple[str, Fraction | None]
X = Fraction(3, 7)


def _combined(pair: tuple[Expression, Expression], operator: str) -> Expression:
    (left, a), (right, b) = pair
    text = f"({left}){operator}({right})"
    if a is None or b is None or (operator == "/" and b == 0):
        return text, None
    values = {"+": a + b, "-": a - b, "*": a * b, "": a * b, "/": a / b if b else None}
    return text, values[operator]


numbers = st.integers(0, 99).map(lambda n: (str(n), Fraction(n)))
decimals = st.integers(0, 999).map(lambda n: (f"{n / 100:.2f}", Fraction(n, 100)))
expressions = st.recursive(
    numbers | decimals | st.just(("x", X)),
    lambda inner: st.builds(
        _combined, st.tuples(inner, inner), st.sampled_from(["+", "-", "*", "", "/"])
    ),
    max_leaves=6,
)


@given(expressions)
def test_arithmetic_is_exact(expression: Expression) -> None:
    text, value = expression
    template = f"Li{{x+{text}}}Cl"
    wanted = None if value is None else X + value
    if wanted is None or wanted < 0 or max(wanted.numerator, wanted.denominator) >= 10**30:
        with pytest.raises(HalmdError, match=r"division by zero|negative|30 digits"):
            expand([template], {"x": [X]})
    else:
        (formula,) = expand([template], {"x": [X]})
        assert parse_formula(formula).get("Li", Fraction(0)) == wanted


steps = st.integers(1, 40)


@given(st.fractions(-5, 5, max_denominator=100), st.fractions(1, 2, max_denominator=50), steps)
def test_ranges_hold_start_and_stop_exactly(start: Fraction, step: Fraction, count: int) -> None:
    stop = start + count * step
    _, values = parse_variable(f"x={exact(start)}:{exact(stop)}:{exact(step)}")
    assert values == tuple(start + k * step for k in range(count + 1))


words = st.text(st.sampled_from("LiYClXxy0123456789.{}()[]+-*/=:, _²٣\n\x00"), max_size=30)


@given(st.lists(words | st.text(max_size=10), max_size=3), st.sampled_from(["x=0:1:0.5", "x=1/3"]))
def test_any_nonsense_is_refused_in_one_line_or_read(nonsense: list[str], variable: str) -> None:
    problem = ""
    try:
        for formula in series([*nonsense, "Li{x}Cl", variable]):
            parse_formula(formula)
    except HalmdError as error:
        problem = str(error)
    assert "\n" not in problem


@given(words)
def test_any_template_is_refused_in_one_line_or_read(body: str) -> None:
    problem = ""
    try:
        for formula in expand([f"Li{{{body}}}Cl{body}"], {"x": [X], "y": [Fraction(2)]}):
            parse_formula(formula)
    except HalmdError as error:
        problem = str(error)
    assert "\n" not in problem
