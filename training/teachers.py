"""Compare teachers: cells against experiment, and forces of one against another on hot snapshots.

    python training/teachers.py start                        # crystals, by halmd
    .venv-teacher/bin/python training/teachers.py run NAME   # one teacher, where it lives
    python training/teachers.py table                        # what all of them found, as Markdown

Crystals are the lowest orderings by Ewald energy of measured phases in small cells. `run` relaxes
each crystal at 0 K, with and without dispersion, and computes forces on the hot snapshots, which
the first teacher of `TEACHERS` makes by molecular dynamics. Every result is a file in
training/data/teachers/; what is there already is not computed again.
"""

import argparse
import importlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.mixing import SumCalculator
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import LBFGS

FOLDER = Path(__file__).resolve().parent / "data" / "teachers"

CRYSTALS = {
    "Li3YCl6": "Li3YCl6_P-3m1_M2M3",
    "Li3ErCl6": "Li3ErCl6_P-3m1",
    "Li3InCl6": "Li3InCl6_C2m",
    "Li3ScCl6": "Li3ScCl6_C2m",
    "Li3YbCl6": "Li3YbCl6_Pnma",
    "Li3YBr6": "Li3YBr6_C2m",
    "Li3ErI6": "Li3ErI6_C2c",
    "Li2MgCl4": "Li2MgCl4_Fd-3m",
}
"""Compositions whose cells were measured at room temperature, and their prototypes."""

PHASES = {"Li2ZrCl6 alpha": "Li2ZrCl6_alpha_P-3m1", "Li2ZrCl6 beta": "Li2ZrCl6_beta_C2m"}
"""Two phases whose order is known: alpha (milled) turns into beta when annealed."""

SUFFIXES = ("", "+D3", "+D4")

HOT_K = 900.0
HOT_STEPS = 120
HOT_EVERY = 40


@dataclass(frozen=True)
class Teacher:
    """How a calculator is made, and the functional whose dispersion belongs to it."""

    factory: str
    """module:name of a callable that returns an ASE calculator."""
    arguments: dict[str, Any] = field(default_factory=dict)
    functional: str = "PBE"


_SEVENNET = "quick_sevennet:calculator"
TEACHERS = {
    "mf-0-PBE": Teacher(_SEVENNET, {"model": "7net-mf-0", "modal": "PBE", "device": "cpu"}),
    "mf-0-r2SCAN": Teacher(
        _SEVENNET, {"model": "7net-mf-0", "modal": "R2SCAN", "device": "cpu"}, "r2SCAN"
    ),
    "l3i5": Teacher(_SEVENNET, {"model": "7net-l3i5", "device": "cpu"}),
    "CHGNet": Teacher("chgnet.model.dynamics:CHGNetCalculator", {"use_device": "cpu"}),
    "Nequix-OAM-1": Teacher(
        "nequix.calculator:NequixCalculator",
        {"model_path": "training/data/nequix-oam-1.nqx", "backend": "jax", "use_kernel": False},
    ),
}


def start(_: argparse.Namespace) -> None:
    """Build the crystals with halmd."""
    from halmd.config import StructureSettings
    from halmd.structures.prototypes import load_prototype
    from halmd.structures.structure import build_orderings

    settings = StructureSettings(min_length_A=5.5, n_orderings=1, sampling="low_energy")
    for name, prototype in (CRYSTALS | PHASES).items():
        formula = name.split()[0]
        built = build_orderings(formula, settings, seed=1, prototype=prototype)
        atoms = built.orderings[0].atoms
        atoms.info = {"name": name}
        if name in CRYSTALS:
            lengths = np.linalg.norm(load_prototype(prototype).lattice_A, axis=1)
            atoms.info["measured_A3"] = atoms.get_volume()
            atoms.info["measured_lengths_A"] = lengths
        write(FOLDER / f"{slug(name)}.extxyz", atoms)
        print(f"{name}: {len(atoms)} atoms, {atoms.get_volume():.1f} Å³")


def run(arguments: argparse.Namespace) -> None:
    """Relax all crystals and compute all forces with one teacher."""
    teacher = TEACHERS[arguments.name]
    plain = calculator_of(teacher)
    if arguments.name == next(iter(TEACHERS)):
        make_hot(plain)
    for suffix, dispersion in dispersions(teacher.functional).items():
        calculator = SumCalculator([plain, dispersion]) if dispersion else plain
        relax_all(arguments.name + suffix, calculator)
        forces_all(arguments.name + suffix, calculator)


def dispersions(functional: str) -> dict[str, Any]:
    """No dispersion, and every one whose package is installed here."""
    found: dict[str, Any] = {"": None}
    for suffix, module, name, options in (
        ("+D3", "dftd3.ase", "DFTD3", {"damping": "d3bj"}),
        ("+D4", "dftd4.ase", "DFTD4", {}),
    ):
        try:
            found[suffix] = getattr(importlib.import_module(module), name)(
                method=functional, **options
            )
        except ImportError:
            print(f"{module} is not installed here: without {suffix}")
    return found


def calculator_of(teacher: Teacher) -> Any:
    """The teacher's calculator."""
    module, name = teacher.factory.split(":")
    return getattr(importlib.import_module(module), name)(**teacher.arguments)


def make_hot(calculator: Any) -> None:
    """Snapshots of short molecular dynamics at `HOT_K`, from every crystal at its measured cell."""
    for number, name in enumerate(CRYSTALS | PHASES):
        target = FOLDER / f"{slug(name)}-hot.extxyz"
        if target.exists():
            continue
        rng = np.random.default_rng([7, number])
        atoms = ase.io.read(FOLDER / f"{slug(name)}.extxyz")
        atoms.calc = calculator
        MaxwellBoltzmannDistribution(atoms, temperature_K=2 * HOT_K, rng=rng)
        dynamics = Langevin(
            atoms, 2 * units.fs, temperature_K=HOT_K, friction=0.02 / units.fs, rng=rng
        )
        frames = []
        for _ in range(HOT_STEPS // HOT_EVERY):
            dynamics.run(HOT_EVERY)
            frames.append(
                Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
            )
        write(target, frames[1:])
        print(f"hot: {name}", flush=True)


def relax_all(label: str, calculator: Any) -> None:
    """Volume and energy of every crystal relaxed at 0 K."""
    for name in CRYSTALS | PHASES:
        target = FOLDER / label / f"{slug(name)}.json"
        if target.exists():
            continue
        atoms = ase.io.read(FOLDER / f"{slug(name)}.extxyz")
        atoms.calc = calculator
        relaxation = LBFGS(FrechetCellFilter(atoms), logfile=None)
        done = relaxation.run(fmax=0.03, steps=150)
        record = {
            "name": name,
            "atoms": len(atoms),
            "volume_A3": float(atoms.get_volume()),
            "measured_A3": atoms.info.get("measured_A3"),
            "energy_eV_per_atom": float(atoms.get_potential_energy() / len(atoms)),
            "converged": bool(done),
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record))
        print(f"{label}: {name}: {record}", flush=True)


def forces_all(label: str, calculator: Any) -> None:
    """Forces on the hot snapshots, (snapshots, atoms, 3) in eV/Å for every crystal."""
    for name in CRYSTALS | PHASES:
        target = FOLDER / label / f"{slug(name)}-forces.npy"
        source = FOLDER / f"{slug(name)}-hot.extxyz"
        if target.exists() or not source.exists():
            continue
        forces = []
        for atoms in ase.io.read(source, ":"):
            atoms.calc = calculator
            forces.append(atoms.get_forces())
        np.save(target, np.array(forces))


def slug(name: str) -> str:
    """A name for files."""
    return name.replace(" ", "-")


def write(path: Path, frames: Any) -> None:
    """Write structures under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    ase.io.write(temporary, frames, format="extxyz")
    temporary.replace(path)


def table(_: argparse.Namespace) -> None:
    """Print what all teachers found."""
    labels = [
        f"{name}{suffix}"
        for name in TEACHERS
        for suffix in SUFFIXES
        if (FOLDER / f"{name}{suffix}").is_dir()
    ]
    print("Volume relaxed at 0 K over the volume measured at room temperature\n")
    print(f"| crystal | {' | '.join(labels)} |\n|---{'|---' * len(labels)}|")
    for name in CRYSTALS:
        print(f"| {name} | {' | '.join(ratio(label, name) for label in labels)} |")
    alpha, beta = PHASES
    cells = [difference(label, alpha, beta) for label in labels]
    print(f"| E({alpha}) - E({beta}), meV/atom | {' | '.join(cells)} |")
    for judge in ("l3i5", "Nequix-OAM-1"):
        if not (FOLDER / judge / f"{slug(next(iter(CRYSTALS)))}-forces.npy").exists():
            continue
        print(f"\nSlope of forces on those of {judge} at about {HOT_K:g} K (Li; metals; anions)\n")
        # Dispersion changes no slope by more than 0.01.
        others = [label for label in labels if label in TEACHERS and label != judge]
        print(f"| crystal | {' | '.join(others)} |\n|---{'|---' * len(others)}|")
        for name in CRYSTALS | PHASES:
            print(f"| {name} | {' | '.join(slopes(label, judge, name) for label in others)} |")


def ratio(label: str, name: str) -> str:
    """Relaxed over measured volume of a crystal by a teacher."""
    path = FOLDER / label / f"{slug(name)}.json"
    if not path.exists():
        return ""
    record = json.loads(path.read_text())
    mark = "" if record["converged"] else " (not converged)"
    return f"{record['volume_A3'] / record['measured_A3']:.3f}{mark}"


def difference(label: str, first: str, second: str) -> str:
    """Energy of one phase less that of another in meV/atom."""
    paths = [FOLDER / label / f"{slug(name)}.json" for name in (first, second)]
    if not all(path.exists() for path in paths):
        return ""
    a, b = (json.loads(path.read_text())["energy_eV_per_atom"] for path in paths)
    return f"{1000 * (a - b):+.1f}"


def slopes(label: str, judge: str, name: str) -> str:
    """Slope of a teacher's forces on the judge's, for Li, metals and anions."""
    paths = [FOLDER / which / f"{slug(name)}-forces.npy" for which in (label, judge)]
    if not all(path.exists() for path in paths):
        return ""
    found, wanted = (np.load(path) for path in paths)
    symbols = np.array(
        ase.io.read(FOLDER / f"{slug(name)}-hot.extxyz").get_chemical_symbols()  # type: ignore[union-attr]
    )
    kinds = np.where(
        symbols == "Li", 0, np.where(np.isin(symbols, ["F", "Cl", "Br", "I", "O"]), 2, 1)
    )
    parts = []
    for kind in range(3):
        f, w = found[:, kinds == kind], wanted[:, kinds == kind]
        parts.append(f"{(f * w).sum() / (w * w).sum():.2f}")
    return "; ".join(parts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    commands.add_parser("start").set_defaults(call=start)
    runner = commands.add_parser("run")
    runner.add_argument("name", choices=TEACHERS)
    runner.set_defaults(call=run)
    commands.add_parser("table").set_defaults(call=table)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
