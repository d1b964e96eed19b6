"""Hard cores: what a student learns of ions nearer to one another than any teacher knows.

A universal potential is not trained on ions nearer than `NEAREST_A`, and what it says there is
noise: SevenNet-l3i5 has forces between 8 and 120 eV/Å for Li and Cl at 0.9 to 1.0 Å, and of either
sign for Br and Br. Such labels are not learnt. A student that learns nothing there has holes, into
which hot ions may fall. From cells in which the teacher was asked at a distance it still knows, the
repulsion is continued inwards: the force of the bare nuclei (`repulsion.py`) grows as it does, and
the rest as a straight line. Beside that repulsion, which every student has under it, a straight
line is then left to learn: not physics, but a wall without a dent.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list

from halmd.distill.label import Labelled
from halmd.distill.repulsion import zbl
from halmd.distill.starts import bare

NEAREST_A = 1.3
GROWTH_A = 0.6
"""Further inside by this, the force has grown by as much as it was."""

INNERMOST_A = 0.6
COPIES = 4
_FEWEST_EV_PER_A = 2.0
"""A force between the two below this is no repulsion to go on from."""

_OTHERS_A = 1.6
"""Where another pair comes nearer than this, the cell is of more than one contact."""


def trusted(labelled: Sequence[Labelled]) -> list[Labelled]:
    """Snapshots without ions so near to one another that the teacher only guesses."""
    return [entry for entry in labelled if _nearest_A(entry.atoms) >= NEAREST_A]


def _nearest_A(atoms: Atoms) -> float:
    found = neighbour_list("d", atoms, NEAREST_A)
    return float(found.min()) if len(found) else NEAREST_A


def pushed_in(labelled: Sequence[Labelled], *, seed: int) -> list[Labelled]:
    """The given contacts, and copies of each with its pair further inside."""
    rng = np.random.default_rng([seed, 6])
    found = list(labelled)
    for entry in labelled:
        for _ in range(COPIES):
            new = pushed(entry, rng)
            if new is not None:
                found.append(new)
    return found


def pushed(entry: Labelled, rng: np.random.Generator) -> Labelled | None:
    """A copy whose nearest pair stands at a random shorter distance; None where there is none.

    The pair's force F (eV/Å, along its line) rises by F x / GROWTH_A at x further inside, and by as
    much as that of the bare nuclei does; the energy by its integral. All other forces stay.
    """
    lengths = entry.atoms.get_all_distances(mic=True)
    np.fill_diagonal(lengths, np.inf)
    i, j = (int(k) for k in np.unravel_index(int(np.argmin(lengths)), lengths.shape))
    distance = float(lengths[i, j])
    vector = entry.atoms.get_distance(i, j, mic=True, vector=True)
    along = vector / distance
    force = float((entry.forces_eV_per_A[j] - entry.forces_eV_per_A[i]) @ along / 2)
    if force < _FEWEST_EV_PER_A or distance <= INNERMOST_A:
        return None
    inwards = distance - rng.uniform(INNERMOST_A, distance)
    atoms: Atoms = bare(entry.atoms)
    atoms.positions[i] += along * inwards / 2
    atoms.positions[j] -= along * inwards / 2
    others = atoms.get_all_distances(mic=True)
    np.fill_diagonal(others, np.inf)
    others[i, j] = others[j, i] = np.inf
    if others.min() < _OTHERS_A:
        return None
    pair = entry.atoms.symbols[i], entry.atoms.symbols[j]
    (outer_eV, outer_force), (inner_eV, inner_force) = (
        zbl(r, *pair) for r in (distance, distance - inwards)
    )
    stronger = force * (1 + inwards / GROWTH_A) + inner_force - outer_force
    forces = entry.forces_eV_per_A.copy()
    forces[i] -= (stronger - force) * along
    forces[j] += (stronger - force) * along
    straight_eV = force * (inwards + inwards**2 / (2 * GROWTH_A)) - outer_force * inwards
    energy = entry.energy_eV + straight_eV + inner_eV - outer_eV
    virial = (force * distance - stronger * (distance - inwards)) * np.outer(along, along)
    change = virial / atoms.get_volume()
    voigt = np.array([change[0, 0], change[1, 1], change[2, 2], *_shear(change)])
    atoms.info |= entry.atoms.info
    return Labelled(atoms, energy, forces, entry.stress_eV_per_A3 + voigt)


def _shear(matrix: np.ndarray) -> tuple[float, float, float]:
    return float(matrix[1, 2]), float(matrix[0, 2]), float(matrix[0, 1])
