"""`halmd explore`: the student's own MD, which finds snapshots it has not seen.

Langevin dynamics on the native evaluator (an exploration, not a production run: strong friction is
wanted here), at constant volume or pressure. A guard on distances stops a run that falls into a
hole, and keeps the frames of the fall, which are the ones the next fit needs most.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.velocitydistribution import thermalize_momenta

from halmd.distill.exchange import Exchange, exchanged
from halmd.distill.settings import MDSettings
from halmd.distill.snapshots import strained
from halmd.distill.starts import Start, bare
from halmd.dynamics.lean import Motion, at_rest_as_a_whole, langevin, refuse_flight
from halmd.dynamics.stability import closest_contact, contact_limits_A
from halmd.files import whole_file
from halmd.potentials.evaluators import native_calculator

STEP_FS = 2.0
_LOOK_EVERY = 20
_SAY_EVERY_S = 30.0
_ANION_FACTOR = 1.8
"""Anions repel one another from further away than their covalent radii tell."""


def guard_A(symbols: Sequence[str]) -> Any:
    """Shortest distance of every pair of atoms that is not a fall, in Å, shape (n, n)."""
    limits = contact_limits_A(tuple(symbols))
    anions = np.isin(np.array(symbols), ["F", "Cl", "Br", "I"])
    limits[np.ix_(anions, anions)] *= _ANION_FACTOR
    return limits


def run_student(
    start: Start,
    calculator: Any,
    plan: MDSettings,
    *,
    temperature_K: float,
    rng: np.random.Generator,
) -> list[Atoms]:
    """Run one trajectory; returns evenly spaced snapshots, and the fall if there was one."""
    atoms = strained(start.atoms, rng.uniform(*plan.volume_strain), 0.01, rng)
    constant_pressure = rng.random() < plan.npt_share
    dynamics: Any
    if constant_pressure:
        atoms.calc = calculator
        thermalize_momenta(atoms, temperature_K, rng=rng)
        dynamics = LangevinBAOAB(
            atoms,
            timestep=STEP_FS * units.fs,
            temperature_K=temperature_K,
            externalstress=0.0,
            T_tau=100 * units.fs,
            P_tau=500 * units.fs,
            hydrostatic=True,
            rng=rng,
        )
        dynamics.attach(lambda: refuse_flight(atoms.get_velocities(), STEP_FS * units.fs))
    else:
        at_rest_as_a_whole(atoms, temperature_K, rng)
        thermostat = langevin(
            atoms.get_masses(),
            temperature_K=temperature_K,
            friction_per_fs=0.01,
            timestep_fs=STEP_FS,
            rng=rng,
        )
        dynamics = Motion(atoms, calculator, timestep_fs=STEP_FS, thermostat=thermostat)
    limits = guard_A(atoms.get_chemical_symbols())
    volume = atoms.get_volume()
    steps = round(plan.length_ps * 1000 / STEP_FS)
    keep_every = max(_LOOK_EVERY, steps // plan.snapshots)
    recent: list[Atoms] = []
    kept: list[Atoms] = []
    for step in range(_LOOK_EVERY, steps + 1, _LOOK_EVERY):
        try:
            dynamics.run(_LOOK_EVERY)
        except (FloatingPointError, ValueError, RuntimeError):
            # A cell or a neighbour list gone wild: what came before is what there is to learn.
            return kept + _fall(recent)
        frame = bare(atoms)
        frame.info |= {
            "origin": "npt" if constant_pressure else "nvt",
            "start": start.tag,
            "family": start.family,
            "temperature_K": temperature_K,
            "time_ps": step * STEP_FS / 1000,
        }
        recent = [*recent[-2:], frame]
        if _lost(atoms, limits, temperature_K, volume):
            return kept + _fall(recent)
        if step // keep_every > (step - _LOOK_EVERY) // keep_every:
            kept.append(frame)
    return kept


def _lost(atoms: Atoms, limits_A: Any, temperature_K: float, volume_A3: float) -> bool:
    positions, cell = atoms.positions, np.array(atoms.cell)
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        return True
    if atoms.get_temperature() > 3 * temperature_K + 500:
        return True
    if not 0.6 < atoms.get_volume() / volume_A3 < 1.8:
        return True
    return closest_contact(positions, cell, limits_A) is not None


def _fall(recent: list[Atoms]) -> list[Atoms]:
    frames = [frame for frame in recent if np.isfinite(frame.positions).all()]
    for frame in frames:
        frame.info["origin"] = "fall"
    return frames


def explore(
    starts: Sequence[Start],
    native: Path,
    cache: Path,
    plan: MDSettings,
    folder: Path,
    *,
    exchange: Exchange,
    seed: int,
    workers: int,
    say: Callable[[str], None],
) -> list[Atoms]:
    """All runs of a plan, each kept in `folder` when it ends, so that a killed one goes on.

    Runs start from orderings drawn by their share, the same number for every family of the plan;
    what `exchange` allows is exchanged in as many of them as the plan says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = explored_runs(starts, plan, seed)
    todo = [number for number in range(len(jobs)) if not _file(folder, number).exists()]
    done = len(jobs) - len(todo)
    if todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = [todo[k::workers] for k in range(workers)]
            futures = [
                pool.submit(_share, jobs, part, native, cache, plan, folder, exchange, seed)
                for part in parts
            ]
            waiting = set(futures)
            while waiting:
                ended, waiting = wait(waiting, timeout=_SAY_EVERY_S)
                for future in ended:
                    future.result()
                ready = sum(_file(folder, number).exists() for number in range(len(jobs)))
                say(f"{ready} of {len(jobs)} runs")
    frames, falls = [], 0
    for number in range(len(jobs)):
        new: list[Atoms] = ase.io.read(_file(folder, number), ":", format="extxyz")
        falls += any(frame.info["origin"] == "fall" for frame in new)
        frames += new
    say(f"{len(jobs)} runs ({done} done before), {len(frames)} snapshots, {falls} falls")
    return frames


def explored_runs(
    starts: Sequence[Start], plan: MDSettings, seed: int
) -> list[tuple[Start, float]]:
    """The ordering each run of a plan starts from, and its temperature in K."""
    rng = np.random.default_rng([seed, 3])
    families = list(dict.fromkeys(start.family for start in starts))
    if plan.families:
        families = [family for family in families if family in plan.families]
    jobs = []
    for run in range(plan.runs):
        family = families[run % len(families)]
        members = [start for start in starts if start.family == family]
        shares = np.array([start.share for start in members])
        start = members[int(rng.choice(len(members), p=shares / shares.sum()))]
        jobs.append((start, float(rng.choice(plan.temperatures_K))))
    return jobs


def _file(folder: Path, number: int) -> Path:
    return folder / f"run-{number:05d}.extxyz"


def _share(
    jobs: list[tuple[Start, float]],
    numbers: list[int],
    native: Path,
    cache: Path,
    plan: MDSettings,
    folder: Path,
    exchange: Exchange,
    seed: int,
) -> None:
    """The runs of one process."""
    calculator = native_calculator(native, cache)
    for number in numbers:
        start, temperature_K = jobs[number]
        rng = np.random.default_rng([seed, 4, number])
        if plan.exchanged and rng.random() < plan.exchanged:
            start = exchanged(start, exchange, rng)
        frames = run_student(start, calculator, plan, temperature_K=temperature_K, rng=rng)
        with whole_file(_file(folder, number)) as temporary:
            ase.io.write(temporary, frames, format="extxyz")
