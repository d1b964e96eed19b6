"""The lean driver on the native evaluator, judged by the packaged calculator."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from halmd.dynamics.lean import Motion, Rescaling, at_rest_as_a_whole, forces_of
from halmd.potentials.evaluators import load

pytestmark = pytest.mark.skipif(
    find_spec("symmetrix") is None, reason="symmetrix-xl has no wheel for this platform"
)


def crystal(repeat: int = 2) -> Atoms:
    atoms = bulk("LiCl", "rocksalt", a=5.2, cubic=True).repeat((repeat, 1, 1))
    atoms.symbols[0] = "Y"
    return atoms


def by_calculator(atoms: Atoms, positions: np.ndarray, calculator: object) -> np.ndarray:
    own = atoms.copy()
    own.calc = calculator
    own.positions = positions
    found: np.ndarray = own.get_forces()
    return found


def test_forces_are_the_packaged_calculators(prepared: Path) -> None:
    calculator = load(prepared).calculator
    judge = load(prepared).calculator
    atoms = crystal()
    forces = forces_of(atoms, calculator)
    rng = np.random.default_rng(1)
    positions = atoms.positions.copy()
    # Small steps within the skin, and large ones that leave it.
    for width in (0.0, 0.02, 0.02, 0.4, 0.01, 3.0):
        positions = positions + rng.normal(0.0, width, positions.shape) if width else positions
        judge._neighbor_cache = None
        wanted = by_calculator(atoms, positions, judge)
        assert np.abs(wanted).max() > 0 or width == 0.0
        np.testing.assert_allclose(
            forces(positions), wanted, rtol=0, atol=2e-5 * (1 + abs(wanted).max())
        )


def test_another_user_of_the_calculator_does_no_harm(prepared: Path) -> None:
    calculator = load(prepared).calculator
    small, large = crystal(), crystal(3)
    forces = forces_of(small, calculator)
    before = forces(small.positions + 0.01)
    by_calculator(large, large.positions, calculator)
    np.testing.assert_array_equal(forces(small.positions + 0.01), before)


def test_a_strained_copy_in_between_does_no_harm(prepared: Path) -> None:
    """The packaged calculator may keep its list for another cell, and change it."""
    calculator = load(prepared).calculator
    atoms = crystal()
    atoms.positions += np.random.default_rng(7).normal(0.0, 0.1, atoms.positions.shape)
    forces = forces_of(atoms, calculator)
    before = forces(atoms.positions)
    strained = atoms.copy()
    strained.set_cell(np.array(atoms.cell) * 1.002, scale_atoms=True)
    assert np.abs(by_calculator(strained, strained.positions, calculator) - before).max() > 1e-4
    np.testing.assert_allclose(forces(atoms.positions), before, atol=1e-5)


def test_two_cells_in_turns_each_have_their_own(prepared: Path) -> None:
    calculator = load(prepared).calculator
    one, other = crystal(), crystal(3)
    rng = np.random.default_rng(6)
    for atoms in (one, other):
        atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
    alone = [forces_of(atoms, calculator)(atoms.positions) for atoms in (one, other)]
    first, second = (forces_of(atoms, calculator) for atoms in (one, other))
    for _ in range(2):
        np.testing.assert_allclose(first(one.positions), alone[0], atol=1e-5)
        np.testing.assert_allclose(second(other.positions), alone[1], atol=1e-5)


def test_a_run_keeps_its_temperature(prepared: Path) -> None:
    calculator = load(prepared).calculator
    atoms = crystal(3)
    rng = np.random.default_rng(3)
    at_rest_as_a_whole(atoms, 600.0, rng)
    thermostat = Rescaling(
        atoms.get_masses(), temperature_K=600.0, time_fs=50.0, timestep_fs=2.0, rng=rng
    )
    motion = Motion(atoms, calculator, timestep_fs=2.0, thermostat=thermostat)
    motion.run(200)
    found = []
    for _ in range(60):
        motion.run(10)
        found.append(atoms.get_temperature())
    assert np.mean(found) == pytest.approx(600.0, rel=0.15)
