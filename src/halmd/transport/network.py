"""Where sites lie and which of them are joined by jumps, for drawings of the network."""

from collections import Counter
from typing import Any

import numpy as np
from ase import Atoms

from halmd.transport.jumps import NOWHERE, Visits
from halmd.transport.sites import Sites

Edge = tuple[int, int, int, int, int]


def network_record(
    found: Visits, sites: Sites, framework: Atoms, interval_ps: float
) -> dict[str, Any]:
    """Sites, the framework around them and the edges between them, JSON-able.

    An edge is a pair of sites and the lattice translation from the one to the other; jumps both
    ways are one edge. Rates are per ion and ps, as those of the whole record, and add up to its
    `jump_rate_per_ps`. Places are fractions of the mean cell, `cell_A`; the busiest edge is first.
    """
    followed_ps = float((found.site != NOWHERE).sum()) * interval_ps
    frames_on = np.bincount(found.site[found.site != NOWHERE], minlength=len(sites.kinds))
    occupancy = frames_on / found.site.shape[1]
    return {
        "cell_A": sites.cell_A.tolist(),
        "framework": {
            "symbols": framework.get_chemical_symbols(),
            "fractional": framework.get_scaled_positions().tolist(),
        },
        "sites": [
            {"kind": kind, "fractional": place.tolist(), "mean_occupancy": float(occupied)}
            for kind, place, occupied in zip(sites.kinds, sites.fractional, occupancy, strict=True)
        ],
        "edges": [
            {
                "from": edge[0],
                "to": edge[1],
                "image": list(edge[2:]),
                "n_jumps": count,
                "rate_per_ps": count / followed_ps,
            }
            for edge, count in _edges(found).most_common()
        ],
    }


def _edges(found: Visits) -> Counter[Edge]:
    """Jumps of each pair of sites, whichever way."""
    jumps = found.jumps
    every = np.column_stack([jumps.origin, jumps.target, jumps.image]).tolist()
    return Counter(_either_way(*jump) for jump in every)


def _either_way(origin: int, target: int, a: int, b: int, c: int) -> Edge:
    return min((origin, target, a, b, c), (target, origin, -a, -b, -c))
