"""Fillings that keep excluded sites apart, found by integer programming (HiGHS, through scipy).

Where face-sharing sites form columns at half filling, each column is all of one site or all of the
other; exchanging atoms one by one never gets there, a branch-and-bound solver does at once, or
proves that there is none.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

from halmd.errors import HalmdError
from halmd.structures.lattice import VACANCY, Indices, Lattice, Occupation

_NODES = 20_000
"""Branches tried before giving up; a count, not a time, so that the outcome is reproducible."""


class NoFillingError(HalmdError):
    """The numbers of atoms on the sites cannot keep excluded pairs apart; others may."""


Row = dict[int, float]


def cliques(excluded: NDArray[np.bool_]) -> list[Indices]:
    """Sets of mutually excluded sites that together cover every excluded pair.

    "At most one of a triangle" binds a solver tighter than three pairs do. excluded (n, n).
    """
    left = np.triu(excluded, 1)
    found = []
    for i in range(len(excluded)):
        while left[i].any():
            clique = [i, int(left[i].argmax())]
            common = excluded[clique[0]] & excluded[clique[1]]
            while common.any():
                clique.append(int(common.argmax()))
                common = common & excluded[clique[-1]]
            members = np.sort(clique)
            left[np.ix_(members, members)] = False
            found.append(members)
    return found


def start(lattice: Lattice, rng: np.random.Generator) -> Occupation:
    """A random occupation with the right numbers that honours the exclusions, shape (n_sites,).

    Raises NoFillingError where there is none.
    """
    full = _full_sites(lattice, rng)
    occupation = np.full(len(lattice.groups), VACANCY)
    for group, content in lattice.contents.items():
        members = lattice.members(group)
        sites = rng.permutation(members[full[members]])
        numbers = [lattice.species.index(element) for element in content]
        occupation[sites] = np.repeat(np.array(numbers, dtype=int), list(content.values()))
    return occupation


def _full_sites(lattice: Lattice, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which sites are occupied, shape (n_sites,)."""
    full = np.zeros(len(lattice.groups), dtype=bool)
    bound: list[tuple[Indices, int]] = []
    for group, content in lattice.contents.items():
        members, amount = lattice.members(group), sum(content.values())
        if amount > len(members):
            raise NoFillingError(
                f"site {group} has {len(members)} places in this supercell, not {amount}; "
                "give it less in site_fractions or choose another prototype"
            )
        if amount > 0 and lattice.excluded[members].any():
            bound.append((members, amount))
        else:
            full[rng.permutation(members)[:amount]] = True
    if not bound:
        return full
    # A filled site outside the bound groups has no excluded neighbours, so it restricts nothing.
    sites = np.concatenate([members for members, _ in bound])
    column = np.full(len(full), -1)
    column[sites] = np.arange(len(sites))
    rows: list[Row] = []
    low, high = [], []
    for members, amount in bound:
        rows.append({int(c): 1.0 for c in column[members]})
        low.append(float(amount))
        high.append(float(amount))
    for clique in cliques(lattice.excluded[np.ix_(sites, sites)]):
        rows.append({int(c): 1.0 for c in clique})
        low.append(0.0)
        high.append(1.0)
    chosen = _solve(rng.random(len(sites)), rows, low, high, np.ones(len(sites)), any_will_do=True)
    if chosen is None:
        raise NoFillingError("no filling of the sites keeps excluded pairs apart")
    full[sites] = np.rint(chosen).astype(bool)
    return full


def nearest_contents(
    occupancies: Mapping[str, Mapping[str, float]],
    sizes: Mapping[str, int],
    counts: Mapping[str, int],
    labels: Sequence[str] = (),
    excluded: NDArray[np.bool_] | None = None,
) -> dict[str, dict[str, int]] | None:
    """Whole numbers of atoms on each label nearest to the wanted occupancies, or None.

    Least squares in atoms, totals of `counts` kept, no label overfull. With `labels` and `excluded`
    of the sites, only numbers that a filling with the excluded pairs apart can have.
    """
    pairs = [
        (element, label)
        for element in counts
        for label, occupancy in occupancies.items()
        if element in occupancy
    ]
    cost: list[float] = []
    upper: list[float] = []
    rows: list[Row] = []
    low: list[float] = []
    high: list[float] = []
    per_element: dict[str, Row] = {element: {} for element in counts}
    per_label: dict[str, Row] = {label: {} for label in sizes}
    for element, label in pairs:
        wanted = occupancies[label][element] * sizes[label]
        # The k-th atom costs (k + 1 - w)² - (k - w)², which grows with k: filled in order.
        # Only atoms about the wanted number have a variable of their own.
        step = 2 * sizes[label] if sizes[label] <= 64 else 40
        floor = max(0, int(wanted) - step // 2)
        ceiling = min(sizes[label], int(wanted) + step // 2 + 1)
        for k in range(ceiling):
            variable = len(cost)
            cost.append(2 * (k - wanted) + 1 if k >= floor else -2.0 * sizes[label])
            upper.append(1.0)
            per_element[element][variable] = 1.0
            per_label[label][variable] = 1.0
    for element, total in counts.items():
        rows.append(per_element[element])
        low.append(float(total))
        high.append(float(total))
    touched = set()
    if excluded is not None and excluded.any():
        names = np.array(labels)
        touched = {str(label) for label in np.unique(names[excluded.any(axis=1)])}
        sites = np.flatnonzero(np.isin(names, list(touched)))
        first = len(cost)
        cost += [0.0] * len(sites)
        upper += [1.0] * len(sites)
        for label in touched:
            filled = {first + int(k): -1.0 for k in np.flatnonzero(names[sites] == label)}
            rows.append(per_label[label] | filled)
            low.append(0.0)
            high.append(0.0)
        for clique in cliques(excluded[np.ix_(sites, sites)]):
            rows.append({first + int(c): 1.0 for c in clique})
            low.append(0.0)
            high.append(1.0)
    for label, row in per_label.items():
        if label not in touched and row:
            rows.append(row)
            low.append(0.0)
            high.append(float(sizes[label]))
    if any(not row and total for row, total in zip(rows, low, strict=True)):
        return None
    solution = _solve(np.array(cost), rows, low, high, np.array(upper), any_will_do=False)
    if solution is None:
        return None
    contents: dict[str, dict[str, int]] = {label: {} for label in sizes}
    for element, label in pairs:
        shared = per_element[element].keys() & per_label[label].keys()
        number = round(float(sum(solution[v] for v in shared)))
        if number:
            contents[label][element] = number
    return contents


def _solve(
    cost: NDArray[np.float64],
    rows: list[Row],
    low: list[float],
    high: list[float],
    upper: NDArray[np.float64],
    *,
    any_will_do: bool,
) -> NDArray[np.float64] | None:
    """Values in 0..upper of least cost with low <= rows <= high, or None where there are none."""
    entries = [(r, c, v) for r, row in enumerate(rows) for c, v in row.items()]
    r, c, v = (np.array(part) for part in zip(*entries, strict=True))
    result = milp(
        cost,
        constraints=LinearConstraint(
            coo_matrix((v, (r, c)), shape=(len(rows), len(cost))).tocsr(), low, high
        ),
        bounds=Bounds(0, upper),
        integrality=np.ones(len(cost)),
        # A huge gap stops the search at the first filling; near the optimum, ties are not proved.
        options={"node_limit": _NODES, "mip_rel_gap": 1e6 if any_will_do else 1e-6},
    )
    solution: NDArray[np.float64] | None = result.x
    return solution
