"""Density on a grid, and files that other programs read."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr
from pymatgen.io.vasp import Chgcar

from halmd.errors import HalmdError
from halmd.transport.density import (
    density,
    folded,
    framework_atoms,
    read_density,
    write_density,
)
from halmd.transport.motion import motion_of

CELL = np.array([[8.0, 0, 0], [-4.0, 6.928, 0], [1.0, 2.0, 9.0]])


def rattling(places: np.ndarray, width_A: float = 0.2, frames: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    steps = rng.normal(0, width_A, (len(places), frames, 3))
    return (places @ CELL)[:, None] + steps


def test_the_density_integrates_to_the_ions_wherever_they_are() -> None:
    far = np.array([[0.1, 0.2, 0.3], [5.7, -3.1, 2.2], [-1e-17, 1 - 1e-17, 0.999]])
    found = density([rattling(far[:1]), rattling(far[1:])], CELL)
    assert found.n_ions == pytest.approx(3.0)
    assert found.per_A3.min() == 0


def test_a_rattling_ion_is_a_gaussian_at_its_place() -> None:
    found = density([rattling(np.array([[0.4, 0.6, 0.5]]), 0.4, 200_000)], CELL, spacing_A=0.2)
    peak = np.array(np.unravel_index(found.per_A3.argmax(), found.per_A3.shape))
    difference = peak / found.per_A3.shape - [0.4, 0.6, 0.5]
    assert np.linalg.norm(difference @ CELL) < 0.3
    assert found.per_A3.max() == pytest.approx((2 * np.pi * 0.16) ** -1.5, rel=0.15)


def test_folding_averages_over_the_parts() -> None:
    places = np.array([[0.1, 0.3, 0.5], [0.6, 0.3, 0.5]])
    found = density([rattling(places)], CELL, divisions=(2, 1, 1))
    assert found.n_ions == pytest.approx(1.0)
    assert found.cell_A[0] == pytest.approx(CELL[0] / 2)
    atoms = Atoms("Cl2", scaled_positions=places, cell=CELL, pbc=True)
    assert len(folded(atoms, (2, 1, 1))) == 1


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    found = density([rattling(np.array([[0.4, 0.6, 0.5]]))], CELL, spacing_A=0.4)
    atoms = Atoms("Cl", scaled_positions=[[0.1, 0.1, 0.1]], cell=CELL, pbc=True)
    write_density(found, atoms, tmp_path / "li.cube")
    with (tmp_path / "li.cube").open() as stream:
        cube = ase.io.cube.read_cube(stream)
    assert cube["data"] / Bohr**3 == pytest.approx(found.per_A3, rel=1e-4, abs=1e-6)
    assert cube["atoms"].cell[:] == pytest.approx(CELL, abs=1e-4)
    write_density(found, atoms, tmp_path / "CHGCAR.vasp")
    read = Chgcar.from_file(str(tmp_path / "CHGCAR.vasp"))
    assert read.data["total"] / abs(np.linalg.det(CELL)) == pytest.approx(
        found.per_A3, rel=1e-4, abs=1e-6
    )
    assert [site.specie.symbol for site in read.structure] == ["Cl"]


@pytest.mark.parametrize("name", ["li.cube", "CHGCAR.vasp"])
def test_files_show_ions_where_they_are(name: str, tmp_path: Path) -> None:
    # Value (i, j, k) of these formats stands at (i, j, k) / shape.
    place = np.array([0.4, 0.6, 0.5])
    found = density([rattling(place[None], 0.3, 100_000)], CELL, spacing_A=0.5)
    atoms = Atoms("Cl", scaled_positions=[place], cell=CELL, pbc=True)
    write_density(found, atoms, tmp_path / name)
    if name.endswith("cube"):
        data = ase.io.read(tmp_path / name, read_data=True, full_output=True)["data"]
    else:
        data = Chgcar.from_file(str(tmp_path / name)).data["total"]
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in data.shape), indexing="ij"), axis=-1)
    centre = np.tensordot(data, points, axes=3) / data.sum()
    assert np.linalg.norm((centre - place) @ CELL) < 0.02


def test_a_chgcar_without_atoms_is_refused(tmp_path: Path) -> None:
    found = density([rattling(np.array([[0.4, 0.6, 0.5]]))], CELL, spacing_A=0.4)
    nothing = Atoms(cell=CELL, pbc=True)
    with pytest.raises(HalmdError, match=r"write a \.cube"):
        write_density(found, nothing, tmp_path / "CHGCAR")
    assert not list(tmp_path.iterdir())
    write_density(found, nothing, tmp_path / "li.cube")


@pytest.mark.parametrize("aside", [(1e-3, -1e-3), (-1e-3, 1e-3), (1e-3, 1e-3)])
def test_atoms_on_a_face_are_neither_lost_nor_doubled(aside: tuple[float, float]) -> None:
    places = [[aside[0], 0.2, 0.2], [0.5 + aside[1], 0.2, 0.2], [0.3, 0.7, 0.2], [0.8, 0.7, 0.2]]
    atoms = Atoms("Cl2Y2", scaled_positions=places, cell=CELL, pbc=True)
    atoms.wrap()
    part = folded(atoms, (2, 1, 1))
    assert part.get_chemical_symbols() == ["Cl", "Y"]
    x = part.get_scaled_positions()[:, 0]
    assert (x[0] + 0.5) % 1.0 - 0.5 == pytest.approx(sum(aside), abs=1e-9)
    assert x[1] == pytest.approx(0.6)


def test_a_grid_without_end_is_refused() -> None:
    with pytest.raises(HalmdError, match="--spacing-A"):
        density([rattling(np.zeros((1, 3)))], CELL, spacing_A=0.001)


def test_the_framework_stands_at_its_mean_positions() -> None:
    rng = np.random.default_rng(1)
    places = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.95], [0.7, 0.1, 0.2]]) @ CELL
    positions = places + rng.normal(0, 0.1, (4000, 3, 3))
    motion = motion_of(positions, CELL, ("Li", "Cl", "Y"), np.arange(4000) * 0.05)
    atoms = framework_atoms(motion)
    assert atoms.get_chemical_symbols() == ["Cl", "Y"]
    assert atoms.positions == pytest.approx(places[1:], abs=0.2)


def test_a_density_is_read_back(tmp_path: Path) -> None:
    found = density([rattling(np.array([[0.4, 0.6, 0.5]]))], CELL, spacing_A=0.4)
    atoms = Atoms("Cl", scaled_positions=[[0.1, 0.1, 0.1]], cell=CELL, pbc=True)
    path = tmp_path / "density.vasp"
    write_density(found, atoms, path)
    again = read_density(path)
    assert again.per_A3 == pytest.approx(found.per_A3, rel=1e-4, abs=1e-6)
    assert again.cell_A == pytest.approx(CELL, abs=1e-5)
    whole = path.read_text()
    for damaged in (whole[: len(whole) // 2], "", whole.replace("0.", "x.")):
        path.write_text(damaged)
        with pytest.raises(HalmdError, match=r"density\.vasp"):
            read_density(path)
