"""`halmd label`: energies, forces and stresses of snapshots by the teacher.

Every term of the teacher has labels of its own, kept in small shards, so that a killed labelling
goes on where it stopped and a term's weight can be changed without labelling again.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.distill.settings import TeacherSettings, Term
from halmd.errors import HalmdError
from halmd.files import read_json, sha256, write_text

Floats = NDArray[np.float64]

_LOOK_EVERY_S = 2.0
_SAY_EVERY_S = 20.0


@dataclass(frozen=True)
class Labelled:
    """A snapshot with the teacher's energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt)."""

    atoms: Atoms
    energy_eV: float
    forces_eV_per_A: Floats
    stress_eV_per_A3: Floats


def label(
    snapshots: Path,
    teacher: TeacherSettings,
    folder: Path,
    *,
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Label every snapshot of an extxyz file by every term of the teacher, into `folder`/<term>.

    Raises HalmdError when the teacher's interpreter is missing or a term cannot be computed.
    """
    python = teacher_python(teacher)
    for term in teacher.terms:
        target = _target(folder, term, snapshots)
        _label_term(snapshots, python, teacher.shard, term, target, workers, say)


def teacher_python(teacher: TeacherSettings) -> str:
    """Interpreter of the teacher's environment; raises HalmdError when there is none."""
    if teacher.python is None:
        return sys.executable
    found = shutil.which(teacher.python)
    if found is None:
        raise HalmdError(
            f"teacher.python: {teacher.python}: no such interpreter; make the environment of the "
            "teacher first (for the shipped recipe: make teacher)"
        )
    return found


def _target(folder: Path, term: Term, snapshots: Path) -> Path:
    """Folder of a term's shards; raises HalmdError when they belong to other snapshots."""
    target = folder / term.name
    target.mkdir(parents=True, exist_ok=True)
    made_of = {
        "snapshots_sha256": sha256(snapshots),
        "calculator": term.calculator,
        "arguments": term.arguments,
    }
    note = target / "made-of.json"
    if note.exists():
        if read_json(note) != made_of:
            raise HalmdError(
                f"{target}: labels of other snapshots or of another calculator; give the term "
                "another name, or delete the folder"
            )
    else:
        write_text(note, json.dumps(made_of))
    return target


def _label_term(
    snapshots: Path,
    python: str,
    shard: int,
    term: Term,
    target: Path,
    workers: int,
    say: Callable[[str], None],
) -> None:
    total = _count(snapshots, shard)
    done = len(list(target.glob("[0-9]*.npz")))
    if done == total:
        return
    processes = []
    script = str(Path(__file__).with_name("teacher_worker.py"))
    for worker in range(workers):
        job = target / f"job-{worker}.json"
        job.write_text(
            json.dumps(
                {
                    "snapshots": str(snapshots.resolve()),
                    "calculator": term.calculator,
                    "arguments": term.arguments,
                    "target": str(target.resolve()),
                    "shard": shard,
                    "worker": worker,
                    "workers": workers,
                }
            ),
            encoding="utf-8",
        )
        with (target / f"worker-{worker}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [python, script, str(job)],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"HALMD_PARENT": str(os.getpid())},
                )
            )
    began, said, first = time.monotonic(), 0.0, done
    try:
        while any(process.poll() is None for process in processes):
            time.sleep(_LOOK_EVERY_S)
            done = len(list(target.glob("[0-9]*.npz")))
            passed = time.monotonic() - began
            if passed - said > _SAY_EVERY_S and done > first:
                said = passed
                left_min = passed / (done - first) * (total - done) / 60
                say(f"{term.name}: {done} of {total} shards, {left_min:.0f} min left")
    finally:
        for process in processes:
            process.terminate()
    if any(process.returncode for process in processes):
        raise HalmdError(f"teacher {term.name!r}: {_complaint(target)}")


def _complaint(target: Path) -> str:
    """The last line a worker wrote, and where the rest is."""
    for log in sorted(target.glob("worker-*.log")):
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        if lines and "Error" in lines[-1]:
            return f"{lines[-1][:200]} (see {log})"
    return f"a worker stopped (see {target}/worker-*.log)"


def _count(snapshots: Path, shard: int) -> int:
    frames: list[Atoms] = ase.io.read(snapshots, ":", format="extxyz")
    return -(-len(frames) // shard)


def read_labelled(snapshots: Path, teacher: TeacherSettings, folder: Path) -> list[Labelled]:
    """Snapshots with the weighted sum of all terms; those a term could not compute are left out.

    Raises HalmdError when labels are missing.
    """
    frames: list[Atoms] = ase.io.read(snapshots, ":", format="extxyz")
    ends = np.cumsum([len(atoms) for atoms in frames])
    energies = np.zeros(len(frames))
    forces = np.zeros((int(ends[-1]), 3))
    stresses = np.zeros((len(frames), 6))
    names = [f"{first:06d}.npz" for first in range(0, len(frames), teacher.shard)]
    for term in teacher.terms:
        shards = sorted((folder / term.name).glob("[0-9]*.npz"))
        if [shard.name for shard in shards] != names:
            raise HalmdError(
                f"{folder / term.name}: {len(shards)} shards of labels where {len(names)} of "
                f"{teacher.shard} snapshots are wanted; run `halmd label` first, or set "
                "teacher.shard back"
            )
        parts = [np.load(shard) for shard in shards]
        energies += term.weight * np.concatenate([part["energies_eV"] for part in parts])
        forces += term.weight * np.concatenate([part["forces_eV_per_A"] for part in parts])
        stresses += term.weight * np.concatenate([part["stresses_eV_per_A3"] for part in parts])
    split = np.split(forces, ends[:-1])
    return [
        Labelled(atoms, float(energy), force, stress)
        for atoms, energy, force, stress in zip(frames, energies, split, stresses, strict=True)
        if np.isfinite(energy) and np.isfinite(force).all() and np.isfinite(stress).all()
    ]
