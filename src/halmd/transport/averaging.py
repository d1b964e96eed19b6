"""Averages over curves by their evidence, with an allowance for changes beyond the data.

Changes of regime come, before the data are seen, at the rate `regime_changes_per_1000_per_K` along
1000/T. That is the prior probability of two lines, and what lies beyond the data gets an allowance
for a change that the data cannot show: at the same rate, of the same size, under the condition that
Li still has a barrier.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special

from halmd.config import ArrheniusSettings
from halmd.transport.evidence import Counts, Family, Floats, Points, Posterior, Spread, sample
from halmd.transport.lines import CHANGE_SD_EV, Curves, candidates, curves, family
from halmd.transport.usable import Run
from halmd.units import BOLTZMANN_EV_PER_K


@dataclass(frozen=True)
class Model:
    """One family of curves after the fit."""

    name: str
    weight: float
    """Posterior probability among the models fitted."""
    prior_weight: float
    family: Family
    posterior: Posterior
    curves: Curves


@dataclass(frozen=True)
class Beyond:
    """Changes of regime outside the data, one a side, drawn for each sample."""

    coldest: float
    """1/(k_B T) of the coldest used temperature, in 1/eV."""
    hottest: float
    cold_at: Floats
    """Where the change comes, in 1/eV, shape (n_samples,)."""
    cold_change_eV: Floats
    hot_at: Floats
    hot_change_eV: Floats

    def shift(self, inverse_kT: Floats) -> Floats:
        """What the changes add to the curve, shape (n_samples, n)."""
        colder = np.maximum(0.0, inverse_kT - self.cold_at[:, None])
        hotter = np.maximum(0.0, self.hot_at[:, None] - inverse_kT)
        result: Floats = (
            hotter * self.hot_change_eV[:, None] - colder * self.cold_change_eV[:, None]
        )
        return result


@dataclass(frozen=True)
class Fit:
    """Model-averaged posterior."""

    models: tuple[Model, ...]
    mixture: tuple[Curves, ...]
    """Curves of every model in the ratio of the weights."""
    tau: Floats
    omega: Floats
    beyond: Beyond

    def at(self, inverse_kT: Floats) -> Floats:
        """Samples at 1/(k_B T) in 1/eV without allowance, shape (n_samples, n)."""
        return np.concatenate([part.at(inverse_kT) for part in self.mixture])

    def chord(self) -> tuple[Floats, Floats]:
        """Slope (eV) and height at 1/T = 0 of the line through both ends of the used
        temperatures."""
        hot, cold = self.beyond.hottest, self.beyond.coldest
        ends = self.at(np.array([hot, cold]))
        Ea = (ends[:, 0] - ends[:, 1]) / (cold - hot)
        return Ea, ends[:, 0] + Ea * hot


def points_of(runs: list[Run], names: list[str], quantity: Callable[[Run], float]) -> Points:
    """Logarithms of a quantity of the runs; its relative error is that of D.

    names are those of all orderings, counted ones too, so that numbers mean the same in both.
    """
    return Points(
        inverse_kT=_inverse_kT(runs),
        value=np.log([quantity(run) for run in runs]),
        error=np.array([float(run["relative_error"]) for run in runs]),
        freedom=np.array([float(run["D_tracer_degrees_of_freedom"]) for run in runs]),
        ordering=np.array([names.index(run["ordering"]) for run in runs]),
    )


def counts_of(runs: list[Run], names: list[str], quantity: Callable[[Run], float]) -> Counts:
    """Runs with too few jumps, as `usable.one_event_each` gives them."""
    return Counts(
        inverse_kT=_inverse_kT(runs),
        at_one=np.log([quantity(run) for run in runs]),
        events=np.array([float(run["n_events"]) for run in runs]),
        ordering=np.array([names.index(run["ordering"]) for run in runs], dtype=np.int64),
    )


def _inverse_kT(runs: list[Run]) -> Floats:
    temperatures_K = np.array([float(run["temperature_K"]) for run in runs])
    return np.asarray(1 / (BOLTZMANN_EV_PER_K * temperatures_K))


def fit(
    points: Points, counts: Counts, settings: ArrheniusSettings, rng: np.random.Generator
) -> Fit:
    """All curves that the settings ask for and the temperatures allow, averaged by evidence."""
    spread = Spread(settings.between_orderings_prior_ln, settings.scatter_prior_ln)
    lowest_K = min([settings.extrapolate_to_K, *settings.at_temperatures_K])
    names = candidates(settings.curve, len(np.unique(points.inverse_kT)))
    families = [family(name, points, counts, lowest_K) for name in names]
    found = [sample(each, points, counts, spread, settings.n_samples, rng) for each in families]
    prior = _prior_weights(names, families, settings.regime_changes_per_1000_per_K)
    with np.errstate(divide="ignore"):
        log_weights = np.log(prior) + [each.log_evidence for each in found]
    weights = np.exp(log_weights - scipy.special.logsumexp(log_weights))
    models = tuple(
        Model(
            name,
            float(weights[i]),
            float(prior[i]),
            families[i],
            found[i],
            curves(name, found[i], points),
        )
        for i, name in enumerate(names)
    )
    shares = np.floor(weights * settings.n_samples).astype(int)
    shares[weights.argmax()] += settings.n_samples - shares.sum()
    # Samples come in random order, so the first ones are as good as any.
    kept = [(model, np.arange(count)) for model, count in zip(models, shares, strict=True)]
    mixture = tuple(model.curves.take(part) for model, part in kept)
    return Fit(
        models,
        mixture,
        np.concatenate([model.posterior.tau[part] for model, part in kept]),
        np.concatenate([model.posterior.omega[part] for model, part in kept]),
        _beyond(mixture, points, settings.regime_changes_per_1000_per_K, rng),
    )


def _prior_weights(names: list[str], families: list[Family], rate: float) -> Floats:
    """Probability of one and of two lines: of no change and of one where the break may lie."""
    if len(names) == 1:
        return np.ones(1)
    breaks = families[names.index("two_lines")].shapes
    window = 1000 * BOLTZMANN_EV_PER_K * (breaks.max() - breaks.min())
    none = float(np.exp(-rate * window))
    return np.array([1 - none if name == "two_lines" else none for name in names])


def _beyond(
    mixture: tuple[Curves, ...], points: Points, rate: float, rng: np.random.Generator
) -> Beyond:
    coldest, hottest = float(points.inverse_kT.max()), float(points.inverse_kT.min())
    Ea_cold, Ea_hot = (
        np.concatenate([part.Ea_at_eV(end) for part in mixture]) for end in (coldest, hottest)
    )
    per_eV = rate * 1000 * BOLTZMANN_EV_PER_K
    far = rng.exponential(1 / per_eV if per_eV else np.inf, (2, len(Ea_cold)))
    return Beyond(
        coldest,
        hottest,
        coldest + far[0],
        unseen_change_eV(Ea_cold, rng),
        hottest - far[1],
        unseen_change_eV(Ea_hot, rng),
    )


def unseen_change_eV(Ea_eV: Floats, rng: np.random.Generator) -> Floats:
    """Changes of activation energy from their prior, which leave a barrier above zero."""
    lowest = scipy.special.ndtr(-np.maximum(Ea_eV, 0) / CHANGE_SD_EV)
    share = lowest + (1 - lowest) * rng.random(len(Ea_eV))
    result: Floats = CHANGE_SD_EV * scipy.special.ndtri(share)
    return result
