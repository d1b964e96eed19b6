"""What moves the atoms at constant volume and temperature: `lean`, `batched` or `ase`."""

from typing import Any, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.config import DynamicsSettings
from halmd.potentials.evaluators import Loaded

Floats = NDArray[np.float64]


class Engine(Protocol):
    """Moves its `atoms`, whose centre of mass is at rest, with a thermostat."""

    atoms: Atoms

    def run(self, steps: int) -> None:
        """Move on; raises FloatingPointError when positions cease to be numbers."""
        ...

    def forces_eV_per_A(self) -> Floats:
        """Forces at the present positions, shape (n_atoms, 3)."""
        ...

    def potential_eV(self) -> float:
        """Potential energy at the present positions."""
        ...

    def transferred_eV(self) -> float:
        """Energy that the thermostat has given to the atoms since the run began."""
        ...

    def forget(self) -> None:
        """Forget forces and neighbours: what follows is what follows a restart here."""
        ...

    def state(self) -> dict[str, Any]:
        """What a restart needs beyond cell, positions and momenta, JSON-able."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        ...


def engine_for(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    rng: np.random.Generator,
) -> Engine:
    """The engine of the settings, about to move `atoms`, which carry momenta."""
    if settings.engine == "ase":
        from halmd.dynamics.engines.ase import AseEngine

        return AseEngine(atoms, loaded, settings, target_K, rng)
    if settings.engine == "batched":
        from halmd.dynamics.engines.batched import BatchedEngine

        return BatchedEngine(atoms, loaded, settings, target_K, rng)
    from halmd.dynamics.engines.lean import LeanEngine

    return LeanEngine(atoms, loaded, settings, target_K, rng)
