"""The transport record: units, verdicts and the published Nernst-Einstein row."""

import numpy as np
import pytest
from walks import FRAME_PS, brownian, hopping, pairs

from halmd.config import DiffusionSettings
from halmd.errors import HalmdError
from halmd.trajectory import Trajectory
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.diffusion import diffusion

SETTINGS = DiffusionSettings()


def crystal(lithium: np.ndarray, rng: np.random.Generator) -> Trajectory:
    """Li that moves as given in a rattling framework of as many Cl."""
    frames, ions, _ = lithium.shape
    framework = rng.normal(0, 0.1, (frames, ions, 3)) + rng.random((ions, 3)) * 11
    return Trajectory(
        np.concatenate([lithium, framework], axis=1),
        np.diag([11.0, 11.0, 11.0]),
        ("Li",) * ions + ("Cl",) * ions,
        np.arange(frames) * FRAME_PS,
        {},
    )


def test_published_nernst_einstein_row() -> None:
    # A published table prints 0.0246 mS/cm for this row, a hundred times too small.
    sigma = nernst_einstein_S_per_cm(3.036e-8, 144, 11013.168, 300.0)
    assert 1000 * sigma == pytest.approx(2.460, abs=0.0005)


def test_conductivity_goes_with_the_square_of_the_charge() -> None:
    once = nernst_einstein_S_per_cm(1e-6, 10, 1000.0, 500.0, 1)
    assert nernst_einstein_S_per_cm(1e-6, 10, 1000.0, 500.0, 2) == pytest.approx(4 * once)


def test_known_diffusivity_in_its_units() -> None:
    rng = np.random.default_rng(0)
    record = diffusion(crystal(brownian(rng, 3000, 40, 0.1), rng), SETTINGS, temperature_K=600)
    assert record["verdict"] == "converged"
    assert record["D_tracer_cm2_per_s"] == pytest.approx(1e-5, rel=0.15)  # 0.1 Å²/ps
    low, high = record["D_tracer_interval95_cm2_per_s"]
    assert low < 1e-5 < high
    expected = nernst_einstein_S_per_cm(record["D_tracer_cm2_per_s"], 40, 11.0**3, 600)
    assert record["sigma_NE_S_per_cm"] == pytest.approx(expected)
    # 6 D t N / a²
    jumps = 6 * record["D_tracer_cm2_per_s"] * 1e4 * record["length_ps"] * 40 / 2.5**2
    assert record["n_effective_jumps"] == pytest.approx(jumps)


def test_independent_ions_have_a_haven_ratio_of_one_and_pairs_of_a_half() -> None:
    rng = np.random.default_rng(1)
    free = diffusion(crystal(brownian(rng, 20000, 20, 0.2), rng), SETTINGS, temperature_K=600)
    bound = diffusion(crystal(pairs(rng, 20000, 20, 0.2), rng), SETTINGS, temperature_K=600)
    for record, truth in ((free, 1.0), (bound, 0.5)):
        low, high = record["haven_ratio_interval95"]
        assert low < truth < high


def test_rattling_is_not_a_jump() -> None:
    rng = np.random.default_rng(2)
    still = np.zeros((2000, 18, 3)) + rng.normal(0, 0.4, (2000, 18, 3))
    record = diffusion(crystal(still, rng), SETTINGS, temperature_K=500)
    assert record["verdict"] == "too_few_jumps"
    assert record["haven_ratio"] is None


def test_few_jumps_are_said_to_be_few() -> None:
    rng = np.random.default_rng(3)
    record = diffusion(crystal(hopping(rng, 2000, 18, 0.01), rng), SETTINGS, temperature_K=500)
    assert record["n_effective_jumps"] < 50
    assert record["verdict"] == "too_few_jumps"


def test_a_run_that_was_stopped_keeps_its_verdict() -> None:
    rng = np.random.default_rng(4)
    trajectory = crystal(brownian(rng, 2000, 18, 0.1), rng)
    record = diffusion(trajectory, SETTINGS, temperature_K=900, run_verdict="framework_unstable")
    assert record["verdict"] == "framework_unstable"


@pytest.mark.parametrize("frames", [1, 2, 10])
def test_a_very_short_run_has_a_verdict_and_no_number(frames: int) -> None:
    rng = np.random.default_rng(5)
    record = diffusion(crystal(brownian(rng, frames, 18, 0.1), rng), SETTINGS, temperature_K=500)
    assert record["verdict"] == "too_short"
    assert "D_tracer_cm2_per_s" not in record


def test_no_mobile_ion_is_named() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(HalmdError, match="no Na in the trajectory"):
        diffusion(
            crystal(brownian(rng, 100, 4, 0.1), rng),
            DiffusionSettings(mobile="Na"),
            temperature_K=500,
        )


def test_fit_window_can_be_given() -> None:
    rng = np.random.default_rng(7)
    settings = DiffusionSettings(fit_from_ps=5, fit_to_ps=15)
    record = diffusion(crystal(brownian(rng, 1000, 18, 0.1), rng), settings, temperature_K=500)
    assert (record["fit_from_ps"], record["fit_to_ps"]) == (5.0, 15.0)
