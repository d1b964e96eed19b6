"""How well computed numbers meet measured ones, with intervals over materials."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, rankdata, t

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], Floats]
"""Of computed and measured values, (..., materials) each; one number for each set of materials."""

RESAMPLES = 10_000
FEWEST_MATERIALS = 4
"""Below that many, what is drawn again and again is nearly always the same: no interval."""

_ROUNDING = 1e-9
"""By less than this, values differ by rounding alone."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; None where they are not defined."""

    value: float | None
    interval95: tuple[float, float] | None


def judge_sigma(
    log10_computed: Floats, log10_measured: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """Errors, order and shares of log10 conductivities, (materials,) each, in one unit.

    Errors are computed less measured, in decades; `within_factor_3` and `_10` are shares of the
    materials, borders included. Intervals are percentiles (`tail`) of a bootstrap over materials,
    and binomial (Clopper and Pearson) for a share of none or all, of which a bootstrap shows no
    spread.
    """
    both = np.asarray(log10_computed, float), np.asarray(log10_measured, float)
    draws = _draws(len(both[0]), resamples, seed)
    return {
        "median_absolute_error_decades": _estimate(_median_absolute, *both, draws),
        "mean_error_decades": _estimate(_mean_error, *both, draws),
        "spearman": _estimate(spearman, *both, draws),
        "within_factor_3": _share_within(3, *both, draws),
        "within_factor_10": _share_within(10, *both, draws),
    }


def judge_Ea(
    computed_eV: Floats, measured_eV: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """Mean absolute and mean error of activation energies, (materials,) each, in eV."""
    both = np.asarray(computed_eV, float), np.asarray(measured_eV, float)
    draws = _draws(len(both[0]), resamples, seed)
    return {
        "mean_absolute_error_eV": _estimate(_mean_absolute, *both, draws),
        "mean_error_eV": _estimate(_mean_error, *both, draws),
    }


def spearman(first: Floats, second: Floats) -> Floats:
    """Rank correlation along the last axis, ties with mean ranks; nan where all values are one.

    As `scipy.stats.spearmanr`, but for many sets at once.
    """
    ranks = [rankdata(values, axis=-1) for values in (first, second)]
    x, y = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        found: Floats = (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return found


def pooled_spread_decades(log10_samples: list[list[float]]) -> float | None:
    """Standard deviation between samples of one compound, from those with several; else None."""
    several = [np.asarray(samples) for samples in log10_samples if len(samples) > 1]
    if not several:
        return None
    squares = sum(float(((samples - samples.mean()) ** 2).sum()) for samples in several)
    return math.sqrt(squares / sum(len(samples) - 1 for samples in several))


def median_without_error(
    sd_decades: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Median absolute error of a model without any error, by the spread of its comparison alone.

    sd_decades, (materials,), holds for each material the standard deviation of computed less
    measured that runs and samples explain. The interval is that of the median of one such set.
    """
    drawn = np.random.default_rng(seed).normal(0.0, sd_decades, (resamples, len(sd_decades)))
    medians = np.median(np.abs(drawn), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return Estimate(float(np.median(medians)), (float(low), float(high)))


def _median_absolute(computed: Floats, measured: Floats) -> Floats:
    return np.asarray(np.median(np.abs(computed - measured), axis=-1))


def _mean_absolute(computed: Floats, measured: Floats) -> Floats:
    return np.asarray(np.abs(computed - measured).mean(axis=-1))


def _mean_error(computed: Floats, measured: Floats) -> Floats:
    return np.asarray((computed - measured).mean(axis=-1))


def _draws(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Materials of each resample, (resamples, n); no resample of too few materials."""
    rng = np.random.default_rng(seed)
    return rng.integers(max(1, n), size=(resamples if n >= FEWEST_MATERIALS else 0, n))


def _estimate(
    statistic: Statistic, computed: Floats, measured: Floats, draws: NDArray[np.int64]
) -> Estimate:
    """Its value, and the percentiles over those draws in which it is defined.

    No interval where all draws agree: they say nothing of how far the next material might be.
    """
    value = float(statistic(computed, measured)) if len(computed) else math.nan
    if not math.isfinite(value):
        return Estimate(None, None)
    drawn = statistic(computed[draws], measured[draws])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or np.ptp(drawn) < _ROUNDING:
        return Estimate(value, None)
    beyond = tail(len(computed))
    low, high = np.quantile(drawn, [beyond, 1 - beyond])
    return Estimate(value, (float(low), float(high)))


def tail(n: int) -> float:
    """Share of the draws of n materials beyond each end of a 95 % interval.

    Draws scatter less than samples, by sqrt((n - 1) / n), and the scatter is itself estimated
    (expanded percentiles: Hesterberg, The American Statistician 69, 371 (2015)). With 2.5 %, the
    interval of a mean of eight holds the truth 85 times in a hundred; so, some 92 times.
    """
    return float(norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)))


def _share_within(
    factor: float, computed: Floats, measured: Floats, draws: NDArray[np.int64]
) -> Estimate:
    def within(some: Floats, others: Floats) -> Floats:
        border = math.log10(factor) + _ROUNDING
        return np.asarray((np.abs(some - others) <= border).mean(axis=-1))

    found = _estimate(within, computed, measured, draws)
    n = len(computed)
    if found.value is None or found.interval95 or n < FEWEST_MATERIALS:
        return found
    ends = binomtest(round(found.value * n), n).proportion_ci(method="exact")
    return Estimate(found.value, (float(ends.low), float(ends.high)))
