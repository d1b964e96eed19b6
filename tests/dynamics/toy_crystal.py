"""Small crystals with known physics, fast enough to run thousands of steps in a test."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from halmd.potentials.evaluators import Loaded

COULOMB_EV_A = 14.399645
BORN_EV = np.array([[100.0, 450.0], [450.0, 3500.0]])
"""Li and Cl along both axes."""
RHO_A = 0.317
CUTOFF_A = 4.9
SKIN_A = 0.2


def lithium_chloride(*, strain: float = 1.0, repeat: int | tuple[int, int, int] = 2) -> Atoms:
    """Rocksalt LiCl at the lattice constant of IonicToy, 64 atoms unless told otherwise."""
    return bulk("LiCl", "rocksalt", a=5.315 * strain, cubic=True).repeat(repeat)


class IonicToy(Calculator):
    """Born-Mayer repulsion and Coulomb forces, both with force and energy zero at the cutoff.

    Its neighbour list has a skin and keeps the order it was built in, so that sums depend on when
    it was built: the reason why a restart has to make uninterrupted runs forget theirs.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, nan_after: int | None = None) -> None:
        super().__init__()
        self.pairs: Any = None
        self.calls = 0
        self.nan_after = nan_after

    def forget(self) -> None:
        self.pairs = None
        self.reset()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        positions, cell = self.atoms.positions, np.array(self.atoms.cell)
        i, j, image, charge, born = self._pairs(positions, cell)
        bond = positions[j] - positions[i] + image @ cell
        length = np.sqrt((bond**2).sum(axis=1))
        value, slope = self._pair(length, charge, born)
        edge, edge_slope = self._pair(np.full_like(length, CUTOFF_A), charge, born)
        inside = length < CUTOFF_A
        energy = np.where(inside, value - edge - (length - CUTOFF_A) * edge_slope, 0.0)
        pull = np.where(inside, slope - edge_slope, 0.0)[:, None] * bond / length[:, None]
        forces = np.zeros_like(positions)
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        if self.nan_after is not None and self.calls > self.nan_after:
            forces[:] = np.nan
        stress = np.einsum("pa,pb->ab", bond, pull) / abs(np.linalg.det(cell))
        self.results = {
            "energy": float(energy.sum()),
            "free_energy": float(energy.sum()),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress((stress + stress.T) / 2),
        }

    @staticmethod
    def _pair(length: Any, charge: Any, born: Any) -> tuple[Any, Any]:
        coulomb, repulsion = COULOMB_EV_A * charge / length, born * np.exp(-length / RHO_A)
        return coulomb + repulsion, -coulomb / length - repulsion / RHO_A

    def _pairs(self, positions: Any, cell: Any) -> Any:
        if self.pairs is not None:
            old_positions, old_cell, pairs = self.pairs
            moved = np.sqrt(((positions - old_positions) ** 2).sum(axis=1)).max()
            if moved < SKIN_A / 2 and np.array_equal(cell, old_cell):
                return pairs
        i, j = np.triu_indices(len(positions), 1)
        fractional = (positions[j] - positions[i]) @ np.linalg.inv(cell)
        image = -np.rint(fractional)
        length = np.sqrt((((fractional + image) @ cell) ** 2).sum(axis=1))
        # Sorted by distance: another build, another order of summation.
        near = np.argsort(length)[: int((length < CUTOFF_A + SKIN_A).sum())]
        i, j, image = i[near], j[near], image[near]
        kind = (self.atoms.numbers == 17).astype(int)
        charge = 1.0 - 2.0 * kind
        pairs = (i, j, image, charge[i] * charge[j], BORN_EV[kind[i], kind[j]])
        self.pairs = (positions.copy(), cell.copy(), pairs)
        return pairs


class Springs(Calculator):
    """Every pair of atoms joined by a spring that stiffens when stretched (force k d + q d³).

    Without the cubic term no mode would ever pass energy to another, and a thermostat that scales
    all velocities alike would keep their ratios for ever. The sum of all forces is zero, so that
    the centre of mass stays where it is.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, places_A: Any, stiffness_eV_per_A2: float, seed: int = 0) -> None:
        super().__init__()
        self.places_A = np.array(places_A)
        n = len(self.places_A)
        self.cubic_eV_per_A4 = 1.0
        weights = stiffness_eV_per_A2 * np.random.default_rng(seed).uniform(0.5, 1.5, (n, n)) / n
        weights = np.triu(weights, 1) + np.triu(weights, 1).T
        self.weights = weights

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        shift = self.atoms.positions - self.places_A
        stretch = shift[:, None] - shift[None]
        square = (stretch**2).sum(axis=2)
        pull = self.weights + self.cubic_eV_per_A4 * square
        energy = (0.25 * self.weights * square + 0.125 * self.cubic_eV_per_A4 * square**2).sum()
        self.results = {
            "energy": float(energy),
            "forces": -(pull[:, :, None] * stretch).sum(axis=1),
        }


def loaded(calculator: Any, *, fresh: Callable[[], None] | None = None) -> Loaded:
    """A calculator as the dynamics wants it."""
    return Loaded(
        calculator=calculator,
        provenance={"name": "toy", "kind": "ase", "evaluator": "ase", "sha256": None},
        elements=None,
        fresh_neighbours=fresh or calculator.forget,
    )
