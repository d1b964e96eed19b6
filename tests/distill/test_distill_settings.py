"""Distillation files: one clear line for every mistake, and a text for every key."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from toy_cells import RECORD

from halmd.composition import check_neutral, parse_formula
from halmd.config import Settings
from halmd.distill.card import covered_starts
from halmd.distill.judge import trained_crystals, trained_elements
from halmd.distill.settings import DistillSettings, load_distill
from halmd.distill.stages import made_of
from halmd.distill.starts import Start
from halmd.errors import HalmdError

REPOSITORY = Path(__file__).parents[2]


def load(tmp_path: Path, record: Any) -> DistillSettings:
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(record))
    return load_distill(path)


def test_the_shipped_recipe_is_valid() -> None:
    settings = load_distill(REPOSITORY / "training" / "halmd-halide-1.yaml")
    assert settings.folder == Path("work/distill/halmd-halide-1")
    assert {"Li", "Y", "Cl", "Br"} <= set(settings.elements)
    assert list(settings.elements) == sorted(set(settings.elements))


@pytest.mark.parametrize("name", ["halmd-halide-1", "halmd-halide-2"])
def test_formulas_of_the_recipes_are_neutral(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    settings = load_distill(Path("training") / f"{name}.yaml")
    for item in [item for family in settings.families for item in family.compositions]:
        check_neutral(item.formula, settings.mobile, item.oxidation_states)


def test_the_shipped_recipe_teaches_every_metal_with_every_halogen() -> None:
    settings = load_distill(REPOSITORY / "training" / "halmd-halide-1.yaml")
    every = [item for family in settings.families for item in family.compositions]
    learnt = [set(parse_formula(item.formula)) for item in every if not item.held_out]
    halogens = {"Cl", "Br"}
    metals = set(settings.elements) - halogens - {"Li"}
    missing = [
        f"{metal}-{halogen}"
        for metal in sorted(metals)
        for halogen in sorted(halogens)
        if not any({metal, halogen} <= elements for elements in learnt)
    ]
    assert missing == []


def test_plain_formulas_are_compositions(tmp_path: Path) -> None:
    (composition,) = load(tmp_path, RECORD).families[0].compositions
    assert composition.formula == "Li3YCl6"
    assert not composition.held_out


FAMILY = RECORD["families"][0]
TERM = RECORD["teacher"]["terms"][0]
VECTORS = {"hidden_irreps": "32x0e + 32x1o"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 1}, "unknown key `sed`; did you mean `seed`"),
        ({"test": {"temperature": [300], "runs": 2}}, "did you mean `temperatures_K`"),
        ({"student": {"epoch": 3}}, "unknown key `student.epoch`; did you mean `epochs`"),
        ({"teacher": {"terms": [TERM | {"wieght": 1}]}}, r"wieght`; did you mean `weight`"),
        ({"families": [FAMILY | {"composition": []}]}, "did you mean `compositions`"),
        (
            {"families": [FAMILY | {"compositions": [{"formla": "Li3YCl6"}]}]},
            r"families\[0\]\.compositions\[0\]\.formla`; did you mean `formula`",
        ),
        ({"generations": [{"runs": 3}]}, r"`generations\[0\]\.temperatures_K` is missing"),
        ({"cells": [{"min_length_A": "6 A"}]}, r"plain number in Å \(found '6 A'\)"),
        ({"student": {"hidden_irreps": "32x1e"}}, "student.hidden_irreps"),
        ({"teacher": {"terms": [TERM | {"calculator": "morse"}]}}, "calculator"),
        ({"teacher": {"terms": [TERM, TERM]}}, "two terms have the same name"),
        ({"teacher": {"terms": []}}, "at least 1 item"),
        ({"families": [FAMILY, FAMILY]}, "two families have the same name"),
        ({"name": "my model"}, "`name`"),
        ({"work": "my work"}, "a folder may hold letters"),
        ({"workers": 0}, "`workers`.*greater than or equal to 1"),
        ({"epochs": 3}, "did you mean `explorer.epochs`"),
        ({"scaffold": {"hidden_irreps": "32x0e"}}, "scaffold: a student of 32x0e cannot begin"),
        (
            {"student": VECTORS, "scaffold": {"hidden_irreps": "16x0e"}},
            r"scaffold: a student of 32x0e \+ 32x1o cannot begin as one of 16x0e",
        ),
        (
            {"student": VECTORS, "scaffold": {"hidden_irreps": "32x0e", "r_max_A": 6}},
            "scaffold: its r_max_A and radial must be those of the student",
        ),
    ],
)
def test_mistake_is_one_line_with_its_path(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(HalmdError, match=message) as caught:
        load(tmp_path, RECORD | change)
    assert str(caught.value).startswith(str(tmp_path / "toy.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", "just words", "\x00"])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "toy.yaml").write_text(text)
    with pytest.raises(HalmdError, match=r"toy\.yaml") as caught:
        load_distill(tmp_path / "toy.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match=r"none\.yaml: No such file"):
        load_distill(tmp_path / "none.yaml")


def models(model: type[Settings]) -> set[type[Settings]]:
    """A model of settings and all that its fields hold."""
    found = {model}
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Settings):
                found |= models(part)
    return found


def test_every_key_says_what_it_means() -> None:
    found = models(DistillSettings)
    assert len(found) == 13
    for model in found:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no text"


def test_the_page_explains_every_key() -> None:
    page = (REPOSITORY / "docs" / "distill.md").read_text()
    for model in models(DistillSettings):
        for name, field in model.model_fields.items():
            text = " ".join((field.description or "").split())
            assert f"| `{name}` |" in page, f"docs/distill.md has no {model.__name__}.{name}"
            assert text in page, f"docs/distill.md: other words for {model.__name__}.{name}"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
known_keys = st.sampled_from([*DistillSettings.model_fields, "temprature"])


@given(record=st.dictionaries(known_keys, json_values, max_size=4))
def test_any_nonsense_is_refused_in_one_line_or_accepted(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "nonsense.yaml"
    path.write_text(yaml.safe_dump(RECORD | record), encoding="utf-8")
    problem = ""
    try:
        load_distill(path)
    except HalmdError as error:
        problem = str(error)
    assert "\n" not in problem


def test_what_is_not_covered_is_learnt_and_not_vouched_for() -> None:
    """It changes what the card says, and nothing of what was made."""
    families = [
        {"name": "chlorides", "compositions": ["Li3YCl6"]},
        {"name": "ytterbium", "compositions": ["Li3YbCl6"], "covered": False},
    ]
    settings = DistillSettings.model_validate(RECORD | {"families": families})
    starts = [
        Start("Li3YCl6-P-0-00", "chlorides", "Li3YCl6", Atoms("LiYCl"), held_out=False),
        Start("Li3YbCl6-Q-0-00", "ytterbium", "Li3YbCl6", Atoms("LiYbCl"), held_out=False),
    ]
    found = covered_starts(settings.families, starts)
    assert trained_elements(found) == ["Cl", "Li", "Y"]
    assert trained_crystals(found) == ["P"]
    assert trained_elements(starts) == ["Cl", "Li", "Y", "Yb"]
    both = [families[0], {k: v for k, v in families[1].items() if k != "covered"}]
    other = DistillSettings.model_validate(RECORD | {"families": both})
    assert settings.elements == other.elements
    assert made_of(settings, "final") == made_of(other, "final")
