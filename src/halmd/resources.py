"""What a job asks a cluster for: minutes and megabytes, from atoms and picoseconds.

A job that needs longer than it asked for loses nothing: it stops at a checkpoint before its time is
up, and the next one goes on. So the estimate need not be good; it must not be far too small, and no
longer than the queue allows.
"""

import math
from collections.abc import Mapping

from halmd.campaign import material_named, n_runs
from halmd.config import LATTICE_PS, Campaign
from halmd.structures.plan import Plan

_SLACK = 1.5
_START_UP_MINUTES = 5
_LEAST_MINUTES = 10
_RELAXATION_STEPS = 1000
_SETTLE_PS = 2.0
_WITH_STRESS = 1.3
_BYTES_PER_NUMBER = 8
_COPIES = 6
"""Of the positions of a run, while it is written or analysed."""
_START_UP_MB = 2000
_SPARE_RETRIES = 3
_MOST_RETRIES = 100


class JobSizes:
    """Of the jobs of one campaign."""

    def __init__(self, campaign: Campaign, plans: Mapping[str, Plan]):
        self._campaign = campaign
        self._atoms = {folder: plan.atoms for folder, plan in plans.items()}

    def _minutes(self, material: str, steps: float, attempt: int) -> int:
        """Minutes of so many steps; more at each attempt, never more than the queue allows."""
        cluster = self._campaign.cluster
        one = steps * self._atoms[material] * cluster.ms_per_atom_step / 60_000
        wanted = attempt * (_START_UP_MINUTES + _SLACK * one)
        return min(cluster.most_minutes, max(_LEAST_MINUTES, math.ceil(wanted)))

    def _steps(self, length_ps: float) -> float:
        return length_ps * 1000 / self._campaign.dynamics.timestep_fs

    def _production_steps(self) -> float:
        dynamics = self._campaign.dynamics
        adaptive = dynamics.target_relative_error is not None
        return self._steps(dynamics.max_ps if adaptive else dynamics.production_ps)

    def _equilibration_steps(self, length_ps: float | None = None) -> float:
        own_ps = self._campaign.dynamics.equilibration_ps
        npt = self._steps(own_ps if length_ps is None else length_ps) + _RELAXATION_STEPS
        return _WITH_STRESS * npt + self._steps(_SETTLE_PS)

    def equilibrate_minutes(self, material: str, attempt: int) -> int:
        """For relaxation and NPT of one run, which a killed job begins anew."""
        return self._minutes(material, self._equilibration_steps(), attempt)

    def lattice_minutes(self, material: str, attempt: int) -> int:
        """For relaxation and NPT of all orderings of a material, one after the other."""
        orderings = self._campaign.structure.n_orderings
        return self._minutes(material, orderings * self._equilibration_steps(LATTICE_PS), attempt)

    def dynamics_minutes(self, material: str, attempt: int) -> int:
        """For the production of one run."""
        return self._minutes(material, self._production_steps(), attempt)

    def batch_minutes(self, material: str, attempt: int) -> int:
        """For all runs of a material one after the other: what a batch needs at most."""
        runs = n_runs(self._campaign, material_named(self._campaign, material))
        steps = runs * (self._equilibration_steps() + self._production_steps())
        return self._minutes(material, steps, attempt)

    def retries(self) -> int:
        """How often the longest run of the campaign may have to be gone on with."""
        most = self._campaign.cluster.most_minutes
        longest = max(self._atoms.values())
        minutes = (
            longest * self._production_steps() * self._campaign.cluster.ms_per_atom_step / 60_000
        )
        return min(_MOST_RETRIES, _SPARE_RETRIES + math.ceil(minutes / most))

    def memory_MB(self, material: str) -> int:
        """For a job that reads or writes the whole trajectory of one run."""
        dynamics = self._campaign.dynamics
        frames = self._production_steps() * dynamics.timestep_fs / dynamics.frame_interval_fs
        positions = frames * 3 * self._atoms[material] * _BYTES_PER_NUMBER
        return _START_UP_MB + math.ceil(_COPIES * positions / 1e6)
