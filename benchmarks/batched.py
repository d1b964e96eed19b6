"""Many cells at once: steps of the batched engine beside TorchSim and one run after the other.

    python benchmarks/batched.py [--potential NAME] [--replicas 1 8 32] [--torchsim PYTHON]

Replicas of one cell of about so many atoms, at 600 K, 2 fs; on a GPU where mace-torch has one.
`native` and `torch` are halmd's batched engine on either evaluator, integrator and thermostat
included; `ASE` is ASE's Bussi with mace-torch's own calculator, one cell after the other (timed for
one, and multiplied); `TorchSim` its velocity rescaling with mace-torch, in the environment of the
interpreter named (`make torchsim`). Atom-steps a second, and on a GPU the peak of its memory.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi

from dynamics import TEMPERATURE_K, TIMESTEP_FS, crystal
from halmd.dynamics.lean import at_rest_as_a_whole
from halmd.dynamics.moving import Moving, advance
from halmd.files import read_json
from halmd.potentials.evaluators import load, torch_calculator
from halmd.potentials.many import Many, NativeMany, TorchMany, cell_of
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import shipped_names

BLOCKS = 3


def seconds(run: Callable[[], Any]) -> float:
    """Median of some blocks, after one that is not counted."""
    times = []
    for _ in range(BLOCKS + 1):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


def batched(atoms: Atoms, many: Many, replicas: int, steps: int) -> float:
    """Seconds of a step of all replicas."""
    moving = []
    for seed in range(replicas):
        rng = np.random.default_rng(seed)
        at_rest_as_a_whole(atoms, TEMPERATURE_K, rng)
        moving.append(
            Moving(
                cell_of(atoms),
                atoms.get_velocities(),
                atoms.get_masses(),
                temperature_K=TEMPERATURE_K,
                timestep_fs=TIMESTEP_FS,
                thermostat_time_fs=1000.0,
                rng=rng,
            )
        )

    def run() -> None:
        for each in moving:
            each.draw(steps)
        advance(moving, steps, many)

    return seconds(run) / steps


def one_by_one(atoms: Atoms, calculator: Any, steps: int) -> float:
    """Seconds of a step of one cell by ASE."""
    rng = np.random.default_rng(0)
    atoms = atoms.copy()
    at_rest_as_a_whole(atoms, TEMPERATURE_K, rng)
    atoms.calc = calculator
    dynamics = Bussi(atoms, TIMESTEP_FS * units.fs, TEMPERATURE_K, 1000 * units.fs, rng=rng)
    return seconds(lambda: dynamics.run(steps)) / steps


def by_torchsim(python: str, model: Path, atoms: Atoms, replicas: int, steps: int) -> float:
    """Seconds of a step of all replicas by TorchSim, in its own environment."""
    with TemporaryDirectory() as folder:
        structure = Path(folder) / "cell.extxyz"
        ase.io.write(structure, atoms)
        script = Path(__file__).with_name("torchsim_steps.py")
        command = [python, str(script), str(model), str(structure), str(replicas), str(steps)]
        environment = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"TorchSim: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds_per_step"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default=shipped_names()[0])
    parser.add_argument("--atoms", type=int, default=64)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--torchsim", help="interpreter of TorchSim's environment")
    arguments = parser.parse_args()
    atoms = crystal(arguments.atoms)
    with TemporaryDirectory() as scratch:
        record = prepare_potential(arguments.potential, evaluator="native", folder=Path(scratch))
        model = Path(read_json(record)["model_file"])
        loaded = load(record)
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        calculator = torch_calculator(model, device=device)
        native, by_torch = NativeMany(loaded.calculator), TorchMany(calculator)
        alone_s = one_by_one(atoms, calculator, arguments.steps)
        where = torch.cuda.get_device_name() if device == "cuda" else "one thread"
        print(f"{arguments.potential}, {len(atoms)} atoms a cell, torch on {where}")
        print("native on", loaded.device)
        print("atom-steps a second; what halmd takes of the better evaluator over the others")
        print(
            f"{'replicas':>8} {'native':>10} {'torch':>10} {'TorchSim':>10} {'ASE':>10}   "
            "over TorchSim  over ASE"
        )
        for replicas in arguments.replicas:
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            found = {
                "native": batched(atoms, native, replicas, arguments.steps),
                "torch": batched(atoms, by_torch, replicas, arguments.steps),
                "TorchSim": by_torchsim(arguments.torchsim, model, atoms, replicas, arguments.steps)
                if arguments.torchsim
                else float("nan"),
                "ASE": alone_s * replicas,
            }
            best = min(found["native"], found["torch"])
            rates = " ".join(f"{len(atoms) * replicas / s:10.0f}" for s in found.values())
            peak = (
                f"  {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device == "cuda" else ""
            )
            print(
                f"{replicas:8d} {rates}   {found['TorchSim'] / best:13.2f} "
                f"{found['ASE'] / best:9.2f}{peak}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
