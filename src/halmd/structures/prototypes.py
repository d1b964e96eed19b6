"""Prototype structures with partial occupancies, and what is known of where they come from."""

import functools
import os
import re
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
from pymatgen.core.operations import SymmOp

from halmd.composition import Formula, format_formula, parse_formula, reduced
from halmd.errors import HalmdError

FOLDER_VARIABLE = "HALMD_STRUCTURES"

AMORPHOUS_WORDS = ("amorphous", "glass", "melt-quench")
MELT_QUENCH = (
    "amorphous phases are made by melting and quenching, which this version of halmd cannot do "
    "yet; only crystals are built"
)


@dataclass(frozen=True)
class KeepApart:
    """Sites (CIF labels) of which no two within a distance may both be occupied."""

    sites: tuple[str, ...]
    within_A: float
    at_most: float = 1.0
    """Largest share of all these sites together that the rule leaves room for."""


@dataclass(frozen=True)
class ExtraSite:
    """A site that is empty in the prototype and takes ions that its own sites have no room for."""

    label: str
    """A new label, or that of a site which holds other ions."""
    metal: bool
    """Takes metals; the mobile ion otherwise."""
    fractional: NDArray[np.float64]
    """All places in the cell, shape (n, 3); none for the label of a site that exists."""
    at_most: float
    keep_apart: tuple[KeepApart, ...]
    """Rules that hold once the site is used."""
    what: str
    """In words, for the record."""


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
    extra_sites: tuple[ExtraSite, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Sites in the cell under each label."""
        return {label: self.labels.count(label) for label in dict.fromkeys(self.labels)}

    @property
    def by_label(self) -> dict[str, dict[str, float]]:
        """Occupancy of each label."""
        return {
            label: dict(occupancy)
            for label, occupancy in zip(self.labels, self.occupancies, strict=True)
        }


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
    entries: dict[str, dict[str, Any]] = load_yaml(path)
    return entries


def load_yaml(path: Path) -> Any:
    """Content of a YAML file of this folder, read once; raises HalmdError when it is damaged."""
    try:
        return _yaml(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise HalmdError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise HalmdError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


@functools.lru_cache(maxsize=16)
def _yaml(path: Path, changed_ns: int) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def load_prototype(name: str, folder: Path | None = None) -> Prototype:
    """Load a prototype by its name, or a CIF by its path.

    Raises HalmdError when it cannot, and for a glass, which no prototype can be.
    """
    entries = catalogue(folder)
    if name in entries:
        path = structures_folder(folder) / f"{name}.cif"
        files = [file for file in (path, path.parent / "prototypes.yaml") if file.is_file()]
        return _shipped(path, name, max(file.stat().st_mtime_ns for file in files))
    if name.lower() in AMORPHOUS_WORDS:
        raise HalmdError(f"prototype {name!r}: {MELT_QUENCH}")
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

    Li2Sc2/3Cl4 and Li3ScCl6 are one composition and two crystals: the way of writing decides.
    Raises HalmdError where none has it, naming those with the same elements or the same anion.
    """
    wanted = reduced(formula)
    entries = catalogue(folder)
    same = [name for name, entry in entries.items() if _reduced(entry["formula"]) == wanted]
    as_written = [name for name in same if parse_formula(entries[name]["formula"]) == formula]
    multiples = [name for name in same if _multiple(formula, entries[name]["formula"])]
    near_enough = as_written or multiples
    chosen = [name for name in near_enough if entries[name].get("default")] or near_enough
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


def _multiple(formula: Formula, text: str) -> bool:
    """Whether a formula is a whole multiple or part of another, whose composition it has."""
    element, amount = next(iter(parse_formula(text).items()))
    ratio = formula[element] / amount
    return 1 in (ratio.numerator, ratio.denominator)


@functools.lru_cache(maxsize=1024)
def _reduced(text: str) -> dict[str, Fraction]:
    return reduced(parse_formula(text))


@functools.lru_cache(maxsize=128)
def _shipped(path: Path, name: str, changed_ns: int) -> Prototype:
    return _read(path, name, catalogue(path.parent)[name])


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
        keep_apart=_rules(entry),
        confidence=entry["confidence"],
        details={
            k: v for k, v in entry.items() if k not in ("keep_apart", "confidence", "extra_sites")
        },
        extra_sites=tuple(
            ExtraSite(
                label=extra["label"],
                metal=extra["hosts"] == "metal",
                fractional=_images(path, extra["position"], np.array(structure.lattice.matrix))
                if "position" in extra
                else np.empty((0, 3)),
                at_most=float(extra.get("at_most", 1.0)),
                keep_apart=_rules(extra),
                what=extra["what"],
            )
            for extra in entry.get("extra_sites", ())
        ),
    )


def _rules(entry: Mapping[str, Any]) -> tuple[KeepApart, ...]:
    return tuple(
        KeepApart(tuple(rule["sites"]), float(rule["within_A"]), float(rule.get("at_most", 1.0)))
        for rule in entry.get("keep_apart", ())
    )


def _images(
    path: Path, position: list[float], lattice_A: NDArray[np.float64]
) -> NDArray[np.float64]:
    """All places in the cell that the CIF's symmetry makes of one, shape (n, 3)."""
    operations = re.findall(r"^\s*'([^']*,[^']*,[^']*)'\s*$", path.read_text("utf-8"), re.MULTILINE)
    found: list[NDArray[np.float64]] = []
    for text in operations:
        image = SymmOp.from_xyz_str(text).operate(position) % 1.0
        away = [(image - other - np.rint(image - other)) @ lattice_A for other in found]
        if all(np.linalg.norm(r) > 0.1 for r in away):
            found.append(image)
    return np.array(found)


def _formula(occupancies: tuple[Mapping[str, float], ...]) -> dict[str, Fraction]:
    """Composition of the whole cell, for a CIF of which nothing else is known."""
    totals: dict[str, float] = {}
    for occupancy in occupancies:
        for element, amount in occupancy.items():
            totals[element] = totals.get(element, 0.0) + amount
    return {element: Fraction(total).limit_denominator(1000) for element, total in totals.items()}
