"""Small cells, their labels, and a distillation file that the tests of this folder share."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from toy_teacher import morse

from halmd.distill.label import Labelled
from halmd.distill.starts import Start

RECORD: dict[str, Any] = {
    "name": "toy",
    "seed": 5,
    "teacher": {"terms": [{"name": "pairs", "calculator": "toy_teacher:morse"}], "shard": 2},
    "families": [{"name": "chlorides", "compositions": ["Li3YCl6"]}],
    "cells": [{"min_length_A": 5.9, "max_atoms": 30, "orderings": 2, "held_out": 1}],
    "seeds": {"rattles": 2, "mixtures": 4},
    "test": {"temperatures_K": [400], "runs": 2},
}


def chloride(**replaced: int) -> Atoms:
    """Rocksalt Li4Cl4 in which the first ions are replaced: chloride(Y=1) is Li3YCl4."""
    atoms = bulk("LiCl", "rocksalt", a=5.2, cubic=True)
    symbols = sorted(atoms.get_chemical_symbols(), key=lambda symbol: symbol == "Cl")
    atoms = atoms[np.argsort(atoms.symbols == "Cl", kind="stable")]
    for element, number in replaced.items():
        for place in range(number):
            symbols[symbols.index("Cl" if element == "Br" else "Li")] = element
            assert place < 4
    atoms.set_chemical_symbols(symbols)
    return atoms


def start(atoms: Atoms, *, tag: str = "a", composition: str = "x", held_out: bool = False) -> Start:
    return Start(tag, "chlorides", composition, atoms, held_out)


def rattled_cells(number: int, seed: int = 0) -> list[Atoms]:
    """Cells of 8 or 16 ions, rattled and strained."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(number):
        atoms = chloride(Y=1 + k % 2)
        atoms = atoms.repeat((2, 1, 1)) if k % 3 == 0 else atoms
        atoms.set_cell(atoms.cell * (1 + rng.uniform(-0.03, 0.05)), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.12, (len(atoms), 3))
        frames.append(atoms)
    return frames


def labelled_cells(number: int, seed: int = 0) -> list[Labelled]:
    """Rattled cells as the toy teacher labels them."""
    return [labelled(atoms) for atoms in rattled_cells(number, seed)]


def labelled(atoms: Atoms) -> Labelled:
    computed = atoms.copy()
    computed.calc = morse()
    return Labelled(
        atoms,
        float(computed.get_potential_energy()),
        computed.get_forces(),
        computed.get_stress(),
    )
