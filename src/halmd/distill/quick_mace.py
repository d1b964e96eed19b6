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
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from e3nn.o3._spherical_harmonics import _spherical_harmonics
from torch import Tensor

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
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
"""Not -ffast-math, which would make the whole process flush subnormal numbers to zero."""

_FIRST_A, _STEP_A = 0.4, 0.02
"""First knot and distance of the knots of radial weights, in Å."""

_KERNELS = Path(__file__).with_name("kernels.cpp")


def possible(c: Constants) -> bool:
    """Whether this network can be computed here: scalars, whole blocks of channels, a compiler."""
    scalars = all(len(layer) == 1 and layer[0].components == 1 for layer in c.contractions)
    tools = shutil.which(_compiler()) is not None and Path("/proc/cpuinfo").is_file()
    return scalars and c.channels % _LANES == 0 and tools


def _compiler() -> str:
    return os.environ.get("CXX", "c++")


def _harmonics_source(norms: Tensor) -> str:
    """C++ of the spherical harmonics of a unit vector n and of their gradient in n.

    e3nn's own harmonics, found again as polynomials from their values at random directions.
    """
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    values = _spherical_harmonics(3, *torch.from_numpy(points).T).numpy() * norms.double().numpy()
    lines, back = ["y[0] = 1.0f;"], []
    at = 1
    for order in (1, 2, 3):
        powers = [(a, b, order - a - b) for a in range(order + 1) for b in range(order + 1 - a)]
        design = np.stack([np.prod(points**power, axis=1) for power in np.array(powers)], axis=1)
        found, *_ = np.linalg.lstsq(design, values[:, at : at + 2 * order + 1], rcond=None)
        for component in range(2 * order + 1):
            used = [
                (c, power)
                for c, power in zip(found[:, component], powers, strict=True)
                if abs(c) > 1e-9
            ]
            lines.append(f"y[{at}] = {' + '.join(_monomial(c, power) for c, power in used)};")
            for axis in range(3):
                terms = [
                    _monomial(
                        c * power[axis],
                        tuple(p - (k == axis) for k, p in enumerate(power)),
                    )
                    for c, power in used
                    if power[axis]
                ]
                if terms:
                    back.append(f"gn[{axis}] += gy[{at}] * ({' + '.join(terms)});")
            at += 1
    return (
        "static inline void harmonics(const float* n, float* y) {\n  "
        + "\n  ".join(lines)
        + "\n}\nstatic inline void harmonics_back(const float* n, const float* gy, float* gn) {\n  "
        + "\n  ".join(back)
        + "\n}\n"
    )


def _monomial(coefficient: float, power: Sequence[int]) -> str:
    factors = [f"n[{axis}]" for axis, p in enumerate(power) for _ in range(p)]
    return " * ".join([f"{coefficient:.9e}f", *factors])


def _contraction_source(monomials: Sequence[tuple[int, ...]]) -> str:
    """C++ of a sum of monomials of 16 components with weights for each species and channel."""
    products = [" * ".join(f"a{i}" for i in factors) for factors in monomials]
    forward = "\n".join(
        f"    out += ld(w + {k} * channels) * ({text});" for k, text in enumerate(products)
    )
    back = []
    for k, (factors, text) in enumerate(zip(monomials, products, strict=True)):
        back.append(f"    {{ const V t = g * ld(w + {k} * channels);")
        if len(factors) == 3:
            i, j, m = factors
            back.append(f"      const V b = a{i} * a{j}, s = t * a{m};")
            back.append(f"      d{i} += s * a{j}; d{j} += s * a{i}; d{m} += t * b;")
            text = f"b * a{m}"
        elif len(factors) == 2:
            i, j = factors
            back.append(f"      d{i} += t * a{j}; d{j} += t * a{i};")
        else:
            back.append(f"      d{factors[0]} += t;")
        back.append(f"      if (gw) add(gw + {k} * channels, g * ({text})); }}")
    loads = " ".join(f"const V a{k} = ld(x + {k} * channels);" for k in range(16))
    zeros = " ".join(f"V d{k} = {{}};" for k in range(16))
    stores = " ".join(f"st(gx + {k} * channels, d{k});" for k in range(16))
    count = len(monomials)
    return f"""
extern "C" void contract(long atoms, long channels, const float* xs, const float* weights,
                         const long* species, float* to) {{
  for (long n = 0; n < atoms; ++n) for (long u = 0; u < channels; u += 16) {{
    const float* x = xs + n * 16 * channels + u;
    const float* w = weights + species[n] * {count} * channels + u;
    {loads}
    V out = {{}};
{forward}
    st(to + n * channels + u, out);
  }}
}}
extern "C" void contract_back(long atoms, long channels, const float* xs, const float* weights,
                              const long* species, const float* gs, float* gxs, float* gweights) {{
  for (long n = 0; n < atoms; ++n) for (long u = 0; u < channels; u += 16) {{
    const float* x = xs + n * 16 * channels + u;
    float* gx = gxs + n * 16 * channels + u;
    const float* w = weights + species[n] * {count} * channels + u;
    float* gw = gweights ? gweights + species[n] * {count} * channels + u : nullptr;
    const V g = ld(gs + n * channels + u);
    {loads}
    {zeros}
{chr(10).join(back)}
    {stores}
  }}
}}
"""


def _monomials(contraction: Contraction) -> list[tuple[int, ...]]:
    return [tuple(row) for part in contraction.degrees for row in part.factors.tolist()]


@cache
def _library(source: str) -> ctypes.CDLL:
    """The compiled source; kept in the user's cache, by its content and the kind of processor."""
    flags = [*_FLAGS, "-std=c++17", "-shared", "-fPIC"]
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    abilities = next((line for line in facts if line.startswith("flags")), "")
    key = hashlib.sha256("\n".join([source, abilities, *flags]).encode()).hexdigest()[:24]
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "halmd" / "kernels"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = root / f"{key}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            text, made = Path(scratch) / "kernels.cpp", Path(scratch) / "kernels.so"
            text.write_text(source, encoding="utf-8")
            subprocess.run([_compiler(), *flags, str(text), "-o", str(made)], check=True)
            made.replace(target)
    return ctypes.CDLL(str(target))


def library_of(c: Constants) -> ctypes.CDLL:
    """The compiled loops for networks with these constants."""
    monomials = _monomials(c.contractions[0][0])
    if any(_monomials(layer[0]) != monomials for layer in c.contractions):
        raise ValueError("the layers have different contractions")
    if any([p.order for p in layer] != [0, 1, 2, 3] for layer in c.convolutions):
        raise ValueError("the convolutions are not of scalars with harmonics of l = 0, 1, 2, 3")
    kernels = _KERNELS.read_text(encoding="utf-8")
    includes, rest = kernels.split("static const int L_OF", 1)
    source = "".join(
        [
            includes,
            _harmonics_source(c.norms),
            "static const int L_OF",
            rest,
            _contraction_source(monomials),
        ]
    )
    return _library(source)


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
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        features, table, vectors, neighbours = ctx.saved_tensors
        _, of_table, of_vectors, _, _ = ctx.needs_input_grad
        g_features = torch.zeros_like(features)
        g_table = torch.zeros_like(table) if of_table else None
        g_vectors = torch.zeros_like(vectors) if of_vectors else None
        ctx.of.library.sum_edges_back(
            *_edge_arguments(features, table, vectors, neighbours, ctx.of),
            _at(gradients[0].contiguous()),
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
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weights, species = ctx.saved_tensors
        g_x = torch.empty_like(x)
        g_weights = torch.zeros_like(weights) if ctx.needs_input_grad[1] else None
        ctx.of.library.contract_back(
            _long(len(x)),
            _long(x.shape[2]),
            _at(x),
            _at(weights),
            _at(species),
            _at(gradients[0].contiguous()),
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
