"""Electrostatic energy of point charges in a periodic cell, as a matrix of pairs.

Ewald (1921); the split between real and reciprocal space as in Allen and Tildesley, Computer
Simulation of Liquids, sect. 6.2.
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from halmd.structures.supercell import face_distances_A

COULOMB_EV_A = 14.399645478425668
"""e² / (4 pi epsilon_0), in eV Å."""

_ACCURACY = 6.5
"""Both sums stop where exp(-x²) has fallen to 1e-18 at x = 6.5."""


def ewald_matrix(
    lattice_A: NDArray[np.float64], fractional: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Matrix A with energy = q A q / 2 in eV for charges q (in e) that sum to zero.

    lattice_A (3, 3), rows are vectors; fractional (n, 3); returns (n, n), symmetric. For a charged
    cell the missing background makes the value meaningless.
    """
    volume = abs(float(np.linalg.det(lattice_A)))
    # Balances the work of the two sums for cells of a hundred sites or so.
    eta = np.sqrt(np.pi) * (len(fractional) / volume**2) ** (1 / 6)
    real = _real_space(lattice_A, fractional, eta)
    reciprocal = _reciprocal_space(lattice_A, fractional, eta, volume)
    self_term = 2 * eta / np.sqrt(np.pi) * np.eye(len(fractional))
    total: NDArray[np.float64] = COULOMB_EV_A * (real + reciprocal - self_term)
    return total


def _real_space(
    lattice_A: NDArray[np.float64], fractional: NDArray[np.float64], eta: float
) -> NDArray[np.float64]:
    cutoff = _ACCURACY / eta
    reach = np.ceil(cutoff / face_distances_A(lattice_A) + 1).astype(int)
    difference = fractional[:, None] - fractional[None]
    difference -= np.rint(difference)
    total = np.zeros(difference.shape[:2])
    for image in itertools.product(*(range(-n, n + 1) for n in reach)):
        r = np.linalg.norm((difference + np.array(image)) @ lattice_A, axis=-1)
        near = (r > 1e-8) & (r < cutoff)
        total[near] += erfc(eta * r[near]) / r[near]
    return total


def _reciprocal_space(
    lattice_A: NDArray[np.float64],
    fractional: NDArray[np.float64],
    eta: float,
    volume: float,
) -> NDArray[np.float64]:
    reciprocal = (2 * np.pi * np.linalg.inv(lattice_A).T).astype(np.float64)
    cutoff = 2 * eta * _ACCURACY
    reach = np.ceil(cutoff / face_distances_A(reciprocal)).astype(int)
    hkl = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    # One of each pair +k, -k; both give the same cosine.
    hkl = hkl[len(hkl) // 2 + 1 :]
    k = hkl @ reciprocal
    k2 = (k**2).sum(axis=1)
    hkl, k2 = hkl[k2 < cutoff**2], k2[k2 < cutoff**2]
    weights = 8 * np.pi / volume * np.exp(-k2 / (4 * eta**2)) / k2
    phase = 2 * np.pi * fractional @ hkl.T
    cos, sin = np.cos(phase), np.sin(phase)
    total: NDArray[np.float64] = (cos * weights) @ cos.T + (sin * weights) @ sin.T
    return total
