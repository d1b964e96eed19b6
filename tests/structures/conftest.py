"""Lattices of sites for the tests of orderings."""

import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest

from halmd.composition import oxidation_states, parse_formula
from halmd.structures.filling import exclusions, sites
from halmd.structures.lattice import Lattice
from halmd.structures.packing import nearest_contents
from halmd.structures.prototypes import load_prototype
from halmd.structures.supercell import Supercell

LatticeOf = Callable[..., Lattice]


@pytest.fixture(scope="session")
def lattice_of() -> LatticeOf:
    """A shipped prototype in a supercell (matrix or its diagonal) with these numbers of atoms."""

    def make(
        name: str,
        matrix: object,
        counts: Mapping[str, int],
        occupancies: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Lattice:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prototype = load_prototype(name)
        by_label = dict(zip(prototype.labels, prototype.occupancies, strict=True)) | dict(
            occupancies or {}
        )
        cells = np.array(matrix) if np.ndim(matrix) == 2 else np.diag(matrix)  # type: ignore[call-overload]
        cell, fractional, labels = sites(prototype, Supercell(cells, counts, Fraction(1), 0.0))
        states = oxidation_states(parse_formula("".join(f"{e}{n}" for e, n in counts.items())))
        excluded = exclusions(prototype, cell, fractional, labels, states | {"Y": 3, "Li": 1})
        sizes = {label: labels.count(label) for label in dict.fromkeys(labels)}
        contents = nearest_contents(by_label, sizes, counts, labels, excluded)
        assert contents is not None
        charges = np.array([float(states[element]) for element in counts])
        return Lattice(cell, fractional, labels, tuple(counts), charges, contents, excluded)

    return make


@pytest.fixture(scope="session")
def columns() -> Callable[[int, Mapping[str, Mapping[str, int]]], Lattice]:
    """Two columns of face-sharing M2 and M3 in a hexagonal cell, and a few lithium sites.

    The geometry of P-3m1 with the anions left out; `length` cells along c.
    """

    def make(length: int, contents: Mapping[str, Mapping[str, int]]) -> Lattice:
        cell = np.array([[6.0, 0, 0], [-3.0, 27**0.5, 0], [0, 0, 6.0 * length]])
        sites = {
            "M2": [(1 / 3, 2 / 3, 0.49), (2 / 3, 1 / 3, 0.51)],
            "M3": [(1 / 3, 2 / 3, 0.01), (2 / 3, 1 / 3, 0.99)],
            "Li": [(0.35, 0, 0.5), (0, 0.35, 0.5), (0.65, 0.65, 0.5)],
        }
        fractional, groups = [], []
        for group, places in sites.items():
            for x, y, z in places:
                for layer in range(length):
                    fractional.append((x, y, (z + layer) / length % 1))
                    groups.append(group)
        positions = np.array(fractional)
        names = np.array(groups)
        difference = positions[:, None] - positions[None]
        difference -= np.rint(difference)
        distance = np.linalg.norm(difference @ cell, axis=-1)
        metal = names != "Li"
        excluded = (distance < 3.3) & metal[:, None] & metal[None]
        np.fill_diagonal(excluded, False)
        return Lattice(
            cell,
            positions,
            tuple(groups),
            ("Li", "Y", "Zr", "Sc"),
            np.array([1.0, 3.0, 4.0, 3.0]),
            contents,
            excluded,
        )

    return make
