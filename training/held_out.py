"""A fitted student on the test, by mace-torch: before the native evaluator is compiled for it.

    python training/held_out.py training/halmd-halide-1.yaml [--student final] [--pairs]

Errors by family, temperature and composition as `halmd validate-potential` finds them, in a few
minutes; with `--pairs` also which pairs of ions repel one another more and more down to 0.7 Å.
"""

import argparse
from pathlib import Path
from typing import Any

from halmd.distill.errors import compare, errors, grouped
from halmd.distill.fit import usable
from halmd.distill.robustness import pair_scan
from halmd.distill.settings import load_distill
from halmd.distill.stages import all_starts, all_test, model_file
from halmd.potentials.evaluators import torch_calculator


def row(name: str, found: dict[str, Any], mobile: str) -> str:
    """One line of a table."""
    ours = found["by_species"].get(mobile)
    lithium = f"{ours['force_rmse_meV_per_A']:.0f}" if ours else ""
    return (
        f"| {name} | {found['snapshots']} | {found['energy_rmse_meV_per_atom']:.2f} "
        f"| {found['force_rmse_meV_per_A']:.0f} ({found['force_relative']:.1%}) | {lithium} |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--student", default="final")
    parser.add_argument("--pairs", action="store_true")
    arguments = parser.parse_args()
    settings = load_distill(arguments.config)
    calculator = torch_calculator(model_file(settings, arguments.student))
    test = usable(all_test(settings), settings.student.max_force_eV_per_A)
    rows = [compare(entry, calculator) for entry in test]
    print("|  | snapshots | energy, meV/atom | force, meV/Å (of its RMS) | Li |")
    print("|---|---|---|---|---|")
    for key in ("family", "temperature_K"):
        parts = grouped(rows, lambda r, key=key: str(r.info[key]))
        for name, found in parts.items():
            print(row(name, found, settings.mobile))
    print(row("all", errors(rows), settings.mobile), flush=True)
    uncovered = {family.name for family in settings.families if not family.covered}
    covered = [r for r in rows if str(r.info["family"]) not in uncovered]
    print(row("all that is covered", errors(covered), settings.mobile), flush=True)
    for species, found in errors(covered)["by_species"].items():
        off, slope = found["force_rmse_meV_per_A"], found["force_slope"]
        print(f"{species}: {off:.0f} meV/Å, slope {slope:.3f}")
    if arguments.pairs:
        starts = [start.atoms for start in all_starts(settings)]
        scan = pair_scan(starts, calculator, settings.elements)
        not_so = [pair for pair, found in scan.items() if not found["repulsive"]]
        print(f"{len(not_so)} of {len(scan)} pairs do not repel more and more: {', '.join(not_so)}")


if __name__ == "__main__":
    main()
