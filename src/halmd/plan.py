"""`halmd plan`: what a campaign will cost, from a few real steps, before anything is submitted.

The cost of a step is flat per atom (`benchmarks/dynamics.py`), so one cell is timed and the others
follow from their atoms. Where conductivities were measured, they tell whether runs are long enough.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from rich.table import Table

from halmd.campaign import n_runs, plan_of, runs, temperatures_of
from halmd.config import Campaign, DynamicsSettings, Material
from halmd.dynamics.engines import engine_for
from halmd.dynamics.engines.ase import start_velocities
from halmd.dynamics.moving import Moving, advance
from halmd.dynamics.temperatures import USUAL_EA_EV
from halmd.errors import HalmdError
from halmd.potentials.evaluators import Loaded
from halmd.potentials.many import Many, cell_of, many_of
from halmd.reference import Published, measured
from halmd.report.status import RunStatus
from halmd.structures.structure import build_orderings
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.diffusion import effective_jumps
from halmd.units import BOLTZMANN_EV_PER_K, CM2_PER_S_PER_A2_PER_PS

_WARM_UP, _TIMED = 20, 60
_RELAXATION_STEPS = 300
"""Typical of a relaxation; its evaluations have a stress, as those of NPT."""
_WITH_STRESS = 1.3
_SETTLE_PS = 2.0
_VOLUME_PER_ATOM_A3 = 20.0
"""Of lithium halides, within a fifth; only for a warning."""
_BYTES_PER_POSITION = 4 * 3
_COPIES = 2.2
"""Trajectory and the segments it was made of, checkpoints and records beside them."""
_COOL_K = 250.0


@dataclass(frozen=True)
class MaterialCost:
    """What one material still asks for."""

    name: str
    atoms: int
    n_runs: int
    finished: int
    length_ps: float
    """Molecular dynamics still to be run, at most."""
    core_hours: float
    longest_run_hours: float
    disk_GB: float
    warnings: tuple[str, ...]


def timed_step_ms(campaign: Campaign, loaded: Loaded) -> tuple[int, float]:
    """Atoms of a cell of the first material, and milliseconds of a step of it on this device.

    With `engine: batched` the share of one run in a step of all runs of the material. Raises
    HalmdError where the potential's forces on that cell are not numbers.
    """
    material = campaign.materials[0]
    quick = {"n_orderings": 1, "monte_carlo_steps": 200, "rank_by": "ewald"}
    built = build_orderings(
        material.formula,
        campaign.structure.model_copy(update=quick),
        seed=campaign.seed,
        mobile=campaign.diffusion.mobile,
        prototype=material.prototype,
        site_fractions=material.site_fractions,
        fixed_states=material.oxidation_states,
    )
    atoms: Atoms = built.orderings[0].atoms
    rng = np.random.default_rng(0)
    # Cool, because the cell is not relaxed.
    start_velocities(atoms, _COOL_K, rng)
    at_once = 1
    if campaign.dynamics.engine == "batched":
        many = many_of(loaded)
        most = campaign.dynamics.batch_atoms or many.most_atoms(cell_of(atoms))
        at_once = max(1, min(n_runs(campaign, material), most // len(atoms)))
        run = _batch(atoms, many, at_once, campaign.dynamics)
    else:
        run = engine_for(atoms, loaded, campaign.dynamics, target_K=_COOL_K, rng=rng).run
    try:
        run(_WARM_UP)
        began = time.perf_counter()
        run(_TIMED)
    except FloatingPointError:
        raise HalmdError(
            f"{material.formula}: {campaign.potential} gives forces that are not numbers; look at "
            "the structure that `halmd structure` builds, or take another potential"
        ) from None
    return len(atoms), 1000 * (time.perf_counter() - began) / _TIMED / at_once


def _batch(
    atoms: Atoms, many: Many, at_once: int, settings: DynamicsSettings
) -> Callable[[int], None]:
    """What moves so many copies of a cell on by some steps."""
    moving = [
        Moving(
            cell_of(atoms),
            atoms.get_velocities(),
            atoms.get_masses(),
            temperature_K=_COOL_K,
            timestep_fs=settings.timestep_fs,
            thermostat_time_fs=1000 * settings.thermostat_time_ps,
            rng=np.random.default_rng(seed),
        )
        for seed in range(at_once)
    ]

    def run(steps: int) -> None:
        for each in moving:
            each.draw(steps)
        advance(moving, steps, many)
        if any(each.lost for each in moving):
            raise FloatingPointError("positions are no longer numbers")

    return run


def costs(
    campaign: Campaign, found: Sequence[RunStatus], step_ms_per_atom: float
) -> list[MaterialCost]:
    """What every material still asks for; `found` says what is there already."""
    return [_cost(campaign, material, found, step_ms_per_atom) for material in campaign.materials]


def _cost(
    campaign: Campaign, material: Material, found: Sequence[RunStatus], step_ms_per_atom: float
) -> MaterialCost:
    dynamics = campaign.dynamics
    made = plan_of(campaign, material)
    whole_ps = dynamics.production_ps
    if dynamics.target_relative_error is not None:
        whole_ps = dynamics.max_ps
    mine = [status for status in found if status.run.material == material.folder]
    asked = n_runs(campaign, material)
    unknown = asked - len(runs(campaign, material))
    left = [max(0.0, whole_ps - s.done_ps) for s in mine if s.state != "done"]
    left += [whole_ps] * unknown
    fresh = unknown + sum(s.state in ("waiting", "equilibrating", "failed") for s in mine)

    def hours(length_ps: float, *, equilibration: bool) -> float:
        steps = length_ps * 1000 / dynamics.timestep_fs
        if equilibration:
            npt = dynamics.equilibration_ps * 1000 / dynamics.timestep_fs + _RELAXATION_STEPS
            steps += _WITH_STRESS * npt + _SETTLE_PS * 1000 / dynamics.timestep_fs
        return steps * step_ms_per_atom * made.atoms / 3.6e6

    frames = whole_ps * 1000 / dynamics.frame_interval_fs
    return MaterialCost(
        name=material.folder,
        atoms=made.atoms,
        n_runs=asked,
        finished=sum(s.state == "done" for s in mine),
        length_ps=sum(left),
        core_hours=hours(sum(left), equilibration=False) + fresh * hours(0.0, equilibration=True),
        longest_run_hours=hours(max(left), equilibration=True) if left else 0.0,
        disk_GB=len(left) * frames * made.atoms * _BYTES_PER_POSITION * _COPIES / 1e9,
        warnings=tuple(_too_short(campaign, material, made.counts, whole_ps)),
    )


def _too_short(campaign: Campaign, material: Material, counts: Any, length_ps: float) -> list[str]:
    """Temperatures at which measured conductivities promise too few jumps for a run."""
    known = [m for m in measured(material.formula) if not m.suspect]
    if not known:
        return []
    middle = sorted(known, key=lambda m: m.sigma_S_per_cm)[len(known) // 2]
    found = []
    for temperature_K in temperatures_of(campaign, material):
        jumps = expected_jumps(
            middle,
            temperature_K,
            n_ions=counts[campaign.diffusion.mobile],
            volume_A3=_VOLUME_PER_ATOM_A3 * sum(counts.values()),
            length_ps=length_ps,
            jump_length_A=campaign.diffusion.jump_length_A,
        )
        wanted = campaign.diffusion.min_jumps
        if jumps < wanted:
            enough_ps = length_ps * wanted / jumps
            found.append(
                f"{material.folder} at {temperature_K:g} K: about {jumps:.0f} jumps in "
                f"{length_ps:g} ps by the measured conductivity; {wanted:g} need {enough_ps:.0f} ps"
            )
    return found


def expected_jumps(
    known: Published,
    temperature_K: float,
    *,
    n_ions: int,
    volume_A3: float,
    length_ps: float,
    jump_length_A: float,
) -> float:
    """Effective jumps of a run, were the measured conductivity that of the crystal.

    sigma T follows the measured activation energy, or a usual one where none was; the Haven ratio
    is taken as one.
    """
    inverse = 1 / temperature_K - 1 / known.temperature_K
    sigma = known.sigma_S_per_cm * known.temperature_K / temperature_K
    sigma *= math.exp(-(known.Ea_eV or USUAL_EA_EV) / BOLTZMANN_EV_PER_K * inverse)
    per_D = nernst_einstein_S_per_cm(1.0, n_ions, volume_A3, temperature_K)
    D_A2_per_ps = sigma / per_D / CM2_PER_S_PER_A2_PER_PS
    return effective_jumps(D_A2_per_ps, n_ions, length_ps, jump_length_A)


def cost_table(
    campaign: Campaign, found: Sequence[MaterialCost], *, slots: int, device: str = "cpu"
) -> Table:
    """One row for every material, and the total; a slot is a core, or a GPU of this kind."""
    unit = "core-hours" if device == "cpu" else "GPU-hours"
    total_h = sum(cost.core_hours for cost in found)
    longest_h = max((cost.longest_run_hours for cost in found), default=0.0)
    wall_h = max(total_h / slots, longest_h)
    title = (
        f"{campaign.campaign}: {total_h:.1f} {unit}, {wall_h:.1f} h with {slots} at once, "
        f"{sum(cost.disk_GB for cost in found):.1f} GB"
    )
    table = Table(title=title, title_justify="left")
    for name in ("material", "atoms", "runs", "finished", "ps left", unit, "GB"):
        table.add_column(name, justify="left" if name == "material" else "right")
    for cost in found:
        numbers = (cost.atoms, cost.n_runs, cost.finished)
        rest = (f"{cost.length_ps:.0f}", f"{cost.core_hours:.2f}", f"{cost.disk_GB:.2f}")
        table.add_row(cost.name, *(str(number) for number in numbers), *rest)
    return table
