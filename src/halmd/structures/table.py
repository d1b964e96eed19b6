"""`halmd prototypes` and `halmd compositions`: every one, built, in one table."""

from pathlib import Path
from typing import Any

from rich.table import Table

from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.known import KnownComposition, known_compositions
from halmd.structures.prototypes import catalogue
from halmd.structures.structure import build_orderings, summary
from halmd.tracked import tracked


def prototype_table(
    settings: StructureSettings, folder: Path | None = None
) -> list[dict[str, Any]]:
    """One ordering of every prototype: a row each, with `error` where it cannot be built."""
    rows = []
    one = settings.model_copy(update={"n_orderings": 1})
    for name, entry in tracked(catalogue(folder).items(), "building"):
        row: dict[str, Any] = {"prototype": name, "formula": entry["formula"]}
        try:
            built = summary(
                build_orderings(
                    entry["formula"], one, seed=0, prototype=name, structures_folder=folder
                )
            )
        except HalmdError as error:
            rows.append(row | {"confidence": entry["confidence"], "error": str(error)})
            continue
        rows.append(
            row
            | {
                "atoms": built["atoms"],
                "achieved": built["achieved_formula"],
                "deviation": built["composition_deviation"],
                "density_g_per_cm3": built["density_g_per_cm3"],
                "shortest_A": built["orderings"][0]["shortest_distance_A"],
                "confidence": built["confidence"],
            }
        )
    return rows


def render(rows: list[dict[str, Any]]) -> Table:
    """The rows as a table for the terminal."""
    table = Table(title="Prototypes, one ordering each")
    for heading, justify in (
        ("prototype", "left"),
        ("atoms", "right"),
        ("composition built", "left"),
        ("density g/cm³", "right"),
        ("shortest Å", "right"),
        ("confidence", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        if "error" in row:
            table.add_row(row["prototype"], "", row["error"], "", "", row["confidence"])
            continue
        table.add_row(
            row["prototype"],
            str(row["atoms"]),
            row["achieved"],
            f"{row['density_g_per_cm3']:.2f}",
            f"{row['shortest_A']:.2f}",
            "LOW" if row["confidence"] == "low" else row["confidence"],
        )
    return table


def composition_table(
    settings: StructureSettings, folder: Path | None = None
) -> list[dict[str, Any]]:
    """One ordering of every composition of the review: a row each.

    A row that cannot be built says why: `later` where that is known, `error` otherwise.
    """
    every = known_compositions(folder)
    return [composition_row(known, settings, folder) for known in tracked(every, "building")]


def composition_row(
    known: KnownComposition, settings: StructureSettings, folder: Path | None = None
) -> dict[str, Any]:
    """One ordering of a composition, and what is known of the material."""
    row: dict[str, Any] = {
        "formula": known.formula,
        "family": known.family,
        "phase": known.phase,
        "measured": known.measured,
        "note": known.note,
    }
    if known.later:
        return row | {"later": known.later}
    one = settings.model_copy(update={"n_orderings": 1})
    try:
        built = summary(
            build_orderings(
                known.formula,
                one,
                seed=0,
                mobile=known.mobile,
                prototype=known.prototype,
                structures_folder=folder,
            )
        )
    except HalmdError as error:
        return row | {"error": str(error)}
    return row | {
        "prototype": built["prototype"],
        "atoms": built["atoms"],
        "achieved": built["achieved_formula"],
        "deviation": built["composition_deviation"],
        "density_g_per_cm3": built["density_g_per_cm3"],
        "source_density_g_per_cm3": known.density_g_per_cm3,
        "shortest_A": built["orderings"][0]["shortest_distance_A"],
        "confidence": built["confidence"],
        "cautions": built["cautions"],
    }


def render_compositions(rows: list[dict[str, Any]]) -> Table:
    """The rows as a table for the terminal; low confidence in capitals, with the reason below."""
    table = Table(title="Compositions of the review, one ordering each")
    for heading, justify in (
        ("composition", "left"),
        ("phase", "left"),
        ("prototype", "left"),
        ("atoms", "right"),
        ("composition built", "left"),
        ("g/cm³", "right"),
        ("confidence", "left"),
        ("measured S/cm (K)", "right"),
        ("doi", "left"),
    ):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        measured = "\n".join(
            f"{m.conductivity_S_per_cm:.2e} ({m.temperature_K:g})" for m in row["measured"]
        )
        references = "\n".join(m.reference for m in row["measured"])
        if "prototype" not in row:
            words = f"later: {row['later']}" if "later" in row else row["error"]
            table.add_row(row["formula"], row["phase"], words, "", "", "", "", measured, references)
            continue
        confidence = row["confidence"]
        if confidence == "low":
            confidence = "\n".join(["LOW", *row["cautions"]])
        table.add_row(
            row["formula"],
            row["phase"],
            row["prototype"],
            str(row["atoms"]),
            row["achieved"],
            f"{row['density_g_per_cm3']:.2f}",
            confidence,
            measured,
            references,
        )
    return table


_HEADINGS = (
    "composition",
    "phase",
    "prototype",
    "atoms",
    "built",
    "g/cm³",
    "Å",
    "confidence",
    "measured",
)


def compositions_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a page of Markdown, a table for each family, with all that was assumed."""
    families = dict.fromkeys(row["family"] for row in rows)
    parts = ["# Compositions of the review, one ordering of each built"]
    parts.append(
        "Made by `halmd compositions --output docs/compositions.md`. Built: the composition that "
        "the supercell holds, its density beside that of the prototype's source, and its shortest "
        "distance. Confidence: verbatim (crystal read in a source), derived, recalled, or LOW: "
        "relax first, and publish no number without reading the paper. Measured: mS/cm."
    )
    for family in families:
        parts.append(f"## {family[0].upper()}{family[1:]}")
        lines = [f"| {' | '.join(_HEADINGS)} |", "|---" * len(_HEADINGS) + "|"]
        doubts = []
        for row in rows:
            if row["family"] != family:
                continue
            lines.append("| " + " | ".join(_cells(row)) + " |")
            doubts += [f"- {row['formula']}: {words}" for words in row.get("cautions", ())]
        parts.append("\n".join(lines))
        if doubts:
            parts.append("\n".join(dict.fromkeys(doubts)))
    return "\n\n".join(parts) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    measured = ", ".join(
        f"{1000 * m.conductivity_S_per_cm:.3g} at {m.temperature_K:g} K" for m in row["measured"]
    )
    head = [row["formula"], row["phase"]]
    if "prototype" not in row:
        return [*head, row.get("later", row.get("error", "")), "", "", "", "", "", measured]
    density = f"{row['density_g_per_cm3']:.2f}"
    if row["source_density_g_per_cm3"] is not None:
        density += f" ({row['source_density_g_per_cm3']:.2f})"
    exact = row["deviation"] < 5e-7
    return [
        *head,
        row["prototype"],
        str(row["atoms"]),
        row["achieved"] + ("" if exact else f" (off by {row['deviation']:.2g})"),
        density,
        f"{row['shortest_A']:.2f}",
        "**LOW**" if row["confidence"] == "low" else row["confidence"],
        measured,
    ]
