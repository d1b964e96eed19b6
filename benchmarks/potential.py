"""The same MD by the native evaluator, by mace-torch's own calculator and by the teacher.

    python benchmarks/potential.py [STRUCTURE] [--potential NAME] [--steps 200] [--foundation]
                                   [--teacher-python .venv-teacher/bin/python]

One thread each, in turn, in this one call: energy and forces at moving positions through each one's
own ASE calculator, under the same ASE Bussi integrator. Prints milliseconds a step, ns a day, and
the ratio to the native evaluator. `--foundation` adds a MACE of the shape of MACE-MP "medium"
(128x0e + 128x1o, r_max 6 Å; random weights, which cost as much as fitted ones); `--teacher-python`
the teacher, SevenNet-l3i5 with D3, in its own environment (`make teacher`): by its makers'
calculator, and by training/quick_sevennet.py, which labels for `halmd distill`.
"""

import argparse
import json
import os
import subprocess
import sys
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

TIMESTEP_FS = 2.0
TEACHER = "7net-l3i5"
QUICK = Path(__file__).resolve().parent.parent / "training"


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


def native(name: str, atoms: Atoms, steps: int, folder: Path) -> float:
    """Milliseconds per step by the native evaluator."""
    from halmd.potentials.evaluators import load
    from halmd.potentials.potential import prepare_potential

    record = prepare_potential(name, evaluator="native", folder=folder)
    return milliseconds_per_step(atoms, load(record).calculator, steps)


def by_torch(model: Path, dtype: str, atoms: Atoms, steps: int) -> float:
    """Milliseconds per step by mace-torch's own ASE calculator."""
    import torch

    from halmd.potentials.evaluators import torch_calculator

    torch.set_num_threads(1)
    return milliseconds_per_step(atoms, torch_calculator(model, dtype=dtype), steps)


def foundation_model(elements: list[int], path: Path) -> None:
    """A MACE of the shape of MACE-MP "medium" with random weights."""
    import torch
    from e3nn import o3
    from mace import modules

    torch.manual_seed(0)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps("128x0e + 128x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(elements)),
        avg_num_neighbors=40.0,
        atomic_numbers=elements,
        correlation=3,
        gate=torch.nn.functional.silu,
        # Gentle forces: the cost does not depend on them, the motion must stay whole.
        atomic_inter_scale=0.01,
        atomic_inter_shift=0.0,
    )
    torch.save(model, path)


def by_teacher(python: Path, kind: str, atoms: Atoms, steps: int, scratch: Path) -> float:
    """Milliseconds per step by the teacher in its own environment; kind is `plain` or `quick`."""
    ase.io.write(scratch / "atoms.extxyz", atoms, format="extxyz")
    command = [str(python), __file__, str(scratch / "atoms.extxyz"), "--steps", str(steps)]
    command += ["--as-teacher", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python}: the teacher does not run:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def as_teacher(kind: str, atoms: Atoms, steps: int) -> float:
    """Runs in the teacher's environment."""
    import torch
    from ase.calculators.mixing import SumCalculator
    from dftd3.ase import DFTD3

    torch.set_num_threads(1)
    if kind == "quick":
        sys.path.insert(0, str(QUICK))
        from quick_sevennet import calculator

        teacher = calculator(model=TEACHER)
    else:
        from sevenn.calculator import SevenNetCalculator

        teacher = SevenNetCalculator(TEACHER, device="cpu")
    both = SumCalculator([teacher, DFTD3(method="PBE", damping="d3bj")])
    return milliseconds_per_step(atoms, both, steps)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structure", nargs="?", type=Path)
    parser.add_argument("--potential", help="a shipped name or the path of a .model")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--foundation", action="store_true")
    parser.add_argument("--teacher-python", type=Path)
    parser.add_argument("--as-teacher", choices=("plain", "quick"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    atoms = ase.io.read(arguments.structure) if arguments.structure else default_structure()
    steps = arguments.steps
    if arguments.as_teacher:
        print(json.dumps(as_teacher(arguments.as_teacher, atoms, steps)))
        return

    from halmd.potentials.registry import find, shipped_names

    name = arguments.potential or shipped_names()[0]
    model = find(name).model
    if model is None:
        raise SystemExit("give a shipped potential or the path of a .model")
    print(f"{len(atoms)} atoms, {name}, one thread, {TIMESTEP_FS:g} fs", flush=True)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        own = native(name, atoms, 5 * steps, folder / "potential")
        show("native, float32", own, own)
        for dtype in ("float32", "float64"):
            show(f"mace-torch, {dtype}", by_torch(model, dtype, atoms, steps), own)
        if arguments.teacher_python:
            few = max(5, steps // 20)
            for kind, label in (("plain", "teacher"), ("quick", "teacher, quick")):
                took = by_teacher(arguments.teacher_python, kind, atoms, few, folder)
                show(label, took, own)
        if arguments.foundation:
            path = folder / "foundation.model"
            foundation_model(sorted(set(atoms.numbers.tolist())), path)
            large = native(str(path), atoms, steps, folder / "foundation")
            show("128x0e+128x1o native", large, large)
            few = max(5, steps // 5)
            show("128x0e+128x1o mace-torch", by_torch(path, "float32", atoms, few), large)


def show(label: str, step_ms: float, native_ms: float) -> None:
    """One row: milliseconds a step, ns a day, and how often the native evaluator would do it."""
    per_day = 86400 / (step_ms / 1000) * TIMESTEP_FS * 1e-6
    ratio = step_ms / native_ms
    print(
        f"{label:25s} {step_ms:9.2f} ms/step {per_day:8.3f} ns/day  ratio {ratio:6.1f}", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
