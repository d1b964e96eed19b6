"""Do the intervals of an Arrhenius analysis hold the truth as often as they say?

Thousands of synthetic campaigns, in two kinds. Where all unknowns are drawn from their priors the
coverage of a right analysis equals the level, and is tested from both sides. Where the truth is
fixed (no spread between orderings at all, a spread of 0.4, a break at 420 K) intervals may be
cautious; they are tested from below. `pytest -s` prints the table: shares in percent for 68 and 95.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from halmd.config import ArrheniusSettings
from halmd.transport.averaging import Fit, fit, unseen_change_eV
from halmd.transport.evidence import NO_COUNTS, PRIOR_FREEDOM, Points
from halmd.transport.lines import CHANGE_SD_EV, EA_MEAN_EV, EA_SD_EV
from halmd.units import BOLTZMANN_EV_PER_K

LEVELS = {68: 0.6827, 95: 0.95}
X_300K = 1 / (BOLTZMANN_EV_PER_K * 300)
PER_EV = 1000 * BOLTZMANN_EV_PER_K
LN_A = 12.0


@dataclass(frozen=True)
class Design:
    """A kind of campaign; what is None is drawn from its prior."""

    name: str
    temperatures_K: tuple[float, ...] = (500.0, 600.0, 700.0, 800.0)
    orderings: int = 2
    replicas: int = 1
    error: float = 0.12
    freedom: float | None = 10.0
    """Of the errors of the runs; None draws it for every run between 3 and 60."""
    measured_error: bool = False
    """Runs scatter by `error`, and learn its size from as many samples as they have freedom."""
    Ea_eV: float | None = None
    between: float | None = None
    scatter: float | None = None
    breaks: bool = True
    """Changes of regime come at the rate of the settings; otherwise there are none."""
    cold_Ea_eV: float | None = None
    """Activation energy below a break at 420 K."""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def calibrated(self) -> bool:
        """All that has a prior is drawn from it."""
        return self.Ea_eV is None and self.between is None and self.scatter is None


FIXED: dict[str, Any] = {"Ea_eV": 0.3, "scatter": 0.0, "breaks": False}
LINE: dict[str, Any] = {"curve": "line", "regime_changes_per_1000_per_K": 0.0}
SIX = (450.0, 500.0, 570.0, 650.0, 750.0, 900.0)
EIGHT = (300.0, 340.0, 380.0, 430.0, 500.0, 600.0, 750.0, 950.0)
DESIGNS = [
    Design("4 T x 2, one line", breaks=False, settings=LINE),
    Design("4 T x 2, lines averaged"),
    Design("6 T x 3, lines averaged", SIX, orderings=3),
    Design("4 T x 2 x 2 replicas", replicas=2),
    Design("4 T x 1", orderings=1),
    Design("3 T x 2", (500.0, 600.0, 800.0)),
    Design("8 T x 2 from 300 K", EIGHT),
    Design("6 T x 3, freedom 3 to 60", SIX, orderings=3, freedom=None),
    Design("4 T x 2, freedom 4", freedom=4.0, error=0.25),
    Design("4 T x 2, freedom 6, measured", freedom=6.0, error=0.25, measured_error=True),
    Design("4 T x 2, spread 0", between=0.0, **FIXED),
    Design("4 T x 2, spread 0.4", between=0.4, **FIXED),
    Design("6 T x 3, spread 0", SIX, orderings=3, between=0.0, **FIXED),
    Design("6 T x 3, spread 0.4", SIX, orderings=3, between=0.4, **FIXED),
    Design("8 T x 2, 0.2 to 0.4 eV", EIGHT, between=0.3, cold_Ea_eV=0.4, **FIXED | {"Ea_eV": 0.2}),
]


@dataclass(frozen=True)
class Truth:
    """ln(sigma T) against 1/(k_B T): joined lines."""

    Ea_hot_eV: float
    breaks: tuple[tuple[float, float], ...] = ()
    """Place in 1/eV and change of the activation energy of everything colder, in eV."""

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        value: NDArray[np.float64] = LN_A - self.Ea_hot_eV * x
        for at, change in self.breaks:
            value = value - change * np.maximum(0, x - at)
        return value


def draw(design: Design, rng: np.random.Generator) -> tuple[Points, Truth]:
    """One campaign and what it should find."""
    settings = ArrheniusSettings(**design.settings)
    T = np.tile(np.repeat(design.temperatures_K, design.replicas), design.orderings)
    ordering = np.repeat(np.arange(design.orderings), len(T) // design.orderings)
    x = 1 / (BOLTZMANN_EV_PER_K * T)
    truth = _truth(design, settings.regime_changes_per_1000_per_K, np.unique(x), rng)
    tau, omega = (
        scale * abs(rng.standard_t(PRIOR_FREEDOM)) if given is None else given
        for given, scale in (
            (design.between, settings.between_orderings_prior_ln),
            (design.scatter, settings.scatter_prior_ln),
        )
    )
    freedom = (
        np.full(len(x), design.freedom) if design.freedom else np.exp(rng.uniform(1.1, 4.1, len(x)))
    )
    error = np.full(len(x), design.error)
    if design.measured_error:
        noise = rng.normal(0, error)
        error = error * np.sqrt(rng.chisquare(freedom) / freedom)
    else:
        noise = error * rng.standard_t(freedom)
    value = truth(x) + rng.normal(0, tau, design.orderings)[ordering]
    return Points(x, value + rng.normal(0, omega, len(x)) + noise, error, freedom, ordering), truth


def _truth(
    design: Design, rate: float, used: NDArray[np.float64], rng: np.random.Generator
) -> Truth:
    if design.cold_Ea_eV is not None and design.Ea_eV is not None:
        at = 1 / (BOLTZMANN_EV_PER_K * 420)
        return Truth(design.Ea_eV, ((at, design.cold_Ea_eV - design.Ea_eV),))
    Ea = rng.normal(EA_MEAN_EV, EA_SD_EV) if design.Ea_eV is None else design.Ea_eV
    if not design.breaks:
        return Truth(Ea)
    breaks = []
    cold_Ea = Ea
    if len(used) >= 4 and rng.random() > np.exp(-rate * PER_EV * (used[-2] - used[1])):
        change = rng.normal(0, CHANGE_SD_EV)
        breaks.append((rng.uniform(used[1], used[-2]), change))
        # The prior of Ea is that of the mean of both sides.
        Ea, cold_Ea = Ea - change / 2, Ea + change / 2
    unseen = used[-1] + rng.exponential(1 / (rate * PER_EV))
    breaks.append((unseen, unseen_change_eV(np.array([cold_Ea]), rng)[0]))
    return Truth(Ea, tuple(breaks))


def covered(design: Design, trials: int, seed: int) -> dict[str, dict[int, float]]:
    """Share of campaigns whose interval holds the truth, for each quantity and level."""
    rng = np.random.default_rng(seed)
    # Fewer samples than a user may ask for: whether a truth is inside needs no smooth histogram.
    settings = ArrheniusSettings(**design.settings).model_copy(update={"n_samples": 500})
    hits: dict[str, dict[int, int]] = {}
    for _ in range(trials):
        points, truth = draw(design, rng)
        found = fit(points, NO_COUNTS, settings, rng)
        for name, (true, samples) in _quantities(found, truth).items():
            share = float((samples < true).mean())
            counts = hits.setdefault(name, dict.fromkeys(LEVELS, 0))
            for label, level in LEVELS.items():
                counts[label] += abs(share - 0.5) <= level / 2
    return {name: {k: n / trials for k, n in counts.items()} for name, counts in hits.items()}


def _quantities(found: Fit, truth: Truth) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """True values and posterior samples: Ea, ln sigma at 300 K and inside the data."""
    hot, cold = found.beyond.hottest, found.beyond.coldest
    there, inside = np.array([X_300K]), np.array([0.4 * hot + 0.6 * cold])
    ends = truth(np.array([hot, cold]))
    Ea = float((ends[0] - ends[1]) / (cold - hot))
    beyond = found.at(there) + found.beyond.shift(there)
    return {
        "Ea": (Ea, found.chord()[0]),
        "sigma(300 K)": (float(truth(there)[0]), beyond[:, 0]),
        "sigma inside": (float(truth(inside)[0]), found.at(inside)[:, 0]),
    }


def show(design: Design, found: dict[str, dict[int, float]]) -> None:
    cells = "  ".join(
        f"{name}: {100 * shares[68]:.1f} {100 * shares[95]:.1f}" for name, shares in found.items()
    )
    print(f"\n{design.name:30} {'calibrated' if design.calibrated else 'fixed':10}  {cells}")


@pytest.mark.validation
@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_intervals_hold_the_truth_as_often_as_they_say(design: Design) -> None:
    found = covered(design, trials=2000 if design.calibrated else 1000, seed=7)
    show(design, found)
    for shares in found.values():
        # Averaged over priors a posterior is right at every level; at one fixed truth its narrower
        # intervals need not be, least of all with two orderings to learn their spread from.
        assert shares[68] >= (0.65 if design.calibrated else 0.62)
        assert shares[95] >= 0.93
        if design.calibrated:
            assert shares[68] <= 0.71
            assert shares[95] <= 0.97


@pytest.mark.parametrize("design", [DESIGNS[1], DESIGNS[11]], ids=lambda design: design.name)
def test_intervals_hold_the_truth_in_a_few_campaigns(design: Design) -> None:
    trials = 60
    for shares in covered(design, trials, seed=11).values():
        for label, level in LEVELS.items():
            assert shares[label] * trials >= binom.ppf(0.001, trials, level)
