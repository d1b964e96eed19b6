"""Ranking orderings by a potential instead of by the Ewald energy of formal charges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from halmd.errors import HalmdError

Energy = Callable[[Atoms], float]
"""Energy in eV of a structure."""


@dataclass(frozen=True)
class Ranked:
    """A candidate and the energy it was ranked by."""

    candidate: int
    """Place in the sequence handed in."""
    energy_eV: float


def rerank(
    candidates: Sequence[Atoms], energy: Energy, *, keep: int | None = None
) -> tuple[Ranked, ...]:
    """Candidates by rising energy, the `keep` lowest (all when left out); ties in the order given.

    All must hold the same atoms, or energies could not be compared. Raises HalmdError where they do
    not, or where an energy is not a number.
    """
    formulas = {atoms.get_chemical_formula() for atoms in candidates}
    if len(formulas) > 1:
        raise HalmdError(
            f"orderings of different composition ({', '.join(sorted(formulas))}) cannot be ranked "
            "by energy; rank those of one material at a time"
        )
    ranked = []
    for number, atoms in enumerate(candidates):
        value = float(energy(atoms))
        if not np.isfinite(value):
            raise HalmdError(
                f"ordering {number} of {atoms.get_chemical_formula()}: the potential gives "
                f"{value} eV; check that it covers the elements, or set rerank: false"
            )
        ranked.append(Ranked(number, value))
    return tuple(sorted(ranked, key=lambda entry: entry.energy_eV)[:keep])


def calculator_energy(
    calculator: Any,
    *,
    relax: bool = False,
    relax_cell: bool = False,
    max_steps: int = 200,
    force_eV_per_A: float = 0.05,
) -> Energy:
    """Energy by an ASE calculator: of the structure as it is, or after relaxing a copy of it.

    Relaxation (LBFGS) stops at `force_eV_per_A` or after `max_steps`; the energy then reached is an
    upper bound, good enough for a ranking. The structure handed in is left as it was.
    """

    def energy_eV(atoms: Atoms) -> float:
        copy = atoms.copy()
        copy.calc = calculator
        if relax:
            moved = FrechetCellFilter(copy) if relax_cell else copy
            LBFGS(moved, logfile=None).run(fmax=force_eV_per_A, steps=max_steps)
        return float(copy.get_potential_energy())

    return energy_eV
