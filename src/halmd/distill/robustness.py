"""Does a student stay out of holes? Pairs pushed together, and hot MD of compressed cells."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.distill.explore import guard_A
from halmd.distill.snapshots import strained
from halmd.distill.starts import bare
from halmd.dynamics.lean import Motion, Rescaling, at_rest_as_a_whole
from halmd.dynamics.stability import closest_contact

Floats = NDArray[np.float64]

SCAN_A = tuple(round(1.7 - 0.1 * k, 1) for k in range(11))
"""Distances of the pair scan, in Å: inwards to 0.7."""

_ANIONS = ("F", "Cl", "Br", "I", "O")


def pair_scan(
    starts: Sequence[Atoms], calculator: Any, species: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Push every pair of species together in a crystal: force between the two at each of SCAN_A.

    Forces in eV/Å, positive is apart. Where no crystal holds both species, ions of one that does
    hold the first are exchanged. `repulsive`: every force within 1.2 Å is apart and grows inwards.
    """
    scan = {}
    for pair in itertools.combinations_with_replacement(sorted(species), 2):
        host = _host(starts, pair)
        forces = [_force_between(host, pair, distance, calculator) for distance in SCAN_A]
        inner = [force for force, distance in zip(forces, SCAN_A, strict=True) if distance <= 1.2]
        grows = all(later > earlier for earlier, later in itertools.pairwise(inner))
        scan["-".join(pair)] = {
            "force_eV_per_A": {f"{d:.1f}": f for d, f in zip(SCAN_A, forces, strict=True)},
            "repulsive": bool(grows and min(inner) > 0),
        }
    return scan


def _host(starts: Sequence[Atoms], pair: tuple[str, str]) -> Atoms:
    """A crystal with two ions of the pair's species, exchanged for others if need be."""
    for atoms in starts:
        symbols = atoms.get_chemical_symbols()
        if all(symbols.count(s) >= pair.count(s) for s in pair):
            return bare(atoms)
    atoms = max((bare(a) for a in starts), key=lambda a: (pair[0] in a.symbols, -len(a)))
    symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
    for species in pair:
        missing = pair.count(species) - int((symbols == species).sum())
        alike = [
            k
            for k, s in enumerate(symbols)
            if s not in pair and s != "Li" and (s in _ANIONS) == (species in _ANIONS)
        ]
        spare = alike or [k for k, s in enumerate(symbols) if s not in pair]
        for place in spare[: max(0, missing)]:
            symbols[place] = species
    atoms.set_chemical_symbols(list(symbols))
    return atoms


def _force_between(host: Atoms, pair: tuple[str, str], distance_A: float, calculator: Any) -> float:
    """Force on the nearest pair of these species along its line at a distance, in eV/Å."""
    symbols = np.array(host.get_chemical_symbols())
    lengths = host.get_all_distances(mic=True)
    np.fill_diagonal(lengths, np.inf)
    lengths[symbols != pair[0]] = np.inf
    lengths[:, symbols != pair[1]] = np.inf
    i, j = np.unravel_index(int(np.argmin(lengths)), lengths.shape)
    vector = host.get_distance(int(i), int(j), mic=True, vector=True)
    along = vector / np.linalg.norm(vector)
    atoms = bare(host)
    middle = host.positions[i] + vector / 2
    atoms.positions[i] = middle - along * distance_A / 2
    atoms.positions[j] = middle + along * distance_A / 2
    atoms.calc = calculator
    forces = atoms.get_forces()
    return float((forces[j] - forces[i]) @ along / 2)


def collapse_test(
    start: Atoms,
    calculator: Any,
    *,
    volume_strain: float = -0.15,
    temperature_K: float = 1200.0,
    length_ps: float = 100.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Hot MD of a compressed cell at constant volume; says how it ended.

    It has not collapsed when no two atoms came nearer than the guard of `explore`, positions stayed
    numbers, and the temperature did not run away.
    """
    rng = np.random.default_rng(seed)
    atoms = strained(start, volume_strain, 0.0, rng)
    at_rest_as_a_whole(atoms, temperature_K, rng)
    thermostat = Rescaling(
        atoms.get_masses(), temperature_K=temperature_K, time_fs=100.0, timestep_fs=2.0, rng=rng
    )
    dynamics = Motion(atoms, calculator, timestep_fs=2.0, thermostat=thermostat)
    limits = guard_A(atoms.get_chemical_symbols())
    done_ps = 0.0
    hottest = 0.0
    for _ in range(round(length_ps / 0.05)):
        try:
            dynamics.run(25)
        except (FloatingPointError, ValueError, RuntimeError) as error:
            return _ended(False, done_ps, hottest, f"the student fails: {error}"[:100])
        done_ps += 0.05
        if not np.isfinite(atoms.positions).all():
            return _ended(False, done_ps, hottest, "positions are no longer numbers")
        hottest = max(hottest, atoms.get_temperature())
        contact = closest_contact(atoms.positions, np.array(atoms.cell), limits)
        if contact:
            length, i, j = contact
            pair = f"{atoms.symbols[i]}-{atoms.symbols[j]}"
            return _ended(False, done_ps, hottest, f"{pair} at {length:.2f} Å")
        if hottest > 3 * temperature_K + 500:
            return _ended(False, done_ps, hottest, "runaway temperature")
    return _ended(True, done_ps, hottest, None)


def _ended(stable: bool, length_ps: float, hottest_K: float, why: str | None) -> dict[str, Any]:
    return {
        "stable": stable,
        "length_ps": round(length_ps, 2),
        "hottest_K": round(float(hottest_K), 0),
        "why": why,
    }
