"""Molecular dynamics at constant volume with next to nothing around the forces.

ASE's integrators and the packaged calculator cost half a millisecond and more a step, a third of
the forces of thirty atoms. Here a step is the native call, a check of the skin, and a dozen
operations on small arrays (`benchmarks/dynamics.py` prints both).
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from halmd.potentials.many import TorchMany, cell_of

Floats = NDArray[np.float64]

_CALLS = ("_compute_prepared_factorized_positions", "_reduce_atom_forces")
"""Underscore calls of symmetrix-xl 0.1.1, which is pinned; without them ASE's way is taken."""


class Forces(Protocol):
    """Forces, shape (n_atoms, 3) in eV/Å, at positions of that shape in Å."""

    def __call__(self, positions_A: Floats) -> Floats:
        """Compute them."""
        ...

    def energy_eV(self) -> float:
        """Potential energy at the positions that were asked for last."""
        ...


def forces_of(atoms: Atoms, calculator: Any) -> Forces:
    """Forces on moving atoms in a cell at rest, by the shortest way that the calculator has."""
    evaluator = getattr(calculator, "evaluator", None)
    # Another mode, as without a compiler, has the same calls and does not answer them.
    direct = getattr(evaluator, "streamed_edges_mode", None) == "direct"
    skin_A = getattr(calculator, "neighbor_skin", 0.0)
    if direct and skin_A > 0 and all(callable(getattr(evaluator, n, None)) for n in _CALLS):
        return _NativeForces(atoms, calculator)
    if TorchMany.can(calculator):
        return _TorchForces(atoms, calculator)
    return _AseForces(atoms, calculator)


class _AseForces:
    """Any calculator, asked as ASE asks it."""

    def __init__(self, atoms: Atoms, calculator: Any):
        self._atoms = atoms.copy()
        self._atoms.calc = calculator

    def __call__(self, positions_A: Floats) -> Floats:
        self._atoms.positions = positions_A
        found: Floats = self._atoms.get_forces()
        return found

    def energy_eV(self) -> float:
        return float(self._atoms.get_potential_energy())


class _TorchForces:
    """A mace-torch model as a batch of one: its list has a skin, and what stays is kept there."""

    def __init__(self, atoms: Atoms, calculator: Any):
        self._many, self._cell = TorchMany(calculator), cell_of(atoms)
        self._energy_eV = math.nan

    def __call__(self, positions_A: Floats) -> Floats:
        self._cell.positions_A = positions_A
        (found,) = self._many([self._cell], stress=False)
        self._energy_eV = found.energy_eV
        return found.forces_eV_per_A

    def energy_eV(self) -> float:
        return self._energy_eV


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
        cache, evaluator = self._calculator._neighbor_cache, self._calculator.evaluator
        mine = cache is not None and cache is self._cache
        if not mine or cache.geometry_generation != self._geometry or self._left_skin(positions_A):
            # A new list is made together with what is asked of it.
            self._rebuild(positions_A)
            cache = self._cache
        else:
            evaluator._compute_prepared_factorized_positions(
                self._generation, np.ascontiguousarray(positions_A).reshape(-1)
            )
        forces = evaluator._reduce_atom_forces(
            len(positions_A), cache.receivers, cache.sources, self._generation
        )
        return np.asarray(forces, dtype=float).reshape(-1, 3)

    def energy_eV(self) -> float:
        return float(np.sum(self._calculator.evaluator.node_energies, dtype=float))

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


_FLIGHT_A = 1e6


class FlightError(FloatingPointError):
    """An atom flies away: a run that has blown up, though its numbers are numbers still."""


def refuse_flight(velocities: Floats, timestep: float) -> None:
    """Raise FlightError where an atom would move by more than 1e6 Å in a step.

    Velocities and timestep in ASE units. Of atoms 1e11 Å away a neighbour list takes minutes (its
    time grows with the distance), before any position ceases to be a number. What flies less far
    is left to the guards of a run.
    """
    furthest_A = timestep * float(np.abs(velocities).max(initial=0.0))
    if not math.isfinite(furthest_A):
        raise FloatingPointError("positions are no longer numbers")
    if furthest_A > _FLIGHT_A:
        raise FlightError(f"an atom would fly by {furthest_A:.1e} Å in one step")


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


def rescaled(
    kinetic_eV: float,
    temperature_K: float,
    *,
    kept: float,
    noise: tuple[float, float],
) -> float:
    """Kinetic energy after a step of stochastic velocity rescaling over that before it.

    Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101 (2007), eq. A7. kept is exp(-step /
    relaxation time); noise a normal number, and the sum of the squares of as many
    others as there are degrees of freedom but one.
    """
    first, others = noise
    # Half a kT over what there is: the number of degrees of freedom cancels.
    share = (1 - kept) * 0.5 * units.kB * temperature_K / kinetic_eV
    return float(kept + share * (first**2 + others) + 2 * first * math.sqrt(kept * share))


class Rescaling:
    """Stochastic velocity rescaling (Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101).

    For velocities without a total momentum.
    """

    def __init__(
        self,
        masses_amu: Floats,
        *,
        temperature_K: float,
        time_fs: float,
        timestep_fs: float,
        rng: np.random.Generator,
    ):
        self.rng = rng
        self.transferred_eV = 0.0
        """Energy given to the atoms so far."""
        self._freedom = 3 * len(masses_amu) - 3
        self._temperature_K = temperature_K
        self._kept = math.exp(-timestep_fs / time_fs)
        self._weights = 0.5 * masses_amu[:, None]

    def __call__(self, velocities: Floats) -> Floats:
        """Velocities after the thermostat's step."""
        kinetic_eV = float(np.vdot(velocities * self._weights, velocities))
        squared = rescaled(
            kinetic_eV,
            self._temperature_K,
            kept=self._kept,
            noise=(self.rng.normal(), 2 * self.rng.gamma((self._freedom - 1) / 2)),
        )
        self.transferred_eV += (squared - 1) * kinetic_eV
        return velocities * math.sqrt(squared)


class Motion:
    """Atoms that move: BAOAB, which with the identity as thermostat is velocity Verlet.

    Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34.
    """

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
        self._kick = self._step / atoms.get_masses()[:, None]
        self._forces: Floats | None = None
        self._potential_eV = math.nan

    def forget(self) -> None:
        """Ask for forces anew before the next step, of whoever has them then."""
        self._forces = None

    def forces_eV_per_A(self) -> Floats:
        """Forces at the present positions, shape (n_atoms, 3)."""
        if self._forces is None:
            self._forces = self._forces_at(self.atoms.positions)
            self._potential_eV = self._forces_at.energy_eV()
        return self._forces

    def potential_eV(self) -> float:
        """Potential energy at the present positions."""
        self.forces_eV_per_A()
        return self._potential_eV

    def run(self, steps: int) -> None:
        """Move on; positions and momenta of `atoms` are those of the last step afterwards.

        Raises FloatingPointError when an atom flies away or positions cease to be numbers, and
        leaves `atoms` as they were.
        """
        half = 0.5 * self._step
        positions, velocities = self.atoms.positions.copy(), self.atoms.get_velocities()
        try:
            forces = self.forces_eV_per_A()
            velocities += 0.5 * self._kick * forces
            for left in range(steps - 1, -1, -1):
                positions += half * velocities
                if self._thermostat is not None:
                    velocities = self._thermostat(velocities)
                positions += half * velocities
                forces = self._forces_at(positions)
                # The second half of this step's kick and the first of the next are one.
                velocities += (self._kick if left else 0.5 * self._kick) * forces
                refuse_flight(velocities, self._step)
        except Exception as error:
            # Some calculators refuse positions that are not numbers.
            if np.isfinite(positions).all():
                raise
            raise FloatingPointError("positions are no longer numbers") from error
        if not np.isfinite(positions).all():
            raise FloatingPointError("positions are no longer numbers")
        self._forces, self._potential_eV = forces, self._forces_at.energy_eV()
        self.atoms.positions = positions
        self.atoms.set_velocities(velocities)


def at_rest_as_a_whole(atoms: Atoms, temperature_K: float, rng: np.random.Generator) -> None:
    """Maxwell-Boltzmann velocities without a total momentum."""
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature_K)
    # What the whole has is taken off by mass, so that all get the same velocity less.
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
