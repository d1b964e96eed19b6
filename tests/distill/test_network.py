"""The student's network against mace-torch's own calculator, and its gradients."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation
from toy_cells import labelled, rattled_cells

from halmd.distill.graphs import Capacity, Graph, graph, pack, rooms_for_neighbours
from halmd.distill.label import Labelled
from halmd.distill.settings import StudentSettings

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("mace")

from halmd.distill import network, plain_mace  # noqa: E402

ELEMENTS = ("Cl", "Li", "Y", "Zr")
FREE_EV = {"Cl": -1.5, "Li": -0.5, "Y": 3.0, "Zr": 0.0}
WEIGHTS = network.Weights(10.0, 1.0, 20.0, 1e-3, 0.02, 1e-4)
R_MAX_A = 4.5
SHIFT = 1e-6
# Scalars are written out, vectors go through mace-torch's own modules.
SHAPES = ["4x0e", "4x0e + 4x1o"]


def shape(irreps: str = "4x0e") -> StudentSettings:
    return StudentSettings(hidden_irreps=irreps, radial=[8], r_max_A=R_MAX_A)


def student(irreps: str = "4x0e", seed: int = 3) -> Any:
    return network.build(shape(irreps), ELEMENTS, seed=seed)


def graphs_of(entries: Sequence[Labelled]) -> list[Graph]:
    return [graph(entry, FREE_EV, ELEMENTS, R_MAX_A) for entry in entries]


def batch_of(graphs: Sequence[Graph], dtype: Any = torch.float32) -> list[Any]:
    # A little more room than they need: padding is part of what is tested.
    atoms = sum(len(g.species) for g in graphs) + 3
    room = Capacity(atoms, max(rooms_for_neighbours(R_MAX_A)) + 4, len(graphs) + 2)
    tensors = network.to_tensors(pack(graphs, room, R_MAX_A))
    return [t.to(dtype) if t.is_floating_point() else t for t in tensors]


def predicted(model: Any, irreps: str, frames: Sequence[Atoms]) -> list[tuple[float, Any, Any]]:
    """Energy per atom, forces, stress of each frame, free atoms and repulsion taken off."""
    batch = batch_of(graphs_of([labelled(atoms) for atoms in frames]))
    energies = network.energy_function(model)
    parameters = dict(model.named_parameters())
    energy, forces, stress = (
        values.detach().numpy()
        for values in network.predict(energies, parameters, batch, differentiable=False)
    )
    ends = np.cumsum([len(atoms) for atoms in frames])
    split = np.split(forces[: ends[-1]], ends[:-1])
    return [(float(energy[k]), split[k], stress[k]) for k in range(len(frames))]


@pytest.mark.parametrize("irreps", SHAPES)
def test_prediction_is_that_of_mace_torch(tmp_path: Path, irreps: str) -> None:
    """Labels by the saved model itself are what the network it was saved from predicts."""
    from mace.calculators import MACECalculator

    model = student(irreps)
    path = tmp_path / "student.model"
    network.save_portable(path, shape(irreps), ELEMENTS, dict(model.named_parameters()), FREE_EV)
    judge = MACECalculator(model_paths=str(path), device="cpu", default_dtype="float64")
    frames = rattled_cells(4)
    entries = []
    for atoms in frames:
        judged = atoms.copy()
        judged.calc = judge
        energy = float(judged.get_potential_energy())
        entries.append(Labelled(atoms, energy, judged.get_forces(), judged.get_stress()))
    wanted = network.without_repulsion(graphs_of(entries), model)
    for g, (energy, forces, stress) in zip(wanted, predicted(model, irreps, frames), strict=True):
        scale = max(float(np.abs(g.forces_eV_per_A).max()), 1.0)
        assert energy == pytest.approx(g.energy_eV / len(g.species), rel=1e-5, abs=2e-5)
        assert np.abs(forces - g.forces_eV_per_A).max() < 1e-4 * scale
        assert np.abs(stress - g.stress_eV_per_A3).max() < 1e-4 * max(
            float(np.abs(g.stress_eV_per_A3).max()), 0.01
        )


@pytest.mark.parametrize("irreps", SHAPES)
def test_room_for_absent_elements_can_be_taken_away(tmp_path: Path, irreps: str) -> None:
    from mace.calculators import MACECalculator

    parameters = dict(student(irreps).named_parameters())
    (atoms,) = rattled_cells(1)
    found = []
    for name, kept in (("all", None), ("three", ["Cl", "Li", "Y"])):
        path = tmp_path / f"{name}.model"
        network.save_portable(path, shape(irreps), ELEMENTS, parameters, FREE_EV, kept=kept)
        atoms.calc = MACECalculator(model_paths=str(path), device="cpu", default_dtype="float64")
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert np.abs(found[0][1]).max() > 1e-3
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=0, atol=1e-7)


def test_repulsion_is_taken_off_where_ions_touch() -> None:
    atoms = rattled_cells(1)[0]
    vector = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[1] = atoms.positions[0] + 0.9 * vector / np.linalg.norm(vector)
    nothing = Labelled(atoms, 0.0, np.zeros((len(atoms), 3)), np.zeros(6))
    (before,) = graphs_of([nothing])
    (after,) = network.without_repulsion([before], student())
    assert after.energy_eV < before.energy_eV - 1.0
    # What is taken off pushes the two apart.
    assert after.forces_eV_per_A[0] @ vector > 1.0
    assert after.forces_eV_per_A[1] @ vector < -1.0
    assert np.abs(after.forces_eV_per_A.sum(axis=0)).max() < 1e-3


@pytest.mark.parametrize("irreps", SHAPES)
def test_motion_of_the_whole_crystal_changes_nothing_else(irreps: str) -> None:
    model = student(irreps)
    atoms = rattled_cells(2)[1]
    turn = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix()
    moved, turned = atoms.copy(), atoms.copy()
    moved.positions += [1.3, -0.2, 7.7]
    moved.wrap()
    turned.set_cell(atoms.cell @ turn.T, scale_atoms=True)
    (energy, forces, stress), shifted, rotated = predicted(model, irreps, [atoms, moved, turned])
    scale = max(np.abs(forces).max(), 1.0)
    assert shifted[0] == pytest.approx(energy, rel=1e-5, abs=1e-6)
    assert np.abs(shifted[1] - forces).max() < 1e-4 * scale
    assert rotated[0] == pytest.approx(energy, rel=1e-5, abs=1e-6)
    assert np.abs(rotated[1] - forces @ turn.T).max() < 1e-4 * scale
    assert np.abs(rotated[2] - turn @ stress @ turn.T).max() < 1e-4 * scale
    assert np.abs(forces.sum(axis=0)).max() < 1e-4 * scale


def test_neighbours_in_a_pack_are_strangers() -> None:
    model = student()
    frames = rattled_cells(4)
    for atoms, (energy, forces, _) in zip(frames, predicted(model, "4x0e", frames), strict=True):
        ((alone, own, _),) = predicted(model, "4x0e", [atoms])
        assert alone == pytest.approx(energy, rel=1e-5, abs=1e-6)
        assert np.allclose(own, forces, rtol=1e-4, atol=1e-5)


def moved(parameters: list[Any], direction: list[Any], by: float) -> list[Any]:
    """Parameters shifted along a direction."""
    pairs = zip(parameters, direction, strict=True)
    return [(p.detach() + by * d).requires_grad_(True) for p, d in pairs]


@pytest.mark.parametrize("irreps", SHAPES)
def test_gradients_are_those_of_the_loss(irreps: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        model = student(irreps).double()
        energies = network.energy_function(model)
        graphs = graphs_of([labelled(atoms) for atoms in rattled_cells(2)[1:]])
        batch = batch_of(graphs, torch.float64)
        parameters = [p.detach().clone().requires_grad_(True) for p in model.parameters()]
        names = [name for name, _ in model.named_parameters()]
        step = network.training_step(energies, names, WEIGHTS)
        loss, *gradients = step(parameters, batch)
        assert np.isfinite(float(loss))
        generator = torch.Generator().manual_seed(1)
        # All parameters at once, then some alone: no gradient may hide behind a larger one.
        for chosen in [None, *range(0, len(parameters), 6)]:
            direction = [
                torch.randn(p.shape, generator=generator, dtype=p.dtype)
                if chosen in (None, k)
                else torch.zeros_like(p)
                for k, p in enumerate(parameters)
            ]
            ahead, behind = (
                float(step(moved(parameters, direction, sign * SHIFT), batch)[0])
                for sign in (1, -1)
            )
            slope = (ahead - behind) / (2 * SHIFT)
            found = float(sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)))
            assert found == pytest.approx(slope, rel=1e-4, abs=1e-6 * float(loss))
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_loss_of_the_truth_is_nothing() -> None:
    model = student()
    energies, parameters = network.energy_function(model), dict(model.named_parameters())
    batch = batch_of(graphs_of([labelled(atoms) for atoms in rattled_cells(3)]))
    found = network.predict(energies, parameters, batch, differentiable=False)
    assert float(network.loss_of(*found, batch, WEIGHTS).detach()) > 0.1
    batch[5], batch[6], batch[7] = (values.detach() for values in found)
    loss = float(network.loss_of(*found, batch, WEIGHTS).detach())
    assert loss == pytest.approx(0.0, abs=1e-4)


def test_the_same_seed_gives_the_same_network() -> None:
    one, same, other = (list(student(seed=seed).parameters()) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.validation
def test_compiled_step_is_the_step() -> None:
    model = student()
    parameters = [p.detach().clone().requires_grad_(True) for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    step = network.training_step(network.energy_function(model), names, WEIGHTS)
    first, other = (
        batch_of(graphs_of([labelled(atoms) for atoms in rattled_cells(3, seed=seed)]))
        for seed in (0, 7)
    )
    fused = network.compiled(step, parameters, first)
    # Other numbers of the same shapes: nothing of the traced batch may have been built in.
    for a, b in zip(step(parameters, other), fused(parameters, other), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max() + 1e-6))


def test_every_constant_goes_to_the_device() -> None:
    """A tensor left behind would only be noticed on a machine with a GPU."""
    model = network.build(shape("4x0e + 4x1o"), ELEMENTS)
    constants = plain_mace.moved(plain_mace.constants_of(model), "meta")
    tensors = list(_tensors(constants))
    assert len(tensors) > 20
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
