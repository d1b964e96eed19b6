"""Production: the same trajectory bit for bit, however often killed; verdicts, not crashes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from toy_crystal import IonicToy, lithium_chloride, loaded

from halmd.config import DynamicsSettings
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.engines.ase import start_velocities
from halmd.dynamics.stability import closest_contact, contact_limits_A
from halmd.errors import HalmdError, OutOfTimeError
from halmd.files import read_json
from halmd.trajectory import Trajectory, read_trajectory

TARGET_K = 500.0
ENGINES = ("lean", "batched", "ase")
SETTINGS = DynamicsSettings(
    production_ps=2.4, frame_interval_fs=20, checkpoint_interval_ps=0.2, thermostat_time_ps=0.2
)


def start() -> Atoms:
    atoms = lithium_chloride()
    start_velocities(atoms, 2 * TARGET_K, np.random.default_rng(1))
    return atoms


def run(
    folder: Path, calculator: Any = None, *, out: str = "run", **changes: Any
) -> dict[str, Any]:
    """One production run in `folder`; changes are settings or arguments."""
    calculator = calculator or IonicToy()
    arguments = {
        name: changes.pop(name)
        for name in ("target_K", "seed", "max_minutes", "fresh", "atoms", "diffusion")
        if name in changes
    }
    return run_dynamics(
        arguments.pop("atoms", None) or start(),
        loaded(calculator, fresh=arguments.pop("fresh", None)),
        SETTINGS.model_copy(update=changes),
        scratch=folder / "scratch",
        trajectory=folder / f"{out}.h5",
        record=folder / f"{out}.json",
        show_progress=False,
        **({"target_K": TARGET_K, "seed": 5} | arguments),
    )


def same(one: Trajectory, other: Trajectory) -> bool:
    return (
        one.positions_A.tobytes() == other.positions_A.tobytes()
        and one.time_ps.tobytes() == other.time_ps.tobytes()
        and all(one.thermo[key].tobytes() == other.thermo[key].tobytes() for key in one.thermo)
        and len(one.thermo) == len(other.thermo) == 4
    )


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trajectory]:
    """The uninterrupted run by every engine."""
    found = {}
    for engine in ENGINES:
        folder = tmp_path_factory.mktemp(engine)
        run(folder, engine=engine)
        found[engine] = read_trajectory(folder / "run.h5")
    return found


@pytest.fixture
def uninterrupted(each: dict[str, Trajectory]) -> Trajectory:
    return each[SETTINGS.engine]


SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_dynamics
try:
    test_dynamics.run(Path(sys.argv[1]), engine=sys.argv[2])
except test_dynamics.OutOfTimeError:
    sys.exit(75)
"""


def launch(folder: Path, engine: str = SETTINGS.engine) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), engine])


def newest(folder: Path) -> str:
    return max((path.name for path in folder.rglob("checkpoint-*.bin")), default="")


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[bytes], after: str) -> None:
    """Until a checkpoint newer than `after` exists; a run cut earlier would test nothing."""
    patience = time.monotonic() + 60
    while newest(folder) <= after and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.002)


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_again_and_again_gives_the_uninterrupted_trajectory(
    tmp_path: Path, each: dict[str, Trajectory], engine: str
) -> None:
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    kills = ended = 0
    for _ in range(5):
        process, before = launch(tmp_path, engine), newest(tmp_path)
        wait_for_checkpoint(tmp_path, process, before)
        # Anywhere within an interval and the writing of its checkpoint.
        time.sleep(rng.uniform(0, 0.15))
        if process.poll() is not None:
            ended = 1
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        if (tmp_path / "run.json").exists():
            # The kill came after the very end; what is declared is whole.
            assert same(read_trajectory(tmp_path / "run.h5"), each[engine])
            break
    assert kills >= 3
    process = launch(tmp_path, engine)
    assert process.wait(timeout=120) == 0
    assert same(read_trajectory(tmp_path / "run.h5"), each[engine])
    record = read_json(tmp_path / "run.json")
    assert kills < record["starts"] <= kills + 1 + ended
    assert record["engine"] == engine
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_what_a_kill_left_in_the_middle_of_the_results_is_cleared(
    tmp_path: Path, uninterrupted: Trajectory
) -> None:
    left = [tmp_path / name for name in (".run.a1b2c3d4.h5", ".run.a1b2c3d4.json")]
    for path in (*left, other := tmp_path / ".other.a1b2c3d4.h5"):
        path.write_bytes(b"half")
    run(tmp_path)
    assert not any(path.exists() for path in left)
    assert other.exists(), "of another run, which may be writing it"
    assert same(read_trajectory(tmp_path / "run.h5"), uninterrupted)


def test_termination_stops_at_a_checkpoint_and_continues(
    tmp_path: Path, uninterrupted: Trajectory
) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        process, before = launch(tmp_path), newest(tmp_path)
        wait_for_checkpoint(tmp_path, process, before)
        process.send_signal(number)
        assert process.wait(timeout=60) == 75
        assert not (tmp_path / "run.h5").exists()
    run(tmp_path)
    assert same(read_trajectory(tmp_path / "run.h5"), uninterrupted)


def test_out_of_time_still_gets_there(tmp_path: Path, uninterrupted: Trajectory) -> None:
    stops = 0
    while True:
        try:
            record = run(tmp_path, max_minutes=0.0)
        except OutOfTimeError:
            stops += 1
            assert not (tmp_path / "run.h5").exists()
        else:
            break
    assert stops == 11, "twelve intervals, one for each start"
    assert record["starts"] == 12
    assert same(read_trajectory(tmp_path / "run.h5"), uninterrupted)


def test_the_neighbour_list_must_be_forgotten(tmp_path: Path, uninterrupted: Trajectory) -> None:
    """Shows that the tests of this file see the least difference in the order of summation."""
    run(tmp_path, fresh=lambda: None)
    other = read_trajectory(tmp_path / "run.h5")
    assert not same(other, uninterrupted)
    np.testing.assert_allclose(other.positions_A[:20], uninterrupted.positions_A[:20], atol=1e-4)


def test_longer_continues_and_shorter_is_its_first_part(
    tmp_path: Path, uninterrupted: Trajectory
) -> None:
    calculator = IonicToy()
    run(tmp_path, calculator, production_ps=1.0)
    short = read_trajectory(tmp_path / "run.h5")
    assert short.time_ps[-1] == pytest.approx(1.0)
    assert len(short.time_ps) == 51
    first = calculator.calls
    run(tmp_path, calculator)
    assert same(read_trajectory(tmp_path / "run.h5"), uninterrupted)
    assert calculator.calls - first < 1.1 * 700, "what was run before is not run again"
    # A length that is no whole number of intervals, after the longer one.
    before = calculator.calls
    run(tmp_path, calculator, production_ps=1.5)
    part = read_trajectory(tmp_path / "run.h5")
    assert calculator.calls == before
    assert part.positions_A.tobytes() == uninterrupted.positions_A[:76].tobytes()
    folder = tmp_path / "at-once"
    run(folder, production_ps=1.5)
    assert same(read_trajectory(folder / "run.h5"), part)


def test_damaged_newest_checkpoint_costs_one_interval(
    tmp_path: Path, uninterrupted: Trajectory
) -> None:
    run(tmp_path, production_ps=1.2)
    (folder,) = (tmp_path / "scratch").iterdir()
    files = sorted(folder.glob("checkpoint-*.bin"))
    assert len(files) == 2
    content = files[-1].read_bytes()
    files[-1].write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="taking the checkpoint before"):
        run(tmp_path)
    assert same(read_trajectory(tmp_path / "run.h5"), uninterrupted)
    for path in folder.glob("checkpoint-*.bin"):
        path.write_bytes(b"")
    (tmp_path / "run.h5").unlink()
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(HalmdError, match="delete the folder") as caught,
    ):
        run(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run.h5").exists()


def test_another_setting_starts_beside(tmp_path: Path) -> None:
    run(tmp_path, production_ps=0.4)
    for number, change in enumerate(
        (
            {"seed": 6},
            {"target_K": 501.0},
            {"timestep_fs": 1.0},
            {"thermostat_time_ps": 0.3},
            {"frame_interval_fs": 40.0},
            {"checkpoint_interval_ps": 0.4},
        ),
        start=2,
    ):
        run(tmp_path, **({"production_ps": 0.4} | change))
        assert len(list((tmp_path / "scratch").iterdir())) == number
    run(tmp_path, production_ps=0.4, equilibration_ps=99.0)
    assert len(list((tmp_path / "scratch").iterdir())) == 7


def test_record_says_what_was_run(tmp_path: Path) -> None:
    record = run(tmp_path, production_ps=6.0)
    assert record["verdict"] == "ok"
    stored = read_json(tmp_path / "run.json")
    assert {key: stored[key] for key in record} == json.loads(json.dumps(record))
    trajectory = read_trajectory(tmp_path / "run.h5")
    heat = trajectory.thermo["temperature"]
    assert record["mean_temperature_K"] == pytest.approx(heat.mean())
    # 3 sigma, by the error that the record itself states.
    assert abs(heat[50:].mean() - TARGET_K) < 3.3 * record["mean_temperature_error_K"]
    conserved = trajectory.thermo["conserved_energy"]
    drift = np.polyfit(trajectory.time_ps, conserved, 1)[0] / 64 * 1000
    assert record["energy_drift_meV_per_atom_per_ps"] == pytest.approx(drift)
    assert abs(drift) < 0.1
    total = trajectory.thermo["kinetic_energy"] + trajectory.thermo["potential_energy"]
    assert np.ptp(total) > 5 * np.ptp(conserved)
    assert record["seed"] == 5
    assert record["potential"]["name"] == "toy"
    assert record["starts"] == 1
    assert record["frames"] == 301
    assert record["ns_per_day"] == pytest.approx(record["steps_per_s"] * 2e-6 * 86400)
    assert record["steps_per_s"] == pytest.approx(3000 / record["wall_s"])
    masses = trajectory.masses_amu / trajectory.masses_amu.sum()
    centre = np.einsum("fai,a->fi", trajectory.positions_A, masses)
    assert np.abs(centre - centre[0]).max() < 1e-5


def test_forces_that_are_not_numbers_end_in_a_verdict(tmp_path: Path) -> None:
    record = run(tmp_path, IonicToy(nan_after=333))
    assert record["verdict"] == "nan_forces"
    assert record["reason"]["at_ps"] == pytest.approx(0.68, abs=0.03)
    trajectory = read_trajectory(tmp_path / "run.h5")
    assert 0.6 < trajectory.time_ps[-1] < 0.68
    # Asked again, and for longer, the answer is the same; a run that ended before it is sound.
    assert run(tmp_path, production_ps=4.8)["verdict"] == "nan_forces"
    assert run(tmp_path, production_ps=0.4)["verdict"] == "ok"


def test_a_calculator_that_refuses_nan_ends_in_a_verdict(tmp_path: Path) -> None:
    class Strict(IonicToy):
        def calculate(self, atoms: Any = None, *others: Any) -> None:
            if not np.isfinite(atoms.positions).all():
                raise ValueError("positions are not finite")
            super().calculate(atoms, *others)

    assert run(tmp_path, Strict(nan_after=333))["verdict"] == "nan_forces"


def test_a_calculator_that_breaks_is_not_hidden(tmp_path: Path) -> None:
    class Broken(IonicToy):
        def calculate(self, atoms: Any = None, *others: Any) -> None:
            super().calculate(atoms, *others)
            if self.calls > 150:
                raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, Broken())


def test_atoms_too_close_end_in_a_verdict(tmp_path: Path) -> None:
    class Attracting(IonicToy):
        """A hole in the potential: two cations pull each other in."""

        def calculate(self, atoms: Any = None, *others: Any) -> None:
            super().calculate(atoms, *others)
            bond = self.atoms.positions[2] - self.atoms.positions[0]
            pull = 15.0 * bond / np.linalg.norm(bond)
            self.results["forces"][0] += pull
            self.results["forces"][2] -= pull

    # The guard on contacts looks at every frame, the one on heat at every checkpoint.
    record = run(tmp_path, Attracting(), checkpoint_interval_ps=2.0)
    assert record["verdict"] == "atoms_too_close"
    pair = tuple(record["reason"]["pair"].split("-"))
    assert 0 < record["reason"]["distance_A"] < contact_limits_A(pair)[0, 1]
    last = read_trajectory(tmp_path / "run.h5")
    assert last.time_ps[-1] < record["reason"]["at_ps"]
    assert not closest_contact(last.positions_A[-1], last.cell_A, contact_limits_A(last.symbols))


def test_heating_forces_end_in_a_verdict(tmp_path: Path) -> None:
    class Swirling(IonicToy):
        """Forces with a curl do work on every vibration."""

        def calculate(self, atoms: Any = None, *others: Any) -> None:
            super().calculate(atoms, *others)
            shift = self.atoms.positions - lithium_chloride().positions
            swirl = 0.6 * np.cross([0.0, 0.0, 1.0], shift)
            self.results["forces"] += swirl - swirl.mean(axis=0)

    record = run(tmp_path, Swirling(), thermostat_time_ps=1.0, production_ps=6.0)
    assert record["verdict"] == "temperature_runaway"
    assert record["reason"]["mean_temperature_K"] > 1.3 * TARGET_K
    assert read_trajectory(tmp_path / "run.h5").time_ps[-1] < 6.0


def test_a_melt_ends_in_a_verdict(tmp_path: Path) -> None:
    atoms = lithium_chloride(strain=1.15)
    start_velocities(atoms, 5000.0, np.random.default_rng(1))
    record = run(
        tmp_path,
        atoms=atoms,
        target_K=2500.0,
        production_ps=30.0,
        frame_interval_fs=50.0,
        checkpoint_interval_ps=1.0,
    )
    assert record["verdict"] == "framework_unstable"
    assert record["reason"]["end_A2"] > record["reason"]["plateau_A2"] + 1
    assert 8 <= record["length_ps"] < 15


def test_a_start_that_failed_is_passed_on(tmp_path: Path) -> None:
    atoms = start()
    atoms.info["equilibration_verdict"] = "cell_unstable"
    calculator = IonicToy()
    record = run(tmp_path, calculator, atoms=atoms)
    assert record["verdict"] == "cell_unstable"
    assert record["frames"] == 1
    assert calculator.calls < 5


def test_a_start_without_velocities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match="halmd equilibrate"):
        run(tmp_path, atoms=lithium_chloride())
    assert list(tmp_path.iterdir()) == []


def test_one_run_has_one_owner(tmp_path: Path) -> None:
    process = launch(tmp_path)
    wait_for_checkpoint(tmp_path, process, "")
    try:
        with pytest.raises(HalmdError, match="another process"):
            run(tmp_path)
    finally:
        process.kill()
        process.wait()
