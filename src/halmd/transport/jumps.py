"""`halmd jumps`: jumps between sites, how long ions stay, and where their paths lead.

An ion belongs to a site from when it enters its core until it enters that of another: rattling,
and excursions that turn back before another core, are no jumps. The core's radius is 0.4 of the
distance to the nearest other site, so that cores do not touch and an ion must cross the middle and
a fifth of the way more. A visit that is shorter than `SHORTEST_VISIT_PS` and ends where it began is
a recrossing of the same barrier, and no jump either.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.transport.diffusion import LEVELS
from halmd.transport.sites import CLOSEST_A, Sites, nearest_site

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CORE = 0.4
"""Radius of a core, as a share of the distance to the nearest other site."""

SHORTEST_VISIT_PS = 0.2
"""About the period of Li in its cage: a shorter visit has not forgotten where it came from."""

NOWHERE = -1
_LOOKUP_A = 0.25
_N_BLOCKS = 10


@dataclass(frozen=True)
class Jumps:
    """All jumps, in the order of ions and of time; arrays of shape (n_jumps,)."""

    ion: Integers
    frame: Integers
    origin: Integers
    """Site that is left."""
    target: Integers
    image: Integers
    """Lattice translation of the target relative to the origin's cell, shape (n_jumps, 3)."""


@dataclass(frozen=True)
class Visits:
    """Where ions are: the site of each ion in each frame, and the jumps between."""

    site: NDArray[np.int32]
    """Shape (n_ions, n_frames); NOWHERE before an ion enters its first core."""
    jumps: Jumps
    share_at_no_site: float
    """Of all ions and frames, those farther than `CLOSEST_A` from every site."""


def visits(groups: Iterable[Floats], sites: Sites, interval_ps: float) -> Visits:
    """Follow ions given in groups (n_ions, n_frames, 3) of continuous positions in Å.

    Raises HalmdError when no ion is ever at a site.
    """
    lookup = _Lookup(sites)
    inverse = np.linalg.inv(sites.cell_A)
    shortest = max(1, round(SHORTEST_VISIT_PS / interval_ps))
    rows: list[NDArray[np.int32]] = []
    parts: list[Integers] = []
    n_inside = n_nowhere = 0
    for group in groups:
        for ion in group:
            inside, site, away_A = lookup.core(ion)
            frames, found = np.flatnonzero(inside), site[inside]
            n_inside += len(frames)
            n_nowhere += int((np.einsum("fi,fi->f", away_A, away_A) > CLOSEST_A**2).sum())
            # Which copy of the site: its cell counts how far the ion has gone.
            centres = (ion[frames] - away_A[frames]) @ inverse
            cell = np.round(centres - sites.fractional[found]).astype(np.int64)
            starts = _stays(found, cell)
            starts = _without_recrossings(frames, found, cell, starts, shortest)
            row = np.full(len(ion), NOWHERE, dtype=np.int32)
            ends = np.append(frames[starts], len(ion))[1:]
            for start, end, place in zip(frames[starts], ends, found[starts], strict=True):
                row[start:end] = place
            origin, target = starts[:-1], starts[1:]
            ion_number = np.full(len(target), len(rows))
            moved = cell[target] - cell[origin]
            parts.append(np.c_[ion_number, frames[target], found[origin], found[target], moved])
            rows.append(row)
    if not n_inside:
        raise HalmdError(
            "no ion ever came into the core of a site; give the sites of this trajectory's crystal "
            "(--sites), or leave them out to have them found"
        )
    every = np.concatenate(parts)
    where = np.array(rows, dtype=np.int32)
    jumps = Jumps(every[:, 0], every[:, 1], every[:, 2], every[:, 3], every[:, 4:])
    return Visits(where, jumps, n_nowhere / where.size)


class _Lookup:
    """Nearest site of every voxel of a grid, made once: far quicker than a search for each point.

    Near the border between two sites it may be wrong by a voxel: such a point is in no core, or at
    the very rim of one where sites are less than 2 Å apart, and then counts as in none.
    """

    def __init__(self, sites: Sites) -> None:
        # In the most compact cell of the lattice few images of a site can be the nearest.
        cell_A = np.asarray(minkowski_reduce(sites.cell_A)[0])
        self._inverse = np.linalg.inv(cell_A)
        places = (sites.fractional @ sites.cell_A @ self._inverse) % 1.0
        self._sites = Sites(places, sites.kinds, cell_A)
        lengths = np.linalg.norm(cell_A, axis=1)
        self._shape = np.maximum(1, np.ceil(lengths / _LOOKUP_A)).astype(int)
        axes = [(np.arange(n) + 0.5) / n for n in self._shape]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        self._nearest = nearest_site(self._sites, points)
        self._radius = CORE * self._sites.nearest_other_A()
        # Rounding finds the nearest image up to half the distance between opposite faces.
        heights = 1 / np.linalg.norm(self._inverse, axis=0)
        near = 2 * max(CLOSEST_A, self._radius.max()) <= heights.min()
        every = [(0, 0, 0)] if near else list(itertools.product((-1, 0, 1), repeat=3))
        self._shifts_A = np.array(every) @ cell_A

    def core(self, ion_A: Floats) -> tuple[NDArray[np.bool_], Integers, Floats]:
        """Whether each point (n, 3) is in a core, its nearest site, and where it is from there."""
        fractional = ion_A @ self._inverse
        voxel = np.minimum((fractional % 1.0 * self._shape).astype(np.int64), self._shape - 1)
        flat = np.ravel_multi_index((voxel[:, 0], voxel[:, 1], voxel[:, 2]), tuple(self._shape))
        site = self._nearest[flat]
        difference = fractional - self._sites.fractional[site]
        difference -= np.round(difference)
        rounded_A = difference @ self._sites.cell_A
        away_A = rounded_A + self._shifts_A[0]
        squares = np.einsum("fi,fi->f", away_A, away_A)
        for shift_A in self._shifts_A[1:]:
            other_A = rounded_A + shift_A
            others = np.einsum("fi,fi->f", other_A, other_A)
            shorter = others < squares
            away_A[shorter], squares[shorter] = other_A[shorter], others[shorter]
        return squares < self._radius[site] ** 2, site, away_A


def _stays(site: Integers, cell: Integers) -> Integers:
    """Where a new stay begins in a sequence of core visits; the first one is a stay too."""
    if not len(site):
        return np.zeros(0, dtype=np.int64)
    changed = (np.diff(site) != 0) | (np.diff(cell, axis=0) != 0).any(axis=1)
    return np.concatenate([[0], np.flatnonzero(changed) + 1])


def _without_recrossings(
    frames: Integers, site: Integers, cell: Integers, starts: Integers, shortest: int
) -> Integers:
    """Stays without those shorter than `shortest` frames from which an ion goes straight back."""
    kept: list[int] = []
    for start in starts:
        kept.append(int(start))
        while len(kept) >= 3:
            before, short, now = kept[-3:]
            back = site[before] == site[now] and (cell[before] == cell[now]).all()
            if not back or frames[now] - frames[short] >= shortest:
                break
            del kept[-2:]
    return np.array(kept, dtype=np.int64)


def jump_record(
    found: Visits, sites: Sites, interval_ps: float, D_A2_per_ps: tuple[float, float, float]
) -> dict[str, Any]:
    """What jumps tell, JSON-able; D is (value, low, high), the ends of its 95 % interval.

    Rates are per ion and ps, with the interval of a Poisson process, widened where blocks of the
    run scatter more than one; no interval covers the choice of sites. Much time at no site means
    that ions go to places that are not among the sites. Residence times are the time spent on a
    kind of site over the jumps that end it, which counts stays that the run cuts off rightly.
    The correlation factor is f = D / (rate <l²> / 6), its interval that of D alone.
    `correlation_factor_one_step` is (1 + c) / (1 - c) with the mean cosine c between successive
    jumps (Compaan and Haven, Trans. Faraday Soc. 52, 786, 1956): it holds where sites are alike and
    a jump remembers only the one before; a difference from f tells of longer memory or other sites.
    """
    jumps = found.jumps
    n_ions, n_frames = found.site.shape
    vectors = (
        sites.fractional[jumps.target] + jumps.image - sites.fractional[jumps.origin]
    ) @ sites.cell_A
    squares = (vectors**2).sum(axis=1)
    followed_ps = float((found.site != NOWHERE).sum()) * interval_ps
    n_jumps = len(squares)
    record: dict[str, Any] = {
        "n_ions": n_ions,
        "n_sites": len(sites.kinds),
        "n_jumps": n_jumps,
        "length_ps": (n_frames - 1) * interval_ps,
        "share_of_time_followed": float((found.site != NOWHERE).mean()),
        "share_of_time_at_no_site": found.share_at_no_site,
        **_rates(jumps, n_frames, followed_ps),
        "kinds": _kinds(found, sites, interval_ps),
        "pairs": _pairs(jumps, sites, squares, followed_ps, _scatter(jumps, n_frames)),
        "double_occupancy_share": _double_occupancy(found.site, len(sites.kinds)),
        "percolation": percolation(jumps, len(sites.kinds)),
    }
    if not n_jumps:
        factors = ("correlation_factor", "correlation_factor_one_step")
        return record | dict.fromkeys((*factors, "back_jump_share", "successive_jumps_cosine"))
    cosine = _successive_cosine(jumps, vectors)
    mean_square = float(squares.mean())
    free = record["jump_rate_per_ps"] * mean_square / 6
    lattice = sites.cell_A / np.linalg.norm(sites.cell_A, axis=1)[:, None]
    return record | {
        "mean_square_jump_A2": mean_square,
        "jump_lengths_A": _histogram(np.sqrt(squares)),
        "mean_square_along_lattice_A2": dict(
            zip("abc", ((vectors @ lattice.T) ** 2).mean(axis=0).tolist(), strict=True)
        ),
        "back_jump_share": _back_share(jumps),
        "successive_jumps_cosine": cosine,
        "correlation_factor": D_A2_per_ps[0] / free,
        "correlation_factor_interval95": [D_A2_per_ps[1] / free, D_A2_per_ps[2] / free],
        "correlation_factor_one_step": (
            (1 + cosine) / (1 - cosine) if cosine is not None and cosine < 1 else None
        ),
    }


def _rates(jumps: Jumps, n_frames: int, followed_ps: float) -> dict[str, Any]:
    """Jumps per ion and ps, with intervals."""
    n, wider = len(jumps.frame), _scatter(jumps, n_frames)
    record: dict[str, Any] = {
        "jump_rate_per_ps": n / followed_ps if followed_ps else 0.0,
        "jumps_scatter_over_poisson": wider,
    }
    for label, level in LEVELS.items():
        record[f"jump_rate_interval{label}_per_ps"] = _rate_interval(n, wider, followed_ps, level)
    return record


def _scatter(jumps: Jumps, n_frames: int) -> float:
    """Variance of jumps in blocks of the run over that of a Poisson process, at least one."""
    if not len(jumps.frame):
        return 1.0
    blocks = np.histogram(jumps.frame, np.linspace(0, n_frames, _N_BLOCKS + 1))[0]
    return max(1.0, float(blocks.var(ddof=1) / blocks.mean()))


def _rate_interval(n: int, wider: float, followed_ps: float, level: float) -> list[float]:
    """Central interval of a rate of which n events were seen, per ion and ps."""
    # A process that scatters `wider` times as much counts as so many fewer events.
    events = n / wider
    low = scipy.stats.chi2.ppf((1 - level) / 2, 2 * events) / 2 if events else 0.0
    high = scipy.stats.chi2.ppf((1 + level) / 2, 2 * events + 2) / 2
    return [float(end) * wider / followed_ps if followed_ps else 0.0 for end in (low, high)]


def _kinds(found: Visits, sites: Sites, interval_ps: float) -> dict[str, Any]:
    """Occupancy and residence time of each kind of site."""
    frames_on = np.bincount(found.site[found.site != NOWHERE], minlength=len(sites.kinds))
    left = np.bincount(found.jumps.origin, minlength=len(sites.kinds))
    result = {}
    for kind in dict.fromkeys(sites.kinds):
        member = np.array([other == kind for other in sites.kinds])
        spent_ps = float(frames_on[member].sum()) * interval_ps
        events = int(left[member].sum())
        result[kind] = {
            "n_sites": int(member.sum()),
            "mean_occupancy": float(frames_on[member].sum() / found.site.shape[1] / member.sum()),
            "jumps_from": events,
            "residence_ps": spent_ps / events if events else None,
        }
    return result


def _pairs(
    jumps: Jumps, sites: Sites, squares: Floats, followed_ps: float, wider: float
) -> list[dict[str, Any]]:
    """Numbers, rates and lengths of jumps between kinds of sites, the commonest first.

    Intervals take each pair to scatter as all jumps together do.
    """
    kinds = np.array(sites.kinds)
    named = [
        (str(kinds[origin]), str(kinds[target]))
        for origin, target in zip(jumps.origin, jumps.target, strict=True)
    ]
    result = []
    for (origin, target), count in Counter(named).most_common():
        member = np.array([name == (origin, target) for name in named])
        result.append(
            {
                "from": origin,
                "to": target,
                "n_jumps": count,
                "rate_per_ps": count / followed_ps,
                "rate_interval95_per_ps": _rate_interval(count, wider, followed_ps, LEVELS["95"]),
                "rms_length_A": float(np.sqrt(squares[member].mean())),
            }
        )
    return result


def _double_occupancy(site: NDArray[np.int32], n_sites: int) -> float:
    """Share of occupied sites, over all frames, that hold more than one ion."""
    occupied = double = 0
    for frame in range(0, site.shape[1], max(1, site.shape[1] // 2000)):
        held = site[:, frame]
        counts = np.bincount(held[held != NOWHERE], minlength=n_sites)
        occupied += int((counts > 0).sum())
        double += int((counts > 1).sum())
    return double / occupied if occupied else 0.0


def _back_share(jumps: Jumps) -> float | None:
    """Share of successive jumps of an ion that take the first one back; None without any."""
    successive = jumps.ion[1:] == jumps.ion[:-1]
    if not successive.any():
        return None
    back = (
        (jumps.target[1:] == jumps.origin[:-1])
        & (jumps.origin[1:] == jumps.target[:-1])
        & (jumps.image[1:] == -jumps.image[:-1]).all(axis=1)
    )
    return float(back[successive].mean())


def _successive_cosine(jumps: Jumps, vectors_A: Floats) -> float | None:
    """Mean cosine between successive jumps of an ion, longer ones counting more; None without."""
    successive = np.flatnonzero(jumps.ion[1:] == jumps.ion[:-1])
    if not len(successive):
        return None
    first, second = vectors_A[successive], vectors_A[successive + 1]
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float((first * second).sum() / lengths.sum())


def _histogram(lengths_A: Floats) -> dict[str, Any]:
    edges = np.arange(0, lengths_A.max() + 0.2, 0.1)
    return {"edges_A": edges.tolist(), "n_jumps": np.histogram(lengths_A, edges)[0].tolist()}


def percolation(jumps: Jumps, n_sites: int) -> dict[str, Any]:
    """Directions in which paths made of observed jumps lead out of the cell and on for ever.

    Sites joined by jumps form a periodic graph; the lattice translations around its cycles span
    what an ion can reach. Parts of the graph that no jump joins are `networks` of their own; only
    those that percolate are listed. `vectors` are independent translations in units of the cell
    vectors, at the top those of the network of most dimensions; `along` says for each cell vector
    whether it is in the span of a network.
    """
    edges = np.unique(np.column_stack([jumps.origin, jumps.target, jumps.image]), axis=0)
    neighbours: dict[int, list[tuple[int, Integers]]] = {}
    for origin, target, *image in edges.tolist():
        neighbours.setdefault(origin, []).append((target, np.array(image)))
        neighbours.setdefault(target, []).append((origin, -np.array(image)))
    offset: dict[int, Integers] = {}
    networks: list[tuple[list[Integers], int]] = []
    for root in neighbours:
        if root in offset:
            continue
        offset[root] = np.zeros(3, dtype=np.int64)
        stack, cycles, n_reached = [root], [], 1
        while stack:
            here = stack.pop()
            for there, image in neighbours[here]:
                reached = offset[here] + image
                if there not in offset:
                    offset[there] = reached
                    stack.append(there)
                    n_reached += 1
                elif (reached != offset[there]).any():
                    cycles.append(reached - offset[there])
        basis = _independent(cycles)
        if basis:
            networks.append((basis, n_reached))
    networks.sort(key=lambda network: (-len(network[0]), -network[1]))
    largest = networks[0][0] if networks else []
    return {
        "dimensions": len(largest),
        "vectors": [vector.tolist() for vector in largest],
        "along": {
            name: any(_in_span(axis, basis) for basis, _ in networks)
            for name, axis in zip("abc", np.eye(3), strict=True)
        },
        "networks": [
            {
                "dimensions": len(basis),
                "vectors": [vector.tolist() for vector in basis],
                "n_sites": count,
            }
            for basis, count in networks
        ],
        "sites_reached": len(neighbours),
    }


def _in_span(vector: Floats, basis: list[Integers]) -> bool:
    return bool(np.linalg.matrix_rank(np.vstack([*basis, vector])) == len(basis))


def _independent(cycles: list[Integers]) -> list[Integers]:
    """Shortest linearly independent ones of some translations, the first number above zero."""
    unique = {tuple(int(x) for x in cycle) for cycle in cycles}
    unique = {max(cycle, tuple(-x for x in cycle)) for cycle in unique}
    basis: list[Integers] = []
    for cycle in sorted(unique, key=lambda v: (sum(x * x for x in v), tuple(-x for x in v))):
        candidate = [*basis, np.array(cycle)]
        if np.linalg.matrix_rank(np.array(candidate)) == len(candidate):
            basis = candidate
    return basis
