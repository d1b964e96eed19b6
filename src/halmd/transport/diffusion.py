"""`halmd diffusion`: one trajectory to tracer diffusivity, conductivity and a verdict."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.config import DiffusionSettings
from halmd.errors import HalmdError
from halmd.trajectory import Trajectory
from halmd.transport.conductivity import nernst_einstein_S_per_cm, to_cm2_per_s
from halmd.transport.displacements import mean_square_displacement, relative_positions
from halmd.transport.regression import Estimate, estimate

Floats = NDArray[np.float64]

LEVELS = {"68": 0.6827, "95": 0.9545}
_CURVE_POINTS = 120
_RESOLVED = 0.3
_FEWEST_FRAMES = 40


def diffusion(
    trajectory: Trajectory,
    settings: DiffusionSettings,
    *,
    temperature_K: float,
    run_verdict: str = "ok",
) -> dict[str, Any]:
    """The content of transport.json: D, sigma, intervals, diagnostics and a verdict.

    `run_verdict` is that of the run; anything but "ok" is passed on, because a run that was stopped
    describes another material. Raises HalmdError when there is no mobile ion or too few frames.
    """
    mobile = np.array(trajectory.symbols) == settings.mobile
    if not mobile.any():
        found = ", ".join(sorted(set(trajectory.symbols)))
        raise HalmdError(
            f"no {settings.mobile} in the trajectory (it has {found}); set diffusion.mobile"
        )
    n_frames = len(trajectory.time_ps)
    positions = relative_positions(trajectory.positions_A, trajectory.masses_amu, mobile)
    interval_ps = float(np.diff(trajectory.time_ps).mean()) if n_frames > 1 else 0.0
    length_ps = float(trajectory.time_ps[-1] - trajectory.time_ps[0])
    base: dict[str, Any] = {
        "temperature_K": temperature_K,
        "mobile": settings.mobile,
        "charge_e": settings.charge_e,
        "n_ions": int(mobile.sum()),
        "frame_of_reference": "centre of mass of all other atoms"
        if (~mobile).any()
        else "centre of mass of all atoms",
        "volume_A3": trajectory.volume_A3,
        "length_ps": length_ps,
        "settings": settings.model_dump(),
    }
    if n_frames < _FEWEST_FRAMES:
        verdict = run_verdict if run_verdict != "ok" else "too_short"
        return base | {"verdict": verdict, "msd": _curve(positions, interval_ps, None)}
    tracer = estimate(
        positions,
        interval_ps,
        jump_length_A=settings.jump_length_A,
        fit_from_ps=settings.fit_from_ps,
        fit_to_ps=settings.fit_to_ps,
    )
    # The sum of all displacements moves like one ion with sqrt(N) larger steps.
    collective = positions.sum(axis=1, keepdims=True) / np.sqrt(mobile.sum())
    charge = estimate(
        collective,
        interval_ps,
        fit_from_ps=tracer.fit_from_ps,
        fit_to_ps=settings.fit_to_ps,
    )
    n_jumps = effective_jumps(tracer, base["n_ions"], length_ps, settings.jump_length_A)
    record = base | {
        **_diffusivity("D_tracer", tracer),
        **_conductivity("sigma_NE", tracer, trajectory.volume_A3, temperature_K, base),
        "relative_error": _relative_error(tracer),
        "n_effective_jumps": n_jumps,
        "fit_from_ps": tracer.fit_from_ps,
        "fit_to_ps": tracer.fit_to_ps,
        "intercept_A2": tracer.intercept_A2,
        "loglog_slope": tracer.loglog_slope,
        "correlation_factor": tracer.correlation_factor,
        "halves_differ_standard_errors": _halves(positions, interval_ps, tracer),
        "msd": _curve(positions, interval_ps, tracer),
    }
    record |= _haven(tracer, charge, trajectory.volume_A3, temperature_K, base)
    record["verdict"] = _verdict(run_verdict, tracer, n_jumps, settings)
    return record


def effective_jumps(tracer: Estimate, n_ions: int, length_ps: float, jump_length_A: float) -> float:
    """Uncorrelated jumps that would give the observed diffusion: 6 D t N / a².

    He, Zhu, Epstein and Mo, npj Comput. Mater. 4, 18 (2018).
    """
    return max(0.0, 6 * tracer.D_A2_per_ps * length_ps * n_ions / jump_length_A**2)


def _diffusivity(name: str, found: Estimate) -> dict[str, Any]:
    """Value, standard error, freedom of the error and intervals, in cm²/s."""
    result: dict[str, Any] = {
        f"{name}_cm2_per_s": to_cm2_per_s(max(found.D_A2_per_ps, 0.0)),
        f"{name}_error_cm2_per_s": to_cm2_per_s(found.standard_error_A2_per_ps),
        f"{name}_degrees_of_freedom": found.degrees_of_freedom,
    }
    for label, level in LEVELS.items():
        low, high = found.interval_A2_per_ps(level)
        result[f"{name}_interval{label}_cm2_per_s"] = [to_cm2_per_s(low), to_cm2_per_s(high)]
    return result


def _conductivity(
    name: str, found: Estimate, volume_A3: float, temperature_K: float, base: dict[str, Any]
) -> dict[str, Any]:
    """Conductivity of a diffusivity with its intervals, in S/cm."""

    def sigma(D_A2_per_ps: float) -> float:
        return nernst_einstein_S_per_cm(
            to_cm2_per_s(D_A2_per_ps), base["n_ions"], volume_A3, temperature_K, base["charge_e"]
        )

    result: dict[str, Any] = {f"{name}_S_per_cm": sigma(max(found.D_A2_per_ps, 0.0))}
    for label, level in LEVELS.items():
        result[f"{name}_interval{label}_S_per_cm"] = [
            sigma(end) for end in found.interval_A2_per_ps(level)
        ]
    return result


def _haven(
    tracer: Estimate,
    charge: Estimate,
    volume_A3: float,
    temperature_K: float,
    base: dict[str, Any],
) -> dict[str, Any]:
    """Charge diffusivity and Haven ratio, where both diffusivities are resolved; else None.

    The interval of the ratio adds the relative errors in quadrature.
    """
    errors = [_relative_error(found) for found in (tracer, charge)]
    if any(error is None or error > _RESOLVED for error in errors):
        return {"D_charge_cm2_per_s": None, "sigma_S_per_cm": None, "haven_ratio": None}
    ratio = tracer.D_A2_per_ps / charge.D_A2_per_ps
    spread = float(np.linalg.norm([error or 0.0 for error in errors]))
    return {
        **_diffusivity("D_charge", charge),
        **_conductivity("sigma", charge, volume_A3, temperature_K, base),
        "haven_ratio": ratio,
        "haven_ratio_interval68": [ratio * np.exp(-spread), ratio * np.exp(spread)],
        "haven_ratio_interval95": [ratio * np.exp(-2 * spread), ratio * np.exp(2 * spread)],
    }


def _relative_error(found: Estimate) -> float | None:
    if found.D_A2_per_ps <= 0:
        return None
    return found.standard_error_A2_per_ps / found.D_A2_per_ps


def _halves(positions: Floats, interval_ps: float, whole: Estimate) -> float | None:
    """Difference of D between the halves of the run, in its standard errors."""
    half = len(positions) // 2
    if half < _FEWEST_FRAMES:
        return None
    window = {"fit_from_ps": min(whole.fit_from_ps, half * interval_ps / 8)}
    first, second = (
        estimate(part, interval_ps, **window) for part in (positions[:half], positions[half:])
    )
    error = np.hypot(first.standard_error_A2_per_ps, second.standard_error_A2_per_ps)
    return float((second.D_A2_per_ps - first.D_A2_per_ps) / error) if error else None


def _verdict(
    run_verdict: str, tracer: Estimate, n_jumps: float, settings: DiffusionSettings
) -> str:
    if run_verdict != "ok":
        return run_verdict
    error = _relative_error(tracer)
    if n_jumps < settings.min_jumps or error is None or error > 0.5:
        return "too_few_jumps"
    return "converged"


def _curve(positions: Floats, interval_ps: float, tracer: Estimate | None) -> dict[str, Any]:
    """The MSD at about a hundred lags, for plots: time (ps), MSD (Å²) and its standard error."""
    msd = mean_square_displacement(positions)
    last = max(2, (len(msd) - 1) * 2 // 3)
    lags = np.unique(np.geomspace(1, last, _CURVE_POINTS).astype(int))
    lags = lags[lags < len(msd)]
    d = positions.shape[2]
    independent = positions.shape[1] * (len(msd) - 1) / lags
    factor = tracer.correlation_factor if tracer else 1.0
    return {
        "time_ps": (lags * interval_ps).tolist(),
        "msd_A2": msd[lags].tolist(),
        "error_A2": (msd[lags] * np.sqrt(2 * factor / (d * independent))).tolist(),
    }


def label_of(path: Path) -> dict[str, Any]:
    """Material, ordering and replica from results/<material>/<NN>/<T>K/r<R>/..., where they fit."""
    parts = path.resolve().parts
    if len(parts) >= 5 and parts[-3].endswith("K") and parts[-2].startswith("r"):
        return {"material": parts[-5], "ordering": parts[-4], "replica": parts[-2][1:]}
    return {"material": path.stem, "ordering": "00", "replica": "0"}
