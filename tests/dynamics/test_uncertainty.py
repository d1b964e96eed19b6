"""A committee's disagreement: its definition, its verdict, and that the run is not touched."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.md.velocitydistribution import thermalize_momenta

from halmd.config import DynamicsSettings
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.uncertainty import force_spread_eV_per_A, look
from halmd.potentials.evaluators import Loaded
from halmd.trajectory import read_trajectory

SETTINGS = DynamicsSettings(
    temperatures_K=[60.0],
    timestep_fs=4.0,
    production_ps=1.0,
    frame_interval_fs=20.0,
    checkpoint_interval_ps=0.2,
    uncertainty_interval_ps=0.1,
    thermostat_time_ps=0.1,
)
THRESHOLD = {"force_std_eV_per_A": 0.01, "share": 0.05}


def argon(sigma_A: float = 3.4) -> LennardJones:
    return LennardJones(sigma=sigma_A, epsilon=0.0103, rc=6.0, smooth=True)


def crystal() -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    thermalize_momenta(atoms, 120.0, rng=np.random.default_rng(1))
    return atoms


def potential(*members: Any, **provenance: Any) -> Loaded:
    return Loaded(
        argon(),
        {"name": "toy", "kind": "ase", "sha256": None, "evaluator": "ase", **provenance},
        None,
        lambda: None,
        members,
        THRESHOLD if members else None,
    )


def run(loaded: Loaded, folder: Path, settings: DynamicsSettings = SETTINGS) -> dict[str, Any]:
    return run_dynamics(
        crystal(),
        loaded,
        settings,
        target_K=60.0,
        seed=5,
        scratch=folder / "scratch",
        trajectory=folder / "trajectory.h5",
        record=folder / "run.json",
        mobile="Xx",
        show_progress=False,
    )


def test_the_spread_is_the_standard_deviation_of_vectors() -> None:
    rng = np.random.default_rng(0)
    forces = rng.normal(size=(4, 7, 3))
    expected = np.sqrt(forces.var(axis=0).sum(axis=1))
    assert np.allclose(force_spread_eV_per_A(forces), expected)
    same = np.repeat(forces[:1], 3, axis=0)
    assert np.allclose(force_spread_eV_per_A(same), 0.0)


def test_members_that_agree_leave_the_run_as_it_is(tmp_path: Path) -> None:
    found = run(potential(argon(), argon()), tmp_path)
    assert found["verdict"] == "ok"
    assert found["uncertainty"]["members"] == 3
    assert found["uncertainty"]["max_eV_per_A"] < 1e-6
    assert found["uncertainty"]["looks"] == 11
    assert not (tmp_path / "extrapolating.extxyz").exists()


def test_members_that_disagree_say_extrapolating(tmp_path: Path) -> None:
    found = run(potential(argon(3.45)), tmp_path)
    assert found["verdict"] == "extrapolating"
    assert found["uncertainty"]["share_above_threshold"] > 0.05
    assert found["reason"]["threshold_eV_per_A"] == 0.01
    frames = ase.io.read(tmp_path / "extrapolating.extxyz", ":")
    assert 0 < len(frames) <= 20
    assert all(frame.info["force_std_eV_per_A"] > 0.01 for frame in frames)
    times = sorted(frame.info["time_ps"] for frame in frames)
    # No two of successive looks.
    assert np.diff(times).min() > 0.15


def test_accepted_extrapolation_is_written_down_and_no_verdict(tmp_path: Path) -> None:
    found = run(potential(argon(3.45), accept_extrapolation=True), tmp_path)
    assert found["verdict"] == "ok"
    assert found["uncertainty"]["extrapolating"]
    assert found["potential"]["accept_extrapolation"]


def test_without_a_committee_nothing_is_said(tmp_path: Path) -> None:
    assert run(potential(), tmp_path)["uncertainty"] is None


def test_never_is_never(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"uncertainty_interval_ps": 0.0})
    assert run(potential(argon(3.45)), tmp_path, settings)["uncertainty"] is None


def test_the_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    run(potential(), tmp_path / "without")
    run(potential(argon(3.45)), tmp_path / "with")
    one, other = (
        read_trajectory(tmp_path / folder / "trajectory.h5").positions_A
        for folder in ("without", "with")
    )
    assert np.array_equal(one, other)


def test_a_continued_run_says_what_an_uninterrupted_one_says(tmp_path: Path) -> None:
    whole = run(potential(argon(3.45)), tmp_path / "whole")
    short = SETTINGS.model_copy(update={"production_ps": 0.4})
    quiet = replace(potential(argon(3.45)), uncertainty=None)
    run(quiet, tmp_path / "parts", short)
    continued = run(potential(argon(3.45)), tmp_path / "parts")
    assert continued["uncertainty"] == pytest.approx(whole["uncertainty"])
    assert continued["verdict"] == whole["verdict"]


def test_one_look_in_twenty_may_be_above() -> None:
    atoms = crystal()
    positions = np.repeat(atoms.positions[None], 40, axis=0).astype(np.float32)
    positions[7, 0] += 0.6
    record, frames = look(
        positions,
        atoms,
        [argon(), argon(3.45)],
        every=1,
        frame_ps=0.1,
        threshold={"force_std_eV_per_A": 0.03, "share": 0.05},
    )
    assert record["share_above_threshold"] == pytest.approx(1 / 40)
    assert not record["extrapolating"]
    assert frames == []
