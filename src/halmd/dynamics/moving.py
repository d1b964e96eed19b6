"""The steps of many cells at once: BAOAB with stochastic velocity rescaling, as `lean.py` does one.

All arithmetic is done atom by atom or cell by cell, so that a cell moves the same, bit for bit,
whoever moves beside it, where the potential's answers do not depend on that either.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import units
from numpy.typing import NDArray

from halmd.dynamics.lean import rescaled
from halmd.potentials.many import Answer, Cell, Many

Floats = NDArray[np.float64]


@dataclass
class Moving:
    """One cell on its way; velocities without a total momentum, in Å per ASE time."""

    cell: Cell
    velocities: Floats
    masses_amu: Floats
    temperature_K: float
    timestep_fs: float
    thermostat_time_fs: float
    rng: np.random.Generator
    answer: Answer | None = None
    """Energy and forces at the present positions, where they are known."""
    transferred_eV: float = 0.0
    """Energy that the thermostat has given to the atoms."""
    lost: bool = False
    """Whether positions have ceased to be numbers."""
    _noise: deque[tuple[float, float]] = field(default_factory=deque, repr=False)

    def draw(self, steps: int) -> None:
        """Draw the random numbers of the next steps.

        All of them before the first step, so that they do not depend on how many of the steps are
        made at once.
        """
        freedom = 3 * len(self.masses_amu) - 3
        first = self.rng.normal(size=steps)
        others = 2 * self.rng.gamma((freedom - 1) / 2, size=steps)
        self._noise = deque(zip(first.tolist(), others.tolist(), strict=True))

    def rescaling(self, kinetic_eV: float) -> float:
        """Factor of the velocities in the thermostat's step."""
        squared = rescaled(
            kinetic_eV,
            self.temperature_K,
            kept=math.exp(-self.timestep_fs / self.thermostat_time_fs),
            noise=self._noise.popleft(),
        )
        self.transferred_eV += (squared - 1) * kinetic_eV
        return math.sqrt(squared)


def advance(moving: Sequence[Moving], steps: int, many: Many) -> None:
    """Move all cells on by the same number of steps.

    A cell whose positions cease to be numbers is marked as lost, and the others go on.
    """
    sizes = [len(each.cell) for each in moving]
    ends = np.cumsum([0, *sizes])
    starts = ends[:-1]
    cells = [each.cell for each in moving]
    if any(each.answer is None for each in moving):
        for each, answer in zip(moving, many(cells, stress=False), strict=True):
            each.answer = answer
    masses = np.concatenate([each.masses_amu for each in moving])[:, None]
    step = np.repeat([each.timestep_fs * units.fs for each in moving], sizes)[:, None]
    kick, drift = step / masses, 0.5 * step
    positions = np.concatenate([cell.positions_A for cell in cells])
    velocities = np.concatenate([each.velocities for each in moving])
    forces = _forces([each.answer for each in moving if each.answer is not None])
    for cell, a, b in zip(cells, ends, ends[1:], strict=False):
        # Views: what is moved below is what the potential is asked about.
        cell.positions_A = positions[a:b]
    velocities += 0.5 * kick * forces
    begun = positions.copy()
    answers: list[Answer] = []
    for left in range(steps - 1, -1, -1):
        positions += drift * velocities
        kinetic = 0.5 * np.add.reduceat((masses * velocities**2).sum(axis=1), starts)
        factors = [
            1.0 if each.lost else each.rescaling(float(kinetic_eV))
            for each, kinetic_eV in zip(moving, kinetic, strict=True)
        ]
        velocities *= np.repeat(factors, sizes)[:, None]
        positions += drift * velocities
        _set_aside(moving, positions, velocities, begun, ends)
        answers = many(cells, stress=False)
        forces = _forces(answers)
        # The second half of this step's kick and the first of the next are one.
        velocities += (kick if left else 0.5 * kick) * forces
    _set_aside(moving, positions, velocities, begun, ends)
    for each, answer, a, b in zip(moving, answers, ends, ends[1:], strict=False):
        each.answer = answer
        each.velocities = velocities[a:b].copy()
        each.cell.positions_A = positions[a:b].copy()


def _forces(answers: Sequence[Answer]) -> Floats:
    return np.concatenate([answer.forces_eV_per_A for answer in answers])


def _set_aside(
    moving: Sequence[Moving],
    positions: Floats,
    velocities: Floats,
    begun_A: Floats,
    ends: NDArray[np.int64],
) -> None:
    """Put a cell that holds no numbers any more to rest, where the potential can live with it."""
    if np.isfinite(positions).all() and not any(each.lost for each in moving):
        return
    for each, a, b in zip(moving, ends, ends[1:], strict=False):
        if not np.isfinite(positions[a:b]).all():
            each.lost = True
        if each.lost:
            positions[a:b] = begun_A[a:b]
            velocities[a:b] = 0.0
