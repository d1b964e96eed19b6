"""The compositions of the review, as structures/compositions.yaml lists them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from halmd.composition import Formula, parse_formula, reduced
from halmd.errors import HalmdError
from halmd.structures.prototypes import MELT_QUENCH, load_yaml, structures_folder


@dataclass(frozen=True)
class Measured:
    """A measured conductivity."""

    temperature_K: float
    conductivity_S_per_cm: float
    reference: str
    """DOI."""


@dataclass(frozen=True)
class KnownComposition:
    """A composition of the review."""

    formula: str
    family: str
    phase: str
    prototype: str | None
    """Named where the rule would choose another one than the phase known; else by rule."""
    mobile: str
    measured: tuple[Measured, ...]
    density_g_per_cm3: float | None
    """Of a source, for comparison."""
    note: str
    later: str
    """Why it cannot be built yet; empty where it can."""


def known_compositions(folder: Path | None = None) -> list[KnownComposition]:
    """All rows of compositions.yaml; raises HalmdError for a damaged file."""
    path = structures_folder(folder) / "compositions.yaml"
    if not path.is_file():
        return []
    try:
        return [_row(entry) for entry in load_yaml(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise HalmdError(f"{path}: a row lacks something or is malformed: {error}") from None


def known_row(formula: Formula, folder: Path | None = None) -> KnownComposition | None:
    """The row written with this very formula, or with this composition; crystals come first."""
    wanted = reduced(formula)
    same = [
        (row, parse_formula(row.formula))
        for row in known_compositions(folder)
        if _composition(row.formula) == wanted
    ]
    same.sort(key=lambda entry: (entry[1] != formula, bool(entry[0].later)))
    # Li3In0.5Sc0.5Cl6 is no spinel, though Li2In1/3Sc1/3Cl4 has its composition.
    element = next(iter(formula))
    good = [row for row, parsed in same if _whole(formula[element] / parsed[element])]
    return good[0] if good else None


@lru_cache(maxsize=4096)
def _composition(formula: str) -> Any:
    """Of a row: every formula of a campaign is compared with all of them."""
    return reduced(parse_formula(formula))


def _whole(ratio: Any) -> bool:
    return 1 in (ratio.numerator, ratio.denominator)


def _row(entry: dict[str, Any]) -> KnownComposition:
    later = str(entry.get("later", ""))
    return KnownComposition(
        formula=str(entry["formula"]),
        family=str(entry["family"]),
        phase=str(entry["phase"]),
        prototype=entry.get("prototype"),
        mobile=str(entry.get("mobile", "Li")),
        measured=tuple(
            Measured(
                float(value["temperature_K"]),
                float(value["conductivity_S_per_cm"]),
                str(value["reference"]),
            )
            for value in entry.get("measured", ())
        ),
        density_g_per_cm3=float(entry["density_g_per_cm3"])
        if "density_g_per_cm3" in entry
        else None,
        note=str(entry.get("note", "")),
        later=MELT_QUENCH if later == "amorphous" else later,
    )
