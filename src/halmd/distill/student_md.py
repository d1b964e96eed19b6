"""The student's side of `teacher_md`: the same job, without ASE's cost of a step."""

from typing import Any

import numpy as np
from ase import Atoms

from halmd.distill import teacher_md
from halmd.dynamics.lean import Motion, Rescaling


def run(atoms: Atoms, job: dict[str, Any], calculator: Any) -> None:
    """Run or continue a job of `teacher_md` with a student's calculator."""

    def mover(atoms: Atoms, job: dict[str, Any], rng: np.random.Generator) -> Motion:
        thermostat = Rescaling(
            atoms.get_masses(),
            temperature_K=job["temperature_K"],
            time_fs=1000 * job["thermostat_ps"],
            timestep_fs=job["timestep_fs"],
            rng=rng,
        )
        return Motion(atoms, calculator, timestep_fs=job["timestep_fs"], thermostat=thermostat)

    teacher_md.run(atoms, job, mover)
