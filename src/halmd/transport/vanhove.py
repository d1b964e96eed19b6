"""`halmd vanhove`: how far ions go in a given time, as a distribution.

The self part of van Hove's function, 4 pi r² G_s(r, t) (Phys. Rev. 95, 249, 1954): one peak that
spreads is diffusion as in a liquid, peaks at jump distances are hops. The non-Gaussian parameter
alpha_2 = 3 <r⁴> / (5 <r²>²) - 1 (Rahman, Phys. Rev. 136, A405, 1964) is zero for free diffusion.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.errors import HalmdError

Floats = NDArray[np.float64]

LARGEST_A = 12.0
BIN_A = 0.1
_ORIGINS = 20_000


def van_hove(
    groups: Iterable[Floats],
    interval_ps: float,
    times_ps: Sequence[float],
    *,
    largest_A: float = LARGEST_A,
    bin_A: float = BIN_A,
) -> dict[str, Any]:
    """Distributions of distances at some times, from groups (n_ions, n_frames, 3) in Å.

    At most 20,000 evenly spaced origins of each ion are used. Distributions are per Å and integrate
    to one minus the share beyond `largest_A`. Raises HalmdError for times that are not in the run.
    """
    edges = np.arange(0, largest_A + bin_A, bin_A)
    lags = [max(1, round(time / interval_ps)) for time in times_ps]
    counts = np.zeros((len(lags), len(edges) - 1))
    samples, squares, fourths = (np.zeros(len(lags)) for _ in range(3))
    for ions in groups:
        n_frames = ions.shape[1]
        for k, lag in enumerate(lags):
            if lag >= n_frames:
                raise HalmdError(
                    f"{lag * interval_ps:g} ps is longer than the run of "
                    f"{(n_frames - 1) * interval_ps:g} ps; ask for shorter times (--time-ps)"
                )
            stride = -(-(n_frames - lag) // _ORIGINS)
            step = ions[:, lag::stride] - ions[:, : n_frames - lag : stride]
            square = np.einsum("itd,itd->it", step, step).ravel()
            counts[k] += np.histogram(np.sqrt(square), edges)[0]
            samples[k] += len(square)
            squares[k] += square.sum()
            fourths[k] += (square**2).sum()
    mean, fourth = squares / samples, fourths / samples
    return {
        "r_A": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "curves": [
            {
                "time_ps": lag * interval_ps,
                "distribution_per_A": (counts[k] / samples[k] / bin_A).tolist(),
                "share_beyond": float(1 - counts[k].sum() / samples[k]),
                "msd_A2": float(mean[k]),
                "alpha_2": float(0.6 * fourth[k] / mean[k] ** 2 - 1) if mean[k] > 0 else None,
            }
            for k, lag in enumerate(lags)
        ],
    }
