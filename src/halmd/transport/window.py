"""Which lags are fitted: from where motion has become diffusive to twice that.

Below, ions fly freely (ballistic), rattle in their cages, and jump back where they came from; the
slope of the MSD falls until all that is over.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from halmd.transport.regression import Window, window_of

Floats = NDArray[np.float64]

SHORTEST_START_PS = 2.0
"""Ballistic motion and rattling in the cage are over by then in halides."""

LARGEST_SHARE = 1 / 12
"""Latest start of the window as a share of the run: four blocks must each hold twice that, with
room for several origins."""

_JUMPS = 2.0
_STEP = 1.25
_TOLERANCE = 0.03
_ERRORS = 2.0


def window_start(
    msd_A2: Floats, interval_ps: float, n_ions: int, d: int, jump_length_A: float
) -> int:
    """First lag, in frames, of the diffusive regime; msd_A2 of shape (n_frames,), from lag 0.

    The earliest lag t of at least 2 ps by which the MSD has reached twice the squared jump length,
    so that jumps back are made or will not be, and at which the slope over [t, 2t] exceeds the one
    over [2t, 4t] by no more than three percent or two standard errors. At most a twelfth of the
    run: where jumps back last longer than that, D comes out too large, and `fall_of_slope` tells.

    The MSD decides and the slope hardly ever does, because a start chosen by a noisy slope makes
    the slope that is then fitted too small, and its error too.
    """
    latest = max(1, int(len(msd_A2) * LARGEST_SHARE))
    lag = max(1, round(SHORTEST_START_PS / interval_ps))
    while lag < latest:
        if msd_A2[lag] >= _JUMPS * jump_length_A**2:
            fall, error = fall_of_slope(msd_A2, lag, n_ions * d)
            if fall <= max(_TOLERANCE, _ERRORS * error):
                break
        lag = max(lag + 1, round(lag * _STEP))
    return min(lag, latest)


def fall_of_slope(msd_A2: Floats, lag: int, n_walks: int) -> tuple[float, float]:
    """Relative excess of the slope over [t, 2t] above that over [2t, 4t], and its standard error.

    The error is that of `n_walks` independent one-dimensional random walks. Where four times the
    lag is longer than the run, or the later slope is not positive, both are infinite.
    """
    n_frames = len(msd_A2)
    if 4 * lag >= n_frames:
        return np.inf, np.inf
    early, late = (window_of(first, 2 * first, n_frames) for first in (lag, 2 * lag))
    falling, fallen = _slope(early, msd_A2), _slope(late, msd_A2)
    if not fallen > 0:
        return np.inf, np.inf
    error = np.sqrt((early.variance + late.variance) / n_walks)
    return falling / fallen - 1, float(error)


def _slope(window: Window, msd_A2: Floats) -> float:
    """Slope of the MSD over a window, in Å² a frame."""
    return float(window.weights @ msd_A2[list(window.lags)])


@dataclass(frozen=True)
class Regimes:
    """What kinds of motion an MSD shows, by its local slope d ln MSD / d ln t."""

    ballistic_to_ps: float | None
    """End of free flight (slope above 1.5); None where frames are too far apart to see it."""
    subdiffusive_to_ps: float | None
    """End of rattling and jumping back (slope below 0.9); None where it lasts to the end."""
    kind: Literal["diffusive", "subdiffusive", "trapped"]
    """Of the longest lags: slope above 0.9, below, and below 0.3."""


def regimes(time_ps: Floats, msd_A2: Floats) -> Regimes:
    """Ends of the ballistic and of the sub-diffusive regime, for lags evenly spaced in ln t."""
    slope = loglog_slope(time_ps, msd_A2)
    ballistic = None
    if len(slope) and slope[0] > 1.5:
        ballistic = float(time_ps[np.argmax(slope <= 1.5) - 1])
    # Single points of a noisy curve do not decide, the last fifth of it does.
    last = float(np.median(slope[-max(3, len(slope) // 5) :])) if len(slope) else 0.0
    if last >= 0.9:
        slow = np.flatnonzero(slope < 0.9)
        return Regimes(ballistic, float(time_ps[slow[-1]]) if len(slow) else 0.0, "diffusive")
    return Regimes(ballistic, None, "subdiffusive" if last > 0.3 else "trapped")


def loglog_slope(time_ps: Floats, msd_A2: Floats) -> Floats:
    """Local slope d ln MSD / d ln t by centred differences; lags of zero MSD count as 1e-12 Å²."""
    if len(time_ps) < 2:
        return np.zeros(0)
    result: Floats = np.gradient(np.log(np.maximum(msd_A2, 1e-12)), np.log(time_ps))
    return result
