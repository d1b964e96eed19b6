"""What runs of adaptive length save: a campaign whose runs end when their diffusivity is certain.

    python benchmarks/adaptive.py [FOLDER] [--potential NAME] [--target 0.2] [--max-ps 500]

Runs Li3YCl6 at four temperatures through the workflow on two cores, in FOLDER (kept, and gone on
from) or a temporary one. Prints every run's length and its error where it ended, and the molecular
dynamics that two guesses without looks would have cost: all runs as long as allowed, and all as
long as the longest had to be.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
TEMPERATURES_K = [500, 560, 630, 700]


def run_campaign(folder: Path, potential: str, target: float, max_ps: float) -> None:
    """`halmd run` on two cores; a finished campaign takes seconds."""
    record = {
        "potential": potential,
        "materials": [{"formula": "Li3YCl6", "prototype": "Li3YCl6_P-3m1_M2M3"}],
        "structure": {"n_orderings": 1, "min_length_A": 9.5, "ordering_temperature_K": 800},
        "dynamics": {
            "temperatures_K": TEMPERATURES_K,
            "equilibration_ps": 12,
            "target_relative_error": target,
            "min_ps": 20,
            "max_ps": max_ps,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(record))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    snakefile = ("--snakefile", str(REPOSITORY / "Snakefile"))
    subprocess.run(
        [sys.executable, "-m", "halmd.cli", "run", "config.yaml", "--cores", "2", *snakefile],
        cwd=folder,
        env=os.environ | {"PATH": path, "HALMD_STRUCTURES": str(REPOSITORY / "structures")},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def row(record: dict[str, Any]) -> tuple[str, float, int]:
    """A line of the table, the length in ps, and how often the run was looked at."""
    looks = record["looks"]
    last = looks[-1]
    lengths = ", ".join(f"{look['length_ps']:g}" for look in looks)
    error = last["relative_error"]
    text = (
        f"{record['temperature_K']:5g} {last['length_ps']:8g} "
        f"{'unknown' if error is None else f'{error:.3f}':>9} "
        f"{last['n_effective_jumps']:7.0f}   {lengths}"
    )
    return text, float(last["length_ps"]), len(looks)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--potential", default="halmd-liycl-1")
    parser.add_argument("--target", type=float, default=0.2)
    parser.add_argument("--max-ps", type=float, default=500.0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run_campaign(folder, arguments.potential, arguments.target, arguments.max_ps)
        files = sorted(folder.glob("results/*/*/*/*/run.json"))
        records = [json.loads(path.read_text()) for path in files]
    rows = [row(record) for record in sorted(records, key=lambda r: r["temperature_K"])]
    print(f"target: D within {arguments.target:.0%}; at most {arguments.max_ps:g} ps")
    print("  T/K   ran/ps  error/D   jumps   looked at after (ps)")
    for text, _, _ in rows:
        print(text)
    lengths = [length for _, length, _ in rows]
    total = sum(lengths)
    for name, guess in (("the longest", max(lengths)), ("the most", arguments.max_ps)):
        fixed = guess * len(lengths)
        print(
            f"all {len(lengths)} runs as long as {name}: {fixed:g} ps; these took {total:g} ps "
            f"({1 - total / fixed:.0%} saved)"
        )


if __name__ == "__main__":
    main()
