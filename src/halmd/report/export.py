"""`halmd export`: results for other tools, and what a paper has to say of them.

conductivity.csv   every run, every temperature, every fit: tidy, units in the names of columns
conductivity.parquet   the same, on request
structures.db      an ASE database of the orderings, with what was found of their material
materials.json     structures (as pymatgen writes them) with properties, one entry a material
methods.md, references.bib   how the results were made, from their own records, and what to cite
"""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.db import connect

from halmd import __version__
from halmd.errors import HalmdError
from halmd.files import whole_file, write_json, write_text
from halmd.report.methods import methods
from halmd.report.results import MaterialResults, load_material
from halmd.report.table import conductivity_rows, write_table


def export(folders: Sequence[Path], output: Path, *, parquet: bool = False) -> list[Path]:
    """Write all of them for these results/MATERIAL folders; returns the files.

    Raises HalmdError where a material has no results yet, or where Parquet is asked for and pyarrow
    is not there; nothing is written then.
    """
    results = [load_material(folder) for folder in folders]
    orderings = [read_orderings(folder) for folder in folders]
    table = _parquet(results) if parquet else None
    output.mkdir(parents=True, exist_ok=True)
    written = [output / "conductivity.csv"]
    write_table(results, written[0])
    if table is not None:
        import pyarrow.parquet

        written.append(output / "conductivity.parquet")
        with whole_file(written[-1]) as temporary:
            pyarrow.parquet.write_table(table, temporary)
    written.append(output / "structures.db")
    try:
        with whole_file(written[-1]) as temporary:
            _database(results, orderings, temporary)
    except sqlite3.OperationalError as error:
        raise HalmdError(f"{written[-1]}: {error}; make room and export again") from None
    written.append(output / "materials.json")
    entries = [_entry(*both) for both in zip(results, orderings, strict=True)]
    write_json(written[-1], {"materials": entries})
    text, works = methods(results, __version__)
    listed = "\n".join(f"{k}. {work.in_words()}" for k, work in enumerate(works, 1))
    written += [output / "methods.md", output / "references.bib"]
    write_text(written[-2], f"{text}\n\n{listed}\n")
    write_text(written[-1], "\n".join(work.bibtex() for work in works))
    return written


def read_orderings(folder: Path) -> list[Atoms]:
    """The orderings of a results/MATERIAL folder."""
    files = sorted((folder / "orderings").glob("[0-9][0-9].extxyz"))
    return [ase.io.read(file, format="extxyz") for file in files]


def properties(results: MaterialResults) -> dict[str, Any]:
    """What was found of a material, flat, units in the names; without what is not known."""
    found: dict[str, Any] = {
        "material": results.name,
        "formula": results.formula,
        "prototype": results.structure["prototype"],
        "structure_confidence": results.structure["confidence"],
        "fit_verdict": results.arrhenius["verdict"],
    }
    if results.arrhenius["verdict"] != "ok":
        return found
    there = results.arrhenius["extrapolation"]
    at = f"{there['temperature_K']:g}K"
    for name, value, ends in (
        ("Ea_eV", results.arrhenius["Ea_eV"], results.arrhenius["Ea_interval95_eV"]),
        (
            f"sigma_NE_{at}_S_per_cm",
            there["sigma_NE_S_per_cm"],
            there["sigma_NE_interval95_S_per_cm"],
        ),
    ):
        found |= {name: value, f"{name}_low95": ends[0], f"{name}_high95": ends[1]}
    return found | {"is_extrapolation": bool(there["is_extrapolation"])}


def _database(
    results: Sequence[MaterialResults], orderings: Sequence[Sequence[Atoms]], path: Path
) -> None:
    # The name it is written under is a temporary one, which would not tell its kind.
    with connect(path, type="db", append=False) as database:
        for material, cells in zip(results, orderings, strict=True):
            # ASE takes no key that is a formula.
            pairs = {"halmd_" + k: v for k, v in properties(material).items() if v is not None}
            for number, atoms in enumerate(cells):
                bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
                database.write(bare, halmd_ordering=number, **pairs)


def _entry(results: MaterialResults, orderings: Sequence[Atoms]) -> dict[str, Any]:
    from pymatgen.io.ase import AseAtomsAdaptor

    adapt = AseAtomsAdaptor.get_structure
    bare = [Atoms(a.symbols, a.positions, cell=a.cell, pbc=True) for a in orderings]
    return {
        "properties": properties(results),
        "pooled": results.arrhenius["pooled"],
        "structures": [json.loads(json.dumps(adapt(atoms).as_dict())) for atoms in bare],
    }


def _parquet(results: Sequence[MaterialResults]) -> Any:
    """The rows of conductivity.csv as a table of Arrow."""
    try:
        import pyarrow
    except ImportError:
        raise HalmdError(
            "Parquet needs pyarrow: pip install 'halmd[parquet]' (pip install pyarrow), or leave "
            "--parquet out"
        ) from None
    rows = [row for material in results for row in conductivity_rows(material)]
    names = dict.fromkeys(name for row in rows for name in row)
    return pyarrow.table({name: [row.get(name) for row in rows] for name in names})
