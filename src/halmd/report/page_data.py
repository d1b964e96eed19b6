"""What the report page knows of every material: numbers with units and intervals, and their origin.

Pure functions from results to a JSON-able record; what is in `page/` draws it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from halmd.reference import Published, computed, measured
from halmd.report.cards import coverage, key_of
from halmd.report.results import MaterialResults, beyond_training, extrapolates
from halmd.report.table import structure_lines, summary
from halmd.transport.regression import Estimate

_MOST_LAGS = 60
_FILES = (
    *("transport.json", "run.json", "npt.json", "trajectory.h5", "transport.png"),
    *("jumps.json", "jumps.png", "density.vasp", "density.png", "extrapolating.extxyz"),
)
_DIGITS = 5
_SHARES = (0.005, 0.025, *np.linspace(0.05, 0.95, 19).round(2).tolist(), 0.975, 0.995)
"""Shares of the posterior of D at which the page knows its quantiles."""


def page_data(
    results: Sequence[MaterialResults],
    orderings: Sequence[Sequence[Atoms]],
    ions: Sequence[Sequence[dict[str, Any]]],
    folders: Sequence[str],
    *,
    potentials: dict[str, dict[str, Any]],
    version: str,
    methods: str,
    references: Sequence[str],
) -> dict[str, Any]:
    """The whole page.

    `ions` is what `ions.read_ions` found of each material, `potentials` what `cards.potentials_of`
    did of all; folders are those of the materials, as links from the page.
    """
    entries = [
        _material(material, cells, folder, potentials) | {"ions": list(seen)}
        for material, cells, seen, folder in zip(results, orderings, ions, folders, strict=True)
    ]
    record: dict[str, Any] = {"version": version, "methods": methods}
    record |= {"references": list(references), "potentials": potentials, "shares": list(_SHARES)}
    found: dict[str, Any] = _rounded(record | {"materials": entries})
    return found


def _material(
    results: MaterialResults,
    cells: Sequence[Atoms],
    folder: str,
    potentials: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    record = results.arrhenius
    known = [m for m in measured(results.formula, results.family) if not m.suspect]
    entry: dict[str, Any] = {
        "name": results.name,
        "formula": results.formula,
        "folder": folder,
        "prototype": results.structure["prototype"],
        "confidence": results.structure["confidence"],
        "structure": structure_lines(results),
        "lines": [part for part in summary(results) if isinstance(part, str)],
        "verdict": record["verdict"],
        "pooled": [_pooled(p) for p in record["pooled"]],
        "runs": [_run(results, run) for run in results.runs],
        "measured": [_published(m) for m in measured(results.formula, results.family)],
        "computed": [_published(c) for c in computed(results.formula)],
        "orderings": [_cell(atoms) for atoms in cells],
        "potentials": {
            key: coverage(results, potentials[key]["card"])
            for key in dict.fromkeys(map(key_of, results.runs))
            if key is not None
        },
        "haven": _haven(results),
        "sigma": None,
        "Ea": None,
        "band": None,
        "factor": None,
    }
    if record["verdict"] != "ok":
        return entry
    there = record["extrapolation"]
    low, high = record["Ea_interval95_eV"]
    entry["Ea"] = {"value": record["Ea_eV"], "low": low, "high": high}
    low, high = there["sigma_NE_interval95_S_per_cm"]
    entry["sigma"] = {
        "value": there["sigma_NE_S_per_cm"],
        "low": low,
        "high": high,
        "temperature_K": there["temperature_K"],
        "extrapolated": bool(there["is_extrapolation"]),
        "distance": there["distance_1000_per_K"],
    }
    entry["band"] = _band(record["band"])
    entry["factor"] = _factor(there, known)
    return entry


def _band(record: dict[str, Any]) -> dict[str, Any]:
    """log10 of sigma T / (S K/cm) against 1000/T: the fit and its 95 % interval."""
    low, high = (np.array(end) / math.log(10) for end in record["with_unseen_change95"])
    return {
        "per_1000_K": record["per_1000_K"],
        "middle": (np.array(record["ln_sigma_T_S_K_per_cm"]) / math.log(10)).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def _factor(there: dict[str, Any], known: Sequence[Published]) -> dict[str, float] | None:
    """Computed over measured conductivity: the geometric mean of what was measured within 10 K.

    Its interval is that of the computed conductivity alone.
    """
    near = [m.sigma_S_per_cm for m in known if abs(m.temperature_K - there["temperature_K"]) <= 10]
    if not near:
        return None
    mean = math.exp(np.mean(np.log(near)))
    low, high = there["sigma_NE_interval95_S_per_cm"]
    return {"value": there["sigma_NE_S_per_cm"] / mean, "low": low / mean, "high": high / mean}


def _haven(results: MaterialResults) -> dict[str, Any] | None:
    """Of the run that knows it best."""
    resolved = [run for run in results.runs if run.get("haven_ratio")]
    if not resolved:
        return None
    best = min(resolved, key=lambda run: run["D_charge_relative_error"])
    low, high = best.get("haven_ratio_interval95", (None, None))
    return {
        "value": best["haven_ratio"],
        "low": low,
        "high": high,
        "temperature_K": best["temperature_K"],
    }


def _pooled(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "T": record["temperature_K"],
        "sigma": record["sigma_NE_S_per_cm"],
        "low": record["sigma_NE_interval95_S_per_cm"][0],
        "high": record["sigma_NE_interval95_S_per_cm"][1],
        "runs": record["runs"],
        "jumps": record["n_effective_jumps"],
    }


def _run(results: MaterialResults, run: dict[str, Any]) -> dict[str, Any]:
    made, npt = run["run"], run["npt"]
    rules = {
        (x["ordering"], x["temperature_K"], x["replica"]): x["rule"]
        for x in results.arrhenius["excluded"]
    }
    time_ps, msd_A2 = np.array(run["msd"]["time_ps"]), np.array(run["msd"]["msd_A2"])
    kept = np.unique(np.linspace(0, len(time_ps) - 1, min(_MOST_LAGS, len(time_ps))).astype(int))
    # A run too short for a diffusivity has none.
    low, high = run.get("D_tracer_interval95_cm2_per_s", (None, None))
    sigma_low, sigma_high = run.get("sigma_NE_interval95_S_per_cm", (None, None))
    replica = run["replica"]
    return {
        "ordering": run["ordering"],
        "T": run["temperature_K"],
        "replica": replica,
        "path": f"{run['ordering']}/{run['temperature_K']:g}K/r{replica}",
        "files": [name for name in _FILES if name in run["files"]],
        "verdict": run["verdict"],
        "left_out": rules.get((run["ordering"], run["temperature_K"], replica)),
        "D": run.get("D_tracer_cm2_per_s"),
        "D_low": low,
        "D_high": high,
        "posterior": _posterior(run),
        "sigma": run.get("sigma_NE_S_per_cm"),
        "sigma_low": sigma_low,
        "sigma_high": sigma_high,
        "mobile": run.get("mobile", "Li"),
        "length_ps": run["length_ps"],
        "jumps": run.get("n_effective_jumps"),
        "volume_A3": run["volume_A3"],
        "volume_error_A3": npt.get("volume_error_A3"),
        "msd": [time_ps[kept].tolist(), msd_A2[kept].tolist()],
        "window": [run.get("fit_from_ps"), run.get("fit_to_ps")],
        "framework_A2": made.get("framework", {}).get("plateau_A2"),
        "mean_K": made.get("mean_temperature_K"),
        "extrapolating": extrapolates(run),
        "beyond": beyond_training(run),
        "uncertainty": _uncertainty(made.get("uncertainty")),
        "checks": _checks(run.get("checks")),
        "potential": key_of(run),
        "engine": made.get("engine"),
        "device": made.get("device"),
        "host": made.get("host"),
        "seed": made.get("seed"),
        "ns_per_day": made.get("ns_per_day"),
    }


def _posterior(run: dict[str, Any]) -> list[float] | None:
    """Quantiles of D (cm²/s) at _SHARES; None where nothing was seen to diffuse."""
    D, error = run.get("D_tracer_cm2_per_s"), run.get("D_tracer_error_cm2_per_s")
    if not D or not error:
        return None
    # In units of D itself: the estimate knows no other.
    estimate = Estimate(1.0, error / D, run["D_tracer_degrees_of_freedom"], 1.0, 1.0)
    quantiles: list[float] = (D * estimate.quantile_A2_per_ps(np.array(_SHARES))).tolist()
    return quantiles


def _uncertainty(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the committee said of a run."""
    if not found:
        return None
    keys = ("looks", "members", "rms_eV_per_A", "max_eV_per_A", "threshold_eV_per_A")
    return {k: found.get(k) for k in (*keys, "share_above_threshold", "share_allowed")}


def _checks(checks: dict[str, Any] | None) -> dict[str, Any] | None:
    """Signs of a run that is too short, not diffusive yet, or no longer a solid."""
    if not checks:
        return None
    keys = ("motion", "run_over_window", "slope_falls_by", "slope_falls_by_error")
    more = ("halves_differ_standard_errors", "moving_together", "beyond_random_walk")
    framework = {
        symbol: [
            each["msd_grows_over_run_by_A2"],
            each["msd_grows_over_run_by_error_A2"],
            each["diffuses"],
        ]
        for symbol, each in checks.get("framework", {}).items()
    }
    return {k: checks.get(k) for k in (*keys, *more)} | {"framework": framework}


def _published(value: Published) -> dict[str, Any]:
    return {
        "T": value.temperature_K,
        "sigma": value.sigma_S_per_cm,
        "Ea": value.Ea_eV,
        "method": value.method,
        "citation": value.citation,
        "suspect": value.suspect,
        "extrapolated": value.extrapolated,
    }


def _cell(atoms: Atoms) -> dict[str, Any]:
    wrapped = atoms.copy()
    wrapped.wrap()
    return {
        "cell": np.array(atoms.cell).round(3).tolist(),
        "symbols": atoms.get_chemical_symbols(),
        "positions": wrapped.positions.round(2).tolist(),
    }


def _rounded(value: Any) -> Any:
    """Numbers to a few digits, as a person reads them; None for what is no number."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
