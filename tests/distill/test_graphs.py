"""Graphs and packs: nothing lost, nothing added, and the conventions of stress and neighbours."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_cells import chloride, labelled, labelled_cells, rattled_cells

from halmd.distill.graphs import (
    ORDINARY_FORCE_EV_PER_A,
    Capacity,
    Graph,
    Pack,
    by_room,
    capacities,
    edges_of,
    element_shifts,
    free_atom_energies,
    graph,
    numbers,
    pack,
    packs,
    rooms_for_neighbours,
    share_out,
    voigt_to_matrix,
    weights,
)
from halmd.distill.label import Labelled

ELEMENTS = ("Cl", "Li", "Y")
R_MAX_A = 4.0
FREE_EV = {"Cl": -1.0, "Li": -0.5, "Y": 2.0}


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [graph(entry, FREE_EV, ELEMENTS, R_MAX_A) for entry in labelled_cells(12)]


def test_edges_are_all_pairs_within_the_cutoff() -> None:
    atoms = rattled_cells(1)[0]
    senders, receivers, reverse, vectors = edges_of(atoms, R_MAX_A)
    found = {
        (i, j, *np.round(v, 3))
        for i, j, v in zip(senders, receivers, vectors.tolist(), strict=True)
    }
    cell, shifts = np.array(atoms.cell), np.array(list(np.ndindex(5, 5, 5))) - 2
    expected = set()
    for i, a in enumerate(atoms.positions):
        for j, b in enumerate(atoms.positions):
            for vector in b - a + shifts @ cell:
                if 0 < np.linalg.norm(vector) < R_MAX_A:
                    expected.add((i, j, *np.round(vector.astype(np.float32).tolist(), 3)))
    assert found == expected
    # The reverse of an edge is another one that leads back, and its reverse is the edge itself.
    assert np.array_equal(senders[reverse], receivers)
    assert np.array_equal(receivers[reverse], senders)
    assert np.allclose(vectors[reverse], -vectors, atol=1e-6)
    assert np.array_equal(reverse[reverse], np.arange(len(reverse)))
    assert not (reverse == np.arange(len(reverse))).any()
    assert (np.diff(receivers) >= 0).all()


def test_energies_are_above_free_atoms() -> None:
    entry = labelled(chloride(Y=1))
    made = graph(entry, FREE_EV, ELEMENTS, R_MAX_A)
    assert made.energy_eV == pytest.approx(entry.energy_eV - (3 * -0.5 + 2.0 + 4 * -1.0))
    assert [ELEMENTS[k] for k in made.species] == entry.atoms.get_chemical_symbols()
    assert made.volume_A3 == pytest.approx(entry.atoms.get_volume())
    assert numbers(ELEMENTS) == [17, 3, 39]


@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=6, max_size=6))
def test_stress_matrix_is_ases(stress: list[float]) -> None:
    assert np.array_equal(
        voigt_to_matrix(np.array(stress)), voigt_6_to_full_3x3_stress(np.array(stress))
    )


@given(st.integers(1, 12))
def test_every_graph_is_packed_once(graphs: list[Graph], batch_size: int) -> None:
    rooms = capacities(graphs, batch_size, R_MAX_A)
    energies: list[float] = []
    for filled in packs(graphs, rooms, R_MAX_A):
        real = filled.graph_weight > 0
        assert real.sum() <= rooms[0].graphs - 1
        assert (filled.atom_weight > 0).sum() == filled.atoms_in_graph[real].sum() < rooms[0].atoms
        energies += filled.energy_per_atom_eV[real].tolist()
    wanted = [np.float32(g.energy_eV / len(g.species)) for g in graphs]
    assert sorted(energies) == sorted(wanted)


@dataclass(frozen=True)
class Sized:
    """What the sharing out looks at."""

    species: NDArray[np.int64]
    most_neighbours: int = 1


@given(st.lists(st.integers(8, 95), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_packs_are_full_and_hold_everything_once(sizes: list[int], random: Any) -> None:
    graphs: Any = [Sized(np.zeros(size, dtype=np.int64)) for size in sizes]
    room = Capacity(96, 28, 7)
    order = list(range(len(sizes)))
    random.shuffle(order)
    shared = share_out(graphs, order, room)
    assert sorted(k for members in shared for k in members) == sorted(order)
    filling = [sum(sizes[k] for k in members) for members in shared]
    assert max(filling) <= 95
    assert max(len(members) for members in shared) <= 6
    # The first of those left is always in the next pack: nothing waits for ever.
    waiting = list(order)
    for members in shared:
        assert members[0] == waiting[0]
        waiting = [k for k in waiting if k not in members]


def test_small_cells_fill_the_gaps_of_large_ones() -> None:
    graphs: Any = [Sized(np.zeros(size, dtype=np.int64)) for size in [60, 56, 20, 39, 15, 20, 35]]
    shared = share_out(graphs, range(7), Capacity(96, 28, 7))
    assert shared == [[0, 2, 4], [1, 3], [5, 6]]


def test_squeezed_cells_have_packs_of_their_own(graphs: list[Graph]) -> None:
    narrow, wide = Capacity(96, 28, 7), Capacity(96, 36, 7)
    mixed: Any = [Sized(np.zeros(8, dtype=np.int64), n) for n in (20, 36, 28, 29)]
    assert by_room(mixed, [3, 2, 1, 0], [narrow, wide]) == [(narrow, [2, 0]), (wide, [3, 1])]


def test_a_pack_holds_what_the_graphs_hold(graphs: list[Graph]) -> None:
    room = capacities(graphs, 4, R_MAX_A)[-1]
    chosen = graphs[:3]
    filled = pack(chosen, room, R_MAX_A)
    width, first = room.neighbours, 0
    real = np.linalg.norm(filled.vectors_A, axis=2) < R_MAX_A
    for k, g in enumerate(chosen):
        atoms = slice(first, first + len(g.species))
        assert np.array_equal(filled.species[atoms], g.species)
        # Edges lie in the rows of their receivers, in the order of the graph.
        assert np.array_equal(filled.vectors_A[atoms][real[atoms]], g.vectors_A)
        assert np.array_equal(filled.neighbours[atoms][real[atoms]] - first, g.senders)
        assert np.array_equal(real[atoms].sum(axis=1), np.bincount(g.receivers))
        assert np.array_equal(filled.forces_eV_per_A[atoms], g.forces_eV_per_A)
        assert np.array_equal(filled.stress_eV_per_A3[k], g.stress_eV_per_A3)
        assert set(filled.graph_of_atom[atoms]) == {k}
        first = atoms.stop
    # The way back is there, and back again.
    flat = np.arange(room.atoms * width).reshape(room.atoms, width)
    rows = flat // width
    assert np.array_equal(filled.reverse.ravel()[filled.reverse], flat)
    assert np.array_equal(filled.neighbours.ravel()[filled.reverse], rows)
    back = filled.vectors_A.reshape(-1, 3)[filled.reverse]
    assert np.allclose(back[real], -filled.vectors_A[real], atol=1e-6)
    # Padding: beyond the cutoff, from an atom to itself, its own reverse, without weight.
    assert real.sum() == sum(len(g.senders) for g in chosen)
    assert (np.linalg.norm(filled.vectors_A[~real], axis=1) > R_MAX_A).all()
    assert np.array_equal(filled.neighbours[~real], rows[~real])
    assert np.array_equal(filled.reverse[~real], flat[~real])
    assert (filled.graph_of_atom[first:] == room.graphs - 1).all()
    assert not filled.atom_weight[first:].any()
    assert not filled.graph_weight[3:].any()


def test_all_packs_of_a_room_have_one_shape(graphs: list[Graph]) -> None:
    rooms = capacities(graphs, 3, R_MAX_A)
    shapes = {
        tuple(getattr(filled, field.name).shape for field in fields(Pack))
        for filled in packs(graphs, rooms, R_MAX_A)
    }
    assert len(shapes) == len([room for room, found in by_room(graphs, range(12), rooms) if found])


@pytest.mark.parametrize("repeats", [1, 3, 6])
def test_capacity_holds_the_largest(graphs: list[Graph], repeats: int) -> None:
    atoms = chloride(Y=1).repeat((repeats, 1, 1))
    large = graph(labelled(atoms), FREE_EV, ELEMENTS, R_MAX_A)
    room = capacities([*graphs, large], 1, R_MAX_A)[-1]
    assert len(large.species) < room.atoms
    assert large.most_neighbours <= room.neighbours == max(rooms_for_neighbours(R_MAX_A))
    assert share_out([large], [0], room) == [[0]]


def test_free_atoms_are_found_again() -> None:
    entries = [
        Labelled(
            atoms,
            sum(FREE_EV[s] for s in atoms.get_chemical_symbols()),
            np.zeros((len(atoms), 3)),
            np.zeros(6),
        )
        for atoms in (chloride(Y=1), chloride(Y=2), Atoms("LiCl", cell=[5] * 3), Atoms("Cl2"))
    ]
    found = free_atom_energies(entries, (*ELEMENTS, "Zr"))
    assert found == pytest.approx({**FREE_EV, "Zr": 0.0}, abs=1e-9)
    # What an earlier fit took off stays, and new elements take what it leaves.
    known = {"Li": FREE_EV["Li"], "Cl": FREE_EV["Cl"]}
    found = free_atom_energies(entries, (*ELEMENTS, "Zr"), known=known)
    assert found == pytest.approx({**FREE_EV, "Zr": 0.0}, abs=1e-9)
    shifted = free_atom_energies(entries, ELEMENTS, known={"Y": FREE_EV["Y"] + 1.0})
    assert shifted["Y"] == FREE_EV["Y"] + 1.0


def test_what_is_missed_by_element_is_found_and_nothing_else() -> None:
    elements = (*ELEMENTS, "Zr")
    every = [chloride(Y=1), chloride(Y=2), Atoms("LiCl", cell=[5] * 3), Atoms("Cl2", cell=[9] * 3)]
    graphs = [graph(labelled(a), dict.fromkeys(elements, 0.0), elements, R_MAX_A) for a in every]
    shifts = np.array([0.3 * (1 + k) for k in range(len(ELEMENTS))] + [0.0])
    missed = np.array([shifts[g.species].sum() for g in graphs])
    assert element_shifts(graphs, missed, 4) == pytest.approx(shifts, abs=0.01)
    # LiCl alone cannot tell lithium from chlorine: each takes half.
    alone = element_shifts([graphs[2]], np.array([1.0]), 4)
    halves = [0.5 if element in ("Li", "Cl") else 0.0 for element in elements]
    assert alone == pytest.approx(halves, abs=1e-3)


@given(st.floats(0.01, 500, allow_subnormal=False))
def test_extreme_forces_count_less(size: float) -> None:
    forces = np.zeros((8, 3))
    forces[0, 0] = size
    of_graph, of_atoms = weights(forces)
    assert of_atoms[1:].tolist() == [1.0] * 7
    assert of_graph == pytest.approx(min(1.0, ORDINARY_FORCE_EV_PER_A / size), rel=1e-6)
    assert of_atoms[0] == pytest.approx(of_graph, rel=1e-6)
