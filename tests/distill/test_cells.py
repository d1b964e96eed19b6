"""Volumes of the teacher from the student's cells: against ensembles with known answers."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from halmd.distill.cells import relaxed_cells, reweighted_volume, teacher_volume_A3
from halmd.distill.starts import Start


def test_zero_of_a_parabola() -> None:
    volumes = np.array([98.0, 99.0, 100.0, 101.0, 102.0])
    pressures = -0.01 * (volumes - 100.7) + 0.0003 * (volumes - 100.7) ** 2
    assert teacher_volume_A3(volumes, pressures) == pytest.approx(100.7, abs=1e-6)


def test_no_zero_within_reach_is_refused() -> None:
    volumes = np.array([98.0, 99.0, 100.0, 101.0, 102.0])
    with pytest.raises(ValueError, match="zero pressure"):
        teacher_volume_A3(volumes, 1.0 + 0.001 * volumes)


def test_teacher_volume_is_that_of_its_own_relaxation() -> None:
    """Two Lennard-Jones crystals: the second's volume from the cells of the first."""
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    crystal.positions += np.random.default_rng(0).normal(0, 0.02, (len(crystal), 3))
    student = LennardJones(sigma=3.40, epsilon=0.0103, rc=7.0, smooth=True)
    teacher = LennardJones(sigma=3.42, epsilon=0.0103, rc=7.0, smooth=True)
    start = Start("ar", "argon", "Ar", crystal, held_out=True)
    frames = relaxed_cells(start, student)
    volumes, pressures = [], []
    for frame in frames:
        frame.calc = teacher
        volumes.append(frame.get_volume())
        pressures.append(-frame.get_stress()[:3].mean())
    own = crystal.copy()
    own.calc = teacher
    LBFGS(FrechetCellFilter(own), logfile=None).run(0.001, 500)
    found = teacher_volume_A3(np.array(volumes), np.array(pressures))
    assert found == pytest.approx(own.get_volume(), rel=1e-3)


def test_reweighting_gives_the_mean_of_the_other_ensemble() -> None:
    """Gaussian volumes, an extra energy linear in V: the mean shifts by a known amount."""
    rng = np.random.default_rng(1)
    temperature_K, sigma = 500.0, 8.0
    volumes = rng.normal(1000.0, sigma, 4000)
    slope = 0.5 * units.kB * temperature_K / sigma
    student = rng.normal(0.0, 0.1, len(volumes))
    found = reweighted_volume(volumes, student, student + slope * volumes, temperature_K)
    expected = 1000.0 - slope * sigma**2 / (units.kB * temperature_K)
    assert found["teacher_A3"] == pytest.approx(expected, abs=0.6)
    assert found["student_over_teacher"] == pytest.approx(1000.0 / expected, abs=6e-4)
    assert 0 < found["standard_error"] < 1e-3
    # exp(-s²) for Gaussian weights of log-variance s² = 0.25
    assert found["effective_share"] == pytest.approx(np.exp(-0.25), abs=0.03)


def test_a_constant_shift_of_energy_changes_nothing() -> None:
    volumes = np.linspace(95.0, 105.0, 50)
    energies = np.zeros(50)
    found = reweighted_volume(volumes, energies, energies + 7.0, 300.0)
    assert found["student_over_teacher"] == pytest.approx(1.0)
    assert found["effective_share"] == pytest.approx(1.0)
