"""ASE's integrators, set up for crystals whose centre of mass is at rest.

Production: Bussi stochastic velocity rescaling (J. Chem. Phys. 126, 014101, 2007), a global
thermostat, which does not slow diffusion as local friction does. Equilibration: isotropic
Martyna-Tobias-Klein NPT (J. Chem. Phys. 101, 4177, 1994).
"""

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.nose_hoover_chain import IsotropicMTKNPT

from halmd.config import DynamicsSettings
from halmd.dynamics.engines import Floats
from halmd.potentials.evaluators import Loaded


def degrees_of_freedom(atoms: Atoms) -> int:
    """Three per atom, less the resting centre of mass."""
    return 3 * len(atoms) - 3


def temperature_K(atoms: Atoms) -> float:
    """Kinetic temperature in K, with the centre of mass at rest."""
    return float(2 * atoms.get_kinetic_energy() / (units.kB * degrees_of_freedom(atoms)))


def start_velocities(atoms: Atoms, target_K: float, rng: np.random.Generator) -> None:
    """Maxwell-Boltzmann velocities with the centre of mass at rest."""
    widths = np.sqrt(atoms.get_masses() * units.kB * target_K)
    atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * widths[:, None])
    hold_centre_of_mass(atoms)


def hold_centre_of_mass(atoms: Atoms) -> None:
    """Take the momentum of the centre of mass out, once: the integrators keep it at zero."""
    velocity = atoms.get_momenta().sum(axis=0) / atoms.get_masses().sum()
    atoms.set_momenta(atoms.get_momenta() - atoms.get_masses()[:, None] * velocity)


def nvt(
    atoms: Atoms, settings: DynamicsSettings, target_K: float, rng: np.random.Generator
) -> Bussi:
    """Bussi dynamics that counts the degrees of freedom without the centre of mass."""
    dynamics = Bussi(
        atoms,
        settings.timestep_fs * units.fs,
        temperature_K=target_K,
        taut=settings.thermostat_time_ps * 1000 * units.fs,
        rng=rng,
    )
    dynamics.ndof = degrees_of_freedom(atoms)
    dynamics.target_kinetic_energy = 0.5 * target_K * units.kB * dynamics.ndof
    return dynamics


def npt(atoms: Atoms, settings: DynamicsSettings, target_K: float) -> IsotropicMTKNPT:
    """MTK dynamics at the pressure of the settings.

    ASE's chain counts the three degrees of freedom of the resting centre of mass; the target is
    lowered by as much, so that the other degrees of freedom have the temperature asked for.
    """
    return IsotropicMTKNPT(
        atoms,
        settings.timestep_fs * units.fs,
        temperature_K=target_K * degrees_of_freedom(atoms) / (3 * len(atoms)),
        pressure_au=settings.pressure_GPa * units.GPa,
        tdamp=100 * settings.timestep_fs * units.fs,
        pdamp=settings.barostat_time_ps * 1000 * units.fs,
    )


class AseEngine:
    """ASE's Bussi dynamics, and what a restart needs."""

    def __init__(
        self,
        atoms: Atoms,
        loaded: Loaded,
        settings: DynamicsSettings,
        target_K: float,
        rng: np.random.Generator,
    ):
        self.atoms = atoms
        atoms.calc = loaded.calculator
        self._loaded = loaded
        self._dynamics = nvt(atoms, settings, target_K, rng)

    def run(self, steps: int) -> None:
        """Move on; raises FloatingPointError when positions cease to be numbers."""
        try:
            self._dynamics.run(steps)
        except Exception as error:
            # Some calculators refuse positions that are not numbers.
            if np.isfinite(self.atoms.positions).all():
                raise
            raise FloatingPointError("positions are no longer numbers") from error
        if not np.isfinite(self.atoms.positions).all():
            raise FloatingPointError("positions are no longer numbers")

    def forces_eV_per_A(self) -> Floats:
        """Forces at the present positions, shape (n_atoms, 3)."""
        forces: Floats = self.atoms.get_forces()
        return forces

    def potential_eV(self) -> float:
        """Potential energy at the present positions."""
        return float(self.atoms.get_potential_energy())

    def transferred_eV(self) -> float:
        """Energy that the thermostat has given to the atoms since the run began."""
        return float(self._dynamics.transferred_energy)

    def forget(self) -> None:
        """Forget forces and neighbours: what follows is what follows a restart here."""
        self._loaded.fresh_neighbours()

    def state(self) -> dict[str, Any]:
        """What a restart needs beyond cell, positions and momenta, JSON-able."""
        return {
            "random": self._dynamics.rng.bit_generator.state,
            "transferred_energy_eV": float(self._dynamics.transferred_energy),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._dynamics.rng.bit_generator.state = state["random"]
        self._dynamics.transferred_energy = state["transferred_energy_eV"]
