"""May this run be believed? Guards on heat, contacts and the framework, with numbers."""

from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONTACT_FRACTION = 0.6
"""Of the sum of covalent radii: 1.38 Å for Li-Cl, 1.54 Å for Li-Li, 1.22 Å for Cl-Cl."""

GROWTH_LIMIT_A2 = 1.0
"""Growth of the framework's mean-square displacement beyond its plateau that means melting."""

_SETTLED_PS = 2.0
_SHORTEST_JUDGED_PS = 8.0
_STANDARD_ERRORS = 5.0


def contact_limits_A(symbols: tuple[str, ...]) -> Floats:
    """Shortest believable distance of every pair of atoms in Å, shape (n, n); 0 on the diagonal."""
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in symbols]]
    limits: Floats = CONTACT_FRACTION * (radii[:, None] + radii[None])
    np.fill_diagonal(limits, 0.0)
    return limits


def closest_contact(
    positions_A: Floats, cell_A: Floats, limits_A: Floats
) -> tuple[float, int, int] | None:
    """The pair furthest below its limit: (distance in Å, i, j), or None when all keep apart.

    Nearest images by rounding fractional differences: exact for distances this short.
    """
    difference = positions_A[:, None] - positions_A[None]
    fractional = difference @ np.linalg.inv(cell_A)
    difference = (fractional - np.rint(fractional)) @ cell_A
    lengths = np.sqrt((difference**2).sum(axis=-1))
    margin = lengths - limits_A
    np.fill_diagonal(margin, np.inf)
    i, j = np.unravel_index(int(np.argmin(margin)), margin.shape)
    return (float(lengths[i, j]), int(i), int(j)) if margin[i, j] < 0 else None


def temperature_error_K(
    length_ps: float, target_K: float, n_free: int, relaxation_ps: float
) -> float:
    """Standard error of the mean kinetic temperature over a canonical run, in K.

    A canonical kinetic energy fluctuates by sqrt(2 / n_free) of its mean. In a crystal half of
    that variance is exchange with the potential energy, which averages out within vibrations; the
    other half is the total energy, which a thermostat of relaxation time tau renews in 2 tau
    because it acts on the kinetic half only. Together: one independent value every 2 tau, and at
    least one in all.
    """
    independent = max(1.0, length_ps / (2 * relaxation_ps))
    return float(target_K * np.sqrt(2 / n_free / independent))


def temperature_off(
    temperatures_K: Floats, interval_ps: float, target_K: float, n_free: int, relaxation_ps: float
) -> float:
    """How many standard errors the mean kinetic temperature is off its target."""
    length_ps = len(temperatures_K) * interval_ps
    error = temperature_error_K(length_ps, target_K, n_free, relaxation_ps)
    return float((temperatures_K.mean() - target_K) / error)


def temperature_runaway(
    temperatures_K: Floats, interval_ps: float, target_K: float, n_free: int, relaxation_ps: float
) -> bool:
    """Whether the last 10 ps are off their target by more than five standard errors."""
    recent = temperatures_K[-max(1, round(10 / interval_ps)) :]
    off = temperature_off(recent, interval_ps, target_K, n_free, relaxation_ps)
    return not abs(off) < _STANDARD_ERRORS


def framework_displacement_A2(
    positions_A: Floats, masses_amu: Floats, framework: NDArray[np.bool_]
) -> Floats:
    """Mean-square displacement of framework atoms from the first frame, in Å², shape (n_frames,).

    positions_A (n_frames, n_atoms, 3); the framework's own centre of mass is held still.
    """
    atoms = positions_A[:, framework]
    weights = masses_amu[framework] / masses_amu[framework].sum()
    atoms = atoms - np.einsum("fai,a->fi", atoms, weights)[:, None]
    result: Floats = ((atoms - atoms[0]) ** 2).sum(axis=2).mean(axis=1)
    return result


def framework_growth(displacement_A2: Floats, interval_ps: float) -> dict[str, Any]:
    """Does the framework drift away? Slope over the last half, its error, and growth in Å².

    `unstable` when the slope is resolved from zero at five standard errors (blocks) and the
    displacement has grown by more than 1 Å² beyond its early plateau. A vibrating framework has a
    plateau; a melting one grows without end.
    """
    settled = displacement_A2[round(_SETTLED_PS / interval_ps) :]
    length_ps = len(displacement_A2) * interval_ps
    if length_ps < _SHORTEST_JUDGED_PS:
        return {"judged": False, "unstable": False}
    quarter = len(settled) // 4
    plateau, end = float(settled[:quarter].mean()), float(settled[-quarter:].mean())
    half = settled[len(settled) // 2 :]
    blocks = half[: len(half) // 8 * 8].reshape(8, -1).mean(axis=1)
    time = (np.arange(8) - 3.5) * (len(half) // 8) * interval_ps
    slope = float((time * blocks).sum() / (time**2).sum())
    rest = blocks - blocks.mean() - slope * time
    error = float(np.sqrt((rest**2).sum() / 6 / (time**2).sum()))
    # A run-away from the very first picosecond has no plateau to compare with: judge by size too.
    grown = max(end - plateau, end - 4 * GROWTH_LIMIT_A2)
    return {
        "judged": True,
        "plateau_A2": plateau,
        "end_A2": end,
        "slope_A2_per_ps": slope,
        "slope_error_A2_per_ps": error,
        "unstable": bool(grown > GROWTH_LIMIT_A2 and slope > _STANDARD_ERRORS * error),
    }
