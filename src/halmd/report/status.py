"""`halmd status`: where a campaign stands, read from its files: running, finished, or left alone.

Nothing is asked of Snakemake or a queue, so it works on a login node, during a run and years after.
A run counts as running while its last checkpoint is younger than a few of its intervals.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from halmd.campaign import Run, chosen_file, n_runs, runs
from halmd.config import Campaign, Material
from halmd.files import read_json

STATES = ("waiting", "equilibrating", "ready", "running", "stopped", "failed", "done")

_PATIENCE = 5.0
"""Intervals between checkpoints after which a run without another is taken for stopped."""
_LEAST_PATIENCE_S = 120.0
_ERROR = "halmd: error: "


@dataclass(frozen=True)
class RunStatus:
    """One run of a campaign, as its files show it."""

    run: Run
    state: str
    """One of STATES."""
    done_ps: float = 0.0
    length_ps: float = 0.0
    """What is asked for, at most; of a finished run what it has."""
    ns_per_day: float | None = None
    verdict: str | None = None
    why: str = ""
    """The error of a run that failed."""
    D_cm2_per_s: float | None = None
    D_error_cm2_per_s: float | None = None

    @property
    def left_s(self) -> float | None:
        """Time to the end at the present speed; None where nothing moves."""
        if self.state != "running" or not self.ns_per_day:
            return None
        return max(0.0, self.length_ps - self.done_ps) / 1000 / self.ns_per_day * 86400


def campaign_status(campaign: Campaign, *, now_s: float | None = None) -> list[RunStatus]:
    """Every run of a campaign; none of a material whose temperatures are still looked for."""
    at = time.time() if now_s is None else now_s
    return [
        run_status(campaign, run, at)
        for material in campaign.materials
        for run in runs(campaign, material)
    ]


def run_status(campaign: Campaign, run: Run, now_s: float) -> RunStatus:
    """What the files of one run say at a moment."""
    results, work = Path(campaign.results) / run.folder, Path(campaign.work) / run.folder
    wanted = campaign.dynamics
    length_ps = wanted.production_ps if wanted.target_relative_error is None else wanted.max_ps
    points = _checkpoints(work)
    finished = results / "run.json"
    if finished.is_file() and not _newer(points, finished):
        done = _done(run, results)
        # Settings that ask for a longer run than there is; a guard's verdict is final.
        longer = wanted.target_relative_error is None and done.length_ps < 0.999 * length_ps
        if longer and read_json(finished)["verdict"] == "ok":
            return replace(done, state="stopped", length_ps=length_ps)
        return done
    why = _error_in(Path(campaign.work) / "logs" / run.folder)
    if points:
        done_ps, speed = _progress(points, wanted.timestep_fs)
        age_s = now_s - points[-1].written_s
        interval_s = wanted.checkpoint_interval_ps / 1000 / speed * 86400 if speed else 0.0
        alive = age_s < max(_LEAST_PATIENCE_S, _PATIENCE * interval_s)
        state = "running" if alive else "failed" if why else "stopped"
        shown = "" if alive else why
        return RunStatus(run, state, min(done_ps, length_ps), length_ps, speed, why=shown)
    if why:
        return RunStatus(run, "failed", 0.0, length_ps, why=why)
    if (results / "equilibrated.extxyz").is_file():
        return RunStatus(run, "ready", 0.0, length_ps)
    begun = (Path(campaign.work) / "logs" / run.folder / "equilibrate.log").is_file()
    return RunStatus(run, "equilibrating" if begun else "waiting", 0.0, length_ps)


@dataclass(frozen=True, order=True)
class _Checkpoint:
    written_s: float
    step: int
    folder: Path


def _checkpoints(work: Path) -> list[_Checkpoint]:
    """Checkpoints of a run by age; a running one deletes its old ones meanwhile."""
    found = []
    for path in work.glob("production-*/checkpoint-*.bin"):
        with suppress(FileNotFoundError):
            written_s = path.stat().st_mtime
            found.append(_Checkpoint(written_s, int(path.stem.split("-")[1]), path.parent))
    return sorted(found)


def _newer(points: Sequence[_Checkpoint], record: Path) -> bool:
    """Whether a run goes on beyond what its record says."""
    return bool(points) and points[-1].written_s > record.stat().st_mtime


def _done(run: Run, results: Path) -> RunStatus:
    record = read_json(results / "run.json")
    verdict, D, error = str(record["verdict"]), None, None
    transport = results / "transport.json"
    if transport.is_file():
        analysed = read_json(transport)
        verdict = str(analysed["verdict"])
        D = analysed.get("D_tracer_cm2_per_s")
        error = analysed.get("D_tracer_error_cm2_per_s")
    length_ps = float(record["length_ps"])
    speed = float(record["ns_per_day"])
    return RunStatus(run, "done", length_ps, length_ps, speed, verdict, "", D, error)


def _progress(points: Sequence[_Checkpoint], timestep_fs: float) -> tuple[float, float | None]:
    """Picoseconds done and ns a day, by the last two checkpoints."""
    last = points[-1]
    done_ps = last.step * timestep_fs / 1000
    before = [point for point in points[:-1] if point.folder == last.folder]
    if not before or last.written_s <= before[-1].written_s:
        return done_ps, None
    steps, took_s = last.step - before[-1].step, last.written_s - before[-1].written_s
    return done_ps, steps * timestep_fs * 1e-6 / took_s * 86400


def _error_in(logs: Path) -> str:
    """The error that the last of a run's logs ends with, if any."""
    for name in ("diffusion.log", "dynamics.log", "equilibrate.log"):
        path = logs / name
        if path.is_file():
            lines = path.read_text(errors="replace").strip().splitlines()
            found = [line for line in lines[-3:] if line.startswith(_ERROR)]
            return found[-1].removeprefix(_ERROR) if found else ""
    return ""


def status_table(campaign: Campaign, found: Sequence[RunStatus]) -> Table:
    """One row for every material and temperature."""
    table = Table(title=f"{campaign.campaign}: {_total(campaign, found)}", title_justify="left")
    for name in ("material", "T, K", "runs", "ps", "ns/day", "left", "D, cm²/s (95 %)", "verdicts"):
        table.add_column(name, justify="left" if name in ("material", "verdicts") else "right")
    for material in campaign.materials:
        mine = [status for status in found if status.run.material == material.folder]
        if not mine:
            table.add_row(material.folder, _looked_for(campaign, material), *[""] * 6)
        for temperature in sorted({status.run.temperature_K for status in mine}):
            there = [status for status in mine if status.run.temperature_K == temperature]
            table.add_row(material.folder, f"{temperature:g}", *_cells(there))
        table.add_section()
    return table


def failures(found: Sequence[RunStatus]) -> list[str]:
    """A line for every run that failed."""
    return [f"{status.run.folder}: {status.why}" for status in found if status.state == "failed"]


def _total(campaign: Campaign, found: Sequence[RunStatus]) -> str:
    asked = sum(n_runs(campaign, material) for material in campaign.materials)
    counted = Counter(status.state for status in found)
    counted["waiting"] += asked - len(found)
    return f"{asked} runs: " + ", ".join(f"{counted[s]} {s}" for s in STATES if counted[s])


def _looked_for(campaign: Campaign, material: Material) -> str:
    there = chosen_file(campaign, material.folder).is_file()
    return "" if there else "auto"


def _cells(there: Sequence[RunStatus]) -> list[str]:
    counted = Counter(status.state for status in there)
    states = ", ".join(f"{counted[state]} {state}" for state in STATES if counted[state])
    done, asked = (sum(getattr(s, key) for s in there) for key in ("done_ps", "length_ps"))
    running = [status for status in there if status.state == "running"]
    speed = sum(status.ns_per_day or 0.0 for status in running)
    left = [status.left_s for status in running if status.left_s is not None]
    verdicts = Counter(status.verdict for status in there if status.verdict)
    return [
        states,
        f"{done:.0f} of {asked:.0f}",
        f"{speed:.1f}" if speed else "",
        _duration(max(left)) if left else "",
        _diffusivity(there),
        ", ".join(f"{number} {name}" for name, number in verdicts.items()),
    ]


def _diffusivity(there: Sequence[RunStatus]) -> str:
    """Mean over the converged runs, and twice its error."""
    pairs = [
        (s.D_cm2_per_s, s.D_error_cm2_per_s)
        for s in there
        if s.verdict == "converged" and s.D_cm2_per_s and s.D_error_cm2_per_s
    ]
    if not pairs:
        return ""
    mean = sum(D for D, _ in pairs) / len(pairs)
    off = 1.96 * math.sqrt(sum(error**2 for _, error in pairs)) / len(pairs)
    return f"{mean:.2e} ± {off:.0e}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d}" if minutes < 2880 else f"{minutes / 1440:.1f} d"
