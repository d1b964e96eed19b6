"""A campaign on a real Slurm: jobs are killed in every way a cluster knows, and nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import slurm
from campaigns import HERE, ON_SLURM, campaign, snakemake

from halmd.files import read_json
from halmd.trajectory import read_trajectory

PATIENCE_S = 780.0
LENGTH_PS = 12.0

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(slurm.why_not()), reason=slurm.why_not()),
]

HANGING = """\
'''The toy potential, which hangs in the first equilibration at 900 K: a job that never ends.'''
import sys, time
from toy import ions as make

def ions():
    if "equilibrate" in sys.argv and "900" in sys.argv:
        try:
            open("hung", "x").close()
            time.sleep(600)
        except FileExistsError:
            pass
    return make()
"""


def hanging(folder: Path) -> None:
    """Two runs of half a minute with the toy potential."""
    campaign(
        folder,
        HANGING,
        temperatures_K=[700, 900],
        production_ps=LENGTH_PS,
        checkpoint_interval_ps=0.4,
    )


class Watch:
    """Looks at the campaign while it runs: whatever output exists is whole."""

    def __init__(self, folder: Path, cluster: slurm.Slurm, process: subprocess.Popen[str]):
        self.folder, self.cluster, self.process = folder, cluster, process
        self.until = time.monotonic() + PATIENCE_S
        self.events: list[str] = []

    def log(self) -> str:
        return (self.folder / "snakemake.log").read_text()

    def wait(self, what: str, found: Any) -> Any:
        """Look every half second until something is found."""
        while not (value := found()):
            assert self.process.poll() is None, f"ended before {what}:\n{self.log()[-4000:]}"
            assert time.monotonic() < self.until, f"no {what}:\n{self.log()[-4000:]}"
            self.whole()
            time.sleep(0.5)
        self.events.append(what)
        return value

    def whole(self) -> None:
        for path in self.folder.glob("results/*/*/*/*/trajectory.h5"):
            assert read_trajectory(path).time_ps[-1] == pytest.approx(LENGTH_PS)

    def production(self, temperature: str, *, but: int = 0) -> Callable[[], tuple[str, int] | None]:
        """Looks for a process of the production at a temperature that goes on, and its job.

        It has left a checkpoint since it was first seen: what is killed then has been a start.
        """
        first_seen: dict[int, str] = {}

        def look() -> tuple[str, int] | None:
            reached = self.newest(temperature)
            for pid in self.processes(temperature.removesuffix("K")):
                goes_on = reached > first_seen.setdefault(pid, reached)
                for job, log in self.cluster.jobs().items() if goes_on and pid != but else ():
                    if f"rule_dynamics/Li3YCl6_00_{temperature}_0" in log:
                        return job, pid
            return None

        return look

    def processes(self, temperature_K: str) -> Iterator[int]:
        """Processes of `halmd dynamics` in this folder, at a temperature."""
        for status in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (status / "cmdline").read_bytes().decode().split("\0")
                ours = "dynamics" in words and any(word.endswith("halmd") for word in words)
                if ours and temperature_K in words and (status / "cwd").resolve() == self.folder:
                    yield int(status.name)

    def newest(self, temperature: str) -> str:
        """The newest checkpoint of the run at a temperature."""
        pattern = f"work/*/00/{temperature}/r0/production-*/checkpoint-*.bin"
        return max((path.name for path in self.folder.glob(pattern)), default="")


def test_jobs_killed_in_every_way_lose_nothing(tmp_path: Path, cluster: slurm.Slurm) -> None:
    here, local = tmp_path / "slurm", tmp_path / "local"
    hanging(here)
    hanging(local)
    (local / "hung").touch()
    process = snakemake(
        here,
        "trajectories",
        *ON_SLURM,
        # One minute is the shortest that Slurm kills after.
        *("--set-resources", "equilibrate:runtime=attempt"),
    )
    running = [process]
    watch = Watch(here, cluster, process)
    try:
        job, pid = watch.wait("700 K runs, for scancel", watch.production("700K"))
        cluster.ask("scancel", job)
        again = watch.production("700K", but=pid)
        _, pid = watch.wait("700 K goes on, for kill -9", again)
        os.kill(pid, signal.SIGKILL)
        # That one hung until Slurm killed it at its limit.
        job, _ = watch.wait("900 K runs, for a node that goes down", watch.production("900K"))
        # Its jobs are lost and queued again, to begin in two minutes; it comes back by itself.
        lost = ("state=down", "reason=test")
        cluster.ask("scontrol", "update", f"nodename={cluster.node}", *lost)
        # While it is away the cores are free; before, runs that wait for one end unseen.
        judge = snakemake(local, "trajectories", *HERE)
        running.append(judge)
        while process.poll() is None:
            assert time.monotonic() < watch.until, watch.log()[-4000:]
            watch.whole()
            time.sleep(0.5)
    finally:
        for each in running:
            if each.poll() is None and sys.exc_info()[0]:
                each.kill()
    assert process.returncode == 0, watch.log()[-4000:]
    assert judge.wait(timeout=PATIENCE_S) == 0, (local / "snakemake.log").read_text()[-4000:]
    assert "TIMEOUT" in watch.log()
    for temperature in ("700K", "900K"):
        run = Path("results") / "Li3YCl6" / "00" / temperature / "r0"
        one, other = (read_trajectory(folder / run / "trajectory.h5") for folder in (here, local))
        assert one.positions_A.tobytes() == other.positions_A.tobytes()
        assert all(one.thermo[key].tobytes() == other.thermo[key].tobytes() for key in one.thermo)
        starts = read_json(here / run / "run.json")["starts"]
        assert starts >= (3 if temperature == "700K" else 2)
        watch.events.append(f"{starts} starts at {temperature}")
    print("", *watch.events, sep="\n")
