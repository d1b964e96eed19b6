"""Diffusivity along a, b and c of the supercell against temperature, and its table."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from halmd.config import PlotSettings
from halmd.report.results import MaterialResults, left_out, which
from halmd.report.style import (
    COLOURS,
    STYLE,
    Look,
    add_temperatures_on_top,
    in_doubt,
    say_empty,
)
from halmd.transport.tensor import mean_of_runs

COLUMNS = (
    "material",
    "formula",
    "kind",
    "ordering",
    "replica",
    "temperature_K",
    "axis",
    "D_cm2_per_s",
    "D_error_cm2_per_s",
    "D_low95_cm2_per_s",
    "D_high95_cm2_per_s",
    "degrees_of_freedom",
    "isotropic_p",
    "verdict",
    "left_out_because",
)
"""`kind` is run (with its standard error) or mean of the runs that are used (with its interval)."""

AXES = ("a", "b", "c")
_MARKERS = ("o", "s", "^")
_APART_PER_1000_K = 0.012
"""Shift between the three axes, so that their intervals stand side by side."""

Row = dict[str, Any]


def anisotropy_rows(results: Sequence[MaterialResults]) -> list[Row]:
    """Runs and means along each axis, in the columns `COLUMNS`."""
    rows = []
    for material in results:
        base = {"material": material.name, "formula": material.formula}
        rules = left_out(material)
        runs = [run for run in material.runs if "tensor" in run]
        for run in runs:
            told = {key: run[key] for key in ("ordering", "replica", "temperature_K", "verdict")}
            told |= {"left_out_because": rules.get(which(run))}
            tensor = run["tensor"]
            told |= {key: tensor[key] for key in ("degrees_of_freedom", "isotropic_p")}
            for axis in AXES:
                found = {
                    k: tensor["lattice"][axis][k] for k in ("D_cm2_per_s", "D_error_cm2_per_s")
                }
                rows.append(base | {"kind": "run", "axis": axis} | told | found)
        used = [run for run in runs if which(run) not in rules]
        for T in sorted({run["temperature_K"] for run in used}):
            here = [run["tensor"] for run in used if run["temperature_K"] == T]
            for axis in AXES:
                D, low, high = mean_of_runs(
                    [tensor["lattice"][axis]["D_cm2_per_s"] for tensor in here],
                    [tensor["lattice"][axis]["D_error_cm2_per_s"] for tensor in here],
                    [tensor["degrees_of_freedom"] for tensor in here],
                )
                mean = {"kind": "mean", "axis": axis, "temperature_K": T, "D_cm2_per_s": D}
                mean |= {"D_low95_cm2_per_s": low, "D_high95_cm2_per_s": high}
                rows.append(base | mean)
    return rows


def anisotropy_figure(
    results: Sequence[MaterialResults],
    rows: Sequence[Row],
    how: Sequence[Look],
    settings: PlotSettings,
) -> Figure:
    """One panel a material on common axes: D (log) against 1000/T, a colour for each direction."""
    columns = min(5, len(results))
    lines = -(-len(results) // columns)
    width, height = (5.2, 4.2) if len(results) == 1 else (2.6, 2.7)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(max(width * columns, 5.2), height * lines + 0.6), layout="constrained"
        )
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        panels = grid.ravel()
        panels[0].set_yscale("log")
        for axes, material, look in zip(panels, results, how, strict=False):
            _draw(axes, [row for row in rows if row["material"] == material.name])
            axes.set_title(look.label + in_doubt(material), fontsize=9)
        for axes in panels[len(results) :]:
            axes.set_visible(False)
        _limit(panels[0], rows)
        if len(results) == 1:
            add_temperatures_on_top(panels[0], settings.temperature_unit)
        mobile = "/".join(sorted({material.mobile for material in results}))
        # Labels of the whole figure would stand in the legend's place.
        for axes in panels[max(0, len(results) - columns) : len(results)]:
            axes.set_xlabel("1000 / T (K$^{-1}$)")
            axes.tick_params(labelbottom=True)
        figure.supylabel(f"tracer diffusivity of {mobile} (cm$^2$ s$^{{-1}}$)", fontsize=10)
        figure.legend(handles=_handles(), loc="outside lower center", ncols=4)
    return figure


def _draw(axes: Axes, rows: Sequence[Row]) -> None:
    drawn = False
    for place, (axis, colour, marker) in enumerate(zip(AXES, COLOURS, _MARKERS, strict=False)):
        shift = (place - 1) * _APART_PER_1000_K
        for row in rows:
            D = row["D_cm2_per_s"]
            # What is not positive has no place on a logarithmic axis; the table has it.
            if row["axis"] != axis or D <= 0 or row.get("left_out_because"):
                continue
            drawn = True
            x = 1000 / row["temperature_K"] + shift
            if row["kind"] == "run":
                axes.plot(x, D, marker, mfc="none", ms=3, color=colour, alpha=0.5)
                continue
            low = max(row["D_low95_cm2_per_s"], D * 1e-3)
            axes.errorbar(
                x,
                D,
                yerr=[[D - low], [row["D_high95_cm2_per_s"] - D]],
                marker=marker,
                markersize=5,
                color=colour,
                capsize=2,
                linestyle="none",
            )
    if not drawn:
        say_empty(axes, "no run is used")


def _limit(axes: Axes, rows: Sequence[Row]) -> None:
    """Axes that end a little below the smallest value: intervals may go on to zero."""
    drawn = [row for row in rows if row["D_cm2_per_s"] > 0 and not row.get("left_out_because")]
    if not drawn:
        return
    values = [row["D_cm2_per_s"] for row in drawn]
    highest = [row["D_high95_cm2_per_s"] for row in drawn if row["kind"] == "mean"]
    axes.set_ylim(0.4 * min(values), 1.5 * max(values + highest))


def _handles() -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=f"along {axis}, 95 %")
        for axis, colour, marker in zip(AXES, COLOURS, _MARKERS, strict=False)
    ]
    hollow: dict[str, Any] = {
        "marker": "o",
        "markersize": 3,
        "markerfacecolor": "none",
        "alpha": 0.6,
    }
    single = Line2D([], [], color="black", linestyle="none", label="single runs", **hollow)
    return [*handles, single]
