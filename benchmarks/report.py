"""Size of the report page, and how long Chromium takes to open it.

    python benchmarks/report.py RESULTS [--materials 1 30 300]

Copies of the materials found in a results folder under other names, with all their runs, densities
and jumps: run `snakemake diagnostics` there before, or the page has none and is smaller.
Milliseconds from the start of the navigation until the page has drawn itself. Needs chromium and
chromedriver.
"""

import argparse
import itertools
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from halmd import __version__
from halmd.report.cards import potentials_of
from halmd.report.export import read_orderings
from halmd.report.ions import read_ions
from halmd.report.methods import methods
from halmd.report.page_data import page_data
from halmd.report.report import page
from halmd.report.results import load_material

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--materials", type=int, nargs="+", default=[1, 30, 300])
    arguments = parser.parse_args()
    folders = [path.parent for path in sorted(arguments.results.glob("*/arrhenius.json"))]
    results = [load_material(folder) for folder in folders]
    cells = [read_orderings(folder) for folder in folders]
    text, works = methods(results, __version__)
    data = page_data(
        results,
        cells,
        [read_ions(*both) for both in zip(folders, (m.runs for m in results), strict=True)],
        [str(folder) for folder in folders],
        potentials=potentials_of(results),
        version=__version__,
        methods=text,
        references=[work.in_words() for work in works],
    )
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    print(f"{'materials':>9} {'runs':>6} {'MB':>6} {'ms to open':>11} {'ms to write':>12}")
    with (
        TemporaryDirectory() as name,
        webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"))) as browser,
    ):
        for number in arguments.materials:
            some = itertools.islice(itertools.cycle(data["materials"]), number)
            copies = [m | {"name": f"{m['name']}-{k}"} for k, m in enumerate(some)]
            began = time.perf_counter()
            written = page(data | {"materials": copies})
            write_ms = 1000 * (time.perf_counter() - began)
            file = Path(name) / f"{number}.html"
            file.write_text(written, encoding="utf-8")
            browser.get(file.as_uri())
            drawn_ms = browser.execute_script(
                "const t = performance.timing; return t.loadEventEnd - t.navigationStart"
            )
            runs = sum(len(m["runs"]) for m in copies)
            size_MB = file.stat().st_size / 1e6
            print(f"{number:9d} {runs:6d} {size_MB:6.1f} {drawn_ms:11.0f} {write_ms:12.0f}")


if __name__ == "__main__":
    main()
