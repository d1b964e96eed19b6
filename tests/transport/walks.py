"""Synthetic motion of ions with a diffusivity that is known exactly."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAME_PS = 0.05
RATTLE_A = 0.3


def brownian(rng: np.random.Generator, frames: int, ions: int, D_A2_per_ps: float) -> Floats:
    """Free diffusion: positions (frames, ions, 3) in Å."""
    steps = rng.normal(0.0, np.sqrt(2 * D_A2_per_ps * FRAME_PS), (frames, ions, 3))
    result: Floats = np.cumsum(steps, axis=0)
    return result


def hopping(
    rng: np.random.Generator, frames: int, ions: int, jumps_per_ps: float, length_A: float = 2.5
) -> Floats:
    """Poisson jumps along the axes, with rattling about the sites; D = rate a² / 6."""
    jumps = rng.poisson(jumps_per_ps * FRAME_PS / 6, (frames, ions, 3, 2))
    sites = np.cumsum(jumps[..., 0] - jumps[..., 1], axis=0) * length_A
    result: Floats = sites + rng.normal(0.0, RATTLE_A, sites.shape)
    return result


def pairs(rng: np.random.Generator, frames: int, ions: int, D_A2_per_ps: float) -> Floats:
    """Ions that move two by two, rigidly."""
    return np.repeat(brownian(rng, frames, ions // 2, D_A2_per_ps), 2, axis=1)


def exchanging(rng: np.random.Generator, frames: int, ions: int, D_A2_per_ps: float) -> Floats:
    """A third of the ions move, two thirds hardly, and they take turns about every 6 ps."""
    fast, slow, share = 2.8 * D_A2_per_ps, 0.1 * D_A2_per_ps, 1 / 3
    state = np.empty((frames, ions), dtype=bool)
    state[0] = rng.random(ions) < share
    turns = rng.random((frames, ions)) < FRAME_PS / 6
    fresh = rng.random((frames, ions)) < share
    for frame in range(1, frames):
        state[frame] = np.where(turns[frame], fresh[frame], state[frame - 1])
    width = np.sqrt(2 * np.where(state, fast, slow) * FRAME_PS)
    result: Floats = np.cumsum(rng.normal(size=(frames, ions, 3)) * width[..., None], axis=0)
    return result


def jumping_back(
    rng: np.random.Generator, frames: int, ions: int, jumps_per_ps: float, back_per_ps: float = 0.2
) -> Floats:
    """Poisson jumps, and jumps there and back between a pair of sites that lead nowhere.

    The pair adds a²/2 (1 - exp(-2 k t)) to the MSD and nothing to D = rate a² / 6.
    """
    turns = rng.random((frames, ions)) < back_per_ps * FRAME_PS
    side = np.cumsum(turns, axis=0) % 2
    result = hopping(rng, frames, ions, jumps_per_ps)
    result[..., 0] += 2.5 * side
    return result


def anisotropic(rng: np.random.Generator, frames: int, ions: int, D_A2_per_ps: float) -> Floats:
    """Eight times easier along one direction, oblique to the axes, than across it."""
    axes, _ = np.linalg.qr(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    principal = D_A2_per_ps * np.array([2.4, 0.3, 0.3])
    result: Floats = brownian(rng, frames, ions, 1.0) * np.sqrt(principal) @ axes.T
    return result


def two_populations(rng: np.random.Generator, frames: int, ions: int, D_A2_per_ps: float) -> Floats:
    """A third of the ions is eighteen times faster than the others, for good."""
    fast = np.arange(ions) < ions // 3
    share = fast.mean()
    D = np.where(fast, 18.0, 1.0) * D_A2_per_ps / (18 * share + 1 - share)
    return brownian(rng, frames, ions, 1.0) * np.sqrt(D)[None, :, None]


def jumping_back_on_a_lattice(
    rng: np.random.Generator,
    frames: int,
    ions: int,
    jumps_per_ps: float,
    back: float,
    length_A: float = 2.5,
) -> Floats:
    """A lattice walk in which a jump takes the last one back with probability `back`, and is random
    otherwise; with rattling.

    The mean cosine of successive jumps is -back, so D = rate a² / 6 (1 - back) / (1 + back).
    """
    jumps = rng.random((frames, ions)) < jumps_per_ps * FRAME_PS
    returns = rng.random((frames, ions)) < back
    fresh = np.eye(3)[rng.integers(0, 3, (frames, ions))]
    fresh *= rng.choice([-length_A, length_A], (frames, ions, 1))
    last = fresh[0]
    steps = np.zeros((frames, ions, 3))
    for frame in range(frames):
        now = np.where(returns[frame][:, None], -last, fresh[frame])
        last = np.where(jumps[frame][:, None], now, last)
        steps[frame] = np.where(jumps[frame][:, None], now, 0.0)
    result: Floats = np.cumsum(steps, axis=0) + rng.normal(0, RATTLE_A, steps.shape)
    return result


def slow_rattling(
    rng: np.random.Generator, frames: int, ions: int, *, amplitude_A: float, memory_ps: float
) -> Floats:
    """Rattling about a site that is forgotten exponentially (Ornstein and Uhlenbeck): no D."""
    kept = np.exp(-FRAME_PS / memory_ps)
    result = rng.normal(0.0, amplitude_A, (frames, ions, 3))
    for frame in range(1, frames):
        result[frame] = kept * result[frame - 1] + np.sqrt(1 - kept**2) * result[frame]
    return result
