"""`halmd distill`: which step needs which files, and the whole of it as one Snakemake run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from halmd.composition import check_neutral
from halmd.distill.label import teacher_python
from halmd.distill.settings import ROUND_FILE, DistillSettings, load_distill
from halmd.distill.stages import (
    MADE_OF,
    check_made_of,
    committee,
    explorer_of,
    labels_note,
    learnt_by,
    made_of,
    model_file,
    snapshot_file,
    starting_model,
    student_names,
    widened_from,
)
from halmd.errors import HalmdError
from halmd.files import read_json, write_json

WORKFLOW = "distill.smk"
_CORES = ("-c", "--cores", "-j", "--jobs", "--profile", "--workflow-profile")


def load_checked(config: Path) -> DistillSettings:
    """A distillation of which everything is known that can be before the first step.

    Raises HalmdError with one line on any mistake: of the file, its formulas, the teacher's
    interpreter, nothing held out, or a folder that other settings have made.
    """
    settings = load_distill(config)
    everything = [entry for family in settings.families for entry in family.compositions]
    for entry in everything:
        check_neutral(entry.formula, settings.mobile, entry.oxidation_states)
    if all(entry.held_out for entry in everything):
        raise HalmdError(f"{config}: every composition is held out; nothing is left to learn from")
    if not any(entry.held_out for entry in everything) and not any(
        cell.held_out for cell in settings.cells
    ):
        raise HalmdError(
            f"{config}: nothing is held out for the test; give a cell `held_out: 1`, or a "
            "composition `held_out: true`"
        )
    if settings.widen and not any(widened_from(settings, s) for s in student_names(settings)):
        raise HalmdError(
            f"{config}: widen: no student has the shape of that of {settings.widen.student}; give "
            "the first explorer, or the student, its hidden_irreps, r_max_A and radial"
        )
    teacher_python(settings.teacher)
    check_made_of(settings)
    return settings


def validation_file(settings: DistillSettings) -> Path:
    """Where `halmd validate-potential` writes its verdict."""
    return settings.folder / "validation.json"


def needed_by_snapshots(settings: DistillSettings, stage: str) -> list[Path]:
    """Files that must be there before the snapshots of a stage can be made."""
    if stage == "cores":
        return [snapshot_file(settings, "seeds")]
    if stage == "extra":
        return [Path(path) for path in settings.extra]
    return [] if stage == "seeds" else [model_file(settings, explorer_of(settings, stage))]


def needed_by_fit(settings: DistillSettings, student: str) -> list[Path]:
    """Files that must be there before a student can be fitted."""
    needed = []
    for stage in learnt_by(settings, student):
        needed += [snapshot_file(settings, stage), labels_note(settings, stage)]
    begins_as = starting_model(settings, student)
    return [*needed, begins_as] if begins_as else needed


def needed_by_validation(settings: DistillSettings) -> list[Path]:
    """Files that must be there before the finished students can be judged."""
    finished = [name for name in student_names(settings) if not name.startswith("explorer-")]
    return [
        *(model_file(settings, name) for name in finished),
        snapshot_file(settings, "test"),
        labels_note(settings, "test"),
    ]


def run_distill(config: Path, options: Sequence[str]) -> tuple[DistillSettings, int]:
    """Check a distillation and run it with Snakemake, which is given further options.

    While a bar is missed and rounds are left, the finished student explores, and all is done again.
    Returns the settings and Snakemake's exit code. Raises HalmdError before anything is written.
    """
    while True:
        settings, code = _run_once(config, options)
        dry = any(re.fullmatch(r"-[a-z]*n[a-z]*|--dry-?run", word) for word in options)
        verdict = validation_file(settings)
        if code or dry or not verdict.is_file() or settings.round >= settings.rounds:
            return settings, code
        if read_json(verdict)["bars_hold"]:
            return settings, code
        print(f"round {settings.round + 1} of at most {settings.rounds}: a bar is missed")
        begin_round(settings)


def begin_round(settings: DistillSettings) -> DistillSettings:
    """Make the finished student the explorer of one more generation; returns the new settings.

    The families that miss a bar are explored; all of them, where what is missed is of no family.
    Its fit is kept as that explorer's; the verdict on it is kept under another name.
    """
    verdict = validation_file(settings)
    note = settings.folder / ROUND_FILE
    before: list[list[str]] = read_json(note)["rounds"] if note.is_file() else []
    missed: list[str] = read_json(verdict)["to_explore"]
    following = settings.after([missed])
    name = f"explorer-{len(following.generations)}"
    source, target = settings.folder / "final", settings.folder / name
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
    (target / f"{settings.name}.model").rename(target / f"{name}.model")
    (target / f"{settings.name}.native.json").unlink(missing_ok=True)
    write_json(target / MADE_OF, made_of(following, name))
    verdict.replace(verdict.with_name(f"validation-{settings.round}.json"))
    # From here on the new round is what the file says; what is left of the old one is taken away.
    write_json(note, {"rounds": [*before, missed]})
    for left in ("final", *committee(settings)):
        shutil.rmtree(settings.folder / left, ignore_errors=True)
    return following


def _run_once(config: Path, options: Sequence[str]) -> tuple[DistillSettings, int]:
    settings = load_checked(config)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_file()), *options]
    if not any(word.startswith(_CORES) for word in options):
        command += ["--cores", str(settings.workers)]
    if "--rerun-triggers" not in options:
        # A step takes hours: a new version of halmd is no reason to repeat it, newer data are.
        command += ["--rerun-triggers", "mtime", "params"]
    # --config takes every word behind it: it comes last.
    command += ["--config", f"recipe={config}"]
    # The rules call `halmd`; without an activated environment only this folder has it.
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(command, env=os.environ | {"PATH": search}, check=False)
    return settings, done.returncode


def workflow_file() -> Path:
    """The workflow in the folder it is called in, or beside halmd's source; raises HalmdError."""
    for folder in (Path("workflow"), Path(__file__).parents[3] / "workflow"):
        if (folder / WORKFLOW).is_file():
            return folder / WORKFLOW
    raise HalmdError(f"workflow/{WORKFLOW}: no such file; run `halmd distill` at the top of halmd")


def summary_lines(settings: DistillSettings) -> list[str]:
    """What validation.json says in words; nothing when a run ended before it."""
    path = validation_file(settings)
    return [str(line) for line in read_json(path)["summary"]] if path.is_file() else []
