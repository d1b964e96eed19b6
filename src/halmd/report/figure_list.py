"""Which figures there are of some materials: what a workflow has to know before any is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from halmd.config import PlotSettings
from halmd.report.composition_series import find_series
from halmd.report.literature import measured_near

TABLE = "csv"
"""Extension of the table beside each figure."""


@dataclass(frozen=True)
class Described:
    """What decides the figures of a material."""

    name: str
    formula: str
    extrapolate_to_K: float
    mobile: str


def figure_stems(materials: Sequence[Described], settings: PlotSettings) -> list[str]:
    """Names of all figures, without extensions.

    By compositions alone, not by what was found: a workflow promises its files beforehand. A figure
    for which nothing was found says so.
    """
    stems = ["conductivity-temperature", "anisotropy", "msd"]
    if find_series([m.formula for m in materials], mobile=materials[0].mobile):
        stems.append("composition-series")
    if settings.show_measured and any(
        measured_near(m.formula, m.extrapolate_to_K) for m in materials
    ):
        stems.append("parity")
    return stems + [f"msd-{material.name}" for material in materials]


def figure_files(materials: Sequence[Described], settings: PlotSettings) -> list[str]:
    """Names of all files: every figure in every format, and its table."""
    extensions = (*dict.fromkeys(settings.formats), TABLE)
    return [
        f"{stem}.{extension}"
        for stem in figure_stems(materials, settings)
        for extension in extensions
    ]
