"""The stages of a distillation and the files between them, all in `<work>/<name>/`.

starts.extxyz            orderings (made with the seeds)
<stage>.extxyz           snapshots: seeds, generation-1, ..., test
<stage>/                 the MD runs they are taken from
labels/<stage>/<term>/   what each term of the teacher says of them
labels/<stage>/labelled.json   written last: all labels are there
<student>/               a fit: explorer-1, ..., scaffold, final, committee-1, ...

`made-of.json` in the folder of a stage or student says which settings decided it: what a killed
step left behind is never continued with other ones.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from halmd.config import Settings
from halmd.distill.cores import pushed_in, trusted
from halmd.distill.exchange import exchange_of
from halmd.distill.explore import explore
from halmd.distill.fit import fit
from halmd.distill.label import Labelled, label, read_labelled
from halmd.distill.novelty import most_novel
from halmd.distill.settings import DistillSettings, MDSettings, StudentSettings, load_distill
from halmd.distill.snapshots import core_contacts, seed_snapshots
from halmd.distill.starts import Start, bare, build_starts, read_starts, write_starts
from halmd.errors import HalmdError
from halmd.files import fingerprint, read_json, sha256, whole_file, write_json
from halmd.potentials.potential import export_native

Say = Callable[[str], None]

MADE_OF = "made-of.json"
"""In the folder of a stage or student: the settings that decided it."""


def stage_names(settings: DistillSettings) -> list[str]:
    """Sets of snapshots; all but the last are learnt."""
    generations = [f"generation-{n + 1}" for n in range(len(settings.generations))]
    return ["seeds", *generations, *_given(settings), "test"]


def _given(settings: DistillSettings) -> list[str]:
    """Sets of snapshots that need no student, and that only finished students learn."""
    return [*(["cores"] if settings.cores else []), *(["extra"] if settings.extra else [])]


def student_names(settings: DistillSettings) -> list[str]:
    """Fits in the order they are made."""
    explorers = [f"explorer-{n + 1}" for n in range(len(settings.generations))]
    # A repeated round goes on with the finished student.
    scaffold = ["scaffold"] if settings.scaffold and not settings.round else []
    others = [f"committee-{n + 1}" for n in range(settings.committee)]
    return [*explorers, *scaffold, "final", *others]


def in_order(settings: DistillSettings) -> list[str]:
    """Stages and students in the order in which each is made of those before it."""
    generations = range(1, len(settings.generations) + 1)
    explored = [name for n in generations for name in (f"explorer-{n}", f"generation-{n}")]
    finished = [name for name in student_names(settings) if not name.startswith("explorer-")]
    return ["seeds", *_given(settings), *explored, *finished, "test"]


def committee(settings: DistillSettings) -> list[str]:
    """Further students of other seeds."""
    return [name for name in student_names(settings) if name.startswith("committee-")]


def number_in(name: str) -> int:
    """3 of generation-3."""
    return int(name.rsplit("-", 1)[1])


def learnt_by(settings: DistillSettings, student: str) -> list[str]:
    """Stages that a student is fitted to."""
    stages = stage_names(settings)[:-1]
    return stages[: number_in(student)] if student.startswith("explorer-") else stages


def explorer_of(settings: DistillSettings, stage: str) -> str:
    """The student whose MD makes a stage.

    The test is explored before any round is repeated, and stays the same in all of them.
    """
    if stage != "test":
        return f"explorer-{number_in(stage)}"
    first = len(settings.generations) - settings.round
    return f"explorer-{first}" if first else "final"


def snapshot_file(settings: DistillSettings, stage: str) -> Path:
    """Snapshots of a stage."""
    return settings.folder / f"{stage}.extxyz"


def model_file(settings: DistillSettings, student: str) -> Path:
    """The fitted student."""
    return settings.folder / student / f"{_model_name(settings, student)}.model"


def _model_name(settings: DistillSettings, student: str) -> str:
    return settings.name if student == "final" else student


def labels_note(settings: DistillSettings, stage: str) -> Path:
    """The file that says all labels of a stage are there."""
    return settings.folder / "labels" / stage / "labelled.json"


def made_of(settings: DistillSettings, name: str) -> dict[str, Any]:
    """All settings that decide a stage's snapshots or a student, with what went before it.

    Fingerprints stand for earlier steps, so that a change far up is seen everywhere below.
    """

    def before(other: str) -> str:
        return fingerprint(made_of(settings, other))

    def said(part: Settings, *without: str) -> dict[str, Any]:
        # Without defaults: a setting that a later version adds leaves earlier work as it is.
        return part.model_dump(mode="json", exclude=set(without), exclude_defaults=True)

    if name == "seeds":
        every = said(settings)
        for family in every["families"]:
            # Decides what the card vouches for, and no snapshot.
            family.pop("covered", None)
        return {key: every.get(key) for key in ("seed", "mobile", "families", "cells", "seeds")}
    if name == "cores":
        return {"seeds": before("seeds"), "cores": settings.cores}
    if name == "extra":
        return {path.as_posix(): sha256(path) for path in _extra_files(settings)}
    if name in stage_names(settings):
        explorer = explorer_of(settings, name)
        # The student of a generation is in the fingerprint of its explorer.
        plan = said(_plan_of(settings, name), "student")
        return {"seed": settings.seed, "plan": plan, explorer: before(explorer)}
    parent, wider = parent_of(settings, name), widened_from(settings, name)
    like = settings.widen.like if settings.widen else {}
    return {
        "seed": settings.seed,
        "elements": list(settings.elements),
        # Compiled or not, the fit is the same but for rounding.
        "explorer" if name.startswith("explorer-") else "student": said(
            shape_of(settings, name), "compiled"
        ),
        "terms": [said(term) for term in settings.teacher.terms],
        **{stage: before(stage) for stage in learnt_by(settings, name)},
        **{
            other.name: fingerprint(made_of(other, stage_names(other)[-2]))
            for other in settings.with_included()[1:]
        },
        **({"included_share": settings.included_share} if settings.included_share < 1 else {}),
        **({parent: before(parent)} if parent else {}),
        **({"widened": fingerprint(made_of(*wider)), "like": like} if wider else {}),
    }


def check_made_of(settings: DistillSettings, *names: str) -> None:
    """Refuse stages or students (all when none is named) that other settings have made.

    Raises HalmdError naming what would have to be made again.
    """
    asked = names or in_order(settings)
    found = {name: changed for name in asked if (changed := _changed(settings, name))}
    if found:
        name, changed = next(iter(found.items()))
        stages = [other for other in found if other in stage_names(settings)]
        files = ", ".join([*found, *(f"{stage}.extxyz, labels/{stage}" for stage in stages)])
        raise HalmdError(
            f"{settings.folder / name} was made with other settings ({', '.join(changed)}): set "
            "them back, give the distillation another `name:`, or delete in "
            f"{settings.folder}: {files}"
        )


def _changed(settings: DistillSettings, name: str) -> list[str]:
    """Keys in which what a folder says it is made of differs from the settings."""
    note = settings.folder / name / MADE_OF
    if not note.is_file():
        return []
    before, now = read_json(note), made_of(settings, name)
    ours = ("schema_version", "halmd_version")
    return [key for key in before | now if key not in ours and before.get(key) != now.get(key)]


def _claim(settings: DistillSettings, name: str) -> None:
    """Write down what a stage or student is made of; raises HalmdError where it says otherwise."""
    check_made_of(settings, name)
    write_json(settings.folder / name / MADE_OF, made_of(settings, name))


def make_snapshots(settings: DistillSettings, stage: str, say: Say) -> Path:
    """`halmd snapshots`: make the snapshots of a stage, by hand for the seeds, else by student MD.

    Raises HalmdError for an unknown stage, or when the student that explores is not fitted yet.
    """
    _known(stage, stage_names(settings), "stage")
    check_made_of(settings, stage)
    target = snapshot_file(settings, stage)
    if target.exists():
        return target
    if stage == "seeds":
        _claim(settings, stage)
        starts = build_starts(settings, say)
        write_starts(starts, settings.folder / "starts.extxyz")
        frames = seed_snapshots(settings, starts)
    elif stage == "cores":
        _claim(settings, stage)
        trained = [s for s in read_starts(settings.folder / "starts.extxyz") if not s.held_out]
        frames = core_contacts(trained, settings, np.random.default_rng([settings.seed, 5]))
    elif stage == "extra":
        _claim(settings, stage)
        frames = _extra(settings)
    else:
        frames = _explored(settings, stage, say)
    with whole_file(target) as temporary:
        ase.io.write(temporary, frames, format="extxyz")
    origins = Counter(str(atoms.info["origin"]) for atoms in frames)
    said = ", ".join(f"{number} {origin}" for origin, number in origins.items())
    say(f"{len(frames)} snapshots, {sum(map(len, frames))} atoms: {said}")
    return target


def _extra_files(settings: DistillSettings) -> list[Path]:
    files = [Path(path) for path in settings.extra]
    for path in files:
        if not path.is_file():
            raise HalmdError(f"extra: {path}: no such file")
    return files


def _extra(settings: DistillSettings) -> list[Atoms]:
    """Snapshots that were handed in; raises HalmdError for elements the student has no room for."""
    frames = []
    for path in _extra_files(settings):
        try:
            read: list[Atoms] = ase.io.read(path, ":", format="extxyz")
        except Exception as error:
            # ASE's reader raises whatever a damaged file makes it stumble over.
            raise HalmdError(f"extra: {path}: not readable as extxyz ({error})") from None
        for atoms in read:
            unknown = set(atoms.get_chemical_symbols()) - set(settings.elements)
            if unknown:
                raise HalmdError(
                    f"extra: {path}: {', '.join(sorted(unknown))} is in no composition; add it to "
                    "extra_elements"
                )
            frame = bare(atoms)
            frame.info |= {"origin": "extra", "start": path.as_posix(), "family": "extra"}
            frames.append(frame)
    return frames


def _explored(settings: DistillSettings, stage: str, say: Say) -> list[Atoms]:
    model = model_file(settings, explorer_of(settings, stage))
    if not model.exists():
        raise HalmdError(f"{model}: no such student; run `halmd fit` first")
    wanted = stage == "test"
    starts = [
        start
        for start in read_starts(settings.folder / "starts.extxyz")
        if start.held_out == wanted
    ]
    if not starts:
        raise HalmdError(f"stage {stage}: no ordering is {'held out' if wanted else 'trained on'}")
    _claim(settings, stage)
    plan = _plan_of(settings, stage)
    frames = explore(
        starts,
        native_of(model),
        settings.folder / "native-cache",
        plan,
        settings.folder / stage,
        exchange=exchange_of(settings),
        seed=settings.seed + 1 + stage_names(settings).index(stage),
        workers=settings.workers,
        say=say,
    )
    if plan.keep == 1.0:
        return frames
    learnt = [snapshot_file(settings, s) for s in learnt_by(settings, model.parent.name)]
    chosen = most_novel(model.parent, learnt, frames, round(plan.keep * len(frames)))
    say(f"{len(chosen)} of {len(frames)} snapshots are new enough")
    return [frames[k] for k in chosen]


def _plan_of(settings: DistillSettings, stage: str) -> MDSettings:
    """The student MD that makes a stage."""
    return settings.test if stage == "test" else settings.generations[number_in(stage) - 1]


def native_of(model: Path) -> Path:
    """The native export beside a model, made when it is not there."""
    target = model.with_name(f"{model.stem}.native.json")
    if target.exists() and target.stat().st_mtime >= model.stat().st_mtime:
        return target
    return export_native(model, model.parent)


def _existing_snapshots(settings: DistillSettings, stage: str) -> Path:
    snapshots = snapshot_file(settings, stage)
    if not snapshots.exists():
        raise HalmdError(f"{snapshots}: no such file; run `halmd snapshots` first")
    return snapshots


def label_stage(settings: DistillSettings, stage: str, say: Say) -> Path:
    """`halmd label`: have the teacher label a stage; returns the folder of its labels."""
    _known(stage, stage_names(settings), "stage")
    snapshots = _existing_snapshots(settings, stage)
    folder = settings.folder / "labels" / stage
    label(snapshots, settings.teacher, folder, workers=settings.workers, say=say)
    record = _note_labels(settings, stage)
    failed = [f"{name}: {term['failures']}" for name, term in record["terms"].items()]
    say(f"{record['snapshots']} snapshots labelled; {', '.join(failed)} could not be computed")
    return folder


def _note_labels(settings: DistillSettings, stage: str) -> dict[str, Any]:
    """Write labelled.json and return its content.

    The file gets the time of the newest labels: writing it again makes no fit look out of date.
    """
    note = labels_note(settings, stage)
    terms, written_s, n_snapshots = {}, 0.0, 0
    for term in settings.teacher.terms:
        shards = sorted((note.parent / term.name).glob("[0-9]*.npz"))
        together = hashlib.sha256()
        failures = n_snapshots = 0
        for shard in shards:
            together.update(shard.read_bytes())
            written_s = max(written_s, shard.stat().st_mtime)
            energies = np.load(shard)["energies_eV"]
            n_snapshots += len(energies)
            failures += int(np.isnan(energies).sum())
        terms[term.name] = {"failures": failures, "shards_sha256": together.hexdigest()}
    record = {
        "stage": stage,
        "snapshots": n_snapshots,
        "snapshots_sha256": sha256(snapshot_file(settings, stage)),
        "terms": terms,
    }
    write_json(note, record)
    os.utime(note, (written_s, written_s))
    return record


def labelled_stage(settings: DistillSettings, stage: str) -> list[Labelled]:
    """Snapshots of a stage with the teacher's labels, where these can be trusted."""
    found = read_labelled(
        _existing_snapshots(settings, stage), settings.teacher, settings.folder / "labels" / stage
    )
    return trusted(found)


def all_starts(settings: DistillSettings) -> list[Start]:
    """Orderings of a distillation and of those it includes."""
    return [
        start
        for each in settings.with_included()
        for start in read_starts(each.folder / "starts.extxyz")
    ]


def all_test(settings: DistillSettings) -> list[Labelled]:
    """Labelled snapshots of the test of a distillation, and of those it includes."""
    return [x for each in settings.with_included() for x in labelled_stage(each, "test")]


def fit_student(settings: DistillSettings, student: str, say: Say) -> Path:
    """`halmd fit`: fit a student to the stages before it; returns its `.model`."""
    _known(student, student_names(settings), "student")
    check_made_of(settings, student)
    shape = shape_of(settings, student)
    stages = [(settings, stage) for stage in learnt_by(settings, student)]
    stages += [(o, stage) for o in settings.with_included()[1:] for stage in stage_names(o)[:-1]]
    data = []
    for whose, stage in stages:
        found = labelled_stage(whose, stage)
        if whose is not settings and stage != "cores":
            found = _share(found, settings.included_share, settings.seed)
        data += pushed_in(found, seed=settings.seed) if stage == "cores" else found
    _claim(settings, student)
    begins_as = starting_model(settings, student)
    other_seed = 1000 * number_in(student) if student.startswith("committee-") else 0
    return fit(
        data,
        shape,
        settings.elements,
        settings.folder / student,
        name=_model_name(settings, student),
        seed=settings.seed + other_seed,
        workers=shape.processes,
        start_from=begins_as.parent if begins_as else None,
        like=settings.widen.like if settings.widen else None,
        say=say,
    )


def _share(data: list[Labelled], share: float, seed: int) -> list[Labelled]:
    """This share of the snapshots, drawn at random, in their order."""
    rng = np.random.default_rng(seed)
    kept = rng.choice(len(data), size=round(share * len(data)), replace=False)
    return [data[i] for i in np.sort(kept)]


def parent_of(settings: DistillSettings, student: str) -> str | None:
    """The student whose weights another goes on from, if any."""
    # A committee must not share its beginnings: its members would agree where none is right.
    if student.startswith("committee-"):
        return None
    if student == "final" and "scaffold" in student_names(settings):
        return "scaffold"
    explores = student.startswith("explorer-")
    before = number_in(student) - 1 if explores else len(settings.generations)
    shape, earlier = shape_of(settings, student), f"explorer-{before}"
    if before and shape.warm_start and _same_shape(shape, shape_of(settings, earlier)):
        return earlier
    return None


def widened_from(settings: DistillSettings, student: str) -> tuple[DistillSettings, str] | None:
    """The distillation, and which of its students, that another begins as, if any.

    The finished one, which knows all; a member of the committee, the member of the same number:
    those began apart, and stay so.
    """
    if settings.widen is None or parent_of(settings, student):
        return None
    other = load_distill(Path(settings.widen.student))
    name = student if student.startswith("committee-") else "final"
    known = name in student_names(other)
    same = _same_shape(shape_of(settings, student), other.student)
    return (other, name) if known and same else None


def starting_model(settings: DistillSettings, student: str) -> Path | None:
    """The model, fitted before, whose weights a student goes on from, if any."""
    if parent := parent_of(settings, student):
        return model_file(settings, parent)
    wider = widened_from(settings, student)
    return model_file(*wider) if wider else None


def shape_of(settings: DistillSettings, student: str) -> StudentSettings:
    """Shape of a student, and how it is fitted."""
    if student.startswith("explorer-"):
        return settings.generations[number_in(student) - 1].student or settings.explorer
    if student == "scaffold" and settings.scaffold:
        return settings.scaffold
    if student.startswith("committee-") and settings.committee_epochs is not None:
        return settings.student.model_copy(update={"epochs": settings.committee_epochs})
    return settings.student


def _same_shape(one: StudentSettings, other: StudentSettings) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("hidden_irreps", "r_max_A", "radial")
    )


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        raise HalmdError(f"{what} {name!r} is none of {', '.join(names)}")


def printable(settings: DistillSettings, stage: str) -> Any:
    """A function that prints progress lines with the name of what they are about."""

    def say(text: str) -> None:
        print(f"{settings.name} {stage}: {re.sub(chr(10), ' ', text)}", flush=True)

    return say
