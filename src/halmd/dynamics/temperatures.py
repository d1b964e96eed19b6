"""`halmd temperatures`: at which temperatures a material is to be run, found by a short hot ramp.

One ordering is run for `PROBE_PS` at one temperature after the other, hotter by `STEP_K` each time,
until its framework gives way. So short a run overheats a crystal: the hottest temperature chosen is
`SAFE` times the one that failed. From the diffusivities on the way follows where lithium still
jumps often enough in the length of a run: the coldest temperature. Those between are equally
spaced in 1/T, which is what an Arrhenius line wants.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from halmd.config import DiffusionSettings, DynamicsSettings
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.equilibrate import equilibrate
from halmd.dynamics.length import so_far
from halmd.errors import HalmdError
from halmd.files import fingerprint, read_json, write_json
from halmd.potentials.evaluators import Loaded
from halmd.trajectory import read_trajectory
from halmd.transport.diffusion import effective_jumps

FIRST_K, STEP_K, LAST_K = 600.0, 100.0, 1500.0
"""Temperatures of the ramp; downwards where the first one already fails."""
PROBE_PS, SETTLE_PS = 12.0, 4.0
SAFE = 0.75
"""Of the temperature at which the framework gives way within a probe."""

_HEAD = ("schema_version", "halmd_version")
_COLDEST_K = 250.0
_JUMPS_WANTED = 2.0
"""Times the fewest jumps for which a diffusivity is quoted."""
_FEWEST_JUMPS = 15.0
USUAL_EA_EV, _SPREAD_EA_EV = 0.35, 0.15
"""Activation energies of lithium halides: a few short probes are not to be taken at their word."""
_NARROWEST = 0.7
"""Coldest over hottest temperature where lithium is too slow to tell."""


def find_temperatures(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    diffusion: DiffusionSettings,
    *,
    seed: int,
    scratch: Path,
    record: Path,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Run the ramp, or go on with it, and write `record` (temperatures.json); returns it.

    Every probe is kept in `scratch`, in a folder named by a fingerprint of all that decides it.
    Raises HalmdError where nothing in the structure is mobile, and where the framework holds at no
    temperature.
    """
    if diffusion.mobile not in atoms.get_chemical_symbols():
        raise HalmdError(
            f"there is no {diffusion.mobile} in the structure; set diffusion.mobile (--mobile)"
        )

    def probed(temperature_K: float) -> dict[str, Any]:
        return probe(
            atoms,
            loaded,
            settings,
            diffusion,
            temperature_K=temperature_K,
            seed=seed,
            folder=scratch / f"{temperature_K:g}K",
            show_progress=show_progress,
        )

    probes = [probed(FIRST_K)]
    while probes[-1]["verdict"] == "ok" and probes[-1]["temperature_K"] < LAST_K:
        probes.append(probed(probes[-1]["temperature_K"] + STEP_K))
    while all(p["verdict"] != "ok" for p in probes) and probes[0]["temperature_K"] > STEP_K:
        probes.insert(0, probed(probes[0]["temperature_K"] - STEP_K))
    found = choose(probes, settings, diffusion)
    write_json(record, found)
    return found


def probe(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    diffusion: DiffusionSettings,
    *,
    temperature_K: float,
    seed: int,
    folder: Path,
    show_progress: bool = True,
) -> dict[str, Any]:
    """One short run: does the framework hold, and how fast is lithium? Kept in probe.json."""
    short = settings.model_copy(
        update={
            "equilibration_ps": SETTLE_PS,
            "production_ps": PROBE_PS,
            "target_relative_error": None,
            "min_ps": PROBE_PS,
            "max_ps": PROBE_PS,
            "uncertainty_interval_ps": 0.0,
        }
    )
    decided = {
        "numbers": atoms.numbers.tolist(),
        "positions_A": atoms.positions.tolist(),
        "cell_A": np.array(atoms.cell).tolist(),
        "potential": [loaded.provenance.get(k) for k in ("name", "sha256", "evaluator")],
        "settings": short.model_dump(exclude={"temperatures_K", "n_temperatures", "replicas"}),
        "diffusion": diffusion.model_dump(),
        "seed": seed,
    }
    folder = folder / fingerprint(decided)
    kept = folder / "probe.json"
    if kept.is_file():
        return {k: v for k, v in read_json(kept).items() if k not in _HEAD}
    start = equilibrate(
        atoms, loaded, short, target_K=temperature_K, seed=seed, show_progress=show_progress
    )
    run = run_dynamics(
        start.atoms,
        loaded,
        short,
        target_K=temperature_K,
        seed=seed,
        scratch=folder,
        trajectory=folder / "trajectory.h5",
        record=folder / "run.json",
        mobile=diffusion.mobile,
        show_progress=show_progress,
    )
    found = {
        "temperature_K": temperature_K,
        "verdict": run["verdict"],
        "n_ions": atoms.get_chemical_symbols().count(diffusion.mobile),
        "D_A2_per_ps": None,
        "relative_error": None,
        "n_effective_jumps": 0.0,
    }
    # A run that a guard stopped says nothing of the crystal's diffusion, and may be one frame long.
    if run["verdict"] == "ok":
        frames = read_trajectory(folder / "trajectory.h5")
        interval_ps = settings.frame_interval_fs / 1000
        found |= so_far(frames.positions_A, frames.cell_A, frames.symbols, interval_ps, diffusion)
    write_json(kept, found)
    return found


def choose(
    probes: Sequence[dict[str, Any]], settings: DynamicsSettings, diffusion: DiffusionSettings
) -> dict[str, Any]:
    """Temperatures for a material from what the probes of its ramp showed, with the reasons.

    Raises HalmdError where the framework held in no probe.
    """
    held = [p for p in probes if p["verdict"] == "ok"]
    failed = [p for p in probes if p["verdict"] != "ok"]
    if not held:
        raise HalmdError(
            f"temperatures_K: auto: the framework gives way at {probes[0]['temperature_K']:g} K "
            f"already ({probes[0]['verdict']}); look at the structure, or name the temperatures"
        )
    end_K = min((p["temperature_K"] for p in failed), default=LAST_K + STEP_K)
    hottest_K = _rounded(min(held[-1]["temperature_K"], SAFE * end_K))
    length_ps = settings.production_ps
    if settings.target_relative_error is not None:
        length_ps = settings.max_ps
    law = _arrhenius(held)
    wanted = _JUMPS_WANTED * diffusion.min_jumps
    coldest_K, reason = _NARROWEST * hottest_K, "lithium is too slow to tell in so short a run"
    if law is not None:
        ln_D0, Ea_eV = law
        for trial_K in np.arange(_COLDEST_K, hottest_K, 10.0):
            D = math.exp(ln_D0 - Ea_eV / (units.kB * trial_K))
            jumps = effective_jumps(D, held[0]["n_ions"], length_ps, diffusion.jump_length_A)
            if jumps >= wanted:
                coldest_K = float(trial_K)
                reason = f"{jumps:.0f} jumps expected in {length_ps:g} ps"
                break
    coldest_K = _rounded(min(coldest_K, 0.9 * hottest_K))
    inverse = np.linspace(1 / coldest_K, 1 / hottest_K, settings.n_temperatures)
    gives_way = f"the framework gives way at {end_K:g} K" if failed else "nothing gives way"
    return {
        "temperatures_K": sorted({_rounded(1 / x) for x in inverse}),
        "hottest_because": f"{gives_way} within {PROBE_PS:g} ps; {SAFE:g} of {end_K:g} K",
        "coldest_because": reason,
        "Ea_eV": law[1] if law else None,
        "probes": list(probes),
    }


def _arrhenius(held: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """ln D0 and Ea (eV) of the probes in which lithium moved, with what is usual as a prior."""
    told = [
        p
        for p in held
        if p["relative_error"] and p["D_A2_per_ps"] > 0 and p["n_effective_jumps"] >= _FEWEST_JUMPS
    ]
    if not told:
        return None
    x = np.array([-1 / (units.kB * p["temperature_K"]) for p in told])
    y = np.log([p["D_A2_per_ps"] for p in told])
    weights = 1 / np.array([max(p["relative_error"], 0.1) for p in told])
    rows = np.vstack([np.column_stack([weights, weights * x]), [[0.0, 1 / _SPREAD_EA_EV]]])
    ln_D0, Ea_eV = np.linalg.lstsq(
        rows, np.append(weights * y, USUAL_EA_EV / _SPREAD_EA_EV), rcond=None
    )[0]
    return float(ln_D0), float(Ea_eV)


def _rounded(temperature_K: float) -> float:
    return 10.0 * round(temperature_K / 10)
