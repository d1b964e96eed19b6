"""A teacher that takes no time: a Morse pair potential with exact forces and stress."""

from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import covalent_radii
from matscipy.neighbours import neighbour_list

CUTOFF_A = 5.0
RANGE_PER_A = 1.2


class Morse(Calculator):
    """Pairs bound at the sum of their covalent radii, switched off smoothly at 5 Å."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, depth_eV: float, refuses: str) -> None:
        super().__init__()
        self.depth_eV, self.refuses = depth_eV, refuses

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.refuses in self.atoms.get_chemical_symbols():
            raise ValueError(f"no parameters for {self.refuses}")
        i, j, r, vector = neighbour_list("ijdD", self.atoms, CUTOFF_A)
        radius = covalent_radii[self.atoms.numbers]
        energy, slope = self._pair(r, radius[i] + radius[j])
        pull = (slope / r)[:, None] * vector  # on i, towards j
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, pull)
        tensor = (vector[:, :, None] * pull[:, None, :]).sum(axis=0) / 2 / self.atoms.get_volume()
        self.results = {
            "energy": float(energy.sum() / 2),
            "free_energy": float(energy.sum() / 2),
            "forces": forces,
            "stress": tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }

    def _pair(self, r: Any, r0: Any) -> tuple[Any, Any]:
        """Energy of each directed pair and its derivative."""
        decay = np.exp(-RANGE_PER_A * (r - r0))
        bare = self.depth_eV * ((1 - decay) ** 2 - 1)
        bare_slope = 2 * self.depth_eV * RANGE_PER_A * (1 - decay) * decay
        inside = 1 - (r / CUTOFF_A) ** 2
        return bare * inside**3, bare_slope * inside**3 - bare * 6 * inside**2 * r / CUTOFF_A**2


def morse(depth_eV: float = 0.4, refuses: str = "none") -> Morse:
    """The factory that a term names; cells with the element `refuses` are an error."""
    return Morse(depth_eV, refuses)
