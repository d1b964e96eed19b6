"""Results of materials beside what was measured of them, row by row, for `halmd validation`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halmd.errors import HalmdError
from halmd.reference import Published, computed, measured
from halmd.report.judgement import (
    Estimate,
    judge_Ea,
    judge_sigma,
    median_without_error,
    pooled_spread_decades,
)
from halmd.report.literature import NEAR_K, measured_near
from halmd.report.results import MaterialResults, left_out, which
from halmd.report.series_figure import predicted
from halmd.report.table import said_of

COLUMNS = (
    "material",
    "formula",
    "prototype",
    "structure_confidence",
    "potential",
    "extrapolating",
    "orderings",
    "temperatures_K",
    "runs",
    "runs_left_out",
    "shortest_run_ps",
    "longest_run_ps",
    "length_ps",
    "core_hours",
    "lattice_temperature_K",
    "a_A",
    "b_A",
    "c_A",
    "a_measured_A",
    "b_measured_A",
    "c_measured_A",
    "volume_ratio_to_measured",
    "D_temperature_K",
    "D_tracer_cm2_per_s",
    "D_tracer_low95_cm2_per_s",
    "D_tracer_high95_cm2_per_s",
    "fit_verdict",
    "Ea_eV",
    "Ea_low95_eV",
    "Ea_high95_eV",
    "Ea_measured_eV",
    "temperature_K",
    "is_extrapolation",
    "sigma_S_per_cm",
    "sigma_low95_S_per_cm",
    "sigma_high95_S_per_cm",
    "log10_sigma_sd",
    "sigma_along_S_per_cm",
    "sigma_along_low95_S_per_cm",
    "sigma_along_high95_S_per_cm",
    "sigma_across_S_per_cm",
    "sigma_across_low95_S_per_cm",
    "sigma_across_high95_S_per_cm",
    "sigma_pellet_S_per_cm",
    "sigma_pellet_low95_S_per_cm",
    "sigma_pellet_high95_S_per_cm",
    "axis",
    "sigma_measured_S_per_cm",
    "sigma_measured_all_S_per_cm",
    "sigma_measured_suspect_S_per_cm",
    "sigma_published_S_per_cm",
    "sigma_published_by",
    "log10_computed_over_measured",
    "not_counted_because",
)
"""One row for each material.

`sigma_measured_S_per_cm` is the geometric mean of all sound values near `temperature_K`, and
`Ea_measured_eV` the mean of all sound ones. `D` is that at the lowest temperature with a usable
run. `length_ps` and `core_hours` are those of production, of all runs together; `log10_sigma_sd`
is half the width of the 68 % interval. `along`, `across`, `pellet` and `axis` are those of
polycrystal.json. Several values of one column stand between semicolons.
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """What production took, as run.json has it."""

    core_hours: float | None
    """Of runs with a core of their own; None where there are none."""
    device_hours: float | None
    """Of runs with a GPU of their own."""
    shared: int
    """Runs of a batch: their times overlap, and do not add up."""
    unknown: int
    """Runs that do not say."""
    equilibration_ps: float
    equilibration_core_hours: float
    """At the speed of each run's production: equilibration is not timed."""


def validation_row(
    results: MaterialResults, lattice: dict[str, Any], polycrystal: dict[str, Any]
) -> Row:
    """A material's results and what was published of it, in the columns `COLUMNS`.

    lattice and polycrystal are the contents of those files, empty where there are none. Lists are
    lists here. Raises HalmdError where polycrystal.json is of another temperature.
    """
    rules = left_out(results)
    used = [run for run in results.runs if which(run) not in rules]
    lengths_ps = [
        float(run["run"].get("length_ps", run.get("length_ps", 0))) for run in results.runs
    ]
    row: Row = {
        "material": results.name,
        "formula": results.formula,
        "prototype": results.structure["prototype"],
        "structure_confidence": results.structure["confidence"],
        "potential": potentials([results]),
        "extrapolating": said_of(used),
        "orderings": len({run["ordering"] for run in results.runs}),
        "temperatures_K": sorted({float(run["temperature_K"]) for run in results.runs}),
        "runs": len(results.runs),
        "runs_left_out": len(rules),
        "shortest_run_ps": min(lengths_ps),
        "longest_run_ps": max(lengths_ps),
        "length_ps": sum(lengths_ps),
        "core_hours": cost([results]).core_hours,
    }
    of_pellet = _pellet(polycrystal, results)
    return row | _cell(lattice) | _coldest(results) | of_pellet | _compared(results)


def _pellet(polycrystal: dict[str, Any], results: MaterialResults) -> Row:
    """Conductivities of polycrystal.json; nothing where it has none."""
    if polycrystal.get("verdict") != "ok":
        return {}
    at_K = polycrystal["temperature_K"]
    if at_K != results.extrapolate_to_K:
        raise HalmdError(
            f"{results.name}: polycrystal.json is of {at_K:g} K, arrhenius.json of "
            f"{results.extrapolate_to_K:g} K; run `halmd polycrystal --extrapolate-to-K` again"
        )
    row: Row = {"axis": polycrystal["axis"]}
    for part in ("along", "across", "pellet"):
        row[f"sigma_{part}_S_per_cm"] = polycrystal[part]["sigma_NE_S_per_cm"]
        ends = polycrystal[part]["sigma_NE_interval95_S_per_cm"]
        for end, value in zip(("low95", "high95"), ends, strict=True):
            row[f"sigma_{part}_{end}_S_per_cm"] = value
    return row


def as_pellet(row: Row) -> Row:
    """A row whose conductivity is that of a pellet, where it is known."""
    pellet, compared = row.get("sigma_pellet_S_per_cm"), "log10_computed_over_measured"
    if pellet is None or row.get(compared) is None:
        return row
    ratio = pellet / row["sigma_measured_S_per_cm"]
    return row | {"sigma_S_per_cm": pellet, compared: math.log10(ratio)}


def _cell(lattice: dict[str, Any]) -> Row:
    """Cell lengths of lattice.json, computed and measured."""
    row: Row = {
        "lattice_temperature_K": lattice.get("temperature_K"),
        "volume_ratio_to_measured": lattice.get("volume_ratio_to_measured"),
    }
    for key, words in (("lengths_A", ""), ("measured_lengths_A", "_measured")):
        for axis, length in zip("abc", lattice.get(key) or (), strict=False):
            row[f"{axis}{words}_A"] = length
    return row


def _coldest(results: MaterialResults) -> Row:
    """Diffusivity at the lowest temperature that has one."""
    if not results.arrhenius["pooled"]:
        return {}
    there = min(results.arrhenius["pooled"], key=lambda pooled: float(pooled["temperature_K"]))
    low, high = there["D_tracer_interval95_cm2_per_s"]
    return {
        "D_temperature_K": there["temperature_K"],
        "D_tracer_cm2_per_s": there["D_tracer_cm2_per_s"],
        "D_tracer_low95_cm2_per_s": low,
        "D_tracer_high95_cm2_per_s": high,
    }


def _compared(results: MaterialResults) -> Row:
    """Fit, measurements, and why they cannot be compared where they cannot."""
    found, at_K = predicted(results), results.extrapolate_to_K
    near = measured_near(results.formula, at_K, results.family)
    sound = [value.sigma_S_per_cm for value in near if not value.suspect]
    published = [value for value in computed(results.formula) if _near(value, at_K)]
    # Of a sample measured at several temperatures, the activation energy is listed with each.
    known = measured(results.formula, results.family)
    Ea_eV = {(v.citation, v.Ea_eV) for v in known if v.Ea_eV and not v.suspect}
    row = found | {
        "sigma_measured_all_S_per_cm": sound,
        "sigma_measured_suspect_S_per_cm": [v.sigma_S_per_cm for v in near if v.suspect],
        "sigma_published_S_per_cm": [value.sigma_S_per_cm for value in published],
        "sigma_published_by": [f"{value.method} ({value.citation})" for value in published],
        "Ea_measured_eV": float(np.mean([value for _, value in Ea_eV])) if Ea_eV else None,
    }
    if sound:
        row["sigma_measured_S_per_cm"] = float(np.exp(np.mean(np.log(sound))))
    if found["fit_verdict"] != "ok":
        verdict = found["fit_verdict"].replace("_", " ")
        return row | {"not_counted_because": f"no Arrhenius fit: {verdict}"}
    low, high = results.arrhenius["extrapolation"]["sigma_NE_interval68_S_per_cm"]
    row["log10_sigma_sd"] = math.log10(high / low) / 2
    if not near:
        why = f"nothing measured within {NEAR_K:g} K of {at_K:g} K"
        return row | {"not_counted_because": why}
    if not sound:
        return row | {"not_counted_because": "every measured value is in doubt"}
    ratio = found["sigma_S_per_cm"] / row["sigma_measured_S_per_cm"]
    return row | {"log10_computed_over_measured": math.log10(ratio)}


def _near(value: Published, at_K: float) -> bool:
    return abs(value.temperature_K - at_K) <= NEAR_K


def potentials(results: Sequence[MaterialResults]) -> list[str]:
    """Potentials of the runs, each with the beginning of its checksum."""
    found = {}
    for run in (run for material in results for run in material.runs):
        made = run["run"].get("potential")
        if made:
            # A file of one's own is called by its path, which is nobody else's.
            name = Path(made["name"]).name
            checksum = (made.get("sha256") or made.get("model_sha256") or "")[:12]
            found[f"{name} (SHA-256 {checksum}...)" if checksum else name] = True
    return list(found)


def cost(results: Sequence[MaterialResults]) -> Cost:
    """What the runs of these materials took; a run has one core, as the workflow gives it."""
    hours: dict[bool, list[float]] = {True: [], False: []}
    shared = unknown = 0
    equilibration_ps = equilibration_h = 0.0
    for run in (run for material in results for run in material.runs):
        made, length_ps = run["run"], float(run["npt"].get("length_ps", 0))
        if made.get("engine") == "batched":
            shared += 1
        elif not made.get("wall_s"):
            unknown += 1
        else:
            on_core = str(made.get("device", "CPU")).startswith("CPU")
            hours[on_core].append(made["wall_s"] / 3600)
            if on_core and made.get("ns_per_day"):
                equilibration_ps += length_ps
                equilibration_h += length_ps / 1000 / made["ns_per_day"] * 24
    of_cores, of_devices = (sum(hours[key]) if hours[key] else None for key in (True, False))
    return Cost(of_cores, of_devices, shared, unknown, equilibration_ps, equilibration_h)


def counted(rows: Sequence[Row]) -> list[Row]:
    """Rows that the judgement of conductivities counts."""
    return [row for row in rows if row.get("log10_computed_over_measured") is not None]


def with_both_Ea(rows: Sequence[Row]) -> list[Row]:
    """Rows whose activation energy was computed and measured."""
    both = ("Ea_eV", "Ea_measured_eV")
    return [row for row in rows if all(row.get(key) is not None for key in both)]


def judged(rows: Sequence[Row]) -> dict[str, Estimate]:
    """The judgement of all rows that can be counted: conductivities, then activation energies."""
    sigma, Ea = counted(rows), with_both_Ea(rows)

    def column(some: Sequence[Row], key: str) -> Any:
        return np.array([row[key] for row in some], float)

    logs = [np.log10(column(sigma, f"sigma{of}_S_per_cm")) for of in ("", "_measured")]
    return judge_sigma(*logs) | judge_Ea(column(Ea, "Ea_eV"), column(Ea, "Ea_measured_eV"))


def floor(rows: Sequence[Row]) -> tuple[float, Estimate] | None:
    """Spread between samples of a compound in decades, and what it and error bars alone make.

    None where nothing counted was measured on more than one sample.
    """
    samples = [list(np.log10(row["sigma_measured_all_S_per_cm"])) for row in counted(rows)]
    spread = pooled_spread_decades(samples)
    if spread is None:
        return None
    own = np.array([row["log10_sigma_sd"] for row in counted(rows)])
    between = spread / np.sqrt([len(values) for values in samples])
    return spread, median_without_error(np.hypot(own, between))
