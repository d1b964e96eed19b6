"""The student's network: a MACE that the native evaluator runs, and one step of its training.

Imported only by the processes that fit. Edge vectors, not positions, are what energies are
differentiated by: forces and virial then need no neighbour search inside the compiled step. The
repulsion at short range (ZBL) is not learnt: it is taken off the labels beforehand.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# e3nn 0.4.4 reads its own constants with an old torch.load.
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

import numpy as np
import torch
from ase import Atoms
from e3nn import o3
from mace import modules
from torch import Tensor

from halmd.distill import plain_mace
from halmd.distill.graphs import (
    NEIGHBOURS_AT_5_A,
    Capacity,
    Graph,
    Pack,
    graph,
    numbers,
    pack,
)
from halmd.distill.label import Labelled
from halmd.distill.other_elements import with_elements
from halmd.distill.quick_mace import SHIFT_A, Quick
from halmd.distill.repulsion import CUTOFF_POWER
from halmd.distill.settings import StudentSettings
from halmd.files import whole_file


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss, and the error (same units) beyond which each is linear."""

    energy: float
    forces: float
    stress: float
    energy_knee_eV: float
    force_knee_eV_per_A: float
    stress_knee_eV_per_A3: float


def build(settings: StudentSettings, elements: Sequence[str], *, seed: int = 0) -> Any:
    """A mace-torch model with random weights."""
    torch.manual_seed(seed)
    atomic = numbers(elements)
    return modules.ScaleShiftMACE(
        r_max=settings.r_max_A,
        num_bessel=8,
        num_polynomial_cutoff=CUTOFF_POWER,
        max_ell=3,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(atomic),
        hidden_irreps=o3.Irreps(settings.hidden_irreps.replace(" ", "")),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(atomic)),
        # Only a scale of what is learnt: a constant, so that a compiled step serves for other data.
        avg_num_neighbors=NEIGHBOURS_AT_5_A * (settings.r_max_A / 5.0) ** 3,
        atomic_numbers=atomic,
        correlation=3,
        radial_type="bessel",
        radial_MLP=list(settings.radial),
        pair_repulsion=True,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )


Energies = Callable[[dict[str, Tensor], Sequence[Tensor], Tensor], Tensor]
"""(parameters, pack, edge vectors) to the energy of every atom in eV."""


def energy_function(model: Any, device: str = "cpu") -> Energies:
    """What computes the energies of a pack on a device, without repulsion."""
    constants: plain_mace.Constants = plain_mace.moved(plain_mace.constants_of(model), device)

    def energies(p: dict[str, Tensor], batch: Sequence[Tensor], vectors: Tensor) -> Tensor:
        return plain_mace.node_energies(p, constants, vectors, *batch[1:4])

    return energies


def without_repulsion(graphs: Sequence[Graph], model: Any) -> list[Graph]:
    """The graphs with the model's repulsion at short range (ZBL) taken off what is learnt."""
    found = []
    for g in graphs:
        vectors = torch.from_numpy(g.vectors_A).double().requires_grad_(True)
        edges = torch.from_numpy(np.stack([g.senders, g.receivers]))
        kinds = torch.nn.functional.one_hot(
            torch.from_numpy(g.species), len(model.atomic_numbers)
        ).double()
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        energy = model.pair_repulsion_fn(lengths, kinds, edges, model.atomic_numbers).sum()
        (slope,) = torch.autograd.grad(energy, vectors)
        forces = np.zeros((len(g.species), 3))
        np.add.at(forces, g.senders, slope.numpy())
        np.add.at(forces, g.receivers, -slope.numpy())
        stress = (vectors.detach().T @ slope).numpy() / g.volume_A3
        found.append(
            replace(
                g,
                energy_eV=g.energy_eV - float(energy.detach()),
                forces_eV_per_A=(g.forces_eV_per_A - forces).astype(np.float32),
                stress_eV_per_A3=(g.stress_eV_per_A3 - stress).astype(np.float32),
            )
        )
    return found


def predict(
    energies: Energies, p: dict[str, Tensor], batch: Sequence[Tensor], *, differentiable: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Energy per atom (eV), forces (eV/Å) and stress (eV/Å³, matrices) of a pack."""
    vectors = batch[0].detach().requires_grad_(True)
    of_atoms = energies(p, batch, vectors)
    (slope,) = torch.autograd.grad(of_atoms.sum(), vectors, create_graph=differentiable)
    return of_graphs(of_atoms, vectors, slope, batch)


def of_graphs(
    of_atoms: Tensor, vectors: Tensor, slope: Tensor, batch: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """What `predict` gives, from energies of atoms and their slopes in the edge vectors."""
    _, _, neighbours, reverse, graph_of_atom, _, _, _, sizes, volume, _, _ = batch
    forces = plain_mace.collect(slope, neighbours, reverse) - slope.sum(1)
    virial = torch.einsum("nka,nkb->nab", vectors, slope).reshape(-1, 9)
    graphs = torch.arange(len(sizes), device=sizes.device)
    belongs = (graphs[:, None] == graph_of_atom).to(virial.dtype)
    energy = (belongs @ of_atoms) / sizes
    stress = (belongs @ virial) / volume[:, None]
    return energy, forces, stress.reshape(-1, 3, 3)


def loss_of(
    energy: Tensor, forces: Tensor, stress: Tensor, batch: Sequence[Tensor], weights: Weights
) -> Tensor:
    """Loss of a pack: errors that count quadratically below their knee and linearly above.

    Forces by the length of their error, which does not depend on the axes; means are over real
    atoms and graphs.
    """
    wanted_energy, wanted_forces, wanted_stress = batch[5], batch[6], batch[7]
    graph_weight, atom_weight = batch[10], batch[11]

    def knee(squared: Tensor, width: float) -> Tensor:
        return torch.sqrt(squared + width**2) - width

    of_energy = knee((energy - wanted_energy) ** 2, weights.energy_knee_eV)
    of_force = knee(((forces - wanted_forces) ** 2).sum(-1), weights.force_knee_eV_per_A)
    of_stress = knee(((stress - wanted_stress) ** 2).sum((1, 2)), weights.stress_knee_eV_per_A3)
    graphs, atoms = (graph_weight > 0).sum(), (atom_weight > 0).sum()
    return (
        weights.energy * (of_energy * graph_weight).sum() / graphs
        + weights.forces * (of_force * atom_weight).sum() / atoms
        + weights.stress * (of_stress * graph_weight).sum() / graphs
    )


def bare_batch(atoms: Atoms, elements: Sequence[str], r_max_A: float) -> list[Tensor]:
    """Edge vectors, species, neighbours and reverse edges of one unlabelled snapshot."""
    entry = Labelled(atoms, 0.0, np.zeros((len(atoms), 3)), np.zeros(6))
    g = graph(entry, dict.fromkeys(elements, 0.0), elements, r_max_A)
    room = Capacity(len(atoms), max(1, g.most_neighbours), 2)
    return to_tensors(pack([g], room, r_max_A))[:4]


def to_tensors(pack: Pack, device: str = "cpu") -> list[Tensor]:
    """The arrays of a pack as tensors, in the order of its fields."""
    return [torch.from_numpy(getattr(pack, name)).to(device) for name in Pack.__dataclass_fields__]


Step = Callable[[list[Tensor], list[Tensor]], list[Tensor]]
"""(parameters, pack) to [loss, gradient of each parameter]."""


def training_step(energies: Energies, names: Sequence[str], weights: Weights) -> Step:
    """Loss and gradients of all parameters, as a function that can be traced."""

    def step(parameters: list[Tensor], batch: list[Tensor]) -> list[Tensor]:
        p = dict(zip(names, parameters, strict=True))
        loss = loss_of(*predict(energies, p, batch, differentiable=True), batch, weights)
        return [loss.detach(), *_gradients(loss, parameters)]

    return step


def _gradients(of: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(of, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


def quick_energies(quick: Quick) -> Energies:
    """Energies by compiled loops, differentiable once."""

    def energies(p: dict[str, Tensor], batch: Sequence[Tensor], vectors: Tensor) -> Tensor:
        return quick.energies(quick.ready(p), vectors, batch[1], batch[2])

    return energies


def quick_step(quick: Quick, names: Sequence[str], weights: Weights) -> Step:
    """As `training_step`, by first derivatives alone (`quick_mace` says how)."""

    def step(parameters: list[Tensor], batch: list[Tensor]) -> list[Tensor]:
        _, species, neighbours, *_ = batch
        ready = quick.ready(dict(zip(names, parameters, strict=True)))
        fixed = ready.detached()
        vectors = batch[0].detach().requires_grad_(True)
        of_atoms = quick.energies(fixed, vectors, species, neighbours)
        (slope,) = torch.autograd.grad(of_atoms.sum(), vectors)
        vectors = vectors.detach()
        of_atoms, slope = (x.detach().requires_grad_(True) for x in (of_atoms, slope))
        loss = loss_of(*of_graphs(of_atoms, vectors, slope, batch), batch, weights)
        by_energy, along = torch.autograd.grad(loss, (of_atoms, slope))
        size = SHIFT_A / along.norm(dim=-1).max().clamp(min=1e-20)
        ahead = quick.energies(ready, vectors + size * along, species, neighbours)
        behind = quick.energies(ready, vectors - size * along, species, neighbours)
        change = (by_energy * (ahead + behind)).sum() / 2 + (ahead - behind).sum() / (2 * size)
        return [loss.detach(), *_gradients(change, parameters)]

    return step


def compiled(step: Step, parameters: list[Tensor], batch: list[Tensor]) -> Step:
    """The training step as one fused program for packs of this size.

    Forces are derivatives, so training needs second derivatives, which torch.compile does not
    differentiate: the whole step, both differentiations included, is traced first and compiled as a
    plain function.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    traced = make_fx(step)(parameters, batch)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    fused = torch.compile(traced, dynamic=False, fullgraph=True)

    def run(parameters: list[Tensor], batch: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(fused([p.detach() for p in parameters], batch))

    return run


def save_portable(
    path: Path,
    settings: StudentSettings,
    elements: Sequence[str],
    parameters: dict[str, Tensor],
    free_eV: dict[str, float],
    *,
    kept: Sequence[str] | None = None,
) -> None:
    """Write a `.model` as mace-torch does, with the energies of free atoms put in.

    For all elements that the parameters have room for, or those that are `kept`.
    """
    kept = elements if kept is None else kept
    parameters = with_elements(parameters, elements, kept)
    model = build(settings, kept)
    own = dict(model.named_parameters())
    if own.keys() != parameters.keys():
        raise RuntimeError("parameters of the traced and the portable model differ")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(parameters[name])
    energies = torch.tensor([[free_eV[element] for element in kept]])
    model.atomic_energies_fn.atomic_energies = energies.to(
        model.atomic_energies_fn.atomic_energies.dtype
    )
    with whole_file(path) as temporary:
        torch.save(model.cpu(), temporary)
