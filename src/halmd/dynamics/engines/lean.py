"""halmd's own integrator: BAOAB with stochastic velocity rescaling, next to nothing a step.

The thermostat is the one of the `ase` engine, Bussi's; the integrator puts it between two half
steps of the positions instead of before the step.
"""

from typing import Any

import numpy as np
from ase import Atoms

from halmd.config import DynamicsSettings
from halmd.dynamics.engines import Floats
from halmd.dynamics.lean import Motion, Rescaling
from halmd.potentials.evaluators import Loaded


class LeanEngine:
    """`Motion` with `Rescaling`, and what a restart needs."""

    def __init__(
        self,
        atoms: Atoms,
        loaded: Loaded,
        settings: DynamicsSettings,
        target_K: float,
        rng: np.random.Generator,
    ):
        self.atoms = atoms
        self._loaded = loaded
        self._thermostat = Rescaling(
            atoms.get_masses(),
            temperature_K=target_K,
            time_fs=1000 * settings.thermostat_time_ps,
            timestep_fs=settings.timestep_fs,
            rng=rng,
        )
        self._timestep_fs = settings.timestep_fs
        self._motion = self._new_motion()

    def _new_motion(self) -> Motion:
        return Motion(
            self.atoms,
            self._loaded.calculator,
            timestep_fs=self._timestep_fs,
            thermostat=self._thermostat,
        )

    def run(self, steps: int) -> None:
        """Move on; raises FloatingPointError when positions cease to be numbers."""
        self._motion.run(steps)

    def forces_eV_per_A(self) -> Floats:
        """Forces at the present positions, shape (n_atoms, 3)."""
        return self._motion.forces_eV_per_A()

    def potential_eV(self) -> float:
        """Potential energy at the present positions."""
        return self._motion.potential_eV()

    def transferred_eV(self) -> float:
        """Energy that the thermostat has given to the atoms since the run began."""
        return self._thermostat.transferred_eV

    def forget(self) -> None:
        """Forget forces and neighbours: what follows is what follows a restart here."""
        self._loaded.fresh_neighbours()
        # Of the cell too: a restart has put another one in.
        self._motion = self._new_motion()

    def state(self) -> dict[str, Any]:
        """What a restart needs beyond cell, positions and momenta, JSON-able."""
        return {
            "random": self._thermostat.rng.bit_generator.state,
            "transferred_energy_eV": self._thermostat.transferred_eV,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._thermostat.rng.bit_generator.state = state["random"]
        self._thermostat.transferred_eV = state["transferred_energy_eV"]
