"""Equilibration: the pressure asked for, thermal expansion, and a verdict where it fails."""

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from toy_crystal import IonicToy, lithium_chloride, loaded

from halmd.config import DynamicsSettings
from halmd.dynamics.engines.ase import degrees_of_freedom, nvt, temperature_K
from halmd.dynamics.equilibrate import Equilibrated, equilibrate, write_equilibrated
from halmd.errors import HalmdError
from halmd.files import read_json

TARGET_K = 200.0
PRESSURE_GPa = 1.0
"""Without pressure the toy gives up rocksalt for a layered structure."""
SETTINGS = DynamicsSettings(equilibration_ps=6.0, barostat_time_ps=0.3, pressure_GPa=PRESSURE_GPa)


def settle(atoms: Atoms | None = None, calculator: Any = None, **changes: Any) -> Equilibrated:
    target_K = changes.pop("target_K", TARGET_K)
    return equilibrate(
        atoms or lithium_chloride(strain=1.02),
        loaded(calculator or IonicToy()),
        SETTINGS.model_copy(update=changes),
        target_K=target_K,
        seed=9,
        show_progress=False,
    )


@pytest.fixture(scope="module")
def settled() -> Equilibrated:
    return settle()


@pytest.fixture(scope="module")
def pressed() -> Equilibrated:
    return settle(pressure_GPa=5.0, equilibration_ps=4.0)


def test_relaxation_balances_the_pressure(settled: Equilibrated) -> None:
    assert settled.record["relaxation"]["converged"]
    # The static crystal at its lowest enthalpy, from a parabola through energies alone.
    volumes, enthalpies = [], []
    for strain in np.linspace(0.975, 0.995, 21):
        atoms = lithium_chloride(strain=strain)
        atoms.calc = IonicToy()
        volumes.append(atoms.get_volume())
        enthalpies.append(atoms.get_potential_energy() + PRESSURE_GPa * units.GPa * volumes[-1])
    a, b, _ = np.polyfit(volumes, enthalpies, 2)
    assert settled.record["volume_relaxed_A3"] == pytest.approx(-b / (2 * a), rel=0.004)


def test_mean_cell_holds_the_pressure_asked_for(settled: Equilibrated) -> None:
    """At the mean cell of NPT, NVT has the pressure of the barostat."""
    record = settled.record
    assert record["verdict"] == "ok"
    offset = record["mean_pressure_GPa"] - PRESSURE_GPa
    assert abs(offset) < 3.5 * record["mean_pressure_error_GPa"]
    atoms = settled.atoms.copy()
    atoms.calc = IonicToy()
    dynamics = nvt(atoms, SETTINGS, TARGET_K, np.random.default_rng(1))
    dynamics.run(500)
    pressures = []
    for _ in range(250):
        dynamics.run(10)
        stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
        pressures.append(-np.trace(stress) / 3 / units.GPa)
    blocks = np.reshape(pressures, (10, 25)).mean(axis=1)
    # An error of the mean volume is an error of the pressure by the bulk modulus, about 10 GPa.
    from_volume = 10 * record["volume_error_A3"] / record["volume_A3"]
    error = np.hypot(blocks.std(ddof=1) / np.sqrt(10), from_volume)
    assert abs(np.mean(pressures) - PRESSURE_GPa) < 3.5 * error
    assert error < 0.1


def test_crystals_expand_on_heating_and_shrink_under_pressure(
    settled: Equilibrated, pressed: Equilibrated
) -> None:
    cold = settled.record
    assert cold["volume_A3"] > 1.01 * cold["volume_relaxed_A3"]
    hot = settle(target_K=400.0, equilibration_ps=4.0).record
    error = np.hypot(hot["volume_error_A3"], cold["volume_error_A3"])
    assert hot["volume_A3"] > cold["volume_A3"] + 3 * error
    assert pressed.record["volume_A3"] < 0.95 * cold["volume_A3"]
    offset = pressed.record["mean_pressure_GPa"] - 5
    assert abs(offset) < 3.5 * pressed.record["mean_pressure_error_GPa"]


def test_hands_on_the_mean_cell_and_atoms_at_temperature(settled: Equilibrated) -> None:
    atoms, record = settled.atoms, settled.record
    assert atoms.get_volume() == pytest.approx(record["volume_A3"])
    np.testing.assert_allclose(atoms.cell.lengths(), record["cell_lengths_A"])
    np.testing.assert_allclose(record["cell_angles_degree"], 90, atol=0.5)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10
    spread = np.sqrt(2 / degrees_of_freedom(atoms))
    assert temperature_K(atoms) == pytest.approx(TARGET_K, rel=4 * spread)
    assert record["mean_temperature_K"] == pytest.approx(TARGET_K, rel=0.12)
    # No atom was torn off when the cell was set: Li keeps its six neighbours.
    distances = atoms.get_all_distances(mic=True)
    near = (distances > 0) & (distances < 3.8)
    lithium = atoms.symbols == "Li"
    assert 5.5 < near[lithium][:, ~lithium].sum(axis=1).mean() < 6.5


def test_the_cell_chosen_for_a_crystal_does_not_matter(pressed: Equilibrated) -> None:
    """The same crystal in its rhombohedral primitive cell: same volume, angles of 60 degrees."""
    atoms = bulk("LiCl", "rocksalt", a=5.1).repeat(4)
    record = settle(atoms, pressure_GPa=5.0, equilibration_ps=4.0).record
    np.testing.assert_allclose(record["cell_angles_degree"], 60, atol=0.3)
    error = np.hypot(record["volume_error_A3"] / 64, pressed.record["volume_error_A3"] / 32)
    # Half a percent for the two sizes of the crystal.
    volume = pressed.record["volume_A3"] / 32
    assert abs(record["volume_A3"] / 64 - volume) < 3 * error + 0.005 * volume


def test_same_seed_same_result_bit_for_bit() -> None:
    one, other = settle(equilibration_ps=0.7), settle(equilibration_ps=0.7)
    assert one.atoms.positions.tobytes() == other.atoms.positions.tobytes()
    assert one.atoms.get_momenta().tobytes() == other.atoms.get_momenta().tobytes()
    assert one.record == other.record


def test_written_files_are_what_production_reads(tmp_path: Path, settled: Equilibrated) -> None:
    structure, record = tmp_path / "equilibrated.extxyz", tmp_path / "npt.json"
    write_equilibrated(settled, structure, record)
    atoms = ase.io.read(structure)
    np.testing.assert_allclose(atoms.positions, settled.atoms.positions, atol=1e-7)
    np.testing.assert_allclose(atoms.get_momenta(), settled.atoms.get_momenta(), atol=1e-7)
    np.testing.assert_allclose(np.array(atoms.cell), np.array(settled.atoms.cell), atol=1e-7)
    assert atoms.info["equilibration_verdict"] == "ok"
    assert read_json(record)["volume_A3"] == settled.record["volume_A3"]


@pytest.mark.parametrize("after", [2, 60])
def test_forces_that_are_not_numbers_give_a_verdict(tmp_path: Path, after: int) -> None:
    """In the relaxation (after 2 calls) and in NPT (after 60)."""
    result = settle(lithium_chloride(), IonicToy(nan_after=after))
    assert result.record["verdict"] == "nan_forces"
    assert np.isfinite(result.atoms.positions).all()
    assert temperature_K(result.atoms) > 0
    write_equilibrated(result, tmp_path / "e.extxyz", tmp_path / "npt.json")
    assert ase.io.read(tmp_path / "e.extxyz").info["equilibration_verdict"] == "nan_forces"


def test_a_structure_without_forces_is_one_line() -> None:
    with pytest.raises(HalmdError, match="Cl32Li32") as caught:
        settle(calculator=IonicToy(nan_after=0))
    assert "\n" not in str(caught.value)


def test_a_cell_that_flies_apart_gives_a_verdict() -> None:
    # Above the boiling point at no pressure there is no mean volume.
    result = settle(target_K=20_000.0, pressure_GPa=0.0)
    assert result.record["verdict"] in ("cell_unstable", "atoms_too_close", "temperature_runaway")
    assert "volume_A3" not in result.record
    assert np.isfinite(result.atoms.positions).all()
