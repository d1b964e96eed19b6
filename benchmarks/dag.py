"""How long Snakemake plans a campaign of many materials: seconds and memory of a dry run.

    python benchmarks/dag.py [--materials 10 100 1000]

Every material is one of the review's compositions under a name of its own, with two orderings and
four temperatures: 26 jobs each. Timed from the start of Python, to the table of jobs that Snakemake
prints when it knows them all (`planned`) and to the last line; between the two a dry run writes out
the commands of every job, which a campaign does as it goes.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

REPOSITORY = Path(__file__).parents[1]
FORMULAS = ("Li3YCl6", "Li3InCl6", "Li3ErCl6", "Li3YBr6", "Li2ZrCl6", "Li2.5Y0.5Zr0.5Cl6")


def dry_run(folder: Path, n_materials: int) -> tuple[int, float, float, float]:
    """Jobs, seconds to the plan and to the end, and the largest memory so far of a process (MB)."""
    materials = [
        {"formula": formula, "name": f"material-{number:04d}"}
        for number, formula in enumerate(FORMULAS * (n_materials // len(FORMULAS) + 1))
    ]
    campaign = {
        "potential": "halmd-halide-1",
        "materials": materials[:n_materials],
        "structure": {"n_orderings": 2},
        "dynamics": {"temperatures_K": [450, 500, 560, 640]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(campaign))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    jobs, planned_s, lines = 0, 0.0, []
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--dry-run", "--quiet", "rules", "--cores", "1"],
        cwd=folder,
        env=os.environ
        | {"HALMD_STRUCTURES": str(REPOSITORY / "structures"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line)
            if not jobs and (found := re.match(r"total\s+(\d+)", line)):
                jobs, planned_s = int(found.group(1)), time.perf_counter() - began
    seconds = time.perf_counter() - began
    if running.returncode or not jobs:
        raise SystemExit("".join(lines)[-2000:])
    memory_MB = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return jobs, planned_s, seconds, memory_MB


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--materials", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    print(f"{'materials':>9} {'jobs':>7} {'planned/s':>10} {'all/s':>7} {'ms a job':>9} {'MB':>6}")
    for number in arguments.materials:
        with TemporaryDirectory() as folder:
            jobs, planned_s, seconds, memory_MB = dry_run(Path(folder), number)
        per_job = 1000 * planned_s / jobs
        print(
            f"{number:9d} {jobs:7d} {planned_s:10.1f} {seconds:7.1f} {per_job:9.2f} "
            f"{memory_MB:6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
