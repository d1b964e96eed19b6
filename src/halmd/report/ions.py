"""Where ions are and how they go, for the report page: from densities and jumps of some runs.

Both analyses are optional; runs that have neither are passed over.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.files import read_json
from halmd.transport.density import Density, read_density

Floats = NDArray[np.float64]

MOST_RUNS = 3
"""Of one material: the coldest, a middle and the hottest temperature."""

MOST_EDGES = 250
_MOST_PIXELS = 40
_LEVELS = 255


def read_ions(folder: Path, runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Densities and jump networks of the chosen runs of results/MATERIAL.

    `runs` are records of `load_runs`. Raises HalmdError for a damaged file.
    """
    return [_of_run(folder, run) for run in chosen(runs)]


def chosen(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs to show: analysed, at up to MOST_RUNS temperatures, each with the most jumps there.

    Converged runs come before others, which may describe another material.
    """
    analysed = [r for r in runs if {"jumps.json", "density.vasp"} & set(r["files"])]
    temperatures = sorted({run["temperature_K"] for run in analysed})
    if not temperatures:
        return []
    kept = np.unique(np.linspace(0, len(temperatures) - 1, MOST_RUNS).round().astype(int))
    best = []
    for T in (temperatures[k] for k in kept.tolist()):
        here = [run for run in analysed if run["temperature_K"] == T]
        best.append(max(here, key=_how_good))
    return best


def _how_good(run: dict[str, Any]) -> tuple[bool, int, float]:
    both = len({"jumps.json", "density.vasp"} & set(run["files"]))
    return run["verdict"] == "converged", both, run.get("n_effective_jumps") or 0.0


def _of_run(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    path = f"{run['ordering']}/{run['temperature_K']:g}K/r{run['replica']}"
    here = folder / path
    has = set(run["files"])
    return {
        "ordering": run["ordering"],
        "T": run["temperature_K"],
        "path": path,
        "verdict": run["verdict"],
        "mobile": run["mobile"],
        "jumps": _read_jumps(here / "jumps.json") if "jumps.json" in has else None,
        "density": projections(read_density(here / "density.vasp"))
        if "density.vasp" in has
        else None,
    }


def _read_jumps(path: Path) -> dict[str, Any]:
    try:
        return jumps_of(read_json(path))
    except KeyError as error:
        raise HalmdError(
            f"{path}: not a record of jumps (no {error}); delete it and run the step again"
        ) from None


def projections(found: Density) -> dict[str, Any]:
    """A density summed along each cell vector, in ions per Å², on at most 40 x 40 pixels.

    Levels are bytes of base64, the first index slowest: 255 is `largest_per_A2`. `u_A` and `v_A`
    are the edges of each plane as (x, y), in its true shape; pixels are centred as voxels are.
    """
    planes = []
    for axis in range(3):
        first, second = (k for k in range(3) if k != axis)
        u, v = found.cell_A[first], found.cell_A[second]
        along = float(u @ v / np.linalg.norm(u))
        area_A2 = float(np.linalg.norm(np.cross(u, v)))
        # The mean along the cell vector, times how far that reaches through the plane.
        height_A = abs(float(np.linalg.det(found.cell_A))) / area_A2
        fine = found.per_A3.mean(axis=axis) * height_A
        coarse = _shares(fine.shape[0]) @ fine @ _shares(fine.shape[1]).T
        largest = float(coarse.max())
        levels = np.round(coarse / (largest or 1.0) * _LEVELS).astype(np.uint8)
        planes.append(
            {
                "along": "abc"[axis],
                "across": ["abc"[first], "abc"[second]],
                "u_A": [float(np.linalg.norm(u)), 0.0],
                "v_A": [along, area_A2 / float(np.linalg.norm(u))],
                "shape": list(levels.shape),
                "largest_per_A2": largest,
                "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
            }
        )
    return {"planes": planes, "n_ions": found.n_ions}


def _shares(n: int) -> Floats:
    """Means of n periodic pixels over fewer, wider ones, shape (fewer, n); rows add up to one."""
    fewer = min(n, _MOST_PIXELS)
    shares = np.zeros((fewer, n))
    for shift in (-1, 0, 1):
        low = np.maximum(
            (np.arange(fewer) - 0.5)[:, None] / fewer, (np.arange(n) - 0.5) / n + shift
        )
        high = np.minimum(
            (np.arange(fewer) + 0.5)[:, None] / fewer, (np.arange(n) + 0.5) / n + shift
        )
        shares += np.maximum(high - low, 0.0) * fewer
    return shares


def jumps_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of jumps.json; `network` is None where an earlier halmd made it."""
    network = record.get("network")
    return {
        "rate": record["jump_rate_per_ps"],
        "rate95": record["jump_rate_interval95_per_ps"],
        "n_jumps": record["n_jumps"],
        "f": record["correlation_factor"],
        "f95": record.get("correlation_factor_interval95"),
        "back": record["back_jump_share"],
        "elsewhere": record["share_of_time_at_no_site"],
        "dimensions": record["percolation"]["dimensions"],
        "vectors": record["percolation"]["vectors"],
        "pairs": [
            {
                "from": pair["from"],
                "to": pair["to"],
                "n_jumps": pair["n_jumps"],
                "rate": pair["rate_per_ps"],
                "rate95": pair.get("rate_interval95_per_ps"),
                "length_A": pair["rms_length_A"],
            }
            for pair in record["pairs"]
        ],
        "kinds": [{"kind": kind, **facts} for kind, facts in record["kinds"].items()],
        "network": _network(network) if network else None,
    }


def _network(record: dict[str, Any]) -> dict[str, Any]:
    """Sites as [a, b, c, occupancy], edges as [from, to, a, b, c, jumps, rate], busiest first."""
    return {
        "cell": record["cell_A"],
        "symbols": record["framework"]["symbols"],
        "framework": np.round(record["framework"]["fractional"], 3).tolist(),
        "kinds": [site["kind"] for site in record["sites"]],
        "sites": [
            [*np.round(site["fractional"], 3).tolist(), site["mean_occupancy"]]
            for site in record["sites"]
        ],
        "edges": [
            [edge["from"], edge["to"], *edge["image"], edge["n_jumps"], edge["rate_per_ps"]]
            for edge in record["edges"][:MOST_EDGES]
        ],
        "n_edges": len(record["edges"]),
    }
