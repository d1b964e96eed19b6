"""Published conductivities to stand beside the computed ones.

`measured.csv` is what a 2026 review of halide electrolytes says was measured (README.md beside it
lists the review's faults); `computed.csv` holds published computed values.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from halmd.composition import parse_formula, reduced
from halmd.errors import HalmdError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """One published conductivity of a material."""

    formula: str
    temperature_K: float
    sigma_S_per_cm: float
    Ea_eV: float | None
    method: str
    """Synthesis of a measured sample, method of a computed value."""
    citation: str
    suspect: bool
    """The source itself is in doubt; shown as such, never a target."""
    extrapolated: bool
    """Computed at other temperatures and extrapolated by its authors."""


_FAMILIES = {
    "P-3m1": "P-3m1",
    "C2/m": "C2/m",
    "orthorhombic (hcp-O)": "Pnma",
    "spinel": "spinel",
    "normal spinel": "spinel",
    "inverse spinel": "spinel",
    "deficient inverse spinel": "spinel",
    "disordered inverse spinel": "spinel",
    "Suzuki-type": "Suzuki",
    "antiperovskite": "antiperovskite",
}
"""Space groups and phases of the review, as families of structures/prototypes.yaml."""


def measured(formula: str, family: str | None = None) -> list[Published]:
    """Measured values of a crystalline material with this composition.

    Of all crystals, or without those that are said to be of another family of prototypes: Li3ScCl6
    and the spinel Li2Sc2/3Cl4 are one composition.
    """
    return [
        _published(
            row,
            method=row["synthesis"],
            citation=f"review ref. {row['ref_number']}, doi {row['ref_doi']}",
            suspect="SUSPECT" in row["note"],
        )
        for row in _rows("measured.csv", formula)
        if row["kind"] == "measured"
        and row["phase"] != "amorphous"
        and (family is None or _family(row) in (family, None))
    ]


def _family(row: Mapping[str, str]) -> str | None:
    """The family of crystals that a measured value is of; None where the review leaves it open."""
    return _FAMILIES.get(row["phase"]) or _FAMILIES.get(row["space_group"])


def computed(formula: str) -> list[Published]:
    """Published computed values, without those that were only remembered and never checked."""
    return [
        _published(
            row,
            method=row["method"],
            citation=row["source"],
            extrapolated="extrapolated" in row["note"],
        )
        for row in _rows("computed.csv", formula)
        if row["confidence"] != "from_memory"
    ]


def _published(
    row: dict[str, str],
    *,
    method: str,
    citation: str,
    suspect: bool = False,
    extrapolated: bool = False,
) -> Published:
    return Published(
        formula=row["formula"],
        temperature_K=float(row["temperature_K"]),
        sigma_S_per_cm=float(row["conductivity_S_per_cm"]),
        Ea_eV=float(row["activation_energy_eV"]) if row["activation_energy_eV"] else None,
        method=method,
        citation=citation,
        suspect=suspect,
        extrapolated=extrapolated,
    )


def _rows(file: str, formula: str) -> list[dict[str, str]]:
    wanted = reduced(parse_formula(formula))
    rows = []
    with (FOLDER / file).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            text = row.get("formula_reduced") or row["formula"]
            if not text or not row["conductivity_S_per_cm"] or not row["temperature_K"]:
                continue
            try:
                same = reduced(parse_formula(text)) == wanted
            except HalmdError:
                continue
            # Cells of the literature deviate a little from the formula: Li15Y7Cl36 stands for
            # Li3YCl6.
            if same or (file == "computed.csv" and _near(text, formula)):
                rows.append(row)
    return rows


def _near(first: str, second: str) -> bool:
    a, b = (reduced(parse_formula(text)) for text in (first, second))
    return set(a) == set(b) and all(abs(float(a[k] - b[k])) < 0.1 for k in a)
