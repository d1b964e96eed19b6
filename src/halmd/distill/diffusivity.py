"""Lithium diffusivity of student and teacher in the same cells: short, hot runs side by side.

Both run at constant volume with the same step, thermostat and length, in the cell that the student
which explored the test has in NPT at that temperature. That student and its cells stay the same in
all rounds: the teacher's runs, which take hours, are made once and serve every finished student.
The student runs several times, so that its D is the sharper one; the teacher once. They agree where
the difference of ln D lies within its 95 % interval.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from halmd.config import DiffusionSettings
from halmd.distill import student_md, teacher_md
from halmd.distill.cells import hot_cell
from halmd.distill.label import teacher_python
from halmd.distill.settings import DiffusivitySettings, DistillSettings
from halmd.distill.stages import explorer_of, made_of, model_file, native_of
from halmd.distill.starts import Start
from halmd.errors import HalmdError
from halmd.files import fingerprint
from halmd.potentials.evaluators import native_calculator
from halmd.transport.diffusion import tracer_of
from halmd.transport.motion import motion_of

Record = dict[str, Any]

_FRAME_FS = 20.0
_THERMOSTAT_PS = 0.5
_SETTLE_PS = 1.0


def compare_diffusivities(
    settings: DistillSettings,
    starts: Sequence[Start],
    native: Path,
    cache: Path,
    folder: Path,
) -> Record:
    """Diffusivities of every composition and temperature asked for, and whether they agree.

    Raises HalmdError when a composition has no ordering or the teacher fails.
    """
    wanted = settings.diffusivity
    if wanted is None:
        return {}
    explorer = native_of(model_file(settings, explorer_of(settings, "test")))
    jobs = [
        (_start_of(starts, formula), temperature_K)
        for formula in wanted.compositions
        for temperature_K in wanted.temperatures_K
    ]
    with ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(_pair, settings, start, temperature_K, native, explorer, cache, folder)
            for start, temperature_K in jobs
        ]
        return {
            f"{start.composition} {temperature_K:g} K": future.result()
            for (start, temperature_K), future in zip(jobs, waiting, strict=True)
        }


def _start_of(starts: Sequence[Start], formula: str) -> Start:
    """The smallest ordering of a composition."""
    mine = [start for start in starts if start.composition == formula]
    if not mine:
        raise HalmdError(f"diffusivity: {formula} is not among the compositions")
    return min(mine, key=lambda start: len(start.atoms))


def _pair(
    settings: DistillSettings,
    start: Start,
    temperature_K: float,
    native: Path,
    explorer: Path,
    cache: Path,
    folder: Path,
) -> Record:
    """Student and teacher in one cell at one temperature."""
    wanted = settings.diffusivity or DiffusivitySettings(compositions=[start.composition])
    job = {
        "temperature_K": temperature_K,
        "timestep_fs": wanted.timestep_fs,
        "frame_fs": _FRAME_FS,
        "thermostat_ps": _THERMOSTAT_PS,
        "settle_ps": _SETTLE_PS,
        "degrees_of_freedom": "3 N - 3",
    }
    name = f"{start.tag}-{temperature_K:g}K"
    # A run that is asked to be longer goes on; anything else that is changed makes another one.
    decided = {"job": job, "explorer": made_of(settings, explorer_of(settings, "test"))}
    place = settings.folder / "diffusivity" / f"{name}-{fingerprint(decided)[:8]}"
    own = folder / name
    explores = native_calculator(explorer, cache)
    atoms = hot_cell(start, explores, temperature_K, place / "start.extxyz")
    job["length_ps"] = wanted.length_ps
    calculator = native_calculator(native, cache)
    for number in range(wanted.student_runs):
        target = own / f"student-{number}"
        mine = job | {"seed": settings.seed + number, "target": str(target)}
        student_md.run(atoms.copy(), mine, calculator)
    _run_teacher(settings, job | {"seed": settings.seed + 1000}, place)
    students = [
        _diffusivity(own / f"student-{n}", atoms, settings.mobile)
        for n in range(wanted.student_runs)
    ]
    return agreement(students, _diffusivity(place / "teacher", atoms, settings.mobile)) | {
        "ordering": start.tag,
        "atoms": len(atoms),
        "temperature_K": temperature_K,
        "length_ps": wanted.length_ps,
        "student_runs": wanted.student_runs,
        "volume_A3": float(atoms.get_volume()),
    }


def _run_teacher(settings: DistillSettings, job: Record, place: Path) -> None:
    script = str(Path(teacher_md.__file__))
    path = place / "teacher.json"
    terms = [term.model_dump() for term in settings.teacher.terms]
    path.write_text(
        json.dumps(
            job
            | {
                "terms": terms,
                "start": str((place / "start.extxyz").resolve()),
                "target": str((place / "teacher").resolve()),
            }
        ),
        encoding="utf-8",
    )
    with (place / "teacher.log").open("w") as log:
        done = subprocess.run(
            [teacher_python(settings.teacher), script, str(path)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
    if done.returncode:
        raise HalmdError(f"the teacher's MD failed; see {place / 'teacher.log'}")


def _diffusivity(folder: Path, atoms: Atoms, mobile: str) -> tuple[float, float]:
    """Tracer diffusivity of a finished run in Å²/ps, and its standard error."""
    parts = [np.load(path)["positions_A"] for path in sorted(folder.glob("part-*.npz"))]
    positions = np.concatenate(parts)
    motion = motion_of(
        positions,
        np.array(atoms.cell),
        atoms.get_chemical_symbols(),
        np.arange(len(positions)) * _FRAME_FS / 1000,
        mobile=mobile,
    )
    found = tracer_of(motion, DiffusionSettings(mobile=mobile))
    return found.D_A2_per_ps, found.standard_error_A2_per_ps


def agreement(students: Sequence[tuple[float, float]], teacher: tuple[float, float]) -> Record:
    """Mean of the student's runs beside the teacher's, both in cm²/s, and whether they agree.

    The error of the student's mean is the larger of what its runs say each and of their scatter.
    Errors are combined as those of ln D. A D that is not positive agrees with nothing.
    """
    values = np.array([value for value, _ in students])
    own = np.sqrt(np.sum([error**2 for _, error in students])) / len(students)
    scatter = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    mean, error = float(values.mean()), float(max(own, scatter))
    positive = mean > 0 and teacher[0] > 0
    joint = float(np.hypot(error / mean, teacher[1] / teacher[0])) if positive else float("inf")
    difference = float(np.log(mean / teacher[0])) if positive else float("inf")
    return {
        "student_D_cm2_per_s": mean * 1e-4,
        "student_error_cm2_per_s": error * 1e-4,
        "teacher_D_cm2_per_s": teacher[0] * 1e-4,
        "teacher_error_cm2_per_s": teacher[1] * 1e-4,
        "ln_student_over_teacher": difference if positive else None,
        "joint_error_of_ln": joint if positive else None,
        "agrees": bool(positive and abs(difference) <= 1.96 * joint),
    }
