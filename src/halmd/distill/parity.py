"""Parity plots: the student's forces against the teacher's, family by family."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halmd.distill.errors import Compared, errors
from halmd.report.style import COLOURS, STYLE

_COLUMNS = 3


def parity_figure(rows: Sequence[Compared], mobile: str) -> Figure:
    """One panel for each family, force components in eV/Å, the mobile species in a colour."""
    families = sorted({str(row.info["family"]) for row in rows})
    lines = -(-len(families) // _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.0 * _COLUMNS, 4.3 * lines), layout="constrained")
        panels: list[Axes] = list(figure.subplots(lines, _COLUMNS, squeeze=False).flat)
        for axes in panels[len(families) :]:
            axes.set_visible(False)
        for axes, family in zip(panels, families, strict=False):
            mine = [row for row in rows if row.info["family"] == family]
            _draw_family(axes, family, mine, mobile)
    return figure


def _draw_family(axes: Axes, family: str, rows: Sequence[Compared], mobile: str) -> None:
    for is_mobile, colour, label in ((False, "#999999", "framework"), (True, COLOURS[0], mobile)):
        student, teacher = (_components(rows, k, mobile, is_mobile) for k in (0, 1))
        axes.plot(teacher, student, ".", ms=1.5, color=colour, label=label, rasterized=True)
    reach = max(abs(value) for value in (*axes.get_xlim(), *axes.get_ylim()))
    axes.plot([-reach, reach], [-reach, reach], color="black", linewidth=0.6)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_title(family, fontsize=9, wrap=True)
    axes.set_xlabel("force by the teacher (eV/Å)")
    axes.set_ylabel("force by the student (eV/Å)")
    axes.legend(loc="lower right", markerscale=6)
    found = errors(rows)
    lines = (
        f"{found['snapshots']} snapshots",
        f"forces {found['force_rmse_meV_per_A']:.0f} meV/Å ({found['force_relative']:.1%})",
        f"{mobile} {found['by_species'][mobile]['force_rmse_meV_per_A']:.0f} meV/Å",
        f"energy {found['energy_rmse_meV_per_atom']:.1f} meV/atom",
    )
    axes.text(0.03, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)


def _components(rows: Sequence[Compared], which: int, mobile: str, is_mobile: bool) -> Any:
    chosen = [row.forces_eV_per_A[which][(row.symbols == mobile) == is_mobile] for row in rows]
    return np.concatenate(chosen).ravel()
