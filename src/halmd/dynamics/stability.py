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
_SHORTEST_WINDOW_PS = 4.0
_BLOCKS = 8
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
    """Does the framework drift away? Its plateau, and slope and growth over the window that tells.

    A vibrating framework has a plateau (Å²); a melting one grows without end. Windows are the last
    half of the run and its last parts, down to 4 ps: a framework that melts late bends the long
    ones. `unstable` when in one of them the slope is resolved from zero at five standard errors
    (eight blocks), the growth within it is at least half an Å², and its end lies more than 1 Å²
    above the plateau. A single exchange of two anions is a step, which a line does not fit.
    """
    if len(displacement_A2) * interval_ps < _SHORTEST_JUDGED_PS:
        return {"judged": False, "unstable": False}
    settled = displacement_A2[round(_SETTLED_PS / interval_ps) :]
    plateau = float(settled[: len(settled) // 4].mean())
    shortest = max(_BLOCKS, round(_SHORTEST_WINDOW_PS / interval_ps))
    size = max(shortest, len(settled) // 2)
    windows = []
    while size >= shortest:
        windows.append(_window_growth(settled[-size:], plateau, interval_ps))
        size //= 2
    telling = next((window for window in windows if window["unstable"]), windows[0])
    return {"judged": True, "plateau_A2": plateau} | telling


def _window_growth(window_A2: Floats, plateau_A2: float, interval_ps: float) -> dict[str, Any]:
    size = len(window_A2) // _BLOCKS
    blocks = window_A2[-size * _BLOCKS :].reshape(_BLOCKS, size).mean(axis=1)
    time_ps = (np.arange(_BLOCKS) - (_BLOCKS - 1) / 2) * size * interval_ps
    slope = float((time_ps * blocks).sum() / (time_ps**2).sum())
    rest = blocks - blocks.mean() - slope * time_ps
    error = float(np.sqrt((rest**2).sum() / (_BLOCKS - 2) / (time_ps**2).sum()))
    length_ps = size * _BLOCKS * interval_ps
    return {
        "end_A2": float(blocks[-1]),
        "window_ps": length_ps,
        "slope_A2_per_ps": slope,
        "slope_error_A2_per_ps": error,
        "unstable": bool(
            slope > _STANDARD_ERRORS * error
            and slope * length_ps > GROWTH_LIMIT_A2 / 2
            and blocks[-1] - plateau_A2 > GROWTH_LIMIT_A2
        ),
    }
