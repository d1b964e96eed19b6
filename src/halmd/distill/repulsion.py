"""Repulsion of two bare nuclei, as every student has it under what it learns.

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids (1985), brought
to zero at the sum of the covalent radii, as mace-torch's `ZBLBasis` writes it.
"""

import math

from ase.data import atomic_numbers, covalent_radii

_SCREENING = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
_COULOMB_EV_A = 14.3996
_BOHR_A = 0.529
_LENGTH, _POWER = 0.4543, 0.3
CUTOFF_POWER = 5
"""Of the envelope; `num_polynomial_cutoff` of the students."""


def zbl(distance_A: float, one: str, other: str) -> tuple[float, float]:
    """Energy (eV) and force apart (eV/Å) of two elements at a distance in Å."""
    Z, other_Z = atomic_numbers[one], atomic_numbers[other]
    range_A = float(covalent_radii[Z] + covalent_radii[other_Z])
    u, p = distance_A / range_A, CUTOFF_POWER
    if u >= 1:
        return 0.0, 0.0
    length_A = _LENGTH * _BOHR_A / (Z**_POWER + other_Z**_POWER)
    parts = [c * math.exp(-k * distance_A / length_A) for c, k in _SCREENING]
    screening = sum(parts)
    screening_slope = -sum(
        part * k / length_A for part, (_, k) in zip(parts, _SCREENING, strict=True)
    )
    bare = _COULOMB_EV_A * Z * other_Z / distance_A
    envelope = (
        1
        - (p + 1) * (p + 2) / 2 * u**p
        + p * (p + 2) * u ** (p + 1)
        - p * (p + 1) / 2 * u ** (p + 2)
    )
    envelope_slope = -p * (p + 1) * (p + 2) / 2 * u ** (p - 1) * (1 - u) ** 2 / range_A
    energy = bare * screening * envelope
    slope = bare * (
        (screening_slope - screening / distance_A) * envelope + screening * envelope_slope
    )
    return energy, -slope
