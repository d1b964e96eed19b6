"""Which site holds what: distinct orderings of a supercell with partial occupancies, ranked.

Each group of equivalent sites keeps its numbers of atoms (the refined occupancies), and species are
exchanged within a group. Pairs of sites that may not both be occupied are a hard constraint.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from halmd.structures.chains import Chains
from halmd.structures.ewald import ewald_matrix
from halmd.structures.lattice import (
    VACANCY,
    Floats,
    Lattice,
    Occupation,
    is_disordered,
    site_charges,
    total_energy_eV,
)
from halmd.structures.packing import NoFillingError, start
from halmd.structures.sqs import quasirandom
from halmd.structures.symmetry import (
    SiteSymmetry,
    content_kinds,
    fingerprint,
    same_ordering,
    site_symmetry,
)
from halmd.units import BOLTZMANN_EV_PER_K

__all__ = [
    "PERMITTIVITY",
    "VACANCY",
    "Lattice",
    "NoFillingError",
    "Occupation",
    "Sampling",
    "distinct_orderings",
    "inverse_temperatures_per_eV",
    "is_disordered",
    "run_chains",
    "site_charges",
]

Sampling = Literal["boltzmann", "random", "low_energy"]

PERMITTIVITY = 10.0
"""Relative permittivity that divides the energy of formal charges when orderings are sampled.

Formal charges in vacuum overrate the cost of disorder: without screening, sampling at a synthesis
temperature freezes in the ground state, which milled and quenched samples show not to be there. Ten
is of the size of the static permittivities of these chlorides.
"""

ANNEAL_FROM_K = 10_000.0
ANNEAL_TO_K = 20.0
"""Temperatures between which `low_energy` cools, geometrically."""

_SNAPSHOTS = 10
"""States kept of each chain that cools: below its best one lie few others, close above it many."""

_LARGEST_BATCH = 64
_SAME_ENERGY = 1e-3
"""Largest difference of an invariant per site between orderings that symmetry could make equal.

Refined positions obey the symmetry to a few thousandths of an angstrom only.
"""

Found = tuple[Occupation, float, int]


def distinct_orderings(
    lattice: Lattice,
    *,
    wanted: int,
    temperature_K: float,
    steps: int,
    seed: int,
    tries_per_ordering: int = 10,
    sampling: Sampling = "boltzmann",
    sqs: Sequence[str] = (),
) -> list[Found]:
    """Up to `wanted` symmetry-distinct occupations: (occupation, Ewald energy in eV, chain).

    Ranked by the energy of formal charges in vacuum. `sampling`: "boltzmann" draws each from the
    Boltzmann distribution at `temperature_K` (energies divided by PERMITTIVITY), one chain of
    `steps` moves for each; "random" at infinite temperature, where only the exclusions count;
    "low_energy" cools each chain and keeps the lowest energies met. Species named in `sqs` are
    arranged special-quasirandomly among their sites and the others sampled around them. Fewer are
    returned where fewer were found in `wanted * tries_per_ordering` chains. The same seed gives the
    same result. Raises NoFillingError where no filling keeps the exclusions.
    """
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    if not is_disordered(lattice):
        only = start(lattice, np.random.default_rng(seed))
        return [(only, total_energy_eV(lattice, matrix, only), 0)]
    alike = site_symmetry(lattice.cell_A, lattice.fractional, content_kinds(lattice))
    betas = inverse_temperatures_per_eV(sampling, temperature_K, steps)
    kept: list[Found] = []
    marks: list[Floats] = []
    for batch in _batches(wanted, wanted * tries_per_ordering):
        candidates = run_chains(
            lattice,
            matrix,
            betas_per_eV=betas,
            seed=seed,
            chains=batch,
            snapshots=_SNAPSHOTS if sampling == "low_energy" else 1,
            sqs=sqs,
        )
        for occupation, chain in candidates:
            mark = fingerprint(lattice, matrix, occupation)
            if _is_new(occupation, mark, kept, marks, alike):
                kept.append((occupation, total_energy_eV(lattice, matrix, occupation), chain))
                marks.append(mark)
            if len(kept) == wanted and sampling != "low_energy":
                break
        if len(kept) >= wanted:
            break
    return sorted(kept, key=lambda entry: entry[1])[:wanted]


def run_chains(
    lattice: Lattice,
    matrix_eV: Floats,
    *,
    betas_per_eV: Floats,
    seed: int,
    chains: Sequence[int],
    snapshots: int = 1,
    sqs: Sequence[str] = (),
) -> list[tuple[Occupation, int]]:
    """Occupations drawn by the chains of the given numbers: (occupation, chain), chain by chain.

    A chain depends on the seed and its number only, not on those that run beside it. One move for
    each inverse temperature; with `snapshots`, as many states of the second half, the last first.
    """
    rngs = [np.random.default_rng([seed, number]) for number in chains]
    kinds = np.random.default_rng([seed, 2**31])
    state = Chains.of(lattice, matrix_eV, [start(lattice, rng) for rng in rngs])
    if sqs:
        state.run(betas_per_eV, rngs, kinds)
        arranged = [
            quasirandom(lattice, occupation, sqs, seed=int(rng.integers(2**31)))
            for occupation, rng in zip(state.occupations(), rngs, strict=True)
        ]
        state = Chains.of(lattice, matrix_eV, arranged, frozen=sqs)
    half = len(betas_per_eV) // 2 if snapshots > 1 else 0
    seen = []
    state.run(betas_per_eV[:half], rngs, kinds)
    for part in np.array_split(betas_per_eV[half:], snapshots):
        state.run(part, rngs, kinds)
        seen.append(state.occupations())
    return [
        (occupations[k], number)
        for k, number in enumerate(chains)
        for occupations in reversed(seen)
    ]


def inverse_temperatures_per_eV(sampling: Sampling, temperature_K: float, steps: int) -> Floats:
    """1 / (k T epsilon) of every move, shape (steps,)."""
    if sampling == "random":
        return np.zeros(steps)
    if sampling == "low_energy":
        temperatures = np.geomspace(ANNEAL_FROM_K, ANNEAL_TO_K, steps)
    else:
        temperatures = np.full(steps, temperature_K)
    betas: Floats = 1 / (BOLTZMANN_EV_PER_K * temperatures * PERMITTIVITY)
    return betas


def _batches(wanted: int, most: int) -> Iterator[range]:
    """Numbers of the chains to run together: as many as are wanted, then more and more."""
    first, size = 0, wanted
    while first < most:
        last = min(most, first + min(size, _LARGEST_BATCH))
        yield range(first, last)
        first, size = last, 2 * size


def _is_new(
    occupation: Occupation,
    mark: Floats,
    kept: Sequence[Found],
    marks: Sequence[Floats],
    symmetry: SiteSymmetry,
) -> bool:
    """Whether no ordering kept so far is this one moved by symmetry."""
    return not any(
        np.abs(mark - known).max() < _SAME_ENERGY and same_ordering(occupation, before, symmetry)
        for (before, _, _), known in zip(kept, marks, strict=True)
    )
