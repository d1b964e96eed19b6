"""Compiled loops of `quick_mace`: `kernels.cpp`, and what a network's constants make of it."""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from e3nn.o3._spherical_harmonics import _spherical_harmonics
from torch import Tensor

from halmd.distill.plain_mace import Constants, Contraction, Convolution

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
"""Not -ffast-math, which would make the whole process flush subnormal numbers to zero."""

_NOTHING = 1e-9
_HARMONICS_AT = (0, 1, 4, 9)
"""First component of l = 0, 1, 2, 3."""

_KERNELS = Path(__file__).with_name("kernels.cpp")


def compiler() -> str:
    """The C++ compiler to call, which may not be there."""
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


def pairs_of(contraction: Contraction) -> list[tuple[int, int]]:
    """Components and monomials (numbered through all degrees) that have a coefficient."""
    found, first = [], 0
    for part in contraction.degrees:
        count = len(part.factors)
        used = (part.coefficients.reshape(contraction.components, -1, count).abs() > _NOTHING).any(
            1
        )
        found += [(int(c), first + int(k)) for c, k in used.nonzero().tolist()]
        first += count
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


def _contraction_source(number: int, contraction: Contraction) -> str:
    """C++ of sums of monomials of 16 components with weights for each species and channel.

    `contract_<number>` and its `_back`; for each of `pairs_of` there is a weight.
    """
    monomials = [tuple(row) for part in contraction.degrees for row in part.factors.tolist()]
    pairs = pairs_of(contraction)
    forward: list[str] = []
    back: list[str] = []
    for k, factors in enumerate(monomials):
        mine = [(place, c) for place, (c, monomial) in enumerate(pairs) if monomial == k]
        product = " * ".join(f"a{i}" for i in factors)
        forward.append(f"{{ const V m = {product};")
        forward += [f"  out{c} += ld(w + {place} * channels) * m;" for place, c in mine]
        forward.append("}")
        slope = " + ".join(f"g{c} * ld(w + {place} * channels)" for place, c in mine)
        back.append(f"{{ const V t = {slope};")
        if len(factors) == 3:
            i, j, m = factors
            back.append(f"  const V b = a{i} * a{j}, s = t * a{m};")
            back.append(f"  d{i} += s * a{j}; d{j} += s * a{i}; d{m} += t * b;")
            product = f"b * a{m}"
        elif len(factors) == 2:
            i, j = factors
            back.append(f"  d{i} += t * a{j}; d{j} += t * a{i};")
        else:
            back.append(f"  d{factors[0]} += t;")
        back.append(f"  if (gw) {{ const V m = {product};")
        back += [f"    add(gw + {place} * channels, g{c} * m);" for place, c in mine]
        back.append("  } }")
    each = range(contraction.components)
    size = contraction.components
    loads = " ".join(f"const V a{k} = ld(x + {k} * channels);" for k in range(16))
    return f"""
extern "C" void contract_{number}(long atoms, long channels, const float* xs, const float* weights,
                                  const long* species, float* to) {{
  for (long n = 0; n < atoms; ++n) for (long u = 0; u < channels; u += W) {{
    const float* x = xs + n * 16 * channels + u;
    const float* w = weights + species[n] * {len(pairs)} * channels + u;
    {loads}
    {" ".join(f"V out{c} = {{}};" for c in each)}
{_lines(forward, 4)}
    {" ".join(f"st(to + (n * {size} + {c}) * channels + u, out{c});" for c in each)}
  }}
}}
extern "C" void contract_{number}_back(long atoms, long channels, const float* xs,
                                       const float* weights, const long* species, const float* gs,
                                       float* gxs, float* gweights) {{
  for (long n = 0; n < atoms; ++n) for (long u = 0; u < channels; u += W) {{
    const float* x = xs + n * 16 * channels + u;
    float* gx = gxs + n * 16 * channels + u;
    const long of_species = species[n] * {len(pairs)} * channels + u;
    const float* w = weights + of_species;
    float* gw = gweights ? gweights + of_species : nullptr;
    {" ".join(f"const V g{c} = ld(gs + (n * {size} + {c}) * channels + u);" for c in each)}
    {loads}
    {" ".join(f"V d{k} = {{}};" for k in range(16))}
{_lines(back, 4)}
    {" ".join(f"st(gx + {k} * channels, d{k});" for k in range(16))}
  }}
}}
"""


def components_of(path: Convolution) -> slice:
    """Components of the features of a neighbour, scalars before vectors, that a path takes."""
    return slice(1, 4) if path.of_vectors else slice(0, 1)


def _mixed_source(paths: Sequence[Convolution]) -> str:
    """C++ of the sums over neighbours with scalars and vectors: `sum_mixed`, `sum_mixed_back`.

    Components of what comes out are those of the paths, one path after the other.
    """
    out = sum(2 * path.order + 1 for path in paths)
    forward, back, at = [], [], 0
    for number, path in enumerate(paths):
        forward.append(_mixed_path(number, path, at, out))
        back.append(_mixed_path_back(number, path, at, out))
        at += 2 * path.order + 1
    arguments = """long atoms, long width, long channels, const float* vectors,
    const long* neighbours, const float* features, const float* at, long knots, float first,
    float step, float cutoff"""
    return f"""
extern "C" void sum_mixed({arguments}, float* out) {{
  const Table table = {{at, knots, {len(paths)} * channels, first, step}};
  std::vector<Edge> edges;
  std::vector<float> turned;
  for (long n = 0; n < atoms; ++n) {{
    edges_of(n, width, vectors, neighbours, cutoff, table, edges);
    const long count = (long)edges.size();
    turned.resize((count + 1) * 21);
{"".join(forward)}
  }}
}}
extern "C" void sum_mixed_back({arguments}, const float* g_out, float* g_features,
                               float* g_vectors, float* g_table) {{
  const Table table = {{at, knots, {len(paths)} * channels, first, step}};
  std::vector<Edge> edges;
  std::vector<float> lanes;
  for (long n = 0; n < atoms; ++n) {{
    edges_of(n, width, vectors, neighbours, cutoff, table, edges);
    const long count = (long)edges.size();
    if (g_vectors) lanes.assign((count + 1) * 17 * W, 0.0f);
{"".join(back)}
    if (g_vectors) vectors_back(edges, lanes.data(), g_vectors);
  }}
}}
"""


def _mixed_path(number: int, path: Convolution, at: int, out: int) -> str:
    coupling = path.coupling.double().numpy()
    first = _HARMONICS_AT[path.harmonics]
    na, _, no = coupling.shape
    turned: list[str] = []
    terms: dict[int, list[str]] = {o: [] for o in range(no)}
    for a in range(na):
        for o in range(no):
            parts = [
                f"{coupling[a, b, o]:.9e}f * y[{first + b}]"
                for b in np.flatnonzero(np.abs(coupling[a, :, o]) > _NOTHING)
            ]
            if parts:
                terms[o].append(f"t[{len(turned)}] * x{a}")
                turned.append(" + ".join(parts))
    x_at = components_of(path).start
    return f"""
    for (long e = 0; e < count; ++e) {{
      const float* y = edges[e].y;
      float* t = &turned[e * 21];
{_lines((f"t[{k}] = {text};" for k, text in enumerate(turned)), 6)}
    }}
    for (long u = 0; u < channels; u += W) {{
      {" ".join(f"V acc{o} = {{}};" for o in range(no))}
      for (long e = 0; e < count; ++e) {{
        const float* x = features + (edges[e].to * 4 + {x_at}) * channels + u;
        const float* t = &turned[e * 21];
{_lines((f"const V x{a} = ld(x + {a} * channels);" for a in range(na)), 8)}
        const float* f = at + edges[e].knot * 2 * table.row + {number} * channels + u;
        const V w = spline(f, table.row, edges[e].h);
{_lines((f"acc{o} += w * ({' + '.join(terms[o])});" for o in range(no) if terms[o]), 8)}
      }}
      float* to = out + (n * {out} + {at}) * channels + u;
{_lines((f"st(to + {o} * channels, acc{o});" for o in range(no)), 6)}
    }}"""


def _mixed_path_back(number: int, path: Convolution, at: int, out: int) -> str:
    coupling = path.coupling.double().numpy()
    first = _HARMONICS_AT[path.harmonics]
    na, nb, no = coupling.shape
    used = np.abs(coupling) > _NOTHING
    pairs = [(a, b) for a in range(na) for b in range(nb) if used[a, b].any()]
    products = []
    for a, b in pairs:
        terms = [f"{coupling[a, b, o]:.9e}f * g{o}" for o in np.flatnonzero(used[a, b])]
        products.append(f"const V p{a}_{b} = {' + '.join(terms)};")
    body: list[str] = []
    of_y: dict[int, list[str]] = {b: [] for _, b in pairs}
    for a in range(na):
        of_a = [b for one, b in pairs if one == a]
        if of_a:
            q = " + ".join(f"y[{first + b}] * p{a}_{b}" for b in of_a)
            body += [
                f"const V x{a} = ld(x + {a} * channels), q{a} = {q};",
                f"gw += x{a} * q{a};",
                f"add(gx + {a} * channels, w * q{a});",
            ]
            for b in of_a:
                of_y[b].append(f"x{a} * p{a}_{b}")
    lanes = [
        f"add(lane + {first + b} * W, w * ({' + '.join(terms)}));" for b, terms in of_y.items()
    ]
    x_at = components_of(path).start
    return f"""
    for (long u = 0; u < channels; u += W) {{
      const float* from = g_out + (n * {out} + {at}) * channels + u;
{_lines((f"const V g{o} = ld(from + {o} * channels);" for o in range(no)), 6)}
{_lines(products, 6)}
      for (long e = 0; e < count; ++e) {{
        const long place = (edges[e].to * 4 + {x_at}) * channels + u;
        const float* x = features + place;
        float* gx = g_features + place;
        const float* y = edges[e].y;
        const long knot = edges[e].knot * 2 * table.row + {number} * channels + u;
        const V w = spline(at + knot, table.row, edges[e].h);
        V gw = {{}};
{_lines(body, 8)}
        if (g_table)
          for (int c = 0; c < 4; ++c) add(g_table + knot + c * table.row, edges[e].h[c] * gw);
        if (g_vectors) {{
          float* lane = &lanes[e * 17 * W];
{_lines(lanes, 10)}
          add(lane + 16 * W, gw * spline(at + knot, table.row, edges[e].dh));
        }}
      }}
    }}"""


def _lines(texts: Iterable[str], indent: int) -> str:
    return "\n".join(" " * indent + text for text in texts)


@cache
def _library(source: str) -> ctypes.CDLL:
    """The compiled source; kept in the user's cache, by its content and the kind of processor."""
    flags = [*_FLAGS, "-std=c++17", "-shared", "-fPIC"]
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    abilities = next((line for line in facts if line.startswith(("flags", "Features"))), "")
    key = hashlib.sha256("\n".join([source, abilities, *flags]).encode()).hexdigest()[:24]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "halmd" / "kernels"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = root / f"{key}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            text, made = Path(scratch) / "kernels.cpp", Path(scratch) / "kernels.so"
            text.write_text(source, encoding="utf-8")
            subprocess.run([compiler(), *flags, str(text), "-o", str(made)], check=True)
            made.replace(target)
    return ctypes.CDLL(str(target))


def library_of(c: Constants) -> ctypes.CDLL:
    """The compiled loops for networks with these constants, with vectors or without."""
    first, *_ = c.contractions[0]
    if any(pairs_of(layer[0]) != pairs_of(first) for layer in c.contractions):
        raise ValueError("the layers have different contractions")
    if [path.order for path in c.convolutions[0]] != [0, 1, 2, 3]:
        raise ValueError("the first layer is not of scalars with harmonics of l = 0, 1, 2, 3")
    parts = [_KERNELS.read_text(encoding="utf-8"), _harmonics_source(c.norms)]
    parts += [_contraction_source(n, part) for n, part in enumerate(c.contractions[0])]
    if len(c.contractions[0]) > 1:
        parts.append(_mixed_source(c.convolutions[1]))
    return _library("".join(parts))
