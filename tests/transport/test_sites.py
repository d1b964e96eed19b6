"""Sites of a crystal, put where the trajectory has it."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

from halmd.errors import HalmdError
from halmd.transport.sites import sites_of_structure

# The reader of CIFs puts right 0.3333 and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")


def crystal(path: Path) -> Structure:
    """P-3m1, whose lattice has a sixfold axis and mirrors that the crystal lacks."""
    made = Structure.from_spacegroup(
        "P-3m1",
        Lattice.hexagonal(11.2, 6.05),
        ["Y", "Y", "Cl", "Li"],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.49], [0.11, 0.22, 0.76], [1 / 3, 2 / 3, 0.04]],
    )
    made.to(filename=str(path))
    return Structure.from_file(str(path))


def placed(
    structure: Structure, matrix: object, *, strain: np.ndarray, turn: np.ndarray, shift: object
) -> tuple[np.ndarray, Atoms, np.ndarray]:
    """Cell of a supercell, its framework with noise, and where its Li are, all fractional."""
    supercell = structure.copy()
    supercell.make_supercell(matrix)
    cell = supercell.lattice.matrix @ strain @ turn
    places = (supercell.frac_coords + np.asarray(shift)) % 1.0
    symbols = np.array([site.specie.symbol for site in supercell])
    others = symbols != "Li"
    framework = Atoms(symbols[others].tolist(), scaled_positions=places[others], cell=cell)
    framework.positions += np.random.default_rng(0).normal(0, 0.1, framework.positions.shape)
    return cell, framework, places[~others]


def farthest_A(found: np.ndarray, true: np.ndarray, cell: np.ndarray) -> float:
    """Largest distance from a found place to the nearest true one."""
    difference = found[:, None] - true[None]
    difference -= np.round(difference)
    return float(np.linalg.norm(difference @ cell, axis=2).min(axis=1).max())


TURN, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
TURN *= np.linalg.det(TURN)
MATRICES = [
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[3, 0, 0], [0, 3, 0], [0, 0, 4]],
    [[1, 1, 0], [-1, 2, 0], [0, 0, 2]],
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
    [[0, 1, 0], [-1, -1, 0], [0, 0, 1]],
]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("turn", [np.eye(3), TURN], ids=["as built", "turned"])
def test_the_framework_says_how_the_crystal_lies(
    matrix: list[list[int]], turn: np.ndarray, tmp_path: Path
) -> None:
    structure = crystal(tmp_path / "given.cif")
    strain = np.diag([1.02, 1.02, 0.985])
    cell, framework, true = placed(
        structure, matrix, strain=strain, turn=turn, shift=[0.13, 0.31, 0.27]
    )
    found = sites_of_structure(tmp_path / "given.cif", "Li", cell, framework)
    assert len(found.kinds) == len(true) == 2 * round(abs(np.linalg.det(matrix)))
    assert farthest_A(found.fractional, true, cell) < 0.1
    assert farthest_A(true, found.fractional, cell) < 0.1


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("strain", [1.0, 1.03])
def test_large_supercells_are_not_taken_for_turned_ones(
    n: int, strain: float, tmp_path: Path
) -> None:
    # (6 1 0) is 1.4 % longer than (6 0 0), and as square with its like: within the tolerances.
    Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.0), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).to(filename=str(tmp_path / "cubic.cif"))
    found = sites_of_structure(tmp_path / "cubic.cif", "Li", np.eye(3) * 4.0 * n * strain)
    assert len(found.kinds) == n**3
    steps = found.fractional * n
    assert steps == pytest.approx(np.round(steps), abs=1e-9)


def test_a_turned_supercell_of_a_cubic_crystal(tmp_path: Path) -> None:
    Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.0), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).to(filename=str(tmp_path / "cubic.cif"))
    structure = Structure.from_file(str(tmp_path / "cubic.cif"))
    cell, framework, true = placed(
        structure, [6, 6, 6], strain=np.eye(3) * 1.03, turn=TURN, shift=[0.01, 0.02, 0.03]
    )
    found = sites_of_structure(tmp_path / "cubic.cif", "Li", cell, framework)
    assert len(found.kinds) == 216
    assert farthest_A(found.fractional, true, cell) < 0.1


def test_a_framework_that_is_not_the_crystals_is_refused(tmp_path: Path) -> None:
    structure = crystal(tmp_path / "given.cif")
    cell = structure.lattice.matrix * np.array([[2], [2], [2]])
    rng = np.random.default_rng(2)
    other = Atoms("Y24Cl48", scaled_positions=rng.random((72, 3)), cell=cell, pbc=True)
    with pytest.raises(HalmdError, match=r"framework is .* Å from this structure's"):
        sites_of_structure(tmp_path / "given.cif", "Li", cell, other)


def test_a_framework_of_other_elements_does_not_matter(tmp_path: Path) -> None:
    structure = crystal(tmp_path / "given.cif")
    other = Atoms("Zr", scaled_positions=[[0.3, 0.3, 0.3]], cell=structure.lattice.matrix, pbc=True)
    found = sites_of_structure(tmp_path / "given.cif", "Li", structure.lattice.matrix, other)
    assert sorted(found.fractional[:, 2]) == pytest.approx([0.04, 0.96])
