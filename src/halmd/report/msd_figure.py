"""Mean-square displacements: one material in large, all materials as small multiples, the table."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from halmd.report.results import MaterialResults, extrapolates
from halmd.report.style import COLOURS, STYLE, Look, doubt_words, in_doubt
from halmd.units import CM2_PER_S_PER_A2_PER_PS

COLUMNS = (
    "material",
    "formula",
    "ordering",
    "replica",
    "temperature_K",
    "verdict",
    "extrapolating",
    "time_ps",
    "msd_A2",
    "msd_error_A2",
    "fit_from_ps",
    "fit_to_ps",
    "fit_intercept_A2",
    "fit_slope_A2_per_ps",
)
"""One row for each point of each run; the fit of its run stands in every row, empty without one."""

_FLOOR_A2 = 1e-3
_PANEL_INCH = (2.0, 1.3)
_NAME_INCH = 1.7
"""Width of the names of materials beside the small multiples."""


def msd_figure(material: MaterialResults, look: Look) -> Figure:
    """Mean-square displacement of every run: one panel a temperature, one colour an ordering."""
    temperatures = sorted({run["temperature_K"] for run in material.runs})
    columns = min(4, len(temperatures))
    rows = -(-len(temperatures) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.0 * columns + 0.4, 2.7 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, temperature in zip(panels, temperatures, strict=False):
            _draw_runs(axes, material, temperature)
            axes.set_title(f"{temperature:g} K")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("time (ps)")
            axes.set_ylabel(f"MSD of {material.mobile} (Å$^2$)")
            if axes.get_lines():
                axes.legend(loc="upper left")
        for axes in panels[len(temperatures) :]:
            axes.set_visible(False)
        figure.suptitle(
            f"{look.label}{doubt_words(material)}: mean-square displacement; "
            "dashed: fit, shown over its window"
        )
    return figure


def msd_grid_figure(results: Sequence[MaterialResults], how: Sequence[Look]) -> Figure:
    """All runs of all materials on common axes: one row a material, its temperatures rising.

    Runs left out of the fits are pale. Colours are orderings, as in `msd_figure`.
    """
    ladders = [sorted({run["temperature_K"] for run in material.runs}) for material in results]
    columns = max(len(ladder) for ladder in ladders)
    width, height = _PANEL_INCH
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(_NAME_INCH + width * max(columns, 2), 1.2 + height * len(results)),
            layout="constrained",
        )
        grid = figure.subplots(len(results), columns, squeeze=False, sharex=True, sharey=True)
        for number, (row, material, look) in enumerate(zip(grid, results, how, strict=True)):
            ladder = ladders[number]
            for axes, temperature in zip(row, ladder, strict=False):
                _draw_runs(axes, material, temperature, small=True)
                # Where all materials ran at the same temperatures, they head the columns.
                if number == 0 or any(other != ladders[0] for other in ladders):
                    axes.set_title(f"{temperature:g} K", fontsize=8, pad=3)
            for axes in row[len(ladder) :]:
                axes.set_visible(False)
            row[0].set_ylabel(
                look.label + in_doubt(material), rotation=0, ha="right", va="center", fontsize=9
            )
        # A thousand minor ticks would take most of the time.
        grid[0, 0].set_xscale("log", subs=[])
        grid[0, 0].set_yscale("log", subs=[])
        mobile = "/".join(sorted({material.mobile for material in results}))
        # A label of the whole figure would stand in the legend's place.
        for axes in grid[-1]:
            axes.set_xlabel("time (ps)")
        figure.suptitle(f"mean-square displacement of {mobile} (Å$^2$)", fontsize=10)
        figure.legend(handles=_grid_handles(results), loc="outside lower center", ncols=4)
    return figure


def _grid_handles(results: Sequence[MaterialResults]) -> list[Line2D]:
    orderings = sorted({run["ordering"] for material in results for run in material.runs})
    handles = [
        Line2D([], [], color=COLOURS[number % len(COLOURS)], label=f"ordering {ordering}")
        for number, ordering in enumerate(orderings)
    ]
    handles.append(Line2D([], [], color="black", linestyle=(0, (3, 2)), label="fit, in its window"))
    if any(run["verdict"] != "converged" for material in results for run in material.runs):
        handles.append(Line2D([], [], color="black", alpha=0.35, label="left out of the fits"))
    return handles


def _draw_runs(
    axes: Axes, material: MaterialResults, temperature_K: float, *, small: bool = False
) -> None:
    """All runs of a material at a temperature, each ordering in its colour."""
    orderings = sorted({run["ordering"] for run in material.runs})
    for run in material.runs:
        if run["temperature_K"] == temperature_K:
            colour = COLOURS[orderings.index(run["ordering"]) % len(COLOURS)]
            pale = small and run["verdict"] != "converged"
            _draw_msd(axes, run, colour, alpha=0.35 if pale else 1.0)


def _draw_msd(axes: Axes, run: dict[str, Any], colour: str, *, alpha: float) -> None:
    curve = run["msd"]
    if not curve["time_ps"]:
        return
    time, msd, error = (np.array(curve[key]) for key in ("time_ps", "msd_A2", "error_A2"))
    label = f"ordering {run['ordering']}"
    label += f" r{run['replica']}" if run["replica"] != "0" else ""
    if run["verdict"] != "converged":
        label += f": {run['verdict'].replace('_', ' ')}"
    elif extrapolates(run):
        label += ": extrapolating, accepted"
    axes.plot(time, msd, color=colour, linewidth=1.2, alpha=alpha, label=label)
    low = np.maximum(msd - error, _FLOOR_A2)
    axes.fill_between(time, low, msd + error, color=colour, alpha=0.2 * alpha, linewidth=0)
    if "fit_from_ps" in run:
        window = np.geomspace(run["fit_from_ps"], run["fit_to_ps"], 40)
        axes.plot(
            window,
            run["intercept_A2"] + _slope_A2_per_ps(run) * window,
            color="black",
            alpha=alpha,
            linestyle=(0, (3, 2)),
            linewidth=1.1,
            zorder=3,
        )


def _slope_A2_per_ps(run: dict[str, Any]) -> float:
    """Slope of the MSD that a run's diffusivity stands for."""
    return float(6 * run["D_tracer_cm2_per_s"] / CM2_PER_S_PER_A2_PER_PS)


def msd_rows(results: Sequence[MaterialResults]) -> list[dict[str, Any]]:
    """Points of all curves, in the columns `COLUMNS`, with the numbers of transport.json."""
    rows = []
    for material in results:
        for run in material.runs:
            base: dict[str, Any] = {"material": material.name, "formula": material.formula}
            base |= {key: run[key] for key in ("ordering", "replica", "temperature_K", "verdict")}
            base |= {"extrapolating": extrapolates(run)}
            if "fit_from_ps" in run:
                base |= {key: run[key] for key in ("fit_from_ps", "fit_to_ps")}
                base |= {"fit_intercept_A2": run["intercept_A2"]}
                base |= {"fit_slope_A2_per_ps": _slope_A2_per_ps(run)}
            curve = run["msd"]
            points = zip(curve["time_ps"], curve["msd_A2"], curve["error_A2"], strict=True)
            rows += [
                base | {"time_ps": time, "msd_A2": msd, "msd_error_A2": error}
                for time, msd, error in points
            ]
    return rows
