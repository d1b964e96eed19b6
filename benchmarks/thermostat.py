"""Does the thermostat change the diffusivity? D of Li with several thermostats, beside none.

    python benchmarks/thermostat.py potential.json equilibrated.extxyz [--temperature-K 700]

Every run starts from the same positions with velocities of its own, is brought to its temperature
by Bussi's thermostat for 5 ps, and then runs for `--ps` with the thermostat in question. Prints D
with its standard error over `--runs` runs, the mean temperature, and the ratio to constant energy.
"""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import Atoms, units
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from halmd.config import DiffusionSettings
from halmd.dynamics.engines.ase import degrees_of_freedom, temperature_K
from halmd.dynamics.lean import Motion, Rescaling, Thermostat, at_rest_as_a_whole, langevin
from halmd.potentials.evaluators import load
from halmd.transport.conductivity import to_cm2_per_s
from halmd.transport.diffusion import tracer_of
from halmd.transport.motion import motion_of

TIMESTEP_FS, FRAME_FS, SETTLE_PS = 2.0, 50.0, 5.0
KINDS = (
    "constant energy",
    "Bussi, 1 ps",
    "Bussi, 0.1 ps",
    "Nose-Hoover chain, 0.2 ps",
    "Langevin, 0.1 per ps",
    "Langevin, 1 per ps",
    "Langevin, 10 per ps",
)
Mover = Callable[[int], None]


def thermostat_of(
    kind: str, atoms: Atoms, target_K: float, rng: np.random.Generator
) -> Thermostat | None:
    """What changes velocities between two halves of a step."""
    name, _, strength = kind.partition(", ")
    if name == "Bussi":
        return Rescaling(
            atoms.get_masses(),
            temperature_K=target_K,
            time_fs=1000 * float(strength.split()[0]),
            timestep_fs=TIMESTEP_FS,
            rng=rng,
        )
    if name == "Langevin":
        return langevin(
            atoms.get_masses(),
            temperature_K=target_K,
            friction_per_fs=float(strength.split()[0]) / 1000,
            timestep_fs=TIMESTEP_FS,
            rng=rng,
        )
    return None


def mover(kind: str, atoms: Atoms, calculator: object, target_K: float, seed: int) -> Mover:
    """What moves the atoms on by so many steps."""
    rng = np.random.default_rng([seed, 1])
    if kind.startswith("Nose"):
        atoms.calc = calculator
        chain = NoseHooverChainNVT(
            atoms,
            TIMESTEP_FS * units.fs,
            # The chain counts the three degrees of freedom of the resting centre of mass.
            temperature_K=target_K * degrees_of_freedom(atoms) / (3 * len(atoms)),
            tdamp=200 * units.fs,
        )
        return chain.run
    thermostat = thermostat_of(kind, atoms, target_K, rng)
    return Motion(atoms, calculator, timestep_fs=TIMESTEP_FS, thermostat=thermostat).run


def one(
    potential: Path, start: Path, target_K: float, length_ps: float, job: tuple[str, int]
) -> tuple[float, float]:
    """D (cm²/s) and mean temperature (K) of one run."""
    kind, seed = job
    calculator = load(potential).calculator
    atoms: Atoms = ase.io.read(start)
    at_rest_as_a_whole(atoms, target_K, np.random.default_rng(seed))
    mover("Bussi, 0.1 ps", atoms, calculator, target_K, seed)(round(SETTLE_PS * 1000 / TIMESTEP_FS))
    run, frames, heat = mover(kind, atoms, calculator, target_K, seed), [], []
    for _ in range(round(length_ps * 1000 / FRAME_FS) + 1):
        frames.append(atoms.get_positions())
        heat.append(temperature_K(atoms))
        run(round(FRAME_FS / TIMESTEP_FS))
    time_ps = np.arange(len(frames)) * FRAME_FS / 1000
    motion = motion_of(
        np.array(frames), np.array(atoms.cell), atoms.get_chemical_symbols(), time_ps
    )
    return to_cm2_per_s(tracer_of(motion, DiffusionSettings()).D_A2_per_ps), float(np.mean(heat))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("potential", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("--temperature-K", type=float, default=700.0)
    parser.add_argument("--ps", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    jobs = [(kind, seed) for kind in KINDS for seed in range(arguments.runs)]
    work = partial(one, arguments.potential, arguments.start, arguments.temperature_K, arguments.ps)
    print(f"{arguments.runs} runs of {arguments.ps:g} ps at {arguments.temperature_K:g} K each")
    print(f"{'thermostat':28} {'D, 1e-6 cm²/s':>18} {'T, K':>8} {'ratio':>16}")
    reference: tuple[float, float] | None = None
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        found = dict(zip(jobs, pool.map(work, jobs), strict=True))
    for kind in KINDS:
        values, heat = np.array([found[kind, seed] for seed in range(arguments.runs)]).T
        mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
        reference = reference or (mean, error)
        ratio = mean / reference[0]
        off = ratio * np.hypot(error / mean, reference[1] / reference[0])
        beside = f"{ratio:8.2f} ± {off:.2f}" if kind != KINDS[0] else ""
        print(f"{kind:28} {1e6 * mean:9.2f} ± {1e6 * error:5.2f} {heat.mean():8.0f} {beside:>16}")


if __name__ == "__main__":
    main()
