"""Mean-square displacement over all time origins."""

from collections.abc import Iterable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mean_square_displacement(positions_A: Floats) -> Floats:
    """Mean over all time origins and ions of the squared displacement, in Å², shape (n_frames,).

    positions_A (n_frames, n_ions, d), continuous.
    """
    return mean_square_displacement_of_groups([positions_A.transpose(1, 0, 2)])


def mean_square_displacement_of_groups(groups: Iterable[Floats]) -> Floats:
    """The same from groups of ions (n_ions, n_frames, d); shape (n_frames,), in Å².

    MSD(m) = S1(m) - 2 S2(m), the autocorrelation S2 by FFT (Calandrini et al., Collection SFN 12,
    201, 2011): O(N log N) in time, linear in memory.
    """
    total, n_ions = np.zeros(0), 0
    for group in groups:
        part = _sum_over_ions(group.transpose(0, 2, 1))
        total = total + part if n_ions else part
        n_ions += len(group)
    result: Floats = np.maximum(total / max(1, n_ions), 0.0)
    result[:1] = 0.0
    return result


def _sum_over_ions(ions_A: Floats) -> Floats:
    """Sum over ions of the MSD; ions_A (n_ions, d, n_frames)."""
    n_frames = ions_A.shape[2]
    # Large constants cancel badly in S1 - 2 S2, and displacements do not depend on the origin.
    ions = ions_A - ions_A.mean(axis=2, keepdims=True)
    size = scipy.fft.next_fast_len(2 * n_frames, real=True)
    power = np.zeros(size // 2 + 1)
    for ion in ions:
        transform = scipy.fft.rfft(ion, n=size, axis=1)
        power += (transform.real**2 + transform.imag**2).sum(axis=0)
    s2 = scipy.fft.irfft(power, n=size)[:n_frames]
    ends = np.concatenate([[0.0], np.cumsum(np.einsum("idt,idt->t", ions, ions))])
    # S1(m) sums the squares of the first and of the last n - m frames.
    lag = np.arange(n_frames)
    s1 = ends[n_frames - lag] + ends[-1] - ends[lag]
    result: Floats = (s1 - 2 * s2) / (n_frames - lag)
    return result
