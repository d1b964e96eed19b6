"""The integrators against what statistical mechanics says."""

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from toy_crystal import IonicToy, Springs, lithium_chloride, loaded

from halmd.config import DynamicsSettings
from halmd.dynamics.engines import Engine, engine_for
from halmd.dynamics.engines.ase import degrees_of_freedom, npt, start_velocities, temperature_K

TARGET_K = 400.0
every = pytest.mark.parametrize("name", ["lean", "batched", "ase"])


def engine_of(name: str, atoms: Atoms, rng: np.random.Generator, **changes: Any) -> Engine:
    """An engine that moves the atoms by their own calculator."""
    settings = DynamicsSettings.model_validate({"engine": name} | changes)
    calculator = atoms.calc
    return engine_for(
        atoms, loaded(calculator, fresh=calculator.reset), settings, target_K=TARGET_K, rng=rng
    )


def springs_crystal(n_atoms: int = 16) -> Atoms:
    rng = np.random.default_rng(4)
    symbols = ["Li", "Cl"] * (n_atoms // 2)
    atoms = Atoms(symbols, rng.uniform(0, 8, (n_atoms, 3)), cell=[8, 8, 8], pbc=True)
    atoms.calc = Springs(atoms.positions, stiffness_eV_per_A2=2.0)
    return atoms


def block_error(values: np.ndarray, blocks: int = 20) -> float:
    means = values[: len(values) // blocks * blocks].reshape(blocks, -1).mean(axis=1)
    return float(means.std(ddof=1) / np.sqrt(blocks))


@every
def test_the_ensemble_is_canonical(name: str) -> None:
    """Kinetic energy is chi-squared, and the virial of the forces obeys equipartition."""
    atoms = springs_crystal()
    rng = np.random.default_rng(11)
    start_velocities(atoms, TARGET_K, rng)
    # A short relaxation time gives many independent values; it changes the speed, not the ensemble.
    dynamics = engine_of(name, atoms, rng, thermostat_time_ps=0.05)
    dynamics.run(500)
    kinetic, virial = [], []
    for _ in range(4000):
        dynamics.run(5)
        kinetic.append(atoms.get_kinetic_energy())
        virial.append(-(dynamics.forces_eV_per_A() * (atoms.positions - atoms.calc.places_A)).sum())
    n_free, kT = degrees_of_freedom(atoms), units.kB * TARGET_K
    assert n_free == 3 * len(atoms) - 3
    K, V = np.array(kinetic), np.array(virial)
    assert abs(K.mean() - n_free * kT / 2) < 3 * block_error(K)
    assert abs(V.mean() - n_free * kT) < 3 * block_error(V)
    squares = (K - n_free * kT / 2) ** 2
    assert abs(squares.mean() - n_free * kT**2 / 2) < 3 * block_error(squares)
    # The errors are small enough for the tests above to mean something.
    assert max(block_error(K), block_error(V) / 2) < 0.02 * K.mean()
    assert block_error(squares) < 0.15 * squares.mean()
    cubes = (K - n_free * kT / 2) ** 3
    assert abs(cubes.mean() - n_free * kT**3) < 3 * block_error(cubes)


@every
def test_the_centre_of_mass_stays_at_rest_and_the_books_are_kept(name: str) -> None:
    atoms = lithium_chloride()
    atoms.calc = IonicToy()
    rng = np.random.default_rng(2)
    start_velocities(atoms, TARGET_K, rng)
    dynamics = engine_of(name, atoms, rng, timestep_fs=1.0, frame_interval_fs=50.0)
    conserved = []
    for _ in range(20):
        dynamics.run(25)
        total = dynamics.potential_eV() + atoms.get_kinetic_energy()
        conserved.append(total - dynamics.transferred_eV())
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10
    assert abs(dynamics.transferred_eV()) > 0.05
    assert np.ptp(conserved) < 0.02 * abs(dynamics.transferred_eV()) + 2e-5 * len(atoms)


@every
def test_its_state_is_all_a_restart_needs(name: str) -> None:
    rng = np.random.default_rng(8)
    atoms = springs_crystal()
    start_velocities(atoms, TARGET_K, rng)
    one = engine_of(name, atoms, rng)
    one.run(100)
    kept = one.state()
    copy = atoms.copy()
    copy.calc = Springs(springs_crystal().positions, stiffness_eV_per_A2=2.0)
    one.forget()
    one.run(100)
    other = engine_of(name, copy, np.random.default_rng(0))
    other.restore(kept)
    other.run(100)
    assert copy.positions.tobytes() == atoms.positions.tobytes()
    assert copy.get_momenta().tobytes() == atoms.get_momenta().tobytes()
    assert one.state() == other.state()


@every
def test_energy_and_forces_are_those_of_the_present_positions(name: str) -> None:
    rng = np.random.default_rng(3)
    atoms = lithium_chloride()
    atoms.calc = IonicToy()
    start_velocities(atoms, TARGET_K, rng)
    engine = engine_of(name, atoms, rng)
    for act in (lambda: None, lambda: engine.run(7), engine.forget):
        act()
        asked = atoms.copy()
        asked.calc = IonicToy()
        assert engine.potential_eV() == pytest.approx(asked.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(engine.forces_eV_per_A(), asked.get_forces(), atol=1e-9)


@every
def test_what_is_no_number_is_told(name: str) -> None:
    rng = np.random.default_rng(3)
    atoms = lithium_chloride()
    atoms.calc = IonicToy(nan_after=3)
    start_velocities(atoms, TARGET_K, rng)
    engine = engine_of(name, atoms, rng)
    with pytest.raises(FloatingPointError, match="no longer numbers"):
        engine.run(20)


def test_start_velocities_are_maxwell_boltzmann() -> None:
    atoms = Atoms(["Li", "Cl"] * 2000, np.zeros((4000, 3)))
    start_velocities(atoms, TARGET_K, np.random.default_rng(0))
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-9
    # Relative error of the temperature of 12,000 velocities: sqrt(2/12000) = 1.3 %.
    assert temperature_K(atoms) == pytest.approx(TARGET_K, rel=0.04)
    for element in ("Li", "Cl"):
        these = atoms.symbols == element
        spread = atoms.get_velocities()[these].var() * atoms.get_masses()[these][0]
        assert spread == pytest.approx(units.kB * TARGET_K, rel=0.06)
    again = atoms.copy()
    start_velocities(again, TARGET_K, np.random.default_rng(0))
    assert again.get_momenta().tobytes() == atoms.get_momenta().tobytes()


def test_energy_error_falls_with_the_square_of_the_timestep() -> None:
    """Velocity Verlet is of second order: half the step, a quarter of the energy error."""
    errors = []
    for timestep_fs in (4.0, 2.0, 1.0):
        atoms = lithium_chloride()
        atoms.calc = IonicToy()
        start_velocities(atoms, TARGET_K, np.random.default_rng(1))
        dynamics = VelocityVerlet(atoms, timestep_fs * units.fs)
        energies = []
        for _ in range(round(400 / timestep_fs)):
            dynamics.run(1)
            energies.append(atoms.get_total_energy())
        errors.append(np.std(energies))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


def test_npt_reaches_temperature_and_pressure() -> None:
    """Over a run the internal pressure is the one asked for, and the temperature too."""
    atoms = lithium_chloride(strain=0.99)
    atoms.calc = IonicToy()
    settings = DynamicsSettings(pressure_GPa=2.0, barostat_time_ps=0.3)
    start_velocities(atoms, TARGET_K, np.random.default_rng(6))
    dynamics = npt(atoms, settings, TARGET_K)
    dynamics.run(1000)
    pressures, temperatures, conserved = [], [], []
    for _ in range(300):
        dynamics.run(10)
        stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
        pressures.append(-np.trace(stress) / 3 / units.GPa)
        temperatures.append(temperature_K(atoms))
        conserved.append(dynamics.get_conserved_energy())
    P, T = np.array(pressures), np.array(temperatures)
    assert abs(P.mean() - 2.0) < 3 * block_error(P)
    assert abs(T.mean() - TARGET_K) < 3 * block_error(T)
    assert block_error(P) < 0.15
    assert block_error(T) < 15
    slope = np.polyfit(np.arange(300) * 0.02, conserved, 1)[0] / len(atoms)
    assert abs(slope) < 1e-4, "the conserved quantity drifts by over 0.1 meV/atom/ps"
