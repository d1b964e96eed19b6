"""The compiled loops against the written-out network, which is itself tested against mace-torch."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_cells import labelled, rattled_cells

from halmd.distill.graphs import Capacity, Graph, graph, pack, rooms_for_neighbours
from halmd.distill.settings import StudentSettings

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("mace")

from halmd.distill import network, plain_mace, quick_mace  # noqa: E402
from halmd.distill.loops import compiler  # noqa: E402

ELEMENTS = ("Cl", "Li", "Y", "Zr")
WEIGHTS = network.Weights(10.0, 1.0, 20.0, 1e-3, 0.02, 1e-4)
R_MAX_A = 4.5

HAS_LOOPS = shutil.which(compiler()) is not None and Path("/proc/cpuinfo").exists()
needs_compiler = pytest.mark.skipif(not HAS_LOOPS, reason="no C++ compiler")


def student(irreps: str = "32x0e", radial: tuple[int, ...] = (16, 16)) -> Any:
    """A network whose parts all matter: fresh weights leave the readout at nearly nothing."""
    shape = StudentSettings(hidden_irreps=irreps, radial=radial, r_max_A=R_MAX_A)
    model = network.build(shape, ELEMENTS, seed=4)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def batch_of(seed: int = 0, count: int = 4) -> list[Any]:
    free = dict.fromkeys(ELEMENTS, -1.0)
    graphs: list[Graph] = [
        graph(labelled(atoms), free, ELEMENTS, R_MAX_A) for atoms in rattled_cells(count, seed)
    ]
    atoms = sum(len(g.species) for g in graphs) + 5
    room = Capacity(atoms, max(rooms_for_neighbours(R_MAX_A)) + 4, len(graphs) + 2)
    return network.to_tensors(pack(graphs, room, R_MAX_A))


def parts_of(model: Any) -> tuple[quick_mace.Quick, list[str], list[Any]]:
    parameters = [p.detach().clone().requires_grad_(True) for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    return quick_mace.Quick(plain_mace.constants_of(model)), names, parameters


def close(found: Any, wanted: Any, share: float) -> bool:
    found, wanted = found.detach(), wanted.detach()
    return float((found - wanted).abs().max()) <= share * float(wanted.abs().max())


@needs_compiler
@pytest.mark.parametrize("irreps", ["16x0e", "48x0e", "16x0e + 16x1o", "32x0e + 32x1o"])
def test_energies_forces_and_stresses_are_the_same(irreps: str) -> None:
    model = student(irreps)
    quick, names, parameters = parts_of(model)
    p = dict(zip(names, parameters, strict=True))
    batch = batch_of()
    wanted = network.predict(network.energy_function(model), p, batch, differentiable=False)
    found = network.predict(network.quick_energies(quick), p, batch, differentiable=False)
    for name, a, b in zip(("energy", "forces", "stress"), found, wanted, strict=True):
        assert float(b.abs().max()) > 1e-4, name
        assert close(a, b, 5e-4), name


@needs_compiler
def test_an_edge_at_the_cutoff_or_very_short_does_no_harm() -> None:
    model = student()
    quick, names, parameters = parts_of(model)
    p = {name: value.detach() for name, value in zip(names, parameters, strict=True)}
    batch = batch_of()
    lengths = batch[0].norm(dim=-1)
    for length in (R_MAX_A, R_MAX_A - 1e-5, 0.41):
        vectors = batch[0].clone()
        place = tuple((lengths < R_MAX_A).nonzero()[3])
        vectors[place] *= length / vectors[place].norm()
        changed = [vectors, *batch[1:]]
        wanted = network.predict(network.energy_function(model), p, changed, differentiable=False)
        found = network.predict(network.quick_energies(quick), p, changed, differentiable=False)
        assert all(close(a, b, 5e-4) for a, b in zip(found, wanted, strict=True)), length


@needs_compiler
@pytest.mark.parametrize(
    ("irreps", "radial"),
    [("32x0e", (16, 16)), ("16x0e", (64, 64, 64)), ("16x0e + 16x1o", (16, 16))],
)
def test_the_gradient_is_that_of_the_loss_differentiated_twice(
    irreps: str, radial: tuple[int, ...]
) -> None:
    model = student(irreps, radial)
    quick, names, parameters = parts_of(model)
    batch = batch_of(seed=3)
    plain = network.training_step(network.energy_function(model), names, WEIGHTS)
    loss, *wanted = plain(parameters, batch)
    same, *found = network.quick_step(quick, names, WEIGHTS)(parameters, batch)
    assert float(same) == pytest.approx(float(loss), rel=1e-5)
    for name, a, b in zip(names, found, wanted, strict=True):
        error = float((a - b).norm() / b.norm())
        assert error < 3e-3, f"{name}: {error:.1e}"


@needs_compiler
@pytest.mark.parametrize("irreps", ["32x0e", "16x0e + 16x1o"])
def test_forces_are_slopes_of_the_energy(irreps: str) -> None:
    """By itself: of a spline and polynomials, the derivative must be exact, not only near."""
    quick, names, parameters = parts_of(student(irreps))
    ready = quick.ready({k: v.detach() for k, v in zip(names, parameters, strict=True)})
    batch = batch_of(seed=5)
    vectors = batch[0].clone().requires_grad_(True)
    energy = quick.energies(ready, vectors, batch[1], batch[2]).sum()
    (slope,) = torch.autograd.grad(energy, vectors)
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=vectors.shape)).float()
    direction *= (batch[0].norm(dim=-1) < R_MAX_A - 0.1)[..., None]
    h = 2e-3
    with torch.no_grad():
        ahead, behind = (
            quick.energies(ready, batch[0] + sign * h * direction, batch[1], batch[2]).double()
            for sign in (1, -1)
        )
    expected = float((ahead - behind).sum() / (2 * h))
    assert float((slope * direction).sum()) == pytest.approx(expected, rel=2e-3)


@needs_compiler
def test_differentiating_twice_is_refused() -> None:
    """The loops have first derivatives only: a second one would silently be nothing."""
    quick, names, parameters = parts_of(student("16x0e"))
    step = network.training_step(network.quick_energies(quick), names, WEIGHTS)
    with pytest.raises(RuntimeError, match="once only"):
        step(parameters, batch_of())


def test_odd_numbers_of_channels_are_left_to_the_network_itself() -> None:
    for irreps, fits in (("16x0e", True), ("16x0e + 16x1o", True), ("8x0e", False)):
        shape = StudentSettings(hidden_irreps=irreps, r_max_A=R_MAX_A)
        constants = plain_mace.constants_of(network.build(shape, ELEMENTS))
        assert quick_mace.possible(constants) == (fits and HAS_LOOPS)


def test_without_a_compiler_it_is_not_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = StudentSettings(hidden_irreps="16x0e", r_max_A=R_MAX_A)
    constants = plain_mace.constants_of(network.build(shape, ELEMENTS))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not quick_mace.possible(constants)
