"""Motion out of trajectories: unwrapping in any cell, drift, order, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halmd.errors import HalmdError
from halmd.trajectory import frames as frames_module
from halmd.transport import motion as motion_module
from halmd.transport.displacements import mean_square_displacement_of_groups
from halmd.transport.motion import Motion, motion_of

CELLS = {
    "orthorhombic": np.diag([11.0, 12.0, 13.0]),
    "hexagonal": np.array([[11.0, 0, 0], [-5.5, 9.526, 0], [0, 0, 12.0]]),
    "monoclinic": np.array([[12.0, 0, 0], [0, 11.0, 0], [-4.0, 0, 11.0]]),
    "triclinic": np.array([[11.0, 0, 0], [4.0, 10.0, 0], [-5.0, 3.0, 12.0]]),
    "skewed": np.array([[11.0, 0, 0], [30.0, 10.0, 0], [-25.0, 18.0, 12.0]]),
    "sheared": np.array([[11.0, 0, 0], [33.0, 11.0, 0], [0, 22.0, 12.0]]),
}
FRAMES, LI, CL = 300, 6, 10
SYMBOLS = ("Cl",) * CL + ("Li",) * LI
TIME = np.arange(FRAMES) * 0.05


def walk(seed: int, cell: np.ndarray) -> np.ndarray:
    """Li that go far and Cl that rattle, as unwrapped positions (FRAMES, CL + LI, 3)."""
    rng = np.random.default_rng(seed)
    start = rng.random((CL + LI, 3)) @ cell
    li = np.cumsum(rng.normal(0, 0.35, (FRAMES, LI, 3)), axis=0)
    cl = rng.normal(0, 0.1, (FRAMES, CL, 3))
    return start + np.concatenate([cl, li], axis=1)


def wrap(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Back into the cell; cell (3, 3) or (FRAMES, 3, 3)."""
    fractional = np.matmul(positions, np.linalg.inv(cell))
    return np.matmul(fractional - np.floor(fractional), cell)


def displacements(motion: Motion, symbol: str = "Li") -> np.ndarray:
    """(n_ions, n_frames, 3), from the first frame."""
    ions = np.concatenate(list(motion.ions(symbol)))
    return ions - ions[:, :1]


def expected(positions: np.ndarray) -> np.ndarray:
    """Displacements of Li relative to the centre of mass of Cl."""
    drift = positions[:, :CL].mean(axis=1)
    relative = positions[:, CL:] - (drift - drift[0])[:, None]
    return (relative - relative[0]).transpose(1, 0, 2)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_wrapping_changes_nothing(cell: np.ndarray, seed: int) -> None:
    positions = walk(seed, cell)
    found = motion_of(wrap(positions, cell), cell, SYMBOLS, TIME, wrapped=True)
    assert displacements(found) == pytest.approx(expected(positions), abs=1e-4)
    assert found.cell_A == pytest.approx(cell)


@pytest.mark.parametrize("name", ["orthorhombic", "hexagonal", "monoclinic", "triclinic"])
def test_a_breathing_cell_is_no_motion(name: str) -> None:
    # Ions that keep their fractional places, or walk among them, in a cell that breathes by
    # percents: unwrapping Cartesian positions would add (distance gone)² times that squared.
    cell = CELLS[name]
    rng = np.random.default_rng(1)
    breath = 1 + 0.02 * np.sin(np.arange(FRAMES) / 7)[:, None, None]
    shear = rng.normal(0, 0.02, (FRAMES, 3, 3))
    cells = cell * breath + shear
    mean = cells.mean(axis=0)
    positions = walk(2, mean)
    fractional = positions @ np.linalg.inv(mean)
    moving = np.matmul(fractional, cells)
    for wrapped, given_positions in ((True, wrap(moving, cells)), (False, moving)):
        found = motion_of(given_positions, cells, SYMBOLS, TIME, wrapped=wrapped)
        assert displacements(found) == pytest.approx(expected(positions), abs=1e-4)
    assert 0.005 < found.volume_spread < 0.2
    assert found.volume_A3 == pytest.approx(abs(np.linalg.det(mean)))


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shift=st.lists(st.floats(-50, 50, allow_subnormal=False), min_size=3, max_size=3),
    order=st.permutations(range(CL + LI)),
    stride=st.integers(1, 3),
)
def test_shift_rotation_order_and_stride(
    seed: int, shift: list[float], order: list[int], stride: int
) -> None:
    cell = CELLS["triclinic"]
    positions = walk(seed, cell)
    plain = mean_square_displacement_of_groups(motion_of(positions, cell, SYMBOLS, TIME).ions("Li"))
    turn = rotation(seed)
    moved = (positions + np.array(shift)) @ turn
    found = motion_of(
        moved[::stride][:, order], cell @ turn, [SYMBOLS[k] for k in order], TIME[::stride]
    )
    msd = mean_square_displacement_of_groups(found.ions("Li"))
    # Other origins are averaged over at a stride; a single stride is the same.
    lags = np.arange(0, FRAMES // 3, stride)
    tolerance = 1e-4 if stride == 1 else 0.1
    assert msd[: len(lags)] == pytest.approx(plain[lags], rel=tolerance, abs=tolerance)
    assert found.interval_ps == pytest.approx(0.05 * stride)


def test_the_choice_of_unit_cell_does_not_matter() -> None:
    cell = CELLS["hexagonal"]
    other = np.array([[1, 0, 0], [1, 1, 0], [0, 2, 1]]) @ cell  # same lattice
    positions = walk(3, cell)
    found = motion_of(wrap(positions, other), other, SYMBOLS, TIME, wrapped=True)
    assert displacements(found) == pytest.approx(expected(positions), abs=1e-4)


def test_drift_of_the_whole_crystal_is_no_motion() -> None:
    positions = walk(4, CELLS["orthorhombic"])
    drifting = positions + np.linspace(0, 40, FRAMES)[:, None, None]
    found = motion_of(drifting, CELLS["orthorhombic"], SYMBOLS, TIME)
    assert displacements(found) == pytest.approx(expected(positions), abs=1e-4)
    assert found.framework == ("Cl",)


def test_the_framework_is_what_is_said() -> None:
    cell = CELLS["orthorhombic"]
    positions = walk(5, cell)
    symbols = ("Y",) * 2 + ("Cl",) * (CL - 2) + ("Li",) * LI
    # The two Y drift away; with Cl as the framework that is no motion of Li.
    positions[:, :2] += np.linspace(0, 5, FRAMES)[:, None, None]
    found = motion_of(positions, cell, symbols, TIME, framework=["Cl"])
    drift = positions[:, 2:CL].mean(axis=1)
    relative = positions[:, CL:] - (drift - drift[0])[:, None]
    assert displacements(found) == pytest.approx(
        (relative - relative[0]).transpose(1, 0, 2), abs=1e-4
    )


def test_heavy_atoms_hold_the_frame() -> None:
    cell = CELLS["orthorhombic"]
    positions = np.zeros((FRAMES, 3, 3)) + np.array([1.0, 2.0, 3.0])[:, None]
    positions[:, 1, 0] += np.linspace(0, 1, FRAMES)  # Cl moves, Y does not
    found = motion_of(positions, cell, ("Li", "Cl", "Y"), TIME)
    share = 35.45 / (35.45 + 88.90584)
    assert displacements(found)[0, -1] == pytest.approx([-share, 0, 0], abs=1e-4)


def test_without_a_framework_the_centre_of_mass_of_all_is_held() -> None:
    positions = np.ones((FRAMES, 2, 3)) * np.arange(FRAMES)[:, None, None] * 0.01
    found = motion_of(positions, CELLS["orthorhombic"], ("Li", "Li"), TIME)
    assert found.framework == ("Li",)
    assert displacements(found) == pytest.approx(0.0, abs=1e-5)


def test_positions_start_where_the_file_says() -> None:
    cell = CELLS["monoclinic"]
    positions = walk(6, cell)
    found = motion_of(positions, cell, SYMBOLS, TIME)
    start = np.concatenate(list(found.ions("Li")))[:, 0]
    assert start == pytest.approx(positions[0, CL:], abs=1e-5)
    assert [found.count(symbol) for symbol in ("Li", "Cl")] == [LI, CL]


@pytest.mark.parametrize("budget", [0, 3000, 10**9])
def test_blocks_groups_and_files_do_not_matter(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CELLS["triclinic"]
    positions = walk(7, cell)
    if np.abs(np.diff(positions, axis=0) @ np.linalg.inv(cell)).max() > 0.4:
        pytest.skip("this walk has a long step")
    monkeypatch.setattr(motion_module, "MEMORY_BYTES", budget)
    monkeypatch.setattr(motion_module, "GROUP_BYTES", 24 * FRAMES * 2)
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * 16 * 7)
    found = motion_of(wrap(positions, cell), cell, SYMBOLS, TIME, wrapped=True)
    groups: Iterator[np.ndarray] = found.ions("Li")
    assert next(groups).shape == (2, FRAMES, 3)
    for _ in range(2):  # may be asked again
        assert displacements(found) == pytest.approx(expected(positions), abs=1e-4)


@pytest.mark.parametrize("shear", [36.0, 38.0, 40.0, 44.0])
def test_rare_long_jumps_in_a_sheared_cell_are_followed(shear: float) -> None:
    # Rounding in the cell as it stands takes a jump along y for one of several Å along x, and no
    # step between the two sizes gives it away.
    cell = np.array([[11.0, 0, 0], [shear, 11.0, 0], [0, 0, 12.0]])
    rng = np.random.default_rng(13)
    positions = np.zeros((FRAMES, CL + LI, 3)) + rng.random((CL + LI, 3)) @ cell
    jumps = rng.choice([-2.5, 2.5], (FRAMES, LI)) * (rng.random((FRAMES, LI)) < 0.01)
    positions[:, CL:, 1] += np.cumsum(jumps, axis=0)
    positions += rng.normal(0, 0.1, positions.shape)
    found = motion_of(wrap(positions, cell), cell, SYMBOLS, TIME, wrapped=True)
    assert displacements(found) == pytest.approx(expected(positions), abs=1e-4)


def test_steps_too_long_to_unwrap_are_refused() -> None:
    cell = CELLS["orthorhombic"]
    coarse = walk(8, cell)[::150]
    with pytest.raises(HalmdError, match=r"up to \d+\.\d Å .* frames 7500 fs apart"):
        motion_of(wrap(coarse, cell), cell, SYMBOLS, TIME[::150], wrapped=True)
    # Unwrapped, they are welcome.
    assert motion_of(coarse, cell, SYMBOLS, TIME[::150]).n_frames == 2


@pytest.mark.parametrize(
    ("mobile", "framework", "message"),
    [
        ("Na", None, "no Na in the trajectory"),
        ("Li", ["Br"], "Br is not in the trajectory"),
        ("Li", ["Li"], "Li is the mobile element"),
    ],
)
def test_elements_that_are_not_there_are_named(
    mobile: str, framework: list[str] | None, message: str
) -> None:
    cell = CELLS["orthorhombic"]
    with pytest.raises(HalmdError, match=message):
        motion_of(walk(9, cell), cell, SYMBOLS, TIME, mobile=mobile, framework=framework)


def test_one_frame_is_no_run() -> None:
    cell = CELLS["orthorhombic"]
    with pytest.raises(HalmdError, match="1 frame;"):
        motion_of(walk(10, cell)[:1], cell, SYMBOLS, TIME[:1])


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (np.r_[TIME[:100], TIME[99:-1]], "does not increase at frame 100"),
        (
            np.r_[TIME[:100], TIME[100:] + 1.0],
            "not evenly spaced in time: 1.05 ps before frame 100",
        ),
        (TIME[::-1], "does not increase at frame 1"),
    ],
)
def test_time_that_is_not_even_is_refused(
    time: np.ndarray, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CELLS["orthorhombic"]
    for block in (10**9, 24 * 16 * 50):
        monkeypatch.setattr(frames_module, "BLOCK_BYTES", block)
        with pytest.raises(HalmdError, match=message):
            motion_of(walk(11, cell), cell, SYMBOLS, time)


def test_times_rounded_in_the_file_are_even() -> None:
    cell = CELLS["orthorhombic"]
    time = np.round(1e6 + np.arange(FRAMES) * 0.05, 2)
    found = motion_of(walk(12, cell), cell, SYMBOLS, time)
    assert found.interval_ps == pytest.approx(0.05)
    assert Path("trajectory").exists() is False
