"""Parity plots: the student's forces against the teacher's, family by family."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from halmd.distill.errors import Compared, errors
from halmd.files import whole_file

_COLUMNS = 3


def draw_parity(rows: Sequence[Compared], path: Path, *, mobile: str) -> None:
    """One panel for each family, force components in eV/Å, the mobile species in a colour."""
    families = sorted({str(row.info["family"]) for row in rows})
    lines = -(-len(families) // _COLUMNS)
    figure, axes = plt.subplots(
        lines, _COLUMNS, figsize=(4.0 * _COLUMNS, 4.2 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(families) :]:
        axis.set_visible(False)
    for axis, family in zip(axes.flat, families, strict=False):
        mine = [row for row in rows if row.info["family"] == family]
        found = errors(mine)
        for is_mobile, colour, label in (
            (False, "#9a9a9a", "framework"),
            (True, "#c2410c", mobile),
        ):
            student, teacher = (
                np.concatenate(
                    [row.forces_eV_per_A[k][(row.symbols == mobile) == is_mobile] for row in mine]
                ).ravel()
                for k in (0, 1)
            )
            axis.plot(teacher, student, ".", ms=1.5, color=colour, label=label, rasterized=True)
        reach = max(abs(value) for value in (*axis.get_xlim(), *axis.get_ylim()))
        axis.plot([-reach, reach], [-reach, reach], color="black", lw=0.6)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axis.set_title(family, fontsize=9, wrap=True)
        axis.set_xlabel("teacher, eV/Å")
        axis.set_ylabel("student, eV/Å")
        axis.legend(loc="lower right", markerscale=6, fontsize=8, frameon=False)
        axis.text(
            0.03,
            0.97,
            f"{len(mine)} snapshots\n"
            f"forces {found['force_rmse_meV_per_A']:.0f} meV/Å ({found['force_relative']:.1%})\n"
            f"{mobile} {found['by_species'][mobile]['force_rmse_meV_per_A']:.0f} meV/Å\n"
            f"energy {found['energy_rmse_meV_per_atom']:.1f} meV/atom",
            transform=axis.transAxes,
            va="top",
            fontsize=8,
        )
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=130)
    plt.close(figure)
