"""Special quasirandom metals: numbers kept, short-range order near zero, and a clear refusal."""

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import pytest

from halmd.errors import HalmdError
from halmd.structures.lattice import VACANCY, Lattice, Occupation
from halmd.structures.ordering import distinct_orderings
from halmd.structures.packing import start
from halmd.structures.sqs import quasirandom, shell_edges_A

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("sqsgenerator") is None, reason="sqsgenerator is not installed"
)


def rock_salt(n: int) -> Lattice:
    """A face-centred metal lattice of n³ cubic cells, half Y and half In, beside two Li places."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    metal = ((basis[:, None] + grid[None]).reshape(-1, 3)) / n
    lithium = np.array([[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]) / n
    fractional = np.concatenate([metal, lithium])
    return Lattice(
        cell_A=np.eye(3) * 5.0 * n,
        fractional=fractional,
        groups=("M",) * len(metal) + ("Li",) * 2,
        species=("Y", "In", "Li"),
        charges_e=np.array([3.0, 3.0, 1.0]),
        contents={"M": {"Y": len(metal) // 2, "In": len(metal) // 2}, "Li": {"Li": 1}},
        excluded=np.zeros((len(fractional), len(fractional)), dtype=bool),
    )


def like_neighbours(lattice: Lattice, occupation: Occupation, reach_A: float) -> float:
    """Share of metal pairs nearer than `reach_A` that are of one element."""
    metal = lattice.members("M")
    difference = lattice.fractional[metal][:, None] - lattice.fractional[metal][None]
    difference -= np.rint(difference)
    near = np.linalg.norm(difference @ lattice.cell_A, axis=-1) < reach_A
    np.fill_diagonal(near, False)
    same = occupation[metal][:, None] == occupation[metal][None]
    return float(same[near].mean())


def test_shells_end_between_the_distances_of_the_lattice() -> None:
    lattice = rock_salt(3)
    edges = shell_edges_A(lattice.cell_A, lattice.fractional[lattice.members("M")])
    distances = 5.0 * np.sqrt([0.5, 1.0, 1.5, 2.0])
    assert edges[0] == 0.0
    assert edges[1:] == pytest.approx((distances[:-1] + distances[1:]) / 2, abs=1e-3)


@needs_library
def test_neighbours_are_as_mixed_as_in_an_infinite_random_alloy() -> None:
    lattice = rock_salt(3)
    metal = lattice.members("M")
    n = len(metal)
    random = [start(lattice, np.random.default_rng(seed)) for seed in range(6)]
    arranged = [quasirandom(lattice, o, ["Y", "In"], seed=k) for k, o in enumerate(random)]
    for before, after in zip(random, arranged, strict=True):
        assert np.array_equal(np.sort(before[metal]), np.sort(after[metal]))
        assert np.array_equal(before[lattice.members("Li")], after[lattice.members("Li")])
    # Half of the pairs are alike; nearest neighbours are at 3.54 Å.
    off = [abs(like_neighbours(lattice, o, 3.6) - 0.5) for o in arranged]
    off_random = [abs(like_neighbours(lattice, o, 3.6) - 0.5) for o in random]
    assert np.mean(off) < 0.5 * np.mean(off_random)
    assert max(off) < 1 / n**0.5 / 4
    again = quasirandom(lattice, random[0], ["Y", "In"], seed=0)
    assert np.array_equal(again, arranged[0])


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
        quasirandom(lattice, occupation, ["Y", "In"], seed=0)
