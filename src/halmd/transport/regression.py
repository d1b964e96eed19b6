"""Diffusivity from displacements by generalised least squares, with an error measured by blocks.

Points of an MSD over all origins are strongly correlated, and ordinary least squares gives errors
that are far too small. As McCluskey, Coles and Morgan (J. Chem. Theory Comput. 2024,
10.1021/acs.jctc.4c01249) do, the slope is fitted with the covariance of a random walk as the model;
here the exact one for overlapping origins (Qian, Sheetz and Elson, Biophys. J. 60, 910, 1991), in
which two squared displacements over intervals that share the length o have the covariance 2 o² s⁴ a
dimension, s² being the variance of one frame's step.

Only lags from t to 2 t are fitted, t being where motion has become diffusive. Under that covariance
longer lags carry next to nothing that shorter ones lack (a test says how little), and blocks of the
run can then be analysed by the very same estimator.

The model takes steps to be Gaussian and ions to be independent. Neither holds in a solid: jumps are
rare, sites differ, fast and slow ions exchange, and neighbours move together. The variance is
therefore measured: every ion's slope in every block of the run. Its variance over blocks, ion by
ion, is that of independent ions, known well because there are many; the variance of the mean over
ions is in addition widened or narrowed by what they do together, known from as many samples as
there are blocks. Both are scaled from blocks to the run by the ratio that the walk has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.linalg
import scipy.stats
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_LAGS = 10
"""Lags fitted, evenly spaced from t to 2 t."""

BLOCK_IN_LAGS = 3.0
"""Shortest block, in units of the longest fitted lag."""

FEWEST_BLOCKS = 4
_OVERLAP = 4
"""Blocks start at every fourth of their length: their variance is better known for it."""

_MOST_BLOCKS = 400
"""From which the statistics of blocks are worked out; more are the same over again."""

_TRUST_IN_GROWTH = 0.5
"""Standard errors by which longer blocks must vary more than shorter ones before that counts."""

_LOGARITHMIC_BELOW = 0.4
"""Relative error up to which the interval is that of ln D."""


@dataclass(frozen=True, eq=False)  # one object for each window, which caches may be keyed by
class Window:
    """Lags that are fitted, in frames, and the weights whose sum over MSD points is the slope."""

    lags: tuple[int, ...]
    weights: Floats
    """Slope per frame = weights @ MSD, shape (n_lags,)."""
    intercept_weights: Floats
    n_frames: int

    @property
    def variance(self) -> float:
        """Variance of the slope of one one-dimensional walk with unit steps over the run."""
        return float(self.weights @ walk_covariance(self.lags, self.n_frames) @ self.weights)


@lru_cache(maxsize=32)
def window_of(first: int, last: int, n_frames: int) -> Window:
    """Generalised least-squares weights for lags from first to last, in frames."""
    lags = tuple(int(lag) for lag in np.unique(np.linspace(first, last, N_LAGS).astype(int)))
    time = np.array(lags, dtype=float)
    design = np.stack([time, np.ones_like(time)], axis=1)
    shape = walk_covariance(lags, n_frames)
    # Neighbouring lags say almost the same; this keeps the matrix well away from singular, and the
    # weights from being large and of opposite signs.
    shape = shape + np.eye(len(lags)) * 1e-6 * np.trace(shape) / len(lags)
    factor = scipy.linalg.cho_factor(shape)
    solution = np.linalg.solve(
        design.T @ scipy.linalg.cho_solve(factor, design),
        scipy.linalg.cho_solve(factor, design).T,
    )
    return Window(lags, solution[0], solution[1], n_frames)


@lru_cache(maxsize=256)
def walk_covariance(
    lags: tuple[int, ...], n_frames: int, other: tuple[int, int] | None = None
) -> Floats:
    """Covariance of the MSD points of one one-dimensional walk with unit steps, exactly.

    Sum over all pairs of origins of twice the squared overlap of their intervals, divided by the
    numbers of origins; shape (n_lags, n_lags). `other` is (length, delay) of a second stretch of
    the same walk, whose points are the columns; without it, the first stretch is meant.
    """
    length, delay = other or (n_frames, 0)
    result = np.empty((len(lags), len(lags)))
    for a, m in enumerate(lags):
        for b, n in enumerate(lags):
            if other is None and b > a:
                continue
            offset = np.arange(-n + 1, m)  # of the interval of n frames from that of m frames
            overlap = np.minimum(m, offset + n) - np.maximum(0, offset)
            first = np.maximum(0, delay - offset)
            last = np.minimum(n_frames - m, length - n - offset + delay)
            total = 2 * (np.maximum(last - first, 0) * overlap.astype(float) ** 2).sum()
            result[a, b] = total / ((n_frames - m) * (length - n))
            if other is None:
                result[b, a] = result[a, b]
    return result


@lru_cache(maxsize=64)
def block_statistics(window: "Window", length: int) -> tuple[float, float]:
    """Expected mean over blocks of (slope - mean slope)² of the walk of `Window.variance`, and the
    degrees of freedom with which it is distributed.

    For normal slopes of covariance S and the projection M on deviations from the mean they are
    tr(M S) / n_blocks and tr(M S)² / tr(M S M S).
    """
    starts = block_starts(length, window.n_frames)
    spacing = (window.n_frames - length) / max(1, len(starts) - 1)
    count = min(len(starts), _MOST_BLOCKS)
    covariances = np.zeros(count)
    for step in range(count):
        delay = round(step * spacing)
        if delay >= length:
            break
        both = walk_covariance(window.lags, length, (length, delay))
        covariances[step] = window.weights @ both @ window.weights
    deviations = scipy.linalg.toeplitz(covariances)
    deviations -= deviations.mean(axis=0)
    trace = float(np.trace(deviations))
    freedom = trace**2 / float((deviations * deviations.T).sum())
    return trace / count, freedom * len(starts) / count


def block_lengths(window: Window) -> list[int]:
    """Lengths of blocks in frames: three longest lags, and doubled while four blocks fit."""
    longest = window.n_frames // FEWEST_BLOCKS
    length = min(round(BLOCK_IN_LAGS * window.lags[-1]), longest)
    length = max(length, window.lags[-1] + 2)
    result = [length]
    while 2 * result[-1] <= longest:
        result.append(2 * result[-1])
    return result


def block_starts(length: int, n_frames: int) -> NDArray[np.int64]:
    """First frames of blocks that overlap by three quarters and reach the end of the run."""
    count = max(1, round((n_frames - length) / (length / _OVERLAP)) + 1)
    return np.unique(np.linspace(0, n_frames - length, count).astype(np.int64))


@dataclass(frozen=True)
class Slopes:
    """Slopes of mean-square displacements in Å² a frame, of each ion, in the run and in blocks."""

    window: Window
    whole: Floats
    """Over the whole run, shape (n_ions,)."""
    blocks: tuple[Floats, ...]
    """In blocks of each of `block_lengths`, shapes (n_blocks, n_ions)."""
    tensor: Floats
    """Slope of <Δa Δb> averaged over ions, shape (d, d)."""
    tensor_blocks: Floats
    """The same in the shortest blocks, shape (n_blocks, d, d)."""

    def separate_blocks(self) -> tuple[NDArray[np.int64], Floats]:
        """First frames (n_blocks,) and slopes (n_blocks, n_ions) of those shortest blocks that do
        not overlap."""
        length = block_lengths(self.window)[0]
        starts = block_starts(length, self.window.n_frames)
        chosen, free_from = [], 0
        for number, start in enumerate(starts):
            if start >= free_from:
                chosen.append(number)
                free_from = start + length
        return starts[chosen], self.blocks[0][chosen]


def slopes(groups: Iterable[Floats], window: Window, *, directions: bool = True) -> Slopes:
    """Slopes of all ions, given in groups (n_ions, n_frames, d) of continuous positions in Å.

    Without `directions` the tensor is left out (zeros), which takes half the time.
    """
    lengths = [*block_lengths(window), window.n_frames]
    starts = [block_starts(length, window.n_frames) for length in lengths]
    found: list[list[Floats]] = []
    tensors: list[Any] = [np.zeros((6, len(begin))) for begin in starts]
    n_ions = 0
    for group in groups:
        ions = group.transpose(0, 2, 1)
        results = [np.zeros((len(ions), len(begin))) for begin in starts]
        for lag, weight in zip(window.lags, window.weights, strict=True):
            step = ions[:, :, lag:] - ions[:, :, :-lag]
            stretches = [
                (begin, length - lag) for begin, length in zip(starts, lengths, strict=True)
            ]
            squares = _means(np.einsum("idt,idt->it", step, step), stretches)
            for result, square in zip(results, squares, strict=True):
                result += weight * square
            if directions:
                products = _means(_products(step), stretches)
                tensors = [
                    sum_ + weight * part for sum_, part in zip(tensors, products, strict=True)
                ]
        n_ions += len(ions)
        found.append(results)
    merged = [np.concatenate(parts).T for parts in zip(*found, strict=True)]
    blocks, whole = (_symmetric(tensors[k] / n_ions) for k in (0, -1))
    return Slopes(window, merged[-1][0], tuple(merged[:-1]), whole[0], blocks)


def _products(step: Floats) -> Floats:
    """Sums over ions of products of components, those of the lower triangle.

    step (n_ions, d, n); shape (d (d + 1) / 2, n).
    """
    d = step.shape[1]
    return np.array(
        [np.einsum("it,it->t", step[:, a], step[:, b]) for a in range(d) for b in range(a + 1)]
    )


def _symmetric(lower: Floats) -> Floats:
    """Matrices (n, d, d) from their lower triangles (d (d + 1) / 2, n)."""
    d = round((np.sqrt(8 * len(lower) + 1) - 1) / 2)
    result = np.empty((lower.shape[1], d, d))
    rows, columns = np.tril_indices(d)
    result[:, rows, columns] = result[:, columns, rows] = lower.T
    return result


def _means(values: Floats, stretches: list[tuple[NDArray[np.int64], int]]) -> list[Floats]:
    """Means along the last axis over stretches (starts, length), all from one pass.

    The values are summed between neighbouring ends of stretches only, which is far less memory than
    a running sum of long runs.
    """
    begins = [begin for begin, _ in stretches]
    finishes = [begin + n for begin, n in stretches]
    ends = np.unique(np.concatenate([[0], *begins, *finishes]))
    inside = ends[ends < values.shape[-1]]
    between = np.add.reduceat(values, inside, axis=-1)
    upto = np.zeros((*values.shape[:-1], len(inside) + 1))
    np.cumsum(between, axis=-1, out=upto[..., 1:])
    return [
        (upto[..., np.searchsorted(ends, begin + n)] - upto[..., np.searchsorted(ends, begin)]) / n
        for begin, n in stretches
    ]


@dataclass(frozen=True)
class Estimate:
    """A slope with the parameters of its error distribution."""

    D_A2_per_ps: float
    standard_error_A2_per_ps: float
    degrees_of_freedom: float
    """Of the Student distribution of the error: the blocks from which its size was learnt."""
    together: float
    """Variance of the mean over ions in units of that of independent ions; above one, they move
    together."""
    beyond_walk: float
    """Variance of independent ions in units of that of Gaussian walkers of the same mean."""

    @property
    def relative_error(self) -> float:
        """Standard error over D; infinite where D is not positive."""
        return self.standard_error_A2_per_ps / self.D_A2_per_ps if self.D_A2_per_ps > 0 else np.inf

    def quantile_A2_per_ps(self, share: float | Floats) -> Floats:
        """Quantiles of the posterior of D >= 0.

        The size of the error goes with D itself, so ln D has the Student distribution; where the
        error is as large as D, noise that does not go with D dominates, and D has it, cut at zero.
        """
        share = np.asarray(share, dtype=float)
        if self.standard_error_A2_per_ps == 0:
            return np.full(share.shape, max(self.D_A2_per_ps, 0.0))
        student = scipy.stats.t(self.degrees_of_freedom)
        if self.relative_error < _LOGARITHMIC_BELOW:
            result: Floats = self.D_A2_per_ps * np.exp(student.ppf(share) * self.relative_error)
        else:
            below = student.cdf(-self.D_A2_per_ps / self.standard_error_A2_per_ps)
            cut = student.ppf(below + share * (1 - below))
            result = np.maximum(self.D_A2_per_ps + self.standard_error_A2_per_ps * cut, 0.0)
        return result

    def interval_A2_per_ps(self, level: float) -> tuple[float, float]:
        """Central interval of the posterior."""
        low, high = self.quantile_A2_per_ps(np.array([(1 - level) / 2, (1 + level) / 2]))
        return float(low), float(high)


def estimate(found: Slopes, interval_ps: float, d: int = 3) -> Estimate:
    """D = slope / (2 d) and its error, from the slopes of ions over the run and in blocks."""
    window = found.window
    n_ions = len(found.whole)
    slope = float(found.whole.mean())
    walk = slope**2 * window.variance / (d * n_ions)
    independent, together, freedom = _variances(found)
    scale = 2 * d * interval_ps
    return Estimate(
        D_A2_per_ps=slope / scale,
        standard_error_A2_per_ps=float(np.sqrt(together * independent)) / scale,
        degrees_of_freedom=freedom,
        together=together,
        beyond_walk=independent / walk if walk > 0 else 1.0,
    )


def _variances(found: Slopes) -> tuple[float, float, float]:
    """Variance of the mean slope for independent ions, the factor by which they move together,
    and the degrees of freedom from which that factor is known."""
    window, shorter = found.window, 0.0
    independent, together, freedom = 0.0, 1.0, 0.0
    for length, blocks in zip(block_lengths(window), found.blocks, strict=True):
        expected, samples = block_statistics(window, length)
        unbiased = window.variance / expected
        each = ((blocks - blocks.mean(axis=0)) ** 2).mean(axis=0) * unbiased / blocks.shape[1] ** 2
        alone = float(each.sum())
        if not alone > 0:
            break
        if not shorter:
            mean = blocks.mean(axis=1)
            joint = float(((mean - mean.mean()) ** 2).mean()) * unbiased
            independent, freedom, together = alone, samples, joint / alone
        else:
            # What exchange slower than a block adds grows with the block and levels off; the
            # error of short blocks goes with 1 / length, which the difference removes.
            more = alone - shorter
            share = each / alone
            active = 1 / float((share**2).sum()) * (1 + 2 / samples)
            error = _TRUST_IN_GROWTH * alone * np.sqrt(2 / (samples * active))
            if more > error:
                independent = max(independent, shorter + 2 * more * (1 - (error / more) ** 2))
        shorter = alone
    return independent, together, freedom
