"""How the sites of a supercell may be filled: places, pairs kept apart, whole numbers of atoms."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.structures.prototypes import Prototype
from halmd.structures.supercell import Supercell

CLOSEST_CATIONS_A = 1.5
"""No two sites nearer than this are ever both filled, whatever the prototype says."""


def sites(
    prototype: Prototype, supercell: Supercell
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Cell (Å), fractional coordinates and labels of all sites of the supercell."""
    matrix = supercell.matrix
    inverse = np.linalg.inv(matrix)
    n = round(abs(float(np.linalg.det(matrix))))
    reach = int(np.abs(matrix).sum())
    grid = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
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
    difference = fractional[:, None] - fractional[None]
    difference -= np.rint(difference)
    shortest = np.full(difference.shape[:2], np.inf)
    for image in itertools.product((-1, 0, 1), repeat=3):
        lengths = np.linalg.norm((difference + np.array(image)) @ cell, axis=-1)
        lengths[lengths < 1e-6] = np.inf
        shortest = np.minimum(shortest, lengths)
    np.fill_diagonal(shortest, np.inf)
    excluded: NDArray[np.bool_] = (shortest < CLOSEST_CATIONS_A) & cation[:, None] & cation[None]
    for rule in prototype.keep_apart:
        unknown = set(rule.sites) - set(labels)
        if unknown:
            raise HalmdError(f"{prototype.name}: keep_apart names no site {', '.join(unknown)}")
        member = np.isin(labels, rule.sites)
        excluded |= (shortest < rule.within_A) & member[:, None] & member[None]
    return excluded


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


def roundings(
    occupancies: Mapping[str, Mapping[str, float]],
    sizes: Mapping[str, int],
    counts: Mapping[str, int],
) -> Iterator[dict[str, dict[str, int]]]:
    """Whole numbers of atoms on each site label, from the nearest to the wanted ones outwards."""
    per_element = [
        _element_roundings(element, total, occupancies, sizes) for element, total in counts.items()
    ]
    ways: list[tuple[float, tuple[tuple[float, dict[str, int]], ...]]] = []
    for way in itertools.product(*per_element):
        filled: dict[str, int] = {}
        for _, numbers in way:
            for label, n in numbers.items():
                filled[label] = filled.get(label, 0) + n
        if all(n <= sizes[label] for label, n in filled.items()):
            ways.append((sum(cost for cost, _ in way), way))
    for _, way in sorted(ways, key=lambda entry: entry[0]):
        contents: dict[str, dict[str, int]] = {label: {} for label in sizes}
        for element, (_, numbers) in zip(counts, way, strict=True):
            for label, n in numbers.items():
                if n:
                    contents[label][element] = n
        yield contents


def _element_roundings(
    element: str,
    total: int,
    occupancies: Mapping[str, Mapping[str, float]],
    sizes: Mapping[str, int],
) -> list[tuple[float, dict[str, int]]]:
    """Distributions of `total` atoms over the labels that host an element: (cost, numbers).

    The cost is the squared deviation in atoms. The nearest sixteen are kept.
    """
    labels = [label for label, o in occupancies.items() if element in o]
    wanted = np.array([occupancies[label][element] * sizes[label] for label in labels])
    ranges = [
        range(max(0, int(w) - 2), min(sizes[label], int(w) + 3) + 1)
        for label, w in zip(labels, wanted, strict=True)
    ]
    found = [
        (float(((np.array(way) - wanted) ** 2).sum()), dict(zip(labels, way, strict=True)))
        for way in itertools.product(*ranges)
        if sum(way) == total
    ]
    return sorted(found, key=lambda entry: entry[0])[:16]
