"""Compiled loops of `quick_mace`: `kernels.cpp`, and what a network's constants make of it."""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from e3nn.o3._spherical_harmonics import _spherical_harmonics
from torch import Tensor

from halmd.distill.plain_mace import Constants, Contraction

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
"""Not -ffast-math, which would make the whole process flush subnormal numbers to zero."""

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
    """The compiled loops for networks with these constants."""
    monomials = _monomials(c.contractions[0][0])
    if any(_monomials(layer[0]) != monomials for layer in c.contractions):
        raise ValueError("the layers have different contractions")
    if any([p.order for p in layer] != [0, 1, 2, 3] for layer in c.convolutions):
        raise ValueError("the convolutions are not of scalars with harmonics of l = 0, 1, 2, 3")
    parts = (
        _KERNELS.read_text(encoding="utf-8"),
        _harmonics_source(c.norms),
        _contraction_source(monomials),
    )
    return _library("".join(parts))
