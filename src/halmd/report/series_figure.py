"""Conductivity and activation energy against composition, and their table."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from halmd.config import PlotSettings
from halmd.reference import Published
from halmd.report.composition_series import Series, find_series, in_mathtext
from halmd.report.literature import measured_near
from halmd.report.results import MaterialResults
from halmd.report.style import COLOURS, STYLE, kelvins, say_empty

COLUMNS = (
    "series",
    "x",
    "material",
    "formula",
    "kind",
    "temperature_K",
    "sigma_S_per_cm",
    "sigma_low95_S_per_cm",
    "sigma_high95_S_per_cm",
    "Ea_eV",
    "Ea_low95_eV",
    "Ea_high95_eV",
    "is_extrapolation",
    "fit_verdict",
    "method",
    "source",
    "suspect",
)
"""`kind` is computed (by halmd) or measured; a material without a fit has a row without numbers."""

Row = dict[str, Any]


def series_rows(results: Sequence[MaterialResults], settings: PlotSettings) -> list[Row]:
    """All series of the materials, in the columns `COLUMNS`, x rising within each series."""
    found = find_series([m.formula for m in results], mobile=results[0].mobile)
    return [row for series in found for row in _rows_of(series, results, settings)]


def _rows_of(
    series: Series, results: Sequence[MaterialResults], settings: PlotSettings
) -> list[Row]:
    rows: list[Row] = []
    known: set[Published] = set()
    for place, x in zip(series.members, series.x, strict=True):
        material = results[place]
        base = {"series": series.template, "x": x, "material": material.name}
        rows.append(base | {"formula": material.formula, "kind": "computed"} | predicted(material))
        values = measured_near(material.formula, material.extrapolate_to_K, material.family)
        for value in values if settings.show_measured else ():
            # Two crystals of one composition share what was measured.
            if value not in known:
                known.add(value)
                rows.append(base | {"kind": "measured"} | _measured(value))
    return rows


def predicted(material: MaterialResults) -> Row:
    """Conductivity at the temperature extrapolated to, and Ea, with 95 % intervals, as columns."""
    record = material.arrhenius
    row: Row = {"temperature_K": material.extrapolate_to_K, "fit_verdict": record["verdict"]}
    if record["verdict"] != "ok":
        return row
    there = record["extrapolation"]
    sigma_low, sigma_high = there["sigma_NE_interval95_S_per_cm"]
    Ea_low, Ea_high = record["Ea_interval95_eV"]
    return row | {
        "sigma_S_per_cm": there["sigma_NE_S_per_cm"],
        "sigma_low95_S_per_cm": sigma_low,
        "sigma_high95_S_per_cm": sigma_high,
        "Ea_eV": record["Ea_eV"],
        "Ea_low95_eV": Ea_low,
        "Ea_high95_eV": Ea_high,
        "is_extrapolation": bool(there["is_extrapolation"]),
    }


def _measured(value: Published) -> Row:
    return {
        "formula": value.formula,
        "temperature_K": value.temperature_K,
        "sigma_S_per_cm": value.sigma_S_per_cm,
        "Ea_eV": value.Ea_eV,
        "method": value.method,
        "source": value.citation,
        "suspect": value.suspect,
    }


def series_figure(rows: Sequence[Row]) -> Figure:
    """One line of panels for each series: conductivity (log) and Ea against x, 95 % intervals."""
    names = list(dict.fromkeys(row["series"] for row in rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.7 + 3.2 * len(names)), layout="constrained")
        for pair, name in zip(figure.subplots(len(names), 2, squeeze=False), names, strict=True):
            mine = [row for row in rows if row["series"] == name]
            kelvin = kelvins(row["temperature_K"] for row in mine if row["kind"] == "computed")
            _draw(pair[0], mine, "sigma{}_S_per_cm")
            _draw(pair[1], mine, "Ea{}_eV")
            pair[0].set_yscale("log")
            pair[0].set_ylabel(rf"$\sigma$({kelvin}) (S cm$^{{-1}}$)")
            pair[1].set_ylabel("activation energy (eV)")
            for axes in pair:
                axes.set_xlabel(rf"$\mathit{{x}}$ in {in_mathtext(name)}")
                axes.margins(x=0.06)
        figure.legend(handles=_handles(rows), loc="outside lower center", ncols=4)
    return figure


def _draw(axes: Axes, rows: Sequence[Row], column: str) -> None:
    """One quantity of a series, named by its column with a place for low95 and high95."""
    value, low, high = (column.format(end) for end in ("", "_low95", "_high95"))
    computed = [row for row in rows if row["kind"] == "computed" and row.get(value) is not None]
    measured = [row for row in rows if row["kind"] == "measured" and row.get(value) is not None]
    axes.plot(
        [row["x"] for row in computed],
        [row[value] for row in computed],
        color=COLOURS[0],
        linewidth=0.8,
        alpha=0.5,
    )
    for row in computed:
        axes.errorbar(
            row["x"],
            row[value],
            yerr=[[row[value] - row[low]], [row[high] - row[value]]],
            marker="o",
            markersize=6,
            markerfacecolor="white" if row["is_extrapolation"] else COLOURS[0],
            color=COLOURS[0],
            capsize=3,
            linestyle="none",
        )
    for row in measured:
        axes.plot(
            row["x"],
            row[value],
            marker="*",
            markersize=9,
            color="black",
            markerfacecolor="none" if row["suspect"] else "black",
            linestyle="none",
            zorder=4,
        )
    if not computed:
        say_empty(axes, "no material of this series has a fit")


def _handles(rows: Sequence[Row]) -> list[Line2D]:
    computed: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "linestyle": "none"}
    measured: dict[str, Any] = {
        "color": "black",
        "marker": "*",
        "markersize": 9,
        "linestyle": "none",
    }
    words = {False: "inside the data, 95 %", True: "extrapolated, 95 %"}
    found = {row["is_extrapolation"] for row in rows if "is_extrapolation" in row}
    handles = [
        Line2D([], [], label=words[far], mfc="white" if far else COLOURS[0], **computed)
        for far in sorted(found)
    ]
    flags = {row["suspect"] for row in rows if row["kind"] == "measured"}
    if flags:
        handles.append(Line2D([], [], label="measured", **measured))
    if True in flags:
        handles.append(Line2D([], [], label="measured, suspect", mfc="none", **measured))
    return handles
