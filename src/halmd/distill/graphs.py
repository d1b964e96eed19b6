"""Labelled snapshots as graphs of one fixed size, which is what a compiled training step needs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from halmd.distill.label import Labelled

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

NEIGHBOURS_AT_5_A = 24.0
"""Mean number of neighbours within 5 Å in a halide at its own density."""

ROOMS_AT_5_A = (28.0, 36.0)
"""Neighbours within 5 Å that atoms may have: in nine of ten cells, and in all but a few.

Empty places cost as much as full ones, so squeezed cells get packs of their own.
"""

ORDINARY_FORCE_EV_PER_A = 6.0
"""Larger forces do not occur in MD of a halide at any temperature of interest."""

_LOOK_AHEAD = 16
_SHIFT_COUNTS = 0.003


@dataclass(frozen=True)
class Graph:
    """One snapshot: its edges, and what the teacher says without the energies of free atoms."""

    species: Ints
    """Index of each atom's element, shape (n_atoms,)."""
    senders: Ints
    receivers: Ints
    """Shape (n_edges,), sorted by receiver."""
    reverse: Ints
    """The edge that leads back, shape (n_edges,)."""
    vectors_A: Floats
    """From sender to receiver, shape (n_edges, 3)."""
    energy_eV: float
    forces_eV_per_A: Floats
    """Shape (n_atoms, 3)."""
    stress_eV_per_A3: Floats
    """Shape (3, 3)."""
    volume_A3: float
    graph_weight: float
    atom_weights: Floats
    """How much energy and stress, and each force, count."""

    @property
    def most_neighbours(self) -> int:
        """Of any atom."""
        return int(np.bincount(self.receivers).max()) if len(self.receivers) else 0


@dataclass(frozen=True)
class Capacity:
    """Room of a pack. The last graph is a dummy that padding belongs to."""

    atoms: int
    neighbours: int
    graphs: int


Groups = list[tuple[Capacity, list[int]]]
"""Rooms, and places of the graphs that go into packs of each."""


@dataclass(frozen=True)
class Pack:
    """Several graphs side by side, padded to a `Capacity`; arrays as the training step wants."""

    vectors_A: Floats
    """From each neighbour to the atom, shape (atoms, neighbours, 3)."""
    species: Ints
    neighbours: Ints
    """Shape (atoms, neighbours)."""
    reverse: Ints
    """Place of the edge that leads back in the flat table of edges, shape (atoms, neighbours)."""
    graph_of_atom: Ints
    energy_per_atom_eV: Floats
    forces_eV_per_A: Floats
    stress_eV_per_A3: Floats
    """Shape (graphs, 3, 3)."""
    atoms_in_graph: Floats
    volume_A3: Floats
    graph_weight: Floats
    atom_weight: Floats
    """1 for what is ordinary, less where forces are extreme, 0 for padding."""


def rooms_for_neighbours(r_max_A: float) -> list[int]:
    """Neighbours an atom may have within the cutoff, in packs of the ordinary and the wide kind."""
    return [4 * int(np.ceil(room * (r_max_A / 5.0) ** 3 / 4)) for room in ROOMS_AT_5_A]


def edges_of(atoms: Atoms, r_max_A: float) -> tuple[Ints, Ints, Ints, Floats]:
    """All directed edges shorter than `r_max_A`: senders, receivers, reverse edges, vectors in Å.

    Sorted by receiver. An edge to an image of the atom itself has a reverse of its own.
    """
    from matscipy.neighbours import neighbour_list

    senders, receivers, vectors, shifts = neighbour_list("ijDS", atoms, r_max_A)
    forward = np.column_stack([receivers, senders, shifts])
    order = np.lexsort(forward.T[::-1])
    backward = np.column_stack([senders, receivers, -shifts])
    place_of_rank = np.lexsort(backward[order].T[::-1])
    # The k-th edge in order equals the reverse of the one at place_of_rank[k].
    reverse = np.empty(len(order), dtype=np.int64)
    reverse[place_of_rank] = np.arange(len(order))
    return (
        senders[order].astype(np.int64),
        receivers[order].astype(np.int64),
        reverse,
        vectors[order].astype(np.float32),
    )


def voigt_to_matrix(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """ASE's xx, yy, zz, yz, xz, xy as a symmetric matrix."""
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def free_atom_energies(
    labelled: Sequence[Labelled],
    elements: Sequence[str],
    known: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Energy of each element in eV, by least squares over the snapshots; what is known stays.

    Only what is left of the energy has to be learnt. Elements that do not occur get zero.
    """
    index = {element: k for k, element in enumerate(elements)}
    counts = np.zeros((len(labelled), len(elements)))
    for row, entry in zip(counts, labelled, strict=True):
        for symbol in entry.atoms.get_chemical_symbols():
            row[index[symbol]] += 1
    energies = np.array([entry.energy_eV for entry in labelled])
    sizes = counts.sum(axis=1)
    # Energies per atom count, and where ions are pressed together much less than elsewhere.
    largest = np.array([np.abs(entry.forces_eV_per_A).max() for entry in labelled])
    weight = np.minimum(1.0, ORDINARY_FORCE_EV_PER_A / np.maximum(largest, 1e-9)) ** 2 / sizes
    given = known or {}
    rest = energies - counts @ [given.get(element, 0.0) for element in elements]
    free = [k for element, k in index.items() if element not in given]
    found, *_ = np.linalg.lstsq(counts[:, free] * weight[:, None], rest * weight, rcond=1e-6)
    fitted = {elements[k]: float(energy) for k, energy in zip(free, found, strict=True)}
    return {element: {**given, **fitted}[element] for element in elements}


def element_shifts(
    graphs: Sequence[Graph], missed_eV: NDArray[np.float64], n_elements: int
) -> NDArray[np.float64]:
    """Energies of free atoms, in eV by element, that leave least of what is missed of each graph.

    Least squares of eV per atom, in which an eV of shift counts as `_SHIFT_COUNTS` of what is left:
    neutral compositions hardly feel some shifts, which would become tens of eV for nothing.
    Elements that do not occur get zero.
    """
    counts = np.array([np.bincount(g.species, minlength=n_elements) for g in graphs], dtype=float)
    weight = np.array([g.graph_weight**2 / len(g.species) for g in graphs])
    dear = _SHIFT_COUNTS * math.sqrt(len(graphs)) * np.eye(n_elements)
    found, *_ = np.linalg.lstsq(
        np.vstack([counts * weight[:, None], dear]),
        np.concatenate([missed_eV * weight, np.zeros(n_elements)]),
        rcond=None,
    )
    return np.asarray(found, dtype=np.float64)


def graph(
    entry: Labelled, free_eV: dict[str, float], elements: Sequence[str], r_max_A: float
) -> Graph:
    """A labelled snapshot as a graph, the energies of its free atoms taken off."""
    symbols = entry.atoms.get_chemical_symbols()
    senders, receivers, reverse, vectors = edges_of(entry.atoms, r_max_A)
    graph_weight, atom_weights = weights(entry.forces_eV_per_A)
    return Graph(
        species=np.array([elements.index(symbol) for symbol in symbols], dtype=np.int64),
        senders=senders,
        receivers=receivers,
        reverse=reverse,
        vectors_A=vectors,
        energy_eV=entry.energy_eV - sum(free_eV[symbol] for symbol in symbols),
        forces_eV_per_A=entry.forces_eV_per_A.astype(np.float32),
        stress_eV_per_A3=voigt_to_matrix(entry.stress_eV_per_A3).astype(np.float32),
        volume_A3=float(entry.atoms.get_volume()),
        graph_weight=graph_weight,
        atom_weights=atom_weights,
    )


def weights(forces_eV_per_A: NDArray[np.float64]) -> tuple[float, Floats]:
    """How much a snapshot's energy and stress count, and each of its forces.

    Where ions are pressed together the teacher's forces reach hundreds of eV/Å: a relative error is
    asked for there, or a few such snapshots would outweigh all others.
    """
    lengths = np.linalg.norm(forces_eV_per_A, axis=1)
    return (
        float(min(1.0, ORDINARY_FORCE_EV_PER_A / max(lengths.max(), 1e-9))),
        np.minimum(1.0, ORDINARY_FORCE_EV_PER_A / np.maximum(lengths, 1e-9)).astype(np.float32),
    )


def capacities(graphs: Sequence[Graph], batch_size: int, r_max_A: float) -> list[Capacity]:
    """Room for about `batch_size` mean snapshots, and for the largest one; ordinary and wide.

    Rounded coarsely: other data of the same kind then have the same room, and a training step that
    was compiled once serves again.
    """
    mean = float(np.mean([len(g.species) for g in graphs]))
    atoms = 32 * int(np.ceil(batch_size * mean / 32))
    while any(len(g.species) >= atoms for g in graphs):
        atoms *= 2
    return [Capacity(atoms, width, atoms // 16 + 1) for width in rooms_for_neighbours(r_max_A)]


def by_room(graphs: Sequence[Graph], order: Sequence[int], rooms: Sequence[Capacity]) -> Groups:
    """The graphs of an order by the narrowest room that has place for their neighbours."""
    found: Groups = [(room, []) for room in rooms]
    for k in order:
        fits = [graphs[k].most_neighbours <= room.neighbours for room in rooms]
        found[fits.index(True)][1].append(int(k))
    return found


def share_out(graphs: Sequence[Graph], order: Sequence[int], room: Capacity) -> list[list[int]]:
    """Which graphs go into which pack: in the given order, each as full as the next few allow."""
    left = [int(k) for k in order]
    chosen: list[list[int]] = []
    while left:
        taken = _fullest([len(graphs[k].species) for k in left[:_LOOK_AHEAD]], room)
        chosen.append([left[place] for place in taken])
        for place in reversed(taken):
            del left[place]
    return chosen


def _fullest(sizes: Sequence[int], room: Capacity) -> tuple[int, ...]:
    """Places of the sizes, the first one among them, that fill a pack best."""
    # One atom and one graph are the padding's.
    places: dict[int, tuple[int, ...]] = {sizes[0]: (0,)}
    for place, size in enumerate(sizes[1:], start=1):
        for total, taken in list(places.items()):
            more = total + size
            if more < room.atoms and more not in places and len(taken) < room.graphs - 1:
                places[more] = (*taken, place)
        if room.atoms - 1 in places:
            break
    return places[max(places)]


def packs(graphs: Sequence[Graph], rooms: Sequence[Capacity], r_max_A: float) -> Iterator[Pack]:
    """All graphs in packs."""
    for room, members in by_room(graphs, range(len(graphs)), rooms):
        for together in share_out(graphs, members, room):
            yield pack([graphs[k] for k in together], room, r_max_A)


def pack(graphs: Sequence[Graph], room: Capacity, r_max_A: float) -> Pack:
    """Put graphs side by side and pad them.

    Padding edges are longer than the cutoff, join an atom to itself and are their own reverse, so
    they add nothing.
    """
    width = room.neighbours
    vectors = np.zeros((room.atoms, width, 3), dtype=np.float32)
    vectors[..., 0] = r_max_A + 1.0
    neighbours = np.repeat(np.arange(room.atoms)[:, None], width, axis=1)
    reverse = np.arange(room.atoms * width).reshape(room.atoms, width)
    species = np.zeros(room.atoms, dtype=np.int64)
    graph_of_atom = np.full(room.atoms, room.graphs - 1, dtype=np.int64)
    energy = np.zeros(room.graphs, dtype=np.float32)
    forces = np.zeros((room.atoms, 3), dtype=np.float32)
    stress = np.zeros((room.graphs, 3, 3), dtype=np.float32)
    sizes = np.ones(room.graphs, dtype=np.float32)
    volume = np.ones(room.graphs, dtype=np.float32)
    graph_weight = np.zeros(room.graphs, dtype=np.float32)
    atom_weight = np.zeros(room.atoms, dtype=np.float32)
    first = 0
    for k, g in enumerate(graphs):
        atoms = slice(first, first + len(g.species))
        slots = np.arange(len(g.receivers)) - np.searchsorted(g.receivers, g.receivers)
        rows = g.receivers + first
        flat = rows * width + slots
        vectors[rows, slots] = g.vectors_A
        neighbours[rows, slots] = g.senders + first
        reverse[rows, slots] = flat[g.reverse]
        species[atoms] = g.species
        graph_of_atom[atoms] = k
        energy[k] = g.energy_eV / len(g.species)
        forces[atoms] = g.forces_eV_per_A
        stress[k] = g.stress_eV_per_A3
        sizes[k] = len(g.species)
        volume[k] = g.volume_A3
        graph_weight[k] = g.graph_weight
        atom_weight[atoms] = g.atom_weights
        first = atoms.stop
    return Pack(
        vectors,
        species,
        neighbours,
        reverse,
        graph_of_atom,
        energy,
        forces,
        stress,
        sizes,
        volume,
        graph_weight,
        atom_weight,
    )


def numbers(elements: Sequence[str]) -> list[int]:
    """Atomic numbers of the elements, in the same order."""
    return [atomic_numbers[element] for element in elements]
