"""Ewald energies against pymatgen's, and against a constant of nature's crystals."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure

from halmd.structures.ewald import COULOMB_EV_A, ewald_matrix

STRUCTURES = Path(__file__).parents[2] / "structures"


def energy_eV(structure: Structure, charges: np.ndarray) -> float:
    matrix = ewald_matrix(np.array(structure.lattice.matrix), structure.frac_coords)
    return float(charges @ matrix @ charges / 2)


def pymatgen_energy_eV(structure: Structure, charges: np.ndarray) -> float:
    charged = structure.copy()
    charged.add_oxidation_state_by_site(charges.tolist())
    return float(EwaldSummation(charged, acc_factor=14).total_energy)


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
def test_equals_pymatgen_on_crystals(name: str, states: dict[str, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_file(str(STRUCTURES / f"{name}.cif"))
    charges = np.array([float(states[site.specie.symbol]) for site in structure])
    assert energy_eV(structure, charges) == pytest.approx(
        pymatgen_energy_eV(structure, charges), abs=1e-6
    )


@pytest.mark.parametrize("charge_of_cell", [0.0, 3.0])
@pytest.mark.parametrize(
    "lattice",
    [
        Lattice.cubic(14.0),
        Lattice.hexagonal(12.5, 13.0),
        Lattice.monoclinic(11.0, 19.0, 10.0, 110.0),
        Lattice.from_parameters(9.0, 14.0, 17.0, 65.0, 100.0, 75.0),
        Lattice.from_parameters(8.0, 8.5, 40.0, 90.0, 90.0, 90.0),
    ],
    ids=["cubic", "hexagonal", "monoclinic", "triclinic", "long"],
)
def test_equals_pymatgen_on_a_hundred_and_twenty_ions(
    lattice: Lattice, charge_of_cell: float
) -> None:
    rng = np.random.default_rng(5)
    # A jittered grid, so that no two ions are nearer than in a crystal.
    grid = np.stack(np.meshgrid(*[np.arange(k) / k for k in (4, 5, 6)]), axis=-1).reshape(-1, 3)
    structure = Structure(lattice, ["Cl"] * 120, grid + rng.normal(scale=0.01, size=(120, 3)))
    charges = rng.permutation(np.repeat([1.0, 2.0, 3.0, 4.0, 0.0, -1.0], [24, 4, 4, 2, 14, 72]))
    charges -= charges.sum() / 120
    charges[0] += charge_of_cell
    assert energy_eV(structure, charges) == pytest.approx(
        pymatgen_energy_eV(structure, charges), abs=1e-6
    )


def test_does_not_depend_on_the_choice_of_cell() -> None:
    lattice = Lattice.monoclinic(6.4, 11.1, 6.3, 109.8)
    rng = np.random.default_rng(1)
    fractional = rng.random((8, 3))
    charges = np.array([1, 1, 1, 1, -1, -1, -1, -1.0])
    once = charges @ ewald_matrix(np.array(lattice.matrix), fractional) @ charges
    sheared = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    other = ewald_matrix(sheared @ lattice.matrix, fractional @ np.linalg.inv(sheared))
    assert charges @ other @ charges == pytest.approx(once, abs=1e-8)
