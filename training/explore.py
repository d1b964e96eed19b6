"""Student MD that looks for snapshots the student has not seen.

Langevin dynamics on the native evaluator (an exploration, not a production run: strong friction is
wanted here). A guard on the shortest distance of every pair of species stops a run that falls into
a hole, and keeps the frames of the fall, which are the ones the next fit needs most.
"""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import neighbor_list

from halmd.potentials.evaluators import native_calculator
from snapshots import Start, bare, strained

STEP_FS = 2.0
LOOK_EVERY = 20


def too_close(atoms: Atoms, guard_A: dict[str, float]) -> bool:
    """Whether any pair of species is nearer than its guard distance."""
    i, j, lengths = neighbor_list("ijd", atoms, max(guard_A.values()))
    symbols = atoms.get_chemical_symbols()
    pairs = ("-".join(sorted((symbols[a], symbols[b]))) for a, b in zip(i, j, strict=True))
    return any(length < guard_A[pair] for pair, length in zip(pairs, lengths, strict=True))


def explore(
    start: Start,
    calculator: Any,
    *,
    temperature_K: float,
    length_ps: float,
    snapshots: int,
    guard_A: dict[str, float],
    rng: np.random.Generator,
) -> list[Atoms]:
    """Run one trajectory and return evenly spaced snapshots, and the fall if there was one."""
    atoms = strained(start.atoms, rng.uniform(-0.08, 0.10), 0.01, rng)
    atoms.calc = calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=rng)
    dynamics = Langevin(
        atoms,
        STEP_FS * units.fs,
        temperature_K=temperature_K,
        friction=0.01 / units.fs,
        rng=rng,
    )
    steps = round(length_ps * 1000 / STEP_FS)
    keep_every = steps // snapshots
    recent: list[Atoms] = []
    kept: list[Atoms] = []
    for step in range(LOOK_EVERY, steps + 1, LOOK_EVERY):
        dynamics.run(LOOK_EVERY)
        frame = bare(atoms)
        frame.info |= {
            "origin": "md",
            "start": start.tag,
            "temperature_K": temperature_K,
            "time_ps": step * STEP_FS / 1000,
        }
        recent = [*recent[-2:], frame]
        hot = atoms.get_temperature() > 3 * temperature_K + 500
        if hot or not np.isfinite(atoms.positions).all() or too_close(atoms, guard_A):
            fall = [f for f in recent if np.isfinite(f.positions).all()]
            for f in fall:
                f.info["origin"] = "fall"
            return kept + fall
        if step // keep_every > (step - LOOK_EVERY) // keep_every:
            kept.append(frame)
    return kept


def explorations(
    found: list[Start], model: Path, cache: Path, plan: dict[str, Any], job: dict[str, Any]
) -> list[Atoms]:
    """The share `job["share"]` of `job["of"]` of all runs of a plan (one process each)."""
    calculator = native_calculator(model, cache)
    frames: list[Atoms] = []
    for run in range(job["share"], plan["runs"], job["of"]):
        rng = np.random.default_rng([job["seed"], run])
        temperatures = plan["temperatures_K"]
        temperature = temperatures[run % len(temperatures)]
        start = found[int(rng.integers(len(found)))]
        new = explore(
            start,
            calculator,
            temperature_K=float(temperature),
            length_ps=plan["length_ps"],
            snapshots=plan["snapshots"],
            guard_A=job["guard_A"],
            rng=rng,
        )
        fell = any(frame.info["origin"] == "fall" for frame in new)
        print(
            f"explore: run {run + 1} of {plan['runs']}: {start.tag} at {temperature} K, "
            f"{len(new)} snapshots{', fell' if fell else ''}",
            flush=True,
        )
        frames += new
    return frames
