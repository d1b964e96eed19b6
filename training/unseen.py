"""A potential on what another distillation has labelled, of the elements that it knows.

    python training/unseen.py MODEL training/halmd-halide-2.yaml

Says by family how far a potential may be trusted in crystals and mixtures that it has never seen:
its errors against the teacher, the slope of its forces, and how far off energies are together,
which no force feels. The labels come from `labelled.py unpack`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from halmd.distill.errors import Compared, compare, errors
from halmd.distill.fit import usable
from halmd.distill.label import Labelled
from halmd.distill.settings import DistillSettings, load_distill
from halmd.distill.stages import labelled_stage, stage_names
from halmd.potentials.evaluators import torch_calculator

BY_HAND = ("seeds", "cores")
"""Stages that no MD has made: strained, rattled and pressed together on purpose."""


def known(settings: DistillSettings, elements: set[str]) -> list[Labelled]:
    """Labelled snapshots of MD that have these elements alone."""
    stages = [stage for stage in stage_names(settings) if stage not in BY_HAND]
    every = [entry for stage in stages for entry in labelled_stage(settings, stage)]
    kept = [entry for entry in every if set(entry.atoms.get_chemical_symbols()) <= elements]
    return usable(kept, settings.student.max_force_eV_per_A)


def line(name: str, rows: Sequence[Compared]) -> str:
    """One line of the table."""
    found = errors(rows)
    off = 1000 * np.array(
        [mine - teacher for mine, teacher in (r.energy_eV_per_atom for r in rows)]
    )
    lithium = found["by_species"]["Li"]
    return (
        f"| {name} | {found['snapshots']} | {off.mean():+.1f} ± {off.std():.1f} "
        f"| {found['force_rmse_meV_per_A']:.0f} ({found['force_relative']:.1%}) "
        f"| {lithium['force_rmse_meV_per_A']:.0f}, {lithium['force_slope']:.3f} |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a .model file")
    parser.add_argument("config", type=Path, help="the distillation whose labels are taken")
    arguments = parser.parse_args()
    settings = load_distill(arguments.config)
    calculator = torch_calculator(arguments.model)
    elements = {chemical_symbols[int(z)] for z in calculator.models[0].atomic_numbers}
    families: dict[str, list[Compared]] = {}
    for entry in known(settings, elements):
        families.setdefault(str(entry.atoms.info["family"]), []).append(compare(entry, calculator))
    print("|  | snapshots | energy, meV/atom | force, meV/Å (of its RMS) | Li, slope |")
    print("|---|---|---|---|---|")
    for family, rows in sorted(families.items()):
        formulas = {Atoms(list(r.symbols)).get_chemical_formula("metal") for r in rows}
        about = f"{min(formulas)} in {family}" if len(formulas) == 1 else family
        print(line(about, rows))


if __name__ == "__main__":
    main()
