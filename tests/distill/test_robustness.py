"""Holes are found where they are, and only there."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential

from halmd.distill.robustness import SCAN_A, collapse_test, pair_scan


@pytest.fixture
def crystal() -> Atoms:
    return bulk("LiCl", "rocksalt", a=5.14, cubic=True).repeat((2, 2, 2))


def test_a_hard_core_has_no_hole(crystal: Atoms) -> None:
    found = pair_scan([crystal], LennardJones(sigma=2.2, epsilon=0.05, rc=4.5), ["Li", "Cl"])
    assert set(found) == {"Cl-Cl", "Cl-Li", "Li-Li"}
    for record in found.values():
        assert record["repulsive"]
        assert list(record["force_eV_per_A"]) == [f"{d:.1f}" for d in SCAN_A]


def test_a_soft_core_is_a_hole(crystal: Atoms) -> None:
    """A shallow Morse well at 0.9 Å draws two ions together from further out."""
    soft = MorsePotential(epsilon=2.0, r0=0.9, rho0=3.0, rcut1=3.0, rcut2=4.0)
    assert not pair_scan([crystal], soft, ["Cl", "Li"])["Cl-Li"]["repulsive"]


def test_species_that_share_no_crystal_are_exchanged_in(crystal: Atoms) -> None:
    other = crystal.copy()
    other.symbols[other.symbols == "Cl"] = "Br"
    found = pair_scan([crystal, other], LennardJones(sigma=2.2, rc=4.5), ["Li", "Cl", "Br"])
    assert found["Br-Cl"]["repulsive"]


def test_a_collapse_is_told_with_its_pair(crystal: Atoms) -> None:
    soft = MorsePotential(epsilon=3.0, r0=0.9, rho0=2.0, rcut1=3.0, rcut2=4.0)
    found = collapse_test(crystal, soft, length_ps=2.0)
    assert not found["stable"]
    assert "Å" in found["why"] or "temperature" in found["why"]


def test_a_hard_crystal_stays() -> None:
    argon = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    hard = LennardJones(sigma=3.4, epsilon=0.0103, rc=7.0, smooth=True)
    found = collapse_test(argon, hard, length_ps=1.0, temperature_K=200.0)
    assert found["stable"], found
    assert found["length_ps"] == pytest.approx(1.0)
    assert np.isfinite(found["hottest_K"])
