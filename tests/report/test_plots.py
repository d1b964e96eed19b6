"""The figures of `halmd plots` and the tables beside them."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from halmd.config import PlotSettings
from halmd.errors import HalmdError
from halmd.files import read_json
from halmd.reference import measured
from halmd.report.anisotropy_figure import anisotropy_figure, anisotropy_rows
from halmd.report.arrhenius_figure import arrhenius_figure
from halmd.report.figure_list import Described, figure_files, figure_stems
from halmd.report.msd_figure import msd_grid_figure
from halmd.report.parity_figure import parity_figure, parity_rows
from halmd.report.plots import write_plots
from halmd.report.results import MaterialResults
from halmd.report.series_figure import series_figure, series_rows
from halmd.report.style import looks, subscripted, with_subscripts

SERIES = ("Li3YCl6", "Li2.5Y0.5Zr0.5Cl6", "Li2ZrCl6")


@pytest.fixture(scope="module")
def series(results: MaterialResults) -> list[MaterialResults]:
    """The same numbers under the names of a series; the last without a fit."""
    found = [replace(results, name=formula, formula=formula) for formula in SERIES]
    nothing = {"verdict": "too_few_temperatures", "pooled": [], "excluded": []}
    nothing["settings"] = results.arrhenius["settings"]
    return [*found[:2], replace(found[2], arrhenius=nothing)]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def numbers(rows: list[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows]


def words_in(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.fixture(scope="module")
def tables(
    results: MaterialResults, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("plots")
    write_plots([results], folder, PlotSettings(formats=["svg"]))
    return {path.stem: table(path) for path in folder.glob("*.csv")}


def test_conductivities_in_the_table_are_those_of_the_json_files(
    folder: Path, tables: dict[str, list[dict[str, str]]]
) -> None:
    rows, record = tables["conductivity-temperature"], read_json(folder / "arrhenius.json")
    for kind, entries in (("mean", record["pooled"]), ("predicted", record["at_temperatures"])):
        mine = [row for row in rows if row["kind"] == kind]
        assert numbers(mine, "temperature_K") == [entry["temperature_K"] for entry in entries]
        assert numbers(mine, "sigma_S_per_cm") == [e["sigma_NE_S_per_cm"] for e in entries]
        for level in ("68", "95"):
            for place, end in enumerate(("low", "high")):
                found = numbers(mine, f"sigma_{end}{level}_S_per_cm")
                assert found == [e[f"sigma_NE_interval{level}_S_per_cm"][place] for e in entries]
    (predicted,) = (row for row in rows if row["kind"] == "predicted")
    assert predicted["is_extrapolation"] == "yes"
    for row in (row for row in rows if row["kind"] == "run"):
        run = folder / row["ordering"] / f"{float(row['temperature_K']):g}K" / f"r{row['replica']}"
        transport = read_json(run / "transport.json")
        assert float(row["sigma_S_per_cm"]) == transport["sigma_NE_S_per_cm"]
        assert row["verdict"] == transport["verdict"]
        assert bool(row["left_out_because"]) == (transport["verdict"] != "converged")


def test_the_curve_can_be_drawn_again_from_the_table(
    folder: Path, tables: dict[str, list[dict[str, str]]]
) -> None:
    band = read_json(folder / "arrhenius.json")["band"]
    rows = [row for row in tables["conductivity-temperature"] if row["kind"] == "fit"]
    T = np.array(numbers(rows, "temperature_K"))
    assert list(1000 / T) == pytest.approx(band["per_1000_K"], rel=1e-12)
    for column, values in (
        ("sigma_S_per_cm", band["ln_sigma_T_S_K_per_cm"]),
        ("sigma_low95_S_per_cm", band["interval95"][0]),
        ("sigma_with_change_high95_S_per_cm", band["with_unseen_change95"][1]),
    ):
        assert np.log(numbers(rows, column) * T) == pytest.approx(values, rel=1e-9, abs=1e-9)
    inside = [row["is_extrapolation"] == "no" for row in rows]
    # Data end at 500 K: colder is extrapolation.
    assert inside == [value >= 500 * (1 - 1e-9) for value in T]


def test_published_values_in_the_table_have_their_sources(
    tables: dict[str, list[dict[str, str]]],
) -> None:
    rows = [row for row in tables["conductivity-temperature"] if row["kind"] == "measured"]
    values = measured("Li3YCl6")
    assert numbers(rows, "sigma_S_per_cm") == [value.sigma_S_per_cm for value in values]
    assert [row["source"] for row in rows] == [value.citation for value in values]
    assert [row["suspect"] == "yes" for row in rows] == [value.suspect for value in values]


def test_displacements_in_the_table_are_those_of_the_json_files(
    folder: Path, tables: dict[str, list[dict[str, str]]]
) -> None:
    assert tables["msd"] == tables["msd-Li3YCl6"]
    for file in folder.glob("*/*K/r0/transport.json"):
        record = read_json(file)
        mine = [
            row
            for row in tables["msd"]
            if row["ordering"] == file.parts[-4]
            and float(row["temperature_K"]) == record["temperature_K"]
        ]
        assert numbers(mine, "time_ps") == record["msd"]["time_ps"]
        assert numbers(mine, "msd_A2") == record["msd"]["msd_A2"]
        assert numbers(mine, "msd_error_A2") == record["msd"]["error_A2"]
        assert numbers(mine[:1], "fit_from_ps") == [record["fit_from_ps"]]
        # D in cm²/s is a sixth of the slope; 1 Å²/ps is 1e-4 cm²/s.
        assert float(mine[0]["fit_slope_A2_per_ps"]) * 1e-4 / 6 == pytest.approx(
            record["D_tracer_cm2_per_s"]
        )


def test_directions_in_the_table_are_those_of_the_json_files(
    folder: Path, results: MaterialResults
) -> None:
    rows = anisotropy_rows([results])
    runs = [row for row in rows if row["kind"] == "run"]
    assert len(runs) == 6 * 3
    for row in runs:
        run = folder / row["ordering"] / f"{row['temperature_K']:g}K" / f"r{row['replica']}"
        tensor = read_json(run / "transport.json")["tensor"]
        assert row["D_cm2_per_s"] == tensor["lattice"][row["axis"]]["D_cm2_per_s"]
        assert row["isotropic_p"] == tensor["isotropic_p"]
    for mean in (row for row in rows if row["kind"] == "mean"):
        used = [
            run["D_cm2_per_s"]
            for run in runs
            if (run["axis"], run["temperature_K"]) == (mean["axis"], mean["temperature_K"])
            and not run["left_out_because"]
        ]
        assert mean["D_cm2_per_s"] == pytest.approx(np.mean(used))
        assert mean["D_low95_cm2_per_s"] < mean["D_cm2_per_s"] < mean["D_high95_cm2_per_s"]


def test_a_series_is_drawn_against_x_with_what_was_measured(series: list[MaterialResults]) -> None:
    rows = series_rows(series, PlotSettings())
    assert {row["series"] for row in rows} == {"Li{3-x}Y{1-x}Zr{x}Cl6"}
    computed = [row for row in rows if row["kind"] == "computed"]
    assert [(row["x"], row["material"]) for row in computed] == [
        (0.0, "Li3YCl6"), (0.5, "Li2.5Y0.5Zr0.5Cl6"), (1.0, "Li2ZrCl6")
    ]  # fmt: skip
    there = series[0].arrhenius["extrapolation"]
    assert computed[0]["sigma_S_per_cm"] == there["sigma_NE_S_per_cm"]
    assert computed[0]["Ea_high95_eV"] == series[0].arrhenius["Ea_interval95_eV"][1]
    # No fit, no number; but what was measured stands there.
    assert "sigma_S_per_cm" not in computed[2]
    at_1 = [row for row in rows if row["kind"] == "measured" and row["x"] == 1]
    assert sorted(row["sigma_S_per_cm"] for row in at_1) == [2.8e-4, 8.1e-4]
    figure = series_figure(rows)
    left, right = figure.axes
    assert left.get_yscale() == "log"
    assert r"Li$_{3-\mathit{x}}$Y$_{1-\mathit{x}}$Zr$_{\mathit{x}}$Cl$_{6}$" in left.get_xlabel()
    assert "300 K" in left.get_ylabel()
    assert right.get_ylabel() == "activation energy (eV)"
    hidden = series_rows(series, PlotSettings(show_measured=False))
    assert {row["kind"] for row in hidden} == {"computed"}


def test_parity_has_a_range_and_keeps_suspect_values_out_of_it(
    series: list[MaterialResults],
) -> None:
    rows = parity_rows(series)
    assert {row["material"] for row in rows} == {"Li3YCl6", "Li2ZrCl6"}
    how = dict(zip(SERIES, looks(series, PlotSettings()), strict=True))
    figure = parity_figure(rows, how)
    (axes,) = figure.axes
    computed = series[0].arrhenius["extrapolation"]["sigma_NE_S_per_cm"]
    (samples,) = (
        line
        for line in axes.get_lines()
        if line.get_marker() == "|"
        and np.allclose(line.get_ydata(), computed)
        and len(line.get_xdata()) == 3
    )
    # Sound values of Li3YCl6 are 0.071, 0.26 and 0.51 mS/cm; 3.04 is suspect.
    middle = (0.071e-3 * 0.26e-3 * 0.51e-3) ** (1 / 3)
    assert sorted(samples.get_xdata()) == pytest.approx([0.071e-3, 0.26e-3, 0.51e-3])
    points = [list(line.get_xdata()) for line in axes.get_lines() if line.get_marker() == "o"]
    assert [pytest.approx(middle)] in points
    assert [3.04e-3] in points
    # Li2ZrCl6 was measured, but has no fit.
    assert words_in(figure) == [subscripted("Li3YCl6")]
    line = np.array(axes.get_xlim())
    bands = [band.get_paths()[0].vertices for band in axes.collections[:2]]
    for factor, vertices in zip((10, 3), bands, strict=True):
        ratio = vertices[:, 1] / vertices[:, 0]
        assert ratio.max() == pytest.approx(factor)
        assert ratio.min() == pytest.approx(1 / factor)
    assert tuple(line) == axes.get_ylim()


def test_without_any_fit_parity_and_series_say_so(series: list[MaterialResults]) -> None:
    bare = [replace(material, arrhenius=series[2].arrhenius) for material in series]
    how = dict(zip(SERIES, looks(bare, PlotSettings()), strict=True))
    assert any("no material" in words for words in words_in(parity_figure(parity_rows(bare), how)))
    figure = series_figure(series_rows(bare, PlotSettings()))
    assert any("no material of this series has a fit" in words for words in words_in(figure))


def test_all_displacements_stand_in_one_grid(series: list[MaterialResults]) -> None:
    figure = msd_grid_figure(series, looks(series, PlotSettings()))
    assert len(figure.axes) == 3 * 3
    assert [axes.get_title() for axes in figure.axes[:3]] == ["500 K", "600 K", "700 K"]
    names = [axes.get_ylabel() for axes in figure.axes[::3]]
    assert names == [subscripted(formula) for formula in SERIES]
    for axes in figure.axes:
        dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert len(dashed) == 2


def test_an_anisotropic_run_is_drawn_apart_along_its_axes(results: MaterialResults) -> None:
    rows = anisotropy_rows([results])
    figure = anisotropy_figure([results], rows, looks([results], PlotSettings()), PlotSettings())
    axes = figure.axes[0]
    drawn = {float(y) for line in axes.get_lines() for y in line.get_ydata()}
    for row in rows:
        if not row.get("left_out_because"):
            assert row["D_cm2_per_s"] in drawn


def described(*formulas: str) -> list[Described]:
    return [Described(formula, formula, 300.0, "Li") for formula in formulas]


def test_figures_are_known_from_compositions_alone() -> None:
    three = ["conductivity-temperature", "anisotropy", "msd"]
    settings = PlotSettings()
    # Nobody measured either in the review near 300 K, and two compositions are no series.
    assert figure_stems(described("Li3GdCl6", "Li2CoCl4"), settings)[:-2] == three
    found = figure_stems(described(*SERIES), settings)
    assert found[:-3] == [*three, "composition-series", "parity"]
    hidden = figure_stems(described("Li3YCl6"), PlotSettings(show_measured=False))
    assert hidden == [*three, "msd-Li3YCl6"]


def test_what_is_written_is_what_a_workflow_expects(
    series: list[MaterialResults], tmp_path: Path
) -> None:
    settings = PlotSettings(formats=["pdf"])
    written = write_plots(series, tmp_path, settings)
    assert [path.name for path in written] == figure_files(described(*SERIES), settings)
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_figures_of_an_earlier_call_do_not_stay(
    series: list[MaterialResults], tmp_path: Path
) -> None:
    write_plots(series, tmp_path, PlotSettings(formats=["png"], dpi=30))
    own = {"notes.csv": "x,y\n", "msd-mine.csv": "t,msd\n", "msd-mine.png": "", "my.png": ""}
    for name, text in own.items():
        (tmp_path / name).write_text(text)
    settings = PlotSettings(formats=["svg"], show_measured=False)
    write_plots(series[:1], tmp_path, settings)
    found = {path.name for path in tmp_path.iterdir()}
    assert found == set(figure_files(described(SERIES[0]), settings)) | set(own)


def test_runs_stopped_at_their_first_frame_still_have_figures(
    results: MaterialResults, tmp_path: Path
) -> None:
    kept = ("temperature_K", "mobile", "ordering", "replica", "run", "npt")
    empty: dict[str, list[float]] = {"time_ps": [], "msd_A2": [], "error_A2": []}
    runs = [
        {key: run[key] for key in kept} | {"verdict": "framework_unstable", "msd": empty}
        for run in results.runs
    ]
    record = {"verdict": "no_usable_runs", "pooled": [], "settings": results.arrhenius["settings"]}
    record["excluded"] = [run | {"rule": "the framework moved", "numbers": {}} for run in runs]
    stopped = replace(results, runs=runs, arrhenius=record)
    settings = PlotSettings(formats=["png"], dpi=30)
    written = write_plots([stopped], tmp_path, settings)
    assert [path.name for path in written] == figure_files(described("Li3YCl6"), settings)
    rows = table(tmp_path / "parity.csv")
    assert {row["fit_verdict"] for row in rows} == {"no_usable_runs"}
    assert {row["sigma_computed_S_per_cm"] for row in rows} == {""}


def test_style_decides_words_colours_and_units(series: list[MaterialResults]) -> None:
    settings = PlotSettings(
        labels={"Li3YCl6": "milled Li3YCl6 (sample 2, 5 $)"},
        colours={"Li3YCl6": "teal"},
        temperature_unit="K",
    )
    first, second, _ = looks(series, settings)
    assert first.label == r"milled Li$_{3}$YCl$_{6}$ (sample 2, 5 \$)"
    assert first.colour == "teal"
    assert second.label == subscripted(SERIES[1])
    figure = arrhenius_figure(series, settings)
    (legend, published) = figure.legends
    assert legend.get_texts()[0].get_text() == first.label
    assert any("at 298 K" in text.get_text() for text in published.get_texts())
    tops = list(figure.axes[0].child_axes)
    assert [top.get_xlabel() for top in tops] == ["temperature (K)"]
    in_C = arrhenius_figure(series, PlotSettings())
    assert in_C.axes[0].child_axes[0].get_xlabel() == "temperature (°C)"
    assert any("at 25 °C" in text.get_text() for text in in_C.legends[1].get_texts())


def test_materials_stand_in_the_order_given(series: list[MaterialResults]) -> None:
    figure = arrhenius_figure(series[::-1], PlotSettings())
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:3] == [subscripted(formula) for formula in SERIES[::-1]]


def test_no_two_of_twenty_materials_look_alike(results: MaterialResults) -> None:
    many = [replace(results, name=f"m{k}") for k in range(20)]
    how = looks(many, PlotSettings())
    assert len({(look.colour, look.marker) for look in how}) == 20
    # One formula, twenty crystals: names tell them apart.
    assert len({look.label for look in how}) == 20


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Li3YCl6", "Li$_{3}$YCl$_{6}$"),
        ("Li2Sc2/3Cl4, spinel", "Li$_{2}$Sc$_{2/3}$Cl$_{4}$, spinel"),
        ("pristine (Li3YCl6)", "pristine (Li$_{3}$YCl$_{6}$)"),
        ("Li3(Y0.5In0.5)Cl6", "Li$_{3}$(Y$_{0.5}$In$_{0.5}$)Cl$_{6}$"),
        ("M2/M3 disorder, run 12", "M2/M3 disorder, run 12"),
        ("at $5", r"at \$5"),
    ],
)
def test_only_amounts_of_formulas_become_subscripts(words: str, expected: str) -> None:
    assert with_subscripts(words) == expected


@pytest.mark.parametrize("label", ["$", "$$", "a_b^c", "\\", "{x}", "100 % $\\frac$ Li3YCl6 \\"])
def test_any_label_can_be_drawn(results: MaterialResults, label: str, tmp_path: Path) -> None:
    settings = PlotSettings(labels={"Li3YCl6": label}, formats=["png"], dpi=30)
    arrhenius_figure([results], settings).savefig(tmp_path / "a.png", dpi=30)


def test_styles_of_unknown_materials_and_twins_are_refused(
    results: MaterialResults, tmp_path: Path
) -> None:
    out = tmp_path / "plots"
    bad: list[tuple[list[MaterialResults], dict[str, Any], str]] = [
        ([results], {"labels": {"Li3YBr6": "x"}}, "--labels: no material drawn.*Li3YBr6"),
        ([results], {"colours": {"Li3YBr6": "red"}}, "--colours: no material"),
        ([results] * 2, {}, "Li3YCl6 is given twice"),
    ]
    for given, style, message in bad:
        with pytest.raises(HalmdError, match=message):
            write_plots(given, out, PlotSettings(**style))
    assert not out.exists()
