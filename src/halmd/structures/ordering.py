"""Which site holds what: Monte Carlo over the orderings of a supercell with partial occupancies.

Each group of equivalent sites keeps its numbers of atoms (the refined occupancies), and species are
exchanged within a group. Pairs of sites that may not both be occupied are a hard constraint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import spglib
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.structures.ewald import ewald_matrix
from halmd.units import BOLTZMANN_EV_PER_K

VACANCY = -1
PERMITTIVITY = 10.0
"""Relative permittivity that divides the energy of formal charges when orderings are sampled.

Formal charges in vacuum overrate the cost of disorder: without screening, sampling at a synthesis
temperature freezes in the ground state, which milled and quenched samples show not to be there. Ten
is of the size of the static permittivities of these chlorides.
"""

_MAX_REPAIRS = 5_000

Indices = NDArray[np.int64]
Occupation = NDArray[np.int64]
"""Index of the species on each site, VACANCY for an empty one, shape (n_sites,)."""


@dataclass(frozen=True)
class Lattice:
    """The sites of a supercell and the rules of filling them."""

    cell_A: NDArray[np.float64]
    fractional: NDArray[np.float64]
    groups: tuple[str, ...]
    """Group (CIF label) of each site."""
    species: tuple[str, ...]
    charges_e: NDArray[np.float64]
    """Charge of each species, shape (n_species,)."""
    contents: Mapping[str, Mapping[str, int]]
    """Group to species to number of atoms; the rest of a group is empty."""
    excluded: NDArray[np.bool_]
    """Pairs of sites that may not both be occupied, shape (n_sites, n_sites), symmetric."""

    def members(self, group: str) -> Indices:
        """Indices of the sites of a group."""
        return np.flatnonzero(np.array(self.groups) == group)


def start(lattice: Lattice, rng: np.random.Generator) -> Occupation:
    """A random occupation with the right numbers that honours the exclusions.

    Random filling, then exchanges that never raise the number of excluded pairs. Raises HalmdError
    when none is found.
    """
    occupation = np.full(len(lattice.groups), VACANCY)
    for group, content in lattice.contents.items():
        sites = rng.permutation(lattice.members(group))
        numbers = np.repeat(
            [lattice.species.index(element) for element in content], list(content.values())
        )
        occupation[sites[: len(numbers)]] = numbers
    full = occupation != VACANCY
    blocked = lattice.excluded @ full.astype(np.int64)
    for _ in range(_MAX_REPAIRS):
        clashing = np.flatnonzero(full & (blocked > 0))
        if not len(clashing):
            return occupation
        i = int(rng.choice(clashing))
        empty = lattice.members(lattice.groups[i])
        empty = empty[~full[empty]]
        if not len(empty):
            continue
        costs = blocked[empty] - lattice.excluded[i, empty]
        # The least crowded place; now and then any, so that the search leaves dead ends.
        j = int(empty[costs == costs.min()][rng.integers(np.sum(costs == costs.min()))])
        if costs.min() > blocked[i] or rng.random() < 0.05:
            j = int(rng.choice(empty))
        occupation[j], occupation[i] = occupation[i], VACANCY
        full[i], full[j] = False, True
        blocked += lattice.excluded[j].astype(np.int64) - lattice.excluded[i].astype(np.int64)
    raise HalmdError("no filling of the sites keeps excluded pairs apart")


@dataclass
class Walk:
    """Monte Carlo state: occupation, charges, potentials and energy, updated together."""

    lattice: Lattice
    matrix_eV: NDArray[np.float64]
    """Ewald matrix of the sites."""
    occupation: Occupation
    charges_e: NDArray[np.float64]
    potential_V: NDArray[np.float64]
    energy_eV: float
    blocked: Indices

    @classmethod
    def of(cls, lattice: Lattice, matrix_eV: NDArray[np.float64], occupation: Occupation) -> "Walk":
        """Begin at an occupation."""
        charges = site_charges(lattice, occupation)
        potential = matrix_eV @ charges
        full = (occupation != VACANCY).astype(np.int64)
        return cls(
            lattice,
            matrix_eV,
            occupation.copy(),
            charges,
            potential,
            float(charges @ potential / 2),
            lattice.excluded @ full,
        )

    def change_eV(self, i: int, j: int) -> float:
        """Energy of exchanging what stands on sites i and j, from the potentials (O(1))."""
        d = self.charges_e[j] - self.charges_e[i]
        a = self.matrix_eV
        return float(
            d * (self.potential_V[i] - self.potential_V[j])
            + d * d * (a[i, i] + a[j, j] - 2 * a[i, j]) / 2
        )

    def allowed(self, i: int, j: int) -> bool:
        """Whether exchanging i and j puts no atom beside an excluded one."""
        first, second = self.occupation[i] == VACANCY, self.occupation[j] == VACANCY
        if first == second:
            return True
        target, source = (i, j) if first else (j, i)
        return int(self.blocked[target]) - int(self.lattice.excluded[target, source]) == 0

    def exchange(self, i: int, j: int) -> None:
        """Exchange what stands on sites i and j, and update everything incrementally (O(n))."""
        self.energy_eV += self.change_eV(i, j)
        d = self.charges_e[j] - self.charges_e[i]
        self.potential_V += d * (self.matrix_eV[:, i] - self.matrix_eV[:, j])
        moved = (self.occupation[j] != VACANCY).astype(int) - (self.occupation[i] != VACANCY)
        difference = self.lattice.excluded[i].astype(int) - self.lattice.excluded[j].astype(int)
        self.blocked = self.blocked + moved * difference
        self.charges_e[[i, j]] = self.charges_e[[j, i]]
        self.occupation[[i, j]] = self.occupation[[j, i]]


def site_charges(lattice: Lattice, occupation: Occupation) -> NDArray[np.float64]:
    """Charge of every site in e, zero for an empty one."""
    padded = np.append(lattice.charges_e, 0.0)
    charges: NDArray[np.float64] = padded[occupation]
    return charges


def sample(
    lattice: Lattice,
    matrix_eV: NDArray[np.float64],
    *,
    temperature_K: float,
    steps: int,
    rng: np.random.Generator,
) -> tuple[Occupation, float]:
    """One occupation drawn by Metropolis exchanges within groups, and its Ewald energy in eV.

    The energy is that of formal charges, unscreened; sampling divides it by PERMITTIVITY.
    """
    walk = Walk.of(lattice, matrix_eV, start(lattice, rng))
    mixed = [lattice.members(group) for group in dict.fromkeys(lattice.groups)]
    mixed = [sites for sites in mixed if len(set(walk.occupation[sites])) > 1]
    if not mixed:
        return walk.occupation, walk.energy_eV
    weights = np.array([len(sites) for sites in mixed], dtype=float)
    chosen = rng.choice(len(mixed), size=steps, p=weights / weights.sum())
    beta = 1 / (BOLTZMANN_EV_PER_K * temperature_K * PERMITTIVITY)
    for group, u in zip(chosen, rng.random(steps), strict=True):
        i, j = (int(k) for k in rng.choice(mixed[group], 2, replace=False))
        if walk.occupation[i] == walk.occupation[j] or not walk.allowed(i, j):
            continue
        if u < np.exp(-max(0.0, beta * walk.change_eV(i, j))):
            walk.exchange(i, j)
    # A fresh sum, so that the energy written down carries no rounding of thousands of updates.
    charges = site_charges(lattice, walk.occupation)
    return walk.occupation, float(charges @ matrix_eV @ charges / 2)


def permutations(lattice: Lattice, symprec_A: float = 0.01) -> Indices:
    """Site permutations of the average structure's symmetry, translations included.

    Shape (n_operations, n_sites): operation k takes site i to the place of `result[k, i]`.
    """
    kinds = {group: k for k, group in enumerate(dict.fromkeys(lattice.groups))}
    numbers = [kinds[group] + 1 for group in lattice.groups]
    symmetry = spglib.get_symmetry((lattice.cell_A, lattice.fractional, numbers), symprec=symprec_A)
    rows = []
    for rotation, translation in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        moved = lattice.fractional @ rotation.T + translation
        difference = moved[:, None] - lattice.fractional[None]
        difference -= np.rint(difference)
        distance = np.linalg.norm(difference @ lattice.cell_A, axis=-1)
        row = distance.argmin(axis=1)
        if len(set(row)) == len(row):
            rows.append(row)
    return np.array(rows)


def canonical(occupation: Occupation, operations: Indices) -> bytes:
    """The same bytes for all occupations that symmetry makes equal."""
    images = np.empty((len(operations), len(occupation)), dtype=np.int8)
    np.put_along_axis(images, operations, occupation[None].astype(np.int8), axis=1)
    return min(image.tobytes() for image in images)


def distinct_orderings(
    lattice: Lattice,
    *,
    wanted: int,
    temperature_K: float,
    steps: int,
    seed: int,
    tries_per_ordering: int = 10,
) -> list[tuple[Occupation, float, int]]:
    """Up to `wanted` symmetry-distinct occupations: (occupation, Ewald energy in eV, seed).

    Each comes from a chain of its own. Ranked by energy. Fewer are returned where fewer were found
    in `wanted * tries_per_ordering` chains.
    """
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    operations = permutations(lattice)
    found: dict[bytes, tuple[Occupation, float, int]] = {}
    for attempt in range(wanted * tries_per_ordering):
        rng = np.random.default_rng([seed, attempt])
        occupation, energy = sample(
            lattice, matrix, temperature_K=temperature_K, steps=steps, rng=rng
        )
        found.setdefault(canonical(occupation, operations), (occupation, energy, attempt))
        if len(found) == wanted or not _disordered(lattice):
            break
    return sorted(found.values(), key=lambda entry: entry[1])


def _disordered(lattice: Lattice) -> bool:
    """Whether any group can be filled in more than one way."""
    return any(
        len(content) > 1 or sum(content.values()) not in (0, len(lattice.members(group)))
        for group, content in lattice.contents.items()
    )
