"""SevenNet on one CPU core, many times faster: its convolutions as generated, compiled loops.

    calculator: training.quick_sevennet:calculator      # in a distillation file
    .venv-teacher/bin/python training/quick_sevennet.py [CRYSTAL]   # beside SevenNet's own

A factory of an ASE calculator, for the teacher's environment; needs sevenn and a C++ compiler. It
is SevenNet's own calculator and network, of which only the convolutions are replaced: nearly all
time goes there, because e3nn writes every product of every edge to memory. Here, for every atom,
path of the tensor product and block of channels, sums over neighbours stay in registers:

    forward    out_o = sum_e w_e (sum_a T_eao x_ea),    T_eao = sum_b C_abo Y_eb
    backward   P_ab = sum_o C_abo g_o once an atom;  q_a = sum_b P_ab Y_b;  then the gradient of x
               is w q, that of w is x.q, and that of Y is sum_a w x_a P_ab

The radial network depends on one number, the length of the edge: it is tabulated, and interpolated
by cubic Hermite splines, whose derivatives are those the forces use. Every calculator is compared
with SevenNet's own on a small crystal before it is handed out.
"""

import argparse
import copy
import ctypes
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes
from e3nn import o3
from torch import Tensor

_LANES = 16
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
"""Not -ffast-math, which would make the whole process flush subnormal numbers to zero."""

_NOTHING = 1e-9
_STEP_A = 0.02
_FIRST_A = 0.2
_AGREE_EV_PER_ATOM = 1e-5
_AGREE_EV_PER_A = 2e-4
_AGREE_STRESS_EV_PER_A3 = 1e-5


@dataclass(frozen=True)
class Path3:
    """One path of a tensor product: orders, channels, and where each thing begins."""

    orders: tuple[int, int, int]
    channels: int
    x_at: int
    y_at: int
    out_at: int
    w_at: int
    coupling: Any
    """Shape (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), the weight of the path included."""


def paths_of(product: Any) -> list[Path3]:
    """The paths of an e3nn tensor product of kind uvu, in the order of their weights."""
    found, w_at = [], 0
    for path in product.instructions:
        slices = [
            irreps.slices()[number].start
            for irreps, number in (
                (product.irreps_in1, path.i_in1),
                (product.irreps_in2, path.i_in2),
                (product.irreps_out, path.i_out),
            )
        ]
        orders = (
            product.irreps_in1[path.i_in1].ir.l,
            product.irreps_in2[path.i_in2].ir.l,
            product.irreps_out[path.i_out].ir.l,
        )
        if path.connection_mode != "uvu" or product.irreps_in2[path.i_in2].mul != 1:
            raise ValueError(f"a path of kind {path.connection_mode} is not known")
        channels = product.irreps_in1[path.i_in1].mul
        if channels % _LANES:
            raise ValueError(f"{channels} channels are no multiple of {_LANES}")
        coupling = (o3.wigner_3j(*orders).double() * path.path_weight).numpy()
        found.append(Path3(orders, channels, *slices, w_at, coupling))
        w_at += channels
    return found


_HEAD = """
#include <vector>
typedef float V __attribute__((vector_size(64), aligned(4)));
static inline V ld(const float* p) { return *(const V*)p; }
static inline void st(float* p, V v) { *(V*)p = v; }
static inline float sum(V v) { float s = 0; for (int k = 0; k < 16; ++k) s += v[k]; return s; }

// Where in the table the weights of an edge are interpolated, and how: value and slope at both
// ends, and their derivatives in the length.
struct Place { const float* row; float h[4], dh[4]; };

static void find(long n_edges, const float* length, const float* table, long knots, long weights,
                 float first, float step, std::vector<Place>& found) {
  found.resize(n_edges);
  for (long e = 0; e < n_edges; ++e) {
    const float s = (length[e] - first) / step;
    // Nearer than the first knot weights stay what they are there; what is no number is kept out.
    const bool inside = s > 0 && s < knots - 1;
    const long k = inside ? (long)s : 0;
    const float t = inside ? s - k : 0, t2 = t * t, t3 = t2 * t, d = inside ? 1 / step : 0;
    found[e] = {table + k * 2 * weights,
                {2 * t3 - 3 * t2 + 1, t3 - 2 * t2 + t, 3 * t2 - 2 * t3, t3 - t2},
                {(6 * t2 - 6 * t) * d, (3 * t2 - 4 * t + 1) * d, (6 * t - 6 * t2) * d,
                 (3 * t2 - 2 * t) * d}};
  }
}

// A knot holds all values, then all slopes times the step.
static inline V spline(const float* row, long weights, const float* h) {
  return h[0] * ld(row) + h[1] * ld(row + weights) + h[2] * ld(row + 2 * weights)
       + h[3] * ld(row + 3 * weights);
}
"""

_ARGUMENTS = """long n_atoms, long n_edges, const long* start, const long* source,
    const float* x_in, const float* harmonics, const float* length, const float* table, long knots,
    float first, float step"""


def _number(value: float) -> str:
    return f"{value:.9e}f"


def _lines(texts: Iterable[str], indent: int) -> str:
    return "\n".join(" " * indent + text for text in texts)


def _forward_path(path: Path3, dim: int, weights: int) -> str:
    """Sums of one path for one atom, whose edges are `begin` to `end`."""
    l1, _, l3 = path.orders
    na, no, u = 2 * l1 + 1, 2 * l3 + 1, path.channels
    used = np.abs(path.coupling) > _NOTHING
    turned: list[str] = []
    terms: dict[int, list[str]] = {o: [] for o in range(no)}
    for a in range(na):
        for o in range(no):
            parts = [
                f"{_number(path.coupling[a, b, o])} * y[{path.y_at + b}]"
                for b in np.flatnonzero(used[a, :, o])
            ]
            if parts:
                terms[o].append(f"t[{len(turned)}] * x{a}")
                turned.append(" + ".join(parts))
    return f"""
    for (long e = begin; e < end; ++e) {{
      const float* y = harmonics + e * COMPONENTS;
      float* t = &turned[(e - begin) * TURNED];
{_lines((f"t[{k}] = {text};" for k, text in enumerate(turned)), 6)}
    }}
    for (int u = 0; u < {u}; u += 16) {{
      {" ".join(f"V acc{o} = {{}};" for o in range(no))}
      for (long e = begin; e < end; ++e) {{
        const float* x = &xt[source[e] * {dim} + {path.x_at} + u];
        const float* t = &turned[(e - begin) * TURNED];
{_lines((f"const V x{a} = ld(x + {a * u});" for a in range(na)), 8)}
        const V w = spline(place[e].row + {path.w_at} + u, {weights}, place[e].h);
{_lines((f"acc{o} += w * ({' + '.join(terms[o])});" for o in range(no) if terms[o]), 8)}
      }}
      float* to = out_of + {path.out_at} + u * {no};
      for (int k = 0; k < 16; ++k) {{
{_lines((f"to[k * {no} + {o}] = acc{o}[k];" for o in range(no)), 8)}
      }}
    }}"""


def _backward_path(path: Path3, dim: int, weights: int) -> str:
    """What one path of one atom adds to all gradients."""
    l1, l2, l3 = path.orders
    na, nb, no, u = 2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1, path.channels
    used = np.abs(path.coupling) > _NOTHING
    pairs = [(a, b) for a in range(na) for b in range(nb) if used[a, b].any()]
    products = [
        f"const V p{a}_{b} = "
        + " + ".join(
            f"{_number(path.coupling[a, b, o])} * g{o}" for o in np.flatnonzero(used[a, b])
        )
        + ";"
        for a, b in pairs
    ]
    body: list[str] = []
    for a in range(na):
        of_a = [b for first, b in pairs if first == a]
        if of_a:
            q = " + ".join(f"y[{path.y_at + b}] * p{a}_{b}" for b in of_a)
            body += [
                f"{{ const V xa = ld(x + {a * u}), q = {q}, wx = w * xa;",
                f"  gw += xa * q; st(gx + {a * u}, ld(gx + {a * u}) + w * q);",
                *(f"  gy{b} += wx * p{a}_{b};" for b in of_a),
                "}",
            ]
    orders = sorted({b for _, b in pairs})
    lane = {b: f"lane + {16 * (path.y_at + b)}" for b in orders}
    return f"""
    for (int u = 0; u < {u}; u += 16) {{
      const float* from = g_of + {path.out_at} + u * {no};
      V {", ".join(f"g{o}" for o in range(no))};
      for (int k = 0; k < 16; ++k) {{
{_lines((f"g{o}[k] = from[k * {no} + {o}];" for o in range(no)), 8)}
      }}
{_lines(products, 6)}
      for (long e = begin; e < end; ++e) {{
        const long at = source[e] * {dim} + {path.x_at} + u;
        const float* x = &xt[at];
        float* gx = &gxt[at];
        const float* y = harmonics + e * COMPONENTS;
        float* lane = &lanes[(e - begin) * LANES];
        const V w = spline(place[e].row + {path.w_at} + u, {weights}, place[e].h);
        const V dw = spline(place[e].row + {path.w_at} + u, {weights}, place[e].dh);
        V gw = {{}};
{_lines((f"V gy{b} = ld({lane[b]});" for b in orders), 8)}
{_lines(body, 8)}
{_lines((f"st({lane[b]}, gy{b});" for b in orders), 8)}
        st(lane + 16 * COMPONENTS, ld(lane + 16 * COMPONENTS) + gw * dw);
      }}
    }}"""


def source_of(product: Any) -> str:
    """C++ of the two passes of one convolution: `forward` and `backward`."""
    paths = paths_of(product)
    dim, out_dim = product.irreps_in1.dim, product.irreps_out.dim
    weights = sum(path.channels for path in paths)
    blocks = [
        (place.start, part.mul, part.ir.dim)
        for place, part in zip(product.irreps_in1.slices(), product.irreps_in1, strict=True)
    ]
    return f"""{_HEAD}
// Harmonics of an edge; and what its gradients take: a block for each, and one for the length.
static const long COMPONENTS = {product.irreps_in2.dim}, LANES = 16 * (COMPONENTS + 1);
// Most pairs of components of features and of messages that a path has.
static const long TURNED = {max((2 * p.orders[0] + 1) * (2 * p.orders[2] + 1) for p in paths)};

// e3nn keeps the components of a channel together; the loops want the channels of a component.
static void turn(long n_atoms, const float* from, float* to, bool back) {{
  static const int block[][3] = {{
    {", ".join(f"{{{at}, {mul}, {size}}}" for at, mul, size in blocks)}
  }};
  for (long n = 0; n < n_atoms; ++n)
    for (const auto& b : block)
      for (int u = 0; u < b[1]; ++u)
        for (int m = 0; m < b[2]; ++m) {{
          const long one = n * {dim} + b[0] + u * b[2] + m, other = n * {dim} + b[0] + m * b[1] + u;
          if (back) to[one] = from[other]; else to[other] = from[one];
        }}
}}

extern "C" void forward({_ARGUMENTS}, float* out) {{
  std::vector<Place> place;
  find(n_edges, length, table, knots, {weights}, first, step, place);
  std::vector<float> xt(n_atoms * {dim}), turned;
  turn(n_atoms, x_in, xt.data(), false);
  for (long n = 0; n < n_atoms; ++n) {{
    const long begin = start[n], end = start[n + 1];
    float* out_of = out + n * {out_dim};
    turned.resize((end - begin + 1) * TURNED);
{"".join(_forward_path(path, dim, weights) for path in paths)}
  }}
}}

extern "C" void backward({_ARGUMENTS}, const float* g_out, float* g_x, float* g_harmonics,
                         float* g_length) {{
  std::vector<Place> place;
  find(n_edges, length, table, knots, {weights}, first, step, place);
  std::vector<float> xt(n_atoms * {dim}), gxt(n_atoms * {dim}, 0.0f), lanes;
  turn(n_atoms, x_in, xt.data(), false);
  for (long n = 0; n < n_atoms; ++n) {{
    const long begin = start[n], end = start[n + 1];
    const float* g_of = g_out + n * {out_dim};
    lanes.assign((end - begin + 1) * LANES, 0.0f);
{"".join(_backward_path(path, dim, weights) for path in paths)}
    for (long e = begin; e < end; ++e) {{
      const float* lane = &lanes[(e - begin) * LANES];
      float* g_of_edge = g_harmonics + e * COMPONENTS;
      for (long b = 0; b < COMPONENTS; ++b) g_of_edge[b] = sum(ld(lane + 16 * b));
      g_length[e] = sum(ld(lane + 16 * COMPONENTS));
    }}
  }}
  turn(n_atoms, gxt.data(), g_x, true);
}}
"""


def compiled(source: str) -> ctypes.CDLL:
    """The library of a source, compiled once for this kind of processor, in the user's cache.

    As halmd.distill.loops does it, which this environment does not have.
    """
    compiler = os.environ.get("CXX", "c++")
    flags = [*_FLAGS, "-std=c++17", "-shared", "-fPIC"]
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    abilities = next((line for line in facts if line.startswith(("flags", "Features"))), "")
    key = hashlib.sha256("\n".join([source, abilities, *flags]).encode()).hexdigest()[:24]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "halmd" / "sevennet"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    library = root / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            text, made = Path(scratch) / "convolution.cpp", Path(scratch) / "convolution.so"
            text.write_text(source, encoding="utf-8")
            subprocess.run([compiler, *flags, str(text), "-o", str(made)], check=True)
            made.replace(library)
    return ctypes.CDLL(str(library))


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class _Convolve(torch.autograd.Function):
    """Messages summed over neighbours; differentiable once, in features, harmonics and lengths."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, harmonics: Tensor, lengths: Tensor, layer: Any, edges: Any):
        arrays = [x.contiguous(), harmonics.contiguous(), lengths.contiguous()]
        ctx.save_for_backward(*arrays)
        ctx.layer, ctx.edges = layer, edges
        out = torch.empty(len(x), layer.out_dim)
        layer.library.forward(*layer.arguments(arrays, edges), _pointer(out))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):
        if torch.is_grad_enabled():
            raise RuntimeError("quick SevenNet can be differentiated once only")
        x, harmonics, lengths = ctx.saved_tensors
        gradient = gradient.contiguous()
        found = [torch.empty_like(x), torch.empty_like(harmonics), torch.empty_like(lengths)]
        ctx.layer.library.backward(
            *ctx.layer.arguments([x, harmonics, lengths], ctx.edges),
            _pointer(gradient),
            *(_pointer(tensor) for tensor in found),
        )
        return (*found, None, None)


class QuickConvolution(torch.nn.Module):
    """Takes the place of a SevenNet convolution in its network."""

    def __init__(self, plain: Any, embedding: Any, cutoff_A: float):
        super().__init__()
        self.library = compiled(source_of(plain.convolution))
        self.out_dim = plain.convolution.irreps_out.dim
        self.denominator = float(plain.denominator)
        lengths = torch.arange(_FIRST_A, cutoff_A + 2 * _STEP_A, _STEP_A, dtype=torch.float64)
        basis, envelope = (
            copy.deepcopy(part).double()
            for part in (embedding.basis_function, embedding.cutoff_function)
        )
        network = copy.deepcopy(plain.weight_nn).double()

        def weights(r: Tensor) -> Tensor:
            # Beyond the cutoff the envelope would rise again.
            inside = r.clamp(max=cutoff_A)
            return network(basis(inside) * envelope(inside).unsqueeze(-1))

        with torch.enable_grad():
            values, slopes = torch.autograd.functional.jvp(
                weights, lengths, torch.ones_like(lengths)
            )
        table = torch.stack([values, slopes * _STEP_A], dim=1).float().contiguous()
        self.table = table.detach()

    def arguments(self, arrays: Sequence[Tensor], edges: Any) -> list[Any]:
        """What both passes are called with."""
        starts, sources = edges
        x, harmonics, lengths = arrays
        return [
            ctypes.c_long(len(x)),
            ctypes.c_long(len(lengths)),
            _pointer(starts),
            _pointer(sources),
            *(_pointer(tensor) for tensor in (x, harmonics, lengths, self.table)),
            ctypes.c_long(len(self.table)),
            ctypes.c_float(_FIRST_A),
            ctypes.c_float(_STEP_A),
        ]

    def forward(self, data: Any) -> Any:
        """Replace the features by the sums of the messages."""
        from sevenn import _keys as key

        x, index = data[key.NODE_FEATURE], data[key.EDGE_IDX]
        targets = index[0]
        if len(targets) and bool((targets[1:] < targets[:-1]).any()):
            raise ValueError("edges are not sorted by their target")
        counts = torch.bincount(targets, minlength=len(x))
        starts = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
        edges = (starts, index[1].contiguous())
        found = _Convolve.apply(x, data[key.EDGE_ATTR], data[key.EDGE_LENGTH], self, edges)
        data[key.NODE_FEATURE] = found / self.denominator
        return data


def quickened(plain: Any) -> Any:
    """A copy of a calculator of SevenNet's with its convolutions replaced."""
    quick = copy.copy(plain)
    quick.model = copy.deepcopy(plain.model)
    embedding = quick.model._modules["edge_embedding"]
    for name, module in list(quick.model._modules.items()):
        if name.endswith("_convolution"):
            quick.model._modules[name] = QuickConvolution(module, embedding, float(plain.cutoff))
    return quick


def calculator(**arguments: Any) -> Any:
    """SevenNetCalculator(**arguments), quickened; raises RuntimeError where it does not agree."""
    from sevenn.calculator import SevenNetCalculator

    plain = SevenNetCalculator(**{"device": "cpu", **arguments})
    quick = quickened(plain)
    energy, force, stress = differences(_specimen(), plain, quick)
    # Written so that what is no number is refused.
    agrees = (
        energy <= _AGREE_EV_PER_ATOM
        and force <= _AGREE_EV_PER_A
        and stress <= _AGREE_STRESS_EV_PER_A3
    )
    if not agrees:
        raise RuntimeError(
            f"quick SevenNet differs from SevenNet by {energy:.1e} eV/atom, {force:.1e} eV/Å, "
            f"{stress:.1e} eV/Å³"
        )
    return quick


def _specimen() -> Atoms:
    """A small crystal without symmetry, of four species."""
    atoms = bulk("LiCl", "rocksalt", a=5.2, cubic=True)
    atoms.symbols[2], atoms.symbols[5] = "Y", "Br"
    atoms.positions += np.random.default_rng(0).normal(0.0, 0.15, (len(atoms), 3))
    return atoms


def differences(atoms: Atoms, one: Any, other: Any) -> tuple[float, float, float]:
    """Largest differences: energy per atom (eV), forces (eV/Å), stress (eV/Å³)."""
    results = []
    for each in (one, other):
        each.calculate(atoms, ["energy"], all_changes)
        results.append(dict(each.results))
    first, second = results
    return (
        abs(first["energy"] - second["energy"]) / len(atoms),
        float(np.abs(first["forces"] - second["forces"]).max()),
        float(np.abs(first["stress"] - second["stress"]).max()),
    )


def main() -> None:
    """Time both on a crystal."""
    import ase.io
    from sevenn.calculator import SevenNetCalculator

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("crystal", type=Path, nargs="?", help="any file ASE reads")
    parser.add_argument("--model", default="7net-l3i5")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    atoms = ase.io.read(arguments.crystal) if arguments.crystal else _specimen().repeat(2)
    plain = SevenNetCalculator(model=arguments.model, device="cpu")
    quick = calculator(model=arguments.model)
    print(f"{len(atoms)} atoms, one thread")
    print(
        "differences: {:.1e} eV/atom, {:.1e} eV/Å, {:.1e} eV/Å³".format(
            *differences(atoms, plain, quick)
        )
    )
    seconds = []
    for name, each in (("SevenNet", plain), ("quick", quick)):
        times = []
        for _ in range(6):
            began = time.perf_counter()
            each.calculate(atoms, ["energy"], all_changes)
            times.append(time.perf_counter() - began)
        seconds.append(float(np.median(times[1:])))
        print(f"{name:10} {1000 * seconds[-1]:8.1f} ms  ratio {seconds[-1] / seconds[0]:.4f}")
    print(f"{seconds[0] / seconds[1]:.1f} times faster")


if __name__ == "__main__":
    main()
