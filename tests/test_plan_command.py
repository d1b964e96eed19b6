"""What a campaign will cost: counts by hand, a real step, and warnings that measurements allow."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from halmd.campaign import runs
from halmd.cli import app
from halmd.config import Campaign, parse_campaign
from halmd.files import write_json
from halmd.plan import costs, expected_jumps, timed_step_ms
from halmd.potentials.evaluators import load
from halmd.potentials.potential import prepare_potential
from halmd.reference import Published
from halmd.report.status import campaign_status
from halmd.structures.plan import plan as plan_structure

BASE: dict[str, Any] = {
    "campaign": "test",
    "potential": "ase.calculators.lj:LennardJones",
    "materials": [{"formula": "Li3YCl6"}],
    "structure": {"n_orderings": 2, "min_length_A": 6},
    "dynamics": {"temperatures_K": [500, 700], "production_ps": 100, "equilibration_ps": 10},
}
STEP_MS_PER_ATOM = 0.1


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    monkeypatch.chdir(tmp_path)
    return parse_campaign(BASE)


def only(campaign: Campaign) -> Any:
    (found,) = costs(campaign, campaign_status(campaign), STEP_MS_PER_ATOM)
    return found


def test_a_fresh_campaign_costs_what_its_steps_do(campaign: Campaign) -> None:
    found = only(campaign)
    atoms = plan_structure("Li3YCl6", campaign.structure).atoms
    assert (found.atoms, found.n_runs, found.finished) == (atoms, 4, 0)
    assert found.length_ps == 400
    production_h = 4 * 50_000 * STEP_MS_PER_ATOM * atoms / 3.6e6
    assert production_h < found.core_hours < 1.25 * production_h
    assert found.longest_run_hours == pytest.approx(found.core_hours / 4)
    # 2,000 frames of 4-byte positions, about twice.
    assert found.disk_GB == pytest.approx(4 * 2000 * atoms * 12 * 2.2 / 1e9)


def test_what_is_there_costs_nothing_more(campaign: Campaign) -> None:
    before = only(campaign)
    first, second, *_ = runs(campaign, campaign.materials[0])
    record = {"verdict": "ok", "length_ps": 100.0, "ns_per_day": 20.0}
    write_json(Path("results") / first.folder / "run.json", record)
    half = Path("work") / second.folder / "production-x" / "checkpoint-000000025000.bin"
    half.parent.mkdir(parents=True)
    half.write_text("")
    after = only(campaign)
    assert (after.finished, after.length_ps) == (1, 250)
    assert after.core_hours < 0.65 * before.core_hours


def test_runs_to_be_found_are_counted(campaign: Campaign) -> None:
    auto = BASE | {"dynamics": BASE["dynamics"] | {"temperatures_K": "auto", "n_temperatures": 2}}
    assert only(parse_campaign(auto)).core_hours == pytest.approx(only(campaign).core_hours)


def test_with_a_target_the_largest_length_is_what_it_may_cost(campaign: Campaign) -> None:
    adaptive = BASE["dynamics"] | {"target_relative_error": 0.2, "max_ps": 300}
    assert only(parse_campaign(BASE | {"dynamics": adaptive})).length_ps == 1200


def test_jumps_by_a_measured_conductivity() -> None:
    """At 1 mS/cm and 300 K, 18 Li in 1,200 Å³: D = sigma kT V / (N e²) by hand."""
    known = Published("Li3YCl6", 300.0, 1e-3, 0.3, "", "", False, False)
    common = {"n_ions": 18, "volume_A3": 1200.0, "length_ps": 1e6, "jump_length_A": 2.5}
    D_cm2_per_s = 1e-3 * 1.380649e-23 * 300 / (18 / 1.2e-21 * 1.602176634e-19**2)
    jumps = 6 * (D_cm2_per_s * 1e4) * 1e6 * 18 / 2.5**2
    assert expected_jumps(known, 300.0, **common) == pytest.approx(jumps, rel=1e-6)
    hotter = jumps * math.exp(0.3 / 8.617333e-5 * (1 / 300 - 1 / 600))
    assert expected_jumps(known, 600.0, **common) == pytest.approx(hotter, rel=1e-3)


def test_runs_too_short_to_see_anything_are_told(campaign: Campaign) -> None:
    cold = BASE | {"dynamics": {"temperatures_K": [250, 800], "production_ps": 100}}
    (warning,) = only(parse_campaign(cold)).warnings
    assert "at 250 K" in warning
    assert "by the measured conductivity" in warning


def test_the_command_times_a_real_step_and_writes_nothing(campaign: Campaign) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(BASE))
    done = CliRunner().invoke(app, ["plan", "config.yaml", "--slots", "4"])
    assert done.exit_code == 0, done.output
    assert "ms a step on one core" in done.output
    assert "with 4 at once" in done.output
    assert [path.name for path in Path().iterdir()] == ["config.yaml"]


def test_a_batch_is_timed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four runs at once through a calculator that takes them one by one: a run costs the same."""
    monkeypatch.chdir(tmp_path)
    loaded = load(prepare_potential(BASE["potential"], evaluator="auto", folder=tmp_path))
    times = {}
    for engine, most in (("lean", None), ("batched", None), ("batched", 1)):
        dynamics = BASE["dynamics"] | {"engine": engine, "batch_atoms": most}
        times[engine, most] = timed_step_ms(parse_campaign(BASE | {"dynamics": dynamics}), loaded)
    atoms, alone_ms = times["lean", None]
    for (engine, _), (found, step_ms) in times.items():
        assert found == atoms
        assert 0.2 * alone_ms < step_ms < 5 * alone_ms, engine
