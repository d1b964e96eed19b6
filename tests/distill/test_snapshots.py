"""Snapshots made by hand: what is conserved, exact volumes and distances, seeds."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from toy_cells import RECORD, chloride, start

from halmd.distill.settings import DistillSettings
from halmd.distill.snapshots import (
    CORE_A,
    contact,
    core_contacts,
    defective,
    mixtures,
    pairs,
    rattled,
    seed_snapshots,
    strained,
)

SETTINGS = DistillSettings.model_validate(RECORD)
SEEDS = st.integers(0, 2**32 - 1)
CELLS = st.builds(
    lambda metals, bromides: chloride(Y=metals, Br=bromides).repeat((2, 1, 1)),
    st.integers(1, 3),
    st.integers(0, 2),
)
ANIONS = {"Cl", "Br"}


def counted(atoms: Atoms) -> Counter[str]:
    return Counter(atoms.get_chemical_symbols())


@given(
    SEEDS,
    CELLS,
    st.floats(-0.4, 0.9, allow_subnormal=False),
    st.floats(0, 0.05, allow_subnormal=False),
)
def test_strained_volume(seed: int, atoms: Atoms, volume: float, shear: float) -> None:
    made = strained(atoms, volume, shear, np.random.default_rng(seed))
    assert made.get_volume() == pytest.approx(atoms.get_volume() * (1 + volume), rel=1e-9)
    assert np.allclose(made.get_scaled_positions(), atoms.get_scaled_positions(), atol=1e-9)


@given(SEEDS, CELLS, st.floats(-0.4, 0.9, allow_subnormal=False))
def test_volume_without_shear_is_exact(seed: int, atoms: Atoms, volume: float) -> None:
    made = strained(atoms, volume, 0.0, np.random.default_rng(seed))
    assert made.get_volume() == pytest.approx(atoms.get_volume() * (1 + volume), rel=1e-12)


@given(SEEDS, CELLS)
def test_rattled_keeps_every_ion(seed: int, atoms: Atoms) -> None:
    made = rattled(start(atoms), SETTINGS, np.random.default_rng(seed))
    assert made.get_chemical_symbols() == atoms.get_chemical_symbols()
    assert made.info == {"origin": "rattle", "start": "a", "family": "chlorides"}


@given(SEEDS, CELLS)
def test_a_defect_changes_mobile_ions_by_one_at_most(seed: int, atoms: Atoms) -> None:
    made = counted(defective(start(atoms), SETTINGS, np.random.default_rng(seed)))
    before = counted(atoms)
    assert made["Li"] - before["Li"] in (-1, 0, 1)
    assert {s: n for s, n in made.items() if s != "Li"} == {
        s: n for s, n in before.items() if s != "Li"
    }


def test_all_three_kinds_of_defect_occur() -> None:
    rng = np.random.default_rng(0)
    atoms = chloride(Y=1)
    changes = {counted(defective(start(atoms), SETTINGS, rng))["Li"] - 3 for _ in range(20)}
    assert changes == {-1, 0, 1}


@given(SEEDS, CELLS, st.data())
def test_a_contact_has_its_distance(seed: int, atoms: Atoms, data: st.DataObject) -> None:
    pair = data.draw(st.sampled_from(pairs(atoms.get_chemical_symbols())))
    wanted = data.draw(st.floats(0.8, 2.4))
    seeds = SETTINGS.seeds.model_copy(update={"contact_A": (wanted, wanted)})
    made = contact(start(atoms), pair, seeds, np.random.default_rng(seed))
    assert made.get_chemical_symbols() == atoms.get_chemical_symbols()
    symbols = np.array(made.get_chemical_symbols())
    distances = made.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    of_pair = distances[np.ix_(symbols == pair[0], symbols == pair[1])]
    if of_pair.size > 1 or pair[0] != pair[1]:
        assert np.abs(of_pair - wanted).min() < 1e-6


@given(SEEDS)
def test_mixtures_leave_mobile_ions_and_keep_anions_anions(seed: int) -> None:
    settings = SETTINGS.model_copy(
        update={"seeds": SETTINGS.seeds.model_copy(update={"mixtures": 6})}
    )
    cells = [chloride(Y=1), chloride(Y=2, Br=2), chloride(In=1)]
    made = mixtures(
        [start(cell, tag=str(k)) for k, cell in enumerate(cells)],
        settings,
        np.random.default_rng(seed),
    )
    assert len(made) == 6
    for atoms in made:
        before = np.array(cells[int(atoms.info["start"])].get_chemical_symbols())
        after = np.array(atoms.get_chemical_symbols())
        assert np.array_equal(before == "Li", after == "Li")
        assert np.array_equal(np.isin(before, list(ANIONS)), np.isin(after, list(ANIONS)))
        assert set(after) <= {"Li", "Y", "In", "Cl", "Br"}


def test_mixtures_bring_every_pair_together() -> None:
    cells = [chloride(Y=2, Br=2), chloride(In=2)]
    wanted = pairs(["Y", "In", "Cl", "Br"])
    seeds = SETTINGS.seeds.model_copy(update={"mixtures": len(wanted), "contact_A": (1.234, 1.234)})
    settings = SETTINGS.model_copy(update={"seeds": seeds})
    found = set()
    for atoms in mixtures([start(c) for c in cells], settings, np.random.default_rng(1)):
        distances = atoms.get_all_distances(mic=True)
        for i, j in np.argwhere(np.triu(np.abs(distances - 1.234) < 1e-6)):
            found.add(tuple(sorted((atoms.symbols[i], atoms.symbols[j]))))
    assert found == set(wanted)


def test_cores_bring_every_pair_of_the_set_together_as_often_as_asked() -> None:
    cells = [chloride(Y=2, Br=2), chloride(In=1)]
    wanted = pairs(["Li", "Y", "In", "Cl", "Br"])
    settings = SETTINGS.model_copy(update={"cores": 2})
    found = Counter()
    for atoms in core_contacts([start(c) for c in cells], settings, np.random.default_rng(1)):
        distances = atoms.get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        i, j = np.unravel_index(int(np.argmin(distances)), distances.shape)
        assert CORE_A[0] - 1e-6 <= distances[i, j] <= CORE_A[1]
        # Nobody else is as near to anybody.
        assert np.sort(distances[np.triu_indices(len(atoms), 1)])[1] > 1.75
        found[tuple(sorted((atoms.symbols[i], atoms.symbols[j])))] += 1
    assert found == dict.fromkeys(wanted, 2)


def test_seeds_are_the_same_every_time() -> None:
    starts = [
        start(chloride(Y=1), tag="a", composition="p"),
        start(chloride(Y=2), tag="b", composition="q"),
    ]
    first, again = seed_snapshots(SETTINGS, starts), seed_snapshots(SETTINGS, starts)
    assert len(first) == len(again)
    for one, other in zip(first, again, strict=True):
        assert one.info == other.info
        assert np.array_equal(one.positions, other.positions)
        assert one.get_chemical_symbols() == other.get_chemical_symbols()
    other_seed = seed_snapshots(SETTINGS.model_copy(update={"seed": 6}), starts)
    assert not np.array_equal(first[0].positions, other_seed[0].positions)


def test_seeds_hold_as_many_as_the_settings_say() -> None:
    starts = [
        start(chloride(Y=1), tag="a", composition="p"),
        start(chloride(Y=2), tag="b", composition="p"),
        start(chloride(Y=1), tag="c", composition="p", held_out=True),
    ]
    origins = Counter(atoms.info["origin"] for atoms in seed_snapshots(SETTINGS, starts))
    # Li, Y and Cl have six pairs; contacts are made once for each composition.
    assert origins == {"rattle": 4, "defect": 2, "contact": 6, "mixture": 4}
