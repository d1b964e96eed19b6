"""The plan of a material says everything that will be built, and only that."""

import time

import pytest

from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.plan import plan
from halmd.structures.structure import build_orderings, summary

SETTINGS = StructureSettings(min_length_A=9.0, n_orderings=1, monte_carlo_steps=50)


def test_plan_and_build_agree() -> None:
    made = plan("Li2.5Y0.5Zr0.5Cl6", SETTINGS, prototype="Li3YCl6_P-3m1_M2M3")
    built = summary(
        build_orderings("Li2.5Y0.5Zr0.5Cl6", SETTINGS, seed=0, prototype="Li3YCl6_P-3m1_M2M3")
    )
    assert made.counts == built["counts"]
    assert [list(row) for row in made.supercell] == built["supercell_matrix"]
    assert made.achieved_formula == built["achieved_formula"]
    assert made.confidence == built["confidence"] == "derived"
    assert list(made.cautions) == built["cautions"]
    assert made.cell_scale == pytest.approx(built["cell_scale"])
    assert list(made.substitutions) == built["replaced"]


def test_vacancies_are_counted_against_the_prototype() -> None:
    made = plan("Li2.5Y0.5Zr0.5Cl6", SETTINGS, prototype="Li3YCl6_P-3m1_M2M3")
    units = made.counts["Cl"] / 6
    assert made.vacancies == pytest.approx(0.5 * units, abs=0.01)
    assert made.interstitials == 0
    assert made.mobile_sites == 4 * units
    more = plan("Li2.25Zr0.75Fe0.25Cl6", SETTINGS)
    assert more.interstitials == pytest.approx(0.25 * more.counts["Cl"] / 6, abs=0.01)
    assert more.vacancies == 0


def test_lines_say_what_a_person_must_know() -> None:
    text = "\n".join(
        plan("Li2.25Zr0.75Fe0.25Cl6", SETTINGS, potential_elements=("Li", "Zr", "Cl")).lines()
    )
    for words in (
        "from Li2ZrCl6_alpha_P-3m1 (P -3 m 1), chosen because it holds Cl",
        "Fe +3",
        "sites of Zr: Zr 75 %, Fe 25 %",
        "interstitials against the prototype",
        "confidence: LOW",
        "cell recalled from memory",
        "potential: was not trained on Fe",
    ):
        assert words in text
    strange = plan(
        "Li3YCl6",
        SETTINGS,
        potential_elements={"Li", "Y", "Cl"},
        potential_crystals={"Li3InCl6_C2m"},
    )
    assert "was not trained on the crystal Li3YCl6" in "\n".join(strange.lines())
    quiet = "\n".join(plan("Li3YCl6", SETTINGS, potential_elements={"Li", "Y", "Cl"}).lines())
    assert "covers every element" in quiet
    assert "caution" not in quiet


def test_oxidation_states_can_be_settled() -> None:
    with pytest.raises(HalmdError, match=r"several oxidation states fit.*oxidation_states:"):
        plan("Li3.5Fe0.5V0.5Cl6", SETTINGS)
    made = plan("Li3.5Fe0.5V0.5Cl6", SETTINGS, fixed_states={"Fe": 3})
    assert made.oxidation_states["V"] == 2


def test_mobile_ion_must_be_there() -> None:
    with pytest.raises(HalmdError, match=r"holds no Li.*diffusion\.mobile"):
        plan("Na3YCl6", SETTINGS)
    assert plan("Na3YCl6", SETTINGS, mobile="Na").counts["Na"] > 0


def test_a_plan_takes_no_time() -> None:
    plan("Li2.2In0.2Sc0.2Zr0.2Hf0.2Ta0.2Cl6", SETTINGS)
    start = time.perf_counter()
    plan("Li2.75Y1/6Er1/6Yb1/6In0.25Zr0.25Cl6", SETTINGS)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    ("formula", "caution"),
    [
        # LiGaCl4 and LiAlCl4 have tetrahedra, Li3BiCl6 no known crystal, CuCl2 uneven bonds.
        ("Li3GaCl6", "Ga3+ mostly has four"),
        ("LiAlCl4", "Al3+ mostly has four"),
        ("Li3BiCl6", "Bi3+ has a lone pair"),
        ("Li2CuCl4", "Cu2+ is a Jahn-Teller ion"),
        # Between trigonal Li3YCl6 and monoclinic Li3YBr6.
        ("Li3YCl4Br2", "33.3 % of the anions"),
    ],
)
def test_what_a_crystallographer_would_doubt_is_low(formula: str, caution: str) -> None:
    made = plan(formula, SETTINGS)
    assert made.confidence == "low"
    assert any(caution in words for words in made.cautions)


def test_what_measurements_bear_out_is_not_doubted() -> None:
    # AlF6 octahedra are common; the monoclinic chloride takes Al, and a fifth of F, in.
    assert not any("four" in words for words in plan("Li3AlF6", SETTINGS).cautions)
    assert plan("Li3Al0.7Y0.3Cl6", SETTINGS).confidence == "derived"
    assert plan("Li3InCl4.8F1.2", SETTINGS).confidence == "derived"


def test_low_prototype_says_what_was_guessed() -> None:
    cautions = plan("Li2HfCl6", SETTINGS).cautions
    assert any("recalled from memory" in words for words in cautions)
