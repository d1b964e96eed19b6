"""MACE with features of order 0 and 1, written out: mace-torch's function, computed much faster.

Where features are scalars (N x 0e), or scalars and vectors (N x 0e + N x 1o), the tensor products
of MACE are few, and the symmetric contraction is a sum over few distinct monomials (77 cubic ones
for scalars from lmax 3, where the general code contracts a 16 x 16 x 16 tensor). Neighbours lie in
a dense table, so messages are sums over its rows and no scatter is needed, in any derivative.
Parameters are those of mace-torch, by name and shape. Batatia et al., arXiv 2206.07697; equations
7 to 11.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from e3nn.o3._spherical_harmonics import _spherical_harmonics
from torch import Tensor

_ORDERS = (slice(0, 1), slice(1, 4), slice(4, 9), slice(9, 16))
"""Components of l = 0, 1, 2, 3."""

READOUT = 16


@dataclass(frozen=True)
class Monomials:
    """Products of components that a symmetric contraction is made of."""

    factors: Tensor
    """Which components are multiplied, shape (n_monomials, degree)."""
    coefficients: Tensor
    """Shape (n_components * n_paths, n_monomials)."""
    weights: str
    """Name of the parameter, shape (n_elements, n_paths, N)."""


@dataclass(frozen=True)
class Contraction:
    """From messages to features of one order."""

    components: int
    """1 for scalars, 3 for vectors."""
    degrees: tuple[Monomials, ...]


@dataclass(frozen=True)
class Convolution:
    """One product of a neighbour's features with the harmonics of the edge."""

    of_vectors: bool
    harmonics: int
    """Order l of the harmonics."""
    order: int
    """Order of what comes out."""
    coupling: Tensor
    """Shape (components of the features, of the harmonics, of the output)."""


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
    convolutions: tuple[tuple[Convolution, ...], ...]
    """For each layer, in the order of their radial weights."""
    contractions: tuple[tuple[Contraction, ...], ...]
    """For each layer, of scalars and, if there are any, of vectors."""


def constants_of(model: Any) -> Constants:
    """Read the constants of a mace-torch model with two interactions, features of order 0 or 1."""
    radial = model.radial_embedding
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
        convolutions=tuple(_convolutions(block.conv_tp) for block in model.interactions),
        contractions=tuple(
            tuple(
                _contraction(part, f"products.{layer}.symmetric_contractions.contractions.{number}")
                for number, part in enumerate(product.symmetric_contractions.contractions)
            )
            for layer, product in enumerate(model.products)
        ),
    )


def moved(value: Any, device: str) -> Any:
    """The same constants with every tensor on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(moved(part, device) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: moved(getattr(value, field.name), device) for field in fields(value)}
        return replace(value, **parts)
    return value


def _convolutions(product: Any) -> tuple[Convolution, ...]:
    found = []
    for path in product.instructions:
        orders = [
            irreps[number].ir.l
            for irreps, number in (
                (product.irreps_in1, path.i_in1),
                (product.irreps_in2, path.i_in2),
                (product.irreps_out, path.i_out),
            )
        ]
        coupling = o3.wigner_3j(*orders) * path.path_weight
        found.append(Convolution(orders[0] == 1, orders[1], orders[2], coupling))
    return tuple(found)


def _contraction(part: Any, name: str) -> Contraction:
    degrees, components = [], 1
    for degree, parameter in ((1, "weights.1"), (2, "weights.0"), (3, "weights_max")):
        coupling = getattr(part, f"U_matrix_{degree}")
        if coupling.dim() == degree + 1:
            coupling = coupling[None]
        components = len(coupling)
        found = _monomials(coupling, f"{name}.{parameter}")
        if found is not None:
            degrees.append(found)
    return Contraction(components, tuple(degrees))


def _monomials(coupling: Tensor, weights: str) -> Monomials | None:
    """Distinct monomials of a coupling tensor, shape (n_components, 16, ..., 16, n_paths)."""
    found: dict[tuple[int, ...], Tensor] = {}
    used = (coupling.abs() > 1e-9).any(-1).any(0)
    for index in used.nonzero().tolist():
        key = tuple(sorted(index))
        value = coupling[(slice(None), *index)].double()
        found[key] = found[key] + value if key in found else value
    kept = sorted(key for key, value in found.items() if value.abs().max() > 1e-9)
    if not kept:
        return None
    coefficients = torch.stack([found[key].reshape(-1) for key in kept], dim=1)
    return Monomials(torch.tensor(kept), coefficients.to(coupling.dtype), weights)


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
    radial = radial_basis(lengths, c).reshape(atoms * width, -1)
    directions = vectors / lengths
    harmonics = _spherical_harmonics(3, directions[..., 0], directions[..., 1], directions[..., 2])
    harmonics = harmonics * c.norms
    features = scaled(p["node_embedding.linear.weight"], c.n_elements, c.channels)[species]
    state = [features[:, None]]
    energy = torch.zeros_like(lengths[:, 0, 0])
    kept = []
    for layer in range(2):
        name = f"interactions.{layer}"
        ups = blocks(p[f"{name}.linear_up.weight"], c.channels)
        sent = torch.cat(
            [part @ up for part, up in zip(state, ups / math.sqrt(c.channels), strict=True)], 1
        )
        received: Tensor = _Gather.apply(sent.reshape(atoms, -1), neighbours, reverse)
        received = received.reshape(atoms, width, -1, c.channels)
        weights = radial_network(p, c, f"{name}.conv_tp_weights", radial)
        weights = weights.reshape(atoms, width, -1, c.channels)
        messages = _messages(p, c, layer, weights, received, harmonics)
        skip = p[f"{name}.skip_tp.weight"] / math.sqrt(c.channels * c.n_elements)
        if layer == 0:
            of_species = skip.reshape(4, c.channels, c.n_elements, c.channels)
            messages = [
                torch.bmm(message, of_species[n].transpose(0, 1)[species])
                for n, message in enumerate(messages)
            ]
            state = _product(p, c, layer, torch.cat(messages, 1), species)
            readout = scaled(p["readouts.0.linear.weight"], c.channels, 1)
            energy = energy + (state[0][:, 0] @ readout)[:, 0]
        else:
            of_species = skip.reshape(c.channels, c.n_elements, c.channels).transpose(0, 1)
            residual = torch.bmm(state[0], of_species[species])
            state = _product(p, c, layer, torch.cat(messages, 1), species)
            state[0] = state[0] + residual
            hidden = state[0][:, 0] @ scaled(p["readouts.1.linear_1.weight"], c.channels, READOUT)
            hidden = torch.nn.functional.silu(hidden) * c.activation
            energy = energy + (hidden @ scaled(p["readouts.1.linear_2.weight"], READOUT, 1))[:, 0]
        kept.append(state[0][:, 0])
    return energy, torch.cat(kept, 1)


def blocks(weight: Tensor, channels: int) -> Tensor:
    """A flat weight as square matrices between channels, shape (n, N, N)."""
    return weight.reshape(-1, channels, channels)


def _messages(
    p: Mapping[str, Tensor],
    c: Constants,
    layer: int,
    weights: Tensor,
    received: Tensor,
    harmonics: Tensor,
) -> list[Tensor]:
    """Sums over neighbours, mixed between channels: for each l a tensor (n_atoms, 2 l + 1, N).

    weights (n_atoms, n, n_paths, N); received (n_atoms, n, 1 or 4, N); harmonics (n_atoms, n, 16).
    """
    atoms, width = harmonics.shape[:2]
    paths = c.convolutions[layer]
    mixing = blocks(p[f"interactions.{layer}.linear.weight"], c.channels)
    found: list[list[Tensor]] = [[], [], [], []]
    for number, path in enumerate(paths):
        edge = harmonics[:, :, _ORDERS[path.harmonics]]
        weight = weights[:, :, number]
        if path.of_vectors:
            turned = torch.einsum("nkb,abo->nkao", edge, path.coupling)
            values = weight[:, :, None] * received[:, :, 1:4]
            rows = turned.reshape(atoms, width * 3, -1), values.reshape(atoms, width * 3, -1)
        else:
            # A scalar times a harmonic is that harmonic: the coupling is one number.
            rows = edge * path.coupling[0, 0, 0], weight * received[:, :, 0]
        summed = torch.bmm(rows[0].transpose(1, 2), rows[1])
        found[path.order].append(summed @ mixing[number])
    return [
        _sum(parts) / (math.sqrt(c.channels * len(parts)) * c.mean_neighbours) for parts in found
    ]


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def scaled(weight: Tensor, rows: int, columns: int) -> Tensor:
    """The matrix of a linear layer, normalised by its number of inputs as e3nn does."""
    return weight.reshape(rows, columns) / math.sqrt(rows)


def radial_basis(lengths: Tensor, c: Constants) -> Tensor:
    """Bessel functions times the polynomial cutoff."""
    p, share = c.envelope, lengths / c.r_max_A
    cutoff = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * share**p
        + p * (p + 2.0) * share ** (p + 1)
        - p * (p + 1.0) / 2 * share ** (p + 2)
    ) * (lengths < c.r_max_A)
    return c.prefactor * torch.sin(c.frequencies * lengths) / lengths * cutoff


def radial_network(p: Mapping[str, Tensor], c: Constants, name: str, x: Tensor) -> Tensor:
    """Weights of all paths and channels, shape (n, n_paths N), of radial basis functions (n, 8)."""
    for layer in range(c.n_radial_layers + 1):
        weight = p[f"{name}.layer{layer}.weight"]
        x = x @ (weight / math.sqrt(weight.shape[0]))
        if layer < c.n_radial_layers:
            x = torch.nn.functional.silu(x) * c.activation
    return x


def _product(
    p: Mapping[str, Tensor], c: Constants, layer: int, messages: Tensor, species: Tensor
) -> list[Tensor]:
    """Symmetric contractions and the linear layer after them, messages (n_atoms, 16, N).

    Gives scalars (n_atoms, 1, N) and, where the layer has them, vectors (n_atoms, 3, N).
    """
    linear = blocks(p[f"products.{layer}.linear.weight"], c.channels) / math.sqrt(c.channels)
    found = []
    for number, contraction in enumerate(c.contractions[layer]):
        parts = []
        for monomials in contraction.degrees:
            value = messages[:, monomials.factors[:, 0]]
            for factor in monomials.factors.T[1:]:
                value = value * messages[:, factor]
            paths = torch.matmul(monomials.coefficients, value)
            paths = paths.reshape(len(messages), contraction.components, -1, c.channels)
            parts.append((p[monomials.weights][species][:, None] * paths).sum(2))
        found.append(_sum(parts) @ linear[number])
    return found
