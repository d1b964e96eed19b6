"""Many runs at once, each written as if it were alone.

A run is a function that asks for forces, or to be moved on, and waits for the answer. It runs in a
greenlet; when all runs wait, the conductor answers all of them by one call of the potential.
Relaxation, NPT, production, guards, lengths and checkpoints need not know: only one run is ever
awake, and what it is answered does not depend on who else asked.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from greenlet import getcurrent, greenlet

from halmd.dynamics.moving import Moving, advance
from halmd.potentials.evaluators import Loaded
from halmd.potentials.many import Answer, Cell, Many, cell_of, many_of


@dataclass(frozen=True)
class Job:
    """A run: what to do, and how many atoms it brings along."""

    n_atoms: int
    run: Callable[[], Any]


@dataclass(frozen=True)
class _Forces:
    cell: Cell
    stress: bool


@dataclass
class _Advance:
    moving: Moving
    steps_left: int


class Conductor:
    """Answers runs, all that wait at once; a run that is not conducted is answered at once."""

    def __init__(self, many: Many):
        self.many = many
        self._conducted: set[greenlet] = set()

    def forces(self, cell: Cell, *, stress: bool = False) -> Answer:
        """Energy, forces and stress of a cell; FloatingPointError where it holds no numbers."""
        answer: Answer = self._ask(_Forces(cell, stress))
        return answer

    def advance(self, moving: Moving, steps: int) -> None:
        """Move on by some steps; FloatingPointError where positions cease to be numbers."""
        self._ask(_Advance(moving, steps))

    def _ask(self, request: _Forces | _Advance) -> Any:
        run = getcurrent()
        if run in self._conducted and run.parent is not None:
            return run.parent.switch(request)
        answers: dict[int, Any] = {}
        while not answers:
            answers = self._answers({0: request})
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def conduct(self, jobs: Sequence[Job], most_atoms: int) -> list[Any]:
        """Run all jobs, as many at once as `most_atoms` allows; their results, or exceptions.

        A run that ends makes room for the next one. What one of them raises is its result.
        """
        results: list[Any] = [None] * len(jobs)
        todo = deque(enumerate(jobs))
        live: dict[int, greenlet] = {}
        requests: dict[int, Any] = {}

        def awake(number: int, run: greenlet, answer: Any) -> None:
            """Let a run go on until it asks again, or ends."""
            try:
                if isinstance(answer, Exception):
                    found = run.throw(answer)
                else:
                    found = run.switch(answer) if live.get(number) else run.switch()
            except Exception as error:
                found = error
            if run.dead:
                results[number] = found
                live.pop(number, None)
                self._conducted.discard(run)
            else:
                live[number], requests[number] = run, found

        try:
            while todo or live:
                room = most_atoms - sum(jobs[number].n_atoms for number in live)
                while todo and (not live or todo[0][1].n_atoms <= room):
                    number, job = todo.popleft()
                    run = greenlet(job.run)
                    self._conducted.add(run)
                    awake(number, run, None)
                    room -= job.n_atoms if number in live else 0
                for number, answer in self._answers(requests).items():
                    del requests[number]
                    awake(number, live[number], answer)
        finally:
            self._conducted -= set(live.values())
        return results

    def _answers(self, requests: dict[int, Any]) -> dict[int, Any]:
        """Answers to some of the requests at least: None, an `Answer`, or an exception."""
        asked = {k: r for k, r in sorted(requests.items()) if isinstance(r, _Forces)}
        if asked:
            return self._forces_of(asked)
        moved = {k: r for k, r in sorted(requests.items()) if isinstance(r, _Advance)}
        if not moved:
            return {}
        steps = min(request.steps_left for request in moved.values())
        advance([request.moving for request in moved.values()], steps, self.many)
        ended: dict[int, Any] = {}
        for number, request in moved.items():
            request.steps_left -= steps
            if request.moving.lost:
                ended[number] = FloatingPointError("positions are no longer numbers")
            elif not request.steps_left:
                ended[number] = None
        return ended

    def _forces_of(self, asked: dict[int, _Forces]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for number, request in asked.items():
            if not (
                np.isfinite(request.cell.positions_A).all()
                and np.isfinite(request.cell.cell_A).all()
            ):
                found[number] = FloatingPointError("positions are no longer numbers")
        sound = {number: request for number, request in asked.items() if number not in found}
        if sound:
            stress = any(request.stress for request in sound.values())
            cells = [request.cell for request in sound.values()]
            found |= dict(zip(sound, self.many(cells, stress=stress), strict=True))
        return found


class Served(Calculator):  # type: ignore[misc]
    """An ASE calculator that asks the conductor, for one run."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, conductor: Conductor):
        super().__init__()
        self.conductor = conductor
        self._cell: Cell | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Ask for energy, forces and stress together: who asks for one mostly wants the others."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        cell = cell_of(self.atoms)
        if self._cell is None or not np.array_equal(self._cell.numbers, cell.numbers):
            self._cell = cell
        self._cell.positions_A, self._cell.cell_A = cell.positions_A, cell.cell_A
        found = self.conductor.forces(self._cell, stress=True)
        self.results = {
            "energy": found.energy_eV,
            "free_energy": found.energy_eV,
            "forces": found.forces_eV_per_A,
            "stress": found.stress_eV_per_A3,
        }

    def forget(self) -> None:
        """Forget results and neighbours."""
        self.reset()
        self._cell = None


def served(loaded: Loaded, conductor: Conductor) -> Loaded:
    """The same potential as one run of many sees it."""
    calculator = Served(conductor)
    return replace(loaded, calculator=calculator, fresh_neighbours=calculator.forget)


def conductor_of(loaded: Loaded) -> Conductor:
    """The conductor that a loaded potential asks, or a new one for a run that is alone."""
    if isinstance(loaded.calculator, Served):
        return loaded.calculator.conductor
    return Conductor(many_of(loaded))
