"""`halmd polycrystal`: conductivity of a pellet of grains that conduct better along one axis.

The D of a run, and its conductivity, are means over directions. They are those of a pellet only
where all directions are alike: in a pellet without texture the current meets grains of all
orientations and has to pass through the badly conducting ones, too. Its conductivity is that of an
effective medium, in which a round grain of any orientation changes nothing in the mean (Bruggeman's
condition, self-consistent); it never exceeds the mean over directions.

Barriers differ along and across the axis, so both diffusivities are fitted against 1/T apart, and
put together at each temperature.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.config import ArrheniusSettings
from halmd.errors import HalmdError
from halmd.transport.arrhenius import sigma_T_S_K_per_cm, summary
from halmd.transport.averaging import counts_of, fit, points_of
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.lines import candidates
from halmd.transport.usable import Run, one_event_each, sort_out
from halmd.units import BOLTZMANN_EV_PER_K

Floats = NDArray[np.float64]

AXES = ("a", "b", "c")
_LARGEST_ERROR = 0.5
_CONVERGED, _FEW = "converged", "too_few_jumps"


def effective_medium(along: Floats, across: Floats) -> Floats:
    """Conductivity of a pellet of round grains with one conductivity along an axis, another across.

    Arrays of one shape, in one unit. The root of the sum over the three directions of
    (s_i - s) / (s_i + 2 s) = 0 (Bruggeman's effective medium for a polycrystal).
    """
    return np.asarray((across + np.sqrt(across**2 + 8 * along * across)) / 4)


def polycrystal(
    runs: Sequence[Run], settings: ArrheniusSettings, *, axis: str = "c", seed: int = 0
) -> dict[str, Any]:
    """The content of polycrystal.json: along the axis, across it, and of a pellet of both.

    runs are records as `diffusion` writes them, each with `ordering` and `replica`; the axis is one
    of their cells', and both directions across it are taken for alike, as in trigonal, hexagonal
    and tetragonal crystals. Raises HalmdError for runs without a tensor, and as `arrhenius` does.
    """
    if axis not in AXES:
        raise HalmdError(f"axis {axis!r} is none of {', '.join(AXES)}")
    rng = np.random.default_rng(seed)
    record: dict[str, Any] = {"verdict": "ok", "axis": axis, "settings": settings.model_dump()}
    logarithms: dict[str, Floats] = {}
    T = float(settings.extrapolate_to_K)
    for where in ("along", "across"):
        of_axis = [_directed(run, axis, where) for run in runs]
        usable, excluded = sort_out(of_axis)
        few = one_event_each(of_axis, usable)
        temperatures = sorted({float(run["temperature_K"]) for run in usable})
        record[where] = {
            "temperatures_K": temperatures,
            "excluded": excluded,
            "runs": [_brief(run) for run in of_axis],
        }
        if not candidates(settings.curve, len(temperatures)):
            record["verdict"] = "too_few_temperatures"
            continue
        names = sorted({run["ordering"] for run in [*usable, *few]})
        points = points_of(usable, names, sigma_T_S_K_per_cm)
        found = fit(points, counts_of(few, names, sigma_T_S_K_per_cm), settings, rng)
        x = np.array([1 / (BOLTZMANN_EV_PER_K * T)])
        values = (found.at(x) + found.beyond.shift(x))[:, 0] - np.log(T)
        # Samples come model by model: those of both directions must not be paired by that.
        logarithms[where] = rng.permutation(values)
        record[where] |= {
            **summary("Ea_eV", found.chord()[0]),
            **summary("sigma_NE_S_per_cm", np.exp(values), middle="median"),
        }
    if record["verdict"] != "ok":
        return record
    along, across = np.exp(logarithms["along"]), np.exp(logarithms["across"])
    mean, pellet = (along + 2 * across) / 3, effective_medium(along, across)
    return record | {
        "temperature_K": T,
        "mean": summary("sigma_NE_S_per_cm", mean, middle="median"),
        "pellet": summary("sigma_NE_S_per_cm", pellet, middle="median"),
        "pellet_over_mean": float(np.median(pellet / mean)),
    }


def _directed(run: Run, axis: str, where: str) -> Run:
    """The record of a run as if it moved along the axis, or across it, alone.

    Runs of other verdicts are left out of both fits, and stay as they are. Raises HalmdError for a
    record that has not what this takes.
    """
    if run.get("verdict") not in (_CONVERGED, _FEW):
        return run
    try:
        return _of_axis(run, axis, where)
    except (KeyError, TypeError, ValueError) as error:
        raise HalmdError(
            f"run {run['ordering']}, {run['temperature_K']:g} K, replica {run['replica']}: no "
            f"diffusion tensor, or a damaged one ({error}); run `halmd diffusion` on it again"
        ) from None


def _of_axis(run: Run, axis: str, where: str) -> Run:
    tensor = run["tensor"]
    lattice = tensor["lattice"]
    D, error = lattice[axis]["D_cm2_per_s"], lattice[axis]["D_error_cm2_per_s"]
    directions = 1
    if where == "across":
        # The trace does not depend on axes; that across is what the axis leaves.
        D = (float(np.trace(tensor["D_cm2_per_s"])) - D) / 2
        others = [lattice[other]["D_error_cm2_per_s"] for other in AXES if other != axis]
        error = float(np.hypot(*others)) / 2
        directions = 2
    D = max(0.0, float(D))
    relative = error / D if D else None
    mean = run["D_tracer_cm2_per_s"]
    jump_A = run["settings"]["jump_length_A"]
    jumps = run["n_effective_jumps"] * D / mean * directions / 3 if mean else 0.0
    sigma = nernst_einstein_S_per_cm(
        D, run["n_ions"], run["volume_A3"], run["temperature_K"], run["charge_e"]
    )
    return run | {
        "verdict": _CONVERGED if relative and relative <= _LARGEST_ERROR else _FEW,
        "D_tracer_cm2_per_s": D,
        "sigma_NE_S_per_cm": sigma,
        "relative_error": relative,
        "n_effective_jumps": jumps,
        # So that 6 D t N / a² counts the jumps in these directions.
        "settings": run["settings"] | {"jump_length_A": jump_A * (3 / directions) ** 0.5},
    }


def _brief(run: Run) -> dict[str, Any]:
    keys = ("ordering", "temperature_K", "replica", "verdict", "D_tracer_cm2_per_s")
    return {key: run.get(key) for key in (*keys, "relative_error")}
