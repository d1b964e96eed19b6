"""Fits of a tiny student to a toy teacher: on one and two processes, and after a kill."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from toy_cells import chloride, labelled, labelled_cells

from halmd.distill import fit as fitting
from halmd.distill.fit import fit, usable
from halmd.distill.graphs import capacities, graph
from halmd.distill.label import Labelled
from halmd.distill.settings import StudentSettings
from halmd.errors import HalmdError
from halmd.files import read_json
from halmd.potentials.evaluators import torch_calculator

torch = pytest.importorskip("torch")
pytest.importorskip("mace")

from halmd.distill import fit_worker, network, plain_mace, quick_mace  # noqa: E402
from halmd.distill.fit_worker import Course  # noqa: E402
from halmd.distill.loops import compiler  # noqa: E402

Say = Callable[[str], None]
ELEMENTS = ("Cl", "Li", "Y", "Zr")
SHAPE = StudentSettings(
    hidden_irreps="4x0e", radial=[8], r_max_A=4.0, epochs=2, batch_size=4, compiled=False
)

QUICK = SHAPE.model_copy(update={"hidden_irreps": "16x0e", "compiled": True})

needs_loops = pytest.mark.skipif(
    not shutil.which(compiler()) or not Path("/proc/cpuinfo").exists(), reason="no C++ compiler"
)


def fitted(folder: Path, say: Say, workers: int = 1, shape: StudentSettings = SHAPE) -> Path:
    data = labelled_cells(12)
    return fit(data, shape, ELEMENTS, folder, name="s", seed=3, workers=workers, say=say)


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 4), (2, 8), (3, 12)])
def test_every_process_has_as_many_packs_of_its_own(workers: int, batch_size: int) -> None:
    graphs = [
        graph(entry, dict.fromkeys(ELEMENTS, 0.0), ELEMENTS, 4.0) for entry in labelled_cells(60)
    ]
    shape = SHAPE.model_copy(update={"batch_size": batch_size})
    rooms = capacities(graphs, max(1, batch_size // workers), 4.0)
    course = Course(graphs, rooms, shape, 3, workers)
    assert course.steps == 2 * course.steps_per_epoch > 0
    for epoch in range(3):
        mine = [course.packs_of(epoch, rank) for rank in range(workers)]
        assert {len(packs) for packs in mine} == {course.steps_per_epoch}
        assert mine == [course.packs_of(epoch, rank) for rank in range(workers)]
        seen = [k for packs in mine for _, pack in packs for k in pack]
        # The shortest epoch decides: what is left over by others is little.
        assert len(set(seen)) > 0.7 * len(graphs)
    assert course.packs_of(0, 0) != course.packs_of(1, 0)


def test_the_rate_rises_and_falls_to_nothing() -> None:
    graphs = [
        graph(entry, dict.fromkeys(ELEMENTS, 0.0), ELEMENTS, 4.0) for entry in labelled_cells(30)
    ]
    rooms = capacities(graphs, 4, 4.0)
    course = Course(graphs, rooms, SHAPE.model_copy(update={"epochs": 50}), 3, 1)
    rates = np.array([course.rate(step) for step in range(course.steps)])
    assert (rates > 0).all()
    assert rates.max() == pytest.approx(SHAPE.learning_rate, rel=0.02)
    assert rates[-1] < 0.01 * SHAPE.learning_rate
    assert (np.diff(rates[rates.argmax() :]) < 0).all()


def test_extreme_snapshots_are_left_to_the_repulsion() -> None:
    entry = labelled(chloride(Y=1))
    pressed = Labelled(entry.atoms, 0.0, np.full((8, 3), 301.0), np.zeros(6))
    assert usable([entry, pressed], 300.0) == [entry]


def test_snapshots_of_an_atom_that_flew_away_are_not_learnt() -> None:
    entry, flown = labelled(chloride(Y=1)), labelled(chloride(Y=1))
    flown.atoms.positions[3, 0] = 1e9
    assert usable([entry, flown], 300.0) == [entry]


def test_too_few_snapshots_are_one_line(tmp_path: Path, say: Say) -> None:
    with pytest.raises(HalmdError, match="3 usable snapshots are too few") as caught:
        fit(
            labelled_cells(3), SHAPE, ELEMENTS, tmp_path / "s", name="s", seed=0, workers=1, say=say
        )
    assert "\n" not in str(caught.value)


@pytest.mark.torch
@pytest.mark.parametrize("workers", [1, 2])
def test_a_fit_is_a_model_of_mace_torch(tmp_path: Path, say: Say, workers: int) -> None:
    calculators = pytest.importorskip("mace.calculators")
    model = fitted(tmp_path / "fit", say, workers)
    judge = calculators.MACECalculator(
        model_paths=str(model), device="cpu", default_dtype="float64"
    )
    job = read_json(tmp_path / "fit" / "job.json")
    free_eV = job["free_eV"]
    assert free_eV["Zr"] == 0.0
    for entry in labelled_cells(4, seed=9):
        atoms: Atoms = entry.atoms
        atoms.calc = judge
        # Two epochs teach little, but free atoms and the repulsion must be in the model.
        assert np.isfinite(atoms.get_forces()).all()
        free = sum(free_eV[s] for s in atoms.get_chemical_symbols())
        assert abs(atoms.get_potential_energy() - free) < 5.0 * len(atoms)
    before = model.stat().st_mtime_ns
    assert fitted(tmp_path / "fit", say, workers).stat().st_mtime_ns == before


class KilledError(Exception):
    """Stands for a kill right after a checkpoint."""


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, run here, that writes a checkpoint after every step."""

    def run(folder: Path, workers: int, say: Say) -> None:
        monkeypatch.setattr("sys.argv", ["fit_worker", str(folder), "0"])
        fit_worker.main()

    monkeypatch.setattr(fitting, "_run_workers", run)
    monkeypatch.setattr(fitting, "_device", lambda: "cpu")
    monkeypatch.setattr(fit_worker, "_CHECKPOINT_EVERY_S", -1.0)


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("shape", [SHAPE, pytest.param(QUICK, marks=needs_loops)])
def test_a_killed_fit_ends_in_the_same_place(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, shape: StudentSettings
) -> None:
    fitted(tmp_path / "whole", say, shape=shape)
    write = fit_worker._Fit.checkpoint

    def killed_at(stop: int) -> Callable[..., None]:
        def killed(self: Any, step: int) -> None:
            write(self, step)
            if step == stop:
                raise KilledError

        return killed

    steps = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["step"]
    assert steps > 3
    # In the middle of an epoch, and at its end.
    for stop in (1, steps // 2):
        monkeypatch.setattr(fit_worker._Fit, "checkpoint", killed_at(stop))
        with pytest.raises(KilledError):
            fitted(tmp_path / "killed", say, shape=shape)
        assert not (tmp_path / "killed" / "s.model").exists()
    monkeypatch.setattr(fit_worker._Fit, "checkpoint", write)
    fitted(tmp_path / "killed", say, shape=shape)
    one, other = (parameters_of(tmp_path / name) for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert torch.equal(values, other[name]), name


def parameters_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "parameters.pt", weights_only=True)
    return found


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
@needs_loops
def test_the_quick_way_leads_to_the_same_place(tmp_path: Path, say: Say) -> None:
    fitted(tmp_path / "quick", say, shape=QUICK)
    fitted(tmp_path / "plain", say, shape=QUICK.model_copy(update={"compiled": False}))
    for name in ("quick", "plain"):
        state = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        assert state["kind"] == name
    # Of what they compute: along directions that hardly matter the optimiser follows rounding.
    model = network.build(QUICK, ELEMENTS, seed=3)
    begun = {name: p.detach() for name, p in model.named_parameters()}
    quick, plain = (parameters_of(tmp_path / name) for name in ("quick", "plain"))
    moved = off = 0.0
    for entry in labelled_cells(4, seed=8):
        batch = network.bare_batch(entry.atoms, ELEMENTS, QUICK.r_max_A)
        found = {}
        for name, p in (("begun", begun), ("quick", quick), ("plain", plain)):
            found[name] = network.energy_function(model)(p, batch, batch[0]).detach()
        moved += float(((found["plain"] - found["begun"]) ** 2).sum())
        off += float(((found["quick"] - found["plain"]) ** 2).sum())
    assert moved > 0
    assert off < 0.2**2 * moved


def test_where_loops_cannot_be_had_the_slower_way_is_taken(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_loops(_: Any) -> Any:
        raise OSError("the cache is not writable")

    monkeypatch.setattr(quick_mace, "possible", lambda _: True)
    monkeypatch.setattr(quick_mace, "Quick", no_loops)
    assert quick_mace.quick_or_none(plain_mace.constants_of(network.build(QUICK, ELEMENTS))) is None
    assert "cannot be had (the cache is not writable)" in capfd.readouterr().out


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
def test_a_fit_learns(tmp_path: Path, say: Say) -> None:
    longer = SHAPE.model_copy(update={"epochs": 20})
    fitted(tmp_path / "fit", say, shape=longer)
    lines = (tmp_path / "fit" / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.torch
def test_a_worker_that_fails_is_one_line(tmp_path: Path, say: Say) -> None:
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(HalmdError, match="the fit failed") as caught:
        fitted(tmp_path / "fit", say)
    assert "\n" not in str(caught.value)


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
def test_a_fit_goes_on_from_an_earlier_one(tmp_path: Path, say: Say) -> None:
    """What the teacher now says of every atom of an element goes to the energy of the free one."""
    fitted(tmp_path / "one", say)
    shifts = {"Li": 1.0, "Cl": 2.0, "Y": -3.0}
    other = [
        replace(x, energy_eV=x.energy_eV + sum(shifts[s] for s in x.atoms.get_chemical_symbols()))
        for x in labelled_cells(14, seed=5)
    ]
    fit(
        other,
        SHAPE.model_copy(update={"learning_rate": 1e-9}),
        ELEMENTS,
        tmp_path / "two",
        name="t",
        seed=4,
        workers=1,
        start_from=tmp_path / "one",
        say=say,
    )
    jobs = [read_json(tmp_path / folder / "job.json") for folder in ("one", "two")]
    before, after = (
        np.mean([missed_eV(x, tmp_path / model) for x in other])
        for model in ("one/s.model", "two/t.model")
    )
    assert after < 0.1 * before
    assert jobs[1]["free_eV"]["Zr"] == jobs[0]["free_eV"]["Zr"] == 0.0
    before, after = (
        torch.load(tmp_path / folder / "parameters.pt", weights_only=True)
        for folder in ("one", "two")
    )
    for name, values in before.items():
        assert torch.allclose(values, after[name], atol=1e-6), name


def missed_eV(entry: Labelled, model: Path) -> float:
    """How far off a model's energy is."""
    atoms = entry.atoms.copy()
    atoms.calc = torch_calculator(model)
    return abs(float(atoms.get_potential_energy()) - entry.energy_eV)


def assert_same_function(one: Path, other: Path) -> None:
    """Energies of a crystal by two models."""
    batch = network.bare_batch(chloride(), ELEMENTS, SHAPE.r_max_A)
    energies = []
    for path in (one, other):
        model = torch.load(path, weights_only=False)
        p = {name: values.detach() for name, values in model.named_parameters()}
        energies.append(network.energy_function(model)(p, batch, batch[0]).detach())
    assert torch.allclose(energies[0], energies[1], rtol=1e-4, atol=1e-6)


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
def test_a_student_with_vectors_begins_as_one_of_scalars(tmp_path: Path, say: Say) -> None:
    fitted(tmp_path / "one", say)
    larger = {"hidden_irreps": "4x0e + 4x1o", "learning_rate": 1e-9}
    fit(
        labelled_cells(12),
        SHAPE.model_copy(update=larger),
        ELEMENTS,
        tmp_path / "two",
        name="t",
        seed=4,
        workers=1,
        start_from=tmp_path / "one",
        say=say,
    )
    assert_same_function(tmp_path / "one" / "s.model", tmp_path / "two" / "t.model")


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
def test_a_student_of_more_elements_begins_as_one_of_fewer(tmp_path: Path, say: Say) -> None:
    fitted(tmp_path / "one", say)
    wider = ("Br", *ELEMENTS)
    fit(
        labelled_cells(12),
        SHAPE.model_copy(update={"learning_rate": 1e-9}),
        wider,
        tmp_path / "two",
        name="t",
        seed=4,
        workers=1,
        start_from=tmp_path / "one",
        like={"Br": "Cl"},
        say=say,
    )
    before, after = (
        torch.load(tmp_path / folder / "parameters.pt", weights_only=True)
        for folder in ("one", "two")
    )
    embedding = "node_embedding.linear.weight"
    assert after[embedding].numel() * len(ELEMENTS) == before[embedding].numel() * len(wider)
    # Without bromine again, which no snapshot has.
    assert_same_function(tmp_path / "one" / "s.model", tmp_path / "two" / "t.model")
