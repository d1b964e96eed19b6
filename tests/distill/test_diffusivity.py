"""Agreement of two diffusivities with known errors, and MD that goes on as if never stopped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from halmd.distill import teacher_md
from halmd.distill.diffusivity import agreement


def test_equal_diffusivities_agree_and_different_ones_do_not() -> None:
    assert agreement([(1.0, 0.1), (1.1, 0.1)], (1.0, 0.2))["agrees"]
    found = agreement([(1.0, 0.05)] * 4, (2.0, 0.2))
    assert not found["agrees"]
    assert found["ln_student_over_teacher"] == pytest.approx(-np.log(2))
    assert found["student_D_cm2_per_s"] == pytest.approx(1e-4)


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Student and teacher of one true D with known log-normal errors: 95 of 100 agree."""
    rng = np.random.default_rng(0)
    trials = 2000
    held = 0
    for _ in range(trials):
        students = [(float(v), 0.15 * float(v)) for v in np.exp(rng.normal(0, 0.15, 8))]
        teacher = float(np.exp(rng.normal(0, 0.2)))
        held += agreement(students, (teacher, 0.2 * teacher))["agrees"]
    assert held / trials == pytest.approx(0.95, abs=0.02)


def test_no_motion_agrees_with_nothing() -> None:
    assert not agreement([(0.0, 0.1)], (1.0, 0.1))["agrees"]
    assert not agreement([(1.0, 0.1)], (-0.1, 0.1))["agrees"]


def job(target: Path, length_ps: float) -> dict[str, Any]:
    return {
        "temperature_K": 60.0,
        "timestep_fs": 4.0,
        "frame_fs": 40.0,
        "length_ps": length_ps,
        "thermostat_ps": 0.1,
        "settle_ps": 0.2,
        "seed": 3,
        "target": str(target),
    }


def run(target: Path, length_ps: float) -> np.ndarray:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=6.0, smooth=True)
    teacher_md.run(atoms, job(target, length_ps))
    parts = sorted(target.glob("part-*.npz"))
    return np.concatenate([np.load(part)["positions_A"] for part in parts])


def test_a_stopped_run_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 3.0)
    run(tmp_path / "parts", 1.0)
    stopped = run(tmp_path / "parts", 3.0)
    assert whole.shape == (75, 32, 3)
    assert np.allclose(stopped, whole, atol=1e-6)


def test_the_sum_is_weighted() -> None:
    atoms = bulk("Ar", "fcc", a=5.2, cubic=True)
    atoms.positions[0] += 0.2
    one, two = (LennardJones(sigma=s, epsilon=0.0103, rc=5.0, smooth=True) for s in (3.3, 3.5))
    forces = []
    for calculator in (one, two):
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    atoms.calc = teacher_md.Sum([(one, 1.0), (two, 0.8)])
    assert np.allclose(atoms.get_forces(), forces[0] + 0.8 * forces[1])
