"""Figures of where ions go: jumps, density, van Hove."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halmd.files import whole_file
from halmd.report.style import COLOURS, STYLE
from halmd.transport.density import Density


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, whole or not at all."""
    with mpl.rc_context(STYLE), whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix(".") or "png", dpi=160)


def van_hove_figure(record: dict[str, Any], mobile: str) -> Figure:
    """Distributions of distances, one curve a time."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        r = np.array(record["r_A"])
        for number, curve in enumerate(record["curves"]):
            alpha = curve["alpha_2"]
            label = f"{curve['time_ps']:g} ps"
            label += f", $\\alpha_2$ = {alpha:.2f}" if alpha is not None else ""
            axes.plot(
                r,
                curve["distribution_per_A"],
                color=COLOURS[number % len(COLOURS)],
                linewidth=1.4,
                label=label,
            )
        axes.set_xlim(0, r[-1])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("distance r (Å)")
        axes.set_ylabel(f"4$\\pi$r$^2$G$_s$(r, t) of {mobile} (1/Å)")
        axes.set_title("how far ions go (van Hove, self part)")
        axes.legend()
    return figure


def density_figure(found: Density, mobile: str) -> Figure:
    """Projections of a density along the three cell vectors, in the true shape of the cell."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 4.2), layout="constrained")
        for axis, axes in enumerate(figure.subplots(1, 3)):
            image = _draw_projection(axes, found, axis)
            figure.colorbar(image, ax=axes, shrink=0.8, label="ions per Å$^2$")
        figure.suptitle(f"density of {mobile}, projected along each cell vector")
    return figure


def _draw_projection(axes: Axes, found: Density, axis: int) -> Any:
    """The density summed along one cell vector, on the plane of the two others."""
    first, second = (k for k in range(3) if k != axis)
    u, v = found.cell_A[first], found.cell_A[second]
    angle = np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    height = np.linalg.norm(v) * np.array([np.cos(angle), np.sin(angle)])
    n_u, n_v = found.per_A3.shape[first], found.per_A3.shape[second]
    # Voxels are centred on the points of the grid.
    s, t = np.meshgrid(
        (np.arange(n_u + 1) - 0.5) / n_u, (np.arange(n_v + 1) - 0.5) / n_v, indexing="ij"
    )
    x = s * np.linalg.norm(u) + t * height[0]
    y = t * height[1]
    # What a column holds, over the area that it shows in this plane.
    area = float(np.linalg.norm(np.cross(u, v))) / (n_u * n_v)
    voxel_A3 = abs(float(np.linalg.det(found.cell_A))) / found.per_A3.size
    columns = found.per_A3.sum(axis=axis) * voxel_A3 / area
    image = axes.pcolormesh(x, y, columns, cmap="viridis", vmin=0, rasterized=True)
    names = "abc"
    axes.set_aspect("equal")
    axes.set_xlabel(f"along {names[first]} (Å)")
    axes.set_ylabel(f"across it, towards {names[second]} (Å)")
    axes.set_title(f"along {names[axis]}")
    return image


def jumps_figure(record: dict[str, Any]) -> Figure:
    """Jump lengths, rates between kinds of sites, occupancy and residence of each kind."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 3.9), layout="constrained")
        lengths, rates, kinds = figure.subplots(1, 3)
        if record["n_jumps"]:
            found = record["jump_lengths_A"]
            edges = np.array(found["edges_A"])
            lengths.bar(edges[:-1], found["n_jumps"], width=0.1, align="edge", color=COLOURS[0])
        lengths.set_xlabel("jump length (Å)")
        lengths.set_ylabel("jumps")
        lengths.set_title(f"{record['n_jumps']} jumps")
        _draw_pairs(rates, record)
        _draw_kinds(kinds, record)
        figure.suptitle(_jump_title(record))
    return figure


def _jump_title(record: dict[str, Any]) -> str:
    low, high = record["jump_rate_interval95_per_ps"]
    title = f"{record['jump_rate_per_ps']:.3g} jumps per ion and ps (95 %: {low:.2g} to {high:.2g})"
    if record["correlation_factor"] is not None:
        low, high = record["correlation_factor_interval95"]
        title += (
            f"; correlation factor {record['correlation_factor']:.2f} ({low:.2f} to {high:.2f})"
        )
    if record["back_jump_share"] is not None:
        title += f"; {100 * record['back_jump_share']:.0f} % go back"
    found = ", ".join(f"[{' '.join(map(str, v))}]" for v in record["percolation"]["vectors"])
    where = f", {found} of the cell" if found else ""
    return title + f"\npaths percolate in {record['percolation']['dimensions']} dimensions{where}"


def _draw_pairs(axes: Axes, record: dict[str, Any]) -> None:
    pairs = record["pairs"][:8][::-1]
    axes.barh(
        [f"{pair['from']} to {pair['to']}" for pair in pairs],
        [pair["rate_per_ps"] for pair in pairs],
        color=COLOURS[1],
    )
    axes.set_xlabel("jumps per ion and ps")
    axes.set_title("between kinds of sites")


def _draw_kinds(axes: Axes, record: dict[str, Any]) -> None:
    names = [
        f"{name} ({kind['n_sites']}),\n"
        + (f"{kind['residence_ps']:.3g} ps" if kind["residence_ps"] else "never left")
        for name, kind in record["kinds"].items()
    ]
    occupancy = [kind["mean_occupancy"] for kind in record["kinds"].values()]
    axes.barh(names[::-1], occupancy[::-1], color=COLOURS[2])
    axes.set_xlabel("mean occupancy")
    axes.set_title("kinds of sites and residence times")
