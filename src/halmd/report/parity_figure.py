"""Computed against measured conductivity, and the table of both."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from halmd.report.labels import place_labels
from halmd.report.literature import measured_near
from halmd.report.results import MaterialResults
from halmd.report.series_figure import predicted
from halmd.report.style import STYLE, Look, kelvins, say_empty

COLUMNS = (
    "material",
    "formula",
    "temperature_K",
    "sigma_computed_S_per_cm",
    "sigma_computed_low95_S_per_cm",
    "sigma_computed_high95_S_per_cm",
    "is_extrapolation",
    "fit_verdict",
    "measured_temperature_K",
    "sigma_measured_S_per_cm",
    "method",
    "source",
    "suspect",
)
"""One row for each measured value; without computed numbers where a material has no fit."""

FACTORS = ((10, "#ececec"), (3, "#d4d4d4"))
"""Bands about equality, and their greys: three is what samples of one compound differ by."""

Row = dict[str, Any]


def parity_rows(results: Sequence[MaterialResults]) -> list[Row]:
    """Measured values near the temperature extrapolated to beside computed ones, by material."""
    rows = []
    for material in results:
        found = predicted(material)
        base: Row = {"material": material.name, "formula": material.formula}
        base |= {
            k: found[k] for k in ("temperature_K", "is_extrapolation", "fit_verdict") if k in found
        }
        for end in ("", "_low95", "_high95"):
            base[f"sigma_computed{end}_S_per_cm"] = found.get(f"sigma{end}_S_per_cm")
        rows += [
            base
            | {
                "measured_temperature_K": value.temperature_K,
                "sigma_measured_S_per_cm": value.sigma_S_per_cm,
                "method": value.method,
                "source": value.citation,
                "suspect": value.suspect,
            }
            for value in measured_near(material.formula, material.extrapolate_to_K, material.family)
        ]
    return rows


def parity_figure(rows: Sequence[Row], how: dict[str, Look]) -> Figure:
    """Both axes logarithmic: the line of equality, a factor of three and of ten about it.

    `how` has the look of each material by name. Several measurements are a range with their
    geometric mean; suspect ones are hollow and count for neither.
    """
    drawn = [row for row in rows if row["sigma_computed_S_per_cm"] is not None]
    kelvin = kelvins(row["temperature_K"] for row in rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 6.5), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel(rf"measured $\sigma$ near {kelvin} (S cm$^{{-1}}$)")
        axes.set_ylabel(rf"computed $\sigma$({kelvin}), 95 % (S cm$^{{-1}}$)")
        if not drawn:
            say_empty(axes, "no material with a measured value has a fit")
            return figure
        low, high = _limits(drawn)
        line = np.array([low, high])
        for factor, grey in FACTORS:
            axes.fill_between(line, line / factor, line * factor, color=grey, linewidth=0)
        axes.plot(line, line, color="black", linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
        points = []
        for name in dict.fromkeys(row["material"] for row in drawn):
            mine = [row for row in drawn if row["material"] == name]
            points.append((*_draw(axes, mine, how[name]), how[name].label))
        figure.legend(handles=_handles(drawn), loc="outside lower center", ncols=3)
        place_labels(figure, axes, points)
    return figure


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Ends of both axes, whole decades that hold every point and interval."""
    keys = ("measured", "computed_low95", "computed_high95")
    values = [row[f"sigma_{key}_S_per_cm"] for row in rows for key in keys]
    ends = np.log10([min(values), max(values)])
    return 10 ** float(np.floor(ends[0] - 0.1)), 10 ** float(np.ceil(ends[1] + 0.1))


def _draw(axes: Axes, rows: Sequence[Row], look: Look) -> tuple[float, float]:
    """A material; returns where its label points."""
    computed = rows[0]["sigma_computed_S_per_cm"]
    sound = [row["sigma_measured_S_per_cm"] for row in rows if not row["suspect"]]
    suspect = [row["sigma_measured_S_per_cm"] for row in rows if row["suspect"]]
    middle = float(np.exp(np.mean(np.log(sound or suspect))))
    ends = [rows[0][f"sigma_computed_{end}95_S_per_cm"] for end in ("low", "high")]
    axes.errorbar(
        middle,
        computed,
        xerr=[[middle - min(sound)], [max(sound) - middle]] if len(sound) > 1 else None,
        yerr=[[computed - ends[0]], [ends[1] - computed]],
        marker=look.marker if sound else "none",
        markersize=6,
        color=look.colour,
        capsize=3,
        linewidth=1.0,
        linestyle="none",
        zorder=3,
    )
    single: dict[str, Any] = {
        "linestyle": "none",
        "color": look.colour,
        "markersize": 5,
        "zorder": 4,
    }
    if len(sound) > 1:
        axes.plot(sound, [computed] * len(sound), marker="|", **single)
    if suspect:
        axes.plot(suspect, [computed] * len(suspect), marker="o", mfc="white", **single)
    return middle, computed


def _handles(rows: Sequence[Row]) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color="black", linewidth=0.8, label="computed = measured"),
        *(Patch(color=grey, label=f"within a factor of {n}") for n, grey in FACTORS[::-1]),
        Line2D([], [], color="black", marker="|", label="measured: range, mean (log)"),
    ]
    if any(row["suspect"] for row in rows):
        hollow: dict[str, Any] = {
            "marker": "o",
            "markerfacecolor": "white",
            "markersize": 5,
            "linestyle": "none",
        }
        handles.append(Line2D([], [], color="black", label="measured, suspect", **hollow))
    return handles
