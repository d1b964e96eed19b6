"""Rebuild the shipped potential from nothing but registry packages.

    python training/rebuild.py [--folder training/data]

Stages: snapshots, labels by the teacher, fits, explorations by the student's own MD, more labels,
a last fit, and a test on orderings and temperatures kept apart. Each stage writes a file and is
skipped when the file exists, so a killed rebuild goes on where it stopped.
"""

import argparse
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ase.io
import yaml
from ase import Atoms

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from explore import explorations  # noqa: E402
from fit import fit  # noqa: E402
from halmd.potentials.potential import export_native  # noqa: E402
from snapshots import Start, seed_snapshots, starts  # noqa: E402

WORKERS = 2


def say(text: str) -> None:
    """One line of progress."""
    print(f"rebuild: {text}", flush=True)


def label(frames: list[Atoms], stem: str, recipe: dict[str, Any], folder: Path) -> list[Atoms]:
    """Snapshots with the teacher's energies, forces and stresses."""
    target = folder / f"{stem}-labelled.xyz"
    if not target.exists():
        source = folder / f"{stem}.xyz"
        if not source.exists():
            ase.io.write(source, frames, format="extxyz")
        teacher = recipe["teacher"]
        command = [str(teacher_python()), str(HERE / "label.py"), str(source), str(target)]
        command += ["--model", teacher["model"], "--workers", str(WORKERS)]
        if teacher["dispersion"]:
            command += ["--dispersion", *teacher["dispersion"].values()]
        subprocess.run(command, check=True)
    labelled: list[Atoms] = ase.io.read(target, ":")
    origins = Counter(atoms.info["origin"] for atoms in labelled)
    say(f"{stem}: {len(labelled)} labelled snapshots ({dict(origins)})")
    return labelled


def teacher_python() -> Path:
    """Interpreter of the teacher's environment (made by `make teacher`)."""
    path = HERE.parent / ".venv-teacher" / "bin" / "python"
    if not path.exists():
        raise SystemExit(f"{path}: no teacher environment; run `make teacher`")
    return path


def explored(
    stem: str,
    found: list[Start],
    model: Path,
    plan: dict[str, Any],
    recipe: dict[str, Any],
    folder: Path,
) -> list[Atoms]:
    """Snapshots of the student's own MD, in `WORKERS` processes of one thread each."""
    if (folder / f"{stem}-labelled.xyz").exists():
        return []
    native = export_native(model, folder / model.stem)
    cache = folder / "native-cache"
    jobs = [
        {
            "share": share,
            "of": WORKERS,
            "seed": recipe["seed"] + sum(map(ord, stem)),
            "guard_A": recipe["guard_A"],
        }
        for share in range(WORKERS)
    ]
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        parts = list(
            pool.map(
                explorations,
                [found] * WORKERS,
                [native] * WORKERS,
                [cache] * WORKERS,
                [plan] * WORKERS,
                jobs,
            )
        )
    return [atoms for part in parts for atoms in part]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.yaml")
    parser.add_argument("--folder", type=Path, default=HERE / "data")
    arguments = parser.parse_args()
    recipe = yaml.safe_load(arguments.recipe.read_text())
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)

    found = starts(recipe)
    training = [start for start in found if not start.held_out]
    held_out = [start for start in found if start.held_out]
    say(f"{len(training)} orderings to train on, {len(held_out)} held out")

    data = label(seed_snapshots(recipe, found), "seeds", recipe, folder)
    student = recipe["student"]
    for number, plan in enumerate(recipe["generations"], start=1):
        name = f"explorer-{number}"
        model = fit(name, data, recipe, student["explorer"], folder / name)
        stem = f"generation-{number}"
        new = explored(stem, training, model, plan, recipe, folder)
        data = data + label(new, stem, recipe, folder)
    model = fit(recipe["name"], data, recipe, student["final"], folder / "final")
    new = explored("test", held_out, model, recipe["test"], recipe, folder)
    label(new, "test", recipe, folder)
    say(f"fitted {model}")


if __name__ == "__main__":
    main()
