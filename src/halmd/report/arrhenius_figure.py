"""Arrhenius plots: log10(sigma T) and log10(sigma) against 1000/T."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from halmd.config import PlotSettings
from halmd.report.literature import Shown, shown
from halmd.report.results import MaterialResults, drawable, extrapolates
from halmd.report.style import (
    STYLE,
    Look,
    add_temperatures_on_top,
    doubt_words,
    looks,
    subscripted,
    temperature_words,
)

_LN10 = np.log(10.0)
_LIKELY = 0.5
_NAMED = 4
"""More materials than these are counted in the title; the legend names them all."""
_BANDS = 6
"""More materials than these are drawn without bands, which would hide each other and the data."""
_LEGEND_LINE_INCH = 0.165
_MEASURED_MARKERS = ("*", "P", "X", "h", "d")
_COMPUTED_MARKERS = ("^", "v", "<", ">", "8")


def arrhenius_figure(results: Sequence[MaterialResults], settings: PlotSettings) -> Figure:
    """log10(sigma T) and log10(sigma) against 1000/T, with data, fits, extrapolations,
    literature."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.6), layout="constrained")
        how = looks(results, settings)
        published: list[Any] = []
        for axes, times_T in zip(figure.subplots(1, 2), (True, False), strict=True):
            for material, look in zip(results, how, strict=True):
                _draw_material(axes, material, look, times_T, among=len(results))
            published = _draw_literature(axes, shown(results, settings), how, settings, times_T)
            _decorate(axes, times_T, settings)
        own = _material_handles(results, how) + _key_handles(results, how)
        # Below the axes, where no number of materials or published values covers the data.
        for handles, side in ((own, "left"), (published, "right")):
            if handles:
                figure.legend(handles=handles, loc=f"outside lower {side}", handlelength=1.6)
        lines = max(len(own), len(published))
        figure.set_figheight(4.4 + _LEGEND_LINE_INCH * lines)
        names = [look.label for look in how]
        figure.suptitle(
            "Nernst-Einstein conductivity from molecular dynamics: "
            + (", ".join(names) if len(names) <= _NAMED else f"{len(names)} materials")
        )
    return figure


def _draw_material(
    axes: Axes, material: MaterialResults, look: Look, times_T: bool, *, among: int
) -> None:
    record, colour = material.arrhenius, look.colour
    for run in drawable(material):
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
            marker=look.marker,
            markersize=6,
            color=colour,
            capsize=3,
            linestyle="none",
            zorder=4,
        )
    if record["verdict"] != "ok":
        return
    _draw_band(axes, record, colour, times_T, among=among)
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


def _draw_band(
    axes: Axes, record: dict[str, Any], colour: str, times_T: bool, *, among: int
) -> None:
    """Fit with its bands; beyond the data dashed, with what an unseen change of Ea would add.

    Among a few materials only the 68 % band, because bands upon bands show nothing.
    """
    band, alone = record["band"], among == 1
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
    for level, alpha in _bands(among):
        low, high = (np.array(end) / _LN10 - shift for end in band[f"interval{level}"])
        axes.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)
    for end in band["with_unseen_change95"] if alone else ():
        edge = np.where((x > coldest) | (x < hottest), np.array(end) / _LN10 - shift, np.nan)
        axes.plot(x, edge, color=colour, linewidth=0.9, linestyle=":")


def _bands(among: int) -> tuple[tuple[str, float], ...]:
    """Levels in percent that are drawn as bands, and how opaque."""
    if among == 1:
        return ("95", 0.12), ("68", 0.22)
    return (("68", 0.15),) if among <= _BANDS else ()


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
    axes: Axes, values: Sequence[Shown], how: Sequence[Look], settings: PlotSettings, times_T: bool
) -> list[Any]:
    """Published values as symbols of their own; returns what the legend shows of them."""
    handles = []
    styles: dict[tuple[int, str], dict[str, str]] = {}
    for item in values:
        value, is_measured = item.value, item.kind == "measured"
        markers = _MEASURED_MARKERS if is_measured else _COMPUTED_MARKERS
        own = styles.setdefault((item.number, item.kind), {})
        key = value.citation if is_measured else value.method
        fresh = key not in own
        marker = own.setdefault(key, markers[len(own) % len(markers)])
        colour = how[item.number].colour if len(how) > 1 else "black"
        (handle,) = axes.plot(
            1000 / value.temperature_K,
            _y(value.sigma_S_per_cm, value.temperature_K, times_T),
            marker=marker,
            markersize=9 if is_measured else 6,
            color=colour if is_measured else "#777777",
            markerfacecolor="none" if value.suspect or value.extrapolated else None,
            linestyle="none",
            zorder=6,
        )
        if fresh:
            handle.set_label(_words_of(item, how, settings))
            handles.append(handle)
    return handles


def _words_of(item: Shown, how: Sequence[Look], settings: PlotSettings) -> str:
    """What the legend says of a published value."""
    value = item.value
    if item.kind == "published":
        note = " (hollow: extrapolated)" if value.extrapolated else ""
        return f"published for {subscripted(value.formula)}: {value.method}{note}"
    whose = f"{how[item.number].label}, " if len(how) > 1 else ""
    return (
        f"measured: {whose}{1000 * value.sigma_S_per_cm:.3g} mS/cm at "
        f"{temperature_words(value.temperature_K, settings.temperature_unit)}, "
        f"{value.citation}" + (", suspect" if value.suspect else "")
    )


def _material_handles(results: Sequence[MaterialResults], how: Sequence[Look]) -> list[Any]:
    """Whose colour is whose, where that is not plain, and which crystals are in doubt."""
    return [
        Line2D(
            [],
            [],
            marker=look.marker,
            color=look.colour,
            label=look.label + doubt_words(material),
        )
        for material, look in zip(results, how, strict=True)
        if len(results) > 1 or material.doubtful
    ]


def _key_handles(results: Sequence[MaterialResults], how: Sequence[Look]) -> list[Any]:
    """What halmd's own symbols mean, in the colour of a material that stands alone."""
    alone = len(how) == 1
    colour = how[0].colour if alone else "black"
    runs = [run for material in results for run in drawable(material)]
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
    band = Patch(color=colour, alpha=0.25, label=f"68 % {'and 95 % ' * alone}of the fit")
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
        *([band] if _bands(len(how)) else []),
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


def _decorate(axes: Axes, times_T: bool, settings: PlotSettings) -> None:
    axes.set_xlabel("1000 / T (K$^{-1}$)")
    axes.set_ylabel(
        r"log$_{10}$($\sigma$T / (S K cm$^{-1}$))"
        if times_T
        else r"log$_{10}$($\sigma$ / (S cm$^{-1}$))"
    )
    add_temperatures_on_top(axes, settings.temperature_unit)


def _y(sigma_S_per_cm: float, temperature_K: float, times_T: bool) -> float:
    return float(np.log10(max(sigma_S_per_cm, 1e-30) * (temperature_K if times_T else 1.0)))
