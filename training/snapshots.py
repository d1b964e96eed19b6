"""Snapshots the student first learns from: rattled and strained orderings, and short contacts."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from halmd.structures.structure import build_orderings

from halmd.config import StructureSettings


@dataclass(frozen=True)
class Start:
    """One ordering from which snapshots begin, and whether it is kept apart for the test."""

    tag: str
    atoms: Atoms
    held_out: bool


def starts(recipe: dict[str, Any]) -> list[Start]:
    """All orderings of the recipe; the last `n_test` of every family are held out."""
    found = []
    for number, family in enumerate(recipe["families"]):
        wanted = family["n_train"] + family["n_test"]
        settings = StructureSettings(
            min_length_A=family["min_length_A"],
            n_orderings=wanted,
            composition_tolerance=0.02,
            ordering_temperature_K=5000.0,
        )
        orderings = build_orderings(
            recipe["formula"],
            settings,
            seed=recipe["seed"] + number,
            prototype=family["prototype"],
            site_fractions=family.get("site_fractions"),
        ).orderings
        # Ranked by energy: hold out every third or so, not the highest ones.
        order = np.random.default_rng(recipe["seed"] + number).permutation(len(orderings))
        n_test = min(family["n_test"], len(orderings) // 3)
        for rank, index in enumerate(order):
            found.append(
                Start(f"{family['tag']}-{index:02d}", orderings[index].atoms, rank < n_test)
            )
    return found


def bare(atoms: Atoms) -> Atoms:
    """Only species, positions and cell, without labels that would collide with the teacher's."""
    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)


def strained(atoms: Atoms, volume: float, shear: float, rng: np.random.Generator) -> Atoms:
    """Scale the volume by 1 + `volume` and add a random symmetric strain of size `shear`."""
    strain = rng.normal(0.0, shear, (3, 3))
    strain = (strain + strain.T) / 2
    strain -= np.eye(3) * np.trace(strain) / 3
    result = bare(atoms)
    matrix = (np.eye(3) + strain) * (1 + volume) ** (1 / 3)
    result.set_cell(np.array(atoms.cell) @ matrix, scale_atoms=True)
    return result


def rattled(start: Start, recipe: dict[str, Any], rng: np.random.Generator) -> list[Atoms]:
    """Strained and randomly displaced copies of an ordering."""
    settings = recipe["seeds"]
    frames = []
    for _ in range(settings["rattles_per_ordering"]):
        atoms = strained(
            start.atoms, rng.uniform(*settings["volume_strain"]), settings["shear_strain"], rng
        )
        width = rng.uniform(*settings["rattle_A"])
        scale = np.where(atoms.symbols == "Li", 1.5, 1.0)[:, None] * width
        atoms.positions += rng.normal(0.0, 1.0, (len(atoms), 3)) * scale
        atoms.info |= {"origin": "rattle", "start": start.tag}
        frames.append(atoms)
    return frames


def contacts(start: Start, recipe: dict[str, Any], rng: np.random.Generator) -> list[Atoms]:
    """Copies in which one pair of every kind of species stands at a short distance."""
    settings = recipe["seeds"]
    species = sorted(set(start.atoms.get_chemical_symbols()))
    frames = []
    for first, second in itertools.combinations_with_replacement(species, 2):
        for distance in np.linspace(*settings["contact_A"], settings["contacts_per_pair"]):
            atoms = strained(start.atoms, rng.uniform(-0.05, 0.1), 0.02, rng)
            atoms.positions += rng.normal(0.0, 0.08, (len(atoms), 3))
            i = rng.choice(np.flatnonzero(atoms.symbols == first))
            others = np.flatnonzero(atoms.symbols == second)
            others = others[others != i]
            # Any of the three nearest, so that the rest of the neighbourhood stays reasonable.
            lengths = atoms.get_distances(i, others, mic=True)
            j = rng.choice(others[np.argsort(lengths)[:3]])
            vector = atoms.get_distance(i, j, mic=True, vector=True)
            length = np.linalg.norm(vector)
            move = vector / length * (length - distance) / 2
            atoms.positions[i] += move
            atoms.positions[j] -= move
            atoms.info |= {"origin": "contact", "start": start.tag}
            frames.append(atoms)
    return frames


def seed_snapshots(recipe: dict[str, Any], found: list[Start]) -> list[Atoms]:
    """Everything the first student learns from."""
    rng = np.random.default_rng(recipe["seed"])
    training = [start for start in found if not start.held_out]
    frames = [atoms for start in training for atoms in rattled(start, recipe, rng)]
    small = min(training, key=lambda start: len(start.atoms))
    return frames + contacts(small, recipe, rng)
