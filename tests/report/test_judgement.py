"""Errors, ranks and shares by hand, and by scipy; intervals by how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, spearmanr
from scipy.stats import t as student

from halmd.report.judgement import (
    judge_Ea,
    judge_sigma,
    median_without_error,
    pooled_spread_decades,
    spearman,
    tail,
)


def test_errors_and_shares_of_five_materials_by_hand() -> None:
    measured = np.array([-3.0, -3.5, -4.0, -5.0, -6.0])
    errors = np.array([0.1, -0.2, 0.5, 0.9, -1.2])
    found = judge_sigma(measured + errors, measured)
    assert found["median_absolute_error_decades"].value == pytest.approx(0.5)
    assert found["mean_error_decades"].value == pytest.approx(0.1 / 5)
    # log10(3) is 0.477: two are within; 10 is one decade: four.
    assert found["within_factor_3"].value == pytest.approx(2 / 5)
    assert found["within_factor_10"].value == pytest.approx(4 / 5)
    # Computed order of these: -2.9, -3.7, -3.5, -4.1, -7.2: one neighbouring pair is exchanged,
    # 1 - 6 * 2 / (5 * 24).
    assert found["spearman"].value == pytest.approx(0.9)


def test_a_factor_of_exactly_three_is_within_three() -> None:
    measured = np.array([1e-3, 7.1e-5, 2.6e-4, 3.3e-6, 9.9e-9])
    found = judge_sigma(np.log10(3.0 * measured), np.log10(measured))
    assert found["within_factor_3"].value == 1
    beyond = judge_sigma(np.log10(3.001 * measured), np.log10(measured))
    assert beyond["within_factor_3"].value == 0
    assert beyond["within_factor_10"].value == 1
    # Of five in five, the chance of a share p is p^5: 2.5 % at the lower end (Clopper, Pearson).
    low, high = found["within_factor_3"].interval95 or (0, 0)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 5)), 1)
    low, high = beyond["within_factor_3"].interval95 or (0, 0)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 5)))
    # All errors are one: draws of them say nothing.
    assert found["mean_error_decades"].value == pytest.approx(np.log10(3))
    assert found["mean_error_decades"].interval95 is None


def test_activation_energies_by_hand() -> None:
    found = judge_Ea(np.array([0.30, 0.25, 0.40, 0.35]), np.array([0.27, 0.30, 0.40, 0.33]))
    assert found["mean_absolute_error_eV"].value == pytest.approx((0.03 + 0.05 + 0 + 0.02) / 4)
    assert found["mean_error_eV"].value == pytest.approx((0.03 - 0.05 + 0 + 0.02) / 4)


def test_ranks_are_those_of_scipy_with_ties_too() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.integers(5, size=(2, 50, 8)).astype(float)
    found = spearman(first, second)
    for mine, x, y in zip(found, first, second, strict=True):
        assert mine == pytest.approx(spearmanr(x, y).statistic, nan_ok=True)
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_intervals_are_those_of_scipy() -> None:
    rng = np.random.default_rng(5)
    measured = rng.normal(-4, 1, 20)
    computed = measured + rng.normal(0.2, 0.5, 20)
    found = judge_sigma(computed, measured)
    judges = {
        "median_absolute_error_decades": lambda c, m, axis: np.median(np.abs(c - m), axis=axis),
        "mean_error_decades": lambda c, m, axis: (c - m).mean(axis=axis),
        "within_factor_3": lambda c, m, axis: (np.abs(c - m) < np.log10(3)).mean(axis=axis),
    }
    for name, statistic in judges.items():
        expected = bootstrap(
            (computed, measured),
            statistic,
            paired=True,
            vectorized=True,
            method="percentile",
            n_resamples=10_000,
            confidence_level=1 - 2 * tail(20),
            random_state=1,
        ).confidence_interval
        assert found[name].interval95 == pytest.approx(tuple(expected), abs=0.03), name


@pytest.mark.parametrize("n", [8, 25])
def test_intervals_hold_the_truth_as_often_as_they_say(n: int) -> None:
    rng = np.random.default_rng(7)
    truth = {"median_absolute_error_decades": 0.4 * norm.ppf(0.75), "mean_error_decades": 0.0}
    held = dict.fromkeys(truth, 0)
    for trial in range(400):
        errors = rng.normal(0, 0.4, n)
        found = judge_sigma(errors, np.zeros(n), resamples=600, seed=trial)
        for name, value in truth.items():
            low, high = found[name].interval95 or (1, 0)
            held[name] += low <= value <= high
    # Shares scatter by 1.3 % over 400 trials; plain percentiles give 85 % for a mean of eight.
    for name, times in held.items():
        assert times / 400 >= 0.885, name
    # For a mean of normal errors Student's t is exact, and nearly so are these.
    assert held["mean_error_decades"] / 400 <= 0.985


def test_expanded_percentiles_of_a_mean_are_student_s() -> None:
    errors = np.random.default_rng(2).normal(0, 0.4, 12)
    found = judge_sigma(errors, np.zeros(12))["mean_error_decades"].interval95 or (0, 0)
    expected = student.interval(0.95, 11, errors.mean(), errors.std(ddof=1) / np.sqrt(12))
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], rel=0.08)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_materials_make_no_interval(n: int) -> None:
    measured = np.arange(n, dtype=float)
    found = judge_sigma(measured + 0.1 * measured**2, measured)
    assert all(estimate.interval95 is None for estimate in found.values())
    assert (found["mean_error_decades"].value is None) == (n == 0)
    assert (found["spearman"].value is None) == (n < 2)


def test_draws_of_one_material_alone_do_not_spoil_the_ranks() -> None:
    # Of four materials one draw in 64 is of one alone, whose ranks have no correlation.
    found = judge_sigma(np.array([-3.0, -4.0, -5.0, -4.5]), np.array([-3.1, -4.6, -4.4, -5.0]))
    low, high = found["spearman"].interval95 or (0, 0)
    assert -1 <= low < high <= 1


def test_the_same_materials_give_the_same_intervals() -> None:
    values = np.random.default_rng(0).normal(size=(2, 12))
    assert judge_sigma(*values) == judge_sigma(*values)


def test_spread_between_samples_is_that_of_variances_pooled() -> None:
    # Variances 0.5 (of 0 and 1) and 1 (of 0, 1, 2), with one and two degrees of freedom.
    found = pooled_spread_decades([[0.0, 1.0], [5.0], [0.0, 1.0, 2.0]])
    assert found == pytest.approx(np.sqrt((0.5 + 2 * 1.0) / 3))
    assert pooled_spread_decades([[1.0], [2.0]]) is None


def test_without_any_error_the_median_is_that_of_a_normal_distribution() -> None:
    found = median_without_error(np.full(401, 0.3))
    assert found.value == pytest.approx(0.3 * norm.ppf(0.75), rel=0.01)
    low, high = found.interval95 or (0, 0)
    # Standard error of a median: 1 / (2 f sqrt(n)), f the density of |x| there.
    error = 0.3 / (2 * 2 * norm.pdf(norm.ppf(0.75)) * np.sqrt(401))
    assert (high - low) / (2 * 1.96) == pytest.approx(error, rel=0.05)
