"""One analysed run for people: its figure and its summary."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halmd.files import whole_file
from halmd.report.style import COLOURS, STYLE

_VERDICTS = {
    "converged": "enough jumps, and motion that has become diffusive",
    "too_few_jumps": "too few jumps for a diffusivity",
    "too_short": "too few frames for a diffusivity",
    "framework_unstable": "the framework moves away: this is no longer the crystal",
    "extrapolating": "the run leaves what its potential was trained on: its committee disagrees",
    "not_yet_diffusive": "ions still jump back over the longest lags: D is an upper bound",
}


def summary_lines(record: dict[str, Any]) -> list[str]:
    """What a transport record says, in a few lines; the first begins with the verdict."""
    verdict = record["verdict"]
    lines = [f"{verdict} ({_VERDICTS[verdict]})" if verdict in _VERDICTS else verdict]
    if "D_tracer_cm2_per_s" not in record:
        return lines
    low, high = record["D_tracer_interval95_cm2_per_s"]
    lines.append(
        f"D = {record['D_tracer_cm2_per_s']:.3g} cm²/s (95 %: {low:.2g} to {high:.2g}), "
        f"{record['n_ions']} {record['mobile']} over {record['length_ps']:g} ps, fitted from "
        f"{record['fit_from_ps']:.3g} to {record['fit_to_ps']:.3g} ps"
    )
    low, high = (1000 * end for end in record["sigma_NE_interval95_S_per_cm"])
    lines.append(
        f"sigma_NE = {1000 * record['sigma_NE_S_per_cm']:.3g} mS/cm (95 %: {low:.3g} to "
        f"{high:.3g}) at {record['temperature_K']:g} K"
    )
    lines.append(_charge_line(record))
    jumps, needed = record["n_effective_jumps"], record["length_for_target_ps"]
    target = record["settings"]["target_relative_error"]
    advice = f"; {needed:.0f} ps would bring D to {100 * target:g} %" if needed else ""
    lines.append(f"{jumps:.0f} effective jumps{advice}")
    if record["volume_relative_spread"] > 1e-6:
        lines.append(
            f"the cell's volume fluctuates by {100 * record['volume_relative_spread']:.2g} %; "
            "positions were taken relative to the mean cell"
        )
    return lines


def _charge_line(record: dict[str, Any]) -> str:
    if record["haven_ratio"] is None:
        error = record["D_charge_relative_error"]
        known = f"{100 * error:.0f} %" if error is not None else "more than itself"
        return f"charge diffusivity not resolved (error {known}): no Haven ratio"
    low, high = record["haven_ratio_interval95"]
    return (
        f"sigma = {1000 * record['sigma_S_per_cm']:.3g} mS/cm with collective motion, Haven ratio "
        f"{record['haven_ratio']:.2f} (95 %: {low:.2f} to {high:.2f})"
    )


def write_run_figure(record: dict[str, Any], path: Path) -> None:
    """Draw a transport record to a file, whole or not at all."""
    with mpl.rc_context(STYLE), whole_file(path) as temporary:
        run_figure(record).savefig(
            temporary, format=path.suffix.removeprefix(".") or "png", dpi=160
        )


def run_figure(record: dict[str, Any]) -> Figure:
    """MSD of all elements, D against the fit window, D along the run, D along directions."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 7.0), layout="constrained")
        panels = figure.subplots(2, 2).ravel()
        _draw_msds(panels[0], record)
        if "D_tracer_cm2_per_s" in record:
            _draw_windows(panels[1], record)
            _draw_blocks(panels[2], record)
            _draw_directions(panels[3], record)
        else:
            for axes in panels[1:]:
                axes.set_visible(False)
        lines = summary_lines(record)
        figure.suptitle("\n".join(lines[:3]), fontsize=9)
    return figure


def _draw_msds(axes: Axes, record: dict[str, Any]) -> None:
    curve = record["msd"]
    time = np.array(curve["time_ps"])
    if not len(time):
        # A guard stopped the run before its second frame: axes of logarithms would have nothing.
        axes.set_title("no two frames to compare")
        return
    curves = {record["mobile"]: curve["msd_A2"]} | curve["others_A2"]
    for number, (symbol, msd) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(time, np.maximum(msd, 1e-6), color=colour, linewidth=1.4, label=symbol)
        if number == 0:
            error = np.array(curve["error_A2"])
            low, high = np.maximum(msd - error, 1e-6), msd + error
            axes.fill_between(time, low, high, color=colour, alpha=0.2, linewidth=0)
    if "fit_from_ps" in record:
        axes.axvspan(record["fit_from_ps"], record["fit_to_ps"], color="0.85", zorder=0)
        window = np.geomspace(record["fit_from_ps"], time[-1], 40)
        line = record["intercept_A2"] + 6e4 * record["D_tracer_cm2_per_s"] * window
        axes.plot(window, line, color="black", linestyle=(0, (3, 2)), linewidth=1.1, label="fit")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("time (ps)")
    axes.set_ylabel("mean-square displacement (Å$^2$)")
    axes.set_title("all elements; grey: lags that are fitted")
    axes.legend(loc="upper left")


def _draw_windows(axes: Axes, record: dict[str, Any]) -> None:
    found = record["D_by_window"]
    start, D, error = (
        np.array(found[key]) for key in ("from_ps", "D_cm2_per_s", "D_error_cm2_per_s")
    )
    axes.plot(start, D, color=COLOURS[0], linewidth=1.2)
    axes.fill_between(start, D - error, D + error, color=COLOURS[0], alpha=0.2, linewidth=0)
    _draw_result(axes, record)
    axes.axvline(record["fit_from_ps"], color="0.6", linewidth=1)
    axes.set_xscale("log")
    top = max(record["D_tracer_interval95_cm2_per_s"][1], 1e-12)
    axes.set_ylim(min(0.0, float(D[start >= record["fit_from_ps"]].min(initial=0.0))), 2.2 * top)
    axes.set_xlabel("t (ps): fit from t to 2 t")
    axes.set_ylabel("D (cm$^2$/s)")
    axes.set_title("D against the fit window (level: diffusive)")


def _draw_blocks(axes: Axes, record: dict[str, Any]) -> None:
    blocks = record["checks"]["blocks"]
    middle = np.array(blocks["start_ps"]) + blocks["length_ps"] / 2
    axes.errorbar(
        middle,
        blocks["D_cm2_per_s"],
        xerr=blocks["length_ps"] / 2,
        color=COLOURS[1],
        marker="o",
        markersize=4,
        linestyle="none",
    )
    _draw_result(axes, record)
    axes.set_ylim(bottom=min(0.0, *blocks["D_cm2_per_s"]))
    axes.set_xlabel("time in the run (ps)")
    axes.set_ylabel("D (cm$^2$/s)")
    axes.set_title("D in blocks of the run")


def _draw_directions(axes: Axes, record: dict[str, Any]) -> None:
    tensor = record["tensor"]
    named = {f"along {name}": entry for name, entry in tensor["lattice"].items()}
    named |= {f"axis {k + 1}": entry for k, entry in enumerate(tensor["principal"])}
    axes.errorbar(
        range(len(named)),
        [entry["D_cm2_per_s"] for entry in named.values()],
        yerr=[entry["D_error_cm2_per_s"] for entry in named.values()],
        color=COLOURS[2],
        marker="s",
        markersize=5,
        capsize=3,
        linestyle="none",
    )
    _draw_result(axes, record)
    axes.set_xticks(range(len(named)), list(named))
    axes.set_xlim(-0.6, len(named) - 0.4)
    axes.set_ylim(bottom=min(0.0, *(entry["D_cm2_per_s"] for entry in named.values())))
    axes.set_ylabel("D (cm$^2$/s)")
    p = tensor["isotropic_p"]
    title = "D along lattice vectors and principal axes"
    axes.set_title(title + (f" (isotropic: p = {p:.2g})" if p is not None else ""))


def _draw_result(axes: Axes, record: dict[str, Any]) -> None:
    """The result as a line and its 68 and 95 % intervals as bands."""
    for level, alpha in (("95", 0.12), ("68", 0.2)):
        low, high = record[f"D_tracer_interval{level}_cm2_per_s"]
        axes.axhspan(low, high, color="black", alpha=alpha, linewidth=0)
    axes.axhline(record["D_tracer_cm2_per_s"], color="black", linewidth=0.8)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
