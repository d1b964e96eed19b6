"""How long must a run be? Until its diffusivity is as certain as was asked, and no longer.

The error of a diffusivity falls with the square root of the run's length once ions jump: from what
a run of one length shows, the length that is needed can be told. Where too few ions have jumped,
nothing can be told yet, and the run is doubled.

A run that stops when its error looks small stops a little too often when it happens to look too
small. A margin and a fewest number of jumps keep that below what the interval itself covers;
`tests/dynamics/test_length.py` counts.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.config import DiffusionSettings, DynamicsSettings
from halmd.errors import HalmdError
from halmd.transport.diffusion import effective_jumps, tracer_of
from halmd.transport.motion import motion_of

_MARGIN = 1.1
"""Longer than the square-root law says, so that the next look is mostly the last."""
_LEAST, _MOST = 1.25, 3.0
"""Factors between one length and the next."""


def first_length_ps(settings: DynamicsSettings) -> float:
    """Length of a run before anything is known of it."""
    return settings.production_ps if settings.target_relative_error is None else settings.min_ps


def so_far(
    positions_A: NDArray[np.floating[Any]],
    cell_A: NDArray[np.float64],
    symbols: tuple[str, ...],
    interval_ps: float,
    diffusion: DiffusionSettings,
) -> dict[str, Any]:
    """What frames say of D (Å²/ps), its relative error, and the effective jumps behind it.

    positions_A (n_frames, n_atoms, 3), `interval_ps` apart. D and its error are None where the
    frames are too few to tell, the error also where it is without bound. Raises HalmdError where
    the mobile element or the framework is not there.
    """
    motion = motion_of(
        positions_A.astype(np.float64),
        cell_A,
        symbols,
        (np.arange(len(positions_A)) * interval_ps).astype(np.float64),
        mobile=diffusion.mobile,
        framework=diffusion.framework,
        fewest_frames=1,
    )
    found = {"D_A2_per_ps": None, "relative_error": None, "n_effective_jumps": 0.0}
    try:
        tracer = tracer_of(motion, diffusion)
    except HalmdError:
        # Too short for an estimate, or for its fit window.
        return found
    D, ions = float(tracer.D_A2_per_ps), motion.count(diffusion.mobile)
    jumps = effective_jumps(D, ions, motion.length_ps, diffusion.jump_length_A)
    known = math.isfinite(tracer.relative_error)
    error = float(tracer.relative_error) if known else None
    return {"D_A2_per_ps": D, "relative_error": error, "n_effective_jumps": jumps}


def look(
    positions_A: NDArray[np.floating[Any]],
    cell_A: NDArray[np.float64],
    symbols: tuple[str, ...],
    interval_ps: float,
    settings: DynamicsSettings,
    diffusion: DiffusionSettings,
) -> dict[str, Any]:
    """What `so_far` says of a run, and the length (ps) it should have: its own if it is enough."""
    found = so_far(positions_A, cell_A, symbols, interval_ps, diffusion)
    told = found["relative_error"] if found["n_effective_jumps"] >= diffusion.min_jumps else None
    length_ps = (len(positions_A) - 1) * interval_ps
    next_ps = next_length_ps(length_ps, told, settings)
    return {"length_ps": length_ps, **found, "next_ps": next_ps}


def next_length_ps(
    length_ps: float, relative_error: float | None, settings: DynamicsSettings
) -> float:
    """Length after a run of this length with this error of D, None where that is not known."""
    target = settings.target_relative_error
    if target is None or (relative_error is not None and relative_error <= target):
        return length_ps
    factor = 2.0
    if relative_error is not None:
        factor = min(_MOST, max(_LEAST, _MARGIN * (relative_error / target) ** 2))
    step_ps = settings.checkpoint_interval_ps
    wanted_ps = math.ceil(factor * length_ps / step_ps - 1e-9) * step_ps
    return max(length_ps, min(wanted_ps, settings.max_ps))
