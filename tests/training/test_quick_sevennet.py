"""The generated loops of the quick teacher against e3nn's own tensor product, on random edges."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
]
torch = pytest.importorskip("torch")
pytest.importorskip("mace")

from halmd.distill import network  # noqa: E402, F401  (sets what e3nn needs to be imported)

o3 = pytest.importorskip("e3nn.o3")

FILE = Path(__file__).parents[2] / "training" / "quick_sevennet.py"
STEP_A, FIRST_A, LAST_A = 0.02, 0.2, 5.0


@pytest.fixture(scope="module")
def quick() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quick_sevennet", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def product_of(features: str, out: str, lmax: int = 3) -> Any:
    """A tensor product of kind uvu with harmonics up to lmax, as SevenNet builds them."""
    edge = o3.Irreps.spherical_harmonics(lmax, 1)
    first, wanted = o3.Irreps(features), o3.Irreps(out)
    parts, paths = [], []
    for i, (channels, one) in enumerate(first):
        for j, (_, other) in enumerate(edge):
            for result in one * other:
                if result in wanted:
                    paths.append((i, j, len(parts), "uvu", True))
                    parts.append((channels, result))
    irreps, places, _ = o3.Irreps(parts).sort()
    paths = sorted(((i, j, places[k], *rest) for i, j, k, *rest in paths), key=lambda p: p[2])
    return o3.TensorProduct(
        first, edge, irreps, paths, shared_weights=False, internal_weights=False
    )


def weights_at(lengths: Any, count: int) -> Any:
    """Smooth functions of the length that a spline can follow."""
    order = torch.arange(count, dtype=lengths.dtype)
    return torch.sin(lengths[:, None] * (0.5 + 0.01 * order) + order)


@pytest.mark.parametrize(
    ("features", "out", "lmax"),
    [
        ("32x0e", "32x0e+16x1e+16x2e+16x3e", 3),
        ("32x0e+16x1e+16x2e+16x3e", "32x0e+16x1e+16x2e+16x3e", 3),
        ("16x0e+32x1e+16x2e", "16x0e", 3),
        ("16x0e+16x1e+16x2e", "16x0e+16x1e+16x2e", 2),
        ("16x0e+16x1e", "16x0e+16x1e+16x4e", 4),
    ],
)
def test_sums_and_gradients_are_those_of_e3nn(
    quick: ModuleType, features: str, out: str, lmax: int
) -> None:
    torch.manual_seed(3)
    product = product_of(features, out, lmax)
    atoms, count = 5, product.weight_numel
    targets = torch.tensor(sorted([0, 0, 0, 1, 1, 3, 3, 3, 3, 4]))  # atom 2 has no neighbour
    sources = torch.randint(0, atoms, (len(targets),))
    x = torch.randn(atoms, product.irreps_in1.dim, requires_grad=True)
    lengths = (2.0 + 2.9 * torch.rand(len(targets))).requires_grad_(True)
    directions = torch.nn.functional.normalize(torch.randn(len(targets), 3), dim=1)
    harmonics = o3.spherical_harmonics(
        product.irreps_in2, directions, True, normalization="component"
    ).requires_grad_(True)

    messages = product(x[sources], harmonics, weights_at(lengths, count))
    wanted = torch.zeros(atoms, product.irreps_out.dim).index_add(0, targets, messages)
    along = torch.randn(wanted.shape)
    wanted_gradients = torch.autograd.grad((wanted * along).sum(), [x, harmonics, lengths])

    knots = torch.arange(FIRST_A, LAST_A + 2 * STEP_A, STEP_A, dtype=torch.float64)
    values, slopes = torch.autograd.functional.jvp(
        lambda r: weights_at(r, count), knots, torch.ones_like(knots)
    )
    layer = quick.QuickConvolution.__new__(quick.QuickConvolution)
    torch.nn.Module.__init__(layer)
    layer.library = quick.compiled(quick.source_of(product))
    layer.out_dim = product.irreps_out.dim
    layer.table = torch.stack([values, slopes * STEP_A], 1).float().contiguous()
    starts = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(targets).cumsum(0)])
    found = quick._Convolve.apply(x, harmonics, lengths, layer, (starts, sources))
    gradients = torch.autograd.grad((found * along).sum(), [x, harmonics, lengths])

    assert float(wanted.detach().abs().max()) > 1.0
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert float(found[2].detach().abs().max()) == 0.0
    for ours, theirs in zip(gradients, wanted_gradients, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * scale)


def test_what_the_loops_cannot_do_is_refused(quick: ModuleType) -> None:
    with pytest.raises(ValueError, match="12 channels"):
        quick.paths_of(product_of("12x0e", "12x0e"))
    mixed = o3.FullyConnectedTensorProduct("16x0e", "1x0e", "16x0e")
    with pytest.raises(ValueError, match="uvw"):
        quick.paths_of(mixed)


def test_a_calculator_that_differs_is_not_handed_out(
    quick: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = ModuleType("sevenn.calculator")
    fake.SevenNetCalculator = lambda **_: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sevenn", ModuleType("sevenn"))
    monkeypatch.setitem(sys.modules, "sevenn.calculator", fake)
    monkeypatch.setattr(quick, "quickened", lambda plain: plain)
    good = (1e-7, 1e-5, 1e-7)
    bad = [(1e-3, *good[1:]), (good[0], 1e-2, good[2]), (*good[:2], 1e-3), (np.nan,) * 3]
    for found, refused in ((good, False), *((each, True) for each in bad)):
        monkeypatch.setattr(quick, "differences", lambda *_, found=found: found)
        if refused:
            with pytest.raises(RuntimeError, match="differs from SevenNet"):
                quick.calculator()
        else:
            assert quick.calculator() is not None
    assert np.isfinite(quick._specimen().positions).all()
