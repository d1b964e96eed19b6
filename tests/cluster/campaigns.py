"""Campaigns of the toy potential, and Snakemake to run them on the cluster or here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
TINY = REPOSITORY / "tests" / "workflow"
ON_SLURM = (
    *("--workflow-profile", str(REPOSITORY / "workflow" / "profiles" / "slurm")),
    *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"),
)
HERE = ("--cores", "1")


def campaign(folder: Path, potential: str, **dynamics: object) -> None:
    """A folder with the tiny campaign: one ordering, and a potential whose source is given.

    The source makes `ions()` of the module `given`; it may import the toy potential.
    """
    folder.mkdir()
    shutil.copy(TINY / "toy.py", folder)
    (folder / "given.py").write_text(potential)
    record = yaml.safe_load((TINY / "tiny.yaml").read_text())
    record["potential"] = "given:ions"
    record["structure"]["n_orderings"] = 1
    record["dynamics"] |= dynamics
    (folder / "config.yaml").write_text(yaml.safe_dump(record))


def snakemake(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Snakemake in a folder, its output in snakemake.log."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HALMD_STRUCTURES": str(REPOSITORY / "structures"),
    }
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    with (folder / "snakemake.log").open("w") as log:
        return subprocess.Popen(
            [*command, *options], cwd=folder, env=environment, stdout=log, stderr=log, text=True
        )
