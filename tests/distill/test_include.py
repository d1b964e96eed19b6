"""A second distillation that learns the labels of a first one, and is judged on both."""

from collections import Counter
from pathlib import Path

import pytest

from halmd.distill import stages
from halmd.distill.distill import load_checked, needed_by_fit
from halmd.distill.settings import DistillSettings, load_distill
from halmd.distill.stages import made_of, model_file, starting_model
from halmd.errors import HalmdError

FIRST = """
name: first
teacher: {{terms: [{{name: lj, calculator: "ase.calculators.lj:LennardJones", weight: {weight}}}]}}
families: [{{name: chlorides, compositions: [Li3YCl6]}}]
test: {{temperatures_K: [400], runs: 2}}
seed: {seed}
"""
SECOND = """
name: second
include: [{include}]
teacher: {{terms: [{{name: lj, calculator: "ase.calculators.lj:LennardJones"}}]}}
families: [{{name: bromides, compositions: [Li3InBr6]}}]
test: {{temperatures_K: [400], runs: 2}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text(FIRST.format(weight=1.0, seed=0))
    Path("second.yaml").write_text(SECOND.format(include="first.yaml"))


def test_the_student_has_room_for_all_elements() -> None:
    settings = load_distill(Path("second.yaml"))
    assert settings.elements == ("Br", "Cl", "In", "Li", "Y")
    assert [each.name for each in settings.with_included()] == ["second", "first"]


def test_a_change_of_the_first_is_seen_by_fits_of_the_second_only() -> None:
    before = load_distill(Path("second.yaml"))
    seeds, final = made_of(before, "seeds"), made_of(before, "final")
    Path("first.yaml").write_text(FIRST.format(weight=1.0, seed=1))
    after = load_distill(Path("second.yaml"))
    assert made_of(after, "seeds") == seeds
    assert made_of(after, "final") != final


def test_another_teacher_is_one_line() -> None:
    Path("first.yaml").write_text(FIRST.format(weight=0.5, seed=0))
    with pytest.raises(HalmdError, match="another teacher"):
        load_distill(Path("second.yaml"))


def test_chains_are_refused() -> None:
    Path("third.yaml").write_text(SECOND.format(include="second.yaml"))
    with pytest.raises(HalmdError, match="includes others itself"):
        load_distill(Path("third.yaml"))


@pytest.mark.parametrize(("share", "theirs"), [(1.0, 40), (0.25, 10)])
def test_fits_learn_a_share_of_what_the_first_has_labelled(
    monkeypatch: pytest.MonkeyPatch, share: float, theirs: int
) -> None:
    Path("second.yaml").write_text(
        SECOND.format(include="first.yaml") + f"included_share: {share}\n"
    )
    settings = load_distill(Path("second.yaml"))
    learnt: list[str] = []

    def labelled(whose: DistillSettings, stage: str) -> list[str]:
        return [f"{whose.name} {stage} {n}" for n in range(40 if whose.name == "first" else 3)]

    def fitted(data: list[str], *others: object, **options: object) -> Path:
        learnt.extend(data)
        return Path("model")

    monkeypatch.setattr(stages, "labelled_stage", labelled)
    monkeypatch.setattr(stages, "pushed_in", lambda found, seed: found)
    monkeypatch.setattr(stages, "fit", fitted)
    stages.fit_student(settings, "final", lambda text: None)
    assert len(set(learnt)) == len(learnt)
    counts = Counter(" ".join(name.split()[:2]) for name in learnt)
    assert counts == {"second seeds": 3, "first seeds": theirs}


def test_a_missing_file_is_one_line() -> None:
    Path("second.yaml").write_text(SECOND.format(include="nothing.yaml"))
    with pytest.raises(HalmdError, match=r"nothing\.yaml"):
        load_distill(Path("second.yaml"))


WIDEN = """
widen: {student: first.yaml, like: {Br: Cl, In: Y}}
student: {hidden_irreps: 16x0e}
generations: [{temperatures_K: [400], runs: 2, student: {hidden_irreps: 16x0e}}]
"""


def test_the_first_student_begins_as_the_finished_one_of_the_first() -> None:
    Path("first.yaml").write_text(
        FIRST.format(weight=1.0, seed=0) + "student: {hidden_irreps: 16x0e}\n"
    )
    Path("second.yaml").write_text(SECOND.format(include="first.yaml") + WIDEN)
    settings = load_distill(Path("second.yaml"))
    first = Path("work/distill/first/final/first.model")
    assert starting_model(settings, "explorer-1") == first
    assert first in needed_by_fit(settings, "explorer-1")
    assert starting_model(settings, "final") == model_file(settings, "explorer-1")
    before = made_of(settings, "explorer-1")
    Path("first.yaml").write_text(
        FIRST.format(weight=1.0, seed=0) + "student: {hidden_irreps: 16x0e, epochs: 3}\n"
    )
    changed = made_of(load_distill(Path("second.yaml")), "explorer-1")
    assert {key for key in changed if changed[key] != before[key]} == {"widened"}


def test_members_of_the_committee_begin_as_their_namesakes_where_there_are_any() -> None:
    Path("first.yaml").write_text(
        FIRST.format(weight=1.0, seed=0) + "student: {hidden_irreps: 16x0e}\ncommittee: 1\n"
    )
    text = SECOND.format(include="first.yaml") + WIDEN
    Path("second.yaml").write_text(text + "committee: 2\n")
    settings = load_distill(Path("second.yaml"))
    theirs = Path("work/distill/first/committee-1/committee-1.model")
    assert starting_model(settings, "committee-1") == theirs
    assert theirs in needed_by_fit(settings, "committee-1")
    assert starting_model(settings, "committee-2") is None


def test_a_new_element_that_begins_as_nothing_known_is_one_line() -> None:
    text = SECOND.format(include="first.yaml") + WIDEN.replace("In: Y", "In: Br")
    Path("second.yaml").write_text(text)
    with pytest.raises(HalmdError, match="say which of Cl, Li, Y In begins as"):
        load_distill(Path("second.yaml"))


def test_a_widened_student_of_another_shape_is_refused_and_not_begun_anew() -> None:
    text = SECOND.format(include="first.yaml") + WIDEN.replace("16x0e", "24x0e")
    Path("second.yaml").write_text(text + "cells: [{min_length_A: 6.0, held_out: 1}]\n")
    with pytest.raises(HalmdError, match=r"no student has the shape of that of first\.yaml"):
        load_checked(Path("second.yaml"))


def test_a_student_that_is_not_included_cannot_be_widened() -> None:
    text = SECOND.format(include="first.yaml") + WIDEN.replace("first.yaml", "other.yaml")
    Path("second.yaml").write_text(text)
    with pytest.raises(HalmdError, match=r"other\.yaml is not among"):
        load_distill(Path("second.yaml"))
