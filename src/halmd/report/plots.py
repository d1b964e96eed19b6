"""`halmd plots`: all figures of a results folder, from its JSON files alone, in seconds."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from halmd.config import PlotSettings
from halmd.files import whole_file
from halmd.report.figures import STYLE, arrhenius_figure, msd_figure
from halmd.report.results import MaterialResults


def write_plots(results: list[MaterialResults], folder: Path, settings: PlotSettings) -> list[Path]:
    """Write conductivity-temperature and msd-<material> in every format; returns the files."""
    written = _save(
        arrhenius_figure(results, settings), folder / "conductivity-temperature", settings
    )
    for material in results:
        written += _save(msd_figure(material), folder / f"msd-{material.name}", settings)
    return written


def _save(figure: Figure, stem: Path, settings: PlotSettings) -> list[Path]:
    written = []
    for extension in settings.formats:
        path = stem.with_name(f"{stem.name}.{extension}")
        # Without a date, the same results give the same file, byte for byte.
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(extension)
        with whole_file(path) as temporary, mpl.rc_context(STYLE):
            figure.savefig(temporary, dpi=settings.dpi, metadata=metadata)
        written.append(path)
    return written
