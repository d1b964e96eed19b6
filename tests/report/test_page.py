"""The report page in a real browser: it draws, sorts, turns, and asks the network for nothing."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from halmd.cli import app
from halmd.files import read_json, write_json
from halmd.potentials.registry import SHIPPED
from halmd.report.cards import potentials_of
from halmd.report.page_data import page_data
from halmd.report.report import page, write_report
from halmd.report.results import MaterialResults
from halmd.transport.density import Density, write_density
from halmd.transport.jumps import jump_record, visits
from halmd.transport.network import network_record
from halmd.transport.sites import Sites

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
in_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="no Chromium with its driver: apt-get install chromium chromium-driver",
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,1600",
)


CELL_A = np.diag([9.0, 9.0, 9.0])


def analyse(run: Path, *, with_density: bool = True) -> None:
    """Jumps of one ion around a ring of three sites, and a density with one peak, beside a run."""
    places = np.array([[(2 * k + 1) / 6, 0.5, 0.5] for k in range(3)])
    ion = np.tile(places[0] @ CELL_A, (400, 1))
    for frame in (100, 200, 300):
        ion[frame:, 0] += 3.0
    sites = Sites(places, ("octahedron", "tetrahedron", "octahedron"), CELL_A)
    framework = Atoms("Cl2", scaled_positions=[[0, 0, 0], [0.5, 0, 0]], cell=CELL_A, pbc=True)
    seen = visits([ion[None]], sites, 0.05)
    record = jump_record(seen, sites, 0.05, (0.1, 0.08, 0.12))
    record |= {"network": network_record(seen, sites, framework, 0.05)}
    write_json(run / "jumps.json", record)
    if with_density:
        grid = np.zeros((12, 12, 12))
        grid[2, 6, 9] = 5.0
        write_density(Density(grid, CELL_A), framework, run / "density.vasp")


def judge(folder: Path) -> None:
    """Say that runs were made with a shipped potential, whose committee looked at them."""
    card = read_json(SHIPPED / "halmd-halide-1" / "card.json")
    potential = {"name": "halmd-halide-1", "kind": "shipped", "evaluator": "native"}
    potential |= {"sha256": card["sha256"][card["files"]["native"]], "versions": {"ase": "3"}}
    found = {"looks": 50, "members": 3, "rms_eV_per_A": 0.1, "max_eV_per_A": 0.4}
    found |= {"threshold_eV_per_A": 0.24, "share_above_threshold": 0.12, "share_allowed": 0.05}
    for file in folder.glob("*/*K/r*/run.json"):
        made = {"potential": potential, "uncertainty": found | {"extrapolating": True}}
        write_json(file, read_json(file) | made)


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    """A page of three materials: one with a fit, one worse and doubtful, one without a fit."""
    home = folder.parent
    worse = home / "Li3InCl6"
    shutil.copytree(folder, worse)
    judge(worse)
    made = read_json(worse / "orderings" / "orderings.json")
    write_json(
        worse / "orderings" / "orderings.json",
        made | {"formula": "Li3InCl6", "achieved_formula": "Li3InCl6", "confidence": "low"},
    )
    record = read_json(worse / "arrhenius.json")
    there = record["extrapolation"]
    there["sigma_NE_S_per_cm"] /= 10
    write_json(worse / "arrhenius.json", record)
    unfitted = home / "Li2ZrCl6"
    shutil.copytree(folder, unfitted)
    made |= {"formula": "Li2ZrCl6", "achieved_formula": "Li2ZrCl6"}
    write_json(unfitted / "orderings" / "orderings.json", made)
    record = read_json(unfitted / "arrhenius.json") | {"verdict": "too_few_temperatures"}
    write_json(unfitted / "arrhenius.json", record)
    analyse(folder / "00" / "500K" / "r0", with_density=False)
    analyse(folder / "00" / "600K" / "r0")
    write_report([worse, unfitted, folder], home / "report.html")
    return home / "report.html"


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.get(report.as_uri())
    yield driver
    driver.quit()


def found(browser: Any, selector: str) -> list[Any]:
    elements: list[Any] = browser.find_elements("css selector", selector)
    return elements


def names(browser: Any) -> list[str]:
    return [row.get_attribute("data-name") for row in found(browser, "#ranking tbody tr")]


def test_a_run_that_a_guard_stopped_at_once_is_shown(results: MaterialResults) -> None:
    """It has no diffusivity, no lags and no window."""
    gone = ("D_tracer", "sigma_NE", "fit_", "n_effective")
    bare = {k: v for k, v in results.runs[0].items() if not k.startswith(gone)}
    bare |= {"verdict": "cell_unstable", "msd": {"time_ps": [], "msd_A2": []}}
    data = page_data(
        [replace(results, runs=[bare, *results.runs[1:]])],
        [[]],
        [[]],
        ["Li3YCl6"],
        potentials=potentials_of([results]),
        version="1",
        methods="",
        references=[],
    )
    (shown, *_) = data["materials"][0]["runs"]
    assert (shown["D"], shown["window"], shown["msd"]) == (None, [None, None], [[], []])
    assert (shown["posterior"], shown["sigma"]) == (None, None)
    assert "cell_unstable" in page(data)


@in_browser
def test_the_table_sorts_and_filters(browser: Any) -> None:
    """By conductivity first; what is not known stays last, whichever way."""
    assert names(browser) == ["Li3YCl6", "Li3InCl6", "Li2ZrCl6"]
    buttons = found(browser, "#ranking th button")
    buttons[1].click()
    assert names(browser) == ["Li3InCl6", "Li3YCl6", "Li2ZrCl6"]
    assert found(browser, "#ranking th")[1].get_attribute("aria-sort") == "ascending"
    found(browser, "#ranking th button")[0].click()
    assert names(browser) == ["Li2ZrCl6", "Li3InCl6", "Li3YCl6"]
    field = found(browser, "#filter")[0]
    field.send_keys("low")
    assert names(browser) == ["Li3InCl6"]
    field.send_keys("\b\b\b")
    assert len(names(browser)) == 3


@in_browser
def test_numbers_are_those_of_the_files(browser: Any, folder: Path) -> None:
    record = read_json(folder / "arrhenius.json")
    cells = found(browser, "#ranking tr[data-name='Li3YCl6'] td")
    sigma_mS = 1000 * record["extrapolation"]["sigma_NE_S_per_cm"]
    assert float(cells[1].text.split()[0]) == pytest.approx(sigma_mS, rel=0.005)
    low, high = (1000 * end for end in record["extrapolation"]["sigma_NE_interval95_S_per_cm"])
    said = cells[1].text.split("\n")[1].split(" to ")
    assert [float(word) for word in said] == pytest.approx([low, high], rel=0.005)
    assert float(cells[2].text.split()[0]) == pytest.approx(record["Ea_eV"], rel=0.005)
    # How it was made, and what the crystal rests on.
    tip = cells[1].find_element("css selector", "[data-tip]").get_attribute("data-tip")
    assert "extrapolated" in tip
    assert "95 %" in tip
    doubtful = found(browser, "#ranking tr[data-name='Li3InCl6']")[0]
    assert "LOW confidence" in doubtful.text
    assert "too few temperatures" in found(browser, "#ranking tr[data-name='Li2ZrCl6']")[0].text


@in_browser
def test_the_plot_shows_what_is_chosen(browser: Any) -> None:
    def drawn() -> set[str]:
        groups = found(browser, "#arrhenius g[data-kind='line']")
        return {group.get_attribute("data-of") for group in groups}

    assert drawn() == {"Li3YCl6", "Li3InCl6"}
    found(browser, "#ranking tr[data-name='Li3InCl6'] input")[0].click()
    assert drawn() == {"Li3YCl6"}
    found(browser, "#none")[0].click()
    assert drawn() == set()
    found(browser, "#all")[0].click()
    assert drawn() == {"Li3YCl6", "Li3InCl6"}
    before = found(browser, "#arrhenius svg")[0].get_attribute("innerHTML")
    found(browser, "#times-T")[0].click()
    after = found(browser, "#arrhenius svg")[0].get_attribute("innerHTML")
    assert "σT" in before
    assert "σT" not in after
    # Points are reached by keyboard and say what they are.
    point = found(browser, "#arrhenius g[data-kind='points'] [tabindex='0']")[0]
    assert "95 %" in point.get_attribute("aria-label")


@in_browser
def test_the_crystal_is_drawn_and_turns(browser: Any) -> None:
    browser.execute_script("document.querySelector(\"details[data-name='Li3YCl6']\").open = true")
    canvas = found(browser, "details[data-name='Li3YCl6'] canvas")[0]
    picture = "return arguments[0].toDataURL()"
    pixels = (
        "const c = arguments[0], pen = c.getContext('2d');"
        "const d = pen.getImageData(0, 0, c.width, c.height);"
        "return new Set(new Uint32Array(d.data.buffer)).size"
    )
    assert browser.execute_script(pixels, canvas) > 100
    first = browser.execute_script(picture, canvas)
    canvas.send_keys("\ue014")
    turned = browser.execute_script(picture, canvas)
    assert turned != first
    found(browser, "details[data-name='Li3YCl6'] button[data-step='1']")[0].click()
    assert canvas.get_attribute("data-ordering") == "1"
    assert browser.execute_script(picture, canvas) != turned
    rows = found(browser, "details[data-name='Li3YCl6'] [aria-label='Every run'] tbody tr")
    assert len(rows) == 6
    assert len(found(browser, "details[data-name='Li3YCl6'] svg.plot")) == 6


def opened(browser: Any, name: str) -> str:
    """Open the section of a material; its selector."""
    selector = f"details[data-name='{name}']"
    browser.execute_script(f'document.querySelector("{selector}").open = true')
    return selector


def colours(browser: Any, canvas: Any) -> int:
    """How many different pixels a canvas has."""
    script = (
        "const c = arguments[0], d = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        "return new Set(new Uint32Array(d.data.buffer)).size"
    )
    return int(browser.execute_script(script, canvas))


@in_browser
def test_jumps_are_drawn_and_their_numbers_are_those_of_the_file(
    browser: Any, folder: Path
) -> None:
    record = read_json(folder / "00" / "600K" / "r0" / "jumps.json")
    section = opened(browser, "Li3YCl6")
    network = found(browser, f"{section} canvas.crystal")[1]
    assert colours(browser, network) > 50
    shown = {}
    for row in found(browser, f"{section} [aria-label='Kinds of jumps'] tbody tr"):
        kind, number, rate, length = row.find_elements("css selector", "td")
        shown[kind.text] = (int(number.text), rate.text.split("\n"), float(length.text))
    assert len(shown) == len(record["pairs"]) == 3
    for pair in record["pairs"]:
        number, (rate, interval), length = shown[f"{pair['from']} → {pair['to']}"]
        assert number == pair["n_jumps"]
        assert float(rate) == pytest.approx(pair["rate_per_ps"], rel=0.005)
        ends = [float(word) for word in interval.split(" to ")]
        assert ends == pytest.approx(pair["rate_interval95_per_ps"], rel=0.005)
        assert length == pytest.approx(3.0)
    assert "percolate in 1 dimensions, along [1 0 0]" in found(browser, section)[0].text
    # Kinds have a shape each, not a colour alone.
    caption = network.find_element("xpath", "../figcaption")
    shapes = [key.tag_name for key in caption.find_elements("css selector", "svg.key > *")]
    assert shapes == ["circle", "polygon"]


@in_browser
def test_the_density_is_drawn_where_there_is_one(browser: Any) -> None:
    section = opened(browser, "Li3YCl6")
    images = found(browser, f"{section} canvas.density")
    assert len(images) == 3
    assert all(colours(browser, image) > 20 for image in images)
    # One voxel of 5 ions per A3: along a the column of 9 A holds 5 / 12 of that.
    tip = images[0].get_attribute("aria-label")
    assert tip.startswith("Density of Li along a, at most")
    assert float(tip.split("at most ")[1].split()[0]) == pytest.approx(5 * 9 / 12, rel=0.005)
    choice = found(browser, f"{section} select")[0]
    choice.find_element("css selector", "option[value='0']").click()
    assert found(browser, f"{section} canvas.density") == []
    assert "halmd density" in found(browser, section)[0].text
    choice.find_element("css selector", "option[value='1']").click()
    assert len(found(browser, f"{section} canvas.density")) == 3
    without = found(browser, opened(browser, "Li3InCl6"))[0].text
    assert "snakemake diagnostics" in without


@in_browser
def test_the_card_and_the_flags_of_runs(browser: Any) -> None:
    section = opened(browser, "Li3InCl6")
    said = found(browser, section)[0].text
    assert "halmd-halide-1" in said
    assert "All elements of this material were learnt: Cl, Li." in said
    assert "The crystal a_crystal is NOT among those it was fitted on." in said
    assert "6 of 6 runs leave what the potential was fitted on" in said
    assert "12 % of 50 looks" in said
    card = read_json(SHIPPED / "halmd-halide-1" / "card.json")
    errors = card["validation"]["errors"]
    rows = found(browser, f"{section} [aria-label^='Errors on snapshots'] tbody tr")
    cells = [[cell.text for cell in row.find_elements("css selector", "td")] for row in rows]
    shown = {row[0]: row for row in cells}
    assert set(errors["by_family"]) < set(shown)
    for name, family in errors["by_family"].items():
        force = float(shown[name][3].split("\n")[0])
        assert force == pytest.approx(family["force_rmse_meV_per_A"], rel=0.005)
    unknown = found(browser, opened(browser, "Li3YCl6"))[0].text
    assert "No card of this file was found" in unknown


@in_browser
def test_posteriors_are_those_of_the_files(browser: Any, folder: Path) -> None:
    """Their ends are the intervals that the analysis gave, and their middles the diffusivity."""
    data = json.loads(found(browser, "#data")[0].get_attribute("textContent"))
    (material,) = (m for m in data["materials"] if m["name"] == "Li3YCl6")
    ends = [data["shares"].index(share) for share in (0.025, 0.5, 0.975)]
    for run in material["runs"]:
        record = read_json(folder / run["path"] / "transport.json")
        low, high = record["D_tracer_interval95_cm2_per_s"]
        middle = record["D_tracer_cm2_per_s"]
        got = [run["posterior"][k] for k in ends]
        assert got == pytest.approx([low, middle, high], rel=1e-3)
    section = opened(browser, "Li3YCl6")
    curves = found(browser, f"{section} svg[aria-label^='Posterior'] g[data-kind='line']")
    assert len(curves) == 6


@in_browser
def test_published_computations_are_shown_on_request(browser: Any) -> None:
    section = opened(browser, "Li3YCl6")
    wedges = f"{section} .own [aria-label*='computed by others']"
    listed = found(browser, f"{section} [aria-label='Published values'] tbody tr")
    computed = [row for row in listed if row.text.startswith("computed")]
    assert len(found(browser, wedges)) == len(computed) > 0
    for expected in (0, len(computed)):
        found(browser, "#computed")[0].send_keys(" ")
        assert len(found(browser, wedges)) == expected


@in_browser
def test_every_number_can_be_reached_by_keyboard_and_says_how_it_was_made(browser: Any) -> None:
    section = opened(browser, "Li3YCl6")
    body = "#ranking tbody [data-tip]"
    first, second = found(browser, body)[:2]
    assert [first.get_attribute("tabindex"), second.get_attribute("tabindex")] == ["0", "-1"]
    browser.execute_script("arguments[0].focus()", first)
    tip = found(browser, "#tip")[0]
    assert tip.text == first.get_attribute("data-tip")
    first.send_keys("\ue014")
    assert browser.switch_to.active_element == second
    assert tip.text == second.get_attribute("data-tip")
    second.send_keys("\ue00c")
    assert not tip.is_displayed()
    # Each table and plot is one stop of the tab key, however many numbers it holds.
    for group in found(browser, f"{section} table, {section} svg.plot"):
        assert len(group.find_elements("css selector", "[data-tip][tabindex='0']")) <= 1
    # Numbers with a unit in the head of their column explain themselves there, too.
    heads = found(browser, f"{section} th")
    assert all(head.find_elements("css selector", "[data-tip]") for head in heads)


@in_browser
def test_on_a_phone_nothing_sticks_out(browser: Any) -> None:
    for name in ("Li3YCl6", "Li3InCl6", "Li2ZrCl6"):
        opened(browser, name)
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        wide, seen = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert (wide, seen) == (390, 390)


@in_browser
def test_in_print_every_section_is_drawn(browser: Any) -> None:
    browser.refresh()
    assert found(browser, "#each details[open]") == []
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})
    assert len(printed["data"]) > 10_000
    assert len(found(browser, "#each details[open] svg.plot")) == 3 * 6
    canvases = found(browser, "#each canvas")
    assert len(canvases) == 3 + 1 + 3
    assert all(colours(browser, canvas) > 20 for canvas in canvases)
    # What only a screen can use is not printed.
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        useless = found(browser, "button.plain, select, input, .skip, .links")
        assert useless
        assert not any(element.is_displayed() for element in useless)
        assert found(browser, "#each [aria-label='Every run'] td")[0].is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@in_browser
def test_no_complaint_and_no_request(browser: Any, report: Path) -> None:
    assert browser.get_log("browser") == []
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if json.loads(entry["message"])["message"]["method"] == "Network.requestWillBeSent"
    ]
    assert {url for url in asked if not url.startswith("data:")} == {report.as_uri()}


def test_the_page_stands_alone(report: Path) -> None:
    text = report.read_text()
    for word in ("src=", "@import", "url(", '<link rel="stylesheet"'):
        assert word not in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [m["name"] for m in data["materials"]] == ["Li3InCl6", "Li2ZrCl6", "Li3YCl6"]


def test_names_cannot_break_out_of_the_data() -> None:
    evil = "</script><script>alert(1)</script>"
    text = page({"materials": [{"name": evil}]})
    assert text.count("</script>") == 2
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["materials"][0]["name"] == evil


def test_the_command(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", str(folder), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert "1 material, " in done.output
    missing = CliRunner().invoke(app, ["report", str(tmp_path / "no"), "-o", str(tmp_path / "x")])
    assert missing.exit_code != 0
    assert not (tmp_path / "x").exists()
