"""`halmd prototypes`: every prototype, built, in one table."""

from pathlib import Path
from typing import Any

from rich.table import Table

from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.prototypes import catalogue
from halmd.structures.structure import build_orderings, summary


def prototype_table(
    settings: StructureSettings, folder: Path | None = None
) -> list[dict[str, Any]]:
    """One ordering of every prototype: a row each, with `error` where it cannot be built."""
    rows = []
    one = settings.model_copy(update={"n_orderings": 1})
    for name, entry in catalogue(folder).items():
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
            row["confidence"],
        )
    return table
