"""The same MD by the native evaluator and by mace-torch's own ASE calculator, side by side.

    python benchmarks/evaluators.py [STRUCTURE] [--potential NAME] [--steps 200]

One thread each, in turn, in this one call: energy and forces at moving positions through each one's
own ASE calculator, under the same ASE Bussi integrator. Prints milliseconds a step, ns a day, and
the ratio.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from halmd.potentials.evaluators import load, torch_calculator
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import find, shipped_names

TIMESTEP_FS = 2.0


def default_structure() -> Atoms:
    """Without a structure: 64 atoms of rocksalt LiCl, which has the density of the halides."""
    return bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat(2)


def milliseconds_per_step(atoms: Atoms, calculator: Any, steps: int) -> float:
    """Median over five blocks of `steps / 5` steps, after a warm-up."""
    atoms = atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=rng)
    dynamics = Bussi(atoms, TIMESTEP_FS * units.fs, 600, 1000 * units.fs, rng=rng)
    dynamics.run(5)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        dynamics.run(max(1, steps // 5))
        times.append((time.perf_counter() - start) / max(1, steps // 5))
    return 1000 * float(np.median(times))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structure", nargs="?", type=Path)
    parser.add_argument("--potential", default=shipped_names()[0])
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    atoms = ase.io.read(arguments.structure) if arguments.structure else default_structure()

    with TemporaryDirectory() as scratch:
        record = prepare_potential(
            arguments.potential, evaluator="native", folder=Path(scratch) / "potential"
        )
        native = milliseconds_per_step(atoms, load(record).calculator, 5 * arguments.steps)
    import torch

    torch.set_num_threads(1)
    model = find(arguments.potential).model
    if model is None:
        raise SystemExit("give a shipped potential or the path of a .model")
    rows = {"native, float32": native}
    for dtype in ("float32", "float64"):
        rows[f"mace-torch, {dtype}"] = milliseconds_per_step(
            atoms, torch_calculator(model, dtype=dtype), arguments.steps
        )
    print(f"{len(atoms)} atoms, {arguments.potential}, one thread, {TIMESTEP_FS:g} fs")
    for label, step in rows.items():
        per_day = 86400 / (step / 1000) * TIMESTEP_FS * 1e-6
        print(f"{label:22s} {step:8.2f} ms/step {per_day:8.2f} ns/day  ratio {step / native:5.1f}")


if __name__ == "__main__":
    main()
