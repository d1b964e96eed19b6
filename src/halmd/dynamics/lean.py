"""Molecular dynamics at constant volume with next to nothing around the forces.

ASE's integrators and the packaged calculator cost half a millisecond and more a step, a third of
the forces of thirty atoms. Here a step is the native call, a check of the skin, and a dozen
operations on small arrays (`benchmarks/dynamics.py` prints both). Explorations and checks of
students run on it; production runs on the engine, which can be continued bit for bit.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CALLS = ("_compute_prepared_factorized_positions", "_reduce_atom_forces")
"""Underscore calls of symmetrix-xl 0.1.1, which is pinned; without them ASE's way is taken."""


class Forces(Protocol):
    """Forces, shape (n_atoms, 3) in eV/Å, at positions of that shape in Å."""

    def __call__(self, positions_A: Floats) -> Floats:
        """Compute them."""
        ...


def forces_of(atoms: Atoms, calculator: Any) -> Forces:
    """Forces on moving atoms in a cell at rest, by the shortest way that the calculator has."""
    evaluator = getattr(calculator, "evaluator", None)
    # Another mode, as without a compiler, has the same calls and does not answer them.
    direct = getattr(evaluator, "streamed_edges_mode", None) == "direct"
    skin_A = getattr(calculator, "neighbor_skin", 0.0)
    if direct and skin_A > 0 and all(callable(getattr(evaluator, n, None)) for n in _CALLS):
        return _NativeForces(atoms, calculator)
    own = atoms.copy()
    own.calc = calculator

    def by_ase(positions_A: Floats) -> Floats:
        own.positions = positions_A
        found: Floats = own.get_forces()
        return found

    return by_ase


class _NativeForces:
    """The native evaluator, whose neighbour list is built anew when an atom leaves its skin."""

    def __init__(self, atoms: Atoms, calculator: Any):
        self._atoms, self._calculator = atoms.copy(), calculator
        self._reference: Floats = atoms.positions.copy()
        self._cache: Any = None
        self._geometry = self._generation = 0

    def __call__(self, positions_A: Floats) -> Floats:
        """Forces; the neighbour list serves while nothing moved by half the skin."""
        # Whoever else asks this calculator leaves another neighbour list in it, or another cell.
        cache = self._calculator._neighbor_cache
        mine = cache is not None and cache is self._cache
        if not mine or cache.geometry_generation != self._geometry or self._left_skin(positions_A):
            self._rebuild(positions_A)
        cache, evaluator = self._cache, self._calculator.evaluator
        evaluator._compute_prepared_factorized_positions(
            self._generation, np.ascontiguousarray(positions_A).reshape(-1)
        )
        forces = evaluator._reduce_atom_forces(
            len(positions_A), cache.receivers, cache.sources, self._generation
        )
        return np.asarray(forces, dtype=float).reshape(-1, 3)

    def _left_skin(self, positions_A: Floats) -> bool:
        moved = positions_A - self._reference
        half = 0.5 * float(self._calculator.neighbor_skin)
        # Written so that what is no number counts as gone.
        return not float(np.einsum("ij,ij->i", moved, moved).max()) <= half**2

    def _rebuild(self, positions_A: Floats) -> None:
        if not np.isfinite(positions_A).all():
            raise FloatingPointError("positions are no longer numbers")
        self._atoms.positions = positions_A
        self._calculator._neighbor_cache = None
        inputs = self._calculator._mace_inputs(self._atoms, native_geometry=True)
        self._generation = self._calculator._compute_mace(inputs, atoms=self._atoms)
        self._cache = self._calculator._neighbor_cache
        self._geometry = self._cache.geometry_generation
        self._reference = positions_A.copy()


Thermostat = Callable[[Floats], Floats]
"""Velocities after a step, of those before it; Å per ASE time."""


def langevin(
    masses_amu: Floats,
    *,
    temperature_K: float,
    friction_per_fs: float,
    timestep_fs: float,
    rng: np.random.Generator,
) -> Thermostat:
    """The exact step of friction and noise (Leimkuhler and Matthews' O)."""
    kept = math.exp(-friction_per_fs * timestep_fs)
    noise = np.sqrt((1 - kept**2) * units.kB * temperature_K / masses_amu)[:, None]

    def step(velocities: Floats) -> Floats:
        found: Floats = kept * velocities + noise * rng.normal(size=velocities.shape)
        return found

    return step


def rescaling(
    masses_amu: Floats,
    *,
    temperature_K: float,
    time_fs: float,
    timestep_fs: float,
    rng: np.random.Generator,
) -> Thermostat:
    """Stochastic velocity rescaling (Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101).

    For velocities without a total momentum.
    """
    freedom = 3 * len(masses_amu) - 3
    wanted_eV = 0.5 * freedom * units.kB * temperature_K
    kept = math.exp(-timestep_fs / time_fs)
    weights = 0.5 * masses_amu

    def step(velocities: Floats) -> Floats:
        kinetic_eV = float(weights @ np.einsum("ij,ij->i", velocities, velocities))
        share = (1 - kept) * wanted_eV / (freedom * kinetic_eV)
        first = rng.normal()
        others = 2 * rng.gamma((freedom - 1) / 2)
        squared = kept + share * (first**2 + others) + 2 * first * math.sqrt(kept * share)
        return velocities * math.sqrt(squared)

    return step


class Motion:
    """Atoms that move: BAOAB, which with the identity as thermostat is velocity Verlet."""

    def __init__(
        self,
        atoms: Atoms,
        calculator: Any,
        *,
        timestep_fs: float,
        thermostat: Thermostat | None = None,
    ):
        self.atoms = atoms
        self._forces_at = forces_of(atoms, calculator)
        self._step = timestep_fs * units.fs
        self._thermostat = thermostat
        self._per_mass = 1 / atoms.get_masses()[:, None]
        self._forces: Floats | None = None

    def run(self, steps: int) -> None:
        """Move on; positions and momenta of `atoms` are those of the last step afterwards.

        Raises FloatingPointError when positions cease to be numbers.
        """
        half = 0.5 * self._step
        positions, velocities = self.atoms.positions.copy(), self.atoms.get_velocities()
        forces = self._forces_at(positions) if self._forces is None else self._forces
        for _ in range(steps):
            velocities += half * forces * self._per_mass
            positions += half * velocities
            if self._thermostat is not None:
                velocities = self._thermostat(velocities)
            positions += half * velocities
            forces = self._forces_at(positions)
            velocities += half * forces * self._per_mass
        if not np.isfinite(positions).all():
            raise FloatingPointError("positions are no longer numbers")
        self._forces = forces
        self.atoms.positions = positions
        self.atoms.set_velocities(velocities)


def at_rest_as_a_whole(atoms: Atoms, temperature_K: float, rng: np.random.Generator) -> None:
    """Maxwell-Boltzmann velocities without a total momentum."""
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature_K)
    # What the whole has is taken off by mass, so that all get the same velocity less.
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
