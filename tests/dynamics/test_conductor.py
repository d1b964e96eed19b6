"""Many runs at once move as each would alone, and what befalls one befalls no other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from greenlet import getcurrent
from toy_crystal import IonicToy, lithium_chloride, loaded

from halmd.config import DynamicsSettings
from halmd.dynamics.conductor import Conductor, Job, served
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.engines.ase import start_velocities
from halmd.dynamics.equilibrate import equilibrate
from halmd.potentials.evaluators import Loaded
from halmd.potentials.many import Answer, Cell, OneByOne, cell_of
from halmd.trajectory import read_trajectory

SETTINGS = DynamicsSettings(
    engine="batched",
    production_ps=0.6,
    frame_interval_fs=20,
    checkpoint_interval_ps=0.2,
    thermostat_time_ps=0.2,
    equilibration_ps=0.8,
)


class Counting:
    """A batched potential that writes down how many cells it was asked about at once."""

    def __init__(self, many: Any):
        self.many, self.asked = many, list[int]()

    def __call__(self, cells: Sequence[Cell], *, stress: bool) -> list[Answer]:
        self.asked.append(len(cells))
        answers: list[Answer] = self.many(cells, stress=stress)
        return answers

    def most_atoms(self, example: Cell) -> int:
        return 1000


def potential(**how: Any) -> Loaded:
    calculator = IonicToy(**how)
    return loaded(calculator)


SMALL, LARGE = (2, 2, 2), (2, 2, 3)


def crystal(temperature_K: float, repeat: tuple[int, int, int] = SMALL) -> Atoms:
    atoms = lithium_chloride(repeat=repeat)
    start_velocities(atoms, temperature_K, np.random.default_rng(repeat))
    return atoms


def run(folder: Path, atoms: Atoms, whose: Loaded, target_K: float, **changes: Any) -> Any:
    return run_dynamics(
        atoms,
        whose,
        SETTINGS.model_copy(update=changes),
        target_K=target_K,
        seed=3,
        scratch=folder,
        trajectory=folder / "run.h5",
        record=folder / "run.json",
        show_progress=False,
    )


def test_runs_of_many_sizes_lengths_and_temperatures_are_those_made_alone(tmp_path: Path) -> None:
    plans = [(300.0, SMALL, 0.6), (700.0, SMALL, 0.2), (500.0, LARGE, 0.4), (500.0, SMALL, 0.6)]
    many = Counting(OneByOne(potential()))
    conductor = Conductor(many)

    def job(k: int) -> Job:
        target_K, repeat, length_ps = plans[k]
        atoms = crystal(2 * target_K, repeat)
        folder = tmp_path / f"together-{k}"
        return Job(
            len(atoms),
            lambda: run(
                folder,
                atoms,
                served(potential(), conductor),
                target_K,
                production_ps=length_ps,
            ),
        )

    # Room for the first two at once, and for the large one only when it is alone.
    records = conductor.conduct([job(k) for k in range(len(plans))], most_atoms=130)
    assert set(many.asked) == {1, 2}
    for k, (target_K, repeat, length_ps) in enumerate(plans):
        alone = tmp_path / f"alone-{k}"
        atoms = crystal(2 * target_K, repeat)
        record = run(alone, atoms, potential(), target_K, production_ps=length_ps)
        one, other = (
            read_trajectory(folder / "run.h5") for folder in (alone, tmp_path / f"together-{k}")
        )
        assert one.positions_A.tobytes() == other.positions_A.tobytes()
        assert all(one.thermo[key].tobytes() == other.thermo[key].tobytes() for key in one.thermo)
        assert records[k]["length_ps"] == record["length_ps"] == length_ps
        assert records[k]["verdict"] == "ok"


def test_equilibration_in_company_is_that_alone() -> None:
    settings = SETTINGS

    def one(whose: Loaded, target_K: float) -> Any:
        return equilibrate(
            lithium_chloride(),
            whose,
            settings,
            target_K=target_K,
            seed=1,
            show_progress=False,
        )

    many = Counting(OneByOne(potential()))
    conductor = Conductor(many)
    found = conductor.conduct(
        [
            Job(64, lambda t=t: one(served(potential(), conductor), t))  # type: ignore[misc]
            for t in (300.0, 500.0)
        ],
        most_atoms=1000,
    )
    assert max(many.asked) == 2
    for result, target_K in zip(found, (300.0, 500.0), strict=True):
        conductor_alone = Conductor(OneByOne(potential()))
        alone = one(served(potential(), conductor_alone), target_K)
        assert alone.record == result.record
        assert alone.atoms.positions.tobytes() == result.atoms.positions.tobytes()


def test_one_that_is_lost_takes_no_other_along(tmp_path: Path) -> None:
    class Selective:
        """Answers what is no number for the larger cells, after a while."""

        def __init__(self) -> None:
            self.many, self.calls = OneByOne(potential()), 0

        def __call__(self, cells: Sequence[Cell], *, stress: bool) -> list[Answer]:
            self.calls += 1
            answers = self.many(cells, stress=stress)
            if self.calls < 15:
                return answers
            return [
                Answer(answer.energy_eV, np.full_like(answer.forces_eV_per_A, np.nan))
                if len(cell) > 64
                else answer
                for cell, answer in zip(cells, answers, strict=True)
            ]

        def most_atoms(self, example: Cell) -> int:
            return 1000

    conductor = Conductor(Selective())
    sick, sound = crystal(600.0, LARGE), crystal(600.0)
    jobs = [
        Job(
            len(atoms),
            lambda atoms=atoms, name=name: run(  # type: ignore[misc]
                tmp_path / name, atoms, served(potential(), conductor), 300.0
            ),
        )
        for name, atoms in (("sick", sick), ("sound", sound))
    ]
    found = conductor.conduct(jobs, 1000)
    assert found[0]["verdict"] == "nan_forces"
    assert found[1]["verdict"] == "ok"
    run(tmp_path / "alone", crystal(600.0), potential(), 300.0)
    one, other = (read_trajectory(tmp_path / name / "run.h5") for name in ("alone", "sound"))
    assert one.positions_A.tobytes() == other.positions_A.tobytes()


def test_an_error_of_one_is_its_result_and_the_others_end() -> None:
    conductor = Conductor(OneByOne(potential()))
    cell = cell_of(lithium_chloride())

    def fails() -> None:
        conductor.forces(cell)
        raise ValueError("mine alone")

    def works() -> float:
        for _ in range(3):
            energy = conductor.forces(cell).energy_eV
        return energy

    first, second, third = conductor.conduct([Job(64, works), Job(64, fails), Job(64, works)], 1000)
    assert isinstance(second, ValueError)
    atoms = lithium_chloride()
    atoms.calc = IonicToy()
    assert first == third == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    with pytest.raises(FloatingPointError, match="no longer numbers"):
        conductor.forces(Cell(cell.numbers, np.full_like(cell.positions_A, np.nan), cell.cell_A))


def test_no_more_run_at_once_than_there_is_room_for() -> None:
    conductor = Conductor(OneByOne(potential()))
    cell = cell_of(lithium_chloride())
    alive, most = set[Any](), []

    def one() -> None:
        alive.add(getcurrent())
        most.append(len(alive))
        for _ in range(2):
            conductor.forces(cell)
        alive.discard(getcurrent())

    conductor.conduct([Job(64, one) for _ in range(7)], most_atoms=200)
    assert len(most) == 7
    assert max(most) == 3
