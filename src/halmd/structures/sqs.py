"""Special quasirandom arrangement of metals, by the library sqsgenerator.

Zunger, Wei, Ferreira and Bernard 1990; sqsgenerator (Gehringer, Friak and Holec 2023) seeks the
arrangement whose Warren-Cowley parameters of the first shells are nearest to zero.
"""

import contextlib
import importlib
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from halmd.errors import HalmdError
from halmd.structures.lattice import Floats, Indices, Lattice, Occupation

SHELLS = 3
"""Neighbour shells whose short-range order is brought to zero, weighted by 1 / number."""

ITERATIONS = 50_000
"""Arrangements compared; a tenth of a second for a hundred metals."""

_SHELL_GAP_A = 0.3
"""Distances less apart than this are of one shell: refined sites are not ideal."""


def quasirandom(
    lattice: Lattice,
    occupation: Occupation,
    species: Sequence[str],
    *,
    seed: int,
    iterations: int = ITERATIONS,
) -> Occupation:
    """The occupation with `species` rearranged among the sites they stand on, quasirandomly.

    Every group keeps its numbers; neighbours are counted across groups. The same seed gives the
    same arrangement. Raises HalmdError where sqsgenerator is not installed or refuses.
    """
    wanted = [lattice.species.index(element) for element in species if element in lattice.species]
    sites = np.flatnonzero(np.isin(occupation, wanted))
    names = np.array(lattice.groups)[sites]
    compositions = []
    mixed = False
    for group in dict.fromkeys(names.tolist()):
        inside = np.flatnonzero(names == group)
        held, numbers = np.unique(occupation[sites[inside]], return_counts=True)
        mixed = mixed or len(held) > 1
        content: dict[str, Any] = {
            lattice.species[k]: int(n) for k, n in zip(held, numbers, strict=True)
        }
        compositions.append(content | {"sites": inside.tolist()})
    if not mixed:
        return occupation.copy()
    result = occupation.copy()
    radii = shell_edges_A(lattice.cell_A, lattice.fractional[sites])
    result[sites] = _search(lattice, sites, compositions, radii, seed, iterations)
    return result


def shell_edges_A(cell_A: Floats, fractional: Floats, shells: int = SHELLS) -> list[float]:
    """Outer edges of the first neighbour shells of sites (n, 3), a zero before them, in Å."""
    difference = fractional[:, None] - fractional[None]
    difference -= np.rint(difference)
    lengths = np.concatenate(
        [
            np.linalg.norm((difference + np.array(image)) @ cell_A, axis=-1).ravel()
            for image in itertools.product((-1, 0, 1), repeat=3)
        ]
    )
    lengths = np.unique(np.round(lengths[lengths > 1e-3], 4))
    gaps = np.flatnonzero(np.diff(lengths) > _SHELL_GAP_A)[:shells]
    return [0.0, *((lengths[gaps] + lengths[gaps + 1]) / 2).tolist()]


def _search(
    lattice: Lattice,
    sites: Indices,
    compositions: list[dict[str, Any]],
    radii_A: list[float],
    seed: int,
    iterations: int,
) -> Occupation:
    """The best arrangement met: index of the species on each of `sites`."""
    library = _library()
    config = {
        "structure": {
            "lattice": lattice.cell_A.tolist(),
            "coords": lattice.fractional[sites].tolist(),
            "species": ["H"] * len(sites),
        },
        "composition": compositions,
        "sublattice_mode": "interact",
        "iterations": iterations,
        "shell_radii": radii_A,
        "shell_weights": {k: 1 / k for k in range(1, len(radii_A))},
        # Seeded runs are reproducible with one thread only.
        "seed": seed,
        "thread_config": 1,
    }
    with _without_warnings():
        parsed = library.parse_config(config)
    if hasattr(parsed, "msg"):
        raise HalmdError(f"sqsgenerator refuses the metal sublattice: {parsed.msg}; set sqs: false")
    numbers = {atomic_numbers[element]: k for k, element in enumerate(lattice.species)}
    # Results are views into the pack, which must stay alive.
    pack = library.optimize(parsed)
    _, best = min(pack, key=lambda entry: float(entry[0]))
    # The same seed finds the same best arrangements, but which comes first changes from run to run.
    equal = sorted(tuple(int(z) for z in result.species) for result in best)
    chosen = equal[int(np.random.default_rng(seed).integers(len(equal)))]
    return np.array([numbers[z] for z in chosen])


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep pages of warnings off the terminal: shells of a disordered lattice are never regular.

    The library writes them to the process's standard error, past Python, whatever its log level.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _library() -> Any:
    try:
        return importlib.import_module("sqsgenerator")
    except ImportError:
        raise HalmdError(
            "special quasirandom metals need sqsgenerator, which is not installed; "
            'pip install "halmd[sqs]", or set sqs: false'
        ) from None
