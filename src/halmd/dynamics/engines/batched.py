"""Many runs at once on one device: the integrator of `lean` for all of them together.

`halmd batch` conducts the runs; a run by itself is a batch of one, and moves the same.
"""

from typing import Any

import numpy as np
from ase import Atoms

from halmd.config import DynamicsSettings
from halmd.dynamics.conductor import conductor_of
from halmd.dynamics.engines import Floats
from halmd.dynamics.moving import Moving
from halmd.potentials.evaluators import Loaded
from halmd.potentials.many import Answer, cell_of


class BatchedEngine:
    """One run of many, and what a restart of it needs."""

    def __init__(
        self,
        atoms: Atoms,
        loaded: Loaded,
        settings: DynamicsSettings,
        target_K: float,
        rng: np.random.Generator,
    ):
        self.atoms = atoms
        self._conductor = conductor_of(loaded)
        self._moving = Moving(
            cell_of(atoms),
            atoms.get_velocities(),
            atoms.get_masses(),
            temperature_K=target_K,
            timestep_fs=settings.timestep_fs,
            thermostat_time_fs=1000 * settings.thermostat_time_ps,
            rng=rng,
        )

    def run(self, steps: int) -> None:
        """Move on; raises FloatingPointError when positions cease to be numbers."""
        self._moving.draw(steps)
        self._conductor.advance(self._moving, steps)
        self.atoms.positions = self._moving.cell.positions_A
        self.atoms.set_velocities(self._moving.velocities)

    def _answer(self) -> Answer:
        if self._moving.answer is None:
            self._moving.answer = self._conductor.forces(self._moving.cell)
        return self._moving.answer

    def forces_eV_per_A(self) -> Floats:
        """Forces at the present positions, shape (n_atoms, 3)."""
        return self._answer().forces_eV_per_A

    def potential_eV(self) -> float:
        """Potential energy at the present positions."""
        return self._answer().energy_eV

    def transferred_eV(self) -> float:
        """Energy that the thermostat has given to the atoms since the run began."""
        return self._moving.transferred_eV

    def forget(self) -> None:
        """Forget forces and neighbours: what follows is what follows a restart here."""
        self._moving.answer = None
        self._moving.cell = cell_of(self.atoms)
        self._moving.velocities = self.atoms.get_velocities()

    def state(self) -> dict[str, Any]:
        """What a restart needs beyond cell, positions and momenta, JSON-able."""
        return {
            "random": self._moving.rng.bit_generator.state,
            "transferred_energy_eV": self._moving.transferred_eV,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._moving.rng.bit_generator.state = state["random"]
        self._moving.transferred_eV = state["transferred_energy_eV"]
