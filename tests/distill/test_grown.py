"""A student with vectors that begins as one of scalars computes the same."""

from functools import cache
from typing import Any

import pytest
from toy_cells import labelled, rattled_cells

from halmd.distill.settings import StudentSettings

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("mace")

from halmd.distill import network, plain_mace  # noqa: E402
from halmd.distill.grown import grown  # noqa: E402

ELEMENTS = ("Cl", "Li", "Y", "Zr")
VECTORS = "16x0e + 16x1o"


@cache
def student(seed: int, irreps: str = "16x0e", r_max_A: float = 4.5, depth: int = 2) -> Any:
    """A network whose parts all matter."""
    changes = {"hidden_irreps": irreps, "r_max_A": r_max_A, "radial": (16,) * depth}
    model = network.build(StudentSettings.model_validate(changes), ELEMENTS, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def values(model: Any) -> dict[str, Any]:
    return {name: p.detach() for name, p in model.named_parameters()}


def from_small_to(large: Any, small: Any) -> dict[str, Any]:
    constants = [plain_mace.constants_of(model) for model in (small, large)]
    return grown(values(small), *constants, values(large))


def test_it_begins_as_the_same_function() -> None:
    small, large = student(1), student(2, VECTORS)
    p = from_small_to(large, small)
    assert {name: x.shape for name, x in p.items()} == {
        name: x.shape for name, x in values(large).items()
    }
    for atoms in rattled_cells(3, seed=5):
        batch = network.bare_batch(labelled(atoms).atoms, ELEMENTS, 4.5)
        before = network.energy_function(small)(values(small), batch, batch[0])
        after = network.energy_function(large)(p, batch, batch[0])
        own = network.energy_function(large)(values(large), batch, batch[0])
        assert float((after - before).abs().max()) < 1e-5 * float(before.abs().max())
        assert float((own - before).abs().max()) > 1e-2 * float(before.abs().max())


def test_what_is_new_learns_from_the_first_step() -> None:
    small, large = student(1), student(2, VECTORS)
    p = {name: x.clone().requires_grad_(True) for name, x in from_small_to(large, small).items()}
    batch = network.bare_batch(rattled_cells(1, seed=5)[0], ELEMENTS, 4.5)
    mixing = p["interactions.1.linear.weight"]
    energy = network.energy_function(large)(p, batch, batch[0]).sum()
    (gradient,) = torch.autograd.grad(energy, mixing)
    new = (mixing == 0).reshape(-1, 16, 16).all((1, 2))
    assert int(new.sum()) == len(plain_mace.constants_of(large).convolutions[1]) - 4
    assert bool((gradient.reshape(-1, 16, 16)[new].abs().amax((1, 2)) > 0).all())


@pytest.mark.parametrize("changes", [{"depth": 3}, {"irreps": "32x0e"}, {"r_max_A": 5.0}])
def test_another_shape_is_refused(changes: dict[str, Any]) -> None:
    large = student(2, VECTORS)
    with pytest.raises(ValueError, match="another shape"):
        from_small_to(large, student(1, **changes))
