"""Twenty orderings of a disordered cell: halmd beside pymatgen, seconds and energies.

    python benchmarks/structures.py [--limit-s 60] [--wanted 20] [--cases li3incl6-60 ...]

Each case is a formula in a supercell of some size, up to high-entropy cells of 198 and 276 atoms.
Every contestant runs in a fresh process of its own, one thread on one core, and is stopped at the
limit of time or memory:

- boltzmann, low_energy: `build_orderings` of halmd with either sampling, from the formula to ranked
  orderings that symmetry tells apart; choice of prototype and supercell included, imports not.
- pymatgen: `OrderDisorderedStructureTransformation` in its default algorithm, from the same sites
  with the numbers of atoms on each that halmd rounded to. It seeks the lowest Ewald energies; it
  tells no symmetry images apart and knows of no sites that may not both be filled.

A row shows the seconds, how many orderings came, how many of them symmetry tells apart (the site
symmetry of `halmd.structures.symmetry` judges all), how many fill excluded sites, the lowest and
the mean Ewald energy in eV, all by `halmd.structures.ewald`, and the time over that of low_energy,
which seeks the same. Without --cases all run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from halmd.config import StructureSettings
from halmd.structures.ewald import ewald_matrix
from halmd.structures.filling import exclusions, sites
from halmd.structures.lattice import VACANCY, Lattice, Occupation, site_charges
from halmd.structures.structure import OrderingSet, build_orderings
from halmd.structures.symmetry import content_kinds, same_ordering, site_symmetry

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
SEED = 1
TOOLS = ("boltzmann", "low_energy", "pymatgen")
_MEMORY_BYTES = 8 * 2**30
_SAME_SITE_A = 0.05


@dataclass(frozen=True)
class Case:
    """A formula, and the shortest side (Å) that makes its supercell the size in the name."""

    formula: str
    min_length_A: float


CASES = {
    "li3incl6-60": Case("Li3InCl6", 8.0),
    "li3incl6-80": Case("Li3InCl6", 11.0),
    "li3ycl6-30": Case("Li3YCl6", 5.0),
    "li2.5in0.5zr0.5cl6-38": Case("Li2.5In0.5Zr0.5Cl6", 5.0),
    "li2.5in0.5zr0.5cl6-76": Case("Li2.5In0.5Zr0.5Cl6", 8.0),
    "high-entropy-198": Case("Li2.9In0.75Zr0.1Sc0.05Er0.05Y0.05Cl6", 11.0),
    "high-entropy-276": Case("Li2.2In0.2Sc0.2Zr0.2Hf0.2Ta0.2Cl6", 13.0),
}


def build(case: Case, sampling: Any, wanted: int) -> OrderingSet:
    """Orderings by halmd."""
    settings = StructureSettings(
        min_length_A=case.min_length_A, n_orderings=wanted, sampling=sampling
    )
    return build_orderings(case.formula, settings, seed=SEED)


def lattice_of(found: OrderingSet) -> Lattice:
    """The sites and rules that the orderings were made with."""
    states = found.build.oxidation_states
    cell, fractional, labels = sites(found.prototype, found.supercell)
    species = tuple(found.supercell.counts)
    contents = {
        label: {e: round(x * labels.count(label)) for e, x in occupancy.items()}
        for label, occupancy in found.achieved_occupancies.items()
    }
    charges = np.array([float(states[e]) for e in species])
    excluded = exclusions(found.prototype, cell, fractional, labels, states)
    return Lattice(cell, fractional, labels, species, charges, contents, excluded)


def by_halmd(case: Case, sampling: str, wanted: int) -> dict[str, Any]:
    """Time and judge halmd."""
    began = time.perf_counter()
    found = build(case, sampling, wanted)
    seconds = time.perf_counter() - began
    lattice = lattice_of(found)
    placed = [
        on_sites(lattice, o.atoms.get_chemical_symbols(), o.atoms.get_scaled_positions())
        for o in found.orderings
    ]
    return {"seconds": seconds} | judged(lattice, placed)


def by_pymatgen(case: Case, wanted: int) -> dict[str, Any]:
    """Time and judge pymatgen, on the sites and numbers of one ordering by halmd."""
    from pymatgen.core import DummySpecies, Species, Structure
    from pymatgen.symmetry.structure import SymmetrizedStructure
    from pymatgen.transformations.standard_transformations import (
        OrderDisorderedStructureTransformation,
    )

    found = build(case, "random", 1)
    lattice = lattice_of(found)
    states = found.build.oxidation_states
    ions: list[dict[Species | DummySpecies, float]] = []
    filled = []
    for k, label in enumerate(lattice.groups):
        occupancy = found.achieved_occupancies[label]
        if occupancy:
            filled.append(k)
            ions.append({Species(e, states[e]): x for e, x in occupancy.items()})
    # Labels are kept apart as equivalent sites, or those of equal occupancy would be one group.
    labels = np.unique(np.array(lattice.groups)[filled], return_inverse=True)[1].tolist()
    disordered = SymmetrizedStructure(
        Structure(lattice.cell_A, ions, lattice.fractional[filled]),
        "P1",
        labels,
        ["a"] * len(filled),
    )
    began = time.perf_counter()
    ranked = OrderDisorderedStructureTransformation(
        symmetrized_structures=True
    ).apply_transformation(disordered, return_ranked_list=wanted)
    seconds = time.perf_counter() - began
    placed = [
        on_sites(
            lattice,
            [site.specie.symbol for site in entry["structure"]],
            entry["structure"].frac_coords,
        )
        for entry in ranked
    ]
    return {"seconds": seconds} | judged(lattice, placed)


def on_sites(lattice: Lattice, symbols: list[str], fractional: np.ndarray) -> Occupation:
    """What stands on each site of the lattice."""
    occupation = np.full(len(lattice.groups), VACANCY)
    for symbol, position in zip(symbols, fractional, strict=True):
        difference = lattice.fractional - position
        difference -= np.rint(difference)
        distance = np.linalg.norm(difference @ lattice.cell_A, axis=1)
        if distance.min() > _SAME_SITE_A:
            raise AssertionError(f"{symbol} stands on no site")
        occupation[distance.argmin()] = lattice.species.index(symbol)
    return occupation


def judged(lattice: Lattice, placed: list[Occupation]) -> dict[str, Any]:
    """Numbers that came, that differ and that clash, and energies in eV: one judge for all."""
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    symmetry = site_symmetry(lattice.cell_A, lattice.fractional, content_kinds(lattice))
    kept: list[Occupation] = []
    clashing = 0
    energies = []
    for occupation in placed:
        charges = site_charges(lattice, occupation)
        for label, content in lattice.contents.items():
            held = occupation[lattice.members(label)]
            for element, number in content.items():
                if np.sum(held == lattice.species.index(element)) != number:
                    raise AssertionError(f"not {number} {element} on {label}")
        energies.append(float(charges @ matrix @ charges / 2))
        full = occupation != VACANCY
        clashing += bool(lattice.excluded[np.ix_(full, full)].any())
        if not any(same_ordering(occupation, known, symmetry) for known in kept):
            kept.append(occupation)
    return {
        "atoms": int((placed[0] != VACANCY).sum()),
        "got": len(placed),
        "distinct": len(kept),
        "clashing": clashing,
        "lowest_eV": min(energies),
        "mean_eV": float(np.mean(energies)),
    }


def contest(case: str, tool: str, wanted: int, limit_s: float) -> dict[str, Any] | str:
    """The numbers of one contestant, or why there are none."""
    command = [sys.executable, __file__, "--one", tool, "--cases", case, "--wanted", str(wanted)]
    try:
        done = subprocess.run(
            command,
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES,) * 2),
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {limit_s:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:70]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(names: list[str], wanted: int, limit_s: float) -> None:
    """Run all contestants on the cases, a row printed as each ends."""
    print(
        f"{'case':22s} {'atoms':>5s} {'tool':10s} {'s':>7s} {'got':>4s} {'distinct':>8s} "
        f"{'clashing':>8s} {'lowest eV':>11s} {'mean eV':>11s} {'time ratio':>10s}"
    )
    for name in names:
        base = None
        # The time ratio needs low_energy first.
        for tool in ("low_energy", "boltzmann", "pymatgen"):
            row = contest(name, tool, wanted, limit_s)
            if isinstance(row, str):
                print(f"{name:22s} {'':5s} {tool:10s} {row}", flush=True)
                continue
            base = row["seconds"] if tool == "low_energy" else base
            ratio = f"{row['seconds'] / base:10.2f}" if base else ""
            print(
                f"{name:22s} {row['atoms']:5d} {tool:10s} {row['seconds']:7.2f} {row['got']:4d} "
                f"{row['distinct']:8d} {row['clashing']:8d} {row['lowest_eV']:11.3f} "
                f"{row['mean_eV']:11.3f} {ratio}",
                flush=True,
            )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--wanted", type=int, default=20)
    parser.add_argument("--limit-s", type=float, default=60.0)
    parser.add_argument("--one", choices=TOOLS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is None:
        table(arguments.cases, arguments.wanted, arguments.limit_s)
        return
    warnings.simplefilter("ignore")
    case = CASES[arguments.cases[0]]
    if arguments.one == "pymatgen":
        result = by_pymatgen(case, arguments.wanted)
    else:
        result = by_halmd(case, arguments.one, arguments.wanted)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
