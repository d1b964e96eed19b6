"""Intervals of D hold the truth as often as they say: thousands of synthetic runs of each kind.

`pytest -s tests/validation/test_coverage.py -m validation` prints the table.
"""

import numpy as np
import pytest
from coverage import WALKS, coverage
from walks import FRAME_PS, brownian, pairs

from halmd.config import DiffusionSettings
from halmd.transport.diffusion import diffusion
from halmd.transport.displacements import mean_square_displacement
from halmd.transport.motion import motion_of

pytestmark = pytest.mark.validation

TRIALS = 3000


@pytest.mark.parametrize("name", WALKS)
def test_coverage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = coverage(WALKS[name], TRIALS, seed=1)
    with capsys.disabled():
        print(
            f"\n{name:20s} 68 %: {100 * found.held68:5.1f}   95 %: {100 * found.held95:5.1f}   "
            f"D/true: {found.mean:.3f}   scatter: {found.scatter:.3f}   error: {found.claimed:.3f}"
        )
    assert 0.65 <= found.held68 <= 0.71
    assert 0.93 <= found.held95 <= 0.97
    assert found.mean == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", WALKS)
def test_ordinary_least_squares_fails_the_same_test(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    walk, trials = WALKS[name], 300
    rng = np.random.default_rng(2)
    held68 = held95 = 0
    for _ in range(trials):
        positions = walk.make(rng)
        msd = mean_square_displacement(positions)
        lags = np.arange(len(positions) // 12, len(positions) // 3)
        (slope, _), covariance = np.polyfit(lags * FRAME_PS, msd[lags], 1, cov=True)
        away = abs(slope / 6 - walk.D_A2_per_ps) / (np.sqrt(covariance[0, 0]) / 6)
        held68 += away < 1
        held95 += away < 1.96
    with capsys.disabled():
        print(
            f"\n{name:20s} least squares: 68 %: {100 * held68 / trials:5.1f}   "
            f"95 %: {100 * held95 / trials:5.1f}"
        )
    assert held95 / trials < 0.5


@pytest.mark.parametrize(("walk", "truth"), [(brownian, 1.0), (pairs, 0.5)])
def test_haven_ratio_of_known_collective_motion(
    walk: object, truth: float, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    trials, held, ratios = 400, np.zeros(2), []
    for _ in range(trials):
        ions = walk(rng, 4000, 8, 1.0)  # type: ignore[operator]
        still = np.zeros((4000, 1, 3))
        motion = motion_of(
            np.concatenate([ions, still], axis=1),
            np.eye(3) * 20,
            ("Li",) * 8 + ("Cl",),
            np.arange(4000) * FRAME_PS,
        )
        record = diffusion(motion, DiffusionSettings(), temperature_K=600)
        for k, level in enumerate(("68", "95")):
            low, high = record[f"haven_ratio_interval{level}"]
            held[k] += low <= truth <= high
        ratios.append(record["haven_ratio"])
    with capsys.disabled():
        print(
            f"\nHaven ratio {truth}: median {np.median(ratios):.3f}   68 %: "
            f"{100 * held[0] / trials:.1f}   95 %: {100 * held[1] / trials:.1f}"
        )
    assert np.median(ratios) == pytest.approx(truth, rel=0.05)
    # Ions that move together make both diffusivities too large at once, which the ratio forgives
    # and its interval does not count on: wide is allowed, narrow is not.
    assert 0.61 <= held[0] / trials <= 0.85
    assert 0.92 <= held[1] / trials <= 1.0
