"""A training step of a scalar MACE (N x 0e, N a multiple of 16) on a CPU core, by compiled loops.

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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from halmd.distill.loops import compiler, library_of
from halmd.distill.plain_mace import (
    READOUT,
    Constants,
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
    """Whether this network can be computed here: scalars, whole blocks of channels, a compiler."""
    scalars = all(len(layer) == 1 and layer[0].components == 1 for layer in c.contractions)
    tools = shutil.which(compiler()) is not None and Path("/proc/cpuinfo").is_file()
    return scalars and c.channels % _LANES == 0 and tools


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


class _SumEdges(torch.autograd.Function):  # type: ignore[misc]
    """Sums over neighbours, shape (n_atoms, 16, N), of features (n_atoms, N) of the neighbours."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, table: Tensor, vectors: Tensor, neighbours: Tensor, of: Any
    ) -> Tensor:
        features, table = features.contiguous(), table.contiguous()
        ctx.save_for_backward(features, table, vectors, neighbours)
        ctx.of = of
        out = features.new_empty(len(features), 16, features.shape[1])
        of.library.sum_edges(*_edge_arguments(features, table, vectors, neighbours, of), _at(out))
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        features, table, vectors, neighbours = ctx.saved_tensors
        # Kept in a name: what is called sees only its address.
        g = gradients[0].contiguous()
        _, of_table, of_vectors, _, _ = ctx.needs_input_grad
        g_features = torch.zeros_like(features)
        g_table = torch.zeros_like(table) if of_table else None
        g_vectors = torch.zeros_like(vectors) if of_vectors else None
        ctx.of.library.sum_edges_back(
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
        _long(features.shape[1]),
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
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> Any:
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
    """Weighted sums of monomials: x (n_atoms, 16, N), weights (n_species, n_monomials, N)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, species: Tensor, of: Any) -> Tensor:
        x, weights = x.contiguous(), weights.contiguous()
        ctx.save_for_backward(x, weights, species)
        ctx.of = of
        out = x.new_empty(len(x), x.shape[2])
        sizes = _long(len(x)), _long(x.shape[2])
        of.library.contract(*sizes, _at(x), _at(weights), _at(species), _at(out))
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weights, species = ctx.saved_tensors
        g = gradients[0].contiguous()
        g_x = torch.empty_like(x)
        g_weights = torch.zeros_like(weights) if ctx.needs_input_grad[1] else None
        ctx.of.library.contract_back(
            _long(len(x)),
            _long(x.shape[2]),
            _at(x),
            _at(weights),
            _at(species),
            _at(g),
            _at(g_x),
            _at(g_weights),
        )
        return g_x, g_weights, None, None


class Quick:
    """The network of one shape with its compiled loops."""

    def __init__(self, constants: Constants):
        self.constants = constants
        self.library = library_of(constants)
        # Two more knots at each end, from which slopes are differenced.
        last = constants.r_max_A + 2 * _STEP_A
        count = 4 + int(np.ceil((last - _FIRST_A) / _STEP_A))
        self.knots_A = (_FIRST_A + _STEP_A * (torch.arange(count) - 2.0))[:, None]
        self.factors = [
            torch.stack([path.coupling[0, 0, 0] for path in layer])
            for layer in constants.convolutions
        ]

    def ready(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        """All that depends on parameters alone, in the forms the loops take."""
        c = self.constants
        root = c.channels**0.5
        found = [scaled(p["node_embedding.linear.weight"], c.n_elements, c.channels)]
        for layer, contractions in enumerate(c.contractions):
            name = f"interactions.{layer}"
            skip = p[f"{name}.skip_tp.weight"] / (root * c.n_elements**0.5)
            skip = skip.reshape(-1, c.channels, c.n_elements, c.channels).permute(2, 0, 1, 3)
            mixing = blocks(p[f"{name}.linear.weight"], c.channels) / (root * c.mean_neighbours)
            # The first layer multiplies its messages by matrices of the species, the second its
            # features: what is mixed before is mixed by the same matrices.
            found += [
                blocks(p[f"{name}.linear_up.weight"], c.channels)[0] / root,
                self._table(p, layer),
                mixing @ skip if layer == 0 else mixing[None],
                torch.cat(
                    [part.coefficients.T @ p[part.weights] for part in contractions[0].degrees], 1
                ),
                blocks(p[f"products.{layer}.linear.weight"], c.channels)[0] / root,
            ]
            if layer == 1:
                found.append(skip)
        return [
            *(value.contiguous() for value in found),
            scaled(p["readouts.0.linear.weight"], c.channels, 1),
            scaled(p["readouts.1.linear_1.weight"], c.channels, READOUT),
            scaled(p["readouts.1.linear_2.weight"], READOUT, 1),
        ]

    def _table(self, p: Mapping[str, Tensor], layer: int) -> Tensor:
        """Radial weights at the knots and their slopes times the step, shape (n_knots, 2, 4 N)."""
        c = self.constants
        values = radial_network(
            p, c, f"interactions.{layer}.conv_tp_weights", radial_basis(self.knots_A, c)
        )
        values = values * self.factors[layer].repeat_interleave(c.channels)
        slopes = (8 * (values[3:-1] - values[1:-3]) - (values[4:] - values[:-4])) / 12
        return torch.stack([values[2:-2], slopes], 1)

    def energies(
        self, ready: Sequence[Tensor], vectors: Tensor, species: Tensor, neighbours: Tensor
    ) -> Tensor:
        """As `plain_mace.node_energies`, of what `ready` made; differentiable once."""
        of_layer0, of_layer1, skip = ready[1:6], ready[6:11], ready[11]
        readout, hidden, last = ready[12:]
        same = torch.zeros_like(species)
        features = self._layer(of_layer0, ready[0][species], vectors, neighbours, species, species)
        energy = (features @ readout)[:, 0]
        residual = _OfSpecies.apply(features[:, None], skip, species, self)[:, 0]
        features = self._layer(of_layer1, features, vectors, neighbours, species, same) + residual
        activated = torch.nn.functional.silu(features @ hidden) * self.constants.activation
        return energy + (activated @ last)[:, 0]

    def _layer(
        self,
        of_layer: Sequence[Tensor],
        features: Tensor,
        vectors: Tensor,
        neighbours: Tensor,
        species: Tensor,
        mixed_as: Tensor,
    ) -> Tensor:
        up, table, mixing, weights, linear = of_layer
        received = _SumEdges.apply(features @ up, table, vectors, neighbours, self)
        messages = _OfSpecies.apply(received, mixing, mixed_as, self)
        found: Tensor = _Contract.apply(messages, weights, species, self) @ linear
        return found
