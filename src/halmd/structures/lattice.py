"""The sites of a supercell, the rules of filling them, and what a filling is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VACANCY = -1

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Occupation = NDArray[np.int64]
"""Index of the species on each site, VACANCY for an empty one, shape (n_sites,)."""


@dataclass(frozen=True)
class Lattice:
    """The sites of a supercell and the rules of filling them."""

    cell_A: Floats
    fractional: Floats
    groups: tuple[str, ...]
    """Group (CIF label) of each site."""
    species: tuple[str, ...]
    charges_e: Floats
    """Charge of each species, shape (n_species,)."""
    contents: Mapping[str, Mapping[str, int]]
    """Group to species to number of atoms; the rest of a group is empty."""
    excluded: NDArray[np.bool_]
    """Pairs of sites that may not both be occupied, shape (n_sites, n_sites), symmetric."""

    def members(self, group: str) -> Indices:
        """Indices of the sites of a group."""
        return np.flatnonzero(np.array(self.groups) == group)


def site_charges(lattice: Lattice, occupation: Occupation) -> Floats:
    """Charge of every site in e, zero for an empty one; same shape as `occupation`."""
    charges: Floats = np.append(lattice.charges_e, 0.0)[occupation]
    return charges


def total_energy_eV(lattice: Lattice, matrix_eV: Floats, occupation: Occupation) -> float:
    """Electrostatic energy in eV of an occupation, summed afresh from the Ewald matrix."""
    charges = site_charges(lattice, occupation)
    return float(charges @ matrix_eV @ charges / 2)


def is_disordered(lattice: Lattice) -> bool:
    """Whether any group can be filled in more than one way."""
    return any(
        len([n for n in content.values() if n]) > 1
        or sum(content.values()) not in (0, len(lattice.members(group)))
        for group, content in lattice.contents.items()
    )
