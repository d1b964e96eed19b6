"""Trajectories: H5MD as others read it, and damaged files as one clear line."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halmd.errors import HalmdError
from halmd.trajectory import THERMO_UNITS, Trajectory, read_trajectory, write_trajectory

CELL_A = np.array([[12.0, 0.0, 0.0], [-6.0, 10.4, 0.0], [0.3, 0.2, 11.0]])


def wandering(n_frames: int = 40, n_atoms: int = 7, seed: int = 0) -> Trajectory:
    """Ions that leave the cell, in a hexagonal-like cell."""
    rng = np.random.default_rng(seed)
    positions = 10 * rng.random((1, n_atoms, 3)) + rng.normal(size=(n_frames, n_atoms, 3)).cumsum(0)
    return Trajectory(
        positions,
        CELL_A,
        tuple(rng.choice(["Li", "Y", "Cl"], n_atoms)),
        np.arange(n_frames) * 0.05,
        {name: rng.normal(size=n_frames) for name in THERMO_UNITS},
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "trajectory.h5"
    write_trajectory(path, wandering(), {"seed": 3}, steps_per_frame=25)
    return path


def one_line(path: Path) -> str:
    with pytest.raises(HalmdError) as caught:
        read_trajectory(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@given(n_frames=st.integers(2, 30), n_atoms=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_reading_gives_back_what_was_written(
    tmp_path: Path, n_frames: int, n_atoms: int, seed: int
) -> None:
    path = tmp_path / "t.h5"
    written = wandering(n_frames, n_atoms, seed)
    write_trajectory(path, written, {})
    read = read_trajectory(path)
    np.testing.assert_array_equal(read.positions_A, written.positions_A.astype(np.float32))
    np.testing.assert_array_equal(read.time_ps, written.time_ps)
    np.testing.assert_array_equal(read.cell_A, written.cell_A)
    assert read.symbols == written.symbols
    assert set(read.thermo) == set(THERMO_UNITS)
    for name in THERMO_UNITS:
        np.testing.assert_array_equal(read.thermo[name], written.thermo[name])


def test_mdanalysis_reads_the_same_unwrapped_positions(stored: Path) -> None:
    mda = pytest.importorskip("MDAnalysis")
    ours = read_trajectory(stored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe.empty(len(ours.symbols), trajectory=False)
        universe.load_new(str(stored), format="H5MD")
    assert len(universe.trajectory) == len(ours.time_ps)
    outside = 0
    for frame, step in enumerate(universe.trajectory):
        np.testing.assert_allclose(step.positions, ours.positions_A[frame], atol=1e-5)
        assert step.time == pytest.approx(ours.time_ps[frame])
        assert step.data["step"] == 25 * frame
        fractional = step.positions @ np.linalg.inv(CELL_A)
        outside += int(((fractional < 0) | (fractional > 1)).any())
    assert outside > 10, "the test must look at ions that left the cell"
    lengths = np.linalg.norm(CELL_A, axis=1)
    np.testing.assert_allclose(universe.trajectory.ts.dimensions[:3], lengths, rtol=1e-6)
    gamma = np.degrees(np.arccos(CELL_A[0] @ CELL_A[1] / lengths[0] / lengths[1]))
    assert universe.trajectory.ts.dimensions[5] == pytest.approx(gamma, abs=1e-3)
    volume = mda.lib.mdamath.box_volume(universe.trajectory.ts.dimensions)
    assert volume == pytest.approx(ours.volume_A3, rel=1e-5)


def test_layout_is_h5md(stored: Path) -> None:
    with h5py.File(stored) as file:
        assert list(file["h5md"].attrs["version"]) == [1, 1]
        assert {"author", "creator"} <= set(file["h5md"])
        group = file["particles/trajectory"]
        assert list(group["box"].attrs["boundary"]) == ["periodic"] * 3
        assert group["box"].attrs["dimension"] == 3
        for name in ("position", "box/edges"):
            assert {"step", "time", "value"} <= set(group[name])
            assert group[f"{name}/value"].attrs["unit"] == "Angstrom"
            assert group[f"{name}/time"].attrs["unit"] == "ps"
        assert group["position/value"].dtype == np.float32
        assert group["mass"].shape == group["species"].shape


def test_masses_and_volume() -> None:
    trajectory = Trajectory(np.zeros((2, 2, 3)), 2 * np.eye(3), ("Li", "Cl"), np.arange(2.0), {})
    np.testing.assert_allclose(trajectory.masses_amu, [6.94, 35.45], atol=0.01)
    assert trajectory.volume_A3 == pytest.approx(8.0)


@given(kept=st.floats(0.0, 0.999, allow_subnormal=False))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_truncated_anywhere_is_one_line(tmp_path: Path, stored: Path, kept: float) -> None:
    content = stored.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(content[: int(kept * len(content))])
    one_line(cut)


def test_flipped_bits_in_the_positions_are_noticed(stored: Path) -> None:
    with h5py.File(stored) as file:
        chunk = file["particles/trajectory/position/value"].id.get_chunk_info(0)
    content = bytearray(stored.read_bytes())
    for offset in np.linspace(0, chunk.size - 1, 50).astype(int):
        damaged = content.copy()
        damaged[chunk.byte_offset + offset] ^= 0x10
        stored.write_bytes(damaged)
        one_line(stored)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f["particles/trajectory/position/value"].__setitem__((5, 2, 1), np.nan), "5"),
        (lambda f: f["particles/trajectory/position/time"].__setitem__(9, 0.0), "increase"),
        (lambda f: f["particles/trajectory/position/time"].__setitem__(9, np.nan), "increase"),
        (
            lambda f: f["particles/trajectory/box/edges/value"].__setitem__((7, 0, 0), 13.0),
            "cell changes",
        ),
        (lambda f: f["particles/trajectory/species"].__setitem__(0, 300), "H5MD"),
        (
            lambda f: f["particles/trajectory/position/value"].attrs.__setitem__("unit", "bohr"),
            "bohr",
        ),
        (
            lambda f: f["particles/trajectory/position/value"].attrs.__delitem__("unit"),
            "unit",
        ),
        (lambda f: f["particles"].__delitem__("trajectory"), "no particles"),
        (lambda f: f.__delitem__("particles"), "H5MD"),
        (lambda f: f["particles/trajectory/box"].__delitem__("edges"), "H5MD"),
    ],
)
def test_wrong_content_is_one_line(stored: Path, damage: object, words: str) -> None:
    with h5py.File(stored, "r+") as file:
        damage(file)  # type: ignore[operator]
    assert words in one_line(stored)


def test_one_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    write_trajectory(path, wandering(1), {})
    assert "1 frame" in one_line(path)
    assert read_trajectory(path, fewest_frames=1).positions_A.shape == (1, 7, 3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in one_line(tmp_path / "absent.h5")
    text = tmp_path / "text.h5"
    text.write_text("not HDF5\n")
    one_line(text)
    one_line_folder = tmp_path / "folder.h5"
    one_line_folder.mkdir()
    one_line(one_line_folder)


def test_nanometres_femtoseconds_and_fixed_boxes_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    positions_A = wandering(10).positions_A
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        group["box/edges"] = CELL_A / 10
        group["box/edges"].attrs["unit"] = "nm"
        group["position/value"] = positions_A / 10
        group["position/value"].attrs["unit"] = "nm"
        group["position/time"] = 50.0
        group["position/time"].attrs["unit"] = "fs"
        group["species"] = np.full(7, 3)
    read = read_trajectory(path)
    np.testing.assert_allclose(read.positions_A, positions_A, rtol=1e-12)
    np.testing.assert_allclose(read.cell_A, CELL_A, rtol=1e-12)
    np.testing.assert_allclose(read.time_ps, np.arange(10) * 0.05, rtol=1e-12)
    assert read.symbols == ("Li",) * 7


def test_a_failed_write_leaves_the_old_file(stored: Path) -> None:
    before = stored.read_bytes()
    broken = wandering()
    with pytest.raises(KeyError):
        write_trajectory(
            stored,
            Trajectory(
                broken.positions_A,
                broken.cell_A,
                broken.symbols,
                broken.time_ps,
                {"entropy": np.zeros(40)},
            ),
            {},
        )
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]
