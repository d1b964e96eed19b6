"""The generated part of a page of validation, in Markdown, and its place between two markers."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import halmd
from halmd.errors import HalmdError
from halmd.report.judgement import FEWEST_MATERIALS, RESAMPLES, Estimate
from halmd.report.results import MaterialResults
from halmd.report.style import kelvins
from halmd.report.validation_rows import (
    Row,
    as_pellet,
    cost,
    counted,
    floor,
    judged,
    potentials,
    with_both_Ea,
)

BEGIN = "<!-- halmd validation: begin -->"
END = "<!-- halmd validation: end -->"

_NOTHING = "–"
_WIDTH = 100


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


_JUDGED: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    (
        "median_absolute_error_decades",
        "median absolute error of log10 sigma, decades",
        "{:.2f}".format,
    ),
    ("mean_error_decades", "mean error of log10 sigma, decades", "{:+.2f}".format),
    ("spearman", "Spearman's rank correlation of sigma", "{:.2f}".format),
    ("within_factor_3", "share within a factor of 3", _percent),
    ("within_factor_10", "share within a factor of 10", _percent),
    ("mean_absolute_error_eV", "mean absolute error of Ea, eV", "{:.3f}".format),
    ("mean_error_eV", "mean error of Ea, eV", "{:+.3f}".format),
)


def with_generated(page: str | None, generated: str, *, where: str) -> str:
    """A page with this between its markers, all else kept; a new page where there is none.

    Raises HalmdError, naming `where`, unless each marker stands there once, in this order.
    """
    if page is None:
        return f"# Computed against measured\n\n{BEGIN}\n{generated}{END}\n"
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise HalmdError(
            f"{where}: needs one line {BEGIN} and one line {END} below it, found "
            f"{page.count(BEGIN)} and {page.count(END)}; put both where the results belong, or "
            "name a file that does not exist"
        )
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{generated}{END}{after}"


def generated(
    results: Sequence[MaterialResults],
    rows: Sequence[Row],
    command: Sequence[str],
    *,
    figure: str | None = None,
    table: str | None = None,
) -> str:
    """Everything between the markers.

    rows belong to the results, one each; command is what rebuilds the page, word by word; figure
    and table are links from the page.
    """
    kelvin = kelvins(row["temperature_K"] for row in rows)
    parts = [
        f"Made by halmd {halmd.__version__} from the results of {_number(len(rows), 'material')}. "
        f"Potential: {', '.join(potentials(results)) or 'not named by the runs'}. Down to the end "
        "of the tables, this page is written by",
        f"```bash\n{_wrapped(command)}\n```",
        "## Judgement",
        _judgement(rows, kelvin),
    ]
    if figure:
        parts.append(f"![Computed against measured conductivity at {kelvin}]({figure})")
    parts += [f"## Conductivity at {kelvin}", _conductivities(rows)]
    parts += _pellets(rows, kelvin)
    parts += ["## Activation energy and diffusivity", _energies(rows)]
    parts += ["## Lattice", _lattices(rows)]
    parts += ["## What was run", _runs(rows), _cost(results)]
    if table:
        parts.append(f"[All numbers]({table}), one row a material.")
    return "\n\n".join(parts) + "\n"


def _judgement(rows: Sequence[Row], kelvin: str) -> str:
    sound = [row for row in rows if row["structure_confidence"] != "low"]
    groups = {"all": rows}
    if 0 < len(sound) < len(rows):
        groups["without LOW confidence"] = sound
    if any(row.get("sigma_pellet_S_per_cm") is not None for row in rows):
        groups["all, as pellets"] = [as_pellet(row) for row in rows]
    heads = [
        f"{name} ({len(counted(some))} for sigma, {len(with_both_Ea(some))} for Ea)"
        for name, some in groups.items()
    ]
    found = [judged(some) for some in groups.values()]
    lines = [
        _table(
            ["", *heads],
            [
                [words, *(_estimate(each[key], put) for each in found)]
                for key, words, put in _JUDGED
            ],
        ),
        f"Errors are computed less measured, at {kelvin}, one pair a material: measured is the "
        "geometric mean of the values that are not in doubt. In brackets: 95 % by a bootstrap over "
        f"materials ({RESAMPLES:,} resamples); of a share of none or all, binomial. Fewer than "
        f"{FEWEST_MATERIALS} materials make no interval.",
    ]
    scatter = floor(rows)
    if scatter:
        spread, without = scatter
        lines.append(
            f"Samples of one compound differ by {spread:.2f} decades (standard deviation). By that "
            "and the error bars of the runs alone, a potential without any error would show a "
            f"median absolute error of {_estimate(without, '{:.2f}'.format)}."
        )
    lines += _not_counted(rows)
    return "\n\n".join(lines)


def _not_counted(rows: Sequence[Row]) -> list[str]:
    lines = []
    absent = [row for row in rows if row.get("not_counted_because")]
    if absent:
        listed = "\n".join(f"- {_named(row)}: {row['not_counted_because']}" for row in absent)
        lines.append(f"Not counted for sigma:\n\n{listed}")
    formulas = [row["formula"] for row in counted(rows)]
    twice = sorted({formula for formula in formulas if formulas.count(formula) > 1})
    if twice:
        lines.append(
            f"Several crystals of {', '.join(twice)} are compared with the same measurements, and "
            "count as several materials."
        )
    return lines


def _conductivities(rows: Sequence[Row]) -> str:
    heads = [
        "material",
        "computed, mS/cm (95 %)",
        "measured, mS/cm",
        "mean (log)",
        "log10(computed/measured)",
        "published computed, mS/cm",
    ]
    lines = []
    for row in rows:
        measured = [f"{1000 * v:.3g}" for v in row["sigma_measured_all_S_per_cm"]]
        measured += [f"{1000 * v:.3g} (suspect)" for v in row["sigma_measured_suspect_S_per_cm"]]
        published = zip(row["sigma_published_S_per_cm"], row["sigma_published_by"], strict=True)
        lines.append(
            [
                _marked(row),
                _with_ends(row, "sigma{}_S_per_cm", _mS),
                _joined(measured),
                _or_nothing(row.get("sigma_measured_S_per_cm"), _mS),
                _or_nothing(row.get("log10_computed_over_measured"), "{:+.2f}".format),
                # The whole source is in the table.
                _joined(f"{_mS(value)} ({by.partition(' (')[0]})" for value, by in published),
            ]
        )
    return f"{_table(heads, lines)}\n\n{_MARKS}"


def _pellets(rows: Sequence[Row], kelvin: str) -> list[str]:
    """Crystals that conduct unlike along an axis and across it; nothing where none was analysed."""
    known = [row for row in rows if row.get("sigma_pellet_S_per_cm") is not None]
    if not known:
        return []
    heads = [
        "material",
        "along, mS/cm (95 %)",
        "across",
        "mean of directions",
        "pellet",
        "measured, mean (log)",
        "log10(pellet/measured)",
    ]
    lines = [
        [
            f"{_named(row)}, {row['axis']}",
            *(
                _with_ends(row, f"sigma{part}{{}}_S_per_cm", _mS)
                for part in ("_along", "_across", "", "_pellet")
            ),
            _or_nothing(row.get("sigma_measured_S_per_cm"), _mS),
            _or_nothing(as_pellet(row).get("log10_computed_over_measured"), "{:+.2f}".format),
        ]
        for row in known
    ]
    return [
        f"## Pellets of crystals with one axis, at {kelvin}",
        _table(heads, lines),
        "Along the axis and across it, each fitted apart, and what a pellet of such grains without "
        "texture conducts: an effective medium, for the current has to pass through grains of all "
        "orientations (`halmd polycrystal`). The column *as pellets* of the judgement takes these.",
    ]


_MARKS = (
    "LOW: the crystal rests on assumptions. extrapolating: used runs left what the potential was "
    "trained on. inside: within the temperatures of the runs; all others are extrapolated."
)


def _marked(row: Row) -> str:
    """A material with what a reader must know of its number."""
    marks = ["LOW"] if row["structure_confidence"] == "low" else []
    marks += ["extrapolating"] if row["extrapolating"] == "yes" else []
    marks += ["inside"] if row.get("is_extrapolation") is False else []
    return f"{_named(row)} **{', '.join(marks)}**" if marks else _named(row)


def _energies(rows: Sequence[Row]) -> str:
    heads = ["material", "Ea, eV (95 %)", "measured Ea, eV", "T, K", "D there, cm²/s (95 %)"]
    lines = [
        [
            _named(row),
            _with_ends(row, "Ea{}_eV", "{:.3f}".format),
            _or_nothing(row["Ea_measured_eV"], "{:.3f}".format),
            _or_nothing(row.get("D_temperature_K"), "{:g}".format),
            _with_ends(row, "D_tracer{}_cm2_per_s", "{:.1e}".format),
        ]
        for row in rows
    ]
    return (
        f"{_table(heads, lines)}\n\nEa is the slope of ln(sigma T) between the coldest and the "
        "hottest temperature used; measured ones are of lower temperatures. D is that of the "
        "coldest runs used."
    )


def _lattices(rows: Sequence[Row]) -> str:
    known = [row for row in rows if row.get("a_A") is not None]
    if not known:
        return "None of these materials has a `lattice.json`."
    heads = ["material", "T, K", "a, b, c, Å", "measured a, b, c, Å", "volume over measured"]
    lines = [
        [
            _named(row),
            _or_nothing(row["lattice_temperature_K"], "{:g}".format),
            _lengths(row, ""),
            _lengths(row, "_measured"),
            _or_nothing(row["volume_ratio_to_measured"], "{:.3f}".format),
        ]
        for row in rows
    ]
    return _table(heads, lines)


def _lengths(row: Row, words: str) -> str:
    lengths = [row.get(f"{axis}{words}_A") for axis in "abc"]
    return ", ".join(f"{v:.2f}" for v in lengths if v is not None) or _NOTHING


def _runs(rows: Sequence[Row]) -> str:
    heads = [
        "material",
        "crystal",
        "orderings",
        "T, K",
        "runs",
        "left out",
        "ps a run",
        "ps in all",
    ]
    heads.append("core-hours")
    lines = []
    for row in rows:
        ends = sorted(
            {f"{row[f'{which}_run_ps']:.0f}" for which in ("shortest", "longest")}, key=int
        )
        low = " (LOW confidence)" if row["structure_confidence"] == "low" else ""
        lines.append(
            [
                _named(row),
                f"{row['prototype']}{low}",
                str(row["orderings"]),
                ", ".join(f"{T:g}" for T in row["temperatures_K"]),
                str(row["runs"]),
                str(row["runs_left_out"]),
                " to ".join(ends),
                f"{row['length_ps']:.0f}",
                _or_nothing(row["core_hours"], _hours),
            ]
        )
    return _table(heads, lines)


def _cost(results: Sequence[MaterialResults]) -> str:
    found = cost(results)
    words = []
    if found.core_hours is not None:
        words.append(
            f"Production took {_hours(found.core_hours)} core-hours, by the wall times of "
            "`run.json`, one core a run."
        )
        if found.equilibration_ps:
            words.append(
                f"Equilibration is not timed; at the speed of production, its "
                f"{found.equilibration_ps:.0f} ps are {_hours(found.equilibration_core_hours)} "
                "core-hours more."
            )
    if found.device_hours is not None:
        words.append(f"Runs on a GPU took {_hours(found.device_hours)} GPU-hours.")
    if found.shared:
        words.append(
            f"{_number(found.shared, 'run')} of batches are not in it: they share a device, and "
            "their wall times overlap."
        )
    if found.unknown:
        words.append(f"Of {_number(found.unknown, 'run')} no wall time was recorded.")
    return " ".join(words)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, lines)])


def _named(row: Row) -> str:
    """A formula, with the name of the folder where that is another."""
    same = row["material"] == row["formula"]
    return row["formula"] if same else f"{row['formula']} ({row['material']})"


def _estimate(found: Estimate, put: Callable[[float], str]) -> str:
    if found.value is None:
        return _NOTHING
    if found.interval95 is None:
        return f"{put(found.value)} (no interval)"
    low, high = found.interval95
    return f"{put(found.value)} ({put(low)} to {put(high)})"


def _with_ends(row: Row, column: str, put: Callable[[float], str]) -> str:
    """A quantity with its 95 % interval; column has a place for low95 and high95."""
    if row.get(column.format("")) is None:
        return _NOTHING
    value, low, high = (put(row[column.format(end)]) for end in ("", "_low95", "_high95"))
    return f"{value} ({low} to {high})"


def _mS(sigma_S_per_cm: float) -> str:
    value = 1000 * sigma_S_per_cm
    return f"{value:.0f}" if 100 <= value < 1e4 else f"{value:.2g}"


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.2g}"


def _or_nothing(value: Any, put: Callable[[Any], str]) -> str:
    return _NOTHING if value is None else put(value)


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words) or _NOTHING


def _number(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _wrapped(command: Sequence[str]) -> str:
    """A command line in lines of at most `_WIDTH` characters, joined by backslashes."""
    lines: list[str] = []
    for word in map(shlex.quote, command):
        if lines and len(lines[-1]) + len(word) + 3 <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}" if lines else word)
    return " \\\n".join(lines)
