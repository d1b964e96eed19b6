"""The orderings that snapshots start from, and which of them are kept for the test."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from halmd.config import StructureSettings
from halmd.distill.settings import CellSettings, CompositionSettings, DistillSettings
from halmd.errors import HalmdError
from halmd.files import whole_file
from halmd.structures.structure import build_orderings


@dataclass(frozen=True)
class Start:
    """One ordering from which snapshots begin."""

    tag: str
    family: str
    composition: str
    atoms: Atoms
    held_out: bool
    """Kept for the test: its ordering, or its whole composition, is never trained on."""
    share: float = 1.0
    """Weight with which it is drawn for MD."""

    @property
    def prototype(self) -> str:
        """Name of the crystal it was made from."""
        return self.tag.removeprefix(f"{self.composition}-").rsplit("-", 2)[0]


def bare(atoms: Atoms) -> Atoms:
    """Only species, positions and cell, without labels that would collide with the teacher's."""
    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)


def build_starts(settings: DistillSettings, say: Callable[[str], None]) -> list[Start]:
    """Orderings of every composition in every cell, seeded.

    Sites are filled at random, only those too close kept apart, because a student must also know
    what is unlikely. Raises HalmdError naming the composition that cannot be built.
    """
    found = []
    for family in settings.families:
        for number, composition in enumerate(family.compositions):
            for size, cell in enumerate(settings.cells):
                seed = int(
                    np.random.SeedSequence(
                        [settings.seed, *f"{family.name}/{composition.formula}".encode(), number]
                    ).generate_state(1)[0]
                )
                found += _orderings(family.name, composition, cell, size, seed, settings.mobile)
            say(f"{family.name}: {composition.formula}")
    return found


def _orderings(
    family: str,
    composition: CompositionSettings,
    cell: CellSettings,
    size: int,
    seed: int,
    mobile: str,
) -> list[Start]:
    wanted = cell.orderings + cell.held_out
    structure = StructureSettings(
        min_length_A=cell.min_length_A,
        max_atoms=cell.max_atoms,
        beyond_tolerance="nearest",
        composition_tolerance=0.05,
        n_orderings=wanted,
        sampling="random",
        monte_carlo_steps=2000,
    )
    built = build_orderings(
        composition.formula,
        structure,
        seed=seed,
        mobile=mobile,
        prototype=composition.prototype,
        site_fractions=composition.site_fractions,
        fixed_states=composition.oxidation_states,
    )
    orderings = built.orderings
    # A crystal with a single ordering teaches with it; the test then has its other temperatures.
    n_train = max(1, len(orderings) - cell.held_out)
    name = f"{composition.formula}-{built.prototype.name}-{size}"
    return [
        Start(
            tag=f"{name}-{index:02d}",
            family=family,
            composition=composition.formula,
            atoms=bare(ordering.atoms),
            held_out=composition.held_out or index >= n_train,
            share=composition.share,
        )
        for index, ordering in enumerate(orderings)
    ]


def write_starts(found: list[Start], path: Path) -> None:
    """Write the orderings as one extxyz file."""
    frames = []
    for start in found:
        atoms = bare(start.atoms)
        atoms.info |= {
            "tag": start.tag,
            "family": start.family,
            "composition": start.composition,
            "held_out": start.held_out,
            "share": start.share,
        }
        frames.append(atoms)
    with whole_file(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")


def read_starts(path: Path) -> list[Start]:
    """Read what `write_starts` wrote; raises HalmdError when it is missing."""
    if not path.is_file():
        raise HalmdError(f"{path}: no such file; run `halmd snapshots` first")
    return [
        Start(
            tag=str(atoms.info["tag"]),
            family=str(atoms.info["family"]),
            composition=str(atoms.info["composition"]),
            atoms=bare(atoms),
            held_out=bool(atoms.info["held_out"]),
            share=float(atoms.info["share"]),
        )
        for atoms in ase.io.read(path, ":", format="extxyz")
    ]
