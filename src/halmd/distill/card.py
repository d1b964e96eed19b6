"""The card of a finished student, and its place among the potentials that have a name."""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from halmd.distill.judge import trained_crystals, trained_elements
from halmd.distill.settings import DistillSettings, FamilySettings
from halmd.distill.stages import (
    all_starts,
    committee,
    model_file,
    native_of,
    snapshot_file,
    stage_names,
)
from halmd.distill.starts import Start, bare
from halmd.errors import HalmdError
from halmd.files import read_json, sha256, write_json

Record = dict[str, Any]


def register(settings: DistillSettings, validation: Record) -> Path:
    """Put model, native export and card into `settings.register_in`/<name>; returns that folder.

    The card is written last: a folder without one is not a potential yet.
    """
    model = model_file(settings, "final")
    native = native_of(model)
    target = Path(settings.register_in) / settings.name
    target.mkdir(parents=True, exist_ok=True)
    (target / "card.json").unlink(missing_ok=True)
    files = {"mace": f"{settings.name}.model", "native": f"{settings.name}.native.json"}
    shutil.copy(model, target / files["mace"])
    shutil.copy(native, target / files["native"])
    others = {name: native_of(model_file(settings, name)) for name in committee(settings)}
    members = [f"{name}.native.json" for name in others]
    for member, source in zip(members, others.values(), strict=True):
        shutil.copy(source, target / member)
    every = [*files.values(), *members]
    record = card(settings, validation) | {
        "files": files | ({"committee": members} if members else {}),
        "sha256": {file: sha256(target / file) for file in every},
    }
    write_json(target / "card.json", record)
    return target


def card(settings: DistillSettings, validation: Record) -> Record:
    """Everything a user may ask of a student: what it learnt, from whom, and how well."""
    families = [family for each in settings.with_included() for family in each.families]
    starts = covered_starts(families, all_starts(settings))
    return {
        "name": settings.name,
        "elements": trained_elements(starts),
        "crystals": trained_crystals(starts),
        "families": [_family(family) for family in families if family.covered],
        "learnt_but_not_covered": [_family(family) for family in families if not family.covered],
        "r_max_A": settings.student.r_max_A,
        "shape": settings.student.hidden_irreps,
        "teacher": [term.model_dump() for term in settings.teacher.terms],
        "licence": "MIT",
        "data": {
            f"{each.name}/{stage}": _data(each, stage)
            for each in settings.with_included()
            for stage in stage_names(each)
        },
        "fit": settings.student.model_dump(),
        "validation": _rounded(
            {k: v for k, v in validation.items() if k not in ("name", "uncertainty")}
        ),
        "uncertainty": validation["uncertainty"] or None,
        "self_check": _self_check(model_file(settings, "final"), _probes(starts)),
        "versions": {p: version(p) for p in ("mace-torch", "torch", "symmetrix-xl", "ase")},
        "python": platform.python_version(),
    }


def covered_starts(families: Sequence[FamilySettings], starts: Sequence[Start]) -> list[Start]:
    """Orderings of the families that the card vouches for."""
    names = {family.name for family in families if family.covered}
    return [start for start in starts if start.family in names]


def _family(family: FamilySettings) -> str:
    learnt = [c.formula for c in family.compositions if not c.held_out]
    return f"{family.name} ({', '.join(dict.fromkeys(learnt))})"


def _data(settings: DistillSettings, stage: str) -> Record:
    path = snapshot_file(settings, stage)
    frames: list[Atoms] = ase.io.read(path, ":", format="extxyz")
    return {
        "snapshots": len(frames),
        "atoms": sum(len(atoms) for atoms in frames),
        "sha256": sha256(path),
    }


def _probes(starts: list[Start]) -> list[Atoms]:
    """One rattled ordering of every family, for the self-check at every load."""
    rng = np.random.default_rng(3)
    found: dict[str, Atoms] = {}
    for start in starts:
        if start.family not in found:
            atoms = bare(start.atoms)
            atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
            found[start.family] = atoms
    return list(found.values())


def _self_check(model: Path, probes: list[Atoms]) -> list[Record]:
    """Energies and forces of the probes in float64 by mace-torch, in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "probes.extxyz", Path(scratch) / "facts.json"
        ase.io.write(source, probes, format="extxyz")
        command = [sys.executable, "-m", "halmd.potentials.convert", str(model), str(target)]
        done = subprocess.run(
            [*command, "--structures", str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise HalmdError(f"{model}: mace-torch cannot compute it ({lines[-1][:200]})")
        found: list[Record] = json.loads(target.read_text(encoding="utf-8"))["self_check"]
    return found


def _rounded(value: Any) -> Any:
    """Five digits are all a card needs."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def validation_of(settings: DistillSettings) -> Record:
    """What `halmd validate-potential` wrote; raises HalmdError when it did not run yet."""
    return read_json(settings.folder / "validation.json")
