"""Another round: the finished student explores, the test stays what it was."""

from pathlib import Path

import pytest

from halmd.distill.distill import begin_round, validation_file
from halmd.distill.settings import DistillSettings, load_distill
from halmd.distill.stages import (
    check_made_of,
    explorer_of,
    in_order,
    learnt_by,
    made_of,
    model_file,
    parent_of,
    shape_of,
    student_names,
)
from halmd.files import read_json, write_json

RECIPE = """
name: toy
work: {work}
teacher: {{terms: [{{name: lj, calculator: "ase.calculators.lj:LennardJones"}}]}}
families: [{{name: chlorides, compositions: [Li3YCl6]}}]
generations:
  - {{temperatures_K: [300], runs: 2}}
  - {{temperatures_K: [500], runs: 4, student: {{hidden_irreps: 8x0e}}}}
student: {{hidden_irreps: 16x0e}}
rounds: 3
test: {{temperatures_K: [400], runs: 2}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE.format(work="work"))
    return path


def finished(settings: DistillSettings) -> None:
    """Files as they lie when a student was judged."""
    for name in in_order(settings):
        write_json(settings.folder / name / "made-of.json", made_of(settings, name))
    model = model_file(settings, "final")
    model.write_text(f"model of round {settings.round}")
    verdict = {"bars_hold": False, "to_explore": ["chlorides"], "summary": []}
    write_json(validation_file(settings), verdict)


def test_the_finished_student_explores_the_next_generation(config: Path) -> None:
    settings = load_distill(config)
    finished(settings)
    begin_round(settings)
    following = load_distill(config)
    assert following.round == 1
    assert len(following.generations) == 3
    assert explorer_of(following, "generation-3") == "explorer-3"
    assert following.generations[-1].families == ("chlorides",)
    assert shape_of(following, "explorer-3").hidden_irreps == "16x0e"
    assert model_file(following, "explorer-3").read_text() == "model of round 0"
    assert not model_file(following, "final").exists()
    assert learnt_by(following, "final") == [
        "seeds",
        "generation-1",
        "generation-2",
        "generation-3",
    ]
    assert read_json(following.folder / "validation-0.json")["bars_hold"] is False


def test_all_that_was_made_is_still_accepted(config: Path) -> None:
    """Neither seeds nor generations nor the test are made again, in any round."""
    settings = load_distill(config)
    for number in range(3):
        assert settings.round == number
        assert explorer_of(settings, "test") == "explorer-2"
        finished(settings)
        begin_round(settings)
        settings = load_distill(config)
        check_made_of(settings)
    assert settings.round == 3
    assert model_file(settings, "explorer-5").read_text() == "model of round 2"


def test_a_round_that_was_killed_at_its_beginning_begins_again(config: Path) -> None:
    settings = load_distill(config)
    finished(settings)
    half = settings.folder / "explorer-3"
    half.mkdir()
    (half / "rubbish").touch()
    begin_round(settings)
    assert not (half / "rubbish").exists()
    assert load_distill(config).round == 1


def test_a_round_goes_on_with_the_finished_student_and_not_with_its_scaffold(config: Path) -> None:
    vectors = "student: {hidden_irreps: 16x0e + 16x1o}\nscaffold: {hidden_irreps: 16x0e}"
    config.write_text(config.read_text().replace("student: {hidden_irreps: 16x0e}", vectors))
    settings = load_distill(config)
    assert student_names(settings) == ["explorer-1", "explorer-2", "scaffold", "final"]
    assert parent_of(settings, "final") == "scaffold"
    assert shape_of(settings, "scaffold").hidden_irreps == "16x0e"
    finished(settings)
    following = begin_round(settings)
    assert student_names(following) == ["explorer-1", "explorer-2", "explorer-3", "final"]
    assert parent_of(following, "final") == "explorer-3"
    check_made_of(following, *in_order(following)[:-2])
