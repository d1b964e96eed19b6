"""A batch on a real Slurm: it alone asks for a GPU, and a cancelled one goes on where it was."""

import time
from pathlib import Path
from typing import Any

import pytest
import slurm
from campaigns import HERE, ON_SLURM, campaign, snakemake

from halmd.files import read_json

PATIENCE_S = 240.0

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(slurm.why_not()), reason=slurm.why_not()),
]

RUN = "Li3YCl6/00/700K/r0"
BATCH = "work/Li3YCl6/batch.json"
TELLING = """\
'''The toy potential, which writes down what jobs on the cluster see of its GPUs.'''
import os
from toy import ions as make

def ions():
    if "SLURM_JOB_ID" in os.environ:
        with open("seen", "a") as file:
            file.write(os.environ.get("CUDA_VISIBLE_DEVICES", "none") + "\\n")
    return make()
"""


def soon(what: str, found: Any, log: Path) -> Any:
    """Look every fifth of a second until something is found."""
    until = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < until, f"no {what}:\n{log.read_text()[-4000:]}"
        time.sleep(0.2)
    return value


def finish(folder: Path, *targets: str) -> None:
    """Make targets on this machine, without the cluster."""
    process = snakemake(folder, *targets, *HERE)
    code = process.wait(timeout=PATIENCE_S)
    assert code == 0, (folder / "snakemake.log").read_text()[-4000:]


def test_a_cancelled_batch_goes_on_with_a_gpu(tmp_path: Path, cluster: slurm.Slurm) -> None:
    here = tmp_path / "campaign"
    campaign(
        here,
        TELLING,
        engine="batched",
        temperatures_K=[700],
        equilibration_ps=0.2,
        production_ps=4,
        checkpoint_interval_ps=0.4,
    )
    # Snakemake asks for jobs every ten seconds and more: only the batch itself is worth the wait.
    finish(here, "work/potential/potential.json", "results/Li3YCl6/orderings/00.extxyz")
    process = snakemake(here, BATCH, *ON_SLURM)
    log = here / "snakemake.log"
    try:
        checkpoints = f"work/{RUN}/production-*/checkpoint-*.bin"
        soon("checkpoint", lambda: list(here.glob(checkpoints)), log)
        # Snakemake names the logs of jobs after their rules.
        (job,) = (job for job, path in cluster.jobs().items() if "rule_batch" in path)
        cluster.ask("scancel", job)
        assert not (here / BATCH).exists()
        soon("end", lambda: process.poll() is not None, log)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 0, log.read_text()[-4000:]
    # Each of the two jobs had one of the node's two GPUs.
    seen = (here / "seen").read_text().split()
    assert len(seen) == 2
    assert set(seen) <= {"0", "1"}
    finish(here, "trajectories")
    record = read_json(here / "results" / RUN / "run.json")
    # The second job went on from the first's checkpoint; what writes the run down is a start too.
    assert (record["length_ps"], record["starts"]) == (4.0, 3)
