"""`halmd plots`: all figures of a results folder, from its JSON files alone, in seconds."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
from matplotlib.figure import Figure

from halmd.config import FigureFormat, PlotSettings
from halmd.errors import HalmdError
from halmd.files import whole_file, write_text
from halmd.report import (
    anisotropy_figure,
    arrhenius_figure,
    arrhenius_table,
    msd_figure,
    parity_figure,
    series_figure,
)
from halmd.report.figure_list import TABLE, Described, figure_stems
from halmd.report.results import MaterialResults
from halmd.report.style import STYLE, looks
from halmd.tracked import tracked

_LARGEST_PX = 60_000
"""Longest side of an image; matplotlib ends at 65,536."""

_TABLES = {
    "conductivity-temperature": arrhenius_table.COLUMNS,
    "anisotropy": anisotropy_figure.COLUMNS,
    "composition-series": series_figure.COLUMNS,
    "parity": parity_figure.COLUMNS,
    "msd": msd_figure.COLUMNS,
}
"""Columns of the table beside each figure; those of one material have the columns of `msd`."""


@dataclass(frozen=True)
class Drawing:
    """A figure, the name of its files without extension, and the rows of its table."""

    stem: str
    figure: Figure
    rows: list[dict[str, Any]]


def write_plots(
    results: Sequence[MaterialResults], folder: Path, settings: PlotSettings
) -> list[Path]:
    """Write all figures in every format, each with its table beside it; returns the files.

    Figures of an earlier call that are not asked for any more are removed: those of the same names
    in other formats, and those beside a table with the columns of ours. Raises HalmdError for two
    materials of one name, and for labels and colours of a material that is not among them.
    """
    _refuse(results, settings)
    written = []
    for drawing in tracked(drawings(results, settings), "drawing"):
        stem = folder / drawing.stem
        # Laid out once, for all formats alike.
        with mpl.rc_context(STYLE):
            drawing.figure.draw_without_rendering()
        drawing.figure.set_layout_engine("none")
        for extension in dict.fromkeys(settings.formats):
            written.append(_beside(stem, extension))
            save_figure(drawing.figure, written[-1], settings)
        written.append(_beside(stem, TABLE))
        write_text(written[-1], csv_text(_columns(drawing.stem), drawing.rows))
    _remove_stale(folder, written)
    return written


def drawings(results: Sequence[MaterialResults], settings: PlotSettings) -> Iterator[Drawing]:
    """The figures that `figure_stems` names, one after the other."""
    how = looks(results, settings)
    by_name = {material.name: look for material, look in zip(results, how, strict=True)}
    by_stem = {f"msd-{material.name}": material for material in results}
    described = [Described(m.name, m.formula, m.extrapolate_to_K, m.mobile) for m in results]
    for stem in figure_stems(described, settings):
        rows: list[dict[str, Any]]
        if stem == "conductivity-temperature":
            rows = arrhenius_table.arrhenius_rows(results, settings)
            figure = arrhenius_figure.arrhenius_figure(results, settings)
        elif stem == "anisotropy":
            rows = anisotropy_figure.anisotropy_rows(results)
            figure = anisotropy_figure.anisotropy_figure(results, rows, how, settings)
        elif stem == "composition-series":
            rows = series_figure.series_rows(results, settings)
            figure = series_figure.series_figure(rows)
        elif stem == "parity":
            rows = parity_figure.parity_rows(results)
            figure = parity_figure.parity_figure(rows, by_name)
        elif stem == "msd":
            rows = msd_figure.msd_rows(results)
            figure = msd_figure.msd_grid_figure(results, how)
        else:
            material = by_stem[stem]
            rows = msd_figure.msd_rows([material])
            figure = msd_figure.msd_figure(material, by_name[material.name])
        yield Drawing(stem, figure, rows)


def refuse_twins(results: Sequence[MaterialResults]) -> None:
    """Raise HalmdError for two materials of one name, which nothing would tell apart."""
    names = [material.name for material in results]
    for name in names:
        if names.count(name) > 1:
            raise HalmdError(f"{name} is given twice; give each folder once, under its own name")


def _refuse(results: Sequence[MaterialResults], settings: PlotSettings) -> None:
    refuse_twins(results)
    names = [material.name for material in results]
    for key in ("labels", "colours"):
        for name in getattr(settings, key):
            if name not in names:
                raise HalmdError(
                    f"--{key}: no material drawn is called {name!r}; known: {', '.join(names)}"
                )


def save_figure(figure: Figure, path: Path, settings: PlotSettings) -> None:
    """Write a figure, whole, in the format that its name ends in."""
    # Without a date, the same results give the same file, byte for byte.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    dpi = min(settings.dpi, int(_LARGEST_PX / max(figure.get_size_inches())))
    with whole_file(path) as temporary, mpl.rc_context(STYLE):
        figure.savefig(temporary, dpi=dpi, metadata=metadata)


def csv_text(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV: all digits, empty where there is nothing, yes and no for flags."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def _columns(stem: str) -> tuple[str, ...]:
    return _TABLES["msd" if stem.startswith("msd-") else stem]


def _beside(stem: Path, extension: str) -> Path:
    return stem.with_name(f"{stem.name}.{extension}")


def _remove_stale(folder: Path, written: Sequence[Path]) -> None:
    """Figures of ours that were not written now would be taken for current ones."""
    current = {path.name.rpartition(".")[0] for path in written}
    for table in (*folder.glob("msd-*.csv"), *(folder / f"{stem}.csv" for stem in _TABLES)):
        stem = table.name.removesuffix(".csv")
        if stem not in current and table.is_file() and _is_ours(table, stem):
            current.add(stem)
    for stem in current:
        for extension in (*get_args(FigureFormat), TABLE):
            path = _beside(folder / stem, extension)
            if path not in written:
                path.unlink(missing_ok=True)


def _is_ours(table: Path, stem: str) -> bool:
    """Whether a table has our columns: a person's own files may have our names."""
    with table.open(encoding="utf-8", errors="replace") as stream:
        return stream.readline() == ",".join(_columns(stem)) + "\n"
