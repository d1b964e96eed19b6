"""Barrier of one lithium hop into a vacancy, by each teacher and by students.

    .venv-teacher/bin/python training/barriers.py run l3i5       # one of training/teachers.py
    python training/barriers.py student work/distill/NAME/final/NAME.native.json
    python training/barriers.py table                            # what all found, as Markdown

The crystals of `training/teachers.py start` at their measured cells, which are held fixed: what
differs is the potential, not the volume. One Li is taken away, its nearest Li moves into its place
(climbing-image nudged elastic band: Henkelman, Uberuaga and Jónsson, J. Chem. Phys. 113, 9901
(2000)). Results are kept in training/data/barriers/ and not computed again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.mixing import LinearCombinationCalculator
from ase.mep import NEB
from ase.optimize import FIRE, LBFGS

import teachers

FOLDER = Path(__file__).resolve().parent / "data" / "barriers"
CRYSTALS = ("Li3YCl6", "Li3InCl6", "Li3YBr6", "Li2ZrCl6 alpha", "Li2ZrCl6 beta")
N_IMAGES = 5
ENDS_EV_PER_A = 0.02
PATH_EV_PER_A = 0.05
MOST_STEPS = 150
LEAST_HOP_A = 1.0
DISPERSION = 0.8
"""Weight of D3(BJ) in the teacher's sum, as in the recipes."""


def ends_of(name: str) -> tuple[Atoms, Atoms]:
    """A crystal with a vacancy beside a lithium ion, and with that ion moved into it."""
    crystal = ase.io.read(teachers.FOLDER / f"{teachers.slug(name)}.extxyz")
    lithium = np.flatnonzero(crystal.symbols == "Li")
    # With itself and its images an ion is at no distance of interest.
    distances = crystal.get_all_distances(mic=True)[np.ix_(lithium, lithium)]
    np.fill_diagonal(distances, np.inf)
    mover, gone = (int(lithium[k]) for k in np.unravel_index(distances.argmin(), distances.shape))
    before, after = crystal.copy(), crystal.copy()
    after.positions[mover] += crystal.get_distance(mover, gone, mic=True, vector=True)
    for atoms in (before, after):
        atoms.info = {}
        del atoms[gone]
    return before, after


def barrier(name: str, calculator: Any) -> dict[str, Any]:
    """Barrier forwards and backwards in eV; or why there is none."""
    ends = ends_of(name)
    for atoms in ends:
        atoms.calc = calculator
        LBFGS(atoms, logfile=None).run(fmax=ENDS_EV_PER_A, steps=MOST_STEPS)
    before, after = ends
    moved = np.linalg.norm(after.positions - before.positions, axis=1).max()
    if moved < LEAST_HOP_A:
        return {"failed": "the vacancy is no resting place: both ends relax to the same"}
    images = [before, *(before.copy() for _ in range(N_IMAGES)), after]
    for image in images[1:-1]:
        image.calc = calculator
    path = NEB(images, climb=True, allow_shared_calculator=True, method="improvedtangent")
    path.interpolate("idpp", mic=True)
    done = FIRE(path, logfile=None).run(fmax=PATH_EV_PER_A, steps=MOST_STEPS)
    energies = np.array([float(image.get_potential_energy()) for image in images])
    return {
        "forwards_eV": float(energies.max() - energies[0]),
        "backwards_eV": float(energies.max() - energies[-1]),
        "hop_A": float(moved),
        "converged": bool(done),
    }


def compute(label: str, calculator: Any) -> None:
    """Barriers of all crystals by one calculator."""
    for name in CRYSTALS:
        target = FOLDER / label / f"{teachers.slug(name)}.json"
        if target.exists():
            continue
        record = barrier(name, calculator)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record))
        print(f"{label}: {name}: {record}", flush=True)


def run(arguments: argparse.Namespace) -> None:
    """Barriers by a teacher, alone and (where it is the one chosen) with its dispersion."""
    teacher = teachers.TEACHERS[arguments.name]
    plain = teachers.calculator_of(teacher)
    compute(arguments.name, plain)
    dispersion = teachers.dispersions(teacher.functional).get("+D3")
    if dispersion is not None and arguments.name == "l3i5":
        both = LinearCombinationCalculator([plain, dispersion], [1.0, DISPERSION])
        compute(f"{arguments.name}+{DISPERSION:g} D3", both)


def student(arguments: argparse.Namespace) -> None:
    """Barriers by a student's native export."""
    from halmd.potentials.evaluators import native_calculator

    native: Path = arguments.native
    compute(native.name.removesuffix(".native.json"), native_calculator(native, FOLDER / "cache"))


def table(_: argparse.Namespace) -> None:
    """Print what all calculators found."""
    labels = sorted(path.name for path in FOLDER.iterdir() if any(path.glob("*.json")))
    print("Barrier of a hop of Li into a vacancy, forwards and backwards, eV\n")
    print(f"| crystal | {' | '.join(labels)} |\n|---{'|---' * len(labels)}|")
    for name in CRYSTALS:
        print(f"| {name} | {' | '.join(cell(label, name) for label in labels)} |")


def cell(label: str, name: str) -> str:
    """One entry of the table."""
    path = FOLDER / label / f"{teachers.slug(name)}.json"
    if not path.exists():
        return ""
    record = json.loads(path.read_text())
    if "failed" in record:
        return "no hop"
    mark = "" if record["converged"] else " (not converged)"
    return f"{record['forwards_eV']:.2f}, {record['backwards_eV']:.2f}{mark}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("name", choices=teachers.TEACHERS)
    runner.set_defaults(call=run)
    native = commands.add_parser("student")
    native.add_argument("native", type=Path)
    native.set_defaults(call=student)
    commands.add_parser("table").set_defaults(call=table)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
