"""The page of `halmd validation`: what is compared, what is counted, what of a page is kept."""

import csv
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import halmd
from halmd.cli import app
from halmd.errors import HalmdError
from halmd.files import read_json, write_json
from halmd.report.parity_figure import parity_rows
from halmd.report.results import MaterialResults, load_material
from halmd.report.validation import command, write_validation
from halmd.report.validation_page import BEGIN, END, generated, with_generated
from halmd.report.validation_rows import (
    as_pellet,
    cost,
    counted,
    floor,
    judged,
    validation_row,
)

SIGMA_S_PER_CM = {
    "Li3YCl6": 1e-3,
    "Li2ZrCl6": 2e-3,
    "Li3InCl6": 1.5e-3,
    "Li3ScCl6": 1e-2,
    "Li3YbCl6": 1e-5,
}
"""Sums that can be done by hand are done with these in place of what walks gave."""

MEAN_S_PER_CM = {
    "Li3YCl6": (0.071e-3 * 0.26e-3 * 0.51e-3) ** (1 / 3),
    "Li2ZrCl6": (0.81e-3 * 0.28e-3) ** (1 / 2),
    "Li3InCl6": (1.49e-3 * 1.06e-3 * 2.04e-3 * 4.0e-3) ** (1 / 4),
    "Li3ScCl6": (3e-3 * 1.5e-3) ** (1 / 2),
    "Li3YbCl6": 1e-4,
}
"""What the review says was measured, without the value of Li3YCl6 in doubt, 3.04 mS/cm.

Li2Sc2/3Cl4, a spinel, is Li3ScCl6 too.
"""


def of(results: MaterialResults, formula: str, **changes: Any) -> MaterialResults:
    return replace(results, name=formula, formula=formula, **changes)


def with_sigma(results: MaterialResults, formula: str, sigma_S_per_cm: float) -> MaterialResults:
    there = results.arrhenius["extrapolation"] | {
        "sigma_NE_S_per_cm": sigma_S_per_cm,
        "sigma_NE_interval68_S_per_cm": [sigma_S_per_cm / 2, sigma_S_per_cm * 2],
        "sigma_NE_interval95_S_per_cm": [sigma_S_per_cm / 4, sigma_S_per_cm * 4],
    }
    return of(results, formula, arrhenius=results.arrhenius | {"extrapolation": there})


@pytest.fixture(scope="module")
def without_fit(results: MaterialResults) -> MaterialResults:
    nothing = {"verdict": "too_few_temperatures", "pooled": [], "excluded": []}
    return of(results, "Li3ErCl6", arrhenius=nothing | {"settings": results.arrhenius["settings"]})


@pytest.fixture(scope="module")
def materials(results: MaterialResults, without_fit: MaterialResults) -> list[MaterialResults]:
    """Five to compare, one without a fit, one that nobody measured."""
    found = [with_sigma(results, *pair) for pair in SIGMA_S_PER_CM.items()]
    return [*found, without_fit, of(results, "Li3GdCl6")]


@pytest.fixture
def copies(folder: Path, tmp_path: Path) -> Callable[..., list[Path]]:
    """Results folders of other formulas with the same numbers."""

    def made(*formulas: str) -> list[Path]:
        found = []
        for formula in formulas:
            target = tmp_path / "results" / formula
            shutil.copytree(folder, target)
            record = read_json(target / "orderings" / "orderings.json") | {"formula": formula}
            write_json(target / "orderings" / "orderings.json", record)
            found.append(target)
        return found

    return made


def rows_of(materials: list[MaterialResults]) -> list[dict[str, Any]]:
    return [validation_row(material, {}, {}) for material in materials]


def cells(page: str, heading: str) -> list[list[str]]:
    """Lines of the table below a heading, without its head."""
    part = page.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


# --- what is compared ----------------------------------------------------------------------------


def test_measured_is_the_geometric_mean_without_values_in_doubt(
    materials: list[MaterialResults],
) -> None:
    rows = {row["material"]: row for row in rows_of(materials)}
    for formula, mean in MEAN_S_PER_CM.items():
        row = rows[formula]
        assert row["sigma_measured_S_per_cm"] == pytest.approx(mean)
        expected = np.log10(SIGMA_S_PER_CM[formula] / mean)
        assert row["log10_computed_over_measured"] == pytest.approx(expected)
    assert rows["Li3YCl6"]["sigma_measured_suspect_S_per_cm"] == [3.04e-3]
    # The figure beside the table is of the same measurements.
    for formula in MEAN_S_PER_CM:
        drawn = [row for row in parity_rows(materials) if row["material"] == formula]
        sound = [row["sigma_measured_S_per_cm"] for row in drawn if not row["suspect"]]
        assert rows[formula]["sigma_measured_all_S_per_cm"] == sound


def test_the_judgement_is_that_of_the_five_that_can_be_compared(
    materials: list[MaterialResults],
) -> None:
    rows = rows_of(materials)
    assert [row["material"] for row in counted(rows)] == list(SIGMA_S_PER_CM)
    errors = [abs(np.log10(SIGMA_S_PER_CM[m] / MEAN_S_PER_CM[m])) for m in SIGMA_S_PER_CM]
    found = judged(rows)
    assert found["median_absolute_error_decades"].value == pytest.approx(np.median(errors))
    # Only Li3InCl6 is within a factor of three (Li2ZrCl6: 4.2, Li3ScCl6 and Li3YCl6: 4.7);
    # Li3YbCl6 lies exactly at ten.
    assert found["within_factor_3"].value == pytest.approx(1 / 5)
    assert found["within_factor_10"].value == 1
    # Only two have a measured Ea, and all have the same computed one.
    known = [row["material"] for row in rows if row["Ea_measured_eV"] is not None]
    assert known == ["Li3InCl6", "Li3ScCl6"]
    Ea_eV = materials[0].arrhenius["Ea_eV"]
    assert found["mean_error_eV"].value == pytest.approx(Ea_eV - (0.272 + 0.34) / 2)
    assert found["mean_error_eV"].interval95 is None


def test_materials_that_cannot_be_compared_are_listed_with_the_reason(
    materials: list[MaterialResults], monkeypatch: pytest.MonkeyPatch
) -> None:
    why = {row["material"]: row.get("not_counted_because") for row in rows_of(materials)}
    assert why["Li3ErCl6"] == "no Arrhenius fit: too few temperatures"
    assert why["Li3GdCl6"] == "nothing measured within 10 K of 300 K"
    assert {why[formula] for formula in SIGMA_S_PER_CM} == {None}
    page = generated(materials, rows_of(materials), ["halmd"])
    assert "- Li3ErCl6: no Arrhenius fit: too few temperatures" in page
    assert "all (5 for sigma, 2 for Ea)" in page
    # They have their lines in every table all the same.
    for heading in ("Conductivity at 300 K", "Activation energy and diffusivity", "What was run"):
        assert len(cells(page, heading)) == len(materials)

    from halmd.report import validation_rows

    near = validation_rows.measured_near("Li3YCl6", 300.0, "P-3m1")
    values = [replace(v, suspect=True) for v in near]
    monkeypatch.setattr(validation_rows, "measured_near", lambda *_: values)
    row = validation_row(materials[0], {}, {})
    assert row["not_counted_because"] == "every measured value is in doubt"
    assert "sigma_measured_S_per_cm" not in row
    assert counted([row]) == []


def test_spread_of_samples_and_error_bars_make_the_least_error(
    materials: list[MaterialResults],
) -> None:
    found = floor(rows_of(materials))
    assert found is not None
    samples = [[0.071, 0.26, 0.51], [0.81, 0.28], [1.49, 1.06, 2.04, 4.0], [3.0, 1.5]]
    logs = [np.log10(values) for values in samples]
    squares = sum(((values - values.mean()) ** 2).sum() for values in logs)
    assert found[0] == pytest.approx(np.sqrt(squares / (2 + 1 + 3 + 1)))
    assert floor(rows_of(materials[4:5])) is None


def test_low_confidence_is_marked_and_judged_apart(materials: list[MaterialResults]) -> None:
    low = replace(materials[0], structure=materials[0].structure | {"confidence": "low"})
    mixed = [low, *materials[1:]]
    page = generated(mixed, rows_of(mixed), ["halmd"])
    assert "without LOW confidence (4 for sigma, 2 for Ea)" in page
    assert cells(page, "Conductivity at 300 K")[0][0] == "Li3YCl6 **LOW**"
    assert "LOW confidence" not in generated(materials, rows_of(materials), ["halmd"])


def test_runs_that_left_what_was_learnt_are_marked(materials: list[MaterialResults]) -> None:
    found = {"extrapolating": True}
    runs = [run | {"run": run["run"] | {"uncertainty": found}} for run in materials[0].runs]
    row = validation_row(replace(materials[0], runs=runs), {}, {})
    assert row["extrapolating"] == "yes"
    page = generated(materials[:1], [row], ["halmd"])
    assert cells(page, "Conductivity at 300 K")[0][0] == "Li3YCl6 **extrapolating**"


def test_runs_and_lengths_are_those_of_the_results(results: MaterialResults) -> None:
    row = validation_row(results, {}, {})
    # Two orderings at three temperatures; each 1199 frames of 0.05 ps.
    assert (row["orderings"], row["runs"]) == (2, 6)
    unusable = [run for run in results.runs if run["verdict"] != "converged"]
    assert row["runs_left_out"] == len(unusable) > 0
    assert row["temperatures_K"] == [500, 600, 700]
    assert row["length_ps"] == pytest.approx(6 * 1199 * 0.05)
    coldest = results.arrhenius["pooled"][0]
    assert row["D_temperature_K"] == 500 == coldest["temperature_K"]
    assert row["D_tracer_cm2_per_s"] == coldest["D_tracer_cm2_per_s"]


def test_the_lattice_is_read_where_there_is_one(results: MaterialResults) -> None:
    lattice = {"orderings": [], "temperature_K": 300, "volume_ratio_to_measured": 1.021}
    lattice |= {"lengths_A": [11.3, 11.31, 6.1], "measured_lengths_A": [11.2, 11.2, 6.03]}
    rows = [validation_row(results, lattice, {})]
    (line,) = cells(generated([results], rows, ["halmd"]), "Lattice")
    assert line[1:] == ["300", "11.30, 11.31, 6.10", "11.20, 11.20, 6.03", "1.021"]
    unmeasured = lattice | {"measured_lengths_A": None, "volume_ratio_to_measured": None}
    rows = [validation_row(results, unmeasured, {})]
    (line,) = cells(generated([results], rows, ["halmd"]), "Lattice")
    assert line[3:] == ["–", "–"]
    bare = generated([results], rows_of([results]), ["halmd"])
    assert "None of these materials has a `lattice.json`." in bare


# --- cost ----------------------------------------------------------------------------------------


PELLET = {
    "verdict": "ok",
    "axis": "c",
    "temperature_K": 300.0,
    **{
        part: {
            "sigma_NE_S_per_cm": middle,
            "sigma_NE_interval95_S_per_cm": [middle / 2, middle * 2],
        }
        for part, middle in (("along", 8e-3), ("across", 1e-4), ("pellet", 6.6e-4))
    },
}


def test_a_pellet_is_compared_where_there_is_one(materials: list[MaterialResults]) -> None:
    bare = rows_of(materials)
    rows = [validation_row(materials[0], {}, PELLET), *bare[1:]]
    page = generated(materials, rows, ["halmd"])
    assert "as pellets" in page
    assert "as pellets" not in generated(materials, bare, ["halmd"])
    (line,) = cells(page, "Pellets of crystals with one axis, at 300 K")
    measured = rows[0]["sigma_measured_S_per_cm"]
    assert line[1:3] == ["8 (4 to 16)", "0.1 (0.05 to 0.2)"]
    assert line[4] == "0.66 (0.33 to 1.3)"
    assert line[6] == f"{np.log10(6.6e-4 / measured):+.2f}"
    # All else is compared as before.
    ratio = "log10_computed_over_measured"
    changed = [as_pellet(row) for row in rows]
    assert changed[0][ratio] == pytest.approx(np.log10(6.6e-4 / measured))
    assert changed[1:] == bare[1:]
    assert rows[0][ratio] == bare[0][ratio]


def test_a_pellet_at_another_temperature_is_refused(results: MaterialResults) -> None:
    with pytest.raises(HalmdError, match=r"is of 350 K, arrhenius\.json of 300 K"):
        validation_row(results, {}, PELLET | {"temperature_K": 350.0})


def test_without_a_fit_of_both_directions_there_is_no_pellet(results: MaterialResults) -> None:
    row = validation_row(results, {}, {"verdict": "too_few_temperatures"})
    assert "sigma_pellet_S_per_cm" not in row


def timed(results: MaterialResults, *made: dict[str, Any]) -> MaterialResults:
    runs = [run | {"run": extra} for run, extra in zip(results.runs, made, strict=False)]
    return replace(results, runs=runs)


def test_cost_adds_up_runs_with_a_core_of_their_own(results: MaterialResults) -> None:
    on_cpu = {"device": "CPU, x86_64", "engine": "lean", "wall_s": 5400.0, "ns_per_day": 12.0}
    found = cost(
        [
            timed(
                results,
                on_cpu,
                on_cpu | {"wall_s": 1800.0},
                on_cpu | {"device": "a GPU", "wall_s": 7200.0},
                on_cpu | {"engine": "batched"},
                {"engine": "lean"},
            )
        ]
    )
    assert (found.core_hours, found.device_hours) == (pytest.approx(2.0), pytest.approx(2.0))
    assert (found.shared, found.unknown) == (1, 1)
    # 12.5 ps of NPT at 12 ns a day, twice.
    assert found.equilibration_ps == pytest.approx(25.0)
    assert found.equilibration_core_hours == pytest.approx(0.025 / 12 * 24)


def test_what_was_not_timed_is_said(results: MaterialResults) -> None:
    page = generated([results], rows_of([results]), ["halmd"])
    assert "core-hours," not in page
    assert "Of 6 runs no wall time was recorded." in page


# --- the page ------------------------------------------------------------------------------------


def test_what_a_person_wrote_around_the_markers_is_kept() -> None:
    page = f"# Mine\n\nBefore.\n\n{BEGIN}\nold numbers\n{END}\n\n## Causes\n\nAfter.\n"
    found = with_generated(page, "new numbers\n", where="page.md")
    assert found == page.replace("old numbers", "new numbers")
    assert with_generated(found, "new numbers\n", where="page.md") == found
    made = with_generated(None, "new numbers\n", where="page.md")
    assert made.startswith("# ")
    assert with_generated(made, "newer\n", where="page.md").count("newer") == 1


@pytest.mark.parametrize(
    "page",
    [
        f"{BEGIN}\n",
        f"text\n{END}\n",
        f"{END}\n{BEGIN}\n",
        f"{BEGIN}\n{BEGIN}\n{END}\n",
        "# written by hand\n",
    ],
    ids=["no end", "no begin", "exchanged", "twice", "neither"],
)
def test_a_page_without_both_markers_is_left_alone(page: str, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    target.write_text(page)
    with pytest.raises(HalmdError, match=r"page\.md: needs one line"):
        write_validation([folder], target, figure=tmp_path / "a.svg", table=tmp_path / "a.csv")
    assert target.read_text() == page
    assert list(tmp_path.iterdir()) == [target]


def test_the_command_writes_page_figure_and_table(
    copies: Callable[..., list[Path]], tmp_path: Path
) -> None:
    copies("Li3YCl6", "Li2ZrCl6", "Li3GdCl6")
    # Absolute and relative, as a shell would give them.
    given = [str(tmp_path / "results" / "Li3YCl6"), "results/Li2ZrCl6", "results/Li3GdCl6"]
    files = ["--output", "docs/validation.md", "--figure", "docs/images/validation.svg"]
    files += ["--table", str(tmp_path / "docs" / "validation.csv")]
    with chdir(tmp_path):
        done = CliRunner().invoke(app, ["validation", *given, *files])
    assert done.exit_code == 0, done.output
    assert "3 materials, 2 compared" in done.output
    page = (tmp_path / "docs" / "validation.md").read_text()
    assert f"Made by halmd {halmd.__version__} from the results of 3 materials" in page
    assert "test (SHA-256 0123456789ab...)" in page
    assert str(tmp_path) not in page
    assert "](images/validation.svg)" in page
    assert "](validation.csv)" in page
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.S)
    words = block.replace("\\\n", " ").split()
    assert words[2:5] == [f"results/{m}" for m in ("Li3YCl6", "Li2ZrCl6", "Li3GdCl6")]
    files_written = {p: p.read_bytes() for p in (tmp_path / "docs").rglob("*.*") if p.is_file()}
    assert len(files_written) == 3
    # The command that the page names makes the same page.
    for path in files_written:
        if path.suffix != ".md":
            path.unlink()
    with chdir(tmp_path):
        assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert {p: p.read_bytes() for p in files_written} == files_written


def test_the_table_has_all_digits(copies: Callable[..., list[Path]], tmp_path: Path) -> None:
    (material,) = copies("Li3YCl6")
    write_validation([material], tmp_path / "page.md", table=tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    arrhenius = load_material(material).arrhenius
    assert float(row["Ea_eV"]) == arrhenius["Ea_eV"]
    assert float(row["sigma_S_per_cm"]) == arrhenius["extrapolation"]["sigma_NE_S_per_cm"]
    assert row["temperatures_K"] == "500.0; 600.0; 700.0"
    assert [float(v) for v in row["sigma_measured_all_S_per_cm"].split("; ")] == [
        5.1e-4, 7.1e-5, 2.6e-4
    ]  # fmt: skip
    assert row["is_extrapolation"] == "yes"


def test_folders_elsewhere_are_named_by_their_ends(tmp_path: Path) -> None:
    away = tmp_path / "big disk" / "results" / "Li3YCl6"
    here = tmp_path / "here"
    here.mkdir()
    with chdir(here):
        found = command([away], tmp_path / "page.md", figure=None, table=None)
    assert found == ["halmd", "validation", "results/Li3YCl6", "--output", "page.md"]


def test_a_long_command_is_broken_into_lines(materials: list[MaterialResults]) -> None:
    words = ["halmd", "validation", *(f"results/Li{k}YCl6" for k in range(40)), "-o", "a b.md"]
    page = generated(materials, rows_of(materials), words)
    (block,) = re.findall(r"```bash\n(.*?)\n```", page, re.S)
    assert max(map(len, block.splitlines())) <= 100
    assert shlex.split(block.replace("\\\n", " ")) == words


def test_twins_and_unknown_formats_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match="Li3YCl6 is given twice"):
        write_validation([folder, folder], tmp_path / "page.md")
    with pytest.raises(HalmdError, match=r"--figure .*\.svg"):
        write_validation([folder], tmp_path / "page.md", figure=tmp_path / "figure.doc")
    assert list(tmp_path.iterdir()) == []


def test_without_anything_to_compare_the_page_says_so(without_fit: MaterialResults) -> None:
    page = generated([without_fit], rows_of([without_fit]), ["halmd"])
    assert "all (0 for sigma, 0 for Ea)" in page
    assert {line[1] for line in cells(page, "Judgement")} == {"–"}
    assert cells(page, "Conductivity at 300 K") == [
        ["Li3ErCl6", "–", "0.3", "0.3", "–", "–"]
    ]  # fmt: skip
