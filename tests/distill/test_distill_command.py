"""`halmd distill` and its steps: one line for every mistake, the right jobs, nothing made twice."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import pytest
import yaml
from toy_cells import RECORD

from halmd.distill.settings import DistillSettings
from halmd.distill.stages import (
    check_made_of,
    in_order,
    label_stage,
    made_of,
    make_snapshots,
    snapshot_file,
)
from halmd.errors import HalmdError
from halmd.files import read_json, write_json

REPOSITORY = Path(__file__).parents[2]
PLAN = {"temperatures_K": [400], "runs": 2, "length_ps": 0.2, "snapshots": 2}
TINY = {"hidden_irreps": "4x0e", "radial": [8], "r_max_A": 4.0, "epochs": 2, "compiled": False}
WHOLE = RECORD | {
    "generations": [PLAN, PLAN],
    "explorer": TINY,
    "student": TINY,
    "committee": 1,
    "test": PLAN,
    "workers": 1,
}


def halmd(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HALMD_STRUCTURES": str(REPOSITORY / "structures")}
    return subprocess.run(
        [sys.executable, "-m", "halmd.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def given(folder: Path, **changes: Any) -> str:
    (folder / "toy.yaml").write_text(yaml.safe_dump(WHOLE | changes))
    return "toy.yaml"


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Require exit code 2 and one line; returns the line."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("halmd: error: ")
    return lines[0]


STEPS = [
    ("snapshots", "seeds"),
    ("label", "seeds"),
    ("fit", "final"),
    ("validate-potential",),
    ("distill",),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[0])
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, step: tuple[str, ...]) -> None:
    config = given(tmp_path, sudent=TINY)
    line = refused(halmd(tmp_path, step[0], config, *step[1:]))
    assert "unknown key `sudent`; did you mean `student`?" in line
    assert list(tmp_path.iterdir()) == [tmp_path / "toy.yaml"]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (("snapshots", "generation-3"), "none of seeds, generation-1, generation-2, test"),
        (("snapshots", "generation-1"), "explorer-1.model: no such student; run `halmd fit`"),
        (("label", "generation-3"), "stage 'generation-3' is none of seeds"),
        (("label", "seeds"), "seeds.extxyz: no such file; run `halmd snapshots` first"),
        (("fit", "best"), "none of explorer-1, explorer-2, final, committee-1"),
        (("fit", "final"), "seeds.extxyz: no such file; run `halmd snapshots` first"),
        (("validate-potential",), "toy.model: no such student; run `halmd fit` first"),
    ],
)
def test_a_step_out_of_turn_is_one_line(
    tmp_path: Path, step: tuple[str, ...], message: str
) -> None:
    line = refused(halmd(tmp_path, step[0], given(tmp_path), *step[1:]))
    assert message in line
    assert list(tmp_path.iterdir()) == [tmp_path / "toy.yaml"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"families": [{"name": "a", "compositions": ["Li3ZrCl6"]}]},
            "Li2ZrCl6 would be neutral",
        ),
        (
            {
                "families": [
                    {"name": "a", "compositions": [{"formula": "Li3YCl6", "held_out": True}]}
                ]
            },
            "every composition is held out",
        ),
        ({"cells": [{"min_length_A": 6, "held_out": 0}]}, "nothing is held out for the test"),
        ({"teacher": RECORD["teacher"] | {"python": "nowhere/python"}}, "no such interpreter"),
    ],
)
def test_what_cannot_end_well_is_not_begun(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert message in refused(halmd(tmp_path, "distill", given(tmp_path, **changes), "-n"))
    assert list(tmp_path.iterdir()) == [tmp_path / "toy.yaml"]


@pytest.mark.workflow
def test_a_dry_run_lists_every_job(tmp_path: Path) -> None:
    done = halmd(tmp_path, "distill", given(tmp_path), "--dry-run")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    table = text.partition("Job stats:")[2].partition("total")[0]
    jobs = {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}
    assert jobs == {"snapshots": 4, "label": 4, "fit": 4, "validate_potential": 1, "distilled": 1}
    assert not (tmp_path / "work").exists()


@pytest.mark.workflow
def test_the_workflow_without_a_recipe_is_one_line(tmp_path: Path) -> None:
    workflow = str(REPOSITORY / "workflow" / "distill.smk")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", workflow, "--cores", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "halmd: error: name the distillation file" in done.stderr
    assert "Traceback" not in done.stderr


def whole(**changes: Any) -> DistillSettings:
    return DistillSettings.model_validate(WHOLE | changes)


ALL = in_order(whole())
FINISHED = {"final", "committee-1"}
CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"workers": 7, "bars": {"force_relative": 0.1}, "committee": 3}, set()),
    ({"student": TINY | {"compiled": True}}, set()),
    ({"test": PLAN | {"runs": 3}}, {"test"}),
    ({"student": TINY | {"epochs": 9}}, FINISHED),
    ({"committee_epochs": 5}, {"committee-1"}),
    ({"generations": [PLAN, PLAN | {"runs": 3}]}, FINISHED | {"generation-2"}),
    (
        {"generations": [PLAN, PLAN | {"student": TINY | {"epochs": 9}}]},
        FINISHED | {"explorer-2", "generation-2", "test"},
    ),
    ({"explorer": TINY | {"epochs": 9}}, set(ALL) - {"seeds"}),
    ({"extra_elements": ["Zr"]}, set(ALL) - {"seeds"}),
    ({"cells": [{"min_length_A": 7}]}, set(ALL)),
    ({"seed": 6}, set(ALL)),
]


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_a_change_is_seen_in_all_that_follows(changes: dict[str, Any], expected: set[str]) -> None:
    before, after = whole(), whole(**changes)
    assert {name for name in ALL if made_of(before, name) != made_of(after, name)} == expected


def test_what_other_settings_made_is_refused(tmp_path: Path) -> None:
    settings = whole(work=str(tmp_path))
    for name in ALL:
        write_json(settings.folder / name / "made-of.json", made_of(settings, name))
    check_made_of(settings)
    other = whole(work=str(tmp_path), student=TINY | {"epochs": 9})
    with pytest.raises(HalmdError, match=r"made with other settings \(.*student") as caught:
        check_made_of(other)
    message = str(caught.value)
    assert message.endswith("toy: final, committee-1")
    assert "\n" not in message
    check_made_of(other, "explorer-1", "generation-2")


def test_the_first_steps_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    settings = whole(work=str(tmp_path))
    said: list[str] = []
    path = make_snapshots(settings, "seeds", said.append)
    # Two orderings of each six ions and more: rattles, defects, contacts, mixtures.
    assert len(ase.io.read(path, ":")) == 2 * (2 + 1) + 6 + 4
    assert said[-1].startswith("16 snapshots, ")
    content = path.read_bytes()
    assert make_snapshots(settings, "seeds", said.append).read_bytes() == content
    label_stage(settings, "seeds", said.append)
    assert read_json(settings.folder / "labels" / "seeds" / "labelled.json")["snapshots"] == 16
    with pytest.raises(HalmdError, match=r"made with other settings \(cells\)"):
        make_snapshots(whole(work=str(tmp_path), cells=[{"min_length_A": 7}]), "seeds", said.append)
    assert snapshot_file(settings, "seeds").read_bytes() == content


@pytest.mark.workflow
@pytest.mark.validation
def test_a_toy_teacher_is_distilled(tmp_path: Path) -> None:
    # The ions of the tests of the workflow: a crystal of them stays one in the MD of the judge.
    shutil.copy(REPOSITORY / "tests" / "workflow" / "toy.py", tmp_path)
    teacher = {"terms": [{"name": "ions", "calculator": "toy:ions"}]}
    student = {"hidden_irreps": "8x0e", "radial": [16], "epochs": 40, "compiled": False}
    config = given(
        tmp_path,
        teacher=teacher,
        seeds={"rattles": 16, "mixtures": 4},
        generations=[PLAN | {"runs": 4}],
        explorer=student,
        student=student,
        bars={"collapse_ps": 1, "stability_ps": 20},
    )
    done = halmd(tmp_path, "distill", config)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "work" / "distill" / "toy"
    found = read_json(folder / "validation.json")
    assert isinstance(found["bars_hold"], bool)
    for line in found["summary"]:
        assert line in done.stdout
    names = ["explorer-1", "committee-1"]
    models = [folder / name / f"{name}.model" for name in names] + [folder / "final" / "toy.model"]
    assert all(model.is_file() for model in models)
    # Nothing is left to do, and the labels and fits are as they were.
    again = halmd(tmp_path, "distill", config, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
