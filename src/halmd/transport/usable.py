"""Which runs may enter an Arrhenius analysis, and how: refusals, exclusion by rule, counts."""

import math
from collections import Counter
from statistics import median
from typing import Any

from halmd.composition import parse_formula, reduced
from halmd.errors import HalmdError
from halmd.transport.conductivity import nernst_einstein_S_per_cm, to_cm2_per_s

Run = dict[str, Any]

_ALWAYS = ("temperature_K", "ordering", "replica", "verdict")
_FITTED = (
    "D_tracer_cm2_per_s",
    "D_tracer_degrees_of_freedom",
    "sigma_NE_S_per_cm",
    "relative_error",
    "n_ions",
    "volume_A3",
    "charge_e",
    "n_effective_jumps",
    "length_ps",
)
_COUNTED = (
    "n_effective_jumps",
    "jump_length_A",
    "length_ps",
    "n_ions",
    "volume_A3",
    "charge_e",
)
_COMMON = ("length_ps", "D_tracer_cm2_per_s")
_RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "framework_unstable": (
        "the framework moved: melting, decomposition or a change of phase",
        ("framework",),
    ),
    "extrapolating": (
        "the potential left what it was trained on: its committee disagrees about the forces",
        ("uncertainty",),
    ),
    "too_few_jumps": (
        "too few jumps, or too large an error, for a diffusivity to be quoted",
        ("n_effective_jumps", "min_jumps", "relative_error"),
    ),
    "not_yet_diffusive": (
        "the slope of the mean-square displacement still falls at the end of the window",
        ("slope_falls_by", "slope_falls_by_error"),
    ),
    "too_short": ("too few frames for a diffusivity", ()),
    "no_diffusion": ("a diffusivity that is not positive has no logarithm", ()),
}
"""Rule of each verdict in words, and the names of the numbers behind it."""

_SAME_DENSITY = 1.25
"""Largest ratio of mobile ions per volume within one material; expansion to 1000 K makes 1.1."""


def sort_out(runs: list[Run]) -> tuple[list[Run], list[Run]]:
    """Runs that enter the fit, and for each other one its rule and the numbers behind it.

    Raises HalmdError when there are no runs, when a run lacks a key or holds a number that cannot
    be, when two are the same run, or when they belong to different materials or ions.
    """
    if not runs:
        raise HalmdError("no transport.json was given; run `halmd diffusion` first")
    for run in runs:
        _require(run, _ALWAYS)
    _refuse_duplicates(runs)
    usable, excluded = [], []
    for run in runs:
        if run["verdict"] != "converged":
            excluded.append(_exclusion(run, run["verdict"]))
            continue
        _require(run, _FITTED)
        if run["D_tracer_cm2_per_s"] <= 0 or run["sigma_NE_S_per_cm"] <= 0:
            excluded.append(_exclusion(run, "no_diffusion"))
            continue
        for key in ("relative_error", "D_tracer_degrees_of_freedom", "volume_A3", "n_ions"):
            if not run[key] > 0:
                raise HalmdError(f"{_name(run)}: {key} is {run[key]!r}; it must be above zero")
        usable.append(run)
    _refuse_mixtures(runs, usable)
    return usable, excluded


def one_event_each(runs: list[Run], usable: list[Run]) -> list[Run]:
    """Runs with too few jumps, to be counted: with D and sigma of one event in place of their own.

    Ions jump together and back, so that several effective jumps are one independent event: so many
    as errors say (a Poisson number of events has a relative error of one over its root), over all
    usable runs in the median, or more where the run's own error says so; of an error above its D
    that is no more than all it has. `n_events` is what was seen of them. Runs without the numbers
    that this takes are left out as before.
    """
    if not usable:
        return []
    usual = median(run["n_effective_jumps"] * run["relative_error"] ** 2 for run in usable)
    found = []
    for run in runs:
        numbers = {**run, **(run.get("settings") or {})}
        if run["verdict"] != "too_few_jumps" or not all(
            _is_number(numbers.get(k)) for k in _COUNTED
        ):
            continue
        error = run.get("relative_error")
        own = run["n_effective_jumps"] * min(1.0, error if error is not None else 1.0) ** 2
        jumps = max(1.0, usual, own)
        n_ions, T = run["n_ions"], run["temperature_K"]
        jump_A2 = numbers["jump_length_A"] ** 2
        D = to_cm2_per_s(jumps * jump_A2 / (6 * n_ions * run["length_ps"]))
        sigma = nernst_einstein_S_per_cm(D, n_ions, run["volume_A3"], T, run["charge_e"])
        of_one = {"D_tracer_cm2_per_s": D, "sigma_NE_S_per_cm": sigma}
        found.append({**run, **of_one, "n_events": run["n_effective_jumps"] / jumps})
    return found


def _require(run: Run, keys: tuple[str, ...]) -> None:
    for key in keys:
        if run.get(key) is None:
            raise HalmdError(f"{_name(run)}: {key} is missing; run `halmd diffusion` on it again")
        value = run[key]
        wants_text = key in ("ordering", "replica", "verdict")
        if not wants_text and not (isinstance(value, int | float) and math.isfinite(value)):
            raise HalmdError(
                f"{_name(run)}: {key} is {value!r}, not a number; run `halmd diffusion` on it again"
            )
    if not run["temperature_K"] > 0:
        raise HalmdError(f"{_name(run)}: temperature_K must be above zero")


def _refuse_duplicates(runs: list[Run]) -> None:
    counts = Counter((run["ordering"], run["temperature_K"], run["replica"]) for run in runs)
    for run in runs:
        if counts[run["ordering"], run["temperature_K"], run["replica"]] > 1:
            raise HalmdError(
                f"{_name(run)} is there twice; give every run its own folder "
                "<ordering>/<T>K/r<replica>, and name each transport.json once"
            )


def _refuse_mixtures(runs: list[Run], usable: list[Run]) -> None:
    for key, what in (("mobile", "mobile ions"), ("charge_e", "charges of the mobile ion")):
        found = sorted({str(run[key]) for run in runs if run.get(key) is not None})
        if len(found) > 1:
            raise HalmdError(f"the runs have different {what} ({', '.join(found)}); fit them apart")
    formulas = {str((run.get("run") or {}).get("formula") or "") for run in runs} - {""}
    # Cells of different size are one material: formulas are compared per anion.
    if len({frozenset(reduced(parse_formula(formula)).items()) for formula in formulas}) > 1:
        named = ", ".join(sorted(formulas))
        raise HalmdError(f"the runs are of different materials ({named}); fit them apart")
    ordered = sorted(usable, key=lambda run: float(run["n_ions"] / run["volume_A3"]))
    if ordered:
        low, high = (ordered[i]["n_ions"] / ordered[i]["volume_A3"] for i in (0, -1))
        if high / low > _SAME_DENSITY:
            raise HalmdError(
                f"{_name(ordered[0])} has {low:.4f} mobile ions per Å³ and {_name(ordered[-1])} "
                f"{high:.4f}: these are different materials; fit them apart"
            )


def _exclusion(run: Run, verdict: str) -> Run:
    rule, names = _RULES.get(verdict, (f"the run ended with the verdict {verdict}", ()))
    about_run = run.get("run") or {}
    # The committee's judgement is of the run; all else is of its analysis, which comes last.
    places = (about_run, run, run.get("checks") or {}, run.get("settings") or {})
    numbers = {
        name: place[name]
        for name in (*names, *_COMMON)
        for place in places
        if isinstance(place.get(name), dict) or _is_number(place.get(name))
    }
    return {
        **{key: run[key] for key in ("temperature_K", "ordering", "replica")},
        "verdict": verdict,
        "rule": rule,
        "reason": about_run.get("reason") or None,
        "numbers": numbers,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _name(run: Run) -> str:
    """What a person calls the run."""
    T = run.get("temperature_K")
    T_text = f"{T:g} K" if isinstance(T, int | float) else "unknown temperature"
    return f"run {run.get('ordering', '?')}, {T_text}, replica {run.get('replica', '?')}"
