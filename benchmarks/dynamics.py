"""A step of the lean driver beside ASE's Bussi with the packaged native calculator.

    python benchmarks/dynamics.py [--potential NAME] [--steps 400] [--atoms 30 60 120 240]

The same potential, cells (rocksalt with some yttrium) and thread, in turn, in this one call.
`bare` is the native call alone at moving positions. Prints milliseconds a step and the ratios of
both drivers to it.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.bussi import Bussi

from halmd.dynamics.lean import Motion, Rescaling, at_rest_as_a_whole, forces_of
from halmd.potentials.evaluators import load
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
    run(20)
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
    parser.add_argument("--atoms", type=int, nargs="+", default=[30, 60, 120, 240])
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        record = prepare_potential(arguments.potential, evaluator="native", folder=Path(scratch))
        calculator = load(record).calculator
        print(f"{arguments.potential}, one thread, {TIMESTEP_FS:g} fs; milliseconds a step")
        print(f"{'atoms':>6} {'bare':>8} {'lean':>8} {'ASE':>8}   over bare: lean, ASE")
        for wanted in arguments.atoms:
            compare(crystal(wanted), calculator, arguments.steps)


def compare(atoms: Atoms, calculator: object, steps: int) -> None:
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
    atoms.calc = calculator
    dynamics = Bussi(atoms, TIMESTEP_FS * units.fs, TEMPERATURE_K, 1000 * units.fs, rng=rng)
    by_ase = milliseconds(dynamics.run, steps)
    print(
        f"{len(atoms):6d} {alone:8.2f} {lean:8.2f} {by_ase:8.2f}   "
        f"{lean / alone:10.2f} {by_ase / alone:9.2f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
