"""Where the fit starts, and the regimes of an MSD."""

import numpy as np
import pytest
from walks import FRAME_PS, brownian, hopping, jumping_back

from halmd.transport.displacements import mean_square_displacement
from halmd.transport.regression import estimate, slopes, window_of
from halmd.transport.window import fall_of_slope, loglog_slope, regimes, window_start


def start_ps(positions_A: np.ndarray) -> float:
    msd = mean_square_displacement(positions_A)
    return window_start(msd, FRAME_PS, positions_A.shape[1], 3, 2.5) * FRAME_PS


def test_fast_ions_are_fitted_from_two_picoseconds() -> None:
    assert start_ps(brownian(np.random.default_rng(0), 2000, 18, 2.0)) == 2.0


def test_slow_ions_are_fitted_from_where_they_have_jumped_twice() -> None:
    # 6 D t = 2 a² at 20.8 ps.
    start = start_ps(brownian(np.random.default_rng(1), 8000, 50, 0.1))
    assert 20.8 * 0.8 < start < 20.8 * 1.35


def test_the_start_leaves_room_for_blocks() -> None:
    assert start_ps(hopping(np.random.default_rng(2), 2400, 18, 0.001)) == 10.0


def test_jumps_back_bias_a_short_run_little() -> None:
    # Jumps there and back, three times as frequent as those that lead anywhere.
    truth = 0.07 * 2.5**2 / 6
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(40):
        positions = jumping_back(rng, 2000, 18, 0.07)
        start = round(start_ps(positions) / FRAME_PS)
        window = window_of(start, 2 * start, 2000)
        found = estimate(slopes([positions.transpose(1, 0, 2)], window), FRAME_PS)
        ratios.append(found.D_A2_per_ps / truth)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


def test_a_falling_slope_is_seen() -> None:
    time = np.arange(4000) * FRAME_PS
    msd = 0.6 * time + 30 * (1 - np.exp(-time / 20))
    fall, error = fall_of_slope(msd, 200, 3 * 18)  # 10 to 20 ps against 20 to 40 ps
    # 1.32 and 0.95 Å²/ps by the ends of the two windows.
    assert fall == pytest.approx(0.35, abs=0.08)
    assert 0 < error < 0.2
    assert fall_of_slope(0.6 * time, 200, 54)[0] == pytest.approx(0.0, abs=1e-9)


def test_a_fall_that_cannot_be_seen_is_infinite() -> None:
    assert fall_of_slope(np.arange(100.0), 30, 54) == (np.inf, np.inf)
    assert fall_of_slope(np.zeros(1000), 30, 54) == (np.inf, np.inf)


def test_regimes_of_a_known_curve() -> None:
    time = np.geomspace(0.01, 1000, 200)
    flight = 1.0 * (1 - np.exp(-((time / 0.2) ** 2)))  # t² at first, a cage of 1 Å² afterwards
    found = regimes(time, flight + 0.1 * time)
    assert found.kind == "diffusive"
    assert found.ballistic_to_ps == pytest.approx(0.15, rel=0.3)
    # The slope is 0.9 where 0.1 t is nine times the cage.
    assert found.subdiffusive_to_ps == pytest.approx(90, rel=0.1)
    assert regimes(time, flight).kind == "trapped"
    assert regimes(time, np.sqrt(time)).kind == "subdiffusive"
    assert regimes(time, time).subdiffusive_to_ps == 0.0


def test_coarse_frames_show_no_flight() -> None:
    time = np.geomspace(5, 1000, 50)
    assert regimes(time, 1 + 0.1 * time).ballistic_to_ps is None


def test_local_slope_of_powers() -> None:
    time = np.geomspace(0.1, 10, 30)
    assert loglog_slope(time, time**1.7) == pytest.approx(1.7)
    assert not np.isnan(loglog_slope(time, np.zeros(30))).any()
