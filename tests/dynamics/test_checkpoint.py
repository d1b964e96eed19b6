"""Checkpoints: what comes back is what went in, and damage is never taken for a state."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from halmd.dynamics import checkpoint as saved
from halmd.dynamics.checkpoint import Checkpoint
from halmd.errors import HalmdError

finite = st.floats(allow_nan=False, allow_subnormal=False, width=64)


def example(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    rng.normal(size=step % 7)
    return Checkpoint(
        step,
        {"positions_A": rng.normal(size=(5, 3)), "momenta": rng.normal(size=(5, 3))},
        {"random": rng.bit_generator.state, "transferred_energy_eV": float(rng.normal())},
    )


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        one.step == other.step
        and one.state == other.state
        and one.arrays.keys() == other.arrays.keys()
        and all(one.arrays[key].tobytes() == other.arrays[key].tobytes() for key in one.arrays)
    )


@given(
    positions=arrays(np.float64, (4, 3), elements=finite),
    energy=finite,
    step=st.integers(0, 10**11),
    seed=st.integers(0, 2**64 - 1),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_comes_back_bit_for_bit_with_its_random_numbers(
    tmp_path: Path, positions: np.ndarray, energy: float, step: int, seed: int
) -> None:
    folder = tmp_path / str(seed)
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    rng.standard_gamma(10.0, size=3)
    put = Checkpoint(
        step, {"positions_A": positions}, {"energy_eV": energy, "rng": rng.bit_generator.state}
    )
    for old in folder.iterdir():
        old.unlink()
    saved.save(folder, put)
    got = saved.latest(folder)
    assert got is not None
    assert same(put, got)
    other = np.random.default_rng()
    other.bit_generator.state = got.state["rng"]
    assert other.normal(size=5).tolist() == rng.normal(size=5).tolist()


def test_newest_two_are_kept(tmp_path: Path) -> None:
    assert saved.latest(tmp_path) is None
    for step in (0, 1000, 2000, 10_000):
        saved.save(tmp_path, example(step))
        newest = saved.latest(tmp_path)
        assert newest is not None
        assert same(newest, example(step))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.999])
def test_truncated_newest_gives_way_to_the_one_before(tmp_path: Path, kept: float) -> None:
    for step in (1000, 2000):
        saved.save(tmp_path, example(step))
    newest = sorted(tmp_path.iterdir())[-1]
    content = newest.read_bytes()
    newest.write_bytes(content[: int(kept * len(content))])
    with pytest.warns(UserWarning, match=newest.name):
        got = saved.latest(tmp_path)
    assert got is not None
    assert same(got, example(1000))


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    saved.save(tmp_path, example(1000))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [*range(100), *rng.integers(100, len(content), 150)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with (
            pytest.warns(UserWarning, match="damaged"),
            pytest.raises(HalmdError, match="delete the folder"),
        ):
            saved.latest(tmp_path)


def test_all_damaged_is_one_line_that_says_what_to_delete(tmp_path: Path) -> None:
    for step in (1000, 2000):
        saved.save(tmp_path, example(step))
    for path in tmp_path.iterdir():
        path.write_bytes(b"HALMD-CHECKPOINT 0 of another version\n")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(HalmdError) as caught:
        saved.latest(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def segments(folder: Path) -> list[np.ndarray]:
    parts = [np.arange(3.0), np.arange(3.0, 7.0), np.arange(7.0, 11.0)]
    for end, part in zip((0, 100, 200), parts, strict=True):
        saved.save_segment(folder, end, {"temperature": part, "twice": 2 * part})
    return parts


def test_segments_join_up_to_the_checkpoint(tmp_path: Path) -> None:
    segments(tmp_path)
    columns = saved.load_segments(tmp_path, 100, 7)
    np.testing.assert_array_equal(columns["temperature"], np.arange(7.0))
    np.testing.assert_array_equal(columns["twice"], 2 * np.arange(7.0))
    assert len(saved.load_segments(tmp_path, 200, 11)["twice"]) == 11


def test_a_missing_segment_is_not_a_hole_in_time(tmp_path: Path) -> None:
    segments(tmp_path)
    sorted(tmp_path.iterdir())[1].unlink()
    with pytest.raises(HalmdError, match="7 frames found, 11 expected"):
        saved.load_segments(tmp_path, 200, 11)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_damaged_segment_is_one_line(tmp_path: Path, kept: float) -> None:
    segments(tmp_path)
    path = sorted(tmp_path.iterdir())[1]
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(HalmdError) as caught:
        saved.load_segments(tmp_path, 200, 11)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flipped_bits_in_a_segment_never_become_frames(tmp_path: Path) -> None:
    segments(tmp_path)
    path = sorted(tmp_path.iterdir())[1]
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x20
        path.write_bytes(damaged)
        with pytest.raises(HalmdError, match=path.name):
            saved.load_segments(tmp_path, 200, 11)


def test_state_that_json_cannot_hold_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        saved.save(tmp_path, Checkpoint(0, {}, {"bad": np.float32(1)}))
    assert list(tmp_path.iterdir()) == []
