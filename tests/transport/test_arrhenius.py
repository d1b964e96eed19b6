"""Ea and the extrapolated conductivity: known lines, honest intervals, refusals."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from halmd.config import ArrheniusSettings
from halmd.errors import HalmdError
from halmd.transport import evidence, lines
from halmd.transport.arrhenius import arrhenius
from halmd.transport.averaging import points_of
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
        low, high = record["extrapolation"]["without_unseen_change"]["sigma_NE_interval95_S_per_cm"]
        widths.append(np.log(high / low))
    assert widths[1] > widths[0] + 1.0
    assert record["between_orderings_ln"] > 0.4


def test_replicas_of_one_ordering_do_not_replace_orderings() -> None:
    rng = np.random.default_rng(7)
    one = campaign(rng, error=0.05, orderings=1)
    replicas = one + [run | {"replica": str(k)} for run in one for k in range(1, 4)]
    several = one + [run | {"ordering": f"{k:02d}"} for run in one for k in range(1, 4)]
    widths = []
    for runs in (replicas, several):
        low, high = arrhenius(runs, SETTINGS)["pooled"][0]["sigma_NE_interval95_S_per_cm"]
        widths.append(np.log(high / low))
    assert widths[0] > 2 * widths[1]


def test_runs_without_a_good_verdict_are_left_out_with_rule_and_numbers() -> None:
    runs = campaign(np.random.default_rng(3))
    runs[3] |= {
        "verdict": "framework_unstable",
        "sigma_NE_S_per_cm": 1e3,
        "run": {"reason": "framework moved 2.1 Å"},
        "checks": {"framework": {"Cl": {"diffuses": True}}},
    }
    runs[4] |= {
        "verdict": "too_few_jumps",
        "n_effective_jumps": 12.0,
        "settings": {"min_jumps": 50.0},
    }
    record = arrhenius(runs, SETTINGS)
    melted, rare = record["excluded"]
    assert (melted["temperature_K"], melted["ordering"], melted["replica"]) == (800.0, "00", "0")
    assert melted["verdict"] == "framework_unstable"
    assert "melting" in melted["rule"]
    assert melted["reason"] == "framework moved 2.1 Å"
    assert "too few jumps" in rare["rule"]
    assert rare["numbers"]["n_effective_jumps"] == 12.0
    assert rare["numbers"]["min_jumps"] == 50.0
    assert melted["numbers"]["framework"] == {"Cl": {"diffuses": True}}
    assert record["Ea_eV"] == pytest.approx(EA_EV, abs=0.08)


@pytest.mark.parametrize("temperatures", [(500.0,), (500.0, 600.0)])
def test_too_few_temperatures_give_means_but_no_line(temperatures: tuple[float, ...]) -> None:
    record = arrhenius(campaign(np.random.default_rng(4), temperatures=temperatures), SETTINGS)
    assert record["verdict"] == "too_few_temperatures"
    assert record["temperatures_needed"] == 3
    assert "Ea_eV" not in record
    assert [pooled["temperature_K"] for pooled in record["pooled"]] == list(temperatures)
    for pooled in record["pooled"]:
        T = pooled["temperature_K"]
        low, high = pooled["sigma_NE_interval95_S_per_cm"]
        assert low < np.exp(LN_A - EA_EV / (BOLTZMANN_EV_PER_K * T)) / T < high
    json.dumps(record, allow_nan=False)


def test_no_usable_run_is_a_verdict() -> None:
    runs = campaign(np.random.default_rng(4))
    for run in runs:
        run["verdict"] = "too_few_jumps"
    record = arrhenius(runs, SETTINGS)
    assert record["verdict"] == "no_usable_runs"
    assert (record["pooled"], len(record["excluded"])) == ([], 8)


def test_run_without_diffusion_is_left_out() -> None:
    runs = campaign(np.random.default_rng(4))
    runs[0] |= {"D_tracer_cm2_per_s": 0.0, "sigma_NE_S_per_cm": 0.0}
    record = arrhenius(runs, SETTINGS)
    assert [run["verdict"] for run in record["excluded"]] == ["no_diffusion"]
    assert record["pooled"][0]["runs"] == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"D_tracer_cm2_per_s": float("nan")}, r"run 00, 500 K, replica 0: D_tracer.*nan"),
        ({"relative_error": 0.0}, r"relative_error is 0\.0; it must be above zero"),
        ({"volume_A3": None}, "volume_A3 is missing"),
        ({"verdict": None}, "verdict is missing"),
        ({"temperature_K": 600.0}, r"run 00, 600 K, replica 0 is there twice"),
        ({"charge_e": 2}, r"different charges of the mobile ion \(1, 2\)"),
        ({"mobile": "Na"}, r"different mobile ions \(Li, Na\)"),
        ({"n_ions": 30}, "different materials"),
        ({"run": {"formula": "Li3YBr6"}}, r"different materials \(Li3YBr6, Li3YCl6\)"),
    ],
)
def test_input_that_cannot_be_is_one_line(change: dict[str, Any], problem: str) -> None:
    runs = campaign(np.random.default_rng(4))
    for run in runs:
        run |= {"mobile": "Li", "run": {"formula": "Li3YCl6"}}
    runs[0] |= change
    with pytest.raises(HalmdError, match=problem) as caught:
        arrhenius(runs, SETTINGS)
    assert "\n" not in str(caught.value)


def test_two_sizes_of_one_material_are_fitted_together() -> None:
    runs = campaign(np.random.default_rng(4))
    for run in runs:
        large = run["ordering"] == "01"
        run |= {"run": {"formula": "Li36Y12Cl72" if large else "Li18Y6Cl36"}}
        run |= {"n_ions": 36, "volume_A3": 2600.0} if large else {}
    assert arrhenius(runs, SETTINGS)["verdict"] == "ok"


def test_no_runs_at_all_is_one_line() -> None:
    with pytest.raises(HalmdError, match=r"no transport\.json"):
        arrhenius([], SETTINGS)


def test_single_ordering_is_fitted_and_its_spread_is_unknown_not_zero() -> None:
    record = arrhenius(campaign(np.random.default_rng(5), orderings=1), SETTINGS)
    assert record["verdict"] == "ok"
    assert record["between_orderings_ln"] is None
    assert "unknown" in record["between_orderings"]
    assert any("one ordering" in note for note in record["notes"])
    low, high = record["extrapolation"]["sigma_NE_interval95_S_per_cm"]
    assert high / low > 3


TWO_REGIMES = (300.0, 340.0, 380.0, 430.0, 500.0, 600.0, 750.0, 950.0)


def two_regimes(rng: np.random.Generator) -> list[dict[str, Any]]:
    """0.2 eV above 420 K, 0.4 eV below."""
    runs = campaign(rng, temperatures=TWO_REGIMES)
    for run in runs:
        beyond = 1 / (BOLTZMANN_EV_PER_K * run["temperature_K"]) - 1 / (BOLTZMANN_EV_PER_K * 420)
        hotter = 0.1 / (BOLTZMANN_EV_PER_K * run["temperature_K"])
        factor = np.exp(hotter - 0.2 * max(0.0, beyond))
        run["sigma_NE_S_per_cm"] *= factor
        run["D_tracer_cm2_per_s"] *= factor
    return runs


def test_change_of_regime_inside_the_data_is_found() -> None:
    record = arrhenius(two_regimes(np.random.default_rng(8)), SETTINGS)
    regimes = record["regimes"]
    assert regimes["weight"] > 0.99
    for key, true in (("Ea_hot", 0.2), ("Ea_cold", 0.4), ("Ea_change", 0.2)):
        low, high = regimes[f"{key}_interval95_eV"]
        assert low < true < high
    low, high = regimes["break_temperature_interval95_K"]
    assert low < 420 < high
    assert high - low < 120
    assert not record["extrapolation"]["is_extrapolation"]
    line, two = record["models"]
    assert two["log_evidence"] > line["log_evidence"]
    assert two["bic"] < line["bic"]


def test_straight_data_keep_one_line() -> None:
    runs = campaign(np.random.default_rng(9), temperatures=TWO_REGIMES, error=0.05)
    record = arrhenius(runs, SETTINGS)
    line, two = record["models"]
    assert line["weight"] > 0.9
    assert line["log_evidence"] > two["log_evidence"]
    assert line["weight"] + two["weight"] == pytest.approx(1)


def test_single_line_over_a_hidden_regime_still_holds_the_truth() -> None:
    # Hot runs alone, as most published ones: the colder regime is outside the data.
    runs = [run for run in two_regimes(np.random.default_rng(8)) if run["temperature_K"] > 560]
    record = arrhenius(runs, SETTINGS)
    x = 1 / (BOLTZMANN_EV_PER_K * np.array([300.0, 420.0]))
    true = np.exp(LN_A - 0.2 * x[0] - 0.2 * (x[0] - x[1])) / 300
    there = record["extrapolation"]
    low, high = there["sigma_NE_interval95_S_per_cm"]
    assert low < true < high
    plain_low, plain_high = there["without_unseen_change"]["sigma_NE_interval95_S_per_cm"]
    assert low < plain_low < plain_high < high
    assert high / low < 1e5
    assert any("cannot be seen" in note for note in record["notes"])


def test_allowance_can_be_switched_off() -> None:
    runs = campaign(np.random.default_rng(9))
    settings = ArrheniusSettings(n_samples=4000, regime_changes_per_1000_per_K=0.0)
    there = arrhenius(runs, settings)["extrapolation"]
    assert there["probability_of_unseen_change"] == 0
    for key, value in there["without_unseen_change"].items():
        assert there[key] == value


def test_values_at_chosen_temperatures() -> None:
    settings = ArrheniusSettings(n_samples=4000, at_temperatures_K=[650.0, 1000.0, 350.0])
    record = arrhenius(campaign(np.random.default_rng(10)), settings)
    values = {value["temperature_K"]: value for value in record["at_temperatures"]}
    assert sorted(values) == [300.0, 350.0, 650.0, 1000.0]
    assert values[300.0] == record["extrapolation"]
    assert [values[T]["is_extrapolation"] for T in (350.0, 650.0, 1000.0)] == [True, False, True]
    assert values[350.0]["distance_1000_per_K"] == pytest.approx(1000 / 350 - 2)
    assert values[1000.0]["distance_1000_per_K"] == pytest.approx(1.25 - 1)
    assert values[650.0]["probability_of_unseen_change"] == 0
    assert values[650.0]["measured_range_K"] == [500.0, 800.0]
    assert values[350.0]["nearest_temperature_K"] == 500.0
    assert record["band"]["per_1000_K"][0] == pytest.approx(1.0)
    assert record["band"]["per_1000_K"][-1] == pytest.approx(1000 / 300)


def test_absurd_extrapolation_stays_a_number() -> None:
    settings = ArrheniusSettings(n_samples=4000, extrapolate_to_K=1.0)
    record = arrhenius(campaign(np.random.default_rng(10)), settings)
    assert record["extrapolation"]["probability_of_unseen_change"] == 1.0
    json.dumps(record, allow_nan=False)


def test_same_input_gives_the_same_record() -> None:
    runs = campaign(np.random.default_rng(10))
    assert arrhenius(runs, SETTINGS) == arrhenius(runs, SETTINGS)


def test_samples_and_covariance_propagate_alike() -> None:
    settings = ArrheniusSettings(n_samples=20_000, curve="line")
    record = arrhenius(campaign(np.random.default_rng(11)), settings)
    (line,) = record["models"]
    assert line["parameters"] == ["Ea_eV", "ln_A_S_K_per_cm"]
    direction = np.array([-1 / (BOLTZMANN_EV_PER_K * 650), 1.0])
    from_covariance = np.sqrt(direction @ np.array(line["covariance"]) @ direction)
    table = record["samples"]
    rows = np.array([row[:2] for row in table["rows"]])
    assert table["columns"][:2] == ["Ea_hot_eV", "ln_A_hot"]
    assert all(row[:2] == row[2:4] and row[4] is None for row in table["rows"])
    assert (rows @ direction).std() == pytest.approx(from_covariance, rel=0.25)
    assert record["correlation_Ea_ln_A"] > 0.5


def test_vtf_is_fitted_when_asked_for() -> None:
    settings = ArrheniusSettings(n_samples=4000, curve="vtf")
    B, T0 = 0.1, 200.0
    runs = campaign(np.random.default_rng(12), temperatures=TWO_REGIMES, error=0.05)
    for run in runs:
        T = run["temperature_K"]
        factor = np.exp((EA_EV / T - B / (T - T0)) / BOLTZMANN_EV_PER_K)
        run["sigma_NE_S_per_cm"] *= factor
        run["D_tracer_cm2_per_s"] *= factor
    (model,) = arrhenius(runs, settings)["models"]
    assert model["parameters"] == ["B_eV", "T0_K", "ln_A_S_K_per_cm"]
    error = np.sqrt(np.diag(model["covariance"]))
    for k, true in enumerate((B, T0, LN_A)):
        assert abs(model["mean"][k] - true) < 3 * error[k]


def test_student_errors_with_few_degrees_of_freedom_are_forgiven_more() -> None:
    runs = campaign(np.random.default_rng(13), error=0.05, orderings=4)
    for run in runs:
        run["D_tracer_degrees_of_freedom"] = 3.0
    runs[0]["D_tracer_cm2_per_s"] *= 2.5
    surprised = arrhenius(runs, SETTINGS)["Ea_D_eV"]
    for run in runs:
        run["D_tracer_degrees_of_freedom"] = 1e6
    settings = ArrheniusSettings(n_samples=4000, scatter_prior_ln=0.01)
    trusting = arrhenius(runs, settings)["Ea_D_eV"]
    assert abs(surprised - EA_EV) < abs(trusting - EA_EV)


@pytest.mark.parametrize("freedom", [3.0, 8.0, 60.0])
def test_mixture_of_gaussians_is_the_student_distribution(freedom: float) -> None:
    precision, share = evidence._mixture(freedom)
    x = np.linspace(-8, 8, 41)[:, None]
    mixed = (np.sqrt(precision / (2 * np.pi)) * np.exp(-(x**2) * precision / 2)) @ share
    np.testing.assert_allclose(mixed, student.pdf(x[:, 0], freedom), rtol=0.03)


@pytest.mark.parametrize("counted", [False, True])
def test_evidence_and_posterior_agree_with_brute_force(counted: bool) -> None:
    """One line, two orderings: integrate over c, Ea, tau and omega on a plain grid.

    With counts: of an ordering that has points, of one that has none, and of no event at all; the
    deviation of each ordering and the scatter of each count are integrated over, too.
    """
    rng = np.random.default_rng(14)
    runs = campaign(rng, temperatures=(500.0, 800.0), error=0.3)
    points = points_of(runs, ["00", "01"], lambda run: run["sigma_NE_S_per_cm"])
    points = replace(points, freedom=np.full(4, 1e9))
    counts = evidence.NO_COUNTS
    if counted:
        low = points.value[points.inverse_kT.argmax()]
        at_one = np.array([low - 1.0, low - 1.5, low])
        inverse_kT = np.full(3, points.inverse_kT.max() + 3.0)
        counts = evidence.Counts(inverse_kT, at_one, np.array([3.0, 2.0, 0.0]), np.array([0, 2, 1]))
    spread = evidence.Spread(0.5, 0.2)
    family = lines.family("line", points, counts, 300.0)
    found = evidence.sample(family, points, counts, spread, 40_000, rng)
    height = points.value.mean() + np.linspace(-6, 6, 61)
    Ea = np.linspace(-0.3, 1.0, 40)
    prior_Ea = norm.pdf(Ea, lines.EA_MEAN_EV, lines.EA_SD_EV) * (Ea[1] - Ea[0])

    def curve(inverse_kT: np.ndarray) -> np.ndarray:
        x = inverse_kT - points.inverse_kT.mean()
        return height[:, None, None] - Ea[:, None] * x

    rest, at_counts = points.value - curve(points.inverse_kT), curve(counts.inverse_kT)
    nodes, shares = np.polynomial.hermite_e.hermegauss(16)
    shares = shares / shares.sum()
    # Midpoints of equal shares of the half-Student priors.
    middles = student.ppf(0.5 + (np.arange(13) + 0.5) / 26, evidence.PRIOR_FREEDOM)
    total, sum_Ea = 0.0, 0.0
    for tau in spread.between_orderings * middles:
        for omega in spread.scatter * middles:
            density = np.ones((len(height), len(Ea)))
            for ordering in range(3 if counted else 2):
                here = points.ordering == ordering
                sd = np.sqrt(points.variance[here] + omega**2)
                off = rest[:, :, here, None] - tau * nodes
                of_ordering = norm.pdf(off, 0, sd[:, None]).prod(axis=2)
                for i in np.flatnonzero(counts.ordering == ordering):
                    value = at_counts[:, :, i, None, None] + tau * nodes[:, None] + omega * nodes
                    above = value - counts.at_one[i]
                    likelihood = np.exp(counts.events[i] * above - np.exp(above))
                    of_ordering = of_ordering * (likelihood @ shares)
                density *= of_ordering @ shares
            share = density.sum(axis=0) * prior_Ea * (height[1] - height[0]) / len(middles) ** 2
            total += share.sum()
            sum_Ea += share @ Ea
    assert found.log_evidence == pytest.approx(np.log(total), abs=0.05)
    assert found.coefficients[:, 1].mean() == pytest.approx(sum_Ea / total, abs=0.004)


def few_jumps(rng: np.random.Generator) -> list[dict[str, Any]]:
    """As `campaign`, by jumps that are counted: Poisson events of four jumps each, and the rule."""
    runs = campaign(
        rng, between=0.2, error=1e-6, temperatures=(420.0, 500.0, 560.0, 630.0), orderings=2
    )
    for run in runs:
        # Long enough for 3, 9, 20 and 40 events in the mean.
        expected = {420.0: 3.0, 500.0: 9.0, 560.0: 20.0, 630.0: 40.0}[run["temperature_K"]]
        middle = np.exp(LN_A - EA_EV / (BOLTZMANN_EV_PER_K * run["temperature_K"]))
        ratio = run["sigma_NE_S_per_cm"] * run["temperature_K"] / middle
        events = int(rng.poisson(expected * ratio))
        of_one = run["D_tracer_cm2_per_s"] / (expected * ratio)
        length_ps = 4 * 2.5**2 / (6 * 18 * of_one * 1e4)
        error = np.sqrt(rng.chisquare(12) / 12 / events) if events else None
        run |= {
            "D_tracer_cm2_per_s": events * of_one,
            "sigma_NE_S_per_cm": run["sigma_NE_S_per_cm"] * events / (expected * ratio),
            "relative_error": error,
            "D_tracer_degrees_of_freedom": 12,
            "n_effective_jumps": 4.0 * events,
            "length_ps": length_ps,
            "settings": {"jump_length_A": 2.5},
            "verdict": "converged" if events and error < 0.5 else "too_few_jumps",
        }
    return runs


def test_counted_runs_take_away_the_bias_of_leaving_out_the_slow_ones() -> None:
    settings = ArrheniusSettings(n_samples=2000)
    found: dict[bool, list[float]] = {True: [], False: []}
    held = 0
    for seed in range(40):
        runs = few_jumps(np.random.default_rng(seed))
        for counted in (True, False):
            given = runs if counted else [run | {"settings": None} for run in runs]
            there = arrhenius(given, settings)["extrapolation"]
            found[counted].append(float(np.log(there["sigma_NE_S_per_cm"] / TRUE_300K)))
            low, high = there["sigma_NE_interval95_S_per_cm"]
            held += counted and low < TRUE_300K < high
    error = np.std(found[True]) / np.sqrt(40)
    assert np.mean(found[False]) > 0.15
    assert abs(np.mean(found[True])) < 2.5 * error
    assert np.mean(np.square(found[True])) < np.mean(np.square(found[False]))
    assert held >= 37


def test_runs_that_are_counted_say_so() -> None:
    runs = few_jumps(np.random.default_rng(3))
    record = arrhenius(runs, SETTINGS)
    slow = [run for run in record["excluded"] if run["verdict"] == "too_few_jumps"]
    assert slow
    for run in slow:
        assert f"counts what it has, {run['n_events']:.2g} independent jumps" in run["rule"]
    unknown = [run | {"settings": {}} for run in runs]
    assert not any("n_events" in run for run in arrhenius(unknown, SETTINGS)["excluded"])


def test_a_cold_run_without_any_jump_bounds_the_line() -> None:
    """Twenty-five jumps were to be expected by the hot runs, and there was none."""
    runs = campaign(np.random.default_rng(1), error=0.3)
    before = arrhenius(runs, SETTINGS)["extrapolation"]["sigma_NE_interval95_S_per_cm"][1]
    sigma = np.exp(LN_A - EA_EV / (BOLTZMANN_EV_PER_K * 400)) / 400
    D_A2_per_ps = sigma / nernst_einstein_S_per_cm(1.0, 18, 1300.0, 400.0) * 1e4
    cold = runs[0] | {
        "temperature_K": 400.0,
        "verdict": "too_few_jumps",
        "n_effective_jumps": 0.0,
        "D_tracer_cm2_per_s": 0.0,
        "sigma_NE_S_per_cm": 0.0,
        "relative_error": None,
        "length_ps": 25 * 9 * 2.5**2 / (6 * 18 * D_A2_per_ps),
        "settings": {"jump_length_A": 2.5},
    }
    after = arrhenius([*runs, cold], SETTINGS)["extrapolation"]["sigma_NE_interval95_S_per_cm"][1]
    assert after < 0.5 * before


def test_ln_sigma_and_ln_sigma_T_are_not_mixed() -> None:
    record = arrhenius(campaign(np.random.default_rng(6), error=1e-3), SETTINGS)
    T = np.array([run["temperature_K"] for run in record["pooled"]])
    sigma = np.array([run["sigma_NE_S_per_cm"] for run in record["pooled"]])
    slope = np.polyfit(1 / (BOLTZMANN_EV_PER_K * T), np.log(sigma), 1)[0]
    assert -slope < record["Ea_eV"] - 0.02  # ln(sigma) alone has a smaller slope
