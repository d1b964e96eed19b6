"""Prototype structures with partial occupancies, and what is known of where they come from."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pymatgen.core import Structure

from halmd.composition import Formula, format_formula, parse_formula, reduced
from halmd.errors import HalmdError

FOLDER_VARIABLE = "HALMD_STRUCTURES"


@dataclass(frozen=True)
class KeepApart:
    """Sites (CIF labels) of which no two within a distance may both be occupied."""

    sites: tuple[str, ...]
    within_A: float


@dataclass(frozen=True)
class Prototype:
    """A crystal structure whose sites may be shared or partly empty."""

    name: str
    formula: Mapping[str, Fraction]
    lattice_A: NDArray[np.float64]
    """Rows are the cell vectors, shape (3, 3)."""
    fractional: NDArray[np.float64]
    """Fractional coordinates of the sites, shape (n_sites, 3)."""
    labels: tuple[str, ...]
    """CIF label of each site."""
    occupancies: tuple[Mapping[str, float], ...]
    """Element to occupancy, for each site; the rest of a site is vacancy."""
    keep_apart: tuple[KeepApart, ...]
    confidence: str
    """verbatim, derived, recalled, low, or user for a CIF handed in."""
    details: Mapping[str, Any]
    """Source, note, space group and family, as written in prototypes.yaml."""


def structures_folder(folder: Path | None = None) -> Path:
    """Find `structures/`: the argument, $HALMD_STRUCTURES, ./structures, or beside the source."""
    named = folder or (Path(os.environ[FOLDER_VARIABLE]) if FOLDER_VARIABLE in os.environ else None)
    tried = (
        [named]
        if named
        else [Path("structures"), Path(__file__).resolve().parents[3] / "structures"]
    )
    for candidate in tried:
        if (candidate / "prototypes.yaml").is_file():
            return candidate
    raise HalmdError(
        f"no prototypes.yaml in {' or '.join(map(str, tried))}; "
        f"set {FOLDER_VARIABLE} to the folder structures/ of halmd"
    )


def catalogue(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """All entries of prototypes.yaml, by name."""
    path = structures_folder(folder) / "prototypes.yaml"
    try:
        entries: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise HalmdError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return entries


def load_prototype(name: str, folder: Path | None = None) -> Prototype:
    """Load a prototype by its name, or a CIF by its path; raises HalmdError when it cannot."""
    entries = catalogue(folder)
    if name in entries:
        return _read(structures_folder(folder) / f"{name}.cif", name, entries[name])
    path = Path(name).expanduser()
    if path.suffix.lower() == ".cif":
        return _read(path, path.stem, {"confidence": "user", "source": str(path)})
    near = [known for known in entries if known.lower().startswith(name.lower()[:6])]
    raise HalmdError(
        f"prototype {name!r} is not known; "
        + (f"near: {', '.join(near)}" if near else "see `halmd prototypes`")
        + "; or give the path of a .cif"
    )


def choose_prototype(formula: Formula, folder: Path | None = None) -> str:
    """Name of the prototype that has exactly this composition.

    Raises HalmdError where none has, naming those with the same elements or with the same anion.
    """
    wanted = reduced(formula)
    entries = catalogue(folder)
    same = [name for name, entry in entries.items() if _reduced(entry["formula"]) == wanted]
    chosen = [name for name in same if entries[name].get("default")] or same
    if chosen:
        return chosen[0]
    elements = set(formula)
    near = [name for name, e in entries.items() if set(parse_formula(e["formula"])) == elements]
    if not near:
        near = [
            name
            for name, entry in entries.items()
            if len(elements & set(parse_formula(entry["formula"]))) >= 2
        ]
    hint = f"set prototype: to one of {', '.join(near[:6])}" if near else "set prototype: to a CIF"
    raise HalmdError(f"{format_formula(formula)}: no prototype has this composition; {hint}")


def _reduced(text: str) -> dict[str, Fraction]:
    return reduced(parse_formula(text))


def _read(path: Path, name: str, entry: Mapping[str, Any]) -> Prototype:
    if not path.is_file():
        raise HalmdError(f"{path}: no such file")
    with warnings.catch_warnings():
        # pymatgen warns of coordinates rounded to special positions, which is wanted here.
        warnings.simplefilter("ignore")
        try:
            structure = Structure.from_file(str(path))
        except Exception as error:
            # pymatgen's CIF reader raises whatever a damaged file makes it stumble over.
            problem = " ".join(str(error).split())[:160]
            raise HalmdError(f"{path}: not a readable CIF, or truncated ({problem})") from None
    occupancies = tuple(
        {
            str(getattr(species, "element", species)): float(amount)
            for species, amount in site.species.items()
        }
        for site in structure
    )
    if any(sum(occupancy.values()) > 1.001 for occupancy in occupancies):
        raise HalmdError(f"{path}: a site is occupied more than once")
    return Prototype(
        name=name,
        formula=parse_formula(entry["formula"]) if "formula" in entry else _formula(occupancies),
        lattice_A=np.array(structure.lattice.matrix),
        fractional=np.array(structure.frac_coords) % 1.0,
        labels=tuple(site.label for site in structure),
        occupancies=occupancies,
        keep_apart=tuple(
            KeepApart(tuple(rule["sites"]), float(rule["within_A"]))
            for rule in entry.get("keep_apart", ())
        ),
        confidence=entry["confidence"],
        details={k: v for k, v in entry.items() if k not in ("keep_apart", "confidence")},
    )


def _formula(occupancies: tuple[Mapping[str, float], ...]) -> dict[str, Fraction]:
    """Composition of the whole cell, for a CIF of which nothing else is known."""
    totals: dict[str, float] = {}
    for occupancy in occupancies:
        for element, amount in occupancy.items():
            totals[element] = totals.get(element, 0.0) + amount
    return {element: Fraction(total).limit_denominator(1000) for element, total in totals.items()}
