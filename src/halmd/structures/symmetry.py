"""Symmetry of the sites of a supercell, as permutations, and whether it joins two orderings."""

import warnings
from dataclasses import dataclass

import numpy as np
import spglib
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from halmd.structures.lattice import Floats, Indices, Lattice, Occupation

SYMPREC_A = 0.01

_MATCH_A = 0.1
"""Furthest a site may land from the one it is taken to; refined positions are a little off."""


@dataclass(frozen=True)
class SiteSymmetry:
    """The space group of the sites: every operation is a point operation, then a translation.

    Operation (p, t) takes site i to site `translations[t, points[p, i]]`. Kept in two factors,
    because a supercell of 20 Å has thousands of operations but at most 48 of the one and a few
    dozen of the other.
    """

    points: Indices
    """One operation for each rotation, shape (n_rotations, n_sites); the first is the identity."""
    translations: Indices
    """Pure translations, shape (n_translations, n_sites); the first is the identity."""

    @property
    def n_operations(self) -> int:
        """Number of operations, translations included."""
        return len(self.points) * len(self.translations)

    def operation(self, number: int) -> Indices:
        """Operation `number` as a permutation of the sites, shape (n_sites,)."""
        point, translation = divmod(number, len(self.translations))
        row: Indices = self.translations[translation, self.points[point]]
        return row


def landing_sites(cell_A: Floats, fractional: Floats, moved: Floats) -> Indices | None:
    """The site that each moved position (fractional) falls on, or None where it is no permutation.

    Periodic; the nearest site within a tenth of an angstrom. All arrays (n_sites, 3).
    """
    # A tree of the cell's sites and of their images just outside, so that distances are those of
    # the crystal in a skewed cell too.
    inside = fractional % 1.0
    images = [inside]
    owners = [np.arange(len(inside))]
    margin = 0.1
    for axis in range(3):
        points, who = np.concatenate(images), np.concatenate(owners)
        shift = np.eye(3)[axis]
        low, high = points[:, axis] < margin, points[:, axis] > 1 - margin
        images = [points, points[low] + shift, points[high] - shift]
        owners = [who, who[low], who[high]]
    tree = cKDTree(np.concatenate(images) @ cell_A)
    distance, nearest = tree.query(
        (moved - np.floor(moved)) @ cell_A, distance_upper_bound=_MATCH_A
    )
    if not np.isfinite(distance).all():
        return None
    row: Indices = np.concatenate(owners)[nearest]
    return row if len(np.unique(row)) == len(row) else None


def site_symmetry(
    cell_A: Floats, fractional: Floats, kinds: Indices, symprec_A: float = SYMPREC_A
) -> SiteSymmetry:
    """Symmetry of sites of which those with equal `kinds` (n_sites,) are alike.

    Found by spglib on the supercell; an operation that does not map the sites one to one is left
    out. Where spglib finds no symmetry at all, the identity.
    """
    with warnings.catch_warnings():
        # spglib warns of how a coming version will report errors; either way nothing is found.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry((cell_A, fractional, kinds + 1), symprec=symprec_A)
    identity = np.eye(3, dtype=int)
    points, translations = [np.arange(len(fractional))], [np.arange(len(fractional))]
    seen = {identity.tobytes()}
    if found is None:
        return SiteSymmetry(np.array(points), np.array(translations))
    for rotation, shift in zip(found["rotations"].astype(int), found["translations"], strict=True):
        pure = np.array_equal(rotation, identity)
        if pure and np.abs(shift - np.rint(shift)).max() < 1e-6:
            continue
        if not pure and rotation.tobytes() in seen:
            continue
        row = landing_sites(cell_A, fractional, fractional @ rotation.T + shift)
        if row is None or not np.array_equal(kinds[row], kinds):
            continue
        if pure:
            translations.append(row)
        else:
            seen.add(rotation.tobytes())
            points.append(row)
    return SiteSymmetry(np.array(points), np.array(translations))


def group_kinds(lattice: Lattice) -> Indices:
    """Number of the group of each site, shape (n_sites,)."""
    numbers = {group: k for k, group in enumerate(dict.fromkeys(lattice.groups))}
    return np.array([numbers[group] for group in lattice.groups])


def content_kinds(lattice: Lattice) -> Indices:
    """Sites that may hold the same elements are alike, whatever their label, shape (n_sites,).

    Two orderings can be the same crystal though the average structure's occupancies tell their
    sites apart.
    """
    hosted = {
        group: frozenset(e for e, n in lattice.contents.get(group, {}).items() if n)
        for group in dict.fromkeys(lattice.groups)
    }
    # An empty group is alike with any other of one element's sites only by chance: left apart.
    kinds = {content: k for k, content in enumerate(dict.fromkeys(hosted.values()))}
    return np.array([kinds[hosted[group]] for group in lattice.groups])


def same_ordering(first: Occupation, second: Occupation, symmetry: SiteSymmetry) -> bool:
    """Whether an operation takes one occupation (n_sites,) into the other."""
    values, counts = np.unique(first, return_counts=True)
    others, other_counts = np.unique(second, return_counts=True)
    if not (np.array_equal(values, others) and np.array_equal(counts, other_counts)):
        return False
    # Sites of the rarest species decide nearly all operations; the rest are compared in full.
    rare = np.flatnonzero(first == values[counts.argmin()])[:8]
    for point in symmetry.points:
        alive = np.all(second[symmetry.translations[:, point[rare]]] == first[rare], axis=1)
        for translation in symmetry.translations[alive]:
            if np.array_equal(second[translation[point]], first):
                return True
    return False


def fingerprint(lattice: Lattice, matrix_eV: Floats, occupation: Occupation) -> NDArray[np.float64]:
    """Numbers that symmetry does not change, shape (2,): sums over pairs for made-up charges.

    They tell apart orderings of elements of equal charge, whose energies are equal.
    """
    n = len(lattice.species)
    made_up = np.append(np.sqrt(np.array([2.0, 3.0, 5.0, 7.0, 11.0, 13.0] * (n // 6 + 1))[:n]), 0)
    made_up[:-1] += np.arange(n) // 6
    q = made_up[occupation]
    p = (made_up**2)[occupation] * (occupation >= 0)
    return np.array([q @ matrix_eV @ q, p @ matrix_eV @ q]) / len(q)


def symmetric_average(values: Floats, symmetry: SiteSymmetry) -> Floats:
    """Average of a property of the sites over all operations, shape (n_sites,)."""
    over_points = np.zeros(len(values))
    for point in symmetry.points:
        over_points += values[point]
    result: Floats = over_points[symmetry.translations].mean(axis=0) / len(symmetry.points)
    return result
