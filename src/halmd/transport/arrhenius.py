"""`halmd arrhenius`: diffusivities at several temperatures to Ea and conductivities elsewhere.

Curves are fitted to ln(sigma T), and apart from it to ln D (`lines`), with unknown spread between
orderings and unknown scatter (`evidence`), and averaged by their posterior weights (`averaging`).
Beyond the data, intervals allow for a change of regime that the data cannot show; numbers without
that allowance stand beside.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from halmd.config import ArrheniusSettings
from halmd.transport.averaging import Fit, Model, counts_of, fit, points_of
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.diffusion import LEVELS
from halmd.transport.evidence import Counts, Floats, Points, Spread, bic, sample
from halmd.transport.lines import (
    CHANGE_SD_EV,
    EA_MEAN_EV,
    EA_SD_EV,
    FEWEST_TEMPERATURES,
    candidates,
    levels,
)
from halmd.transport.usable import Run, one_event_each, sort_out
from halmd.units import BOLTZMANN_EV_PER_K

_TABLE_ROWS = 256
_BAND_POINTS = 60
_UNITS = ("_S_per_cm", "_cm2_per_s", "_S_K_per_cm", "_eV", "_K", "_ln")


def arrhenius(runs: list[Run], settings: ArrheniusSettings, *, seed: int = 0) -> dict[str, Any]:
    """The content of arrhenius.json from the transport records of one material.

    Each run carries `ordering`, `replica` and what `diffusion` writes. Runs whose verdict is not
    "converged" are left out and listed with the rule; of those with too few jumps the jumps are
    counted (`evidence`), and `n_events` says how many independent ones there were. Means at single
    temperatures are always given; without enough temperatures there is no fit, and the verdict says
    so. Raises HalmdError for input that is damaged or mixed.
    """
    usable, excluded = sort_out(runs)
    few = one_event_each(runs, usable)
    temperatures = sorted({float(run["temperature_K"]) for run in usable})
    rng = np.random.default_rng(seed)
    spread = Spread(settings.between_orderings_prior_ln, settings.scatter_prior_ln)
    record: dict[str, Any] = {
        "verdict": "ok",
        "orderings": sorted({run["ordering"] for run in usable}),
        "temperatures_K": temperatures,
        "excluded": [_with_events(run, few) for run in excluded],
        "settings": settings.model_dump(),
        "pooled": _pooled(usable, few, spread, settings.n_samples, rng) if usable else [],
        "notes": [],
    }
    if not usable:
        return record | {"verdict": "no_usable_runs"}
    names = candidates(settings.curve, len(temperatures))
    if not names:
        needed = FEWEST_TEMPERATURES["line" if settings.curve == "auto" else settings.curve]
        return record | {"verdict": "too_few_temperatures", "temperatures_needed": needed}
    points, counts = _both(usable, few, sigma_T_S_K_per_cm)
    points_D, counts_D = _both(usable, few, _D_cm2_per_s)
    sigma = fit(points, counts, settings, rng)
    D = fit(points_D, counts_D, settings, rng)
    chord, chord_D = sigma.chord(), D.chord()
    several = len(record["orderings"]) > 1
    targets = sorted({settings.extrapolate_to_K, *settings.at_temperatures_K})
    record |= {
        **summary("Ea_eV", chord[0]),
        **summary("Ea_D_eV", chord_D[0]),
        **summary("ln_A_S_K_per_cm", chord[1]),
        **summary("ln_D0_cm2_per_s", chord_D[1]),
        "Ea_is": "slope between the coldest and the hottest used temperature, averaged over models",
        "correlation_Ea_ln_A": float(np.corrcoef(*chord)[0, 1]),
        "between_orderings": "estimated" if several else "unknown: one ordering; its prior is used",
        "between_orderings_ln": None,
        **(summary("between_orderings_ln", sigma.tau) if several else {}),
        **summary("scatter_ln", sigma.omega),
        "chi2_per_degree": _chi2(points, sigma),
        "models": [_model_record(m, points, spread) for m in sigma.models],
        "models_D": [_model_record(m, points_D, spread, "ln_D0_cm2_per_s") for m in D.models],
        "regimes": _regimes(sigma),
        "samples": _table(sigma, rng),
        "extrapolation": _prediction(settings.extrapolate_to_K, sigma, D, temperatures),
        "at_temperatures": [_prediction(T, sigma, D, temperatures) for T in targets],
        "band": _band(sigma, min(targets[0], temperatures[0]), max(targets[-1], temperatures[-1])),
        "priors": {
            "Ea_mean_eV": EA_MEAN_EV,
            "Ea_sd_eV": EA_SD_EV,
            "Ea_change_sd_eV": CHANGE_SD_EV,
            "models": "prior_weight of each: no change, or one, where the break may lie",
        },
    }
    record["notes"] = _notes(record, settings)
    return record


def sigma_T_S_K_per_cm(run: Run) -> float:
    """What is linear in the Arrhenius plot: conductivity times temperature."""
    return float(run["sigma_NE_S_per_cm"] * run["temperature_K"])


def _D_cm2_per_s(run: Run) -> float:
    return float(run["D_tracer_cm2_per_s"])


def _both(
    usable: list[Run], few: list[Run], quantity: Callable[[Run], float]
) -> tuple[Points, Counts]:
    """Runs with a value, and runs of which jumps are counted."""
    names = sorted({run["ordering"] for run in [*usable, *few]})
    return points_of(usable, names, quantity), counts_of(few, names, quantity)


def _with_events(run: Run, few: list[Run]) -> Run:
    """A run that was left out, with its events if they are counted."""
    same = ("ordering", "temperature_K", "replica")
    for counted in few:
        if all(counted[key] == run[key] for key in same):
            n = counted["n_events"]
            rule = f"{run['rule']}; the fit counts what it has, {n:.2g} independent jumps"
            return run | {"rule": rule, "n_events": n}
    return run


def _chi2(points: Points, found: Fit) -> float:
    """Squared residuals over the errors of the runs alone, per degree of freedom."""
    expected = found.at(points.inverse_kT).mean(axis=0)
    chi2 = (((points.value - expected) / points.error) ** 2).sum()
    return float(chi2 / max(1, len(points.value) - 2))


def summary(name: str, samples: Floats, *, middle: str = "mean") -> dict[str, Any]:
    """Middle and intervals of samples, JSON-able; `name` ends in its unit."""
    result: dict[str, Any] = {name: float(getattr(np, middle)(samples))}
    unit = next(unit for unit in _UNITS if name.endswith(unit))
    for label, level in LEVELS.items():
        ends = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
        result[f"{name.removesuffix(unit)}_interval{label}{unit}"] = ends.tolist()
    return result


def _prediction(T: float, sigma: Fit, D: Fit, temperatures: list[float]) -> dict[str, Any]:
    """Conductivity and diffusivity at one temperature, with and without allowance."""
    coldest, hottest = temperatures[0], temperatures[-1]
    distance = max(0.0, 1000 / T - 1000 / coldest, 1000 / hottest - 1000 / T)
    x = np.array([1 / (BOLTZMANN_EV_PER_K * T)])
    plain, plain_D = sigma.at(x)[:, 0] - np.log(T), D.at(x)[:, 0]
    shift, shift_D = (found.beyond.shift(x)[:, 0] for found in (sigma, D))

    def both(sigma_ln: Floats, D_ln: Floats) -> dict[str, Any]:
        return {
            **summary("sigma_NE_S_per_cm", _exp(sigma_ln), middle="median"),
            **summary("D_tracer_cm2_per_s", _exp(D_ln), middle="median"),
        }

    return {
        "temperature_K": T,
        "is_extrapolation": distance > 0,
        "distance_1000_per_K": distance,
        "nearest_temperature_K": min(temperatures, key=lambda used: abs(1 / used - 1 / T)),
        "measured_range_1000_per_K": 1000 / coldest - 1000 / hottest,
        "measured_range_K": [coldest, hottest],
        "probability_of_unseen_change": float((shift != 0).mean()),
        **both(plain + shift, plain_D + shift_D),
        "without_unseen_change": both(plain, plain_D),
    }


def _exp(values: Floats) -> Floats:
    """Exponential that stays finite, however far somebody extrapolates."""
    result: Floats = np.exp(np.clip(values, -700.0, 700.0))
    return result


def _band(found: Fit, coldest_K: float, hottest_K: float) -> dict[str, Any]:
    """Curve and bands of ln(sigma T) between two temperatures, for plots."""
    inverse = np.linspace(1000 / hottest_K, 1000 / coldest_K, _BAND_POINTS)
    x = inverse / (1000 * BOLTZMANN_EV_PER_K)
    plain = found.at(x)
    allowed = plain + found.beyond.shift(x)
    record: dict[str, Any] = {
        "per_1000_K": inverse.tolist(),
        "ln_sigma_T_S_K_per_cm": np.median(plain, axis=0).tolist(),
    }
    for label, level in LEVELS.items():
        ends = [(1 - level) / 2, (1 + level) / 2]
        record[f"interval{label}"] = np.quantile(plain, ends, axis=0).tolist()
        record[f"with_unseen_change{label}"] = np.quantile(allowed, ends, axis=0).tolist()
    return record


def _model_record(
    model: Model, points: Points, spread: Spread, prefactor: str = "ln_A_S_K_per_cm"
) -> dict[str, Any]:
    """Weight, evidence, and parameters with mean and covariance."""
    parameters = model.curves.parameters(prefactor)
    return {
        "name": model.name,
        "weight": model.weight,
        "prior_weight": model.prior_weight,
        "log_evidence": model.posterior.log_evidence,
        "bic": bic(model.family, points, spread),
        "effective_samples": model.posterior.effective_samples,
        "parameters": list(parameters),
        "mean": [float(values.mean()) for values in parameters.values()],
        "covariance": np.cov(list(parameters.values())).tolist(),
    }


def _regimes(found: Fit) -> dict[str, Any] | None:
    """Both activation energies and the break, if two lines were considered."""
    for model in found.models:
        if model.name == "two_lines":
            values = model.curves.parameters("")
            return {
                "weight": model.weight,
                **summary("break_temperature_K", values["break_temperature_K"], middle="median"),
                **summary("Ea_hot_eV", values["Ea_hot_eV"]),
                **summary("Ea_cold_eV", values["Ea_cold_eV"]),
                **summary("Ea_change_eV", values["Ea_cold_eV"] - values["Ea_hot_eV"]),
            }
    return None


def _table(found: Fit, rng: np.random.Generator) -> dict[str, Any]:
    """Some equally likely curves of ln(sigma T), without allowance for an unseen change."""
    columns = ["Ea_hot_eV", "ln_A_hot", "Ea_cold_eV", "ln_A_cold", "break_temperature_K"]
    if any(part.name == "vtf" for part in found.mixture):
        columns = ["B_eV", "ln_A", "T0_K"]
    rows = []
    for part in found.mixture:
        named = part.parameters("ln_A")
        if part.name == "line":
            named = dict(zip(columns, (*named.values(), *named.values()), strict=False))
        empty = np.full(len(part.shape), np.nan)
        rows.append(np.stack([named.get(column, empty) for column in columns], axis=1))
    every = np.concatenate(rows)
    chosen = every[rng.choice(len(every), size=min(_TABLE_ROWS, len(every)), replace=False)]
    return {
        "of": "ln(sigma T / (S K/cm)) = ln_A - Ea / (k_B T), hot above the break, cold below; "
        "no break: one line"
        if len(columns) == 5
        else "ln(sigma T / (S K/cm)) = ln_A - B / (k_B (T - T0))",
        "columns": columns,
        "rows": [
            [None if np.isnan(value) else float(f"{value:.6g}") for value in row] for row in chosen
        ],
    }


def _pooled(
    runs: list[Run], few: list[Run], spread: Spread, n_samples: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Mean over orderings and replicas at each temperature, coldest first.

    All temperatures tell how far orderings differ; no curve is assumed. Jumps are counted where
    another run of the temperature has a value.
    """
    here_K = {run["temperature_K"] for run in runs}
    points, counts = _both(runs, [f for f in few if f["temperature_K"] in here_K], _D_cm2_per_s)
    found = sample(levels(points, counts), points, counts, spread, n_samples, rng)
    records = []
    for column, x in enumerate(np.unique(points.inverse_kT)):
        here = [i for i in range(len(runs)) if points.inverse_kT[i] == x]
        chosen = [runs[i] for i in here]
        T, ln_D = float(chosen[0]["temperature_K"]), found.coefficients[:, column]
        density = float(np.mean([run["n_ions"] / run["volume_A3"] for run in chosen]))
        per_D = nernst_einstein_S_per_cm(1.0, 1, 1 / density, T, chosen[0]["charge_e"])
        D = np.exp(ln_D)
        records.append(
            {
                "temperature_K": T,
                "runs": len(chosen),
                "orderings": len({run["ordering"] for run in chosen}),
                "n_effective_jumps": float(sum(run["n_effective_jumps"] for run in chosen)),
                "length_ps": float(sum(run["length_ps"] for run in chosen)),
                "relative_error_within": float((1 / points.variance[here]).sum() ** -0.5),
                "relative_error": float(ln_D.std()),
                **summary("D_tracer_cm2_per_s", D, middle="median"),
                **summary("sigma_NE_S_per_cm", per_D * D, middle="median"),
            }
        )
    return records[::-1]


def _notes(record: dict[str, Any], settings: ArrheniusSettings) -> list[str]:
    """What a reader of the numbers must know."""
    notes = []
    there, used = record["extrapolation"], record["temperatures_K"]
    if there["is_extrapolation"]:
        side = "below" if there["temperature_K"] < used[0] else "above"
        chance = there["probability_of_unseen_change"]
        allowed = (
            f"the intervals allow for one with a probability of {100 * chance:.0f} %"
            if settings.regime_changes_per_1000_per_K
            else "the intervals do not allow for one"
        )
        notes.append(
            f"a change of regime {side} the data (used: {used[0]:g} to {used[-1]:g} K) cannot be "
            f"seen; {allowed}"
        )
    if len(record["orderings"]) == 1:
        notes.append(
            "one ordering: how far orderings differ is unknown; the intervals assume the prior, "
            f"a factor of {np.exp(settings.between_orderings_prior_ln):.1f}"
        )
    if record["regimes"] is None and settings.curve == "auto":
        notes.append(
            f"{len(record['temperatures_K'])} temperatures: a change of regime inside the data "
            f"could not be tested; {FEWEST_TEMPERATURES['two_lines']} are needed"
        )
    if any(
        model["effective_samples"] < 0.02 * settings.n_samples and model["weight"] > 0.05
        for model in record["models"]
    ):
        notes.append("few effective samples: runs disagree far beyond their errors")
    return notes
