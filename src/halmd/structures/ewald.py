"""Electrostatic energy of point charges in a periodic cell, as a matrix of pairs.

Ewald (1921); the split between real and reciprocal space as in Allen and Tildesley, Computer
Simulation of Liquids, sect. 6.2.
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import erfc

from halmd.structures.supercell import face_distances_A

COULOMB_EV_A = 14.399645468667815
"""e² / (4 pi epsilon_0), in eV Å (CODATA 2022)."""

_ACCURACY = 6.0
"""Both sums stop where exp(-x²) has fallen to 2e-16 at x = 6."""

_TREE_POINTS = 200_000
"""Sites and images handled by one neighbour search, which bounds the memory."""

Floats = NDArray[np.float64]


def ewald_matrix(lattice_A: Floats, fractional: Floats) -> Floats:
    """Matrix A with energy = q A q / 2 in eV for charges q (in e).

    lattice_A (3, 3), rows are vectors; fractional (n, 3); returns (n, n), symmetric. A charged cell
    has a uniform neutralising background.
    """
    n = len(fractional)
    volume = abs(float(np.linalg.det(lattice_A)))
    # Balances neighbours (slow, few) against wave vectors (a matrix product, fast): the factor was
    # timed on 100 to 1000 sites.
    eta = 1.3 * np.sqrt(np.pi) * (n / volume**2) ** (1 / 6)
    total = _real_space(lattice_A, fractional, eta)
    total += _reciprocal_space(lattice_A, fractional, eta, volume)
    total -= np.pi / (volume * eta**2)
    total[np.diag_indices(n)] -= 2 * eta / np.sqrt(np.pi)
    # Summed in another order, the two halves differ in the last digit.
    symmetric: Floats = COULOMB_EV_A * (total + total.T) / 2
    return symmetric


def _real_space(lattice_A: Floats, fractional: Floats, eta: float) -> Floats:
    n = len(fractional)
    cutoff = _ACCURACY / eta
    reach = np.ceil(cutoff / face_distances_A(lattice_A)).astype(int)
    images = np.array(list(itertools.product(*(range(-k - 1, k + 2) for k in reach))), dtype=float)
    inside = fractional % 1.0
    centres = inside @ lattice_A
    home = cKDTree(centres)
    total = np.zeros((n, n))
    low, high = centres.min(axis=0) - cutoff, centres.max(axis=0) + cutoff
    per_batch = max(1, _TREE_POINTS // n)
    for first in range(0, len(images), per_batch):
        points = ((inside[None] + images[first : first + per_batch, None]) @ lattice_A).reshape(
            -1, 3
        )
        near = np.flatnonzero(np.all((points > low) & (points < high), axis=1))
        if not len(near):
            continue
        pairs = home.sparse_distance_matrix(cKDTree(points[near]), cutoff, output_type="ndarray")
        pairs = pairs[pairs["v"] > 1e-8]
        place = pairs["i"] * n + near[pairs["j"]] % n
        total += np.bincount(
            place, weights=erfc(eta * pairs["v"]) / pairs["v"], minlength=total.size
        ).reshape(total.shape)
    return total


def _reciprocal_space(lattice_A: Floats, fractional: Floats, eta: float, volume: float) -> Floats:
    reciprocal = (2 * np.pi * np.linalg.inv(lattice_A).T).astype(np.float64)
    cutoff = 2 * eta * _ACCURACY
    reach = np.ceil(cutoff / face_distances_A(reciprocal)).astype(int)
    axes = [np.arange(-k, k + 1) for k in reach]
    # One of each pair +k, -k; both give the same cosine.
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[len(hkl) // 2 + 1 :]
    total = np.zeros((len(fractional), len(fractional)))
    for part in np.array_split(hkl, max(1, len(hkl) * len(fractional) // 1_000_000)):
        k2 = ((part @ reciprocal) ** 2).sum(axis=1)
        kept = k2 < cutoff**2
        k2 = k2[kept]
        weights = 8 * np.pi / volume * np.exp(-k2 / (4 * eta**2)) / k2
        phase = 2 * np.pi * fractional @ part[kept].T
        cos, sin = np.cos(phase), np.sin(phase)
        total += (cos * weights) @ cos.T + (sin * weights) @ sin.T
    return total
