"""The wall inside of what the teacher knows: consistent energies, forces and stresses."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from halmd.distill.cores import (
    COPIES,
    GROWTH_A,
    INNERMOST_A,
    NEAREST_A,
    pushed,
    pushed_in,
    trusted,
)
from halmd.distill.label import Labelled
from halmd.distill.repulsion import zbl

JOIN_A = 1.35
FORCE_EV_PER_A = 40.0


class Wall(Calculator):
    """The pair potential that `pushed` continues by: an independent statement of it."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        vector = atoms.get_distance(0, 1, mic=True, vector=True)
        length = np.linalg.norm(vector)
        join_eV, join_force = zbl(JOIN_A, *atoms.symbols[:2])
        here_eV, here_force = zbl(float(length), *atoms.symbols[:2])
        x = JOIN_A - length
        strength = FORCE_EV_PER_A * (1 + x / GROWTH_A) + here_force - join_force
        forces = np.zeros((len(atoms), 3))
        forces[1] = strength * vector / length
        forces[0] = -forces[1]
        virial = -strength * np.outer(vector, vector) / length / atoms.get_volume()
        xx, yy, zz = np.diag(virial)
        self.results = {
            "energy": FORCE_EV_PER_A * (x + x**2 / 2 / GROWTH_A)
            + (here_eV - join_eV)
            - join_force * x,
            "forces": forces,
            "stress": np.array([xx, yy, zz, virial[1, 2], virial[0, 2], virial[0, 1]]),
        }


def labelled(atoms: Atoms) -> Labelled:
    atoms = atoms.copy()
    atoms.calc = Wall()
    return Labelled(
        Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True),
        atoms.get_potential_energy(),
        atoms.get_forces(),
        atoms.get_stress(),
    )


@pytest.fixture
def contact() -> Labelled:
    """Two ions at the distance where the wall begins, a third far away, across a cell face."""
    direction = np.array([1.0, 2.0, -1.0]) / np.sqrt(6)
    start = np.array([0.2, 0.1, 5.8])
    positions = [start, start + JOIN_A * direction, start + np.array([3.0, 3.0, -3.0])]
    atoms = Atoms("YClLi", positions=positions, cell=[6.0, 6.5, 7.0], pbc=True)
    atoms.wrap()
    return labelled(atoms)


def test_labels_are_those_of_one_potential(contact: Labelled) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        new = pushed(contact, rng)
        assert new is not None
        length = new.atoms.get_distance(0, 1, mic=True)
        assert INNERMOST_A <= length <= JOIN_A
        expected = labelled(new.atoms)
        assert new.energy_eV == pytest.approx(expected.energy_eV)
        assert np.allclose(new.forces_eV_per_A, expected.forces_eV_per_A)
        assert np.allclose(new.stress_eV_per_A3, expected.stress_eV_per_A3)


@pytest.mark.parametrize("across_a_face", [False, True])
def test_labels_of_ions_too_near_are_not_trusted(contact: Labelled, across_a_face: bool) -> None:
    found = []
    for distance in (NEAREST_A - 0.01, NEAREST_A + 0.01):
        atoms = contact.atoms.copy()
        atoms.set_distance(0, 1, distance, fix=0, mic=True)
        if across_a_face:
            atoms.positions -= atoms.positions[0]
            atoms.wrap()
        found += trusted([Labelled(atoms, 0.0, contact.forces_eV_per_A, np.zeros(6))])
    assert len(found) == 1
    assert found[0].atoms.get_distance(0, 1, mic=True) > NEAREST_A
    alone = Labelled(Atoms("Li", cell=[9, 9, 9], pbc=True), 0.0, np.zeros((1, 3)), np.zeros(6))
    assert trusted([alone]) == [alone]


def test_attraction_is_not_continued(contact: Labelled) -> None:
    drawn = Labelled(contact.atoms, 0.0, -contact.forces_eV_per_A, np.zeros(6))
    assert pushed(drawn, np.random.default_rng(0)) is None


def test_a_second_contact_is_not_continued(contact: Labelled) -> None:
    crowded = contact.atoms.copy()
    crowded.positions[2] = crowded.positions[0] + [0.0, 0.0, 1.5]
    entry = Labelled(crowded, 0.0, contact.forces_eV_per_A, np.zeros(6))
    assert pushed(entry, np.random.default_rng(0)) is None


def test_the_given_ones_are_kept_and_copies_are_seeded(contact: Labelled) -> None:
    one, other = (pushed_in([contact], seed=3) for _ in range(2))
    assert one[0] is contact
    assert len(one) == 1 + COPIES
    assert all(
        np.array_equal(a.atoms.positions, b.atoms.positions)
        for a, b in zip(one, other, strict=True)
    )
