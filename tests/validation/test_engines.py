"""The engines on a real crystal: equal distributions of energies, equal diffusivities.

Runs of Li3YCl6 by the smallest shipped potential, started alike with velocities of their own.
Eight minutes on two cores; prints the table.
"""

import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halmd.config import DiffusionSettings, DynamicsSettings, StructureSettings
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.engines.ase import start_velocities
from halmd.dynamics.equilibrate import equilibrate
from halmd.potentials.evaluators import load
from halmd.potentials.potential import prepare_potential
from halmd.structures.structure import build_orderings
from halmd.trajectory import read_trajectory
from halmd.transport.diffusion import tracer_of
from halmd.transport.motion import motion_of

pytestmark = [
    pytest.mark.validation,
    pytest.mark.skipif(shutil.which("c++") is None, reason="the native evaluator needs a compiler"),
]

TARGET_K, RUNS, LENGTH_PS = 700.0, 4, 40.0
POTENTIAL = "halmd-liycl-1"
ENGINES = ("lean", "batched", "ase")


def one(folder: Path, start: Any, engine: str, seed: int) -> tuple[float, ...]:
    """D (Å²/ps), means of both energies and standard deviations, per atom in meV, of one run."""
    atoms = start.copy()
    start_velocities(atoms, TARGET_K, np.random.default_rng(seed))
    out = folder / f"{engine}-{seed}"
    run_dynamics(
        atoms,
        load(folder / "potential.json"),
        DynamicsSettings(engine=engine, production_ps=LENGTH_PS, thermostat_time_ps=0.2),
        target_K=TARGET_K,
        seed=seed,
        scratch=out,
        trajectory=out / "trajectory.h5",
        record=out / "run.json",
        show_progress=False,
    )
    found = read_trajectory(out / "trajectory.h5")
    late = found.time_ps > 5
    motion = motion_of(
        found.positions_A[late].astype(float), found.cell_A, found.symbols, found.time_ps[late]
    )
    energies = [found.thermo[k][late] for k in ("kinetic_energy", "potential_energy")]
    per_atom = [1000 * values / len(found.symbols) for values in energies]
    D = tracer_of(motion, DiffusionSettings()).D_A2_per_ps
    return (D, *(values.mean() for values in per_atom), *(values.std() for values in per_atom))


def test_engines_agree(tmp_path: Path) -> None:
    prepare_potential(POTENTIAL, evaluator="native", folder=tmp_path)
    built = build_orderings("Li3YCl6", StructureSettings(min_length_A=6, n_orderings=1), seed=1)
    settings = DynamicsSettings(equilibration_ps=8)
    settled = equilibrate(
        built.orderings[0].atoms,
        load(tmp_path / "potential.json"),
        settings,
        target_K=TARGET_K,
        seed=1,
        show_progress=False,
    ).atoms
    assert settled.info["equilibration_verdict"] == "ok"
    jobs = [(engine, seed) for engine in ENGINES for seed in range(RUNS)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(one, tmp_path, settled, *job) for job in jobs]
        found = {job: future.result() for job, future in zip(jobs, futures, strict=True)}
    # With the largest error of a difference at which the comparison still means something.
    columns = {
        "D, Å²/ps": lambda mean: 0.5 * mean,
        "kinetic": lambda mean: 0.03 * mean,
        "potential": lambda _: 5.0,
        "sd kinetic": lambda mean: 0.2 * mean,
        "sd potential": lambda mean: 0.2 * mean,
    }
    print(f"\n{len(settled)} atoms, {RUNS} runs of {LENGTH_PS:g} ps at {TARGET_K:g} K; meV/atom")
    for k, (name, largest) in enumerate(columns.items()):
        means, errors = {}, {}
        for engine in ENGINES:
            values = np.array([found[engine, seed][k] for seed in range(RUNS)])
            means[engine], errors[engine] = values.mean(), values.std(ddof=1) / np.sqrt(RUNS)
        each = ", ".join(f"{e} {means[e]:.3f} ± {errors[e]:.3f}" for e in means)
        print(f"{name:14} {each}")
        for engine in ("lean", "batched"):
            off = means[engine] - means["ase"]
            error = float(np.hypot(errors[engine], errors["ase"]))
            # Four runs each: Student's t at 99.9 % for six degrees of freedom.
            assert abs(off) < 5.2 * error, (engine, name)
            assert error < largest(means["ase"]), (engine, name)
