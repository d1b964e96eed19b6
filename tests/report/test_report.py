"""Tables, figures and published values, from synthetic result files."""

import csv
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from halmd.config import ArrheniusSettings, PlotSettings
from halmd.errors import HalmdError
from halmd.reference import _FAMILIES, computed, measured
from halmd.report.arrhenius_figure import arrhenius_figure
from halmd.report.msd_figure import msd_figure
from halmd.report.plots import write_plots
from halmd.report.results import MaterialResults, load_material, load_runs
from halmd.report.show import COMPUTED, FITTED, MEASURED, text_plot
from halmd.report.style import looks, subscripted
from halmd.report.table import COLUMNS, summary, write_table
from halmd.transport.arrhenius import arrhenius

REPOSITORY = Path(__file__).parents[2]


def displacements(material: MaterialResults) -> Figure:
    return msd_figure(material, *looks([material], PlotSettings()))


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_computed_values_of_two_near_compositions_are_drawn_once(results: MaterialResults) -> None:
    near = replace(results, name="near", formula="Li2.9Y1.0333333Cl6")
    labels = legend_texts(arrhenius_figure([results, near], PlotSettings()))
    published = [label for label in labels if label.startswith("published")]
    assert published
    assert len(published) == len(set(published))


def test_table_has_every_run_pooled_and_extrapolated_rows(
    results: MaterialResults, tmp_path: Path
) -> None:
    write_table([results], tmp_path / "conductivity.csv")
    with (tmp_path / "conductivity.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    kinds = [row["kind"] for row in rows]
    assert kinds.count("run") == 6
    assert kinds.count("pooled") == 3
    assert kinds.count("extrapolated") == 1
    assert list(rows[0]) == list(COLUMNS)
    last = rows[-1]
    assert float(last["temperature_K"]) == 300
    low, middle, high = (
        float(last[f"sigma_NE_{end}S_per_cm"]) for end in ("low95_", "", "high95_")
    )
    assert low < middle < high
    assert float(last["Ea_low95_eV"]) < float(last["Ea_eV"]) < float(last["Ea_high95_eV"])
    stopped = [row for row in rows if row["verdict"] == "framework_unstable"]
    assert [(row["ordering"], float(row["temperature_K"])) for row in stopped] == [("01", 700.0)]


def test_summary_says_extrapolated_and_shows_what_was_measured(results: MaterialResults) -> None:
    text = "\n".join(part for part in summary(results) if isinstance(part, str))
    assert "extrapolated" in text
    assert "0.51 mS/cm" in text
    assert "(suspect)" in text
    assert "the framework moved" in text


def test_figures_show_data_fit_extrapolation_and_literature(results: MaterialResults) -> None:
    figure = arrhenius_figure([results], PlotSettings())
    left, right = figure.axes[:2]
    for axes in (left, right):
        x = [line.get_xdata() for line in axes.get_lines()]
        assert any(np.allclose(values, 1000 / 298) for values in x), "measured values"
        assert any(np.max(values) == pytest.approx(1000 / 300) for values in x), "extrapolation"
        assert any(line.get_marker() == "x" for line in axes.get_lines()), "run left out"
    labels = legend_texts(figure)
    assert any("10.1002/adma.201803075" in label for label in labels)
    assert any("suspect" in label for label in labels)
    # Values only remembered by whoever wrote the table are not drawn.
    assert not any("Angew" in label for label in labels)


def test_every_report_says_when_the_crystal_is_in_doubt(
    results: MaterialResults, tmp_path: Path
) -> None:
    doubtful = replace(
        results,
        structure=results.structure | {"confidence": "low", "cautions": ["its sites are assumed"]},
    )

    def said(material: MaterialResults) -> list[bool]:
        write_table([material], tmp_path / "conductivity.csv")
        with (tmp_path / "conductivity.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        lines = "\n".join(part for part in summary(material) if isinstance(part, str))
        labels = legend_texts(arrhenius_figure([material], PlotSettings()))
        return [
            all(row["structure_confidence"] == "low" for row in rows),
            "LOW confidence" in lines and "caution: its sites are assumed" in lines,
            any("LOW confidence: a_crystal" in text for text in labels),
            "LOW confidence" in displacements(material).get_suptitle(),
        ]

    assert said(doubtful) == [True] * 4
    assert said(results) == [False] * 4


def looked_at(results: MaterialResults, *, accepted: bool) -> MaterialResults:
    """The same with a committee, which does not know one run of ordering 00 at 600 K."""
    runs = deepcopy(results.runs)
    for run in runs:
        beyond = run["ordering"] == "00" and run["temperature_K"] == 600
        run["run"]["uncertainty"] = {
            "looks": 50,
            "max_eV_per_A": 0.7,
            "threshold_eV_per_A": 0.21,
            "share_above_threshold": 0.34 if beyond else 0.0,
            "share_allowed": 0.05,
            "extrapolating": beyond,
        }
        if beyond and not accepted:
            run["verdict"] = "extrapolating"
    found = arrhenius(runs, ArrheniusSettings(n_samples=2000))
    return replace(results, runs=runs, arrhenius=found)


def rows_of(material: MaterialResults, folder: Path) -> list[dict[str, str]]:
    write_table([material], folder / "conductivity.csv")
    with (folder / "conductivity.csv").open() as stream:
        return list(csv.DictReader(stream))


def row_at(rows: list[dict[str, str]], ordering: str, temperature_K: float) -> dict[str, str]:
    (row,) = (
        row
        for row in rows
        if row["ordering"] == ordering and float(row["temperature_K"]) == temperature_K
    )
    return row


def test_a_run_beyond_its_potential_is_left_out_and_every_report_says_why(
    results: MaterialResults, tmp_path: Path
) -> None:
    material = looked_at(results, accepted=False)
    excluded = {
        (run["ordering"], run["temperature_K"]): run for run in material.arrhenius["excluded"]
    }
    before = {(run["ordering"], run["temperature_K"]) for run in results.arrhenius["excluded"]}
    assert set(excluded) - before == {("00", 600.0)}
    assert excluded["00", 600.0]["numbers"]["uncertainty"]["share_above_threshold"] == 0.34
    lines = [part for part in summary(material) if isinstance(part, str)]
    (line,) = (line for line in lines if "committee" in line)
    assert line.startswith("left out: ordering 00, 600 K, replica 0: the potential left what it")
    assert line.endswith("(34 % of 50 looks above 0.21 eV/Å, 5 % allowed)")
    rows = rows_of(material, tmp_path)
    row = row_at(rows, "00", 600)
    assert (row["verdict"], row["extrapolating"]) == ("extrapolating", "yes")
    assert "committee disagrees" in row["left_out_because"]
    assert row_at(rows, "00", 500)["left_out_because"] == ""
    assert {row["extrapolating"] for row in rows if row["kind"] != "run"} == {"no"}
    labels = legend_texts(arrhenius_figure([material], PlotSettings()))
    assert any(label.startswith("runs left out of the fit (extrapolating,") for label in labels)
    panels = displacements(material).axes
    labels = [text.get_text() for panel in panels[:3] for text in panel.get_legend().get_texts()]
    assert "ordering 00: extrapolating" in labels


def test_an_accepted_run_is_used_and_every_report_says_so(
    results: MaterialResults, tmp_path: Path
) -> None:
    material = looked_at(results, accepted=True)
    assert len(material.arrhenius["excluded"]) == len(results.arrhenius["excluded"])
    lines = [part for part in summary(material) if isinstance(part, str)]
    (line,) = (line for line in lines if "accept_extrapolation" in line)
    assert "ordering 00, 600 K, replica 0: 34 % of 50 looks" in line
    rows = rows_of(material, tmp_path)
    row = row_at(rows, "00", 600)
    assert (row["verdict"], row["extrapolating"]) == ("converged", "yes")
    pooled = {row["temperature_K"]: row["extrapolating"] for row in rows if row["kind"] == "pooled"}
    assert pooled == {"500": "no", "600": "yes", "700": "no"}
    assert rows[-1]["extrapolating"] == "yes"
    figure = arrhenius_figure([material], PlotSettings())
    assert "single runs beyond what the potential was trained on" in legend_texts(figure)
    assert any(line.get_marker() == "D" for line in figure.axes[0].get_lines())


def test_without_a_committee_nothing_is_said(results: MaterialResults, tmp_path: Path) -> None:
    assert {row["extrapolating"] for row in rows_of(results, tmp_path)} == {""}
    figure = arrhenius_figure([results], PlotSettings())
    assert not any("trained on" in label for label in legend_texts(figure))
    assert not any("committee" in part for part in summary(results) if isinstance(part, str))


def test_two_materials_are_told_apart(results: MaterialResults) -> None:
    other = replace(results, formula="Li3YBr6")
    labels = legend_texts(arrhenius_figure([results, other], PlotSettings()))
    assert labels[:2] == [subscripted("Li3YCl6"), subscripted("Li3YBr6")]


def test_literature_can_be_left_out(results: MaterialResults) -> None:
    figure = arrhenius_figure([results], PlotSettings(show_measured=False, show_computed=False))
    for axes in figure.axes[:2]:
        assert not any(np.allclose(line.get_xdata(), 1000 / 298) for line in axes.get_lines())


def test_msd_figure_has_a_panel_a_temperature(results: MaterialResults) -> None:
    figure = displacements(results)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["500 K", "600 K", "700 K"]


def test_plots_are_the_same_bytes_again(results: MaterialResults, tmp_path: Path) -> None:
    settings = PlotSettings(formats=["svg"])
    first = write_plots([results], tmp_path / "a", settings)
    second = write_plots([results], tmp_path / "b", settings)
    stems = ("conductivity-temperature", "anisotropy", "msd", "parity", "msd-Li3YCl6")
    names = [f"{stem}.{extension}" for stem in stems for extension in ("svg", "csv")]
    assert [path.name for path in first] == names
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_failed_fit_still_gives_figures_and_table(folder: Path, tmp_path: Path) -> None:
    results = load_material(folder)
    runs: list[dict[str, Any]] = [run for run in results.runs if run["temperature_K"] == 500]
    poor = MaterialResults(
        "x", "Li3YCl6", arrhenius(runs, ArrheniusSettings()), runs, results.structure
    )
    assert poor.arrhenius["verdict"] == "too_few_temperatures"
    write_plots([poor], tmp_path, PlotSettings(formats=["png"]))
    write_table([poor], tmp_path / "conductivity.csv")
    assert any("no Arrhenius fit" in part for part in summary(poor) if isinstance(part, str))


def test_damaged_results_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match=r"orderings\.json: no such file"):
        load_material(tmp_path)
    (tmp_path / "orderings").mkdir()
    (tmp_path / "orderings" / "orderings.json").write_text(json.dumps({"formula": "Li3YCl6"})[:-4])
    with pytest.raises(HalmdError, match="damaged or truncated"):
        load_material(tmp_path)


def test_published_values_are_matched_by_composition() -> None:
    values = measured("Li3YCl6")
    assert sorted(1000 * v.sigma_S_per_cm for v in values) == pytest.approx(
        [0.071, 0.26, 0.51, 3.04]
    )
    assert [v.sigma_S_per_cm for v in values if v.suspect] == [3.04e-3]
    assert measured("Li6Y2Cl12") == values
    assert measured("Li6Sc2Cl12")[0].Ea_eV == pytest.approx(0.34)
    assert measured("LiCl") == []


def test_crystals_of_one_composition_are_told_apart() -> None:
    """Measured of Li3ScCl6 were the monoclinic crystal and the spinel, written Li2Sc2/3Cl4."""
    of_both = {v.sigma_S_per_cm for v in measured("Li3ScCl6")}
    assert of_both == {3.0e-3, 1.5e-3}
    assert {v.sigma_S_per_cm for v in measured("Li3ScCl6", "C2/m")} == {3.0e-3}
    assert {v.sigma_S_per_cm for v in measured("Li3ScCl6", "spinel")} == {1.5e-3}
    # The review does not say which crystal this one is.
    assert measured("Li3YbCl6", "Pnma") == measured("Li3YbCl6", "P-3m1") == measured("Li3YbCl6")


def test_families_of_measured_crystals_are_those_of_prototypes() -> None:
    known = yaml.safe_load((REPOSITORY / "structures" / "prototypes.yaml").read_text())
    assert set(_FAMILIES.values()) <= {entry["family"] for entry in known.values()}


def test_computed_values_leave_out_what_was_only_remembered() -> None:
    methods = {v.method for v in computed("Li3YCl6")}
    assert "AIMD PBE" in methods
    assert "CHGNet 0.3.0" in methods
    assert all("Angew" not in v.citation for v in computed("Li3YCl6"))


def test_formula_subscripts() -> None:
    assert subscripted("Li2.5Y0.5Zr0.5Cl6") == "Li$_{2.5}$Y$_{0.5}$Zr$_{0.5}$Cl$_{6}$"


def test_records_that_lie_anywhere_are_replicas_of_one_ordering(
    folder: Path, tmp_path: Path
) -> None:
    for number, file in enumerate(sorted(folder.glob("*/*K/r0/transport.json"))):
        (tmp_path / f"{number}.json").write_bytes(file.read_bytes())
    runs = load_runs(sorted(tmp_path.glob("*.json")))
    assert {run["ordering"] for run in runs} == {"00"}
    assert len({run["replica"] for run in runs}) == len(runs) == 6


def marks(lines: list[str], mark: str) -> list[tuple[int, int]]:
    """Rows and columns at which a mark stands within the axes of a text plot."""
    drawn = [line.partition("│")[2] for line in lines[1:-3]]
    return [(r, c) for r, row in enumerate(drawn) for c, m in enumerate(row) if m == mark]


def test_the_text_plot_holds_every_temperature_and_falls(results: MaterialResults) -> None:
    lines = text_plot(results)
    pooled = results.arrhenius["pooled"]
    # Read by columns from the left: from hot to cold, so downwards.
    places = sorted(marks(lines, COMPUTED), key=lambda place: place[1])
    assert len(places) == len(pooled) == 3
    assert [row for row, _ in places] == sorted(row for row, _ in places)
    assert marks(lines, FITTED)
    assert marks(lines, MEASURED)
    assert len({len(line) for line in lines[1:-3]}) == 1
    coldest = 1000 / min(m.temperature_K for m in measured("Li3YCl6"))
    assert f"{coldest:.2f}" in lines[-2]


def test_the_text_plot_without_usable_runs_says_so(results: MaterialResults) -> None:
    nothing = replace(results, arrhenius={"verdict": "no_usable_runs", "pooled": []})
    assert text_plot(nothing) == ["no temperature has a usable run: nothing to draw"]
