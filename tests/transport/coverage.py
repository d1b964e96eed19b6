"""How often intervals of D hold the truth, over synthetic runs analysed as real ones are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from walks import (
    FRAME_PS,
    anisotropic,
    brownian,
    exchanging,
    hopping,
    jumping_back_on_a_lattice,
    pairs,
    two_populations,
)

from halmd.transport.displacements import mean_square_displacement
from halmd.transport.regression import Estimate, estimate, slopes, window_of
from halmd.transport.window import window_start

Floats = NDArray[np.float64]
JUMP_A = 2.5
JUMP_D = JUMP_A**2 / 6
"""Å² per jump: D over the rate of uncorrelated jumps."""


@dataclass(frozen=True)
class Walk:
    """A synthetic run and its exact D."""

    make: Callable[[np.random.Generator], Floats]
    D_A2_per_ps: float


# 18 ions and 100 ps, as in the shipped campaign, unless the name says otherwise.
WALKS = {
    "Brownian": Walk(lambda rng: brownian(rng, 2000, 18, 0.1), 0.1),
    "Brownian, 20 ps": Walk(lambda rng: brownian(rng, 400, 18, 0.4), 0.4),
    "Brownian, 400 ps": Walk(lambda rng: brownian(rng, 8000, 18, 0.1), 0.1),
    "lattice": Walk(lambda rng: hopping(rng, 2000, 18, 0.1), 0.1 * JUMP_D),
    "lattice, 40 ps": Walk(lambda rng: hopping(rng, 800, 18, 0.3), 0.3 * JUMP_D),
    "lattice, few jumps": Walk(lambda rng: hopping(rng, 2000, 18, 0.03), 0.03 * JUMP_D),
    "lattice, f = 1/2": Walk(
        lambda rng: jumping_back_on_a_lattice(rng, 4000, 18, 0.3, 1 / 3), 0.3 * JUMP_D / 2
    ),
    "lattice, f = 1/3": Walk(
        lambda rng: jumping_back_on_a_lattice(rng, 4000, 18, 0.3, 1 / 2), 0.3 * JUMP_D / 3
    ),
    "anisotropic": Walk(lambda rng: anisotropic(rng, 2000, 18, 0.1), 0.1),
    "two populations": Walk(lambda rng: two_populations(rng, 2000, 18, 0.1), 0.1),
    "taking turns": Walk(lambda rng: exchanging(rng, 4000, 18, 0.1), 0.1),
    "in pairs": Walk(lambda rng: pairs(rng, 2000, 18, 0.1), 0.1),
}


def analyse(positions_A: Floats) -> Estimate:
    """D as `halmd diffusion` finds it; positions_A (n_frames, n_ions, 3)."""
    frames, ions, d = positions_A.shape
    start = window_start(mean_square_displacement(positions_A), FRAME_PS, ions, d, JUMP_A)
    groups = [np.ascontiguousarray(positions_A.transpose(1, 2, 0)).transpose(0, 2, 1)]
    return estimate(slopes(groups, window_of(start, 2 * start, frames)), FRAME_PS)


@dataclass(frozen=True)
class Coverage:
    """What many runs of one kind gave."""

    held68: float
    """Share of 68.27 % intervals that hold the truth."""
    held95: float
    mean: float
    """Mean of D over the truth."""
    scatter: float
    """Standard deviation of D over the truth."""
    claimed: float
    """Root mean square of the standard errors over the truth."""


def coverage(walk: Walk, trials: int, seed: int) -> Coverage:
    """Analyse `trials` runs of a walk."""
    rng = np.random.default_rng(seed)
    held = np.zeros(2)
    ratios, errors = np.empty(trials), np.empty(trials)
    for trial in range(trials):
        found = analyse(walk.make(rng))
        for k, level in enumerate((0.6827, 0.95)):
            low, high = found.interval_A2_per_ps(level)
            held[k] += low <= walk.D_A2_per_ps <= high
        ratios[trial] = found.D_A2_per_ps / walk.D_A2_per_ps
        errors[trial] = found.standard_error_A2_per_ps / walk.D_A2_per_ps
    return Coverage(
        held[0] / trials,
        held[1] / trials,
        float(ratios.mean()),
        float(ratios.std()),
        float(np.sqrt((errors**2).mean())),
    )
