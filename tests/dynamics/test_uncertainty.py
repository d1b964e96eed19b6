"""A committee's disagreement: its definition, its verdict, and that the run is not touched."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.md.velocitydistribution import thermalize_momenta

from halmd.config import DynamicsSettings
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.uncertainty import committee_forces, force_spread_eV_per_A, look
from halmd.errors import OutOfTimeError
from halmd.files import read_json
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


class Silent(Calculator):
    """A member without an answer for one atom."""

    implemented_properties = ("energy", "forces")

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(self.atoms), 3))
        forces[0] = np.nan
        self.results = {"energy": 0.0, "forces": forces}


def run(
    loaded: Loaded,
    folder: Path,
    settings: DynamicsSettings = SETTINGS,
    atoms: Atoms | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    return run_dynamics(
        atoms or crystal(),
        loaded,
        settings,
        target_K=60.0,
        seed=5,
        scratch=folder / "scratch",
        trajectory=folder / "trajectory.h5",
        record=folder / "run.json",
        mobile="Xx",
        show_progress=False,
        **arguments,
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
    assert frames[0].info["force_std_eV_per_A"] == pytest.approx(
        found["uncertainty"]["max_eV_per_A"]
    )
    assert {frame.info["temperature_K"] for frame in frames} == {60.0}
    assert {frame.info["run"] for frame in frames} == {tmp_path.as_posix()}


def test_accepted_extrapolation_is_written_down_and_no_verdict(tmp_path: Path) -> None:
    found = run(potential(argon(3.45), accept_extrapolation=True), tmp_path)
    assert found["verdict"] == "ok"
    assert found["uncertainty"]["extrapolating"]
    assert found["potential"]["accept_extrapolation"]
    # Whoever accepts it may still want to teach it.
    assert (tmp_path / "extrapolating.extxyz").is_file()


def test_without_a_committee_nothing_is_said(tmp_path: Path) -> None:
    assert run(potential(), tmp_path)["uncertainty"] is None


def test_never_is_never(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"uncertainty_interval_ps": 0.0})
    assert run(potential(argon(3.45)), tmp_path, settings)["uncertainty"] is None


def test_more_often_than_frames_is_every_frame(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"uncertainty_interval_ps": 0.001})
    found = run(potential(argon()), tmp_path, settings)["uncertainty"]
    assert (found["looks"], found["interval_ps"]) == (51, pytest.approx(0.02))


def test_the_numbers_are_those_of_the_saved_frames(tmp_path: Path) -> None:
    found = run(potential(argon(3.45)), tmp_path)["uncertainty"]
    trajectory = read_trajectory(tmp_path / "trajectory.h5")
    spreads = []
    for positions in trajectory.positions_A[::5]:
        forces = []
        for member in (argon(), argon(3.45)):
            atoms = Atoms("Ar32", positions=positions, cell=trajectory.cell_A, pbc=True)
            atoms.calc = member
            forces.append(atoms.get_forces())
        away = np.linalg.norm(forces - np.mean(forces, axis=0), axis=2)
        spreads.append(np.sqrt((away**2).mean(axis=0)))
    assert found["looks"] == len(spreads)
    assert found["max_eV_per_A"] == pytest.approx(np.max(spreads))
    assert found["rms_eV_per_A"] == pytest.approx(np.sqrt(np.mean(np.square(spreads))))
    share = np.mean(np.max(spreads, axis=1) > THRESHOLD["force_std_eV_per_A"])
    assert found["share_above_threshold"] == pytest.approx(share)


def test_a_member_without_an_answer_counts_as_disagreement(tmp_path: Path) -> None:
    found = run(potential(Silent()), tmp_path)
    assert found["verdict"] == "extrapolating"
    assert found["uncertainty"]["share_above_threshold"] == 1.0
    assert read_json(tmp_path / "run.json")["uncertainty"]["max_eV_per_A"] is None
    assert ase.io.read(tmp_path / "extrapolating.extxyz", ":")


def test_what_stopped_a_run_stays_its_verdict(tmp_path: Path) -> None:
    atoms = crystal()
    # Close enough for the guard, and far from what the members agree about.
    towards = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[0] += 0.6 * towards
    found = run(potential(argon(3.45)), tmp_path, atoms=atoms)
    assert found["verdict"] in ("atoms_too_close", "temperature_runaway")
    assert found["uncertainty"]["extrapolating"]
    assert not (tmp_path / "extrapolating.extxyz").exists()


def test_frames_of_an_older_judgement_do_not_stay(tmp_path: Path) -> None:
    run(potential(argon(3.45)), tmp_path)
    assert (tmp_path / "extrapolating.extxyz").is_file()
    never = SETTINGS.model_copy(update={"uncertainty_interval_ps": 0.0})
    assert run(potential(argon(3.45)), tmp_path, never)["verdict"] == "ok"
    assert not (tmp_path / "extrapolating.extxyz").exists()


def test_the_frame_of_a_look_is_left_as_it_is() -> None:
    atoms = crystal()
    positions = atoms.positions.copy()
    committee_forces(atoms, [argon(), argon(3.45)])
    assert atoms.calc is None
    assert np.array_equal(atoms.positions, positions)


def test_the_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    run(potential(), tmp_path / "without")
    run(potential(argon(3.45)), tmp_path / "with")
    one, other = (
        read_trajectory(tmp_path / folder / "trajectory.h5") for folder in ("without", "with")
    )
    assert one.positions_A.tobytes() == other.positions_A.tobytes()
    assert all(one.thermo[key].tobytes() == other.thermo[key].tobytes() for key in one.thermo)


def test_a_run_stopped_at_every_checkpoint_says_the_same(tmp_path: Path) -> None:
    whole = run(potential(argon(3.45)), tmp_path / "whole")
    stops = 0
    while True:
        try:
            continued = run(potential(argon(3.45)), tmp_path / "parts", max_minutes=0.0)
        except OutOfTimeError:
            stops += 1
            assert not (tmp_path / "parts" / "extrapolating.extxyz").exists()
        else:
            break
    assert stops == 4
    assert continued["uncertainty"] == whole["uncertainty"]
    assert (continued["verdict"], continued["reason"]) == (whole["verdict"], whole["reason"])


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
