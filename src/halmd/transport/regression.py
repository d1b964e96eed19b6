"""Diffusivity from a mean-square displacement by generalised least squares.

Points of an MSD over all origins are strongly correlated, and ordinary least squares gives errors
that are far too small. As McCluskey, Coles and Morgan (J. Chem. Theory Comput. 2024,
10.1021/acs.jctc.4c01249) do, the covariance of a random walk is used as the model; here the exact
one for overlapping origins (Qian, Sheetz and Elson, Biophys. J. 60, 910, 1991), in which two
squared displacements over intervals that share the length o have the covariance 2 o² s⁴ a
dimension, s² being the variance of one frame's step.

The model takes steps to be Gaussian and ions to be independent. Neither holds in a solid: jumps
are rare, fast and slow ions exchange, and neighbours move together. `excess` measures both from
segments of the run itself and enlarges the variance by them:

    (sd_D / D)² = c [ (sd_D / D)²_walk + B ]

B is what the squared displacements of single ions vary beyond 2 MSD² / d, which is 1 / (number of
jumps) for a lattice walk and larger where ions take turns; c is how much more the average over ions
varies than that of independent ions would.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
import scipy.stats
from numpy.typing import NDArray

from halmd.transport.displacements import mean_square_displacement, segment_squares

Floats = NDArray[np.float64]

SHORTEST_START_PS = 2.0
"""Ballistic motion and rattling in the cage are over by then in halides."""

_LAGS = 40
_FEWEST_SEGMENTS = 10
_FEWEST_LONG_SEGMENTS = 3
"""Single ions give many samples even in few segments, and slow exchange is seen only by long
ones."""


@dataclass(frozen=True)
class Estimate:
    """A diffusivity with the parameters of its error distribution."""

    D_A2_per_ps: float
    standard_error_A2_per_ps: float
    degrees_of_freedom: float
    """Of the Student distribution of the error: the segments from which its size was learnt."""
    intercept_A2: float
    fit_from_ps: float
    fit_to_ps: float
    loglog_slope: float
    """Mean slope of ln MSD against ln t in the window; one is diffusion."""
    correlation_factor: float
    """Variance of the average over ions in units of independent ions'; above 1, they move
    together."""

    def interval_A2_per_ps(self, level: float) -> tuple[float, float]:
        """Central interval of the posterior under D >= 0."""
        t = scipy.stats.t(
            self.degrees_of_freedom, self.D_A2_per_ps, max(self.standard_error_A2_per_ps, 1e-30)
        )
        below = float(t.cdf(0.0))
        low, high = ((1 - level) / 2, (1 + level) / 2)
        a, b = (float(t.ppf(below + q * (1 - below))) for q in (low, high))
        return max(a, 0.0), b


def estimate(
    positions_A: Floats,
    interval_ps: float,
    *,
    jump_length_A: float = 2.5,
    fit_from_ps: float | None = None,
    fit_to_ps: float | None = None,
) -> Estimate:
    """Diffusivity of ions from unwrapped positions (n_frames, n_ions, 3) in Å.

    The window starts, unless given, where the slope has stopped falling (`window_start`), and ends
    at a third of the run.
    """
    n_frames, n_ions, d = positions_A.shape
    msd = mean_square_displacement(positions_A)
    last = round(fit_to_ps / interval_ps) if fit_to_ps else (n_frames - 1) // 3
    last = max(4, min(last, n_frames - 1))
    first = (
        round(fit_from_ps / interval_ps)
        if fit_from_ps
        else window_start(msd, interval_ps, n_ions, d, last, jump_length_A)
    )
    first = max(1, min(first, last // 2))
    lags = np.unique(np.linspace(first, last, min(_LAGS, last - first + 1)).astype(int))
    time = lags * interval_ps
    observed = msd[lags]
    slope, intercept, variance = _generalised_fit(time, observed, lags, n_frames, n_ions, d)
    beyond = excess(positions_A, first, slope * interval_ps)
    relative = variance / slope**2 if slope else 0.0
    variance = beyond.together * (relative + beyond.single) * slope**2
    positive = observed > 0
    loglog = (
        float(np.polyfit(np.log(time[positive]), np.log(observed[positive]), 1)[0])
        if positive.sum() > 2
        else 0.0
    )
    return Estimate(
        D_A2_per_ps=slope / (2 * d),
        standard_error_A2_per_ps=float(np.sqrt(variance)) / (2 * d),
        degrees_of_freedom=float(max(3, beyond.segments - 1)),
        intercept_A2=intercept,
        fit_from_ps=float(time[0]),
        fit_to_ps=float(time[-1]),
        loglog_slope=loglog,
        correlation_factor=beyond.together,
    )


def window_start(
    msd: Floats, interval_ps: float, n_ions: int, d: int, last: int, jump_length_A: float
) -> int:
    """First lag of the diffusive regime.

    The earliest lag t of at least 2 ps, by which the MSD has reached half a squared jump length
    (before that, jumps back are not over and the slope is too large), and at which the slope of the
    MSD over [t, 2t] exceeds the one over [2t, 4t] by no more than three percent, or a third of the
    statistical error of their difference. At most a third of the end of the window, so that a
    slope remains to be fitted: where jumps back last longer than that, D comes out too large.
    """
    n_frames = len(msd)
    moved = np.flatnonzero(msd >= jump_length_A**2 / 2)
    lag = max(1, round(SHORTEST_START_PS / interval_ps))
    latest = max(lag, last // 3)
    lag = min(latest, max(lag, int(moved[0]) if len(moved) else latest))
    while lag < latest:
        early = (msd[2 * lag] - msd[lag]) / lag
        late = (msd[4 * lag] - msd[2 * lag]) / (2 * lag) if 4 * lag < n_frames else early
        error = np.sqrt(2 * 4 * lag / (d * n_ions * n_frames))
        if late > 0 and early <= late * (1 + max(0.03, error / 3)):
            break
        lag = max(lag + 1, round(lag * 1.25))
    return min(lag, latest)


@dataclass(frozen=True)
class Excess:
    """What the run shows beyond a Gaussian walk of independent ions."""

    single: float
    """B: squared relative error of D by rare jumps and by exchange of fast and slow ions."""
    together: float
    """c: variance of the average over ions over that of independent ions, at least one."""
    segments: int
    """Non-overlapping segments at the shortest lag, from which c was learnt."""


def excess(positions_A: Floats, lag: int, slope_A2_per_frame: float) -> Excess:
    """Look at non-overlapping segments of lag, 2 lag, 4 lag, ... down to three of them.

    B is the largest of the values found: exchange is seen only by segments longer than its time.
    c is the median over lags that leave ten segments, which resists the scatter of single values.
    """
    n_frames, n_ions, d = positions_A.shape
    single, together, segments = [0.0], [], 0
    while (n_frames - 1) // lag >= _FEWEST_LONG_SEGMENTS:
        squares = segment_squares(positions_A, lag)
        mean = float(squares.mean())
        spread = float(squares.var(ddof=1))
        if mean > 0 and spread > 0 and slope_A2_per_frame > 0:
            share = lag / (n_frames - 1) / n_ions
            single.append((spread - 2 * mean**2 / d) / (slope_A2_per_frame * lag) ** 2 * share)
            if len(squares) >= _FEWEST_SEGMENTS:
                together.append(float(squares.mean(axis=1).var(ddof=1)) * n_ions / spread)
        segments = segments or len(squares)
        lag *= 2
    return Excess(max(single), max(1.0, float(np.median(together))) if together else 1.0, segments)


@lru_cache(maxsize=8)
def walk_covariance(lags: tuple[int, ...], n_frames: int) -> Floats:
    """Covariance of the MSD points of one one-dimensional walk with unit steps, exactly.

    Sum over all pairs of origins of twice the squared overlap of their intervals, divided by the
    numbers of origins; shape (n_lags, n_lags).
    """
    result = np.empty((len(lags), len(lags)))
    for a, m in enumerate(lags):
        for b, n in enumerate(lags[: a + 1]):
            offset = np.arange(-n + 1, m)  # of the interval of n frames from that of m frames
            overlap = np.minimum(m, offset + n) - np.maximum(0, offset)
            pairs = np.minimum(n_frames - m, n_frames - n - offset) - np.maximum(0, -offset)
            total = 2 * (np.maximum(pairs, 0) * overlap.astype(float) ** 2).sum()
            result[a, b] = result[b, a] = total / ((n_frames - m) * (n_frames - n))
    return result


def _generalised_fit(
    time_ps: Floats, msd_A2: Floats, lags: NDArray[np.int64], n_frames: int, n_ions: int, d: int
) -> tuple[float, float, float]:
    """Slope (Å²/ps), intercept (Å²) and variance of the slope, for independent ions."""
    design = np.stack([time_ps, np.ones_like(time_ps)], axis=1)
    shape = walk_covariance(tuple(int(lag) for lag in lags), n_frames)
    shape = shape + np.eye(len(lags)) * 1e-8 * np.trace(shape) / len(lags)
    factor = scipy.linalg.cho_factor(shape)
    inverse = np.linalg.inv(design.T @ scipy.linalg.cho_solve(factor, design))
    slope, intercept = inverse @ design.T @ scipy.linalg.cho_solve(factor, msd_A2)
    # The size of the covariance follows from the slope itself: s² = slope per frame / d.
    step_A2 = abs(float(slope)) * float(time_ps[0] / lags[0]) / d
    return float(slope), float(intercept), float(inverse[0, 0]) * step_A2**2 * d / n_ions
