"""Slopes, their errors, and how often the interval of D holds the truth."""

import numpy as np
import pytest
import scipy.stats
from coverage import WALKS, coverage
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from walks import FRAME_PS, brownian, pairs

from halmd.transport.displacements import (
    mean_square_displacement,
    mean_square_displacement_of_groups,
)
from halmd.transport.regression import (
    Estimate,
    block_lengths,
    block_starts,
    estimate,
    slopes,
    walk_covariance,
    window_of,
)


@pytest.mark.parametrize("name", WALKS)
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    trials = 40
    found = coverage(WALKS[name], trials, seed=11)
    # The bounds are those of a binomial at one in a thousand; tests/validation has tighter ones.
    assert found.held68 * trials >= binom.ppf(0.001, trials, 0.6827)
    assert found.held95 * trials >= binom.ppf(0.001, trials, 0.95)
    assert found.mean == pytest.approx(1.0, abs=0.12)


def test_ordinary_least_squares_errors_are_far_too_small() -> None:
    # What the field does: a straight line through overlapping origins, and its standard error.
    rng = np.random.default_rng(2)
    hits, trials = 0, 100
    for _ in range(trials):
        msd = mean_square_displacement(brownian(rng, 2000, 18, 0.1))
        lags = np.arange(40, 667)
        (slope, _), covariance = np.polyfit(lags * FRAME_PS, msd[lags], 1, cov=True)
        hits += abs(slope / 6 - 0.1) < 2 * np.sqrt(covariance[0, 0]) / 6
    assert hits / trials < 0.5


def test_model_covariance_is_that_of_simulated_walks() -> None:
    rng = np.random.default_rng(3)
    frames, lags = 60, (3, 7, 15)
    walks = np.cumsum(rng.normal(size=(frames, 40_000, 1)), axis=0)

    def each(part: np.ndarray) -> np.ndarray:
        return np.stack([((part[lag:] - part[:-lag]) ** 2).mean(axis=0)[:, 0] for lag in lags])

    assert walk_covariance(lags, frames) == pytest.approx(np.cov(each(walks)), rel=0.06)
    first, second = walks[:40], walks[15:55]
    joint = np.cov(each(first), each(second))[:3, 3:]
    assert walk_covariance(lags, 40, (40, 15)) == pytest.approx(joint, rel=0.1, abs=0.3)


def test_variance_of_the_slope_is_that_of_simulated_walks() -> None:
    rng = np.random.default_rng(4)
    window = window_of(10, 20, 300)
    found = [
        slopes([brownian(rng, 300, 5, 0.5 / FRAME_PS).transpose(1, 0, 2)], window).whole.mean()
        for _ in range(400)
    ]
    # Unit steps in three dimensions: slope 3, five ions.
    assert np.mean(found) == pytest.approx(3.0, rel=0.03)
    assert np.var(found) == pytest.approx(3 * window.variance / 5, rel=0.25)


def test_longer_lags_than_twice_the_first_add_next_to_nothing() -> None:
    narrow = window_of(40, 80, 2000)
    lags = tuple(range(40, 667, 4))
    covariance = walk_covariance(lags, 2000)
    design = np.stack([np.array(lags, dtype=float), np.ones(len(lags))], axis=1)
    wide = np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[0, 0]
    assert narrow.variance < 1.25 * wide


def test_weights_give_slope_and_intercept_of_a_line() -> None:
    window = window_of(7, 31, 500)
    line = 3.0 + 0.25 * np.array(window.lags)
    assert window.weights @ line == pytest.approx(0.25)
    assert window.intercept_weights @ line == pytest.approx(3.0)


@given(frames=st.integers(40, 5000), share=st.floats(0.001, 0.3, allow_subnormal=False))
def test_blocks_fit_into_the_run(frames: int, share: float) -> None:
    first = max(1, int(frames * share / 2))
    window = window_of(first, 2 * first, frames)
    for length in block_lengths(window):
        starts = block_starts(length, frames)
        assert length > window.lags[-1]
        assert starts[0] == 0
        assert starts[-1] + length == frames


def test_slopes_do_not_depend_on_how_ions_are_grouped() -> None:
    ions = brownian(np.random.default_rng(5), 500, 7, 0.1).transpose(1, 0, 2)
    window = window_of(10, 20, 500)
    whole, parts = slopes([ions], window), slopes([ions[:2], ions[2:3], ions[3:]], window)
    assert whole.whole == pytest.approx(parts.whole)
    assert whole.tensor == pytest.approx(parts.tensor)
    assert whole.tensor_blocks == pytest.approx(parts.tensor_blocks)
    assert np.trace(whole.tensor) == pytest.approx(whole.whole.mean())
    assert mean_square_displacement_of_groups([ions[:3], ions[3:]]) == pytest.approx(
        mean_square_displacement_of_groups([ions])
    )


def test_the_slope_is_that_of_the_msd() -> None:
    positions = brownian(np.random.default_rng(6), 500, 7, 0.1)
    window = window_of(10, 20, 500)
    msd = mean_square_displacement(positions)
    found = slopes([positions.transpose(1, 0, 2)], window)
    assert found.whole.mean() == pytest.approx(window.weights @ msd[list(window.lags)])


def test_ions_in_pairs_count_as_half_as_many() -> None:
    rng = np.random.default_rng(7)
    window = window_of(20, 40, 20_000)
    alone, bound = (
        estimate(slopes([walk(rng, 20_000, 30, 0.1).transpose(1, 0, 2)], window), FRAME_PS)
        for walk in (brownian, pairs)
    )
    assert alone.together == pytest.approx(1.0, rel=0.3)
    assert bound.together == pytest.approx(2.0, rel=0.3)


def test_no_motion_has_no_diffusivity_and_no_error() -> None:
    found = estimate(slopes([np.zeros((3, 400, 3))], window_of(10, 20, 400)), FRAME_PS)
    assert found.D_A2_per_ps == 0
    assert found.interval_A2_per_ps(0.95) == (0.0, 0.0)
    assert found.relative_error == np.inf


def test_intervals_of_a_small_error_are_those_of_a_logarithm() -> None:
    found = Estimate(1.0, 0.1, 8.0, 1.0, 1.0)
    low, high = found.interval_A2_per_ps(0.95)
    assert low * high == pytest.approx(1.0)
    assert np.log(high) == pytest.approx(0.1 * scipy.stats.t(8).ppf(0.975))


def test_intervals_of_a_large_error_stop_at_zero() -> None:
    low, high = Estimate(0.1, 1.0, 8.0, 1.0, 1.0).interval_A2_per_ps(0.95)
    assert 0 < low < 0.1
    assert high > 1.0


def test_msd_equals_the_sum_over_all_origins() -> None:
    rng = np.random.default_rng(4)
    positions = brownian(rng, 101, 130, 0.3) + 1e4  # far from the origin, to show cancellation
    direct = [0.0] + [
        float(((positions[lag:] - positions[:-lag]) ** 2).sum(axis=2).mean())
        for lag in range(1, 101)
    ]
    assert mean_square_displacement(positions) == pytest.approx(direct, rel=1e-7, abs=1e-7)
