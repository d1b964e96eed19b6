"""How long may a timestep be? Energy drift without a thermostat, at several steps and temperatures.

    python benchmarks/timestep.py potential.json structure.extxyz [--ps 10]

Each start is thermalised for 2 ps (Bussi, 1 fs) and then run at constant energy from the same
positions and velocities with every timestep. Prints the drift of the total energy in meV per atom
and ps with its error from blocks, the fluctuation of the total energy in meV per atom (which grows
with the square of the step), and the mean temperature. A drift that matters heats the crystal:
1 meV/atom is 3.9 K in a harmonic crystal.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from halmd.config import DynamicsSettings
from halmd.dynamics.engines.ase import nvt, start_velocities, temperature_K
from halmd.errors import HalmdError
from halmd.potentials.evaluators import load

TIMESTEPS_FS = (1.0, 2.0, 3.0, 4.0)
TEMPERATURES_K = (500.0, 800.0)
THERMALISE_PS = 2.0
SAMPLE_FS = 12.0
BLOCKS = 5


def thermalised(atoms: Atoms, calculator: Any, target_K: float, seed: int) -> Atoms:
    """The structure after `THERMALISE_PS` at `target_K` with a step of 1 fs."""
    atoms = atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng(seed)
    start_velocities(atoms, target_K, rng)
    settings = DynamicsSettings(timestep_fs=1.0, thermostat_time_ps=0.1)
    nvt(atoms, settings, target_K, rng).run(round(THERMALISE_PS * 1000))
    return atoms


def constant_energy(start: Atoms, timestep_fs: float, length_ps: float) -> dict[str, float]:
    """Drift and its error (meV/atom/ps), fluctuation (meV/atom) and mean temperature (K)."""
    atoms = start.copy()
    atoms.calc = start.calc
    dynamics = VelocityVerlet(atoms, timestep_fs * units.fs)
    steps = round(SAMPLE_FS / timestep_fs)
    energies, temperatures = [], []
    for _ in range(round(length_ps * 1000 / SAMPLE_FS)):
        dynamics.run(steps)
        energies.append(1000 * atoms.get_total_energy() / len(atoms))
        temperatures.append(temperature_K(atoms))
    time_ps = np.arange(len(energies)) * SAMPLE_FS / 1000
    line = np.polyfit(time_ps, energies, 1)
    rest = np.array(energies) - np.polyval(line, time_ps)
    return {
        "drift": float(line[0]),
        "drift_error": drift_error(time_ps, rest),
        "fluctuation": float(rest.std()),
        "temperature": float(np.mean(temperatures)),
    }


def drift_error(time_ps: np.ndarray, rest: np.ndarray) -> float:
    """Standard error of the slope, from the means of blocks of what the line leaves over."""
    size = len(rest) // BLOCKS
    blocks = rest[: size * BLOCKS].reshape(BLOCKS, size).mean(axis=1)
    places = time_ps[: size * BLOCKS].reshape(BLOCKS, size).mean(axis=1)
    spread = ((places - places.mean()) ** 2).sum()
    return float(np.sqrt((blocks**2).sum() / (BLOCKS - 2) / spread))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential", type=Path, help="potential.json of `halmd potential`")
    parser.add_argument("structure", type=Path)
    parser.add_argument("--ps", type=float, default=10.0, help="length of each run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        loaded = load(arguments.potential)
    except HalmdError as error:
        raise SystemExit(str(error)) from None
    atoms = ase.io.read(arguments.structure)
    provenance = loaded.provenance
    print(f"{len(atoms)} atoms, {provenance['name']} on {provenance['evaluator']}")
    print("  T/K  step/fs    drift/(meV/atom/ps)  rms/(meV/atom)  mean T/K")
    for target_K in TEMPERATURES_K:
        start = thermalised(atoms, loaded.calculator, target_K, arguments.seed)
        for timestep_fs in TIMESTEPS_FS:
            found = constant_energy(start, timestep_fs, arguments.ps)
            print(
                f"{target_K:5.0f} {timestep_fs:8.1f} {found['drift']:12.4f} ± "
                f"{found['drift_error']:7.4f} {found['fluctuation']:15.4f} "
                f"{found['temperature']:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
