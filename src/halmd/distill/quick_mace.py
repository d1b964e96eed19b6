"""A training step of MACE on a CPU core, by compiled loops; N of its channels a multiple of 16.

Two things make it several times faster than differentiating the network twice:

- What is dear is done by `kernels.cpp`: sums over edges, products with matrices of a species, and
  symmetric contractions stay in registers instead of being written to memory edge by edge. The
  radial network, a function of one number, is evaluated at knots and interpolated by cubic Hermite
  splines.
- The loss depends on parameters through energies E and their slopes s = dE/dv in edge vectors v.
  With c = dL/dE and g = dL/ds, both cheap, its gradient is that of c.E + g.s, and g.s is the change
  of E along g: grad (g.s) = grad [E(v + x g) - E(v - x g)] / 2x + O(x^2). First derivatives are all
  that is needed. The step x moves the edge that moves most by SHIFT_A.

Functions and parameters are those of `plain_mace`, against which both passes are tested.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halmd.distill.loops import compiler, library_of, pairs_of
from halmd.distill.plain_mace import (
    READOUT,
    Constants,
    Contraction,
    blocks,
    radial_basis,
    radial_network,
    scaled,
)

SHIFT_A = 0.01
"""How far the edge that moves most is moved to differentiate along the gradient, in Å."""

_LANES = 16
_FIRST_A, _STEP_A = 0.4, 0.02
"""First knot and distance of the knots of radial weights, in Å."""


def possible(c: Constants) -> bool:
    """Whether this network can be computed here: whole blocks of channels, and a compiler."""
    tools = shutil.which(compiler()) is not None and Path("/proc/cpuinfo").is_file()
    return c.channels % _LANES == 0 and tools


def quick_or_none(c: Constants) -> "Quick | None":
    """The network by compiled loops, or None, with a line that says why, where that cannot be."""
    if not possible(c):
        return None
    try:
        return Quick(c)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"compiled loops cannot be had ({error}); taking the slower way", flush=True)
        return None


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    if tensor is None:
        return ctypes.c_void_p(None)
    if not tensor.is_contiguous() or tensor.dtype not in (torch.float32, torch.int64):
        raise ValueError("an array is not contiguous, or of a kind the compiled loops do not know")
    return ctypes.c_void_p(tensor.data_ptr())


def _long(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


def _first_only() -> None:
    """Raise RuntimeError where a second derivative is being prepared: it would be nothing."""
    if torch.is_grad_enabled():
        raise RuntimeError("compiled loops can be differentiated once only")


class _SumEdges(torch.autograd.Function):  # type: ignore[misc]
    """Sums over neighbours, shape (n_atoms, n, N), of features of the neighbours.

    Of scalars, (n_atoms, N), all 16 components; of scalars and vectors, (n_atoms, 4, N), those of
    all paths, one path after the other.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, table: Tensor, vectors: Tensor, neighbours: Tensor, of: Any
    ) -> Tensor:
        features, table = features.contiguous(), table.contiguous()
        ctx.save_for_backward(features, table, vectors, neighbours)
        ctx.of = of
        mixed = features.dim() == 3
        out = features.new_empty(len(features), of.mixed if mixed else 16, features.shape[-1])
        run = of.library.sum_mixed if mixed else of.library.sum_edges
        run(*_edge_arguments(features, table, vectors, neighbours, of), _at(out))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        _first_only()
        features, table, vectors, neighbours = ctx.saved_tensors
        # Kept in a name: what is called sees only its address.
        g = gradients[0].contiguous()
        _, of_table, of_vectors, _, _ = ctx.needs_input_grad
        g_features = torch.zeros_like(features)
        g_table = torch.zeros_like(table) if of_table else None
        g_vectors = torch.zeros_like(vectors) if of_vectors else None
        library = ctx.of.library
        run = library.sum_mixed_back if features.dim() == 3 else library.sum_edges_back
        run(
            *_edge_arguments(features, table, vectors, neighbours, ctx.of),
            _at(g),
            _at(g_features),
            _at(g_vectors),
            _at(g_table),
        )
        return g_features, g_table, g_vectors, None, None


def _edge_arguments(
    features: Tensor, table: Tensor, vectors: Tensor, neighbours: Tensor, of: Any
) -> list[Any]:
    return [
        _long(len(features)),
        _long(neighbours.shape[1]),
        _long(features.shape[-1]),
        *(_at(array) for array in (vectors, neighbours, features, table)),
        _long(len(table)),
        *(ctypes.c_float(value) for value in (_FIRST_A, _STEP_A, of.constants.r_max_A)),
    ]


class _OfSpecies(torch.autograd.Function):  # type: ignore[misc]
    """Products with the matrices of each atom's species: x (n_atoms, n_orders^2, N)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, species: Tensor, of: Any) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight, species)
        ctx.of = of
        out = torch.empty_like(x)
        sizes = _long(len(x)), _long(x.shape[2]), _long(weight.shape[1])
        of.library.of_species(*sizes, _at(x), _at(weight), _at(species), _at(out))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        _first_only()
        x, weight, species = ctx.saved_tensors
        g = gradients[0].contiguous()
        sizes = _long(len(x)), _long(x.shape[2]), _long(weight.shape[1])
        g_x = torch.empty_like(x)
        turned = weight.transpose(2, 3).contiguous()
        ctx.of.library.of_species(*sizes, _at(g), _at(turned), _at(species), _at(g_x))
        g_weight = None
        if ctx.needs_input_grad[1]:
            g_weight = torch.zeros_like(weight)
            ctx.of.library.of_species_back(*sizes, _at(x), _at(species), _at(g), _at(g_weight))
        return g_x, g_weight, None, None


class _Contract(torch.autograd.Function):  # type: ignore[misc]
    """Weighted sums of monomials: x (n_atoms, 16, N), weights (n_species, n_pairs, N).

    To scalars, (n_atoms, 1, N), for number 0; to vectors, (n_atoms, 3, N), for number 1.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, species: Tensor, of: Any, number: int
    ) -> Tensor:
        x, weights = x.contiguous(), weights.contiguous()
        ctx.save_for_backward(x, weights, species)
        ctx.run_back = getattr(of.library, f"contract_{number}_back")
        out = x.new_empty(len(x), 2 * number + 1, x.shape[2])
        sizes = _long(len(x)), _long(x.shape[2])
        getattr(of.library, f"contract_{number}")(
            *sizes, _at(x), _at(weights), _at(species), _at(out)
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        _first_only()
        x, weights, species = ctx.saved_tensors
        g = gradients[0].contiguous()
        g_x = torch.empty_like(x)
        g_weights = torch.zeros_like(weights) if ctx.needs_input_grad[1] else None
        ctx.run_back(
            _long(len(x)),
            _long(x.shape[2]),
            _at(x),
            _at(weights),
            _at(species),
            _at(g),
            _at(g_x),
            _at(g_weights),
        )
        return g_x, g_weights, None, None, None


class Quick:
    """The network of one shape with its compiled loops."""

    def __init__(self, constants: Constants):
        self.constants = constants
        self.library = library_of(constants)
        # Two more knots at each end, from which slopes are differenced.
        last = constants.r_max_A + 2 * _STEP_A
        count = 4 + int(np.ceil((last - _FIRST_A) / _STEP_A))
        self.knots_A = (_FIRST_A + _STEP_A * (torch.arange(count) - 2.0))[:, None]
        self.mixed = sum(2 * path.order + 1 for path in constants.convolutions[1])
        self.vectors = len(constants.contractions[0]) > 1
        # Of scalars the coupling is a number, and goes into the weights.
        self.factors = [
            torch.stack(
                [
                    torch.ones(()) if self.vectors and layer else path.coupling[0, 0, 0]
                    for path in paths
                ]
            )
            for layer, paths in enumerate(constants.convolutions)
        ]
        self.pairs = [self._places(part) for part in constants.contractions[0]]

    @staticmethod
    def _places(contraction: Contraction) -> Tensor:
        """Where the used pairs of component and monomial stand in a full table of both."""
        count = sum(len(part.factors) for part in contraction.degrees)
        return torch.tensor([c * count + k for c, k in pairs_of(contraction)])

    def ready(self, p: Mapping[str, Tensor]) -> "Ready":
        """All that depends on parameters alone, in the forms the loops take."""
        c = self.constants
        root = c.channels**0.5
        layers = []
        for layer, contractions in enumerate(c.contractions):
            name = f"interactions.{layer}"
            skip = p[f"{name}.skip_tp.weight"] / (root * c.n_elements**0.5)
            skip = skip.reshape(-1, c.channels, c.n_elements, c.channels).permute(2, 0, 1, 3)
            linear = blocks(p[f"products.{layer}.linear.weight"], c.channels) / root
            layers.append(
                ReadyLayer(
                    up=blocks(p[f"{name}.linear_up.weight"], c.channels) / root,
                    table=self._table(p, layer),
                    mixing=self._mixing(p, layer),
                    skip=skip,
                    weights=[self._weights(p, n, part) for n, part in enumerate(contractions)],
                    linear=linear,
                )
            )
        return Ready(
            embedding=scaled(p["node_embedding.linear.weight"], c.n_elements, c.channels),
            layers=layers,
            readout=scaled(p["readouts.0.linear.weight"], c.channels, 1),
            hidden=scaled(p["readouts.1.linear_1.weight"], c.channels, READOUT),
            last=scaled(p["readouts.1.linear_2.weight"], READOUT, 1),
        )

    def _mixing(self, p: Mapping[str, Tensor], layer: int) -> list[Tensor]:
        """For each l the matrices of its paths below one another, shape (n_paths N, N)."""
        c = self.constants
        each = blocks(p[f"interactions.{layer}.linear.weight"], c.channels)
        found = []
        for order in range(4):
            mine = [n for n, path in enumerate(c.convolutions[layer]) if path.order == order]
            scale = (c.channels * len(mine)) ** 0.5 * c.mean_neighbours
            found.append(torch.cat([each[n] for n in mine]) / scale)
        return found

    def _weights(self, p: Mapping[str, Tensor], number: int, contraction: Contraction) -> Tensor:
        """Weights of the used pairs of component and monomial, shape (n_elements, n_pairs, N)."""
        size = contraction.components
        parts = []
        for part in contraction.degrees:
            coefficients = part.coefficients.reshape(size, -1, len(part.factors))
            # To (n_elements, n_components, n_monomials, N).
            parts.append(torch.einsum("cpm,spn->scmn", coefficients, p[part.weights]))
        return torch.cat(parts, 2).flatten(1, 2)[:, self.pairs[number]].contiguous()

    def _table(self, p: Mapping[str, Tensor], layer: int) -> Tensor:
        """Radial weights at the knots and their slopes times the step, (n_knots, 2, n_paths N)."""
        c = self.constants
        values = radial_network(
            p, c, f"interactions.{layer}.conv_tp_weights", radial_basis(self.knots_A, c)
        )
        values = values * self.factors[layer].repeat_interleave(c.channels)
        slopes = (8 * (values[3:-1] - values[1:-3]) - (values[4:] - values[:-4])) / 12
        return torch.stack([values[2:-2], slopes], 1)

    def energies(
        self, ready: "Ready", vectors: Tensor, species: Tensor, neighbours: Tensor
    ) -> Tensor:
        """As `plain_mace.node_energies`, of what `ready` made; differentiable once."""
        first, second = ready.layers
        features = ready.embedding[species] @ first.up[0]
        received = _SumEdges.apply(features, first.table, vectors, neighbours, self)
        # What is mixed and then multiplied by matrices of the species is multiplied by one of both.
        both = torch.stack(first.mixing) @ first.skip
        messages = _OfSpecies.apply(received, both, species, self)
        state = self._product(first, messages, species)
        energy = (state[0][:, 0] @ ready.readout)[:, 0]
        residual = _OfSpecies.apply(state[0], second.skip, species, self)
        received = self._received(second, state, vectors, neighbours)
        (scalars,) = self._product(second, received, species)
        scalars = (scalars + residual)[:, 0]
        activated = torch.nn.functional.silu(scalars @ ready.hidden) * self.constants.activation
        return energy + (activated @ ready.last)[:, 0]

    def _received(
        self, layer: "ReadyLayer", state: Sequence[Tensor], vectors: Tensor, neighbours: Tensor
    ) -> Tensor:
        """Messages of the second layer, mixed between channels and paths, (n_atoms, 16, N)."""
        if not self.vectors:
            sent = state[0][:, 0] @ layer.up[0]
            received = _SumEdges.apply(sent, layer.table, vectors, neighbours, self)
            same = torch.zeros(len(sent), dtype=torch.int64)
            mixed: Tensor = _OfSpecies.apply(received, torch.stack(layer.mixing)[None], same, self)
            return mixed
        sent = torch.cat([part @ up for part, up in zip(state, layer.up, strict=True)], 1)
        received = _SumEdges.apply(sent, layer.table, vectors, neighbours, self)
        paths = self.constants.convolutions[1]
        each = received.split([2 * path.order + 1 for path in paths], 1)
        found = []
        for order, mixing in enumerate(layer.mixing):
            mine = [part for part, path in zip(each, paths, strict=True) if path.order == order]
            found.append(torch.cat(mine, 2) @ mixing)
        return torch.cat(found, 1)

    def _product(
        self, layer: "ReadyLayer", messages: Tensor, species: Tensor
    ) -> tuple[Tensor, ...]:
        """Scalars (n_atoms, 1, N) and, where the layer has them, vectors (n_atoms, 3, N)."""
        return tuple(
            _Contract.apply(messages, weights, species, self, number) @ linear
            for number, (weights, linear) in enumerate(
                zip(layer.weights, layer.linear, strict=True)
            )
        )


@dataclass(frozen=True)
class ReadyLayer:
    """Matrices and tables of one layer, normalised as e3nn does."""

    up: Tensor
    table: Tensor
    mixing: list[Tensor]
    skip: Tensor
    """Of each species and order, shape (n_elements, n_orders, N, N)."""
    weights: list[Tensor]
    linear: Tensor


@dataclass(frozen=True)
class Ready:
    """What a network's parameters are to its loops."""

    embedding: Tensor
    layers: list[ReadyLayer]
    readout: Tensor
    hidden: Tensor
    last: Tensor

    def detached(self) -> "Ready":
        """The same values, of which no gradient is taken."""
        found: Ready = _detached(self)
        return found


def _detached(value: Any) -> Any:
    """A tensor, a list or a dataclass of such, without gradients."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, list):
        return [_detached(part) for part in value]
    return replace(value, **{f.name: _detached(getattr(value, f.name)) for f in fields(value)})
