"""The table beside the Arrhenius plots: all that they show, with the numbers of the JSON files."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from halmd.config import PlotSettings
from halmd.report.literature import shown
from halmd.report.results import MaterialResults, drawable, extrapolates, left_out, which

COLUMNS = (
    "material",
    "formula",
    "kind",
    "ordering",
    "replica",
    "temperature_K",
    "sigma_S_per_cm",
    "sigma_low68_S_per_cm",
    "sigma_high68_S_per_cm",
    "sigma_low95_S_per_cm",
    "sigma_high95_S_per_cm",
    "sigma_with_change_low95_S_per_cm",
    "sigma_with_change_high95_S_per_cm",
    "is_extrapolation",
    "extrapolating",
    "verdict",
    "left_out_because",
    "method",
    "source",
    "suspect",
)
"""`kind` is run, mean (of the runs at a temperature), fit (the curve, point by point), predicted,
measured or published (computed by others)."""


def arrhenius_rows(
    results: Sequence[MaterialResults], settings: PlotSettings
) -> list[dict[str, Any]]:
    """One row for each point, in the columns `COLUMNS`, those without a value left out."""
    rows = []
    for material in results:
        base = {"material": material.name, "formula": material.formula}
        rows += [base | row for row in _material_rows(material)]
    for item in shown(results, settings):
        value = item.value
        rows.append(
            {
                "material": results[item.number].name,
                "formula": value.formula,
                "kind": item.kind,
                "temperature_K": value.temperature_K,
                "sigma_S_per_cm": value.sigma_S_per_cm,
                "is_extrapolation": value.extrapolated,
                "method": value.method,
                "source": value.citation,
                "suspect": value.suspect,
            }
        )
    return rows


def _material_rows(material: MaterialResults) -> list[dict[str, Any]]:
    rules = left_out(material)
    rows: list[dict[str, Any]] = [
        {"kind": "run", **_sigma(run)}
        | {key: run[key] for key in ("ordering", "replica", "verdict")}
        | {"left_out_because": rules.get(which(run)), "extrapolating": extrapolates(run)}
        for run in drawable(material)
    ]
    record = material.arrhenius
    rows += [{"kind": "mean", **_sigma(pooled)} for pooled in record["pooled"]]
    if record["verdict"] != "ok":
        return rows
    coldest, hottest = min(record["temperatures_K"]), max(record["temperatures_K"])
    band = record["band"]
    for point, per_1000_K in enumerate(band["per_1000_K"]):
        T = 1000 / per_1000_K
        row = {"kind": "fit", "temperature_K": T}
        row["sigma_S_per_cm"] = _exp(band["ln_sigma_T_S_K_per_cm"][point]) / T
        for column, key in (
            ("sigma_{}68_S_per_cm", "interval68"),
            ("sigma_{}95_S_per_cm", "interval95"),
            ("sigma_with_change_{}95_S_per_cm", "with_unseen_change95"),
        ):
            for end, values in zip(("low", "high"), band[key], strict=True):
                row[column.format(end)] = _exp(values[point]) / T
        # The ends of the curve are temperatures of runs, but for rounding.
        row["is_extrapolation"] = not coldest * (1 - 1e-9) <= T <= hottest * (1 + 1e-9)
        rows.append(row)
    rows += [
        {"kind": "predicted", **_sigma(there), "is_extrapolation": there["is_extrapolation"]}
        for there in record["at_temperatures"]
    ]
    return rows


def _exp(ln: float) -> float:
    """Exponential that stays finite, however far somebody extrapolates."""
    return float(np.exp(np.clip(ln, -700.0, 700.0)))


def _sigma(record: dict[str, Any]) -> dict[str, Any]:
    """Temperature and conductivity with its intervals, as columns."""
    row = {"temperature_K": record["temperature_K"], "sigma_S_per_cm": record["sigma_NE_S_per_cm"]}
    for level in ("68", "95"):
        ends = record[f"sigma_NE_interval{level}_S_per_cm"]
        for end, value in zip(("low", "high"), ends, strict=True):
            row[f"sigma_{end}{level}_S_per_cm"] = value
    return row
