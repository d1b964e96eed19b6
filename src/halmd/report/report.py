"""`halmd report`: one page of all results that opens anywhere, without a network.

Data, style and program are in the file itself; only links to the data files leave it.
"""

import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from halmd import __version__
from halmd.files import write_text
from halmd.report.cards import potentials_of
from halmd.report.export import read_orderings
from halmd.report.ions import read_ions
from halmd.report.methods import methods
from halmd.report.page_data import page_data
from halmd.report.results import load_material
from halmd.tracked import tracked

_PROGRAM = ("helpers", "plot", "ranking", "arrhenius", "crystal", "ions", "potential", "material")
"""Parts of the program, in the order in which they need one another; `start` draws the page."""


def write_report(folders: Sequence[Path], output: Path) -> None:
    """Write the page of these results/MATERIAL folders, whole.

    Raises HalmdError where a material has no results yet.
    """
    results = [load_material(folder) for folder in tracked(folders, "reading results")]
    text, works = methods(results, __version__)
    both = zip(folders, results, strict=True)
    data = page_data(
        results,
        [read_orderings(folder) for folder in folders],
        [
            read_ions(folder, material.runs)
            for folder, material in tracked(both, "reading densities", total=len(results))
        ],
        [os.path.relpath(folder, output.parent) for folder in folders],
        potentials=potentials_of(results),
        version=__version__,
        methods=text,
        references=[work.in_words() for work in works],
    )
    write_text(output, page(data))


def page(data: dict[str, Any]) -> str:
    """The page with its style, its program and its data."""
    folder = files("halmd.report") / "page"

    def part(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    # A text in the data must not end the element it stands in.
    written = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    program = "\n".join(part(f"{name}.js") for name in (*_PROGRAM, "start"))
    text = part("page.html").replace("/* style */", part("style.css"))
    # Data last: a name in it may read like a place for something else.
    return text.replace("/* program */", '"use strict";\n' + program).replace("/* data */", written)
