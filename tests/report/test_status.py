"""Where a campaign stands, from files as runs leave them."""

import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from halmd.campaign import runs
from halmd.config import Campaign, parse_campaign
from halmd.files import write_json
from halmd.report.status import RunStatus, campaign_status, failures, status_table

NOW_S = 1_000_000.0
BASE: dict[str, Any] = {
    "campaign": "test",
    "potential": "ase.calculators.lj:LennardJones",
    "materials": [{"formula": "Li3YCl6"}],
    "structure": {"n_orderings": 1},
    "dynamics": {"temperatures_K": [500], "production_ps": 100},
}


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    monkeypatch.chdir(tmp_path)
    return parse_campaign(BASE)


def only(campaign: Campaign) -> RunStatus:
    (found,) = campaign_status(campaign, now_s=NOW_S)
    return found


def folder_of(campaign: Campaign) -> str:
    (run,) = runs(campaign, campaign.materials[0])
    return run.folder


def put(path: Path, text: str = "", *, age_s: float = 1e4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))


def checkpoints(campaign: Campaign, *pairs: tuple[int, float]) -> None:
    """Steps of checkpoints, and how old they are in s."""
    for step, age_s in pairs:
        name = f"production-abc/checkpoint-{step:012d}.bin"
        put(Path("work") / folder_of(campaign) / name, age_s=age_s)


def log(campaign: Campaign, name: str, text: str) -> None:
    put(Path("work/logs") / folder_of(campaign) / name, text)


def record(campaign: Campaign, verdict: str = "ok", age_s: float = 1e4, **more: Any) -> None:
    path = Path("results") / folder_of(campaign) / "run.json"
    write_json(path, {"verdict": verdict, "length_ps": 100.0, "ns_per_day": 20.0} | more)
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))


def test_nothing_yet(campaign: Campaign) -> None:
    assert only(campaign).state == "waiting"
    assert only(campaign).length_ps == 100


def test_equilibration_and_after(campaign: Campaign) -> None:
    log(campaign, "equilibrate.log", "NPT 500 K: 1.0 of 16 ps")
    assert only(campaign).state == "equilibrating"
    put(Path("results") / folder_of(campaign) / "equilibrated.extxyz")
    assert only(campaign).state == "ready"


def test_a_running_run_has_a_speed_and_an_end(campaign: Campaign) -> None:
    # 2 ps, a thousand steps of 2 fs, in 20 s: 8.64 ns a day.
    checkpoints(campaign, (9_000, 35), (10_000, 15))
    found = only(campaign)
    assert (found.state, found.done_ps) == ("running", 20.0)
    assert found.ns_per_day == pytest.approx(8.64)
    assert found.left_s == pytest.approx(800.0)


def test_a_run_left_alone_is_stopped_or_failed(campaign: Campaign) -> None:
    checkpoints(campaign, (9_000, 5020), (10_000, 5000))
    assert only(campaign).state == "stopped"
    log(campaign, "dynamics.log", "NVT\nhalmd: error: work/x: every checkpoint is damaged\n")
    found = only(campaign)
    assert (found.state, found.why) == ("failed", "work/x: every checkpoint is damaged")
    assert failures([found]) == [f"{folder_of(campaign)}: work/x: every checkpoint is damaged"]


def test_slow_runs_are_given_time(campaign: Campaign) -> None:
    """An interval of an hour: half an hour without a checkpoint means nothing."""
    checkpoints(campaign, (9_000, 5400), (10_000, 1800))
    assert only(campaign).state == "running"


def test_done_with_its_verdict_and_diffusivity(campaign: Campaign) -> None:
    record(campaign)
    assert (only(campaign).state, only(campaign).verdict) == ("done", "ok")
    transport = {"verdict": "converged", "D_tracer_cm2_per_s": 2e-6}
    transport |= {"D_tracer_error_cm2_per_s": 1e-7}
    write_json(Path("results") / folder_of(campaign) / "transport.json", transport)
    found = only(campaign)
    assert (found.verdict, found.D_cm2_per_s) == ("converged", 2e-6)
    console = Console(width=140, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(status_table(campaign, [found]))
    text = console.export_text()
    assert "1 runs: 1 done" in text
    assert "2.00e-06 ± 2e-07" in text
    assert "1 converged" in text


def test_a_longer_run_goes_on(campaign: Campaign) -> None:
    record(campaign, age_s=500)
    checkpoints(campaign, (51_000, 40), (52_000, 20))
    assert only(campaign).state == "running"


def test_out_of_time_is_no_failure(campaign: Campaign) -> None:
    checkpoints(campaign, (9_000, 5020), (10_000, 5000))
    log(campaign, "dynamics.log", "halmd: stopped at 20.0 of 100 ps; run again to continue\n")
    assert only(campaign).state == "stopped"


def test_temperatures_still_looked_for_are_counted(campaign: Campaign) -> None:
    auto = parse_campaign(BASE | {"dynamics": {"temperatures_K": "auto", "n_temperatures": 4}})
    assert campaign_status(auto) == []
    console = Console(width=140, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(status_table(auto, []))
    text = console.export_text()
    assert "4 runs: 4 waiting" in text
    assert "auto" in text
