"""The transport record: units, verdicts and the published Nernst-Einstein row."""

import numpy as np
import pytest
from walks import FRAME_PS, brownian, hopping, jumping_back, pairs, slow_rattling

from halmd.config import DiffusionSettings
from halmd.errors import HalmdError
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.diffusion import diffusion
from halmd.transport.motion import Motion, motion_of

SETTINGS = DiffusionSettings()


def crystal(lithium: np.ndarray, rng: np.random.Generator, framework: float = 0.1) -> Motion:
    """Li that moves as given in a rattling framework of as many Cl."""
    frames, ions, _ = lithium.shape
    chloride = rng.normal(0, framework, (frames, ions, 3)) + rng.random((ions, 3)) * 11
    return motion_of(
        np.concatenate([lithium, chloride], axis=1),
        np.diag([11.0, 11.0, 11.0]),
        ("Li",) * ions + ("Cl",) * ions,
        np.arange(frames) * FRAME_PS,
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
    motion = crystal(brownian(rng, 2000, 18, 0.1), rng)
    record = diffusion(motion, SETTINGS, temperature_K=900, run_verdict="framework_unstable")
    assert record["verdict"] == "framework_unstable"


@pytest.mark.parametrize("frames", [2, 10])
def test_a_very_short_run_has_a_verdict_and_no_number(frames: int) -> None:
    rng = np.random.default_rng(5)
    record = diffusion(crystal(brownian(rng, frames, 18, 0.1), rng), SETTINGS, temperature_K=500)
    assert record["verdict"] == "too_short"
    assert "D_tracer_cm2_per_s" not in record


def test_a_run_stopped_at_once_keeps_its_verdict() -> None:
    one = motion_of(np.zeros((1, 2, 3)), np.eye(3) * 9, ("Li", "Cl"), np.zeros(1), fewest_frames=1)
    record = diffusion(one, SETTINGS, temperature_K=500, run_verdict="framework_unstable")
    assert record["verdict"] == "framework_unstable"


def test_fit_window_can_be_given() -> None:
    rng = np.random.default_rng(7)
    settings = DiffusionSettings(fit_from_ps=5, fit_to_ps=15)
    record = diffusion(crystal(brownian(rng, 1000, 18, 0.1), rng), settings, temperature_K=500)
    assert (record["fit_from_ps"], record["fit_to_ps"]) == (5.0, 15.0)
    early = diffusion(
        crystal(brownian(rng, 1000, 18, 0.1), rng),
        DiffusionSettings(fit_to_ps=3),
        temperature_K=500,
    )
    assert (early["fit_from_ps"], early["fit_to_ps"]) == (1.5, 3.0)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"fit_from_ps": 30}, "beyond a third of the run"),
        ({"fit_from_ps": 1, "fit_to_ps": 1.01}, "no two lags"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(window: dict[str, float], message: str) -> None:
    rng = np.random.default_rng(8)
    motion = crystal(brownian(rng, 1000, 18, 0.1), rng)
    with pytest.raises(HalmdError, match=message):
        diffusion(motion, DiffusionSettings(**window), temperature_K=500)


def test_a_framework_that_goes_away_is_seen() -> None:
    rng = np.random.default_rng(9)
    li, cl, y = brownian(rng, 4000, 18, 0.2), brownian(rng, 4000, 12, 0.02), np.zeros((4000, 6, 3))
    melting = motion_of(
        np.concatenate([li, cl, y], axis=1),
        np.eye(3) * 12,
        ("Li",) * 18 + ("Cl",) * 12 + ("Y",) * 6,
        np.arange(4000) * FRAME_PS,
        framework=["Y"],
    )
    record = diffusion(melting, SETTINGS, temperature_K=900)
    assert record["verdict"] == "framework_unstable"
    framework = record["checks"]["framework"]
    assert framework["Cl"]["diffuses"]
    assert not framework["Y"]["diffuses"]
    assert framework["Cl"]["msd_grows_over_run_by_A2"] == pytest.approx(6 * 0.02 * 200, rel=0.4)


def test_slow_rattling_in_a_short_run_is_no_framework_that_goes_away() -> None:
    """The slope between two short lags promises growth that does not come."""
    promised = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        lithium = brownian(rng, 400, 18, 0.15)
        metal = slow_rattling(rng, 400, 6, amplitude_A=0.3, memory_ps=1.5)
        motion = motion_of(
            np.concatenate([lithium, metal], axis=1),
            np.eye(3) * 12,
            ("Li",) * 18 + ("Y",) * 6,
            np.arange(400) * FRAME_PS,
        )
        record = diffusion(motion, SETTINGS, temperature_K=500)
        found = record["checks"]["framework"]["Y"]
        grown, error = (found[f"msd_grows_over_run_by_{what}A2"] for what in ("", "error_"))
        promised += grown > max(1.0, 3 * error)
        assert not found["diffuses"]
        assert abs(found["msd_grew_by_half_run_A2"]) < 0.4
    assert promised > 0


def test_jumps_back_that_last_are_said_to_be_no_diffusion_yet() -> None:
    rng = np.random.default_rng(10)
    # Pairs of sites of which ions leave rarely: a slope that falls for longer than the window.
    record = diffusion(
        crystal(jumping_back(rng, 2000, 400, 0.03, back_per_ps=0.05), rng),
        SETTINGS,
        temperature_K=500,
    )
    assert record["checks"]["slope_falls_by"] > 0.1
    assert record["verdict"] == "not_yet_diffusive"


def test_errors_of_blocks_agree_with_that_of_the_run() -> None:
    rng = np.random.default_rng(11)
    ratios, pulls = [], []
    for _ in range(40):
        record = diffusion(crystal(brownian(rng, 1500, 18, 0.5), rng), SETTINGS, temperature_K=500)
        checks = record["checks"]
        ratios.append(checks["D_of_blocks_error_cm2_per_s"] / record["D_tracer_error_cm2_per_s"])
        pulls.append(checks["halves_differ_standard_errors"])
    assert np.median(ratios) == pytest.approx(1.0, abs=0.35)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.4)


def test_four_times_the_run_halves_the_error() -> None:
    rng = np.random.default_rng(12)
    record = diffusion(
        crystal(brownian(rng, 2000, 18, 0.5), rng),
        DiffusionSettings(target_relative_error=0.02),
        temperature_K=500,
    )
    wanted = record["length_ps"] * (record["relative_error"] / 0.02) ** 2
    assert record["length_for_target_ps"] == pytest.approx(wanted)


def test_the_msd_of_every_element_is_there() -> None:
    rng = np.random.default_rng(13)
    record = diffusion(crystal(brownian(rng, 500, 18, 0.5), rng), SETTINGS, temperature_K=500)
    curve = record["msd"]
    assert set(curve["others_A2"]) == {"Cl"}
    assert len(curve["others_A2"]["Cl"]) == len(curve["time_ps"]) == len(curve["msd_A2"])
    # Rattling with 0.1 Å along each axis, relative to its own centre of mass.
    assert curve["others_A2"]["Cl"][10] == pytest.approx(6 * 0.01 * 17 / 18, rel=0.05)


def test_one_ion_has_a_wide_interval_and_no_haven_ratio() -> None:
    rng = np.random.default_rng(14)
    record = diffusion(crystal(brownian(rng, 4000, 1, 1.0), rng), SETTINGS, temperature_K=500)
    low, high = record["D_tracer_interval95_cm2_per_s"]
    assert low < 1e-4 < high
    assert record["n_ions"] == 1
