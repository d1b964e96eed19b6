"""What other tools read of the results is what the results say."""

import csv
import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import yaml
from ase.db import connect
from pymatgen.core import Structure
from typer.testing import CliRunner

import halmd
from halmd.cli import app
from halmd.errors import HalmdError
from halmd.report.export import export, properties
from halmd.report.methods import methods
from halmd.report.results import MaterialResults


def test_structures_come_back_with_their_properties(folder: Path, tmp_path: Path) -> None:
    files = export([folder], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in files
    )
    record = json.loads((folder / "arrhenius.json").read_text())
    (entry,) = json.loads((tmp_path / "out" / "materials.json").read_text())["materials"]
    assert entry["properties"]["Ea_eV"] == record["Ea_eV"]
    found = record["extrapolation"]["sigma_NE_S_per_cm"]
    assert entry["properties"]["sigma_NE_300K_S_per_cm"] == found
    rows = list(connect(tmp_path / "out" / "structures.db").select())
    assert [row.halmd_ordering for row in rows] == [0, 1]
    for number, row in enumerate(rows):
        atoms = ase.io.read(folder / "orderings" / f"{number:02d}.extxyz")
        np.testing.assert_allclose(row.toatoms().positions, atoms.positions, atol=1e-12)
        other = Structure.from_dict(entry["structures"][number])
        np.testing.assert_allclose(other.cart_coords, atoms.positions, atol=1e-9)
        assert row.halmd_Ea_eV == record["Ea_eV"]
    with (tmp_path / "out" / "conductivity.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    assert float(last["Ea_eV"]) == pytest.approx(record["Ea_eV"], rel=1e-5)


def test_exporting_again_replaces_what_is_there(folder: Path, tmp_path: Path) -> None:
    export([folder], tmp_path)
    export([folder], tmp_path)
    assert len(list(connect(tmp_path / "structures.db").select())) == 2


def test_a_material_without_a_fit_says_so(results: MaterialResults) -> None:
    short = replace(results, arrhenius=results.arrhenius | {"verdict": "too_few_temperatures"})
    found = properties(short)
    assert found["fit_verdict"] == "too_few_temperatures"
    assert not any(name.startswith(("Ea", "sigma")) for name in found)


def test_methods_say_what_the_runs_say(results: MaterialResults) -> None:
    assert 0 < len(results.arrhenius["excluded"]) < 6
    text, works = methods([results], halmd.__version__)
    for words in (
        "Li3YCl6 (54 atoms, 2 orderings, from a_crystal)",
        "MACE potential test [4] (SHA-256 0123456789abcdef)",
        "0 GPa, 12.5 ps",
        "a timestep of 2 fs",
        "6 runs of 60 ps at 500 to 700 K.",
        f"{len(results.arrhenius['excluded'])} of 6 runs were left out by rule",
        "sigma(300 K) is an extrapolation",
    ):
        assert words in text, words
    # Every number in brackets is a work, every work is called for, in order of appearance.
    called = [int(n) for group in re.findall(r"\[([\d, ]+)\]", text) for n in group.split(",")]
    assert list(dict.fromkeys(called)) == list(range(1, len(works) + 1))
    assert all(re.fullmatch(r"10\.\d{4,}/\S+", work.doi) for work in works)


def test_methods_give_ranges_and_own_up(results: MaterialResults) -> None:
    def changed(run: dict[str, Any], **more: Any) -> dict[str, Any]:
        return run | {"run": run["run"] | more}

    beyond = results.runs[0]["run"]["potential"] | {"beyond_training": ["Ga"]}
    own = {"name": "own:forces", "kind": "ase", "versions": {}}
    runs = [
        changed(results.runs[0], length_ps=250.0, potential=beyond),
        *(changed(run, potential=own, engine="ase") for run in results.runs[1:]),
    ]
    doubtful = replace(results, runs=runs, structure=results.structure | {"confidence": "low"})
    text, _ = methods([doubtful], "1")
    assert "runs of 60 to 250 ps" in text
    assert "not trained on Ga" in text
    assert "the ASE calculator own:forces" in text
    assert "a crystal of low confidence" in text


def test_parquet_holds_the_same_rows(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export([folder], tmp_path, parquet=True)
    table = parquet.read_table(tmp_path / "conductivity.parquet").to_pylist()
    with (tmp_path / "conductivity.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["kind"] for row in table] == [row["kind"] for row in rows]
    assert table[-1]["Ea_eV"] == pytest.approx(float(rows[-1]["Ea_eV"]), rel=1e-5)


def test_without_pyarrow_nothing_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(HalmdError, match="pip install pyarrow"):
        export([folder], tmp_path / "out", parquet=True)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("halmd.report.export._database", full)
    with pytest.raises(HalmdError, match=r"structures\.db: database or disk is full"):
        export([folder], tmp_path)
    assert not (tmp_path / "structures.db").exists()


def test_the_command(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(folder), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "methods.md" in done.output


def test_the_citation_file_is_of_this_version() -> None:
    record = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text())
    assert record["version"] == halmd.__version__
    assert record["cff-version"] == "1.2.0"
