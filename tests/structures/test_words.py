"""What is assumed when ions take the places of others is said, and lowers the confidence."""

from pathlib import Path

import pytest

from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.known import known_compositions
from halmd.structures.plan import plan

SETTINGS = StructureSettings(min_length_A=8.0, beyond_tolerance="nearest")
TABLE = StructureSettings(min_length_A=9.5)
"""Those of `halmd compositions`."""


@pytest.mark.parametrize(
    ("formula", "caution"),
    [
        # LiGaCl4 and LiTaF6 are crystals of their own, no spinel and no Li2ZrF6 with empty sites.
        ("LiGaCl4", "mean charge is +3, not +2"),
        ("LiTaF6", "mean charge is +5, not +4"),
        ("Li3ErCl3I3", "half or more is replaced"),
        ("Li3ScBr6", "smaller than Y"),
        ("Li2NaYCl6", "Na put in the place of Li"),
        ("Li4ScCl7", "assumed"),
    ],
)
def test_assumptions_are_of_low_confidence(formula: str, caution: str) -> None:
    made = plan(formula, SETTINGS)
    assert made.confidence == "low"
    assert any(caution in words for words in made.cautions)


@pytest.mark.parametrize(
    "formula", ["Li3Y0.5Er0.5Cl6", "Li2.9In0.9Zr0.1Cl6", "Li3InCl5F", "Li2.9Na0.1YCl6"]
)
def test_small_substitutions_are_derived_without_a_caution(formula: str) -> None:
    made = plan(formula, SETTINGS)
    assert (made.confidence, made.cautions) == ("derived", ())


def test_a_salt_of_monovalent_ions_has_no_prototype() -> None:
    with pytest.raises(HalmdError, match="LiCl holds nothing but monovalent ions"):
        plan("LiCl", SETTINGS)


def test_page_of_compositions_has_every_row_as_it_would_be_built_now() -> None:
    page = Path("docs/compositions.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    for row in known_compositions():
        if row.later:
            assert any(line.startswith(f"| {row.formula} | {row.phase} | ") for line in lines)
            continue
        made = plan(row.formula, TABLE, mobile=row.mobile, prototype=row.prototype)
        low = "**LOW**" if made.confidence == "low" else made.confidence
        found = [line.split(" | ") for line in lines if f" {row.formula} | {row.phase} |" in line]
        assert [line[2] for line in found] == [made.prototype]
        assert [line[7] for line in found] == [low]
        assert found[0][4].split(" (")[0] == made.achieved_formula
