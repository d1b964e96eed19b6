"""The lean driver against ASE's integrators and the ensembles it must sample."""

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet
from toy_crystal import IonicToy, lithium_chloride

from halmd.dynamics.lean import Motion, Rescaling, at_rest_as_a_whole, forces_of, langevin

TEMPERATURE_K = 400.0


class Wells(Calculator):
    """Every atom in a harmonic well of its own: kinetic energies have a known distribution."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites: Any, stiffness: float = 4.0) -> None:
        super().__init__()
        self.sites, self.stiffness = sites, stiffness

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, changes)
        moved = self.atoms.positions - self.sites
        self.results = {
            "energy": 0.5 * self.stiffness * float((moved**2).sum()),
            "forces": -self.stiffness * moved,
        }


def moving(seed: int = 0) -> Atoms:
    atoms = lithium_chloride()
    at_rest_as_a_whole(atoms, TEMPERATURE_K, np.random.default_rng(seed))
    return atoms


def test_velocities_have_the_temperature_and_no_total_momentum() -> None:
    rng = np.random.default_rng(4)
    atoms = lithium_chloride()
    kinetic = []
    for _ in range(400):
        at_rest_as_a_whole(atoms, TEMPERATURE_K, rng)
        assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-9
        kinetic.append(atoms.get_kinetic_energy())
    freedom = 3 * len(atoms) - 3
    expected = 0.5 * freedom * units.kB * TEMPERATURE_K
    spread = expected * np.sqrt(2 / freedom)
    assert np.mean(kinetic) == pytest.approx(expected, abs=4 * spread / 20)
    assert np.std(kinetic) == pytest.approx(spread, rel=0.15)


def test_without_a_thermostat_it_is_velocity_verlet() -> None:
    one, other = moving(), moving()
    other.calc = IonicToy()
    Motion(one, IonicToy(), timestep_fs=2.0).run(40)
    VelocityVerlet(other, 2.0 * units.fs).run(40)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-9)
    np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-8)


def test_parts_of_a_run_are_the_run() -> None:
    whole, parts = moving(), moving()
    Motion(whole, IonicToy(), timestep_fs=2.0).run(30)
    motion = Motion(parts, IonicToy(), timestep_fs=2.0)
    for steps in (1, 12, 17):
        motion.run(steps)
    np.testing.assert_allclose(parts.positions, whole.positions, atol=1e-10)


@pytest.mark.parametrize("kind", ["langevin", "rescaling"])
def test_kinetic_energies_have_their_distribution(kind: str) -> None:
    """Mean and variance of the kinetic energy of an equilibrium ensemble, for both thermostats."""
    rng = np.random.default_rng(8)
    atoms = lithium_chloride(repeat=1 if kind == "langevin" else 2)
    at_rest_as_a_whole(atoms, TEMPERATURE_K, rng)
    common = {"temperature_K": TEMPERATURE_K, "timestep_fs": 2.0, "rng": rng}
    calculator: Calculator
    if kind == "langevin":
        # Noise moves the centre of mass too: wells hold it, and every degree of freedom counts.
        thermostat = langevin(atoms.get_masses(), friction_per_fs=0.02, **common)
        calculator, freedom = Wells(atoms.positions.copy()), 3 * len(atoms)
    else:
        thermostat = Rescaling(atoms.get_masses(), time_fs=20.0, **common)
        calculator, freedom = IonicToy(), 3 * len(atoms) - 3
    motion = Motion(atoms, calculator, timestep_fs=2.0, thermostat=thermostat)
    motion.run(300)
    kinetic = []
    for _ in range(500):
        motion.run(12)
        kinetic.append(atoms.get_kinetic_energy())
    expected = 0.5 * freedom * units.kB * TEMPERATURE_K
    spread = expected * np.sqrt(2 / freedom)
    # Neighbouring samples are not quite independent: a generous count of those that are.
    assert np.mean(kinetic) == pytest.approx(expected, abs=4 * spread / np.sqrt(60))
    assert np.std(kinetic) == pytest.approx(spread, rel=0.25)


def test_rescaling_keeps_the_centre_of_mass_at_rest() -> None:
    atoms = moving()
    rng = np.random.default_rng(2)
    thermostat = Rescaling(
        atoms.get_masses(), temperature_K=600.0, time_fs=50.0, timestep_fs=2.0, rng=rng
    )
    Motion(atoms, IonicToy(), timestep_fs=2.0, thermostat=thermostat).run(200)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-6


def test_what_is_no_number_is_told() -> None:
    atoms = moving()
    before = atoms.positions.copy()
    with pytest.raises(FloatingPointError, match="no longer numbers"):
        Motion(atoms, IonicToy(nan_after=2), timestep_fs=2.0).run(8)
    # What is lost is the run, not the atoms it began with.
    np.testing.assert_array_equal(atoms.positions, before)


def test_an_atom_that_flies_away_is_told() -> None:
    atoms = moving()
    atoms.set_velocities(atoms.get_velocities() * 1e9)
    before = atoms.positions.copy()
    with pytest.raises(FloatingPointError, match="fly by"):
        Motion(atoms, IonicToy(), timestep_fs=2.0).run(8)
    np.testing.assert_array_equal(atoms.positions, before)


def test_rescaling_counts_the_degrees_of_freedom_right() -> None:
    """By itself, for four atoms: nine against twelve would be a third too much."""
    rng = np.random.default_rng(11)
    masses = np.array([7.0, 35.0, 89.0, 7.0])
    step = Rescaling(masses, temperature_K=500.0, time_fs=4.0, timestep_fs=2.0, rng=rng)
    velocities = rng.normal(size=(4, 3)) * 0.05
    velocities -= (masses @ velocities) / masses.sum()
    kinetic = []
    for _ in range(40_000):
        velocities = step(velocities)
        kinetic.append(0.5 * float(masses @ (velocities**2).sum(axis=1)))
    expected = 0.5 * 9 * units.kB * 500.0
    assert np.mean(kinetic[100:]) == pytest.approx(expected, rel=0.02)
    assert np.std(kinetic[100:]) == pytest.approx(expected * np.sqrt(2 / 9), rel=0.04)


def test_foreign_calculators_are_asked_in_ases_way() -> None:
    atoms = moving()
    wanted = atoms.copy()
    wanted.calc = IonicToy()
    found = forces_of(atoms, IonicToy())(atoms.positions)
    np.testing.assert_array_equal(found, wanted.get_forces())
