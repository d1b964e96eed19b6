"""The report page in a real browser: it draws, sorts, turns, and asks the network for nothing."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from halmd.cli import app
from halmd.files import read_json, write_json
from halmd.report.page_data import page_data
from halmd.report.report import page, write_report
from halmd.report.results import MaterialResults

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


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    """A page of three materials: one with a fit, one worse and doubtful, one without a fit."""
    home = folder.parent
    worse = home / "Li3InCl6"
    shutil.copytree(folder, worse)
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
        ["Li3YCl6"],
        version="1",
        methods="",
        references=[],
    )
    (shown, *_) = data["materials"][0]["runs"]
    assert (shown["D"], shown["window"], shown["msd"]) == (None, [None, None], [[], []])
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
    assert "extrapolated" in cells[1].find_element("css selector", "span").get_attribute("title")
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
    rows = found(browser, "details[data-name='Li3YCl6'] tbody tr")
    assert len(rows) == 6
    assert len(found(browser, "details[data-name='Li3YCl6'] svg.plot")) == 5


@in_browser
def test_on_a_phone_nothing_sticks_out(browser: Any) -> None:
    browser.set_window_size(500, 900)
    try:
        wide = browser.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    finally:
        browser.set_window_size(1280, 1600)
    assert wide <= 0


@in_browser
def test_no_complaint_and_no_request(browser: Any, report: Path) -> None:
    assert browser.get_log("browser") == []
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if json.loads(entry["message"])["message"]["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


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
