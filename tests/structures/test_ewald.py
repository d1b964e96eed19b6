"""Ewald energies against pymatgen's, and against a constant of nature's crystals."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure

from halmd.structures.ewald import COULOMB_EV_A, ewald_matrix

STRUCTURES = Path(__file__).parents[2] / "structures"


def test_madelung_constant_of_rock_salt() -> None:
    a = 5.13
    fractional = np.array(
        [
            [0, 0, 0],
            [0, 0.5, 0.5],
            [0.5, 0, 0.5],
            [0.5, 0.5, 0],
            [0.5, 0.5, 0.5],
            [0.5, 0, 0],
            [0, 0.5, 0],
            [0, 0, 0.5],
        ]
    )
    charges = np.array([1.0] * 4 + [-1.0] * 4)
    energy = charges @ ewald_matrix(a * np.eye(3), fractional) @ charges / 2
    madelung = -energy / 4 / COULOMB_EV_A * (a / 2)
    assert madelung == pytest.approx(1.747564594633, abs=1e-9)  # Crandall and Buhler 1987


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("Li3ErCl6_P321_ordered_DFT", {"Li": 1, "Er": 3, "Cl": -1}),
        ("Li3YBr6_C2c_ordered_DFT", {"Li": 1, "Y": 3, "Br": -1}),
        ("Li2CoCl4_Cmmm_DFT", {"Li": 1, "Co": 2, "Cl": -1}),
        ("Li3ErBr6_C2_ordered_DFT", {"Li": 1, "Er": 3, "Br": -1}),
    ],
)
def test_equals_pymatgen(name: str, states: dict[str, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_file(str(STRUCTURES / f"{name}.cif"))
    structure.add_oxidation_state_by_element(states)
    charges = np.array([float(site.specie.oxi_state) for site in structure])
    matrix = ewald_matrix(np.array(structure.lattice.matrix), structure.frac_coords)
    judge = EwaldSummation(structure, acc_factor=14).total_energy
    assert charges @ matrix @ charges / 2 == pytest.approx(judge, abs=1e-6)


def test_does_not_depend_on_the_choice_of_cell() -> None:
    lattice = Lattice.monoclinic(6.4, 11.1, 6.3, 109.8)
    rng = np.random.default_rng(1)
    fractional = rng.random((8, 3))
    charges = np.array([1, 1, 1, 1, -1, -1, -1, -1.0])
    once = charges @ ewald_matrix(np.array(lattice.matrix), fractional) @ charges
    sheared = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    other = ewald_matrix(sheared @ lattice.matrix, fractional @ np.linalg.inv(sheared))
    assert charges @ other @ charges == pytest.approx(once, abs=1e-8)
