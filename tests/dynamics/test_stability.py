"""Guards: they fire on what cannot be believed, and on nothing else."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_crystal import lithium_chloride

from halmd.dynamics.stability import (
    closest_contact,
    contact_limits_A,
    framework_displacement_A2,
    framework_growth,
    temperature_error_K,
    temperature_off,
    temperature_runaway,
)

INTERVAL_PS = 0.05
N_FREE = 177


@given(
    seed=st.integers(0, 2**32 - 1),
    n_atoms=st.integers(2, 12),
    skew=st.floats(-0.5, 0.5, allow_subnormal=False),
)
@settings(max_examples=60, deadline=None)
def test_closest_contact_agrees_with_a_neighbour_list(seed: int, n_atoms: int, skew: float) -> None:
    rng = np.random.default_rng(seed)
    cell = 7 * np.array([[1, 0, 0], [skew, 1, 0], [-skew, skew, 1]]) + rng.normal(0, 0.2, (3, 3))
    symbols = tuple(rng.choice(["Li", "Y", "Cl"], n_atoms))
    # Unwrapped: images are found from far outside the cell too.
    positions = rng.uniform(-20, 20, (n_atoms, 3))
    limits = contact_limits_A(symbols)
    i, j, d = neighbor_list("ijd", Atoms(symbols, positions, cell=cell, pbc=True), 3.0)
    off_diagonal = i != j
    i, j, d = i[off_diagonal], j[off_diagonal], d[off_diagonal]
    margins = d - limits[i, j]
    found = closest_contact(positions, cell, limits)
    if not (margins < 0).any():
        assert found is None
    else:
        assert found is not None
        distance, a, b = found
        assert distance - limits[a, b] == pytest.approx(margins.min(), abs=1e-9)


def test_limits_are_between_fused_nuclei_and_real_bonds() -> None:
    limits = contact_limits_A(("Li", "Li", "Cl", "Cl", "Y"))
    # Shortest distances in crystals and ion pairs, in Å: gas-phase LiCl 2.02, Y-Cl 2.4 when hot,
    # Cl2 1.99, Li2 2.67; the holes of fitted potentials lie below 1.2.
    for (a, b), bond in {(0, 2): 2.02, (2, 4): 2.4, (2, 3): 1.99, (0, 1): 2.67}.items():
        assert 1.2 < limits[a, b] < 0.8 * bond
    crystal = lithium_chloride()
    symbols = tuple(crystal.get_chemical_symbols())
    assert (
        closest_contact(crystal.positions, np.array(crystal.cell), contact_limits_A(symbols))
        is None
    )


def canonical_temperatures_K(
    rng: np.random.Generator, n_frames: int, target_K: float, relaxation_ps: float
) -> np.ndarray:
    """Kinetic temperature of a thermostatted harmonic crystal, shape (n_frames,).

    Half of the variance 2/n_free is fast, half follows the total energy with a time of 2 tau.
    """
    keep = np.exp(-INTERVAL_PS / (2 * relaxation_ps))
    slow = np.empty(n_frames)
    slow[0] = rng.normal()
    kicks = rng.normal(size=n_frames) * np.sqrt(1 - keep**2)
    for frame in range(1, n_frames):
        slow[frame] = keep * slow[frame - 1] + kicks[frame]
    return target_K * (1 + np.sqrt(1 / N_FREE) * (slow + rng.normal(size=n_frames)))


def test_error_of_the_mean_temperature_accounts_for_its_correlation() -> None:
    rng = np.random.default_rng(1)
    means = [canonical_temperatures_K(rng, 2000, 600, 1.0).mean() for _ in range(300)]
    claimed = temperature_error_K(2000 * INTERVAL_PS, 600, N_FREE, 1.0)
    # The standard deviation of 300 values is known to 4 %; the claim may err on the careful side.
    assert 0.9 < claimed / np.std(means) < 1.15


def test_no_canonical_run_is_called_a_runaway() -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        heat = canonical_temperatures_K(rng, 2000, 600, 1.0)
        for frames in range(40, 2001, 40):
            assert not temperature_runaway(heat[:frames], INTERVAL_PS, 600, N_FREE, 1.0)


@pytest.mark.parametrize("wrong", [0.5, 1.5, 3.0, np.nan, np.inf])
def test_a_wrong_temperature_is_called_a_runaway(wrong: float) -> None:
    heat = canonical_temperatures_K(np.random.default_rng(3), 2000, 600, 1.0)
    heat[-200:] *= wrong
    assert temperature_runaway(heat, INTERVAL_PS, 600, N_FREE, 1.0)


def test_offset_counts_standard_errors() -> None:
    error = temperature_error_K(100, 600, N_FREE, 1.0)
    assert error == pytest.approx(600 * np.sqrt(2 / 177 / 50))
    heat = np.full(2000, 600 + 3 * error)
    assert temperature_off(heat, INTERVAL_PS, 600, N_FREE, 1.0) == pytest.approx(3)


def rattling(rng: np.random.Generator, n_frames: int, n_atoms: int, width_A: float) -> np.ndarray:
    """Vibration about fixed sites with a memory of 0.5 ps, shape (n_frames, n_atoms, 3)."""
    keep = np.exp(-INTERVAL_PS / 0.5)
    shift = np.empty((n_frames, n_atoms, 3))
    shift[0] = rng.normal(size=(n_atoms, 3))
    for frame in range(1, n_frames):
        kick = rng.normal(size=(n_atoms, 3)) * np.sqrt(1 - keep**2)
        shift[frame] = keep * shift[frame - 1] + kick
    return width_A * shift


def diffusing(
    rng: np.random.Generator, n_frames: int, n_atoms: int, D_A2_per_ps: float
) -> np.ndarray:
    steps = rng.normal(0, np.sqrt(2 * D_A2_per_ps * INTERVAL_PS), (n_frames, n_atoms, 3))
    return steps.cumsum(axis=0)


SYMBOLS = np.array(["Li"] * 18 + ["Y"] * 6 + ["Cl"] * 36)
MASSES = Atoms(SYMBOLS).get_masses()


def test_hopping_lithium_in_a_rattling_framework_is_stable() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        positions = rattling(rng, 2000, 60, 0.35)
        positions[:, :18] += diffusing(rng, 2000, 18, 0.5)
        # The whole crystal slides as well: no melting either.
        positions += np.linspace(0, 20, 2000)[:, None, None]
        moved = framework_displacement_A2(positions, MASSES, SYMBOLS != "Li")
        for frames in range(160, 2001, 40):
            assert not framework_growth(moved[:frames], INTERVAL_PS)["unstable"]


def test_displacement_of_a_rattling_framework_is_known() -> None:
    rng = np.random.default_rng(5)
    moved = framework_displacement_A2(
        rattling(rng, 4000, 400, 0.3), np.ones(400), np.ones(400, bool)
    )
    # Two independent places of a vibration of width s lie 6 s² apart, on average.
    assert moved[0] == 0
    assert moved[400:].mean() == pytest.approx(6 * 0.3**2, rel=0.05)


@pytest.mark.parametrize("begins_ps", [0.0, 20.0, 50.0, 80.0])
def test_a_melting_framework_is_unstable(begins_ps: float) -> None:
    begins = round(begins_ps / INTERVAL_PS)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        positions = rattling(rng, 2000, 60, 0.35)
        positions[begins:] += diffusing(rng, 2000 - begins, 60, 0.1)
        moved = framework_displacement_A2(positions, MASSES, SYMBOLS != "Li")
        verdicts = [
            framework_growth(moved[:frames], INTERVAL_PS)["unstable"]
            for frames in range(160, 2001, 40)
        ]
        assert any(verdicts)
        assert not any(verdicts[: max(0, (begins - 160) // 40)])


def test_one_exchange_of_anions_is_not_melting() -> None:
    rng = np.random.default_rng(7)
    positions = rattling(rng, 2000, 60, 0.35)
    positions[1200:, 24] += [3.6, 0, 0]
    positions[1200:, 25] -= [3.6, 0, 0]
    moved = framework_displacement_A2(positions, MASSES, SYMBOLS != "Li")
    assert not framework_growth(moved, INTERVAL_PS)["unstable"]


def test_short_runs_are_not_judged() -> None:
    assert framework_growth(np.zeros(100), INTERVAL_PS) == {"judged": False, "unstable": False}
