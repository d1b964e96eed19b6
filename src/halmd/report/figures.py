"""Figures from result records: Arrhenius plots and mean-square displacements.

Pure functions from records to matplotlib figures; nothing here reads a trajectory.
"""

import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from halmd.config import PlotSettings
from halmd.reference import Published, computed, measured
from halmd.report.results import MaterialResults, extrapolates
from halmd.units import KELVIN_AT_0_C

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, told apart by all common kinds of colour vision."""

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "axes.spines.right": True,
    "svg.hashsalt": "halmd",
    "svg.fonttype": "path",
    "mathtext.default": "regular",
}

_LN10 = np.log(10.0)
_LIKELY = 0.5
_NAMED = 4
"""More materials than these are counted in the title; the legend names them all."""
_LEGEND_LINE_INCH = 0.165
_MEASURED_MARKERS = ("*", "P", "X", "h", "d")
_COMPUTED_MARKERS = ("^", "v", "<", ">", "8")


def subscripted(formula: str) -> str:
    """A formula with its amounts as subscripts, in mathtext."""
    return re.sub(r"(\d+(?:\.\d+)?(?:/\d+)?)", r"$_{\1}$", formula)


def arrhenius_figure(results: Sequence[MaterialResults], settings: PlotSettings) -> Figure:
    """log10(sigma T) and log10(sigma) against 1000/T, with data, fits, extrapolations,
    literature."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.6), layout="constrained")
        published: list[Any] = []
        for axes, times_T in zip(figure.subplots(1, 2), (True, False), strict=True):
            for number, material in enumerate(results):
                colour = COLOURS[number % len(COLOURS)]
                _draw_material(axes, material, colour, times_T, alone=len(results) == 1)
            published = _draw_literature(axes, results, settings, times_T)
            _decorate(axes, times_T)
        own = _material_handles(results) + _key_handles(
            [run for material in results for run in _drawable(material)], alone=len(results) == 1
        )
        # Below the axes, where no number of materials or published values covers the data.
        for handles, side in ((own, "left"), (published, "right")):
            if handles:
                figure.legend(handles=handles, loc=f"outside lower {side}", handlelength=1.6)
        lines = max(len(own), len(published))
        figure.set_figheight(4.4 + _LEGEND_LINE_INCH * lines)
        names = [subscripted(material.formula) for material in results]
        figure.suptitle(
            "Nernst-Einstein conductivity from molecular dynamics: "
            + (", ".join(names) if len(names) <= _NAMED else f"{len(names)} materials")
        )
    return figure


def _draw_material(
    axes: Axes, material: MaterialResults, colour: str, times_T: bool, *, alone: bool
) -> None:
    record = material.arrhenius
    for run in _drawable(material):
        x = 1000 / run["temperature_K"]
        used = run["verdict"] == "converged"
        axes.plot(
            x,
            _y(run["sigma_NE_S_per_cm"], run["temperature_K"], times_T),
            marker=("D" if extrapolates(run) else "o") if used else "x",
            markersize=4 if used else 6,
            color=colour,
            alpha=0.45 if used else 0.9,
            markerfacecolor="none",
            linestyle="none",
        )
    for pooled in record["pooled"]:
        T = pooled["temperature_K"]
        middle = _y(pooled["sigma_NE_S_per_cm"], T, times_T)
        low, high = (_y(end, T, times_T) for end in pooled["sigma_NE_interval68_S_per_cm"])
        axes.errorbar(
            1000 / T,
            middle,
            yerr=[[middle - low], [high - middle]],
            marker="o",
            markersize=6,
            color=colour,
            capsize=3,
            linestyle="none",
            zorder=4,
        )
    if record["verdict"] != "ok":
        return
    _draw_band(axes, record, colour, times_T, alone=alone)
    _draw_break(axes, record, colour, times_T)
    for there in record["at_temperatures"]:
        T = there["temperature_K"]
        middle = _y(there["sigma_NE_S_per_cm"], T, times_T)
        low, high = (_y(end, T, times_T) for end in there["sigma_NE_interval95_S_per_cm"])
        axes.errorbar(
            1000 / T,
            middle,
            yerr=[[middle - low], [high - middle]],
            marker="o" if there["is_extrapolation"] else "s",
            markersize=7,
            markerfacecolor="white",
            color=colour,
            capsize=4,
            linestyle="none",
            zorder=5,
        )


def _drawable(material: MaterialResults) -> list[dict[str, Any]]:
    """Runs whose conductivity has a logarithm."""
    return [run for run in material.runs if run.get("sigma_NE_S_per_cm", 0.0) > 0]


def _draw_band(
    axes: Axes, record: dict[str, Any], colour: str, times_T: bool, *, alone: bool
) -> None:
    """Fit with its bands; beyond the data dashed, with what an unseen change of Ea would add.

    Among other materials only the 68 % band, because bands upon bands show nothing.
    """
    band = record["band"]
    x = np.array(band["per_1000_K"])
    shift = 0.0 if times_T else np.log10(1000 / x)
    line = np.array(band["ln_sigma_T_S_K_per_cm"]) / _LN10 - shift
    hottest, coldest = (1000 / end(record["temperatures_K"]) for end in (max, min))
    # The curve at the ends of the data, so that full and dashed lines meet there.
    ends = np.interp([hottest, coldest], x, line)
    inside = (x > hottest) & (x < coldest)
    axes.plot(
        [hottest, *x[inside], coldest],
        [ends[0], *line[inside], ends[1]],
        color=colour,
        linewidth=1.5,
    )
    dashed: dict[str, Any] = {"color": colour, "linewidth": 1.5, "linestyle": (0, (4, 2.5))}
    if x[-1] > coldest:
        axes.plot([coldest, *x[x > coldest]], [ends[1], *line[x > coldest]], **dashed)
    if x[0] < hottest:
        axes.plot([*x[x < hottest], hottest], [*line[x < hottest], ends[0]], **dashed)
    for level, alpha in (("95", 0.12), ("68", 0.22)) if alone else (("68", 0.15),):
        low, high = (np.array(end) / _LN10 - shift for end in band[f"interval{level}"])
        axes.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)
    for end in band["with_unseen_change95"] if alone else ():
        edge = np.where((x > coldest) | (x < hottest), np.array(end) / _LN10 - shift, np.nan)
        axes.plot(x, edge, color=colour, linewidth=0.9, linestyle=":")


def _draw_break(axes: Axes, record: dict[str, Any], colour: str, times_T: bool) -> None:
    """The change of regime inside the data where it is likelier than not: its 68 % interval."""
    regimes = record["regimes"]
    if regimes is None or regimes["weight"] < _LIKELY:
        return
    T = regimes["break_temperature_K"]
    cold, hot = regimes["break_temperature_interval68_K"]
    axes.axvspan(1000 / hot, 1000 / cold, color=colour, alpha=0.08, linewidth=0)
    if times_T:
        x = np.array(record["band"]["per_1000_K"])
        rightwards = x[0] + 0.6 * (x[-1] - x[0]) > 1000 / T
        axes.annotate(
            f"Ea changes near {T:.0f} K (weight {regimes['weight']:.2f}):\n"
            f"{regimes['Ea_hot_eV']:.2f} eV above, {regimes['Ea_cold_eV']:.2f} eV below",
            xy=(1000 / T, 0.985 - 0.06 * len(axes.texts)),
            xycoords=("data", "axes fraction"),
            xytext=(6 if rightwards else -6, 0),
            textcoords="offset points",
            ha="left" if rightwards else "right",
            va="top",
            fontsize=7.5,
            color=colour,
        )


def _draw_literature(
    axes: Axes, results: Sequence[MaterialResults], settings: PlotSettings, times_T: bool
) -> list[Any]:
    """Published values as symbols of their own; returns what the legend shows of them."""
    handles = []
    drawn: set[Published] = set()
    for number, material in enumerate(results):
        colour = COLOURS[number % len(COLOURS)] if len(results) > 1 else "black"
        groups = []
        if settings.show_measured:
            groups.append((measured(material.formula), _MEASURED_MARKERS, "measured"))
        if settings.show_computed:
            groups.append((computed(material.formula), _COMPUTED_MARKERS, "computed"))
        for values, markers, kind in groups:
            styles: dict[str, str] = {}
            for value in values:
                # Computed values of a composition nearby may belong to several materials.
                if value in drawn:
                    continue
                drawn.add(value)
                key = value.citation if kind == "measured" else value.method
                fresh = key not in styles
                marker = styles.setdefault(key, markers[len(styles) % len(markers)])
                hollow = value.suspect or value.extrapolated
                (handle,) = axes.plot(
                    1000 / value.temperature_K,
                    _y(value.sigma_S_per_cm, value.temperature_K, times_T),
                    marker=marker,
                    markersize=9 if kind == "measured" else 6,
                    color=colour if kind == "measured" else "#777777",
                    markerfacecolor="none" if hollow else None,
                    linestyle="none",
                    zorder=6,
                )
                if not fresh:
                    continue
                text = (
                    f"{kind}: {1000 * value.sigma_S_per_cm:.3g} mS/cm at {value.temperature_K:g} K"
                )
                if kind == "measured":
                    text += f", {value.citation}" + (", suspect" if value.suspect else "")
                else:
                    note = " (hollow: extrapolated)" if value.extrapolated else ""
                    text = f"published for {subscripted(value.formula)}: {value.method}{note}"
                handle.set_label(text)
                handles.append(handle)
    return handles


def _material_handles(results: Sequence[MaterialResults]) -> list[Any]:
    """Whose colour is whose, where that is not plain, and which crystals are in doubt."""
    return [
        Line2D(
            [],
            [],
            marker="o",
            color=COLOURS[number % len(COLOURS)],
            label=subscripted(material.formula) + doubt_words(material),
        )
        for number, material in enumerate(results)
        if len(results) > 1 or material.doubtful
    ]


def doubt_words(material: MaterialResults) -> str:
    """What a title or legend adds for a crystal of low confidence."""
    return f" (LOW confidence: {material.structure['prototype']})" if material.doubtful else ""


def _key_handles(runs: Sequence[dict[str, Any]], *, alone: bool) -> list[Any]:
    """What halmd's own symbols mean, in the colour of a material that stands alone."""
    colour = COLOURS[0] if alone else "black"
    reasons = sorted({run["verdict"].replace("_", " ") for run in runs} - {"converged"})
    accepted = Line2D(
        [],
        [],
        marker="D",
        markersize=4,
        markerfacecolor="none",
        alpha=0.6,
        color=colour,
        linestyle="none",
        label="single runs beyond what the potential was trained on",
    )
    beyond = any(extrapolates(run) and run["verdict"] == "converged" for run in runs)
    change = Line2D(
        [],
        [],
        color=colour,
        linewidth=0.9,
        linestyle=":",
        label="95 % with a change of Ea beyond the data",
    )
    return [
        Line2D([], [], marker="o", color=colour, linestyle="none", label="mean of runs, 68 %"),
        Line2D(
            [],
            [],
            marker="o",
            markersize=4,
            markerfacecolor="none",
            alpha=0.6,
            color=colour,
            linestyle="none",
            label="single runs",
        ),
        Line2D(
            [],
            [],
            marker="x",
            markersize=6,
            alpha=0.9,
            color=colour,
            linestyle="none",
            label="runs left out of the fit" + (f" ({', '.join(reasons)})" if reasons else ""),
        ),
        *([accepted] if beyond else []),
        Line2D([], [], color=colour, label="Arrhenius fit"),
        Line2D([], [], color=colour, linestyle=(0, (4, 2.5)), label="extrapolation"),
        Patch(color=colour, alpha=0.25, label=f"68 % {'and 95 % ' * alone}of the fit"),
        *([change] if alone else []),
        Line2D(
            [],
            [],
            marker="o",
            markerfacecolor="white",
            color=colour,
            linestyle="none",
            label="extrapolated value, 95 % (square: inside the data)",
        ),
    ]


def _decorate(axes: Axes, times_T: bool) -> None:
    axes.set_xlabel("1000 / T (K$^{-1}$)")
    axes.set_ylabel(
        r"log$_{10}$($\sigma$T / (S K cm$^{-1}$))"
        if times_T
        else r"log$_{10}$($\sigma$ / (S cm$^{-1}$))"
    )
    top = axes.secondary_xaxis("top", functions=(_celsius, _per_1000_kelvin))
    top.set_xlabel("temperature (°C)")
    left, right = axes.get_xlim()
    hottest, coldest = 1000 / left - KELVIN_AT_0_C, 1000 / right - KELVIN_AT_0_C
    ticks = [
        t for t in (0, 25, 50, 100, 150, 200, 300, 400, 500, 700, 1000) if coldest <= t <= hottest
    ]
    top.set_xticks(ticks)
    top.minorticks_off()


def _celsius(per_1000_kelvin: Any) -> Any:
    return 1000 / np.maximum(per_1000_kelvin, 1e-6) - KELVIN_AT_0_C


def _per_1000_kelvin(celsius: Any) -> Any:
    return 1000 / np.maximum(np.asarray(celsius) + KELVIN_AT_0_C, 1e-6)


def _y(sigma_S_per_cm: float, temperature_K: float, times_T: bool) -> float:
    return float(np.log10(max(sigma_S_per_cm, 1e-30) * (temperature_K if times_T else 1.0)))


def msd_figure(material: MaterialResults) -> Figure:
    """Mean-square displacement of every run: one panel a temperature, one colour an ordering."""
    temperatures = sorted({run["temperature_K"] for run in material.runs})
    columns = min(4, len(temperatures))
    rows = -(-len(temperatures) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.0 * columns + 0.4, 2.7 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        orderings = sorted({run["ordering"] for run in material.runs})
        for axes, temperature in zip(panels, temperatures, strict=False):
            for run in material.runs:
                if run["temperature_K"] == temperature:
                    colour = COLOURS[orderings.index(run["ordering"]) % len(COLOURS)]
                    _draw_msd(axes, run, colour)
            axes.set_title(f"{temperature:g} K")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("time (ps)")
            axes.set_ylabel(f"MSD of {material.runs[0]['mobile']} (Å$^2$)")
            axes.legend(loc="upper left")
        for axes in panels[len(temperatures) :]:
            axes.set_visible(False)
        figure.suptitle(
            f"{subscripted(material.formula)}{doubt_words(material)}: mean-square displacement; "
            "dashed: fit, shown over its window"
        )
    return figure


def _draw_msd(axes: Axes, run: dict[str, Any], colour: str) -> None:
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
    axes.plot(time, msd, color=colour, linewidth=1.2, label=label)
    axes.fill_between(
        time, np.maximum(msd - error, 1e-3), msd + error, color=colour, alpha=0.2, linewidth=0
    )
    if "fit_from_ps" in run:
        window = np.geomspace(run["fit_from_ps"], run["fit_to_ps"], 40)
        slope_A2_per_ps = 6 * run["D_tracer_cm2_per_s"] * 1e4
        axes.plot(
            window,
            run["intercept_A2"] + slope_A2_per_ps * window,
            color="black",
            linestyle=(0, (3, 2)),
            linewidth=1.1,
            zorder=3,
        )
