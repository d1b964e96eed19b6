"""Snapshots made without MD: rattled and strained orderings, defects, short contacts, mixtures."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from halmd.distill.settings import DistillSettings, SeedSettings
from halmd.distill.starts import Start, bare

CORE_A = (1.35, 1.7)
"""Distances, in Å, at which a teacher can still be asked for the repulsion of any two ions."""

_CORE_TRIALS = 30
_CORE_STRAIN = (0.05, 0.35)
"""Cells are stretched, so that the two have no third ion between them."""

_VOID_TRIALS = 200


def strained(atoms: Atoms, volume: float, shear: float, rng: np.random.Generator) -> Atoms:
    """A copy with its volume times 1 + `volume` and a random traceless strain of size `shear`."""
    strain = rng.normal(0.0, shear, (3, 3)) if shear else np.zeros((3, 3))
    strain = (strain + strain.T) / 2
    strain -= np.eye(3) * np.trace(strain) / 3
    result = bare(atoms)
    matrix = np.eye(3) + strain
    matrix *= ((1 + volume) / np.linalg.det(matrix)) ** (1 / 3)
    result.set_cell(np.array(atoms.cell) @ matrix, scale_atoms=True)
    return result


def seed_snapshots(settings: DistillSettings, starts: Sequence[Start]) -> list[Atoms]:
    """Everything the first student learns from, of the orderings that are trained on."""
    rng = np.random.default_rng([settings.seed, 1])
    training = [start for start in starts if not start.held_out]
    frames = []
    for start in training:
        frames += [rattled(start, settings, rng) for _ in range(settings.seeds.rattles)]
        frames += [defective(start, settings, rng) for _ in range(settings.seeds.defects)]
    smallest: dict[str, Start] = {}
    for start in training:
        known = smallest.setdefault(start.composition, start)
        if len(start.atoms) < len(known.atoms):
            smallest[start.composition] = start
    for start in smallest.values():
        for pair in pairs(start.atoms.get_chemical_symbols()):
            frames += [
                contact(start, pair, settings.seeds, rng) for _ in range(settings.seeds.contacts)
            ]
    return frames + mixtures(list(smallest.values()), settings, rng)


def pairs(symbols: Sequence[str]) -> list[tuple[str, str]]:
    """All unordered pairs of the species, each with itself too."""
    return list(itertools.combinations_with_replacement(sorted(set(symbols)), 2))


def rattled(start: Start, settings: DistillSettings, rng: np.random.Generator) -> Atoms:
    """A strained and randomly displaced copy of an ordering."""
    seeds = settings.seeds
    atoms = strained(start.atoms, rng.uniform(*seeds.volume_strain), seeds.shear_strain, rng)
    _displace(atoms, rng.uniform(*seeds.rattle_A), settings, rng)
    return _named(atoms, "rattle", start)


def defective(start: Start, settings: DistillSettings, rng: np.random.Generator) -> Atoms:
    """A rattled copy with a mobile ion missing, added in a void, or moved into one."""
    seeds = settings.seeds
    low, high = seeds.volume_strain
    atoms = strained(start.atoms, rng.uniform(low / 2, high / 2), seeds.shear_strain, rng)
    mobile = np.flatnonzero(atoms.symbols == settings.mobile)
    kind = rng.integers(3) if len(mobile) else 2
    if kind != 1 and len(mobile):
        del atoms[int(rng.choice(mobile))]
    if kind != 0:
        atoms += Atoms(settings.mobile, positions=[_void(atoms, rng)])
    _displace(atoms, rng.uniform(seeds.rattle_A[0], 0.15), settings, rng)
    return _named(atoms, "defect", start)


def contact(
    start: Start, pair: tuple[str, str], seeds: SeedSettings, rng: np.random.Generator
) -> Atoms:
    """A copy in which two ions of the pair's species stand at a short distance."""
    atoms = strained(start.atoms, rng.uniform(-0.05, 0.1), 0.02, rng)
    atoms.positions += rng.normal(0.0, 0.08, (len(atoms), 3))
    _bring_together(atoms, pair, rng.uniform(*seeds.contact_A), rng)
    return _named(atoms, "contact", start)


def mixtures(
    starts: Sequence[Start], settings: DistillSettings, rng: np.random.Generator
) -> list[Atoms]:
    """Cells with species of the whole set at random, a pair of them brought close together.

    Which pairs are taken goes round through all, so that none is left out. Framework ions only:
    the mobile species stays itself.
    """
    anions, metals = _framework_species(starts, settings.mobile)
    every = list(pairs(anions + metals))
    rng.shuffle(every)
    frames = []
    for number in range(settings.seeds.mixtures):
        pair = every[number % len(every)]
        start = starts[int(rng.integers(len(starts)))]
        atoms = strained(start.atoms, rng.uniform(-0.02, 0.15), 0.02, rng)
        symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
        for kind in (anions, metals):
            places = rng.permutation([k for k, s in enumerate(symbols) if s in kind])
            wanted = [s for s in pair if s in kind]
            drawn = wanted + list(rng.choice(kind, size=len(places)))
            for place, symbol in zip(places, drawn, strict=False):
                symbols[place] = symbol
        atoms.set_chemical_symbols(list(symbols))
        atoms.positions += rng.normal(0.0, 0.08, (len(atoms), 3))
        _bring_together(atoms, pair, rng.uniform(*settings.seeds.contact_A), rng)
        frames.append(_named(atoms, "mixture", start))
    return frames


def core_contacts(
    starts: Sequence[Start], settings: DistillSettings, rng: np.random.Generator
) -> list[Atoms]:
    """`settings.cores` cells for every pair of species of the whole set, pressed to CORE_A.

    What lies further inside is not the teacher's to say: `cores.py` continues from these.
    """
    anions, metals = _framework_species(starts, settings.mobile)
    frames = []
    for pair in pairs([settings.mobile, *anions, *metals]):
        hosts = [start for start in starts if _has_room(start.atoms, pair, (anions, metals))]
        for _ in range(settings.cores if hosts else 0):
            start = hosts[int(rng.integers(len(hosts)))]
            atoms = strained(start.atoms, rng.uniform(*_CORE_STRAIN), 0.02, rng)
            symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
            for kind in (anions, metals):
                places = rng.permutation([k for k, s in enumerate(symbols) if s in kind])
                wanted = [s for s in pair if s in kind]
                for place, symbol in zip(places, wanted, strict=False):
                    symbols[place] = symbol
            atoms.set_chemical_symbols(list(symbols))
            atoms.positions += rng.normal(0.0, 0.05, (len(atoms), 3))
            frames.append(_named(_loneliest(atoms, pair, rng), "core", start))
    return frames


def _loneliest(atoms: Atoms, pair: tuple[str, str], rng: np.random.Generator) -> Atoms:
    """A copy with two of these species at a distance of CORE_A and all others far from them.

    The best of many trials: what the third ion feels would be learnt as what the two do.
    """
    best, room = atoms, -1.0
    for _ in range(_CORE_TRIALS):
        trial = atoms.copy()
        _bring_together(trial, pair, rng.uniform(*CORE_A), rng)
        lengths = np.sort(trial.get_all_distances(mic=True)[np.triu_indices(len(trial), 1)])
        if lengths[0] >= CORE_A[0] - 1e-6 and lengths[1] > room:
            best, room = trial, float(lengths[1])
    return best


def _has_room(atoms: Atoms, pair: tuple[str, str], kinds: Sequence[list[str]]) -> bool:
    """Whether a cell has as many ions of each kind as the pair needs."""
    symbols = atoms.get_chemical_symbols()
    ours = [[s for s in symbols if s in kind] for kind in kinds]
    needed = [sum(s in kind for s in pair) for kind in kinds]
    mobile = sum(not any(s in kind for kind in kinds) for s in pair)
    free = len(symbols) - sum(map(len, ours))
    return free >= mobile and all(len(a) >= n for a, n in zip(ours, needed, strict=True))


def _framework_species(starts: Sequence[Start], mobile: str) -> tuple[list[str], list[str]]:
    """Anions and metals of all orderings; what is an anion is not put in the place of a metal."""
    every = {symbol for start in starts for symbol in start.atoms.get_chemical_symbols()}
    species = sorted(every - {mobile})
    anions = [s for s in species if s in ("F", "Cl", "Br", "I", "O", "S", "N")]
    return anions, [s for s in species if s not in anions]


def _bring_together(
    atoms: Atoms, pair: tuple[str, str], distance_A: float, rng: np.random.Generator
) -> None:
    """Move two neighbours of the pair's species along their line to the given distance."""
    firsts = np.flatnonzero(atoms.symbols == pair[0])
    seconds = np.flatnonzero(atoms.symbols == pair[1])
    if len(firsts) == 0 or len(seconds) == 0 or len(set(firsts) | set(seconds)) < 2:
        return
    i = int(rng.choice(firsts))
    others = seconds[seconds != i]
    if len(others) == 0:
        return
    # Any of the three nearest, so that the rest of the neighbourhood stays reasonable.
    lengths = atoms.get_distances(i, others, mic=True)
    j = int(rng.choice(others[np.argsort(lengths)[:3]]))
    vector = atoms.get_distance(i, j, mic=True, vector=True)
    length = np.linalg.norm(vector)
    move = vector / length * (length - distance_A) / 2
    atoms.positions[i] += move
    atoms.positions[j] -= move


def _void(atoms: Atoms, rng: np.random.Generator) -> Any:
    """The roomiest of many random points, in Å."""
    trials = rng.random((_VOID_TRIALS, 3)) @ np.array(atoms.cell)
    probe = bare(atoms)
    best, room = trials[0], -1.0
    for point in trials:
        probe_with = probe + Atoms("H", positions=[point])
        free = float(probe_with.get_distances(-1, range(len(probe)), mic=True).min())
        if free > room:
            best, room = point, free
    return best


def _displace(
    atoms: Atoms, width_A: float, settings: DistillSettings, rng: np.random.Generator
) -> None:
    mobile = np.array(atoms.symbols == settings.mobile)
    scale = np.where(mobile, settings.seeds.mobile_factor, 1.0)[:, None] * width_A
    atoms.positions += rng.normal(0.0, 1.0, (len(atoms), 3)) * scale


def _named(atoms: Atoms, origin: str, start: Start) -> Atoms:
    atoms.info |= {"origin": origin, "start": start.tag, "family": start.family}
    return atoms
