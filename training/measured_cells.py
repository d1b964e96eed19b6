"""The finished student's cell in NPT at 300 K beside the cell measured at room temperature.

    python training/measured_cells.py training/halmd-halide-1.yaml

Two orderings of each measured phase, of low energy as they are at synthesis, in cells of at least
9 Å; 24 ps each at no pressure. Phases with elements the student has not learnt are left out.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from halmd.composition import parse_formula
from halmd.config import StructureSettings
from halmd.distill.cells import npt_frames
from halmd.distill.judge import trained_elements
from halmd.distill.settings import load_distill
from halmd.distill.stages import model_file, native_of
from halmd.distill.starts import Start, bare, read_starts
from halmd.potentials.evaluators import native_calculator
from halmd.structures.structure import build_orderings

MEASURED = (
    ("Li3YCl6", "Li3YCl6_P-3m1_M2M3"),
    ("Li3ErCl6", "Li3ErCl6_P-3m1"),
    ("Li3InCl6", "Li3InCl6_C2m"),
    ("Li3ScCl6", "Li3ScCl6_C2m"),
    ("Li3YbCl6", "Li3YbCl6_Pnma"),
    ("Li3YBr6", "Li3YBr6_C2m"),
    ("Li3ErI6", "Li3ErI6_C2c"),
    ("Li2MgCl4", "Li2MgCl4_Fd-3m"),
)
TEMPERATURE_K = 300.0


def ratio(formula: str, prototype: str, number: int, native: Path, cache: Path) -> float:
    """Mean volume of one ordering over the measured volume."""
    settings = StructureSettings(min_length_A=9.0, max_atoms=120, n_orderings=2)
    built = build_orderings(formula, settings, seed=5, prototype=prototype)
    atoms = bare(built.orderings[number % len(built.orderings)].atoms)
    # Built in the measured cell, so that its own volume is the one to compare with.
    measured = atoms.get_volume()
    start = Start(f"{formula}-{number}", formula, formula, atoms, held_out=True)
    frames = npt_frames(
        start,
        native_calculator(native, cache),
        temperature_K=TEMPERATURE_K,
        frames=80,
        interval_ps=0.25,
        seed=number,
    )
    return float(np.mean([frame.get_volume() for frame in frames])) / measured


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    settings = load_distill(parser.parse_args().config)
    native = native_of(model_file(settings, "final"))
    cache = settings.folder / "native-cache"
    known = set(trained_elements(read_starts(settings.folder / "starts.extxyz")))
    phases = [(f, p) for f, p in MEASURED if set(parse_formula(f)) <= known]
    jobs = [(f, p, n) for f, p in phases for n in range(2)]
    with ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(ratio, f, p, n, native, cache) for f, p, n in jobs]
        found = [future.result() for future in waiting]
    print(f"| phase | volume at {TEMPERATURE_K:g} K over measured, two orderings |")
    print("|---|---|")
    for k, (formula, _) in enumerate(phases):
        print(f"| {formula} | {found[2 * k]:.3f}, {found[2 * k + 1]:.3f} |")
    print(f"mean {np.mean(found):.3f}")


if __name__ == "__main__":
    main()
