"""`halmd density`: where the mobile ions are, as a density on a grid that a viewer opens."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.files import whole_file
from halmd.transport.motion import Motion

Floats = NDArray[np.float64]

SPACING_A = 0.2
_MOST_VOXELS = 50_000_000
_SAME_A = 1.0


@dataclass(frozen=True)
class Density:
    """Ions per Å³ on a grid along the cell vectors.

    Voxel (i, j, k) is centred at (i, j, k) / shape, where viewers of volumetric files put it.
    """

    per_A3: Floats
    """Shape (n_a, n_b, n_c)."""
    cell_A: Floats
    """Cell of the grid, rows are vectors: the mean cell of the run, or a part of it."""

    @property
    def n_ions(self) -> float:
        """Integral over the cell."""
        return float(self.per_A3.mean() * abs(np.linalg.det(self.cell_A)))


def density(
    groups: Iterable[Floats],
    cell_A: Floats,
    *,
    spacing_A: float = SPACING_A,
    divisions: tuple[int, int, int] = (1, 1, 1),
) -> Density:
    """Mean density of ions given in groups (n_ions, n_frames, 3), continuous positions in Å.

    `divisions` folds a supercell into the part of it that repeats so many times along each vector,
    and averages. Raises HalmdError for a grid that is too fine.
    """
    part = cell_A / np.array(divisions)[:, None]
    shape = np.maximum(1, np.round(np.linalg.norm(part, axis=1) / spacing_A)).astype(int)
    if spacing_A <= 0 or shape.prod() > _MOST_VOXELS:
        raise HalmdError(
            f"a grid of {spacing_A:g} Å has {' x '.join(map(str, shape))} voxels; set a larger "
            "spacing (--spacing-A)"
        )
    counts = np.zeros(int(shape.prod()))
    inverse = np.linalg.inv(part)
    n_frames = 1
    for ions in groups:
        n_frames = ions.shape[1]
        for ion in ions:
            voxel = np.floor(ion @ inverse * shape + 0.5).astype(np.int64) % shape
            flat = np.ravel_multi_index((voxel[:, 0], voxel[:, 1], voxel[:, 2]), tuple(shape))
            counts += np.bincount(flat, minlength=len(counts))
    voxel_A3 = abs(np.linalg.det(part)) / shape.prod()
    scale = 1 / (n_frames * voxel_A3 * np.prod(divisions))
    return Density((counts * scale).reshape(tuple(shape)), part)


def framework_atoms(motion: Motion) -> Atoms:
    """All other elements at their mean positions in the mean cell."""
    symbols: list[str] = []
    positions: list[Floats] = []
    for symbol in dict.fromkeys(motion.symbols):
        if symbol != motion.mobile:
            for group in motion.ions(symbol):
                symbols += [symbol] * len(group)
                positions.append(group.mean(axis=1))
    places = np.concatenate(positions) if positions else np.zeros((0, 3))
    atoms = Atoms(symbols, positions=places, cell=motion.cell_A, pbc=True)
    atoms.wrap()
    return atoms


def folded(atoms: Atoms, divisions: tuple[int, int, int]) -> Atoms:
    """The atoms of a cell that repeats so many times along each vector, averaged over its parts.

    Atoms of one element that lie within `_SAME_A` of each other in the part are one, so that those
    on its faces are neither lost nor doubled.
    """
    cell_A = atoms.cell[:] / np.array(divisions)[:, None]
    symbols = np.array(atoms.get_chemical_symbols())
    places = atoms.get_scaled_positions() * np.array(divisions)
    kept_symbols: list[str] = []
    kept: list[Floats] = []
    left = np.ones(len(atoms), dtype=bool)
    for number, place in enumerate(places):
        if not left[number]:
            continue
        difference = places - place
        difference -= np.round(difference)
        near = np.linalg.norm(difference @ cell_A, axis=1) < _SAME_A
        same = left & near & (symbols == symbols[number])
        left &= ~same
        kept_symbols.append(str(symbols[number]))
        kept.append(place + difference[same].mean(axis=0))
    part = Atoms(
        kept_symbols, scaled_positions=np.array(kept).reshape(-1, 3), cell=cell_A, pbc=True
    )
    part.wrap()
    return part


def write_density(found: Density, atoms: Atoms, path: Path) -> None:
    """Write a density with the framework's atoms, whole or not at all.

    `.cube` is Gaussian's format (ions per Bohr³, as ASE writes it); any other name is VASP's CHGCAR
    (density times volume), which VESTA opens as CHGCAR* or *.vasp. Raises HalmdError for a CHGCAR
    without atoms, which that format cannot hold.
    """
    if path.suffix != ".cube" and not len(atoms):
        raise HalmdError(f"{path}: a CHGCAR needs atoms and there is no framework; write a .cube")
    with whole_file(path) as temporary:
        if path.suffix == ".cube":
            from ase.io.cube import write_cube
            from ase.units import Bohr

            with temporary.open("w", encoding="utf-8") as stream:
                write_cube(stream, atoms, data=found.per_A3 * Bohr**3)
        else:
            from pymatgen.io.ase import AseAtomsAdaptor
            from pymatgen.io.vasp import Chgcar, Poscar

            structure = AseAtomsAdaptor.get_structure(atoms)
            total = found.per_A3 * abs(np.linalg.det(found.cell_A))
            Chgcar(Poscar(structure), {"total": total}).write_file(str(temporary))


def read_density(path: Path) -> Density:
    """Read back a CHGCAR of `write_density`; raises HalmdError when it is none or damaged."""
    from ase.calculators.vasp import VaspChargeDensity

    try:
        read = VaspChargeDensity(str(path))
        per_A3, cell_A = read.chg[0], np.asarray(read.atoms[0].cell[:], dtype=np.float64)
    except Exception as error:
        # ASE's reader raises whatever a damaged file makes it stumble over.
        problem = " ".join(str(error).split())[:120]
        raise HalmdError(
            f"{path}: not a readable density ({problem}); delete it and run the step again"
        ) from None
    if not np.isfinite(per_A3).all():
        raise HalmdError(f"{path}: holds what is no number; delete it and run the step again")
    return Density(np.asarray(per_A3, dtype=np.float64), cell_A)
