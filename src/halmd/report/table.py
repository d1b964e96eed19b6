"""`halmd table`: results as a tidy CSV file, and the summary printed at the end of a campaign."""

import csv
import io
from pathlib import Path
from typing import Any

from rich.table import Table

from halmd.files import write_text
from halmd.reference import measured
from halmd.report.results import (
    MaterialResults,
    beyond_training,
    extrapolates,
    how_far,
    left_out,
    which,
)

COLUMNS = (
    "material",
    "formula",
    "kind",
    "ordering",
    "replica",
    "temperature_K",
    "sigma_NE_S_per_cm",
    "sigma_NE_low68_S_per_cm",
    "sigma_NE_high68_S_per_cm",
    "sigma_NE_low95_S_per_cm",
    "sigma_NE_high95_S_per_cm",
    "D_tracer_cm2_per_s",
    "D_tracer_low95_cm2_per_s",
    "D_tracer_high95_cm2_per_s",
    "Ea_eV",
    "Ea_low95_eV",
    "Ea_high95_eV",
    "haven_ratio",
    "n_ions",
    "n_effective_jumps",
    "length_ps",
    "volume_A3",
    "verdict",
    "left_out_because",
    "extrapolating",
    "potential",
    "prototype",
    "structure_confidence",
)
"""`kind` is run, pooled (all orderings and replicas at one temperature) or extrapolated.

`extrapolating` is yes or no where a committee looked at the run, or at a run that went into the
row.
"""


def conductivity_rows(results: MaterialResults) -> list[dict[str, Any]]:
    """One row per run, per temperature, and for the extrapolation."""
    potential = next(
        (run["run"]["potential"]["name"] for run in results.runs if run["run"]), "unknown"
    )
    base = {
        "material": results.name,
        "formula": results.formula,
        "potential": potential,
        "prototype": results.structure["prototype"],
        "structure_confidence": results.structure["confidence"],
    }
    rules = left_out(results)
    used = [run for run in results.runs if which(run) not in rules]
    rows = []
    for run in results.runs:
        rows.append(
            base
            | {"kind": "run", **_quantities(run)}
            | {"left_out_because": rules.get(which(run)), "extrapolating": said_of([run])}
            | {key: run.get(key) for key in ("ordering", "replica", "haven_ratio", "verdict")}
            | {key: run.get(key) for key in ("n_ions", "volume_A3", "length_ps")}
        )
    for pooled in results.arrhenius["pooled"]:
        here = [run for run in used if run["temperature_K"] == pooled["temperature_K"]]
        rows.append(
            base
            | {"kind": "pooled", "verdict": "converged", **_quantities(pooled)}
            | {"length_ps": pooled["length_ps"], "extrapolating": said_of(here)}
        )
    if results.arrhenius["verdict"] == "ok":
        extrapolated = results.arrhenius["extrapolation"]
        low, high = results.arrhenius["Ea_interval95_eV"]
        rows.append(
            base
            | {
                "kind": "extrapolated" if extrapolated["is_extrapolation"] else "interpolated",
                "verdict": "ok",
                "extrapolating": said_of(used),
                "Ea_eV": results.arrhenius["Ea_eV"],
                "Ea_low95_eV": low,
                "Ea_high95_eV": high,
            }
            | _quantities(extrapolated)
        )
    return rows


def said_of(runs: list[dict[str, Any]]) -> str | None:
    """What committees say of some runs: yes where one leaves what was learnt; None for nothing."""
    said = [word for word in map(extrapolates, runs) if word is not None]
    return ("yes" if any(said) else "no") if said else None


def _quantities(record: dict[str, Any]) -> dict[str, Any]:
    """Temperature, conductivity and diffusivity with their intervals as columns."""
    row = {
        key: record.get(key)
        for key in (
            "temperature_K",
            "sigma_NE_S_per_cm",
            "D_tracer_cm2_per_s",
            "n_effective_jumps",
        )
    }
    for level in ("68", "95"):
        for name, unit in (("sigma_NE", "S_per_cm"), ("D_tracer", "cm2_per_s")):
            ends = record.get(f"{name}_interval{level}_{unit}")
            for end, value in zip(("low", "high"), ends or (None, None), strict=True):
                column = f"{name}_{end}{level}_{unit}"
                if column in COLUMNS:
                    row[column] = value
    return row


def write_table(results: list[MaterialResults], path: Path) -> None:
    """Write conductivity.csv, whole or not at all; six significant digits."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for material in results:
        for row in conductivity_rows(material):
            writer.writerow({key: _cell(value) for key, value in row.items()})
    write_text(path, stream.getvalue())


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def structure_lines(results: MaterialResults) -> list[str]:
    """What a reader must know of the crystal: where it is from, and all that was assumed."""
    made = results.structure
    confidence = "LOW confidence" if results.doubtful else f"confidence: {made['confidence']}"
    lines = [f"structure: {made['achieved_formula']} from {made['prototype']} ({confidence})"]
    return lines + [f"caution: {words}" for words in made.get("cautions", ())]


def _lines_on_runs(results: MaterialResults) -> list[str]:
    """Runs that were left out, and those that were used only because a person said so."""
    lines = []
    excluded = results.arrhenius["excluded"]
    for run in excluded:
        found = run["numbers"].get("uncertainty")
        doubt = f" ({how_far(found)})" if found and run["verdict"] == "extrapolating" else ""
        lines.append(f"left out: {_named(run)}: {run['rule']}{doubt}")
    unused = left_out(results)
    lines += [
        f"used although it leaves what the potential was trained on (accept_extrapolation): "
        f"{_named(run)}: {how_far(run['run']['uncertainty'])}"
        for run in results.runs
        if (run["run"].get("uncertainty") or {}).get("extrapolating") and which(run) not in unused
    ]
    beyond = sorted({word for run in results.runs for word in beyond_training(run)})
    if beyond:
        lines.append(f"the potential was not trained on {', '.join(beyond)} (accept_extrapolation)")
    return lines


def _named(run: dict[str, Any]) -> str:
    return f"ordering {run['ordering']}, {run['temperature_K']:g} K, replica {run['replica']}"


def summary(results: MaterialResults) -> list[Table | str]:
    """What a person wants to read at the end: a table and the two or three lines that matter."""
    table = Table(title=f"{results.formula}: conductivity from molecular dynamics")
    for heading in ("T (K)", "D (cm²/s)", "sigma_NE (mS/cm)", "68 % interval", "jumps", "runs"):
        table.add_column(heading, justify="right")
    for pooled in results.arrhenius["pooled"]:
        low, high = (1000 * end for end in pooled["sigma_NE_interval68_S_per_cm"])
        table.add_row(
            f"{pooled['temperature_K']:g}",
            f"{pooled['D_tracer_cm2_per_s']:.2e}",
            f"{1000 * pooled['sigma_NE_S_per_cm']:.0f}",
            f"{low:.0f} to {high:.0f}",
            f"{pooled['n_effective_jumps']:.0f}",
            str(pooled["runs"]),
        )
    lines: list[Table | str] = [table, *structure_lines(results)]
    lines += _lines_on_runs(results)
    if results.arrhenius["verdict"] != "ok":
        lines.append(f"no Arrhenius fit: {results.arrhenius['verdict'].replace('_', ' ')}")
        return lines
    record, there = results.arrhenius, results.arrhenius["extrapolation"]
    low, high = record["Ea_interval95_eV"]
    lines.append(f"Ea = {record['Ea_eV']:.3f} eV (95 %: {low:.3f} to {high:.3f})")
    low, high = (1000 * end for end in there["sigma_NE_interval95_S_per_cm"])
    word = "extrapolated" if there["is_extrapolation"] else "interpolated"
    lines.append(
        f"sigma({there['temperature_K']:g} K) = {1000 * there['sigma_NE_S_per_cm']:.2g} mS/cm "
        f"(95 %: {low:.3g} to {high:.3g}), {word} over "
        f"{there['distance_1000_per_K']:.2f} in 1000 K/T beyond data that span "
        f"{there['measured_range_1000_per_K']:.2f}"
    )
    regimes = record["regimes"]
    if regimes and regimes["weight"] > 0.5:
        lines.append(
            f"two regimes (weight {regimes['weight']:.2f}): {regimes['Ea_cold_eV']:.3f} eV below "
            f"{regimes['break_temperature_K']:.0f} K, {regimes['Ea_hot_eV']:.3f} eV above"
        )
    lines += [f"note: {note}" for note in record["notes"]]
    for value in measured(results.formula, results.family):
        doubt = " (suspect)" if value.suspect else ""
        made = f", {value.method}" if value.method else ""
        lines.append(
            f"measured at {value.temperature_K:g} K: {1000 * value.sigma_S_per_cm:.3g} mS/cm"
            f"{doubt} ({value.citation}{made})"
        )
    return lines
