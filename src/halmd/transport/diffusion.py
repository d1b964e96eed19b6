"""`halmd diffusion`: one trajectory to diffusivities, conductivity, diagnostics and a verdict."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.config import DiffusionSettings
from halmd.errors import HalmdError
from halmd.transport.conductivity import nernst_einstein_S_per_cm, to_cm2_per_s
from halmd.transport.displacements import mean_square_displacement_of_groups
from halmd.transport.motion import Motion
from halmd.transport.regression import (
    Estimate,
    Slopes,
    Window,
    block_lengths,
    estimate,
    slopes,
    window_of,
)
from halmd.transport.tensor import diffusion_tensor
from halmd.transport.window import fall_of_slope, regimes, window_start

Floats = NDArray[np.float64]

LEVELS = {"68": 0.6827, "95": 0.95}

_CURVE_POINTS = 120
_FEWEST_FRAMES = 40
_RESOLVED = 0.3
"""Largest relative error at which a charge diffusivity and a Haven ratio are quoted."""

_LARGEST_ERROR = 0.5
_FRAMEWORK_MOVES_A2 = 1.0
"""Growth of a framework element's MSD over the run, beyond its rattling, that is no solid's."""

_STILL_FALLING = 0.1
"""Fall of the slope, beyond two standard errors, at which motion is not diffusive yet."""

_SIGNIFICANT = 3.0
_SAMPLES = 20_000


def diffusion(
    motion: Motion,
    settings: DiffusionSettings,
    *,
    temperature_K: float,
    run_verdict: str = "ok",
) -> dict[str, Any]:
    """The content of transport.json: D, sigma, intervals, diagnostics and a verdict.

    `run_verdict` is that of the run; anything but "ok" is passed on, because a run that was stopped
    describes another material. Raises HalmdError when the fit window does not fit into the run.
    """
    curves = {
        symbol: mean_square_displacement_of_groups(motion.ions(symbol))
        for symbol in dict.fromkeys(motion.symbols)
    }
    base = _description(motion, settings, temperature_K)
    if motion.n_frames < _FEWEST_FRAMES:
        verdict = run_verdict if run_verdict != "ok" else "too_short"
        return base | {"verdict": verdict, "msd": _curve(motion, curves, None)}
    window = _window(motion, settings, curves[motion.mobile])
    found = slopes(motion.ions(motion.mobile), window)
    tracer = estimate(found, motion.interval_ps)
    charge = estimate(slopes([_collective(motion)], window), motion.interval_ps)
    framework = _framework(motion, window, curves)
    fall, fall_error = fall_of_slope(curves[motion.mobile], window.lags[0], 3 * base["n_ions"])
    # Ions are fewer walkers than they are many, as their variance over blocks showed.
    fall_error *= float(np.sqrt(tracer.together * tracer.beyond_walk))
    record = base | {
        **_diffusivity("D_tracer", tracer),
        **_conductivity("sigma_NE", tracer, base),
        "relative_error": _finite(tracer.relative_error),
        "n_effective_jumps": effective_jumps(
            tracer.D_A2_per_ps, base["n_ions"], motion.length_ps, settings.jump_length_A
        ),
        "fit_from_ps": window.lags[0] * motion.interval_ps,
        "fit_to_ps": window.lags[-1] * motion.interval_ps,
        "intercept_A2": float(window.intercept_weights @ curves[motion.mobile][list(window.lags)]),
        "tensor": diffusion_tensor(found, tracer, motion.interval_ps, motion.cell_A),
        **_charge(tracer, charge, base),
        "checks": {
            "moving_together": tracer.together,
            "beyond_random_walk": tracer.beyond_walk,
            "run_over_window": motion.length_ps / (window.lags[-1] * motion.interval_ps),
            "slope_falls_by": _finite(fall),
            "slope_falls_by_error": _finite(fall_error),
            **_blocks(found, tracer, motion.interval_ps),
            **_regimes(motion, curves[motion.mobile]),
            "framework": framework,
        },
        **_length_for(tracer, motion.length_ps, settings.target_relative_error),
        "D_by_window": _by_window(motion, curves[motion.mobile], tracer),
        "msd": _curve(motion, curves, tracer),
    }
    return record | {"verdict": _verdict(run_verdict, record, settings)}


def tracer_of(motion: Motion, settings: DiffusionSettings) -> Estimate:
    """The tracer diffusivity alone; raises HalmdError for a run too short for it."""
    if motion.n_frames < _FEWEST_FRAMES:
        raise HalmdError(
            f"{motion.n_frames} frames are too few for a diffusivity; {_FEWEST_FRAMES} are needed"
        )
    msd = mean_square_displacement_of_groups(motion.ions(motion.mobile))
    window = _window(motion, settings, msd)
    return estimate(slopes(motion.ions(motion.mobile), window), motion.interval_ps)


def effective_jumps(
    D_A2_per_ps: float, n_ions: int, length_ps: float, jump_length_A: float
) -> float:
    """Uncorrelated jumps that would give the observed diffusion: 6 D t N / a².

    He, Zhu, Epstein and Mo, npj Comput. Mater. 4, 18 (2018).
    """
    return max(0.0, 6 * D_A2_per_ps * length_ps * n_ions / jump_length_A**2)


def _description(
    motion: Motion, settings: DiffusionSettings, temperature_K: float
) -> dict[str, Any]:
    """What was analysed."""
    alone = set(motion.framework) == set(motion.symbols) and motion.mobile in motion.framework
    return {
        "temperature_K": temperature_K,
        "mobile": motion.mobile,
        "charge_e": settings.charge_e,
        "n_ions": motion.count(motion.mobile),
        "n_atoms": len(motion.symbols),
        "frame_of_reference": "centre of mass of all atoms"
        if alone
        else f"centre of mass of {', '.join(motion.framework)}",
        "volume_A3": motion.volume_A3,
        "volume_relative_spread": motion.volume_spread,
        "length_ps": motion.length_ps,
        "frame_interval_ps": motion.interval_ps,
        "settings": settings.model_dump(),
    }


def _window(motion: Motion, settings: DiffusionSettings, msd_A2: Floats) -> Window:
    """The window that the settings ask for, or the one that the data do."""
    n_frames, interval_ps = motion.n_frames, motion.interval_ps
    if settings.fit_from_ps:
        first = max(1, round(settings.fit_from_ps / interval_ps))
    else:
        n_ions = motion.count(motion.mobile)
        first = window_start(msd_A2, interval_ps, n_ions, 3, settings.jump_length_A)
        if settings.fit_to_ps:
            first = min(first, max(1, round(settings.fit_to_ps / interval_ps / 2)))
    last = round(settings.fit_to_ps / interval_ps) if settings.fit_to_ps else 2 * first
    if last <= first:
        raise HalmdError(
            f"fit_from_ps={settings.fit_from_ps} and fit_to_ps={settings.fit_to_ps} hold no two "
            f"lags of frames {interval_ps:g} ps apart"
        )
    if last > (n_frames - 1) / 3:
        raise HalmdError(
            f"the fit would end at {last * interval_ps:g} ps, beyond a third of the run of "
            f"{motion.length_ps:g} ps; set fit_from_ps or fit_to_ps lower, or run longer"
        )
    return window_of(first, last, n_frames)


def _collective(motion: Motion) -> Floats:
    """Sum of all mobile ions' positions over sqrt(N), shape (1, n_frames, 3): it moves like one
    ion, N D_charge being the diffusivity of the sum."""
    total = sum(group.sum(axis=0) for group in motion.ions(motion.mobile))
    collective: Floats = np.asarray(total)[None] / np.sqrt(motion.count(motion.mobile))
    return np.ascontiguousarray(collective.transpose(0, 2, 1)).transpose(0, 2, 1)


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


def _conductivity(name: str, found: Estimate, base: dict[str, Any]) -> dict[str, Any]:
    """Conductivity of a diffusivity with its intervals, in S/cm."""

    def sigma(D_A2_per_ps: float) -> float:
        return nernst_einstein_S_per_cm(
            to_cm2_per_s(D_A2_per_ps),
            base["n_ions"],
            base["volume_A3"],
            base["temperature_K"],
            base["charge_e"],
        )

    result: dict[str, Any] = {f"{name}_S_per_cm": sigma(max(found.D_A2_per_ps, 0.0))}
    for label, level in LEVELS.items():
        result[f"{name}_interval{label}_S_per_cm"] = [
            sigma(end) for end in found.interval_A2_per_ps(level)
        ]
    return result


def _charge(tracer: Estimate, charge: Estimate, base: dict[str, Any]) -> dict[str, Any]:
    """Charge diffusivity, its conductivity and the Haven ratio D / D_charge where both are
    resolved, else None; the relative error says how far from that they are."""
    record: dict[str, Any] = {"D_charge_relative_error": _finite(charge.relative_error)}
    if max(tracer.relative_error, charge.relative_error) > _RESOLVED:
        return record | {"D_charge_cm2_per_s": None, "sigma_S_per_cm": None, "haven_ratio": None}
    draw = np.random.default_rng(0).random((2, _SAMPLES))
    ratio = tracer.quantile_A2_per_ps(draw[0]) / charge.quantile_A2_per_ps(draw[1])
    record |= {
        **_diffusivity("D_charge", charge),
        **_conductivity("sigma", charge, base),
        "haven_ratio": tracer.D_A2_per_ps / charge.D_A2_per_ps,
    }
    for label, level in LEVELS.items():
        ends = np.quantile(ratio, [(1 - level) / 2, (1 + level) / 2])
        record[f"haven_ratio_interval{label}"] = ends.tolist()
    return record


def _framework(motion: Motion, window: Window, curves: dict[str, Floats]) -> dict[str, Any]:
    """For each other element: how far it rattles, and whether it goes away.

    Slow rattling has a slope over the window of the fit, too: what is too much over the whole run
    must be seen, in proportion, at half of it.
    """
    result = {}
    first, half = window.lags[0], motion.n_frames // 2
    for symbol in dict.fromkeys(motion.symbols):
        if symbol == motion.mobile:
            continue
        found = estimate(slopes(motion.ions(symbol), window, directions=False), motion.interval_ps)
        grown_A2 = 6 * found.D_A2_per_ps * motion.length_ps
        seen_A2 = float(curves[symbol][half] - curves[symbol][first])
        resolved = found.D_A2_per_ps > _SIGNIFICANT * found.standard_error_A2_per_ps
        goes_on = seen_A2 > _FRAMEWORK_MOVES_A2 * (half - first) / motion.n_frames
        result[symbol] = {
            "msd_A2": float(curves[symbol][first]),
            "msd_grows_over_run_by_A2": grown_A2,
            "msd_grows_over_run_by_error_A2": 6 * found.standard_error_A2_per_ps * motion.length_ps,
            "msd_grew_by_half_run_A2": seen_A2,
            "diffuses": bool(resolved and goes_on and grown_A2 > _FRAMEWORK_MOVES_A2),
        }
    return result


def _blocks(found: Slopes, tracer: Estimate, interval_ps: float) -> dict[str, Any]:
    """D from separate blocks: an independent check of its error, and of its drift along the run."""
    starts, blocks = found.separate_blocks()
    means = blocks.mean(axis=1) / (6 * interval_ps)
    count = len(means)
    error = float(means.std(ddof=1) / np.sqrt(count))
    half = count // 2
    drift = float(means[-half:].mean() - means[:half].mean())
    size = 2 * tracer.standard_error_A2_per_ps
    return {
        "D_of_blocks_cm2_per_s": to_cm2_per_s(float(means.mean())),
        "D_of_blocks_error_cm2_per_s": to_cm2_per_s(error),
        "blocks": {
            "start_ps": (starts * interval_ps).tolist(),
            "length_ps": block_lengths(found.window)[0] * interval_ps,
            "D_cm2_per_s": [to_cm2_per_s(float(mean)) for mean in means],
        },
        "halves_differ_standard_errors": drift / size if size else None,
    }


def _regimes(motion: Motion, msd_A2: Floats) -> dict[str, Any]:
    lags = _curve_lags(motion.n_frames)
    lags = lags[lags <= motion.n_frames // 5]
    found = regimes(np.asarray(lags * motion.interval_ps, dtype=float), msd_A2[lags])
    return {
        "ballistic_to_ps": found.ballistic_to_ps,
        "subdiffusive_to_ps": found.subdiffusive_to_ps,
        "motion": found.kind,
    }


def _by_window(motion: Motion, msd_A2: Floats, tracer: Estimate) -> dict[str, Any]:
    """D if the fit started earlier or later: level where motion is diffusive.

    Errors are those of random walkers, fewer than ions by what the run showed.
    """
    n_walks = 3 * motion.count(motion.mobile) / (tracer.together * tracer.beyond_walk or 1.0)
    lags = np.unique(np.geomspace(1, max(1, motion.n_frames // 8), 40).astype(int))
    windows = [window_of(int(lag), 2 * int(lag), motion.n_frames) for lag in lags]
    D = [float(w.weights @ msd_A2[list(w.lags)]) / (6 * motion.interval_ps) for w in windows]
    errors = [
        abs(value) * float(np.sqrt(w.variance / n_walks))
        for value, w in zip(D, windows, strict=True)
    ]
    return {
        "from_ps": (lags * motion.interval_ps).tolist(),
        "D_cm2_per_s": [to_cm2_per_s(value) for value in D],
        "D_error_cm2_per_s": [to_cm2_per_s(error) for error in errors],
    }


def _length_for(tracer: Estimate, length_ps: float, target: float) -> dict[str, Any]:
    """Length of run at which the relative error would be the wanted one: it falls as 1/sqrt(t)."""
    if tracer.D_A2_per_ps <= 0:
        return {"length_for_target_ps": None}
    return {"length_for_target_ps": length_ps * (tracer.relative_error / target) ** 2}


def _verdict(run_verdict: str, record: dict[str, Any], settings: DiffusionSettings) -> str:
    if run_verdict != "ok":
        return run_verdict
    checks = record["checks"]
    if any(element["diffuses"] for element in checks["framework"].values()):
        return "framework_unstable"
    error = record["relative_error"]
    if record["n_effective_jumps"] < settings.min_jumps or error is None or error > _LARGEST_ERROR:
        return "too_few_jumps"
    fall, fall_error = checks["slope_falls_by"], checks["slope_falls_by_error"]
    if fall is not None and fall - 2 * fall_error > _STILL_FALLING:
        return "not_yet_diffusive"
    return "converged"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _curve_lags(n_frames: int) -> NDArray[np.int64]:
    """About a hundred lags, evenly spaced in their logarithm, up to two thirds of the run."""
    lags = np.unique(np.geomspace(1, max(2, (n_frames - 1) * 2 // 3), _CURVE_POINTS).astype(int))
    return lags[lags < n_frames]


def _curve(motion: Motion, curves: dict[str, Floats], tracer: Estimate | None) -> dict[str, Any]:
    """MSDs of all elements for plots: time (ps), MSD (Å²), standard error of the mobile one's."""
    lags = _curve_lags(motion.n_frames)
    mobile = curves[motion.mobile][lags]
    independent = 3 * motion.count(motion.mobile) * (motion.n_frames - 1) / lags
    factor = tracer.together * tracer.beyond_walk if tracer else 1.0
    return {
        "time_ps": (lags * motion.interval_ps).tolist(),
        "msd_A2": mobile.tolist(),
        "error_A2": (mobile * np.sqrt(2 * factor / independent)).tolist(),
        "others_A2": {
            symbol: msd[lags].tolist() for symbol, msd in curves.items() if symbol != motion.mobile
        },
    }
