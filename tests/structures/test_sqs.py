"""Special quasirandom metals: numbers kept, short-range order near zero, and a clear refusal."""

import importlib.util
import itertools
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.structures.lattice import VACANCY, Lattice, Occupation
from halmd.structures.ordering import distinct_orderings
from halmd.structures.packing import start
from halmd.structures.sqs import quasirandom, shell_edges_A

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("sqsgenerator") is None, reason="sqsgenerator is not installed"
)

METALS = ("Y", "In", "Sc")


def rock_salt(n: int) -> Lattice:
    """A face-centred lattice of Y, In and Sc (2:1:1), n³ cubic cells, beside two Li places."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    metal = ((basis[:, None] + grid[None]).reshape(-1, 3)) / n
    lithium = np.array([[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]) / n
    fractional = np.concatenate([metal, lithium])
    return Lattice(
        cell_A=np.eye(3) * 5.0 * n,
        fractional=fractional,
        groups=("M",) * len(metal) + ("Li",) * 2,
        species=("Y", "In", "Sc", "Li"),
        charges_e=np.array([3.0, 3.0, 3.0, 1.0]),
        contents={
            "M": {"Y": len(metal) // 2, "In": len(metal) // 4, "Sc": len(metal) // 4},
            "Li": {"Li": 1},
        },
        excluded=np.zeros((len(fractional), len(fractional)), dtype=bool),
    )


def short_range_order(
    lattice: Lattice, occupation: Occupation, radii_A: Sequence[float]
) -> NDArray[np.float64]:
    """Warren-Cowley parameters 1 - p_ij / c_j of all pairs of elements on "M", in each shell.

    Counted pair by pair over periodic images, shape (n_shells, n_elements, n_elements).
    """
    metal = lattice.members("M")
    held = occupation[metal]
    elements, numbers = np.unique(held, return_counts=True)
    found = np.zeros((len(radii_A), len(elements), len(elements)))
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    for i, j in itertools.product(range(len(metal)), repeat=2):
        apart = lattice.fractional[metal[j]] - lattice.fractional[metal[i]] + images
        distance = np.linalg.norm(apart @ lattice.cell_A, axis=1)
        for shell, radius in enumerate(radii_A):
            pair = np.searchsorted(elements, held[i]), np.searchsorted(elements, held[j])
            found[shell][pair] += np.sum(np.abs(distance - radius) < 0.1)
    share = found / found.sum(axis=2, keepdims=True)
    result: NDArray[np.float64] = 1 - share / (numbers / len(metal))
    return result


def test_shells_end_between_the_distances_of_the_lattice() -> None:
    lattice = rock_salt(3)
    edges = shell_edges_A(lattice.cell_A, lattice.fractional[lattice.members("M")])
    distances = 5.0 * np.sqrt([0.5, 1.0, 1.5, 2.0])
    assert edges[0] == 0.0
    assert edges[1:] == pytest.approx((distances[:-1] + distances[1:]) / 2, abs=1e-3)


@needs_library
def test_short_range_order_is_that_of_an_infinite_random_alloy() -> None:
    lattice = rock_salt(3)
    metal = lattice.members("M")
    random = [start(lattice, np.random.default_rng(seed)) for seed in range(4)]
    arranged = [quasirandom(lattice, o, METALS, seed=k) for k, o in enumerate(random)]
    for before, after in zip(random, arranged, strict=True):
        assert np.array_equal(np.sort(before[metal]), np.sort(after[metal]))
        assert np.array_equal(before[lattice.members("Li")], after[lattice.members("Li")])
    shells = 5.0 * np.sqrt([0.5, 1.0, 1.5])
    order, order_random = (
        np.mean([np.abs(short_range_order(lattice, o, shells)) for o in each], axis=(0, 2, 3))
        for each in (arranged, random)
    )
    # Nearest neighbours count most, the third shell least.
    assert order[0] < 0.35 * order_random[0]
    assert order[0] < 0.03
    assert (order < order_random).all()


@needs_library
def test_same_seed_gives_the_same_arrangement_and_another_seed_another() -> None:
    lattice = rock_salt(2)
    occupation = start(lattice, np.random.default_rng(0))
    first = quasirandom(lattice, occupation, METALS, seed=5)
    for _ in range(8):
        assert np.array_equal(quasirandom(lattice, occupation, METALS, seed=5), first)
    assert not np.array_equal(quasirandom(lattice, occupation, METALS, seed=6), first)


@needs_library
def test_orderings_around_quasirandom_metals(lattice_of: Callable[..., Lattice]) -> None:
    lattice = lattice_of(
        "Li3YCl6_P-3m1_M2M3",
        (2, 2, 2),
        {"Li": 66, "Y": 12, "Zr": 6, "Er": 6, "Cl": 144},
        {
            f"Y{k}": {"Y": x / 2, "Zr": x / 4, "Er": x / 4}
            for k, x in ((1, 1.0), (2, 0.5), (3, 0.5))
        },
    )
    settings = {"wanted": 3, "temperature_K": 800.0, "steps": 500, "seed": 1}
    found = distinct_orderings(lattice, **settings, sqs=("Y", "Zr", "Er"))
    again = distinct_orderings(lattice, **settings, sqs=("Y", "Zr", "Er"))
    assert len(found) == 3
    assert [o.tobytes() for o, _, _ in found] == [o.tobytes() for o, _, _ in again]
    for occupation, _, _ in found:
        full = occupation != VACANCY
        assert not lattice.excluded[np.ix_(full, full)].any()
        for group, content in lattice.contents.items():
            held = occupation[lattice.members(group)]
            for element, n in content.items():
                assert np.sum(held == lattice.species.index(element)) == n


def test_one_metal_needs_no_library(
    columns: Callable[..., Lattice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqsgenerator", None)
    lattice = columns(2, {"M2": {"Y": 2}, "M3": {"Y": 2}, "Li": {"Li": 2}})
    occupation = start(lattice, np.random.default_rng(0))
    assert np.array_equal(quasirandom(lattice, occupation, ["Y"], seed=0), occupation)


def test_absent_library_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sqsgenerator", None)
    lattice = rock_salt(2)
    occupation = start(lattice, np.random.default_rng(0))
    with pytest.raises(HalmdError, match=r"sqsgenerator.*not installed.*halmd\[sqs\]"):
        quasirandom(lattice, occupation, METALS, seed=0)
