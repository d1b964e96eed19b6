"""Places, pairs kept apart and whole numbers of atoms: against brute force."""

import itertools
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.structures.filling import exclusions, pairs_within_A, sites
from halmd.structures.lattice import VACANCY, Lattice
from halmd.structures.packing import cliques, nearest_contents, start
from halmd.structures.prototypes import load_prototype
from halmd.structures.supercell import Supercell


def brute_force(
    occupancies: Mapping[str, Mapping[str, float]],
    sizes: Mapping[str, int],
    counts: Mapping[str, int],
) -> float:
    """Least squared deviation in atoms of any whole numbers that fit, infinite where none does."""
    keys = [(e, label) for e in counts for label in sizes if e in occupancies[label]]
    best = np.inf
    for way in itertools.product(*(range(sizes[label] + 1) for _, label in keys)):
        totals = dict.fromkeys(counts, 0)
        filled = dict.fromkeys(sizes, 0)
        for (element, label), n in zip(keys, way, strict=True):
            totals[element] += n
            filled[label] += n
        if totals == dict(counts) and all(filled[k] <= sizes[k] for k in sizes):
            best = min(best, deviation(dict(zip(keys, way, strict=True)), occupancies, sizes))
    return best


def deviation(
    numbers: Mapping[tuple[str, str], int],
    occupancies: Mapping[str, Mapping[str, float]],
    sizes: Mapping[str, int],
) -> float:
    return sum(
        (n - occupancies[label][element] * sizes[label]) ** 2
        for (element, label), n in numbers.items()
    )


def numbers_of(
    contents: Mapping[str, Mapping[str, int]], occupancies: Mapping[str, Mapping[str, float]]
) -> dict[tuple[str, str], int]:
    return {
        (e, label): contents[label].get(e, 0) for label in occupancies for e in occupancies[label]
    }


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.floats(0, 1, allow_subnormal=False),
            st.floats(0, 1, allow_subnormal=False),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_whole_numbers_are_the_nearest_there_are(
    labels: list[tuple[int, float, float]], lithium: int, yttrium: int
) -> None:
    sizes = {f"M{k}": size for k, (size, _, _) in enumerate(labels)}
    occupancies = {
        f"M{k}": {"Li": a / max(1.0, a + b), "Y": b / max(1.0, a + b)}
        for k, (_, a, b) in enumerate(labels)
    }
    counts = {"Li": lithium, "Y": yttrium}
    best = brute_force(occupancies, sizes, counts)
    contents = nearest_contents(occupancies, sizes, counts)
    if contents is None:
        assert np.isinf(best)
        return
    cost = deviation(numbers_of(contents, occupancies), occupancies, sizes)
    assert cost == pytest.approx(best, abs=1e-6)
    assert all(sum(content.values()) <= sizes[label] for label, content in contents.items())
    for element, total in counts.items():
        assert sum(content.get(element, 0) for content in contents.values()) == total


def test_numbers_of_m2_and_m3_are_those_of_whole_columns(
    columns: Callable[..., Lattice],
) -> None:
    lattice = columns(4, {"M2": {}, "M3": {}, "Li": {}})
    occupancies = {"M2": {"Y": 0.6}, "M3": {"Y": 0.4}, "Li": {"Li": 0.5}}
    sizes = {"M2": 8, "M3": 8, "Li": 12}
    counts = {"Y": 8, "Li": 6}
    free = nearest_contents(occupancies, sizes, counts)
    bound = nearest_contents(occupancies, sizes, counts, lattice.groups, lattice.excluded)
    assert free is not None
    assert free["M2"]["Y"] == 5
    assert bound == {"M2": {"Y": 4}, "M3": {"Y": 4}, "Li": {"Li": 6}}
    assert (
        nearest_contents(occupancies, sizes, {"Y": 9, "Li": 6}, lattice.groups, lattice.excluded)
        is None
    )


def test_a_cell_with_sixty_labels_of_its_own_is_rounded() -> None:
    rng = np.random.default_rng(0)
    occupancies = {
        f"X{k}": {"Li": x / 2, "Y": x / 3, "Zr": x / 6} for k, x in enumerate(rng.random(60))
    }
    sizes = dict.fromkeys(occupancies, 4)
    totals = {
        e: round(sum(4 * occupancy[e] for occupancy in occupancies.values()))
        for e in ("Li", "Y", "Zr")
    }
    contents = nearest_contents(occupancies, sizes, totals)
    assert contents is not None
    cost = deviation(numbers_of(contents, occupancies), occupancies, sizes)
    assert cost < 60 * 3 / 4  # at most half an atom of each kind on each label


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_a_sum_over_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.array([[5.0, 0, 0], [3.0, 4.0, 0], [-2.0, 1.5, 6.0]]) * rng.uniform(0.7, 1.3)
    fractional = rng.random((7, 3))
    expected = []
    for image in itertools.product(range(-3, 4), repeat=3):
        lengths = np.linalg.norm(
            (fractional[None] + np.array(image) - fractional[:, None]) @ cell, axis=-1
        )
        expected += lengths[(lengths < 4.0) & (lengths > 1e-6)].tolist()
    first, second, distance = pairs_within_A(cell, fractional, 4.0)
    assert np.allclose(np.sort(distance), np.sort(expected))
    shortest = np.full((7, 7), np.inf)
    np.minimum.at(shortest, (first, second), distance)
    assert np.allclose(shortest, shortest.T)


def test_m2_and_m3_of_a_column_are_excluded_and_no_others() -> None:
    prototype = load_prototype("Li3YCl6_P-3m1_M2M3")
    cell, fractional, labels = sites(
        prototype, Supercell(np.array([[2, 1, 0], [-1, 2, 0], [0, 0, 3]]), {}, Fraction(1), 0.0)
    )
    assert len(fractional) == 15 * len(prototype.labels)
    assert np.linalg.det(cell) == pytest.approx(15 * np.linalg.det(prototype.lattice_A))
    excluded = exclusions(prototype, cell, fractional, labels, {"Li": 1, "Y": 3, "Cl": -1})
    names = np.array(labels)
    assert np.array_equal(excluded, excluded.T)
    assert (excluded[np.isin(names, ["Y2", "Y3"])].sum(axis=1) == 2).all()
    assert not excluded[~np.isin(names, ["Y2", "Y3"])].any()
    assert not excluded[np.ix_(names == "Y2", names == "Y2")].any()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_cliques_cover_every_excluded_pair_and_nothing_else(seed: int, share: float) -> None:
    excluded = np.triu(np.random.default_rng(seed).random((14, 14)) < share, 1)
    excluded = excluded | excluded.T
    covered = np.zeros_like(excluded)
    for clique in cliques(excluded):
        covered[np.ix_(clique, clique)] = True
    np.fill_diagonal(covered, False)
    assert np.array_equal(covered, excluded)


def test_starts_differ_and_honour_the_exclusions(columns: Callable[..., Lattice]) -> None:
    lattice = columns(4, {"M2": {"Y": 3, "Zr": 1}, "M3": {"Y": 4}, "Li": {"Li": 5}})
    seen = set()
    for seed in range(20):
        occupation = start(lattice, np.random.default_rng(seed))
        full = occupation != VACANCY
        assert not lattice.excluded[np.ix_(full, full)].any()
        for group, content in lattice.contents.items():
            held = occupation[lattice.members(group)]
            for element, n in content.items():
                assert np.sum(held == lattice.species.index(element)) == n
        seen.add(occupation.tobytes())
    assert len(seen) > 15
