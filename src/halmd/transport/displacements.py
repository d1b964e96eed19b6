"""Displacements of mobile ions relative to the framework, and their mean square over all
origins."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_IONS_AT_A_TIME = 64


def relative_positions(
    positions_A: Floats, masses_amu: Floats, mobile: NDArray[np.bool_]
) -> Floats:
    """Unwrapped positions of mobile ions in the frame of the framework's centre of mass, in Å.

    positions_A (n_frames, n_atoms, 3); returns (n_frames, n_mobile, 3). The framework is every atom
    that is not mobile; without one, the centre of mass of all atoms is held still.
    """
    frame = ~mobile if (~mobile).any() else np.ones_like(mobile)
    weights = masses_amu[frame] / masses_amu[frame].sum()
    centre = np.einsum("fai,a->fi", positions_A[:, frame], weights)
    drift = centre - centre[0]
    result: Floats = positions_A[:, mobile] - drift[:, None]
    return result


def mean_square_displacement(positions_A: Floats) -> Floats:
    """Mean over all time origins and ions of the squared displacement, in Å², shape (n_frames,).

    positions_A (n_frames, n_ions, 3), unwrapped. MSD(m) = S1(m) - 2 S2(m), the autocorrelation S2
    by FFT (Calandrini et al., Collection SFN 12, 201, 2011): O(N log N) in time, linear in memory.
    """
    n_frames, n_ions, _ = positions_A.shape
    # Large constants cancel badly in S1 - 2 S2, and displacements do not depend on the origin.
    positions = positions_A - positions_A.mean(axis=0)
    counts = n_frames - np.arange(n_frames)
    size = scipy.fft.next_fast_len(2 * n_frames, real=True)
    total = np.zeros(n_frames)
    for first in range(0, n_ions, _IONS_AT_A_TIME):
        part = positions[:, first : first + _IONS_AT_A_TIME]
        power = np.abs(scipy.fft.rfft(part, n=size, axis=0)) ** 2
        s2 = scipy.fft.irfft(power.sum(axis=(1, 2)), n=size)[:n_frames]
        square = (part**2).sum(axis=(1, 2))
        ends = np.concatenate([[0.0], np.cumsum(square)])
        # S1(m) sums the squares of the first and of the last n - m frames.
        s1 = ends[n_frames - np.arange(n_frames)] + ends[-1] - ends[np.arange(n_frames)]
        total += (s1 - 2 * s2) / counts
    result: Floats = np.maximum(total / n_ions, 0.0)
    result[0] = 0.0
    return result


def segment_squares(positions_A: Floats, lag: int) -> Floats:
    """Squared displacement of each ion over each of the non-overlapping segments of a lag.

    Returns Å², shape (n_segments, n_ions).
    """
    result: Floats = (np.diff(positions_A[::lag], axis=0) ** 2).sum(axis=2)
    return result
