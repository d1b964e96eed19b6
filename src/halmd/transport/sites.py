"""Sites between which ions jump: given by a crystal structure, or found where ions are."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from halmd.errors import HalmdError
from halmd.transport.density import Density

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SMOOTHING_A = 0.35
"""Width of the Gaussian that takes the noise out of a density, below the rattling of ions."""

CLOSEST_A = 1.4
"""Sites nearer than this are one: the distance of an octahedron's centre from its face."""

LEAST_OCCUPANCY = 0.01
_LENGTH, _ANGLE_DEG = 0.05, 3.0
"""How far a trajectory's cell may be strained from a repeated crystal's."""

_FITS_A, _MISPLACED_A = 0.3, 1.0
"""Root mean square distance of framework atoms from the crystal's: surely, and hardly, the same."""

_AMOUNT = 0.01
_MOST_TRIED = 400
_ANIONS = frozenset(("F", "Cl", "Br", "I", "O", "S", "Se", "N"))
_SHELL = 1.35
_COORDINATION = {3: "triangle", 4: "tetrahedron", 6: "octahedron"}


@dataclass(frozen=True)
class Sites:
    """Places of the mobile ion in the mean cell."""

    fractional: Floats
    """Shape (n_sites, 3), in [0, 1)."""
    kinds: tuple[str, ...]
    """Label of each site: of the crystal structure, or its coordination by anions."""
    cell_A: Floats

    def nearest_other_A(self) -> Floats:
        """Distance from each site to the nearest other one, periodic images included."""
        places, _ = _images(self.fractional, self.cell_A, reach=1)
        # The nearest point is the site itself.
        distances, _ = cKDTree(places).query(self.fractional @ self.cell_A, k=2)
        result: Floats = distances[:, 1]
        return result


def _images(fractional: Floats, cell_A: Floats, reach: int) -> tuple[Floats, Integers]:
    """Cartesian places of points and of their images in the neighbouring cells, and whose each is.

    More cells are taken along vectors whose faces are close together, as in skewed cells.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(cell_A), axis=0)
    longest = float(np.linalg.norm(cell_A, axis=1).max())
    reaches = [reach + int(longest // (2 * height)) for height in heights]
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in reaches))), dtype=float)
    every = (fractional[None] + shifts[:, None]).reshape(-1, 3)
    return every @ cell_A, np.tile(np.arange(len(fractional)), len(shifts))


def nearest_site(sites: Sites, fractional: Floats) -> Integers:
    """Index of the site nearest to each point (n, 3), through periodic boundaries."""
    places, owners = _images(sites.fractional, sites.cell_A, reach=1)
    _, found = cKDTree(places).query((fractional % 1.0) @ sites.cell_A)
    result: Integers = owners[found]
    return result


def sites_of_density(found: Density, framework: Atoms) -> Sites:
    """Maxima of a smoothed density, at the centre of the ions around each.

    Kinds are the coordination by the framework's anions. Raises HalmdError when there is no
    maximum, as for ions that are everywhere.
    """
    shape = np.array(found.per_A3.shape)
    smooth = _smoothed(found)
    higher = np.ones(smooth.shape, dtype=bool)
    for shift in itertools.product((-1, 0, 1), repeat=3):
        if any(shift):
            higher &= smooth >= np.roll(smooth, shift, axis=(0, 1, 2))
    maxima = np.argwhere(higher & (smooth > 0.02 * smooth.max()))
    order = np.argsort(-smooth[tuple(maxima.T)], kind="stable")
    places = maxima[order] / shape
    kept: list[Floats] = []
    for place in places:
        if not kept or _distances(np.array(kept), place, found.cell_A).min() > CLOSEST_A:
            kept.append(place)
    if not kept or len(kept) < 2:
        raise HalmdError("fewer than two sites of the mobile ion were found; give them (--sites)")
    sites = Sites(np.array(kept), ("",) * len(kept), found.cell_A)
    sites = _centred(sites, found)
    return Sites(sites.fractional, _coordination(sites, framework), found.cell_A)


def _smoothed(found: Density) -> Floats:
    """Density convolved with a Gaussian, by Fourier transform in the skewed cell."""
    indices = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in found.per_A3.shape), indexing="ij")
    k = 2 * np.pi * np.stack(indices, axis=-1) @ np.linalg.inv(found.cell_A).T
    kernel = np.exp(-0.5 * SMOOTHING_A**2 * (k**2).sum(axis=-1))
    result: Floats = np.fft.ifftn(np.fft.fftn(found.per_A3) * kernel).real
    return result


def _distances(fractional: Floats, place: Floats, cell_A: Floats) -> Floats:
    """Distances of points from a place, nearest images by rounding and their neighbours."""
    difference = fractional - place
    difference -= np.round(difference)
    shortest = np.full(len(fractional), np.inf)
    for shift in itertools.product((-1, 0, 1), repeat=3):
        shortest = np.minimum(
            shortest, np.linalg.norm((difference + np.array(shift)) @ cell_A, axis=1)
        )
    return shortest


def _centred(sites: Sites, found: Density) -> Sites:
    """Sites at the mean position of the ions nearest to them; rarely visited ones are dropped."""
    shape = found.per_A3.shape
    voxels = np.argwhere(found.per_A3 > 0)
    weight = found.per_A3[tuple(voxels.T)]
    points = voxels / np.array(shape)
    owner = nearest_site(sites, points)
    difference = points - sites.fractional[owner]
    difference -= np.round(difference)
    total = np.bincount(owner, weight, minlength=len(sites.kinds))
    moved = (
        np.stack(
            [np.bincount(owner, weight * difference[:, a], minlength=len(total)) for a in range(3)],
            axis=1,
        )
        / np.maximum(total, 1e-300)[:, None]
    )
    voxel_A3 = abs(float(np.linalg.det(found.cell_A))) / found.per_A3.size
    visited = total * voxel_A3 >= LEAST_OCCUPANCY
    centred = (sites.fractional + moved)[visited] % 1.0
    return Sites(centred, ("",) * len(centred), found.cell_A)


def _coordination(sites: Sites, framework: Atoms) -> tuple[str, ...]:
    """Kinds by the number of anions in the first shell around each site."""
    anions = np.array(
        [symbol in _ANIONS for symbol in framework.get_chemical_symbols()], dtype=bool
    )
    if not anions.any():
        return ("site",) * len(sites.kinds)
    places = framework.get_scaled_positions()[anions]
    tree = cKDTree(_images(places, sites.cell_A, reach=1)[0])
    kinds = []
    for place in sites.fractional @ sites.cell_A:
        distances, _ = tree.query(place, k=min(12, tree.n))
        number = int((np.atleast_1d(distances) < _SHELL * np.min(distances)).sum())
        kinds.append(_COORDINATION.get(number, f"{number}-fold"))
    return tuple(kinds)


def sites_of_structure(
    path: Path, mobile: str, cell_A: Floats, framework: Atoms | None = None
) -> Sites:
    """All sites of the mobile element in a CIF, partly filled ones too, in the supercell `cell_A`.

    A cell alone does not say how a crystal lies in it: lattices have symmetries that crystals lack,
    and the origin is free. The mean positions of the trajectory's framework in `cell_A` decide;
    without them the crystal is taken unturned where that fits, at its own origin. Kinds are the
    labels of the CIF. Raises HalmdError when the CIF cannot be read, holds no such element, is not
    repeated in the cell within 5 % and 3 degrees, or has its framework elsewhere.
    """
    structure = _read_structure(path)
    chosen = [
        (site.frac_coords, site.label)
        for site in structure
        if any(species.symbol == mobile for species in site.species.elements)
    ]
    if not chosen:
        raise HalmdError(f"{path}: no {mobile} in this structure ({structure.composition.formula})")
    cell = np.asarray(cell_A, dtype=np.float64)
    matrix, shift, misplaced_A = _placement(structure, cell, framework)
    if matrix is None:
        raise HalmdError(
            f"{path}: its cell is not repeated in the trajectory's cell of "
            f"{' x '.join(f'{length:.2f}' for length in np.linalg.norm(cell, axis=1))} Å; give "
            "the structure that the trajectory was made from"
        )
    if misplaced_A > _MISPLACED_A:
        raise HalmdError(
            f"{path}: the trajectory's framework is {misplaced_A:.1f} Å from this structure's "
            "(root mean square, at best); give the structure that the trajectory was made from"
        )
    inverse = np.linalg.inv(matrix)
    low, high = np.minimum(matrix, 0).sum(axis=0), np.maximum(matrix, 0).sum(axis=0)
    ranges = (range(a, b + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    shifts = np.array(list(itertools.product(*ranges))) @ inverse
    inside = shifts[((shifts > -1e-9) & (shifts < 1 - 1e-9)).all(axis=1)]
    fractional = np.concatenate([(place + shift) @ inverse + inside for place, _ in chosen]) % 1.0
    return Sites(fractional, _repeated([label for _, label in chosen], len(inside)), cell)


def _repeated(labels: Sequence[str], times: int) -> tuple[str, ...]:
    return tuple(label for label in labels for _ in range(times))


def _read_structure(path: Path) -> Any:
    """pymatgen's Structure of a file."""
    from pymatgen.core import Structure

    try:
        with warnings.catch_warnings():
            # About coordinates such as 0.3333, which it puts right.
            warnings.simplefilter("ignore")
            return Structure.from_file(str(path))
    except Exception as error:
        # pymatgen's reader raises whatever a damaged file makes it stumble over.
        problem = " ".join(str(error).split())[:120]
        raise HalmdError(f"{path}: not a readable crystal structure ({problem})") from None


def _placement(
    structure: Any, cell_A: Floats, framework: Atoms | None
) -> tuple[Integers | None, Floats, float]:
    """Supercell matrix, shift in the crystal's cell, and how far the framework is from there."""
    unit_A = np.array(structure.lattice.matrix)
    crystal = _Crystal(structure, unit_A, framework)
    nearest = np.round(cell_A @ np.linalg.inv(unit_A)).astype(np.int64)
    best: tuple[Integers | None, Floats, float] = (None, np.zeros(3), np.inf)
    if abs(np.linalg.det(nearest)) > 0.5:
        strain = np.linalg.solve(nearest @ unit_A, cell_A) - np.eye(3)
        if np.abs(strain).max() < _LENGTH:
            best = (nearest, *crystal.fit(nearest))
    # A turned and wrong supercell can be less strained than the right one: the framework decides.
    for part in (0.1, 0.4, 1.0):
        if best[2] < _FITS_A:
            break
        matrices = _supercells(unit_A, cell_A, part * _LENGTH, part * _ANGLE_DEG)
        for matrix in crystal.of_its_size(matrices)[:_MOST_TRIED]:
            shift, misplaced_A = crystal.fit(matrix)
            if misplaced_A < best[2]:
                best = (matrix, shift, misplaced_A)
    return best


def _supercells(unit_A: Floats, cell_A: Floats, length: float, angle_deg: float) -> Integers:
    """Supercells (n, 3, 3) of the cell's shape, turned in any way, the least distorted first.

    Growing alike in all directions, as in heat, is no distortion.
    """
    lengths = np.linalg.norm(cell_A, axis=1)
    reach = np.ceil(lengths.max() * (1 + length) * np.linalg.norm(np.linalg.inv(unit_A), axis=0))
    ranges = (np.arange(-n, n + 1) for n in reach.astype(int))
    every = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    sizes = np.linalg.norm(every @ unit_A, axis=1)
    rows = [every[np.abs(sizes / wanted - 1) < length] for wanted in lengths]
    units = [(row @ unit_A) / np.linalg.norm(row @ unit_A, axis=1)[:, None] for row in rows]
    wanted = cell_A / lengths[:, None]

    def fits(i: int, j: int) -> NDArray[np.bool_]:
        angles = np.degrees(np.arccos(np.clip(units[i] @ units[j].T, -1, 1)))
        right = np.degrees(np.arccos(np.clip(wanted[i] @ wanted[j], -1, 1)))
        return np.asarray(np.abs(angles - right) < angle_deg)

    ab, ac, bc = fits(0, 1), fits(0, 2), fits(1, 2)
    found = [
        np.stack([rows[0][i], rows[1][j], row])
        for i, j in np.argwhere(ab)
        for row in rows[2][ac[i] & bc[j]]
    ]
    matrices = np.array(found, dtype=np.int64).reshape(-1, 3, 3)
    # A crystal is not seen in a mirror.
    handed = np.linalg.det(matrices @ unit_A) * np.linalg.det(cell_A) > 0
    matrices = matrices[handed & (np.abs(np.linalg.det(matrices)) > 0.5)]
    vectors = matrices @ unit_A
    growth = np.abs(np.linalg.det(cell_A) / np.linalg.det(vectors)) ** (1 / 3)
    vectors = vectors * growth[:, None, None]
    metric = vectors @ vectors.transpose(0, 2, 1) - cell_A @ cell_A.T
    distortion = np.abs(metric / np.outer(lengths, lengths)).max(axis=(1, 2), initial=0)
    # Equal distortions differ in the last digits.
    result: Integers = matrices[np.argsort(np.round(distortion, 9), kind="stable")]
    return result


class _Crystal:
    """Where a crystal has its framework, compared with where a trajectory has it."""

    def __init__(self, structure: Any, unit_A: Floats, framework: Atoms | None) -> None:
        self._unit_A = unit_A
        self._atoms: dict[str, Floats] = {}
        self._places: dict[str, Floats] = {}
        self._trees: dict[str, cKDTree] = {}
        self._n_cells: dict[str, float] = {}
        if framework is None:
            return
        symbols = np.array(framework.get_chemical_symbols())
        for symbol in dict.fromkeys(symbols.tolist()):
            places = [
                site.frac_coords % 1.0
                for site in structure
                if any(species.symbol == symbol for species in site.species.elements)
            ]
            if places:
                in_cell = sum(
                    amount for s, amount in structure.composition.items() if s.symbol == symbol
                )
                self._n_cells[symbol] = float((symbols == symbol).sum() / in_cell)
                self._atoms[symbol] = framework.get_scaled_positions()[symbols == symbol]
                self._places[symbol] = np.array(places)
                self._trees[symbol] = cKDTree(_images(np.array(places), unit_A, reach=1)[0])

    def of_its_size(self, matrices: Integers) -> Integers:
        """Those of some supercells that hold as many atoms as the framework; all without one.

        Elements that replace others, or are not all there, do not count: one that fits is enough.
        """
        if not self._n_cells:
            return matrices
        sizes = np.abs(np.linalg.det(matrices))
        wanted = np.array(list(self._n_cells.values()))
        near = np.abs(sizes[:, None] / wanted - 1) < _AMOUNT
        result: Integers = matrices[near.any(axis=1)]
        return result

    def fit(self, matrix: Integers) -> tuple[Floats, float]:
        """Best shift in the crystal's cell, and root mean square distance in Å; zeros without a
        framework to compare."""
        best: tuple[Floats, float] = (np.zeros(3), np.inf if self._atoms else 0.0)
        if not self._atoms:
            return best
        atoms = {symbol: places @ matrix for symbol, places in self._atoms.items()}
        rarest = min(self._places, key=lambda symbol: len(self._places[symbol]))
        for place in self._places[rarest]:
            shift = atoms[rarest][0] - place
            for _ in range(3):
                away = self._away(atoms, shift)
                misplaced_A = float(np.sqrt((away**2).sum(axis=1).mean()))
                if misplaced_A < best[1]:
                    best = (shift, misplaced_A)
                shift = shift + away.mean(axis=0) @ np.linalg.inv(self._unit_A)
        return best

    def _away(self, atoms: dict[str, Floats], shift: Floats) -> Floats:
        """From the nearest place of its element to each atom, in Å."""
        parts = []
        for symbol, places in atoms.items():
            points = ((places - shift) % 1.0) @ self._unit_A
            tree = self._trees[symbol]
            parts.append(points - tree.data[tree.query(points)[1]])
        return np.concatenate(parts)
