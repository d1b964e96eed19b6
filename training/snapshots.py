"""Snapshots the student first learns from: rattled and strained orderings, and short contacts."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

STRUCTURES = Path(__file__).resolve().parent.parent / "structures"


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
        rng = np.random.default_rng([recipe["seed"], number])
        wanted = family["n_train"] + family["n_test"]
        for index in range(wanted):
            atoms = random_ordering(family, recipe["counts_per_cell"], recipe["closest_A"], rng)
            found.append(Start(f"{family['tag']}-{index:02d}", atoms, index >= family["n_train"]))
    return found


def random_ordering(
    family: dict[str, Any],
    counts_per_cell: dict[str, int],
    closest_A: dict[str, float],
    rng: np.random.Generator,
) -> Atoms:
    """Fill the partly occupied sites of a prototype at random.

    The pipeline samples orderings by their Ewald energy; here chance alone decides, because a
    student must also know what is unlikely. Sites are taken with the weight of their occupancy,
    never two cations nearer than `closest_A`, until every cation has its number per prototype cell.
    """
    prototype = Structure.from_file(STRUCTURES / f"{family['prototype']}.cif")
    prototype.add_site_property("name", [site.label for site in prototype])
    prototype.make_supercell(family["repeat"])
    cells = int(np.prod(family["repeat"]))
    fractions = family.get("site_fractions", {})
    anions = [site for site in prototype if "Cl" in site.species.as_dict()]
    for _ in range(10_000):
        chosen = [("Cl", site.frac_coords) for site in anions]
        if all(
            _place(
                element,
                counts_per_cell[element] * cells,
                prototype,
                fractions,
                closest_A,
                chosen,
                rng,
            )
            for element in ("Y", "Li")
        ):
            symbols, fractional = zip(*chosen, strict=True)
            return Atoms(
                symbols, scaled_positions=fractional, cell=prototype.lattice.matrix, pbc=True
            )
    raise SystemExit(f"{family['tag']}: no ordering keeps the cations apart")


def _place(
    element: str,
    count: int,
    prototype: Structure,
    fractions: dict[str, float],
    closest_A: dict[str, float],
    chosen: list[tuple[str, Any]],
    rng: np.random.Generator,
) -> bool:
    """Add `count` atoms of `element` to `chosen`; False when they do not fit."""
    sites = [site for site in prototype if element in site.species.as_dict()]
    weights = [
        fractions.get(site.properties["name"], site.species.as_dict()[element]) for site in sites
    ]
    # Sampling without replacement by weight: the keys of Efraimidis and Spirakis (2006).
    keys = [rng.random() ** (1 / w) if w > 0 else -1.0 for w in weights]
    for k in np.argsort(keys)[::-1]:
        if count == 0 or keys[k] < 0:
            break
        near = (
            prototype.lattice.get_all_distances(sites[k].frac_coords, position)[0, 0]
            < closest_A["-".join(sorted((element, other)))]
            for other, position in chosen
            if other != "Cl"
        )
        if not any(near):
            chosen.append((element, sites[k].frac_coords))
            count -= 1
    return count == 0


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
