"""Sites between which ions jump: given by a crystal structure, or found where ions are."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    places = (maxima[order] + 0.5) / shape
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
    points = (voxels + 0.5) / np.array(shape)
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


def sites_of_structure(path: Path, mobile: str, cell_A: Floats) -> Sites:
    """All sites of the mobile element in a CIF, partly filled ones too, in the supercell `cell_A`.

    Kinds are the labels of the CIF. Raises HalmdError when the CIF cannot be read, holds no such
    element, or is not repeated in the cell within 5 % and 3 degrees.
    """
    from pymatgen.core import Lattice, Structure

    try:
        with warnings.catch_warnings():
            # About coordinates such as 0.3333, which it puts right.
            warnings.simplefilter("ignore")
            structure = Structure.from_file(str(path))
    except Exception as error:
        # pymatgen's reader raises whatever a damaged file makes it stumble over.
        problem = " ".join(str(error).split())[:120]
        raise HalmdError(f"{path}: not a readable crystal structure ({problem})") from None
    chosen = [
        (site.frac_coords, site.label)
        for site in structure
        if any(species.symbol == mobile for species in site.species.elements)
    ]
    if not chosen:
        raise HalmdError(f"{path}: no {mobile} in this structure ({structure.composition.formula})")
    mapping = structure.lattice.find_mapping(
        Lattice(cell_A), ltol=0.05, atol=3, skip_rotation_matrix=True
    )
    if mapping is None:
        raise HalmdError(
            f"{path}: its cell is not repeated in the trajectory's cell of "
            f"{' x '.join(f'{length:.2f}' for length in np.linalg.norm(cell_A, axis=1))} Å; give "
            "the structure that the trajectory was made from"
        )
    inverse = np.linalg.inv(mapping[2])
    n = round(abs(float(np.linalg.det(mapping[2]))))
    reach = range(-int(np.abs(mapping[2]).sum()), int(np.abs(mapping[2]).sum()) + 1)
    shifts = np.array(list(itertools.product(reach, repeat=3))) @ inverse
    inside = shifts[((shifts > -1e-9) & (shifts < 1 - 1e-9)).all(axis=1)]
    if len(inside) != n:
        raise AssertionError(f"{len(inside)} translations in a supercell of {n} cells")
    fractional = np.concatenate([place @ inverse + inside for place, _ in chosen]) % 1.0
    return Sites(fractional, _repeated([label for _, label in chosen], n), np.asarray(cell_A))


def _repeated(labels: Sequence[str], times: int) -> tuple[str, ...]:
    return tuple(label for label in labels for _ in range(times))
