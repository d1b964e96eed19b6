"""Pellets of grains that conduct better along one axis: known mixtures, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from typer.testing import CliRunner

from halmd.cli import app
from halmd.config import ArrheniusSettings
from halmd.errors import HalmdError
from halmd.files import read_json, write_json
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.polycrystal import effective_medium, polycrystal
from halmd.units import BOLTZMANN_EV_PER_K

SETTINGS = ArrheniusSettings(n_samples=4000)
BARRIER_EV = {"along": 0.16, "across": 0.40}
D0_CM2_PER_S = {"along": 4e-4, "across": 6e-3}
N_IONS, VOLUME_A3, JUMP_A = 18, 1300.0, 2.5

conductivities = st.floats(1e-6, 1e3)


@given(conductivities, conductivities)
def test_a_grain_of_any_orientation_changes_nothing_in_the_mean(
    along: float, across: float
) -> None:
    def unbalanced(pellet: float) -> float:
        return sum((s - pellet) / (s + 2 * pellet) for s in (along, across, across))

    found = float(effective_medium(np.array(along), np.array(across)))
    low, high = min(along, across), max(along, across)
    if high > low * 1.001:
        assert found == pytest.approx(brentq(unbalanced, low, high, xtol=1e-12 * high), rel=1e-6)
    # Between grains one after the other and side by side.
    assert 3 / (1 / along + 2 / across) <= found * (1 + 1e-9)
    assert found <= (along + 2 * across) / 3 * (1 + 1e-9)


def test_grains_that_block_across_make_a_pellet_that_blocks() -> None:
    along, across = np.array([1.0, 1.0]), np.array([0.0, 1e-6])
    assert effective_medium(along, across) == pytest.approx([0.0, np.sqrt(8e-6) / 4], rel=1e-3)


def sigma_S_per_cm(where: str, T: float) -> float:
    D = D0_CM2_PER_S[where] * np.exp(-BARRIER_EV[where] / (BOLTZMANN_EV_PER_K * T))
    return nernst_einstein_S_per_cm(float(D), N_IONS, VOLUME_A3, T)


def campaign(rng: np.random.Generator, error: float = 0.15) -> list[dict[str, Any]]:
    """Runs in cells whose c is the axis, with errors of every direction."""
    runs = []
    for ordering in ("00", "01"):
        for T in (420.0, 500.0, 560.0, 630.0):
            D = np.array([D0_CM2_PER_S[w] for w in ("across", "across", "along")])
            barrier = np.array([BARRIER_EV[w] for w in ("across", "across", "along")])
            D *= np.exp(-barrier / (BOLTZMANN_EV_PER_K * T) + rng.normal(0, error, 3))
            mean = float(D.mean())
            runs.append(
                {
                    "temperature_K": T,
                    "ordering": ordering,
                    "replica": "0",
                    "verdict": "converged",
                    "D_tracer_cm2_per_s": mean,
                    "sigma_NE_S_per_cm": nernst_einstein_S_per_cm(mean, N_IONS, VOLUME_A3, T),
                    "relative_error": error,
                    "D_tracer_degrees_of_freedom": 20.0,
                    "n_ions": N_IONS,
                    "volume_A3": VOLUME_A3,
                    "charge_e": 1,
                    "n_effective_jumps": 6 * mean * 1e4 * 100 * N_IONS / JUMP_A**2,
                    "length_ps": 100.0,
                    "settings": {"jump_length_A": JUMP_A},
                    "tensor": {
                        "D_cm2_per_s": np.diag(D).tolist(),
                        "lattice": {
                            axis: {"D_cm2_per_s": value, "D_error_cm2_per_s": error * value}
                            for axis, value in zip("abc", D.tolist(), strict=True)
                        },
                    },
                }
            )
    return runs


def test_directions_are_fitted_apart_and_make_the_pellet() -> None:
    record = polycrystal(campaign(np.random.default_rng(1)), SETTINGS)
    truth = {where: sigma_S_per_cm(where, 300.0) for where in ("along", "across")}
    truth["pellet"] = float(effective_medium(np.array(truth["along"]), np.array(truth["across"])))
    truth["mean"] = (truth["along"] + 2 * truth["across"]) / 3
    for where, sigma in truth.items():
        low, high = record[where]["sigma_NE_interval95_S_per_cm"]
        assert low < sigma < high
        assert record[where]["sigma_NE_S_per_cm"] == pytest.approx(sigma, rel=0.7)
    for where, barrier in BARRIER_EV.items():
        assert record[where]["Ea_eV"] == pytest.approx(barrier, abs=0.06)
    assert truth["pellet"] < 0.6 * truth["mean"]
    assert record["pellet_over_mean"] == pytest.approx(truth["pellet"] / truth["mean"], rel=0.5)


def test_a_crystal_that_is_alike_in_all_directions_conducts_as_its_mean() -> None:
    runs = campaign(np.random.default_rng(2))
    for run in runs:
        D = run["D_tracer_cm2_per_s"]
        run["tensor"]["D_cm2_per_s"] = (D * np.eye(3)).tolist()
        for axis in run["tensor"]["lattice"].values():
            axis |= {"D_cm2_per_s": D, "D_error_cm2_per_s": 0.15 * D}
    assert polycrystal(runs, SETTINGS)["pellet_over_mean"] == pytest.approx(1, abs=0.1)


def test_a_direction_without_jumps_is_counted_not_left_out() -> None:
    runs = campaign(np.random.default_rng(3))
    cold = [run for run in runs if run["temperature_K"] == 420.0]
    for run in cold:
        # Long enough for twenty jumps, of which there was none.
        run["length_ps"] = 2000.0
        tensor = run["tensor"]
        tensor["D_cm2_per_s"][0][0] = tensor["D_cm2_per_s"][1][1] = 0.0
        for axis in "ab":
            tensor["lattice"][axis] |= {"D_cm2_per_s": 0.0, "D_error_cm2_per_s": 1e-8}
    without = [run for run in runs if run not in cold]
    found = polycrystal(runs, SETTINGS)["across"]
    assert [run["verdict"] for run in found["excluded"]] == ["too_few_jumps"] * 2
    before = polycrystal(without, SETTINGS)["across"]
    assert found["sigma_NE_S_per_cm"] < 0.7 * before["sigma_NE_S_per_cm"]


def test_input_that_cannot_be_is_one_line() -> None:
    runs = campaign(np.random.default_rng(4))
    with pytest.raises(HalmdError, match=r"axis 'd' is none of a, b, c"):
        polycrystal(runs, SETTINGS, axis="d")
    runs[3]["tensor"] = {}
    with pytest.raises(HalmdError, match=r"run 00, 630 K, replica 0: .*a damaged one"):
        polycrystal(runs, SETTINGS)
    del runs[3]["tensor"]
    with pytest.raises(HalmdError, match=r"run 00, 630 K, replica 0: no diffusion tensor"):
        polycrystal(runs, SETTINGS)


def test_another_file_is_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "other.json", {"a": 1})
    words = ["polycrystal", str(tmp_path / "other.json"), "--output", str(tmp_path / "p.json")]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, HalmdError)
    assert "other.json: no transport.json" in str(done.exception)
    assert not (tmp_path / "p.json").exists()


def test_too_few_temperatures_are_a_verdict() -> None:
    runs = [r for r in campaign(np.random.default_rng(5)) if r["temperature_K"] > 550]
    assert polycrystal(runs, SETTINGS)["verdict"] == "too_few_temperatures"


def test_the_command_writes_the_record_and_says_what_it_found(tmp_path: Path) -> None:
    files = []
    for run in campaign(np.random.default_rng(6)):
        folder = tmp_path / run["ordering"] / f"{run['temperature_K']:g}K" / "r0"
        folder.mkdir(parents=True)
        write_json(folder / "transport.json", run)
        files.append(str(folder / "transport.json"))
    output = tmp_path / "polycrystal.json"
    words = ["polycrystal", *files, "--output", str(output), "--n-samples", "2000"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    record = read_json(output)
    assert record["axis"] == "c"
    middle = 1000 * record["pellet"]["sigma_NE_S_per_cm"]
    assert f"pellet: sigma(300 K) = {middle:.2g} mS/cm" in done.output
