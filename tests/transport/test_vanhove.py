"""Van Hove's self part against what is known of simple motion."""

import numpy as np
import pytest
from walks import FRAME_PS, brownian, hopping

from halmd.errors import HalmdError
from halmd.transport.vanhove import van_hove


def ions_of(positions_A: np.ndarray) -> np.ndarray:
    return positions_A.transpose(1, 0, 2)


def test_free_diffusion_is_a_gaussian() -> None:
    ions = ions_of(brownian(np.random.default_rng(0), 20_000, 40, 0.2))
    record = van_hove([ions[:15], ions[15:]], FRAME_PS, [1.0, 5.0])
    r = np.array(record["r_A"])
    for curve in record["curves"]:
        variance = 2 * 0.2 * curve["time_ps"]
        expected = 4 * np.pi * r**2 * np.exp(-(r**2) / (2 * variance))
        expected /= (2 * np.pi * variance) ** 1.5
        assert curve["distribution_per_A"] == pytest.approx(expected, abs=0.02)
        assert sum(curve["distribution_per_A"]) * 0.1 == pytest.approx(1, abs=1e-9)
        assert curve["alpha_2"] == pytest.approx(0, abs=0.1)
        assert curve["msd_A2"] == pytest.approx(3 * variance, rel=0.1)


def test_hops_are_peaks_at_the_jump_distance() -> None:
    ions = ions_of(hopping(np.random.default_rng(1), 20_000, 20, 0.1))
    curve = van_hove([ions], FRAME_PS, [2.0])["curves"][0]
    r = np.arange(0.05, 12, 0.1)
    distribution = np.array(curve["distribution_per_A"])[: len(r)]
    assert r[distribution.argmax()] < 1.2
    valley = distribution[(r > 1.7) & (r < 1.9)].mean()
    hop = distribution[(r > 2.4) & (r < 2.9)].max()
    assert hop > 3 * valley
    assert curve["alpha_2"] > 0.5


def test_what_goes_further_is_counted() -> None:
    ions = ions_of(brownian(np.random.default_rng(2), 2000, 10, 5.0))
    curve = van_hove([ions], FRAME_PS, [5.0], largest_A=4.0)["curves"][0]
    inside = sum(curve["distribution_per_A"]) * 0.1
    assert inside + curve["share_beyond"] == pytest.approx(1.0)
    assert curve["share_beyond"] > 0.5


def test_times_beyond_the_run_are_refused() -> None:
    ions = np.zeros((1, 100, 3))
    with pytest.raises(HalmdError, match=r"longer than the run of 4.95 ps"):
        van_hove([ions], FRAME_PS, [10.0])
    assert van_hove([ions], FRAME_PS, [1.0])["curves"][0]["alpha_2"] is None
