"""What a larger student buys: held-out errors against milliseconds a step.

    python training/sizes.py training/halmd-halide-1.yaml [--epochs 12] [--share 1]
        [--shapes 16x0e 32x0e ...]

Fits every shape to the same labelled snapshots (all, or a share drawn at random) with the same
settings, tests it on the snapshots of the test (labelled before: run `halmd distill` first), and
times the native evaluator on 60 atoms. A shape is written NxLe[,r=CUTOFF][,radial=A-B-C]. Fits are
kept, so a second call only prints.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from halmd.distill.errors import compare, errors
from halmd.distill.fit import fit, usable
from halmd.distill.settings import DistillSettings, StudentSettings, load_distill
from halmd.distill.stages import labelled_stage, native_of, printable, stage_names
from halmd.distill.starts import bare, read_starts
from halmd.files import read_json, write_json
from halmd.potentials.evaluators import native_calculator

DEFAULT = ("16x0e", "32x0e", "32x0e,radial=16-16", "32x0e,r=6", "64x0e", "16x0e+16x1o")


def parse(word: str, base: StudentSettings, epochs: int) -> StudentSettings:
    """A shape as it is written on the command line."""
    shape, *rest = word.split(",")
    changes: dict[str, Any] = {"hidden_irreps": shape, "epochs": epochs, "warm_start": False}
    for entry in rest:
        key, value = entry.split("=")
        if key == "r":
            changes["r_max_A"] = float(value)
        elif key == "radial":
            changes["radial"] = tuple(int(n) for n in value.split("-"))
        else:
            raise SystemExit(f"{word}: {key!r} is neither r nor radial")
    return base.model_copy(update=changes)


def milliseconds_per_step(settings: DistillSettings, calculator: Any) -> float:
    """Median time of energy and forces of about 60 atoms at moving positions."""
    starts = read_starts(settings.folder / "starts.extxyz")
    atoms = bare(min(starts, key=lambda start: abs(len(start.atoms) - 60)).atoms)
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    times = []
    for _ in range(60):
        atoms.positions += rng.normal(0.0, 0.002, (len(atoms), 3))
        began = time.perf_counter()
        atoms.get_forces()
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times[20:]))


def study(settings: DistillSettings, word: str, epochs: int, share: float) -> dict[str, Any]:
    """Fit one shape and judge it."""
    shape = parse(word, settings.student, epochs)
    name = word.replace(",", "_").replace("=", "")
    folder = settings.folder / "sizes" / f"{name}-{epochs}-{share:g}"
    record = folder / "record.json"
    if record.exists():
        return read_json(record)
    data = [x for s in stage_names(settings)[:-1] for x in labelled_stage(settings, s)]
    drawn = np.random.default_rng(settings.seed).random(len(data)) < share
    data = [entry for entry, taken in zip(data, drawn, strict=True) if taken]
    began = time.perf_counter()
    model = fit(
        data,
        shape,
        settings.elements,
        folder,
        name=name.replace("+", "-"),
        seed=settings.seed,
        workers=settings.workers,
        say=printable(settings, word),
    )
    minutes = (time.perf_counter() - began) / 60
    # A native backend cannot be replaced by one of another shape within a process.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        judged = pool.submit(judge, settings, native_of(model), shape).result()
    result = {"shape": word, "fit_minutes": minutes, **judged}
    write_json(record, result)
    return result


def judge(settings: DistillSettings, native: Path, shape: StudentSettings) -> dict[str, Any]:
    """Errors on the test, and the time of a step."""
    calculator = native_calculator(native, settings.folder / "native-cache")
    test = usable(labelled_stage(settings, "test"), shape.max_force_eV_per_A)
    return {
        "ms_per_step": milliseconds_per_step(settings, calculator),
        "test": errors([compare(entry, calculator) for entry in test]),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--share", type=float, default=1.0, help="of the snapshots that is learnt")
    parser.add_argument("--shapes", nargs="+", default=list(DEFAULT))
    arguments = parser.parse_args()
    settings = load_distill(arguments.config)
    rows = [study(settings, word, arguments.epochs, arguments.share) for word in arguments.shapes]
    print("| student | ms a step | force, meV/Å (of RMS) | Li, meV/Å | meV/atom | fit, min |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        test = row["test"]
        lithium = test["by_species"][settings.mobile]["force_rmse_meV_per_A"]
        print(
            f"| {row['shape']} | {row['ms_per_step']:.1f} | {test['force_rmse_meV_per_A']:.0f} "
            f"({test['force_relative']:.1%}) | {lithium:.0f} "
            f"| {test['energy_rmse_meV_per_atom']:.1f} | {row['fit_minutes']:.0f} |"
        )


if __name__ == "__main__":
    main()
