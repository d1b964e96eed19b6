"""Runs as long as needed: against random walks of known diffusivity, and in the engine."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_dynamics import run
from toy_crystal import lithium_chloride

from halmd.config import DiffusionSettings, DynamicsSettings
from halmd.dynamics.engines.ase import start_velocities
from halmd.dynamics.length import first_length_ps, look, next_length_ps
from halmd.trajectory import read_trajectory

TARGET = 0.15
ADAPTIVE = DynamicsSettings(target_relative_error=TARGET, min_ps=20, max_ps=600)
D_A2_PER_PS, IONS = 0.4, 12


def walk(seed: int, length_ps: float, interval_ps: float = 0.25) -> np.ndarray:
    """Li that walk at random past four Y at rest, shape (n_frames, 16, 3)."""
    frames = round(length_ps / interval_ps) + 1
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, np.sqrt(2 * D_A2_PER_PS * interval_ps), (frames, IONS, 3))
    steps[0] = 0
    still = np.broadcast_to(rng.uniform(0, 12, (4, 3)), (frames, 4, 3))
    return np.concatenate([np.cumsum(steps, axis=0), still], axis=1).astype(np.float32)


def seen(positions_A: np.ndarray, settings: DynamicsSettings = ADAPTIVE) -> dict[str, Any]:
    symbols = ("Li",) * IONS + ("Y",) * 4
    return look(positions_A, 12.0 * np.eye(3), symbols, 0.25, settings, DiffusionSettings())


def test_without_a_target_the_length_is_the_one_asked_for() -> None:
    plain = DynamicsSettings(production_ps=70)
    assert first_length_ps(plain) == 70
    assert next_length_ps(70.0, 0.9, plain) == 70
    assert first_length_ps(ADAPTIVE) == 20


@given(
    length_ps=st.floats(1, 600),
    error=st.one_of(st.none(), st.floats(0.001, 1e6)),
    target=st.floats(0.01, 0.9),
)
def test_lengths_grow_to_the_largest_and_stop_when_certain(
    length_ps: float, error: float | None, target: float
) -> None:
    settings = ADAPTIVE.model_copy(update={"target_relative_error": target})
    found = next_length_ps(length_ps, error, settings)
    assert length_ps <= found <= settings.max_ps
    enough = error is not None and error <= target
    assert (found == length_ps) == (enough or length_ps == settings.max_ps)
    whole = found / settings.checkpoint_interval_ps
    assert found in (length_ps, settings.max_ps) or whole == pytest.approx(round(whole))


def test_runs_that_stop_themselves_are_as_certain_as_asked() -> None:
    """Forty walks: D is right, and its scatter is the target's."""
    diffusivities, looks = [], []
    for seed in range(40):
        whole = walk(seed, ADAPTIVE.max_ps)
        length_ps, count = first_length_ps(ADAPTIVE), 0
        while True:
            part = whole[: round(length_ps / 0.25) + 1]
            found, count = seen(part), count + 1
            if found["next_ps"] <= length_ps:
                break
            length_ps = found["next_ps"]
        assert found["relative_error"] <= TARGET
        # Jumps are those of D, 6 D t N / a^2.
        D = found["n_effective_jumps"] * 2.5**2 / (6 * IONS * length_ps)
        diffusivities.append(D / D_A2_PER_PS)
        looks.append(count)
    errors = np.array(diffusivities) - 1
    assert np.sqrt((errors**2).mean()) < 1.25 * TARGET
    assert abs(errors.mean()) < 3 * TARGET / np.sqrt(40) + 0.02
    assert np.mean(np.abs(errors) < 2 * TARGET) > 0.88
    assert np.mean(looks) < 4


def test_where_nothing_jumps_the_run_is_doubled() -> None:
    still = walk(0, 20) * np.float32(0.01)
    found = seen(still)
    assert found["n_effective_jumps"] < 50
    assert found["next_ps"] == 40


def test_a_run_too_short_to_tell_is_doubled() -> None:
    settings = ADAPTIVE.model_copy(update={"checkpoint_interval_ps": 0.5})
    found = seen(walk(0, 2), settings)
    assert found["relative_error"] is None
    assert found["next_ps"] == 4


def melt(folder: Path, **changes: Any) -> dict[str, Any]:
    """Hot enough for Li to move far within a picosecond."""
    atoms = lithium_chloride(strain=1.15)
    start_velocities(atoms, 5000.0, np.random.default_rng(1))
    settings = {"frame_interval_fs": 20.0, "checkpoint_interval_ps": 0.2}
    diffusion = DiffusionSettings(min_jumps=1, jump_length_A=0.8)
    return run(folder, atoms=atoms, target_K=2500.0, diffusion=diffusion, **(settings | changes))


def test_the_engine_stops_when_certain(tmp_path: Path) -> None:
    record = melt(tmp_path, target_relative_error=0.6, min_ps=2.0, max_ps=6.0)
    *before, last = record["looks"]
    assert record["verdict"] == "ok"
    assert last["relative_error"] <= 0.6
    assert all(not x["relative_error"] or x["relative_error"] > 0.6 for x in before)
    assert [x["next_ps"] for x in before] == [x["length_ps"] for x in record["looks"][1:]]
    assert record["length_ps"] == pytest.approx(last["length_ps"])
    assert record["length_ps"] <= 6


def test_stopped_and_continued_it_ends_as_it_would_have(tmp_path: Path) -> None:
    wanted = {"target_relative_error": 0.01, "min_ps": 0.4, "max_ps": 1.5}
    record = run(tmp_path, out="whole", **wanted)
    assert [x["length_ps"] for x in record["looks"]] == pytest.approx([0.4, 0.8, 1.5])
    # A run of one length first, as one that was killed, in a folder of its own.
    run(tmp_path / "again", production_ps=0.6)
    again = run(tmp_path / "again", **wanted)
    assert again["looks"] == record["looks"]
    whole, parts = (
        read_trajectory(path) for path in (tmp_path / "whole.h5", tmp_path / "again" / "run.h5")
    )
    assert parts.positions_A.tobytes() == whole.positions_A.tobytes()
    # And a shorter one afterwards is its beginning.
    shorter = run(tmp_path / "again", **(wanted | {"max_ps": 0.8}))
    assert shorter["length_ps"] == pytest.approx(0.8)
