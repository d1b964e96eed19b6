"""Posterior and evidence of lines through diffusivities, for unknown spread and scatter.

The model of a run's ln D (or ln(sigma T)) is

    value = curve(1 / (k_B T)) + deviation of its ordering + scatter + error of the run.

Deviations have the standard deviation tau, common to all temperatures and replicas of an ordering;
scatter is what neither curve nor error describes, omega. The run's error has a Student distribution
with its own degrees of freedom, because its size was itself learnt from few blocks.

A run with too few jumps has no ln D, but leaving it out would favour those that happened to jump
more. It is counted instead: its jumps are a Poisson number of events, whose mean the curve, the
deviation of its ordering and scatter decide.

Curves are linear in their coefficients once a shape (the break of two lines, T0 of VTF) is given.
On a grid of (shape, omega, tau) the coefficients have a Gaussian posterior and a known evidence if
Student errors are replaced by Gaussian ones of equal variance, and n counted events by a value with
the error 1 / sqrt(n). Samples of that posterior, weighted
by the ratio of the Student to the Gaussian likelihood and by that of the counts, are samples of the
exact one, and the mean of the weights corrects the evidence.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.special
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PRIOR_FREEDOM = 4.0
"""Degrees of freedom of the half-Student priors of tau and omega: large values stay possible."""

_LARGEST = 8.0
"""End of the grids of tau and omega, in units of their prior's scale."""
_N_TAU, _N_OMEGA = 16, 18
_GAUSSIAN_FROM = 200.0
"""Degrees of freedom from which a Student distribution is as good as Gaussian."""
_NODES = 12
_OUTSIDE = 1e-6
_CHUNK = 20_000
_FEWEST_EVENTS = 0.5


@dataclass(frozen=True)
class Points:
    """Usable runs as points of a curve; all arrays have shape (n,)."""

    inverse_kT: Floats
    """1 / (k_B T) in 1/eV."""
    value: Floats
    """ln(sigma T / (S K/cm)) or ln(D / (cm²/s))."""
    error: Floats
    """Scale of the Student error of the value."""
    freedom: Floats
    """Degrees of freedom of that error."""
    ordering: Integers
    """Number of the ordering, from zero."""

    @property
    def variance(self) -> Floats:
        """Variance of the errors; kept finite where a Student distribution has none."""
        safe = np.maximum(self.freedom, 3.0)
        result: Floats = self.error**2 * np.where(self.freedom > 3, safe / (safe - 2), 3.0)
        return result


@dataclass(frozen=True)
class Counts:
    """Runs with too few jumps; all arrays have shape (n_counts,)."""

    inverse_kT: Floats
    """1 / (k_B T) in 1/eV."""
    at_one: Floats
    """Value (as `Points.value`) at which one event is expected in the run."""
    events: Floats
    """Independent events that were seen; no whole number, for they are worth unequal jumps."""
    ordering: Integers
    """Number of the ordering: as in the points, or one of its own."""

    @property
    def some(self) -> NDArray[np.bool_]:
        """Where there are events enough for a Gaussian to be somewhat like their likelihood."""
        return np.asarray(self.events >= _FEWEST_EVENTS)

    @property
    def best(self) -> Floats:
        """The value at which the events that were seen are expected."""
        return np.asarray(self.at_one + np.log(np.maximum(self.events, _FEWEST_EVENTS)))

    @property
    def variance(self) -> Floats:
        """Of a Gaussian around `best`."""
        return np.asarray(1 / np.maximum(self.events, _FEWEST_EVENTS))

    def log_likelihood(self, value: Floats) -> Floats:
        """Of true values of the runs, shape (n_samples, n_counts), up to a constant; Poisson's."""
        above = value - self.at_one
        result: Floats = (self.events * above - np.exp(np.minimum(above, 700.0))).sum(axis=-1)
        return result


NO_COUNTS = Counts(np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Family:
    """Curves that are linear in their coefficients for each value of a shape."""

    name: str
    design: Floats
    """Shape (n_shapes, n, n_coefficients)."""
    design_counts: Floats
    """The same for runs that are counted, shape (n_shapes, n_counts, n_coefficients)."""
    shapes: Floats
    """Shape (n_shapes,), with equal prior weights; a single NaN where curves have no shape."""
    prior_mean: Floats
    """Of the coefficients, shape (n_coefficients,)."""
    prior_sd: Floats
    """Shape (n_coefficients,); infinite for the height, which all families share."""


@dataclass(frozen=True)
class Spread:
    """Scales of the half-Student priors, in ln units."""

    between_orderings: float
    scatter: float


@dataclass(frozen=True)
class Posterior:
    """Equally likely samples of one family, all of length n_samples, and its evidence."""

    coefficients: Floats
    """Shape (n_samples, n_coefficients)."""
    shape: Floats
    tau: Floats
    omega: Floats
    log_evidence: float
    """Comparable between families with the same points."""
    effective_samples: float
    """Of how many independent samples the weighted ones are worth."""


@dataclass(frozen=True)
class _Grid:
    """Gaussian posteriors over (shape, omega, tau), arrays of shape (K, W, T, ...)."""

    tau: Floats
    omega: Floats
    mean: Floats
    information: Floats
    log_likelihood: Floats
    """At the best coefficients; of prior and data together."""
    log_prior: Floats
    """Of omega and tau with the spacing of the grid, shape (W, T)."""


def sample(
    family: Family,
    points: Points,
    counts: Counts,
    spread: Spread,
    n_samples: int,
    rng: np.random.Generator,
) -> Posterior:
    """Samples of coefficients, shape, tau and omega given the points and the counts."""
    gaussian, like_points = _with_counts(family, points, counts)
    grid = _gaussian_grid(gaussian, like_points, spread, flat=False)
    roots = np.linalg.cholesky(grid.information)
    proper = np.isfinite(family.prior_sd)
    p = len(family.prior_sd)
    log_weights = (
        grid.log_likelihood
        - np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(axis=-1)
        + grid.log_prior
        - np.log(len(family.shapes))
        - np.log(family.prior_sd[proper]).sum()
        + 0.5 * (p - proper.sum()) * np.log(2 * np.pi)
    )
    log_evidence = scipy.special.logsumexp(log_weights)
    weights = np.exp(log_weights - log_evidence).ravel()
    chosen = np.sort(rng.choice(weights.size, size=n_samples, p=weights / weights.sum()))
    k, w, t = np.unravel_index(chosen, log_weights.shape)
    # L^-T z has the covariance (L L^T)^-1.
    normal = rng.standard_normal((n_samples, p, 1))
    drawn = grid.mean[k, w, t]
    drawn += np.linalg.solve(roots[k, w, t].transpose(0, 2, 1), normal)[..., 0]
    tau, omega = grid.tau[t], grid.omega[w]
    log_ratio = np.concatenate(
        [
            _exact_over_gaussian(
                family, k[part], drawn[part], tau[part], omega[part], points, counts, rng
            )
            for part in np.array_split(np.arange(n_samples), -(-n_samples // _CHUNK))
        ]
    )
    log_evidence += scipy.special.logsumexp(log_ratio) - np.log(n_samples)
    ratio = np.exp(log_ratio - log_ratio.max())
    ratio /= ratio.sum()
    kept = _systematic(ratio, rng)
    return Posterior(
        drawn[kept],
        family.shapes[k[kept]],
        tau[kept],
        omega[kept],
        float(log_evidence),
        float(1 / (ratio**2).sum()),
    )


def bic(family: Family, points: Points, spread: Spread) -> float:
    """Bayesian information criterion, of the Gaussian approximation to the errors of the runs."""
    grid = _gaussian_grid(family, points, spread, flat=True)
    n = len(points.value)
    several_orderings = len(np.unique(points.ordering)) > 1
    n_parameters = len(family.prior_sd) + (len(family.shapes) > 1) + 1 + several_orderings
    return float(n_parameters * np.log(n) - 2 * grid.log_likelihood.max())


def half_student_grid(scale: float, n: int) -> tuple[Floats, Floats]:
    """Grid of a spread, dense at zero, and the logarithm of prior times spacing."""
    values = scale * _LARGEST * (np.arange(n) / (n - 1)) ** 2
    edges = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:]])
    # The prior of a cell as a whole, so that it sums to one on any grid.
    shares = np.diff(scipy.special.stdtr(PRIOR_FREEDOM, edges / scale))
    return values, np.log(shares / shares.sum())


def _gaussian_grid(family: Family, points: Points, spread: Spread, *, flat: bool) -> _Grid:
    """Posterior of the coefficients on the grid; `flat` leaves their prior out."""
    tau, log_prior_tau = half_student_grid(spread.between_orderings, _N_TAU)
    omega, log_prior_omega = half_student_grid(spread.scatter, _N_OMEGA)
    middle = points.value.mean()
    n_shapes, n, p = family.design.shape
    values = np.broadcast_to((points.value - middle)[None, :, None], (n_shapes, n, 1))
    both = np.concatenate([family.design, values], axis=2)
    precision = 1 / (points.variance + omega[:, None] ** 2)  # (W, n)
    member = (points.ordering[:, None] == np.unique(points.ordering)).astype(float)  # (n, O)
    in_ordering = precision @ member  # (W, O)
    # The covariance is diagonal plus tau² for runs of one ordering: inverted by Woodbury's formula.
    products = both[:, :, :, None] * both[:, :, None, :]
    squares = np.einsum("wn,knab->kwab", precision, products, optimize=True)
    sums = np.einsum("wn,no,kna->kwoa", precision, member, both, optimize=True)
    spread_of = 1 + tau[None, :, None] ** 2 * in_ordering[:, None]  # (W, T, O)
    moments = squares[:, :, None] - np.einsum(
        "wto,kwoa,kwob->kwtab", tau[None, :, None] ** 2 / spread_of, sums, sums, optimize=True
    )
    log_determinant = np.log(spread_of).sum(axis=2) - np.log(precision).sum(axis=1)[:, None]
    weight = np.zeros(p) if flat else family.prior_sd**-2.0
    information = moments[..., :p, :p] + np.diag(weight)
    pull = moments[..., :p, p] + weight * family.prior_mean
    mean = np.linalg.solve(information, pull[..., None])[..., 0]
    misfit = moments[..., p, p] + (weight * family.prior_mean**2).sum() - (pull * mean).sum(-1)
    # The height is the first coefficient of all families but `apart`, whose all are heights.
    mean += middle * ~np.isfinite(family.prior_sd)
    return _Grid(
        tau,
        omega,
        mean,
        information,
        -0.5 * (misfit + log_determinant + n * np.log(2 * np.pi)),
        log_prior_omega[:, None] + log_prior_tau,
    )


def _with_counts(family: Family, points: Points, counts: Counts) -> tuple[Family, Points]:
    """Points to which counted runs are added that a Gaussian is somewhat like, and their design."""
    some = counts.some
    design = np.concatenate([family.design, family.design_counts[:, some]], axis=1)
    both = Points(
        np.concatenate([points.inverse_kT, counts.inverse_kT[some]]),
        np.concatenate([points.value, counts.best[some]]),
        np.concatenate([points.error, np.sqrt(counts.variance[some])]),
        np.concatenate([points.freedom, np.full(int(some.sum()), 1e9)]),
        np.concatenate([points.ordering, counts.ordering[some]]),
    )
    return replace(family, design=design), both


def _exact_over_gaussian(
    family: Family,
    shape: Integers,
    coefficients: Floats,
    tau: Floats,
    omega: Floats,
    points: Points,
    counts: Counts,
    rng: np.random.Generator,
) -> Floats:
    """Logarithm of the ratio of likelihoods for samples (n_samples, ...), shape (n_samples,).

    Deviations of orderings are drawn from their Gaussian posterior; given them runs are
    independent. The scatter of counted runs is drawn likewise.
    """
    gaussian, both = _with_counts(family, points, counts)
    rest = both.value - np.einsum("snp,sp->sn", gaussian.design[shape], coefficients)
    variance = both.variance + omega[:, None] ** 2
    names = np.unique([*points.ordering, *counts.ordering])
    member = (both.ordering[:, None] == names).astype(float)
    # An ordering of which no run is here deviates as its prior says.
    shrink = tau[:, None] ** 2 / (1 + tau[:, None] ** 2 * ((1 / variance) @ member))
    deviation = shrink * ((rest / variance) @ member)
    deviation += np.sqrt(shrink) * rng.standard_normal(deviation.shape)
    n = len(points.value)
    rest = rest[:, :n] - deviation @ member[:n].T
    result = _student_over_gaussian(rest, variance[:, :n], omega, points)
    if len(counts.events):
        value = np.einsum("snp,sp->sn", family.design_counts[shape], coefficients)
        value += deviation[:, np.searchsorted(names, counts.ordering)]
        result += _counts_over_gaussian(value, omega, counts, rng)
    return result


def _counts_over_gaussian(
    value: Floats, omega: Floats, counts: Counts, rng: np.random.Generator
) -> Floats:
    """Logarithm of the ratio of likelihoods of counted runs, shape (n_samples,).

    value is what curve and deviation say, shape (n_samples, n_counts).
    """
    some, squared = counts.some, omega[:, None] ** 2
    # What a Gaussian says of the scatter; nothing where there are too few events for one.
    share = np.where(some, squared / (squared + counts.variance), 0.0)
    rest = counts.best - value
    scatter = share * rest + np.sqrt(squared * (1 - share)) * rng.standard_normal(value.shape)
    misfit = (rest - scatter) ** 2 / counts.variance + np.log(2 * np.pi * counts.variance)
    return np.asarray(counts.log_likelihood(value + scatter) + 0.5 * misfit[:, some].sum(axis=1))


def _student_over_gaussian(rest: Floats, variance: Floats, omega: Floats, points: Points) -> Floats:
    """Logarithm of the ratio of likelihoods of what is left of the points, shape (n_samples,).

    A Student error with added scatter is a mixture of Gaussians.
    """
    result = np.zeros(len(rest))
    for i, freedom in enumerate(points.freedom):
        if freedom >= _GAUSSIAN_FROM:
            continue
        precision, share = _mixture(float(freedom))
        mixed = points.error[i] ** 2 / precision + omega[:, None] ** 2
        student = np.exp(-0.5 * rest[:, i, None] ** 2 / mixed) / np.sqrt(mixed) @ share
        result += np.log(np.maximum(student, 1e-300))
        result += 0.5 * (np.log(variance[:, i]) + rest[:, i] ** 2 / variance[:, i])
    return result


@lru_cache(maxsize=512)
def _mixture(freedom: float) -> tuple[Floats, Floats]:
    """Precisions and shares of the Gaussians whose mixture is a Student distribution.

    The precision has a gamma distribution with shape and rate of half the degrees of freedom.
    Evenly spaced logarithms of it are good to one percent of the density for errors up to eight
    times their scale.
    """
    half = freedom / 2
    lowest = scipy.special.gammaincinv(half, _OUTSIDE) / half
    highest = scipy.special.gammainccinv(half, 10 * _OUTSIDE) / half
    precision = np.geomspace(lowest, highest, _NODES)
    log_share = half * (np.log(precision) - precision)
    share = np.exp(log_share - log_share.max())
    return precision, share / share.sum()


def _systematic(weights: Floats, rng: np.random.Generator) -> Integers:
    """Indices that turn weighted samples into as many equally likely ones, in random order."""
    n = len(weights)
    places = (np.arange(n) + rng.random()) / n
    kept = np.minimum(np.searchsorted(np.cumsum(weights), places), n - 1)
    return rng.permutation(kept)
