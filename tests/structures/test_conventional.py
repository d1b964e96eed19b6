"""The cell of a prototype out of a supercell, against pymatgen and ASE."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from ase.cell import Cell
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from halmd.composition import parse_formula
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.conventional import conventional_cell, mean_and_half_spread
from halmd.structures.measured_cell import MeasuredCell, measured_cell
from halmd.structures.prototypes import catalogue, load_prototype
from halmd.structures.structure import decide

LENGTHS = st.tuples(*[st.floats(3, 20)] * 3)
ANGLES = st.tuples(*[st.floats(65, 115)] * 3)
MATRICES = st.lists(st.integers(-3, 3), min_size=9, max_size=9).map(lambda v: np.reshape(v, (3, 3)))


@given(lengths=LENGTHS, angles=ANGLES, matrix=MATRICES, turn=st.integers(0, 99))
def test_a_triclinic_cell_comes_back_from_pymatgens_supercell(
    lengths: tuple[float, ...], angles: tuple[float, ...], matrix: np.ndarray, turn: int
) -> None:
    assume(round(np.linalg.det(matrix)) != 0)
    structure = Structure(Lattice.from_parameters(*lengths, *angles), ["Li"], [[0, 0, 0]])
    structure.make_supercell(matrix, to_unit_cell=False)
    # A relaxation may turn the cell.
    turned = structure.lattice.matrix @ Rotation.random(random_state=turn).as_matrix()
    found = conventional_cell(turned, matrix)
    np.testing.assert_allclose(found.lengths_A, lengths, rtol=1e-9)
    np.testing.assert_allclose(found.angles_degree, angles, rtol=1e-8)
    assert found.volume_A3 == pytest.approx(structure.volume / abs(np.linalg.det(matrix)))


@given(matrix=MATRICES, strain=st.lists(st.floats(-0.03, 0.03), min_size=9, max_size=9))
def test_a_strain_of_the_supercell_is_that_of_the_cell(
    matrix: np.ndarray, strain: list[float]
) -> None:
    assume(round(np.linalg.det(matrix)) > 0)
    cell = Cell.fromcellpar([6.4, 11.1, 6.3, 90, 109.8, 90])
    supercell = make_supercell(Atoms("Li", cell=cell, pbc=True), matrix).cell
    deform = np.eye(3) + np.reshape(strain, (3, 3))
    found = conventional_cell(supercell @ deform, matrix)
    expected = Cell(cell @ deform)
    np.testing.assert_allclose(found.lengths_A, expected.lengths(), rtol=1e-9)
    np.testing.assert_allclose(found.angles_degree, expected.angles(), rtol=1e-8)


@pytest.mark.parametrize("matrix", [np.ones((3, 3)), np.eye(3) / 2, np.eye(2)])
def test_a_matrix_that_makes_no_supercell_is_one_line(matrix: np.ndarray) -> None:
    with pytest.raises(HalmdError, match="is no supercell") as caught:
        conventional_cell(np.eye(3), matrix)
    assert "\n" not in str(caught.value)


def test_mean_and_half_spread() -> None:
    mean, half = mean_and_half_spread([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    assert mean.tolist() == [3.0, 5.0]
    assert half.tolist() == [2.5, 0.0]


def cell_of(formula: str, temperature_K: float = 300.0, **built: object) -> MeasuredCell | str:
    """What is measured of a material as it would be built."""
    build = decide(formula, StructureSettings(max_atoms=400), **built)  # type: ignore[arg-type]
    made = build.substitution
    return measured_cell(
        made.parent.name,
        parse_formula(formula),
        made.prototype.by_label,
        temperature_K=temperature_K,
    )


def test_the_cells_that_papers_print() -> None:
    yttrium = cell_of("Li3YCl6")
    assert isinstance(yttrium, MeasuredCell)
    np.testing.assert_allclose(yttrium.cell.lengths_A, [11.2093, 11.2093, 6.0469], atol=1e-4)
    np.testing.assert_allclose(yttrium.cell.angles_degree, [90, 90, 120])
    assert (yttrium.temperature_K, "10.1021/acs.chemmater.0c04352" in yttrium.source) == (
        None,
        True,
    )
    spinel = cell_of("Li2Sc2/3Cl4")
    assert isinstance(spinel, MeasuredCell)
    np.testing.assert_allclose(spinel.cell.lengths_A, 10.4037)
    assert spinel.temperature_K == 300
    # Nominal, and as refined: 0.664 and 0.336.
    assert isinstance(cell_of("Li3In2/3Sc1/3Cl6"), MeasuredCell)


@pytest.mark.parametrize(
    ("formula", "changes", "words"),
    [
        ("Li2.5Y0.5Zr0.5Cl6", {"prototype": "Li3YCl6_P-3m1_M2M3"}, "has another composition"),
        ("Li3HoCl6", {}, "has another composition"),
        ("Li2CoCl4", {}, "not a structure measured as it stands (found verbatim (DFT"),
        ("Li3YI6", {}, "not a structure measured as it stands (derived)"),
        ("Li2ZrCl6", {}, "cell recalled from memory"),
        ("Li3YCl6", {"site_fractions": {"Y2": 1.0, "Y3": 0.0}}, "sites occupied otherwise"),
        ("Li3YCl6", {"temperature_K": 500.0}, "at room temperature, not at 500 K"),
        ("Li2FeCl4", {"prototype": "Li2FeCl4_Fd-3m_498K"}, "at 498 K, not at 300 K"),
    ],
)
def test_where_nothing_is_to_be_compared_with_the_reason_is_given(
    formula: str, changes: dict[str, object], words: str
) -> None:
    found = cell_of(formula, **changes)  # type: ignore[arg-type]
    assert isinstance(found, str)
    assert words in found


def test_a_cell_measured_hot_is_one_to_compare_a_hot_run_with() -> None:
    hot = cell_of("Li2FeCl4", 500.0, prototype="Li2FeCl4_Fd-3m_498K")
    assert isinstance(hot, MeasuredCell)
    assert hot.temperature_K == 498


def test_an_unknown_prototype_is_said_to_be_one() -> None:
    found = measured_cell("mine", parse_formula("LiCl"), {}, temperature_K=300)
    assert isinstance(found, str)
    assert "no prototype of the catalogue" in found


def test_no_computed_or_assumed_structure_passes_for_a_measured_one() -> None:
    for name, entry in catalogue().items():
        if "measured_cell_K" in entry:
            assert not name.endswith(("_DFT", "_model")), name
            assert "recalled" not in entry["confidence_detail"], name
            assert "cell" in entry["confidence_detail"] or entry["confidence"] == "verbatim", name
            # What is measured at a temperature must be built at all.
            assert load_prototype(name).lattice_A.shape == (3, 3)
