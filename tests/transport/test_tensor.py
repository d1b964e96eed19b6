"""Diffusion tensors: principal axes, directions, isotropy."""

import numpy as np
import pytest
from scipy.stats import kstest
from walks import FRAME_PS, anisotropic, brownian

from halmd.transport.regression import estimate, slopes, window_of
from halmd.transport.tensor import diffusion_tensor, mean_of_runs

CELL = np.array([[11.0, 0, 0], [-5.5, 9.526, 0], [0, 0, 12.0]])


def tensor_of(positions_A: np.ndarray, first: int = 40) -> dict:
    window = window_of(first, 2 * first, len(positions_A))
    found = slopes([positions_A.transpose(1, 0, 2)], window)
    return diffusion_tensor(found, estimate(found, FRAME_PS), FRAME_PS, CELL)


def test_principal_axes_and_values_of_a_known_tensor() -> None:
    found = tensor_of(anisotropic(np.random.default_rng(0), 6000, 60, 0.1))
    axes, _ = np.linalg.qr(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    first = found["principal"][0]
    assert abs(np.dot(first["direction"], axes[:, 0])) == pytest.approx(1.0, abs=0.01)
    for axis, truth in zip(found["principal"], (0.24, 0.03, 0.03), strict=True):
        error = axis["D_error_cm2_per_s"]
        assert abs(axis["D_cm2_per_s"] - truth * 1e-4) < 4 * error
        assert 0 < error < 0.2 * axis["D_cm2_per_s"]
    assert found["isotropic_p"] < 1e-6
    assert np.trace(found["D_cm2_per_s"]) / 3 == pytest.approx(1e-5, rel=0.1)


def test_errors_along_lattice_directions_are_true() -> None:
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(60):
        found = tensor_of(anisotropic(rng, 2000, 18, 0.1))
        axes, _ = np.linalg.qr(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
        truth = axes @ np.diag([0.24, 0.03, 0.03]) @ axes.T * 1e-4
        for direction in found["lattice"].values():
            n = np.array(direction["direction"])
            error = direction["D_error_cm2_per_s"]
            pulls.append((direction["D_cm2_per_s"] - n @ truth @ n) / error)
    assert np.std(pulls) == pytest.approx(1.15, abs=0.3)  # Student, not normal
    assert abs(np.mean(pulls)) < 0.4


def test_isotropic_walks_are_found_isotropic() -> None:
    rng = np.random.default_rng(2)
    p = [tensor_of(brownian(rng, 2000, 18, 0.1))["isotropic_p"] for _ in range(100)]
    assert kstest(p, "uniform").pvalue > 1e-3


def test_no_motion_has_no_isotropy() -> None:
    assert tensor_of(np.zeros((500, 3, 3)), 20)["isotropic_p"] is None


def test_intervals_of_a_mean_over_runs_hold_the_truth() -> None:
    """Runs with errors of known freedom, alike but for those: 95 % of the intervals."""
    rng = np.random.default_rng(3)
    n_trials, freedom = 2000, 20
    hits = 0
    for _ in range(n_trials):
        own = np.sqrt(rng.chisquare(freedom, 3) / freedom)
        _, low, high = mean_of_runs(rng.normal(10.0, 1.0, 3), own, [freedom] * 3)
        hits += low < 10.0 < high
    # Widening by chance costs a little; it never narrows.
    assert 0.935 < hits / n_trials < 0.985


def test_runs_that_differ_widen_the_interval_of_their_mean() -> None:
    alike = mean_of_runs([2.0, 2.0], [0.1, 0.1], [1e6, 1e6])
    assert alike == pytest.approx((2.0, *(2.0 + s * 1.959964 * 0.1 / np.sqrt(2) for s in (-1, 1))))
    mean, low, high = mean_of_runs([1.0, 3.0], [0.1, 0.1], [1e6, 1e6])
    # The scatter of two values about their mean, over sqrt(2), is 1.
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - 1.959964, 2.0 + 1.959964), abs=1e-5)
