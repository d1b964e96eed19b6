"""A fast stand-in for a potential: screened Born-Mayer ions, for tests of the machinery only."""

from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list

CHARGES = {"Li": 1.0, "Y": 3.0, "Cl": -1.0}
RADII_A = {"Li": 0.95, "Y": 1.15, "Cl": 1.65}
COULOMB_EV_A = 14.3996
CUTOFF_A = 7.0
DAMPING_PER_A = 0.06


class Ions(Calculator):
    """Wolf-damped charges with exponential repulsion; forces are exact derivatives."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        symbols = self.atoms.get_chemical_symbols()
        q = np.array([CHARGES[s] for s in symbols])
        radius = np.array([RADII_A[s] for s in symbols])
        i, j, r, vector = neighbour_list("ijdD", self.atoms, CUTOFF_A)
        pair, slope = self._pair(r, COULOMB_EV_A * q[i] * q[j], radius[i] + radius[j])
        force = -(slope / r)[:, None] * vector  # on j
        forces = np.zeros((len(symbols), 3))
        np.add.at(forces, j, force)
        self.results = {
            "energy": float(pair.sum() / 2),
            "free_energy": float(pair.sum() / 2),
            "forces": forces,
            "stress": self._voigt(vector, force),
        }

    @staticmethod
    def _pair(r: Any, qq: Any, contact: Any) -> tuple[Any, Any]:
        """Energy and its derivative for each directed pair, shifted smoothly to zero."""

        def bare(x: Any) -> tuple[Any, Any]:
            screened = qq * np.exp(-DAMPING_PER_A * x) / x
            wall = 0.25 * np.exp((contact - x) / 0.30)
            return screened + wall, -screened * (1 / x + DAMPING_PER_A) - wall / 0.30

        energy, slope = bare(r)
        edge, edge_slope = bare(np.full_like(r, CUTOFF_A))
        return energy - edge - (r - CUTOFF_A) * edge_slope, slope - edge_slope

    def _voigt(self, vector: Any, force: Any) -> Any:
        tensor = -(vector[:, :, None] * force[:, None, :]).sum(axis=0) / 2 / self.atoms.get_volume()
        tensor = (tensor + tensor.T) / 2
        return tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def ions() -> Ions:
    """The factory that `potential: toy:ions` names."""
    return Ions()
