"""What an ordering's file says of itself is read back."""

from pathlib import Path

import ase.io
import pytest

from halmd.config import StructureSettings
from halmd.structures.structure import build_orderings, write_orderings


def test_every_fact_of_an_ordering_survives_its_file(tmp_path: Path) -> None:
    settings = StructureSettings(min_length_A=9.5, n_orderings=1, monte_carlo_steps=200)
    found = build_orderings("Li3YCl6", settings, seed=3, prototype="Li3YCl6_P-3m1_M2M3")
    write_orderings(found, tmp_path)
    info = ase.io.read(tmp_path / "00.extxyz").info
    assert info["formula"] == "Li3YCl6"
    assert info["prototype"] == "Li3YCl6_P-3m1_M2M3"
    assert info["confidence"] == "verbatim"
    assert info["seed"] == 3
    assert info["ewald_energy_eV"] == pytest.approx(found.orderings[0].ewald_energy_eV)
