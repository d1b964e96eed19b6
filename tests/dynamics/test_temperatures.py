"""Temperatures chosen by a ramp: against materials whose law and melting are known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import units
from hypothesis import given
from hypothesis import strategies as st
from toy_crystal import IonicToy, lithium_chloride, loaded

from halmd.config import DiffusionSettings, DynamicsSettings
from halmd.dynamics import temperatures
from halmd.dynamics.temperatures import LAST_K, PROBE_PS, choose, find_temperatures
from halmd.errors import HalmdError
from halmd.files import read_json

SETTINGS = DynamicsSettings(production_ps=100)
DIFFUSION = DiffusionSettings()
IONS = 12


def probes(
    Ea_eV: float, D_at_800_A2_per_ps: float, melts_K: float, noise: float = 0.0, seed: int = 0
) -> list[dict[str, Any]]:
    """What a ramp shows of a material with this law, whose framework gives way from `melts_K`."""
    rng = np.random.default_rng(seed)
    found = []
    for T in np.arange(600.0, LAST_K + 1, 100.0):
        law = -Ea_eV / units.kB * (1 / T - 1 / 800)
        D = D_at_800_A2_per_ps * math.exp(law + noise * rng.normal())
        jumps = 6 * D * PROBE_PS * IONS / 2.5**2
        verdict = "ok" if melts_K > T else "framework_unstable"
        found.append(
            {
                "temperature_K": float(T),
                "verdict": verdict,
                "n_ions": IONS,
                "D_A2_per_ps": D,
                "relative_error": max(0.2, jumps**-0.5),
                "n_effective_jumps": jumps,
            }
        )
        if verdict != "ok":
            break
    return found


@given(
    Ea_eV=st.floats(0.2, 0.5),
    D=st.floats(0.05, 2.0),
    melts_K=st.floats(650, 1800),
    noise=st.floats(0, 0.3),
    seed=st.integers(0, 99),
    count=st.integers(2, 8),
)
def test_they_lie_below_melting_and_rise(
    Ea_eV: float, D: float, melts_K: float, noise: float, seed: int, count: int
) -> None:
    settings = SETTINGS.model_copy(update={"n_temperatures": count})
    seen = probes(Ea_eV, D, melts_K, noise, seed)
    found = choose(seen, settings, DIFFUSION)["temperatures_K"]
    assert found == sorted(set(found))
    assert 2 <= len(found) <= count
    assert all(value % 10 == 0 for value in found)
    assert found[-1] <= seen[-1]["temperature_K"]
    if seen[-1]["verdict"] != "ok":
        assert found[-1] <= 0.75 * seen[-1]["temperature_K"] + 5


@pytest.mark.parametrize("length_ps", [50.0, 500.0])
@pytest.mark.parametrize("Ea_eV", [0.25, 0.45])
def test_the_coldest_still_jumps_in_the_length_of_a_run(Ea_eV: float, length_ps: float) -> None:
    settings = SETTINGS.model_copy(update={"production_ps": length_ps})
    found = choose(probes(Ea_eV, 0.5, 1250), settings, DIFFUSION)
    coldest = found["temperatures_K"][0]
    D = 0.5 * math.exp(-Ea_eV / units.kB * (1 / coldest - 1 / 800))
    jumps = 6 * D * length_ps * IONS / 2.5**2
    # Twice the fewest is aimed at; the prior on the activation energy may be off by a little.
    assert 50 < jumps < 400
    assert found["temperatures_K"][-1] == pytest.approx(0.75 * 1300, abs=5)


def test_with_a_target_the_longest_run_counts() -> None:
    adaptive = {"target_relative_error": 0.2, "max_ps": 1000.0}
    colder = choose(probes(0.3, 0.5, 1250), SETTINGS.model_copy(update=adaptive), DIFFUSION)
    same = choose(probes(0.3, 0.5, 1250), SETTINGS, DIFFUSION)
    assert colder["temperatures_K"][0] < same["temperatures_K"][0] - 20


def test_equal_steps_in_inverse_temperature() -> None:
    found = choose(probes(0.3, 0.5, 1250), SETTINGS, DIFFUSION)["temperatures_K"]
    steps = -np.diff(1 / np.array(found))
    assert len(found) == 5
    assert steps == pytest.approx(steps.mean(), rel=0.2)


def test_where_lithium_is_slow_the_range_is_narrow_and_said_to_be() -> None:
    found = choose(probes(0.5, 1e-4, 1250), SETTINGS, DIFFUSION)
    assert "too slow" in found["coldest_because"]
    assert found["temperatures_K"][0] >= 0.65 * found["temperatures_K"][-1]


def test_a_framework_that_never_holds_is_one_line() -> None:
    (first, *_) = probes(0.3, 0.5, 500)
    with pytest.raises(HalmdError, match="gives way at 600 K already") as caught:
        choose([first], SETTINGS, DIFFUSION)
    assert "\n" not in str(caught.value)


def test_a_ramp_finds_where_a_crystal_melts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiCl of the toy: at 1000 K a crystal, at some thousands not."""
    for name, value in {"FIRST_K": 1000.0, "STEP_K": 2000.0, "LAST_K": 5000.0}.items():
        monkeypatch.setattr(temperatures, name, value)
    monkeypatch.setattr(temperatures, "PROBE_PS", 10.0)
    monkeypatch.setattr(temperatures, "SETTLE_PS", 1.0)
    settings = DynamicsSettings(thermostat_time_ps=0.2, checkpoint_interval_ps=1.0)
    arguments: dict[str, Any] = {"seed": 3, "record": tmp_path / "temperatures.json"}

    def ramp() -> dict[str, Any]:
        return find_temperatures(
            lithium_chloride(),
            loaded(IonicToy()),
            settings,
            DIFFUSION,
            scratch=tmp_path / "scratch",
            show_progress=False,
            **arguments,
        )

    found = ramp()
    verdicts = {p["temperature_K"]: p["verdict"] for p in found["probes"]}
    assert verdicts[1000.0] == "ok"
    failed = [T for T, verdict in verdicts.items() if verdict != "ok"]
    assert len(failed) == 1
    assert max(found["temperatures_K"]) <= 0.75 * failed[0]
    assert read_json(tmp_path / "temperatures.json")["temperatures_K"] == found["temperatures_K"]
    # What was probed is not probed again.
    monkeypatch.setattr(temperatures, "run_dynamics", None)
    assert ramp() == found
