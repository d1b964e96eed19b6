"""A step of halmd's molecular dynamics beside the same by others: one potential, cell and thread.

    python benchmarks/dynamics.py [--potential NAME] [--atoms 60 120 240 480] [--torch]
                                  [--janus PYTHON]

`bare` is the native call alone at moving positions; `lean` the default engine with its thermostat;
`ASE` is ASE's Bussi with the packaged native calculator; `--torch` adds ASE's Bussi with
mace-torch's own calculator (float32, a tenth of the steps), `--janus` janus-core's MD on the same,
in the environment of the interpreter named (`make janus`). Cells are rocksalt with some yttrium.
All in turn, in this one call: milliseconds a step, ratios, and ns/day of the lean engine.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.bussi import Bussi

from halmd.dynamics.lean import Motion, Rescaling, at_rest_as_a_whole, forces_of
from halmd.files import read_json
from halmd.potentials.evaluators import load, torch_calculator
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import shipped_names

TEMPERATURE_K, TIMESTEP_FS = 600.0, 2.0


def crystal(n_atoms: int) -> Atoms:
    """Rocksalt LiCl of about so many atoms, at the density of the halides, a tenth of Li as Y."""
    cubes = max(1, round((n_atoms / 8) ** (1 / 3)))
    atoms = bulk("LiCl", "rocksalt", a=5.6, cubic=True).repeat(
        (cubes, cubes, max(1, round(n_atoms / 8 / cubes**2)))
    )
    lithium = np.flatnonzero(atoms.symbols == "Li")
    atoms.symbols[lithium[:: max(1, len(lithium) // max(1, len(atoms) // 20))]] = "Y"
    return atoms


def milliseconds(run: Callable[[int], None], steps: int) -> float:
    """Median over five blocks of a fifth of the steps, after a warm-up."""
    run(10)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        run(steps // 5)
        times.append((time.perf_counter() - began) / (steps // 5))
    return 1000 * float(np.median(times))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default=shipped_names()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--atoms", type=int, nargs="+", default=[60, 120, 240, 480])
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--janus", help="interpreter of janus-core's environment")
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        record = prepare_potential(arguments.potential, evaluator="native", folder=Path(scratch))
        calculator = load(record).calculator
        model = Path(read_json(record)["model_file"])
        torch = torch_calculator(model) if arguments.torch else None
        print(f"{arguments.potential}, one thread, {TIMESTEP_FS:g} fs; milliseconds a step")
        print(
            f"{'atoms':>6} {'bare':>8} {'lean':>8} {'ASE':>8} {'torch':>8} {'janus':>8}   "
            f"lean/bare ASE/lean torch/lean janus/lean  ns/day"
        )
        for wanted in arguments.atoms:
            by_janus = janus_step(arguments.janus, model, crystal(wanted), arguments.steps)
            compare(crystal(wanted), calculator, torch, by_janus, arguments.steps)


def compare(atoms: Atoms, calculator: Any, torch: Any, by_janus: float, steps: int) -> None:
    """One row."""
    rng = np.random.default_rng(0)
    at_rest_as_a_whole(atoms, TEMPERATURE_K, rng)
    thermostat = Rescaling(
        atoms.get_masses(),
        temperature_K=TEMPERATURE_K,
        time_fs=1000.0,
        timestep_fs=TIMESTEP_FS,
        rng=rng,
    )
    motion = Motion(atoms, calculator, timestep_fs=TIMESTEP_FS, thermostat=thermostat)
    lean = milliseconds(motion.run, steps)
    forces, positions = forces_of(atoms, calculator), atoms.positions.copy()

    def bare(count: int) -> None:
        for number in range(count):
            forces(positions + 1e-3 * (number % 2))

    alone = milliseconds(bare, steps)
    by_ase = ase_step(atoms, calculator, steps, rng)
    by_torch = ase_step(atoms, torch, max(25, steps // 10), rng) if torch else float("nan")
    print(
        f"{len(atoms):6d} {alone:8.2f} {lean:8.2f} {by_ase:8.2f} {by_torch:8.2f} "
        f"{by_janus:8.2f}   "
        f"{lean / alone:9.2f} {by_ase / lean:8.2f} {by_torch / lean:10.1f} {by_janus / lean:10.1f} "
        f"{TIMESTEP_FS * 1e-6 * 86400e3 / lean:7.1f}",
        flush=True,
    )


def janus_step(python: str | None, model: Path, atoms: Atoms, steps: int) -> float:
    """Milliseconds of a step of janus-core's dynamics; NaN where it is not asked for."""
    if python is None:
        return float("nan")
    with TemporaryDirectory() as folder:
        structure = Path(folder) / "cell.extxyz"
        ase.io.write(structure, atoms)
        script = Path(__file__).with_name("janus_steps.py")
        # Not resolved: the link is what makes an environment of it.
        program = str(Path(python).absolute())
        command = [program, str(script), str(model), str(structure), str(max(25, steps // 10))]
        environment = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"janus-core: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def ase_step(atoms: Atoms, calculator: Any, steps: int, rng: np.random.Generator) -> float:
    """Milliseconds of a step of ASE's Bussi dynamics, from the present state."""
    atoms = atoms.copy()
    atoms.calc = calculator
    dynamics = Bussi(atoms, TIMESTEP_FS * units.fs, TEMPERATURE_K, 1000 * units.fs, rng=rng)
    return milliseconds(dynamics.run, steps)


if __name__ == "__main__":
    sys.exit(main())
