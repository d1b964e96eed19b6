"""`halmd validation`: a page of computed against measured, judged, from results folders."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from halmd.config import FigureFormat, PlotSettings
from halmd.errors import HalmdError
from halmd.files import read_json, write_text
from halmd.report.parity_figure import parity_figure, parity_rows
from halmd.report.plots import csv_text, refuse_twins, save_figure
from halmd.report.results import load_material
from halmd.report.style import looks
from halmd.report.validation_page import generated, with_generated
from halmd.report.validation_rows import COLUMNS, Row, validation_row


def write_validation(
    folders: Sequence[Path],
    output: Path,
    *,
    figure: Path | None = None,
    table: Path | None = None,
) -> list[Row]:
    """Write the page, and the figure and table if they have names; returns the rows.

    folders are results/MATERIAL. Of a page that is there, only what stands between the two markers
    is replaced. Raises HalmdError, before anything is written, for a material without results, two
    of one name, a page without both markers, and a figure in an unknown format.
    """
    results = [load_material(folder) for folder in folders]
    refuse_twins(results)
    formats = tuple(f".{extension}" for extension in get_args(FigureFormat))
    if figure is not None and figure.suffix not in formats:
        raise HalmdError(f"--figure {figure}: its name must end in one of {', '.join(formats)}")
    rows = [
        validation_row(
            material,
            _read_json_if_any(folder / "lattice.json"),
            _read_json_if_any(folder / "polycrystal.json"),
        )
        for material, folder in zip(results, folders, strict=True)
    ]
    rebuilt = command(folders, output, figure=figure, table=table)
    text = generated(
        results,
        rows,
        rebuilt,
        figure=_from_page(figure, output) if figure else None,
        table=_from_page(table, output) if table else None,
    )
    page = with_generated(_read(output), text, where=str(output))
    if figure is not None:
        how = zip(results, looks(results, PlotSettings()), strict=True)
        drawn = parity_figure(parity_rows(results), {m.name: look for m, look in how})
        save_figure(drawn, figure, PlotSettings())
    if table is not None:
        write_text(table, csv_text(COLUMNS, [_flat(row) for row in rows]))
    write_text(output, page)
    return rows


def command(
    folders: Sequence[Path], output: Path, *, figure: Path | None, table: Path | None
) -> list[str]:
    """Words of the command line that rebuilds the page from the folder that it is called in.

    An absolute path becomes one from that folder, or what lies elsewhere the end of its path, as in
    results/MATERIAL: a page names no machine's folders.
    """
    words = ["halmd", "validation", *(_place(folder, 2) for folder in folders)]
    for option, path in (("--output", output), ("--figure", figure), ("--table", table)):
        words += [option, _place(path, 1)] if path is not None else []
    return words


def _place(path: Path, parts: int) -> str:
    if not path.is_absolute():
        return path.as_posix()
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return Path(*path.parts[1:][-parts:]).as_posix()


def _from_page(path: Path, output: Path) -> str:
    return Path(os.path.relpath(path, output.parent)).as_posix()


def _read_json_if_any(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _read(output: Path) -> str | None:
    if not output.exists():
        return None
    try:
        return output.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise HalmdError(f"{output}: not a text file; give --output a page of Markdown") from None


def _flat(row: Row) -> Row:
    """Lists as one cell of a table."""
    return {
        key: "; ".join(str(v) for v in value) if isinstance(value, list) else value
        for key, value in row.items()
    }
