"""Energies and forces of many cells at once: a GPU has far more room than one small cell fills.

Cells are put side by side as one graph. Each keeps a neighbour list of its own, with a skin, so
that what one cell does changes neither the list of another nor the order of its sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.potentials.evaluators import Loaded

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]

SKIN_A = 0.5
"""Neighbours are listed to this much beyond the cutoff, in Å."""

_ATOMS_ON_A_CPU = 4_000
"""More at once save nothing."""


@dataclass
class Cell:
    """One of many cells: what it is made of, where its atoms are, and who their neighbours are."""

    numbers: NDArray[np.int64]
    """Atomic numbers, shape (n_atoms,)."""
    positions_A: Floats
    """Shape (n_atoms, 3)."""
    cell_A: Floats
    """Lattice vectors as rows, shape (3, 3); periodic in all."""
    _listed: "_Listed | None" = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def forget(self) -> None:
        """Forget the neighbours: the next list is the one that a restart here would make."""
        self._listed = None

    def neighbours(self, cutoff_A: float) -> "_Listed":
        """Its neighbour list, made anew when an edge may have changed by more than the skin.

        Raises FloatingPointError when positions are not numbers.
        """
        listed = self._listed
        if listed is None or not listed.holds(self.positions_A, self.cell_A):
            if not (np.isfinite(self.positions_A).all() and np.isfinite(self.cell_A).all()):
                raise FloatingPointError("positions are no longer numbers")
            listed = self._listed = _listed(self, cutoff_A)
        return listed


def cell_of(atoms: Atoms) -> Cell:
    """The cell of a structure, with copies of its positions and lattice."""
    return Cell(
        atoms.numbers.astype(np.int64), np.array(atoms.positions), np.array(atoms.cell, dtype=float)
    )


@dataclass(frozen=True)
class _Listed:
    """Directed edges of one cell, by receiver, and where its atoms were when they were found."""

    receivers: Integers
    sources: Integers
    shifts: Floats
    """Lattice translations of the source, in whole vectors, shape (n_edges, 3)."""
    crossings: Floats
    """Each translation that occurs, once."""
    positions_A: Floats
    cell_A: Floats

    def holds(self, positions_A: Floats, cell_A: Floats) -> bool:
        """Whether no pair can have come within the cutoff unseen."""
        moved = positions_A - self.positions_A
        furthest = 2 * float(np.einsum("ij,ij->i", moved, moved).max()) ** 0.5
        if cell_A is not self.cell_A:
            stretched = self.crossings @ (cell_A - self.cell_A)
            furthest += float(np.einsum("ij,ij->i", stretched, stretched).max()) ** 0.5
        # Written so that what is no number does not hold.
        return bool(furthest <= SKIN_A)


def _listed(cell: Cell, cutoff_A: float) -> _Listed:
    atoms = Atoms(cell.numbers, positions=cell.positions_A, cell=cell.cell_A, pbc=True)
    receivers, sources, shifts = neighbour_list("ijS", atoms, cutoff_A + SKIN_A)
    order = np.argsort(receivers, kind="stable")
    shifts = np.asarray(shifts, dtype=float).reshape(-1, 3)
    return _Listed(
        np.ascontiguousarray(receivers[order], dtype=np.int32),
        np.ascontiguousarray(sources[order], dtype=np.int32),
        np.ascontiguousarray(shifts[order]),
        np.unique(np.vstack([np.zeros((1, 3)), shifts]), axis=0),
        cell.positions_A.copy(),
        cell.cell_A.copy(),
    )


@dataclass(frozen=True)
class Answer:
    """What a potential says of one cell."""

    energy_eV: float
    forces_eV_per_A: Floats
    stress_eV_per_A3: Floats | None = None
    """Voigt order, where it was asked for."""


class Many(Protocol):
    """A potential that answers for many cells in one go."""

    def __call__(self, cells: Sequence[Cell], *, stress: bool) -> list[Answer]:
        """Energies, forces and, if asked for, stresses; FloatingPointError where one is lost."""
        ...

    def most_atoms(self, example: Cell) -> int:
        """Atoms that fit on the device at once, of cells as dense as the example."""
        ...


@dataclass(frozen=True)
class _Graph:
    """Many cells as one graph; indices of atoms run through all of them."""

    receivers: Integers
    sources: Integers
    shifts: Floats
    edge_ends: NDArray[np.int64]
    atom_ends: NDArray[np.int64]


class _Graphs:
    """The graph of the cells asked for last, made anew only where a list has changed."""

    def __init__(self, cutoff_A: float):
        self._cutoff_A = cutoff_A
        self._of: tuple[_Listed, ...] = ()
        self.graph: _Graph | None = None

    def __call__(self, cells: Sequence[Cell]) -> tuple[_Graph, bool]:
        """The graph, and whether it is another one than before."""
        lists = tuple(cell.neighbours(self._cutoff_A) for cell in cells)
        same = len(lists) == len(self._of) and all(
            a is b for a, b in zip(lists, self._of, strict=True)
        )
        if self.graph is not None and same:
            return self.graph, False
        atom_ends = np.cumsum([0, *(len(cell) for cell in cells)])
        self.graph = _Graph(
            np.concatenate([x.receivers + n for x, n in zip(lists, atom_ends, strict=False)]),
            np.concatenate([x.sources + n for x, n in zip(lists, atom_ends, strict=False)]),
            np.concatenate([x.shifts for x in lists]),
            np.cumsum([0, *(len(x.receivers) for x in lists)]),
            atom_ends,
        )
        self._of = lists
        return self.graph, True


def shifts_A(graph: _Graph, cells: Sequence[Cell]) -> Floats:
    """Translations of the sources of all edges in Å, shape (n_edges, 3)."""
    ends = graph.edge_ends
    return np.concatenate(
        [graph.shifts[a:b] @ cell.cell_A for a, b, cell in zip(ends, ends[1:], cells, strict=False)]
    )


class NativeMany:
    """The native evaluator, on a CPU or with its CUDA backend."""

    _CALLS = ("_prepare_factorized_graph", "_compute_prepared_factorized", "_reduce_atom_forces")
    """Underscore calls of symmetrix-xl 0.1.1, which is pinned; without them it is one by one."""

    def __init__(self, calculator: Any):
        self._evaluator = calculator.evaluator
        self._cuda = bool(calculator._native_backend_is_cuda())
        kinds = {int(z): k for k, z in enumerate(self._evaluator.atomic_numbers)}
        self._kinds = np.full(max(kinds) + 1, -1, dtype=np.int32)
        self._kinds[list(kinds)] = list(kinds.values())
        self._graphs = _Graphs(float(calculator.cutoff))
        self._shifts_A: Floats = np.empty((0, 3))
        self._cells_A: list[Floats] = []
        self._generation = -1

    @classmethod
    def can(cls, calculator: Any) -> bool:
        """Whether this calculator has what is called here."""
        evaluator = getattr(calculator, "evaluator", None)
        direct = getattr(evaluator, "streamed_edges_mode", None) == "direct"
        return direct and all(callable(getattr(evaluator, name, None)) for name in cls._CALLS)

    def __call__(self, cells: Sequence[Cell], *, stress: bool) -> list[Answer]:
        """Energies, forces and, if asked for, stresses; FloatingPointError where one is lost."""
        graph, new = self._graphs(cells)
        if new or any(a is not cell.cell_A for a, cell in zip(self._cells_A, cells, strict=True)):
            self._cells_A = [cell.cell_A for cell in cells]
            self._shifts_A = shifts_A(graph, cells)
        if new:
            kinds = self._kinds[np.concatenate([cell.numbers for cell in cells])]
            counts = np.bincount(graph.receivers, minlength=len(kinds)).astype(np.int32)
            self._generation = self._evaluator._prepare_factorized_graph(
                len(kinds), kinds, counts, graph.sources, kinds[graph.sources]
            )
        positions = np.concatenate([cell.positions_A for cell in cells])
        xyz = positions[graph.sources] - positions[graph.receivers] + self._shifts_A
        distances = np.sqrt(np.einsum("ij,ij->i", xyz, xyz))
        self._evaluator._compute_prepared_factorized(self._generation, xyz.reshape(-1), distances)
        found = self._evaluator._reduce_atom_forces(
            len(positions), graph.receivers, graph.sources, self._generation
        )
        forces = np.asarray(found, dtype=float).reshape(-1, 3)
        energies = np.asarray(self._evaluator.node_energies, dtype=float)
        stresses = self._stresses(xyz, graph, cells) if stress else [None] * len(cells)
        ends = graph.atom_ends
        return [
            Answer(float(energies[a:b].sum()), forces[a:b], of_cell)
            for a, b, of_cell in zip(ends, ends[1:], stresses, strict=False)
        ]

    def _stresses(self, xyz_A: Floats, graph: _Graph, cells: Sequence[Cell]) -> list[Floats]:
        on_edges = np.asarray(self._evaluator.node_forces, dtype=float).reshape(-1, 3)
        ends = graph.edge_ends
        return [
            _voigt(-on_edges[a:b].T @ xyz_A[a:b] / abs(np.linalg.det(cell.cell_A)))
            for a, b, cell in zip(ends, ends[1:], cells, strict=False)
        ]

    def most_atoms(self, example: Cell) -> int:
        """Atoms that fit on the device at once: a round figure, for it does not tell."""
        return 32_000 if self._cuda else _ATOMS_ON_A_CPU


def _voigt(stress: Floats) -> Floats:
    both = (stress + stress.T) / 2
    return both[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


class TorchMany:
    """A mace-torch model, on a CPU or a GPU."""

    _SHARE_OF_MEMORY = 0.8

    def __init__(self, calculator: Any):
        import torch

        self._torch = torch
        self._model = calculator.models[0]
        self._device = calculator.device
        kinds = [int(z) for z in calculator.z_table.zs]
        self._kinds = np.full(max(kinds) + 1, -1)
        self._kinds[kinds] = range(len(kinds))
        self._one_hot = np.eye(len(kinds))
        self._cutoff_A = float(calculator.r_max)
        self._dtype = next(self._model.parameters()).dtype
        self._graphs = _Graphs(self._cutoff_A)
        self._fixed: dict[str, Any] = {}
        self._edges: tuple[Any, Any] = (None, None)

    @staticmethod
    def can(calculator: Any) -> bool:
        """Whether this is mace-torch's calculator, with one model."""
        models = getattr(calculator, "models", None)
        return models is not None and len(models) == 1 and hasattr(calculator, "z_table")

    def _there(self, values: Any, dtype: Any = None) -> Any:
        return self._torch.as_tensor(values, device=self._device, dtype=dtype)

    def __call__(self, cells: Sequence[Cell], *, stress: bool) -> list[Answer]:
        """Energies, forces and, if asked for, stresses; FloatingPointError where one is lost."""
        graph, new = self._graphs(cells)
        torch = self._torch
        sizes = np.diff(graph.atom_ends)
        if new:
            kinds = self._kinds[np.concatenate([cell.numbers for cell in cells])]
            self._fixed = {
                "node_attrs": self._there(self._one_hot[kinds], self._dtype),
                "batch": self._there(np.repeat(np.arange(len(cells)), sizes)),
                "ptr": self._there(graph.atom_ends),
                "head": self._there(np.zeros(len(cells), dtype=np.int64)),
            }
            # mace-torch's vectors point from the first to the second, as ours from the receiver.
            ends = np.stack([graph.receivers, graph.sources]).astype(np.int64)
            of_edge = np.repeat(np.arange(len(cells)), np.diff(graph.edge_ends))
            self._edges = (self._there(ends), self._there(of_edge))
            self._shifts = self._there(graph.shifts, self._dtype)
        positions = self._there(np.concatenate([c.positions_A for c in cells]), self._dtype)
        lattices = self._there(np.array([cell.cell_A for cell in cells]), self._dtype)
        ends, of_edge = self._edges
        shifts = torch.einsum("ei,eij->ej", self._shifts, lattices[of_edge])
        # The skin is cut off before the model pays for it.
        apart = positions[ends[1]] - positions[ends[0]] + shifts
        near = (apart * apart).sum(dim=1) < self._cutoff_A**2
        found = self._model(
            {
                **self._fixed,
                "positions": positions.requires_grad_(True),
                "edge_index": ends[:, near],
                "shifts": shifts[near],
                "unit_shifts": self._shifts[near],
                "cell": lattices.reshape(-1, 3),
            },
            training=False,
            compute_force=True,
            compute_stress=stress,
        )
        energies = found["energy"].detach().cpu().double().numpy()
        forces = found["forces"].detach().cpu().double().numpy()
        stresses: list[Floats | None] = [None] * len(cells)
        if stress:
            every = found["stress"].detach().cpu().double().numpy().reshape(-1, 3, 3)
            stresses = [_voigt(tensor) for tensor in every]
        return [
            Answer(float(energy), forces[a:b], of_cell)
            for energy, a, b, of_cell in zip(
                energies, graph.atom_ends, graph.atom_ends[1:], stresses, strict=False
            )
        ]

    def most_atoms(self, example: Cell) -> int:
        """Atoms that fit on the device at once, by what a few copies of the example took there."""
        if self._torch.device(self._device).type != "cuda":
            return _ATOMS_ON_A_CPU
        cuda = self._torch.cuda
        copies = [Cell(example.numbers, example.positions_A, example.cell_A) for _ in range(4)]
        before = cuda.memory_allocated()
        cuda.reset_peak_memory_stats()
        self(copies, stress=True)
        of_an_atom = (cuda.max_memory_allocated() - before) / (4 * len(example))
        free, _ = cuda.mem_get_info()
        return max(len(example), int(self._SHARE_OF_MEMORY * free / of_an_atom))


class OneByOne:
    """Any ASE calculator, asked for one cell after the other: nothing is gained, nothing lost."""

    def __init__(self, loaded: Loaded):
        self._loaded = loaded

    def __call__(self, cells: Sequence[Cell], *, stress: bool) -> list[Answer]:
        """Energies, forces and, if asked for, stresses; FloatingPointError where one is lost."""
        return [self._one(cell, stress) for cell in cells]

    def _one(self, cell: Cell, stress: bool) -> Answer:
        if not np.isfinite(cell.positions_A).all():
            raise FloatingPointError("positions are no longer numbers")
        atoms = Atoms(cell.numbers, positions=cell.positions_A, cell=cell.cell_A, pbc=True)
        # A list that another cell has left, or how long it served, must not decide this one's sums.
        self._loaded.fresh_neighbours()
        atoms.calc = self._loaded.calculator
        forces = np.array(atoms.get_forces(), dtype=float)
        tensor = np.array(atoms.get_stress(), dtype=float) if stress else None
        return Answer(float(atoms.get_potential_energy()), forces, tensor)

    def most_atoms(self, example: Cell) -> int:
        """Atoms that fit on the device at once."""
        return _ATOMS_ON_A_CPU


def many_of(loaded: Loaded) -> Many:
    """The batched evaluator of a loaded potential.

    Raises HalmdError where a calculator has neither batches nor an ASE interface.
    """
    calculator = loaded.calculator
    if NativeMany.can(calculator):
        return NativeMany(calculator)
    if TorchMany.can(calculator):
        return TorchMany(calculator)
    if not hasattr(calculator, "calculate"):
        raise HalmdError(f"potential {loaded.provenance['name']!r}: not an ASE calculator")
    return OneByOne(loaded)
