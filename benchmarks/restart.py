"""Kill a run at random moments and compare what comes out with an uninterrupted one, bit for bit.

    python benchmarks/restart.py potential.json equilibrated.extxyz [--kills 20] [--engine ase]

Both are files of a campaign (work/potential/, results/MATERIAL/ORDERING/TEMPERATURE/r0/). Every
start of `halmd dynamics` gets SIGKILL at a moment drawn at random, then the next goes on from the
last checkpoint. Prints a line for each kill, and whether positions, times and energies are equal.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from halmd.trajectory import Trajectory, read_trajectory

CHECKPOINT_PS = 0.5


def started(arguments: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    """One start of the run in a folder."""
    files = ["--output", folder / "run.h5", "--record", folder / "run.json"]
    command = [sys.executable, "-m", "halmd.cli", "dynamics", arguments.start, *files]
    command += ["--potential", arguments.potential, "--scratch", folder / "scratch"]
    command += ["--temperature-K", arguments.temperature_K, "--production-ps", arguments.ps]
    command += ["--checkpoint-interval-ps", CHECKPOINT_PS, "--engine", arguments.engine]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def checkpoint_ps(folder: Path) -> float:
    """Where the newest checkpoint stands (steps of 2 fs)."""
    names = [path.stem for path in folder.rglob("checkpoint-*.bin")]
    return max((int(name.split("-")[1]) for name in names), default=0) * 0.002


def same(one: Trajectory, other: Trajectory) -> bool:
    """Whether all numbers are."""
    return (
        one.positions_A.tobytes() == other.positions_A.tobytes()
        and one.time_ps.tobytes() == other.time_ps.tobytes()
        and all(one.thermo[name].tobytes() == other.thermo[name].tobytes() for name in one.thermo)
    )


def main() -> int:
    """Command line; 1 where the two differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("potential", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("--temperature-K", type=float, default=700.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--ps", type=float, default=60.0)
    parser.add_argument("--engine", default="lean")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    with TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        began = time.perf_counter()
        if started(arguments, whole).wait():
            raise SystemExit("the uninterrupted run failed; call `halmd dynamics` by hand")
        whole_s = time.perf_counter() - began
        print(f"engine {arguments.engine}, uninterrupted: {arguments.ps:g} ps in {whole_s:.0f} s")
        print(f"seed {arguments.seed}; kill, after (s), checkpoint it goes on from (ps)")
        kills = 0
        while kills < arguments.kills:
            process = started(arguments, killed)
            after_s = rng.uniform(0.1, 2.5 * whole_s / arguments.kills) + 1.0
            time.sleep(after_s)
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            print(f"{kills:4d} {after_s:8.2f} {checkpoint_ps(killed):8.1f}", flush=True)
        if started(arguments, killed).wait():
            raise SystemExit("the continued run failed")
        equal = same(*(read_trajectory(folder / "run.h5") for folder in (whole, killed)))
    print(f"{kills} kills; trajectories are {'identical' if equal else 'DIFFERENT'}, bit for bit")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
