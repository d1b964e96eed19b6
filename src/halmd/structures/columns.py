"""Connected sets of mutually excluded sites, such as columns of face-sharing octahedra."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from halmd.structures.lattice import Indices, Lattice
from halmd.structures.symmetry import SiteSymmetry, group_kinds, site_symmetry


@dataclass(frozen=True)
class Columns:
    """Connected sets of excluded sites that symmetry makes alike, shape (n_columns, size)."""

    sites: Indices


def column_numbers(excluded: NDArray[np.bool_]) -> Indices:
    """Number of the connected set of mutually excluded sites each site is in, shape (n,)."""
    _, numbers = connected_components(csr_matrix(excluded), directed=False)
    return np.asarray(numbers, dtype=np.int64)


def neighbour_lists(excluded: NDArray[np.bool_]) -> Indices:
    """Excluded neighbours of each site, filled up with -1, shape (n, largest number of them)."""
    most = int(excluded.sum(axis=1).max())
    found = np.argsort(~excluded, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(excluded, found, axis=1), found, -1)


def column_symmetry(lattice: Lattice) -> SiteSymmetry:
    """Symmetry of the excluded sites alone, groups kept apart; other sites stand still.

    The rest of the crystal need not obey it: what a column move costs is worked out, not assumed.
    """
    n = len(lattice.groups)
    inside = np.flatnonzero(lattice.excluded.any(axis=1))
    if not len(inside):
        return SiteSymmetry(np.arange(n)[None], np.arange(n)[None])
    found = site_symmetry(lattice.cell_A, lattice.fractional[inside], group_kinds(lattice)[inside])
    points = np.tile(np.arange(n), (len(found.points), 1))
    translations = np.tile(np.arange(n), (len(found.translations), 1))
    points[:, inside], translations[:, inside] = inside[found.points], inside[found.translations]
    return SiteSymmetry(points, translations)


def find_columns(
    lattice: Lattice, symmetry: SiteSymmetry, frozen: Collection[str] = ()
) -> tuple[Columns, ...]:
    """Connected sets of excluded sites, gathered by the symmetry that makes them alike.

    Sets that may hold `frozen` species, or that hold nothing, are left out.
    """
    if not lattice.excluded.any():
        return ()
    numbers = column_numbers(lattice.excluded)
    held = {g: {e for e, n in content.items() if n} for g, content in lattice.contents.items()}
    found = []
    done: set[int] = set()
    for number in np.unique(numbers):
        members = np.flatnonzero(numbers == number)
        if number in done or len(members) < 2:
            continue
        images = symmetry.translations[:, symmetry.points[:, members[0]]]
        alike = np.unique(numbers[images])
        done.update(alike.tolist())
        species = set().union(*(held.get(lattice.groups[site], set()) for site in members))
        if species and species.isdisjoint(frozen):
            found.append(Columns(np.array([np.flatnonzero(numbers == k) for k in alike])))
    return tuple(found)
