"""One step of fitting a student: by halmd in three ways, and by mace-torch's own modules.

    python benchmarks/fit.py [--shape 32x0e] [--atoms 150] [--elements 13] [--steps 10]

The same snapshots, model, loss and thread, in turn, in this one call: energies, forces and stresses
of a batch, the loss, and its gradient in all parameters. `mace-torch` is ScaleShiftMACE as
`mace_run_train` calls it. halmd differentiates the written-out network twice (`plain_mace`), does
so in one fused program (where there is no C++ compiler), or runs compiled loops that need first
derivatives only (`quick_mace`). Prints seconds a step, atoms a second,
the ratio to mace-torch, and how far the gradients are from mace-torch's. Fusing takes one to three
minutes and is not counted; `--no-fused` leaves it out.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ase.build import bulk

from halmd.distill import network, plain_mace, quick_mace
from halmd.distill.graphs import NEIGHBOURS_AT_5_A, Graph, capacities, graph, pack
from halmd.distill.label import Labelled
from halmd.distill.settings import StudentSettings

ELEMENTS = ("Li", "Cl", "Br", "Y", "Er", "Ho", "Yb", "Dy", "Tm", "In", "Sc", "Zr", "Hf")


def snapshots(n_atoms: int, elements: tuple[str, ...]) -> list[Labelled]:
    """Rattled rocksalt cells of 32 atoms with random species and random labels."""
    rng = np.random.default_rng(1)
    found = []
    while sum(len(entry.atoms) for entry in found) + 32 < n_atoms:
        atoms = bulk("LiCl", "rocksalt", a=5.3, cubic=True).repeat((2, 2, 1))
        atoms.set_chemical_symbols(list(rng.choice(elements, len(atoms))))
        atoms.positions += rng.normal(0.0, 0.1, (len(atoms), 3))
        found.append(
            Labelled(atoms, -3.0 * len(atoms), rng.normal(0.0, 1.0, (len(atoms), 3)), np.zeros(6))
        )
    return found


def seconds(step: Callable[[], Any], steps: int) -> float:
    """Median time of a step after two to warm up."""
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


def peer_step(model: Any, graphs: list[Graph], weights: network.Weights) -> list[torch.Tensor]:
    """Loss and gradients by mace-torch's own forward pass, which is given the same edges."""
    data = _as_mace(model, graphs)
    found = model(data, training=True, compute_force=True, compute_stress=True)
    sizes = torch.tensor([float(len(g.species)) for g in graphs])
    energy = torch.tensor([g.energy_eV for g in graphs]) / sizes
    forces = torch.from_numpy(np.concatenate([g.forces_eV_per_A for g in graphs]))
    stress = torch.from_numpy(np.stack([g.stress_eV_per_A3 for g in graphs]))
    of_graph = torch.tensor([g.graph_weight for g in graphs])
    of_atom = torch.from_numpy(np.concatenate([g.atom_weights for g in graphs]))

    def knee(squared: torch.Tensor, width: float) -> torch.Tensor:
        return torch.sqrt(squared + width**2) - width

    loss = (
        weights.energy
        * (knee((found["energy"] / sizes - energy) ** 2, weights.energy_knee_eV) * of_graph).mean()
        + weights.forces
        * (
            knee(((found["forces"] - forces) ** 2).sum(-1), weights.force_knee_eV_per_A) * of_atom
        ).mean()
        + weights.stress
        * (
            knee(((found["stress"] - stress) ** 2).sum((1, 2)), weights.stress_knee_eV_per_A3)
            * of_graph
        ).mean()
    )
    return list(torch.autograd.grad(loss, list(model.parameters())))


def _as_mace(model: Any, graphs: list[Graph]) -> dict[str, torch.Tensor]:
    """The graphs as the dictionary of a batch that mace-torch's data loader makes."""
    starts = np.cumsum([0, *(len(g.species) for g in graphs)])
    senders = np.concatenate([g.senders + n for g, n in zip(graphs, starts, strict=False)])
    receivers = np.concatenate([g.receivers + n for g, n in zip(graphs, starts, strict=False)])
    vectors = torch.from_numpy(np.concatenate([g.vectors_A for g in graphs]))
    sides = [g.volume_A3 ** (1 / 3) for g in graphs]
    edges = torch.from_numpy(np.stack([senders, receivers]))
    species = torch.from_numpy(np.concatenate([g.species for g in graphs]))
    batch = torch.from_numpy(np.repeat(np.arange(len(graphs)), np.diff(starts)))
    # Positions at zero and the whole vector as the shift: the same edges, whatever the positions.
    cells = torch.stack([torch.eye(3) * side for side in sides])
    inverse = torch.linalg.inv(cells)[batch[edges[0]]]
    return {
        "positions": torch.zeros(len(species), 3),
        "node_attrs": torch.nn.functional.one_hot(species, len(model.atomic_numbers)).float(),
        "edge_index": edges,
        "shifts": vectors,
        "unit_shifts": torch.einsum("ea,eab->eb", vectors, inverse),
        "cell": cells.reshape(-1, 3),
        "batch": batch,
        "ptr": torch.from_numpy(starts),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="32x0e")
    parser.add_argument("--atoms", type=int, default=150)
    parser.add_argument("--elements", type=int, default=len(ELEMENTS))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--no-fused", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    elements = ELEMENTS[: arguments.elements]
    settings = StudentSettings(hidden_irreps=arguments.shape)
    model = network.build(settings, elements, seed=1)
    data = snapshots(arguments.atoms, elements)
    graphs = [graph(entry, dict.fromkeys(elements, -3.0), elements, 5.0) for entry in data]
    bare = network.without_repulsion(graphs, model)
    names = [name for name, _ in model.named_parameters()]
    parameters = [p.detach().clone().requires_grad_(True) for p in model.parameters()]
    weights = network.Weights(10.0, 1.0, 20.0, 0.001, 0.02, 0.0001)
    room = capacities(graphs, len(graphs), 5.0)[-1]
    batch = network.to_tensors(pack(bare, room, 5.0))
    step = network.training_step(network.energy_function(model), names, weights)
    n_atoms = sum(len(g.species) for g in graphs)
    n_edges = sum(len(g.senders) for g in graphs)
    print(
        f"{arguments.shape}, {len(elements)} elements, {n_atoms} atoms, {n_edges} edges "
        f"({n_edges / n_atoms:.0f} per atom; halides have {NEIGHBOURS_AT_5_A:.0f}), one thread"
    )
    wanted = peer_step(model, graphs, weights)
    reference = seconds(lambda: peer_step(model, graphs, weights), arguments.steps)
    print(f"{'mace-torch':16s} {reference:8.3f} s a step {n_atoms / reference:8.0f} atoms/s")
    ways = {"halmd, plain": step}
    if not arguments.no_fused:
        ways["halmd, fused"] = network.compiled(step, parameters, batch)
    constants = plain_mace.constants_of(model)
    if quick_mace.possible(constants):
        ways["halmd, quick"] = network.quick_step(quick_mace.Quick(constants), names, weights)
    for name, way in ways.items():
        found = way(parameters, batch)[1:]
        error = float(_flat(found, wanted).norm() / _flat(wanted).norm())
        took = seconds(lambda way=way: way(parameters, batch), arguments.steps)
        print(
            f"{name:16s} {took:8.3f} s a step {n_atoms / took:8.0f} atoms/s "
            f"{reference / took:6.1f} times; gradient off by {error:.1e} of its length"
        )


def _flat(values: list[torch.Tensor], less: list[torch.Tensor] | None = None) -> torch.Tensor:
    """All values in a row, less others."""
    taken = less or [torch.zeros_like(value) for value in values]
    return torch.cat([(a - b).reshape(-1) for a, b in zip(values, taken, strict=True)])


if __name__ == "__main__":
    main()
