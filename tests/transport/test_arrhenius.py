"""Ea and the extrapolated conductivity: known lines, honest intervals, refusals."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from halmd.config import ArrheniusSettings
from halmd.transport.arrhenius import arrhenius
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.units import BOLTZMANN_EV_PER_K

SETTINGS = ArrheniusSettings(n_samples=4000)
EA_EV, LN_A = 0.30, 12.0
TRUE_300K = float(np.exp(LN_A - EA_EV / (BOLTZMANN_EV_PER_K * 300)) / 300)


def campaign(
    rng: np.random.Generator,
    *,
    between: float = 0.0,
    error: float = 0.1,
    orderings: int = 2,
    temperatures: tuple[float, ...] = (500.0, 600.0, 700.0, 800.0),
) -> list[dict[str, Any]]:
    """Transport records of a material with a known Arrhenius line."""
    runs = []
    for ordering in range(orderings):
        deviation = rng.normal(0, between)
        for T in temperatures:
            noise = rng.normal(0, error)
            sigma = np.exp(LN_A - EA_EV / (BOLTZMANN_EV_PER_K * T) + deviation + noise) / T
            runs.append(
                {
                    "temperature_K": T,
                    "ordering": f"{ordering:02d}",
                    "replica": "0",
                    "verdict": "converged",
                    "sigma_NE_S_per_cm": sigma,
                    "D_tracer_cm2_per_s": sigma / nernst_einstein_S_per_cm(1.0, 18, 1300.0, T),
                    "relative_error": error,
                    "D_tracer_degrees_of_freedom": 50,
                    "n_ions": 18,
                    "volume_A3": 1300.0,
                    "charge_e": 1,
                    "n_effective_jumps": 100.0,
                    "length_ps": 100.0,
                }
            )
    return runs


def test_exact_line_is_recovered() -> None:
    record = arrhenius(campaign(np.random.default_rng(0), error=1e-4), SETTINGS)
    assert record["Ea_eV"] == pytest.approx(EA_EV, abs=0.01)
    assert record["Ea_D_eV"] == pytest.approx(EA_EV, abs=0.01)
    there = record["extrapolation"]
    assert there["sigma_NE_S_per_cm"] == pytest.approx(TRUE_300K, rel=0.1)
    assert there["is_extrapolation"]
    assert there["distance_1000_per_K"] == pytest.approx(1000 / 300 - 2)


@pytest.mark.parametrize("between", [0.0, 0.4])
def test_intervals_hold_the_truth(between: float) -> None:
    rng = np.random.default_rng(1)
    trials, hits_Ea, hits_sigma = 40, 0, 0
    for _ in range(trials):
        record = arrhenius(campaign(rng, between=between), SETTINGS)
        low, high = record["Ea_interval95_eV"]
        hits_Ea += low <= EA_EV <= high
        low, high = record["extrapolation"]["sigma_NE_interval95_S_per_cm"]
        hits_sigma += low <= TRUE_300K <= high
    assert hits_Ea >= binom.ppf(0.001, trials, 0.9545)
    assert hits_sigma >= binom.ppf(0.001, trials, 0.9545)


def test_orderings_that_differ_widen_the_extrapolation() -> None:
    alike = campaign(np.random.default_rng(2), error=0.05)
    apart = [dict(run) for run in alike]
    for run in apart:
        if run["ordering"] == "01":
            run["sigma_NE_S_per_cm"] *= 5
            run["D_tracer_cm2_per_s"] *= 5
    widths = []
    for runs in (alike, apart):
        record = arrhenius(runs, SETTINGS)
        low, high = record["extrapolation"]["sigma_NE_interval95_S_per_cm"]
        widths.append(np.log(high / low))
    assert widths[1] > widths[0] + 1.0
    assert record["between_orderings_ln"] > 0.4


def test_runs_without_a_good_verdict_are_left_out_and_listed() -> None:
    runs = campaign(np.random.default_rng(3))
    runs[3] |= {"verdict": "framework_unstable", "sigma_NE_S_per_cm": 1e3}
    record = arrhenius(runs, SETTINGS)
    assert record["excluded"] == [
        {"temperature_K": 800.0, "ordering": "00", "replica": "0", "verdict": "framework_unstable"}
    ]
    assert record["Ea_eV"] == pytest.approx(EA_EV, abs=0.08)


@pytest.mark.parametrize("temperatures", [(), (500.0,), (500.0, 600.0)])
def test_too_few_temperatures_give_no_number(temperatures: tuple[float, ...]) -> None:
    record = arrhenius(campaign(np.random.default_rng(4), temperatures=temperatures), SETTINGS)
    assert record["verdict"] == "too_few_temperatures"
    assert "Ea_eV" not in record


def test_single_ordering_is_fitted_and_its_spread_is_unknown_not_zero() -> None:
    record = arrhenius(campaign(np.random.default_rng(5), orderings=1), SETTINGS)
    assert record["verdict"] == "ok"
    low, high = record["extrapolation"]["sigma_NE_interval95_S_per_cm"]
    assert high / low > 3


def test_ln_sigma_and_ln_sigma_T_are_not_mixed() -> None:
    record = arrhenius(campaign(np.random.default_rng(6), error=1e-3), SETTINGS)
    T = np.array([run["temperature_K"] for run in record["pooled"]])
    sigma = np.array([run["sigma_NE_S_per_cm"] for run in record["pooled"]])
    slope = np.polyfit(1 / (BOLTZMANN_EV_PER_K * T), np.log(sigma), 1)[0]
    assert -slope < record["Ea_eV"] - 0.02  # ln(sigma) alone has a smaller slope
