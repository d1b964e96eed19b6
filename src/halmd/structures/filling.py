"""The sites of a supercell, and which pairs of them may not both be filled."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from halmd.errors import HalmdError
from halmd.structures.prototypes import Prototype
from halmd.structures.supercell import Supercell, face_distances_A

CLOSEST_CATIONS_A = 1.5
"""No two sites nearer than this are ever both filled, whatever the prototype says."""


def sites(
    prototype: Prototype, supercell: Supercell
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Cell (Å), fractional coordinates and labels of all sites of the supercell."""
    matrix = supercell.matrix
    inverse = np.linalg.inv(matrix)
    n = round(abs(float(np.linalg.det(matrix))))
    # The cell's corners bound the lattice points inside it.
    corners = np.array(list(itertools.product((0, 1), repeat=3))) @ matrix
    axes = [np.arange(corners[:, k].min(), corners[:, k].max() + 1) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = grid @ inverse
    inside = inside[np.all((inside > -1e-9) & (inside < 1 - 1e-9), axis=1)]
    if len(inside) != n:
        raise AssertionError(f"{len(inside)} translations in a supercell of {n} cells")
    fractional = (prototype.fractional @ inverse)[:, None] + inside[None]
    labels = tuple(label for label in prototype.labels for _ in range(n))
    return matrix @ prototype.lattice_A, fractional.reshape(-1, 3) % 1.0, labels


def exclusions(
    prototype: Prototype,
    cell: NDArray[np.float64],
    fractional: NDArray[np.float64],
    labels: tuple[str, ...],
    states: Mapping[str, int],
) -> NDArray[np.bool_]:
    """Pairs of cation sites that may not both be filled, shape (n_sites, n_sites)."""
    kinds = dict(zip(prototype.labels, prototype.occupancies, strict=True))
    cation = np.array([all(states[e] > 0 for e in kinds[label]) for label in labels])
    for rule in prototype.keep_apart:
        unknown = set(rule.sites) - set(labels)
        if unknown:
            raise HalmdError(f"{prototype.name}: keep_apart names no site {', '.join(unknown)}")
    reach_A = max([CLOSEST_CATIONS_A, *(rule.within_A for rule in prototype.keep_apart)])
    first, second, distance = pairs_within_A(cell, fractional, reach_A)
    close = (distance < CLOSEST_CATIONS_A) & cation[first] & cation[second]
    for rule in prototype.keep_apart:
        member = np.isin(labels, rule.sites)
        close |= (distance < rule.within_A) & member[first] & member[second]
    excluded = np.zeros((len(labels), len(labels)), dtype=bool)
    excluded[first[close], second[close]] = True
    # A site and its own image are not a pair: there is nothing to choose.
    np.fill_diagonal(excluded, False)
    return excluded


def pairs_within_A(
    cell: NDArray[np.float64], fractional: NDArray[np.float64], reach_A: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of sites (either way round, images too) nearer than `reach_A`, and their distances."""
    inside = fractional % 1.0
    margin = reach_A / face_distances_A(cell)
    points, owners = inside, np.arange(len(inside))
    for axis in range(3):
        shifts = np.arange(-math.ceil(margin[axis]), math.ceil(margin[axis]) + 1)
        copies = points[None] + shifts[:, None, None] * np.eye(3)[axis]
        owners = np.tile(owners, len(shifts))
        points = copies.reshape(-1, 3)
        near = (points[:, axis] > -margin[axis] - 1e-9) & (
            points[:, axis] < 1 + margin[axis] + 1e-9
        )
        points, owners = points[near], owners[near]
    found = cKDTree(inside @ cell).sparse_distance_matrix(
        cKDTree(points @ cell), reach_A, output_type="ndarray"
    )
    apart = found["v"] > 1e-6
    return found["i"][apart], owners[found["j"][apart]], found["v"][apart]


def without_blocked(
    occupancies: Mapping[str, Mapping[str, float]],
    sizes: Mapping[str, int],
    labels: tuple[str, ...],
    excluded: NDArray[np.bool_],
) -> dict[str, dict[str, float]]:
    """Empty the sites that always have a full excluded neighbour; their atoms go to the others.

    A refinement averages over places and can fill face-sharing sites a little; an ordering cannot.
    """
    full = np.array([sum(occupancies[label].values()) > 0.999 for label in labels])
    beside_full = (excluded & full).any(axis=1) & ~full
    result = {label: dict(occupancy) for label, occupancy in occupancies.items()}
    for label in sizes:
        if not beside_full[np.array(labels) == label].all():
            continue
        for element, amount in occupancies[label].items():
            others = [k for k, o in result.items() if k != label and o.get(element, 0.0) > 0]
            open_sites = [k for k in others if sum(result[k].values()) < 0.999]
            held = sum(sizes[k] * result[k][element] for k in open_sites)
            result[label][element] = 0.0
            for k in open_sites:
                result[k][element] *= 1 + amount * sizes[label] / held
    return result
