"""A MACE whose features are scalars, written out: the same function as mace-torch's, much faster.

With scalar features (N x 0e) every tensor product of MACE is a plain product, and the symmetric
contraction is a sum over few distinct monomials (77 cubic ones for lmax 3, where the general code
contracts a 16 x 16 x 16 tensor). Neighbours lie in a dense table, so messages are sums over its
rows and no scatter is needed, in any derivative. Parameters are those of mace-torch, by name and
shape.
Batatia et al., arXiv 2206.07697; equations 7 to 11.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from e3nn.math import normalize2mom
from e3nn.o3._spherical_harmonics import _spherical_harmonics
from torch import Tensor

_ORDERS = (slice(0, 1), slice(1, 4), slice(4, 9), slice(9, 16))
"""Components of l = 0, 1, 2, 3."""

_READOUT = 16


@dataclass(frozen=True)
class Monomials:
    """Products of components that a symmetric contraction is made of."""

    factors: Tensor
    """Which components are multiplied, shape (n_monomials, degree)."""
    coefficients: Tensor
    """Shape (n_paths, n_monomials)."""


@dataclass(frozen=True)
class Constants:
    """What of a model is not learnt."""

    channels: int
    n_elements: int
    n_radial_layers: int
    r_max_A: float
    envelope: float
    """Exponent p of the polynomial cutoff."""
    frequencies: Tensor
    """Of the Bessel functions, in 1/Å."""
    prefactor: float
    mean_neighbours: float
    activation: float
    """Factor that gives silu of a normal variable a second moment of one."""
    norms: Tensor
    """Of the spherical harmonics, shape (16,)."""
    monomials: tuple[tuple[Monomials, ...], ...]
    """For each layer, of degrees 1, 2 and 3."""


def constants_of(model: Any) -> Constants:
    """Read the constants of a mace-torch model with two interactions and scalar features."""
    radial = model.radial_embedding
    products = [product.symmetric_contractions.contractions[0] for product in model.products]
    layers = [name for name, _ in model.interactions[0].conv_tp_weights.named_parameters()]
    return Constants(
        channels=int(model.node_embedding.linear.irreps_out.dim),
        n_elements=len(model.atomic_numbers),
        n_radial_layers=len(layers) - 1,
        r_max_A=float(model.r_max),
        envelope=float(radial.cutoff_fn.p),
        frequencies=radial.bessel_fn.bessel_weights.detach().clone(),
        prefactor=float(radial.bessel_fn.prefactor),
        mean_neighbours=float(model.interactions[0].avg_num_neighbors),
        activation=float(normalize2mom(torch.nn.functional.silu).cst),
        norms=torch.cat([torch.full((2 * n + 1,), math.sqrt(2 * n + 1)) for n in range(4)]),
        monomials=tuple(
            tuple(_monomials(getattr(product, f"U_matrix_{degree}")) for degree in (1, 2, 3))
            for product in products
        ),
    )


def _monomials(coupling: Tensor) -> Monomials:
    """Distinct monomials of a coupling tensor, shape (16, ..., 16, n_paths)."""
    found: dict[tuple[int, ...], Tensor] = {}
    for index in (coupling.abs() > 1e-9).any(-1).nonzero().tolist():
        key = tuple(sorted(index))
        found[key] = found.get(key, 0) + coupling[tuple(index)].double()
    kept = sorted(key for key, value in found.items() if value.abs().max() > 1e-9)
    return Monomials(
        torch.tensor(kept), torch.stack([found[key] for key in kept], dim=1).to(coupling.dtype)
    )


class _Gather(torch.autograd.Function):  # type: ignore[misc]
    """Values of the neighbours of every atom; its derivative gathers too, by the reverse edges."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, neighbours: Tensor, reverse: Tensor) -> Tensor:
        ctx.save_for_backward(neighbours, reverse)
        return values[neighbours]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        neighbours, reverse = ctx.saved_tensors
        return _Collect.apply(gradients[0], neighbours, reverse), None, None


class _Collect(torch.autograd.Function):  # type: ignore[misc]
    """Sum over all edges that an atom is the sender of: the transpose of `_Gather`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, neighbours: Tensor, reverse: Tensor) -> Tensor:
        ctx.save_for_backward(neighbours, reverse)
        return values.reshape(-1, values.shape[-1])[reverse].sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        neighbours, reverse = ctx.saved_tensors
        return _Gather.apply(gradients[0], neighbours, reverse), None, None


def collect(values: Tensor, neighbours: Tensor, reverse: Tensor) -> Tensor:
    """For every atom the sum over the edges it sends, shape (n_atoms, k), of (n_atoms, n, k).

    Edges of the padding must hold zeros.
    """
    summed: Tensor = _Collect.apply(values, neighbours, reverse)
    return summed


def node_energies(
    p: Mapping[str, Tensor],
    c: Constants,
    vectors: Tensor,
    species: Tensor,
    neighbours: Tensor,
    reverse: Tensor,
) -> Tensor:
    """Energy of every atom in eV above free atoms and without repulsion, shape (n_atoms,).

    vectors (n_atoms, n, 3) in Å from neighbours to the atom; neighbours (n_atoms, n) their indices;
    reverse (n_atoms, n) the places of the reverse edges in the flat table. Padding is longer than
    the cutoff and its own reverse.
    """
    return energies_and_features(p, c, vectors, species, neighbours, reverse)[0]


def energies_and_features(
    p: Mapping[str, Tensor],
    c: Constants,
    vectors: Tensor,
    species: Tensor,
    neighbours: Tensor,
    reverse: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `node_energies`, and the features of both layers, shape (n_atoms, 2 N)."""
    atoms, width, _ = vectors.shape
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    radial = _radial_basis(lengths, c).reshape(atoms * width, -1)
    directions = vectors / lengths
    harmonics = _spherical_harmonics(3, directions[..., 0], directions[..., 1], directions[..., 2])
    harmonics = (harmonics * c.norms).transpose(1, 2)
    features = (_scaled(p["node_embedding.linear.weight"], c.n_elements, c.channels))[species]
    energy = torch.zeros_like(lengths[:, 0, 0])
    kept = []
    for layer in range(2):
        name = f"interactions.{layer}"
        sent = features @ _scaled(p[f"{name}.linear_up.weight"], c.channels, c.channels)
        weights = _radial_network(p, c, f"{name}.conv_tp_weights", radial)
        received: Tensor = _Gather.apply(sent, neighbours, reverse)
        edges = weights.reshape(atoms, width, 4, c.channels) * received[:, :, None, :]
        messages = [
            torch.bmm(harmonics[:, order], edges[:, :, n]) for n, order in enumerate(_ORDERS)
        ]
        mixing = p[f"{name}.linear.weight"].reshape(4, c.channels, c.channels)
        mixing = mixing / (math.sqrt(c.channels) * c.mean_neighbours)
        messages = [message @ mixing[n] for n, message in enumerate(messages)]
        skip = p[f"{name}.skip_tp.weight"] / math.sqrt(c.channels * c.n_elements)
        if layer == 0:
            of_species = skip.reshape(4, c.channels, c.n_elements, c.channels)
            messages = [
                torch.bmm(message, of_species[n].transpose(0, 1)[species])
                for n, message in enumerate(messages)
            ]
            features = _product(p, c, layer, torch.cat(messages, 1), species)
            readout = _scaled(p["readouts.0.linear.weight"], c.channels, 1)
            energy = energy + (features @ readout)[:, 0]
        else:
            of_species = skip.reshape(c.channels, c.n_elements, c.channels).transpose(0, 1)
            residual = torch.bmm(features[:, None], of_species[species])[:, 0]
            features = _product(p, c, layer, torch.cat(messages, 1), species) + residual
            hidden = features @ _scaled(p["readouts.1.linear_1.weight"], c.channels, _READOUT)
            hidden = torch.nn.functional.silu(hidden) * c.activation
            energy = energy + (hidden @ _scaled(p["readouts.1.linear_2.weight"], _READOUT, 1))[:, 0]
        kept.append(features)
    return energy, torch.cat(kept, 1)


def _scaled(weight: Tensor, rows: int, columns: int) -> Tensor:
    """The matrix of a linear layer, normalised by its number of inputs as e3nn does."""
    return weight.reshape(rows, columns) / math.sqrt(rows)


def _radial_basis(lengths: Tensor, c: Constants) -> Tensor:
    """Bessel functions times the polynomial cutoff."""
    p, share = c.envelope, lengths / c.r_max_A
    cutoff = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * share**p
        + p * (p + 2.0) * share ** (p + 1)
        - p * (p + 1.0) / 2 * share ** (p + 2)
    ) * (lengths < c.r_max_A)
    return c.prefactor * torch.sin(c.frequencies * lengths) / lengths * cutoff


def _radial_network(p: Mapping[str, Tensor], c: Constants, name: str, x: Tensor) -> Tensor:
    for layer in range(c.n_radial_layers + 1):
        weight = p[f"{name}.layer{layer}.weight"]
        x = x @ (weight / math.sqrt(weight.shape[0]))
        if layer < c.n_radial_layers:
            x = torch.nn.functional.silu(x) * c.activation
    return x


def _product(
    p: Mapping[str, Tensor], c: Constants, layer: int, messages: Tensor, species: Tensor
) -> Tensor:
    """Symmetric contraction to scalars and the linear layer after it; messages (n_atoms, 16, N)."""
    name = f"products.{layer}.symmetric_contractions.contractions.0"
    weights = (f"{name}.weights.1", f"{name}.weights.0", f"{name}.weights_max")
    total = torch.zeros_like(messages[:, 0])
    for monomials, weight in zip(c.monomials[layer], weights, strict=True):
        value = messages[:, monomials.factors[:, 0]]
        for factor in monomials.factors.T[1:]:
            value = value * messages[:, factor]
        paths = torch.matmul(monomials.coefficients, value)
        total = total + (p[weight][species] * paths).sum(1)
    return total @ _scaled(p[f"products.{layer}.linear.weight"], c.channels, c.channels)
