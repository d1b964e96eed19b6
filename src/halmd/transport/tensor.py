"""The diffusion tensor: principal axes, lattice directions, and whether it is isotropic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from halmd.transport.conductivity import to_cm2_per_s
from halmd.transport.regression import Estimate, Slopes

Floats = NDArray[np.float64]


def diffusion_tensor(
    found: Slopes, tracer: Estimate, interval_ps: float, cell_A: Floats
) -> dict[str, Any]:
    """Tensor D_ab = slope of <Δa Δb> / 2 in cm²/s, JSON-able.

    Standard errors along a direction n are those of n D n over the blocks of the run, scaled to the
    run as the trace is. `isotropic_p` is the probability of components as unequal as these if
    diffusion were isotropic: five deviatoric components against the error of independent walks,
    widened as that of the trace is (F test).
    """
    tensor = found.tensor / (2 * interval_ps)
    blocks = found.tensor_blocks / (2 * interval_ps)
    values, axes = np.linalg.eigh(tensor)
    order = np.argsort(values)[::-1]
    values, axes = values[order], axes[:, order].T
    lattice = cell_A / np.linalg.norm(cell_A, axis=1)[:, None]
    trace = np.trace(blocks, axis1=1, axis2=2) / 3
    scatter = float(trace.std())
    scale = tracer.standard_error_A2_per_ps / scatter if scatter else 0.0

    def along(direction: Floats) -> tuple[float, float]:
        component = np.einsum("a,kab,b->k", direction, blocks, direction)
        return float(direction @ tensor @ direction), float(component.std()) * scale

    def described(direction: Floats) -> dict[str, Any]:
        value, error = along(direction)
        return {
            "direction": direction.tolist(),
            "D_cm2_per_s": to_cm2_per_s(value),
            "D_error_cm2_per_s": to_cm2_per_s(error),
        }

    return {
        "D_cm2_per_s": (to_cm2_per_s(1.0) * tensor).tolist(),
        "principal": [described(axis) for axis in axes],
        "lattice": {name: described(axis) for name, axis in zip("abc", lattice, strict=True)},
        "degrees_of_freedom": tracer.degrees_of_freedom,
        "isotropic_p": isotropic_p(tensor, found, tracer),
    }


def isotropic_p(tensor: Floats, found: Slopes, tracer: Estimate) -> float | None:
    """Probability of a tensor as unequal as this one if diffusion were isotropic."""
    mean = float(np.trace(tensor)) / 3
    if mean <= 0:
        return None
    deviator = tensor - mean * np.eye(3)
    # Components of independent Gaussian walks: var D_aa = 2 var D_ab = 2 s.
    widened = tracer.together * tracer.beyond_walk
    s = mean**2 * found.window.variance / 2 / len(found.whole) * widened
    if not s > 0:
        return None
    # Sum of five squares of unit variance: |deviator|² / (2 s).
    return float(scipy.stats.f.sf((deviator**2).sum() / (2 * s) / 5, 5, tracer.degrees_of_freedom))


def mean_of_runs(
    D: Sequence[float], errors: Sequence[float], degrees_of_freedom: Sequence[float]
) -> tuple[float, float, float]:
    """Mean of D along one direction over runs of equal weight, and the ends of its 95 % interval.

    The standard error is that of the runs' own, or that of their scatter where it is larger: few
    orderings say little of how far all of them differ. Same unit as `D`.
    """
    values, own = np.asarray(D), np.asarray(errors)
    n, mean = len(values), float(values.mean())
    error = float(np.sqrt((own**2).sum())) / n
    if n > 1:
        error = max(error, float(values.std(ddof=1) / np.sqrt(n)))
    half = float(scipy.stats.t.ppf(0.975, sum(degrees_of_freedom))) * error
    return mean, mean - half, mean + half
