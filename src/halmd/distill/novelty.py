"""Which snapshots a student knows least: those whose atoms lie outside of what it has learnt.

Features of an atom are those the student computes its energy from. Of each species, the learnt
atoms span an ellipsoid in that space; the leverage of an atom says how far outside of it it lies
(the extrapolation grade of linear models; Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171
(2017)). Snapshots are taken one after the other, each time the one with the largest leverage of any
of its atoms, which then counts as learnt: two snapshots that say the same are not both taken.

The pure part needs numpy only; the features are computed by a process of its own, with torch:
`python -m halmd.distill.novelty JOB.json`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.errors import HalmdError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RIDGE = 1e-4
"""Share of the mean variance that every direction is granted: what never varied is not all-new."""


def select(
    known: Floats,
    known_species: Ints,
    new: Sequence[Floats],
    new_species: Sequence[Ints],
    count: int,
) -> list[int]:
    """Indices of `count` snapshots in the order they are taken, most novel first.

    known (n_atoms, k) features of what was learnt; new holds one such array for each candidate.
    """
    inverses = _inverse_spans(known, known_species, new, new_species)
    owner = np.repeat(np.arange(len(new)), [len(features) for features in new])
    features, species = np.concatenate(new), np.concatenate(new_species)
    grades = np.zeros(len(features))
    for kind, inverse in inverses.items():
        mine = species == kind
        grades[mine] = np.einsum("ij,jk,ik->i", features[mine], inverse, features[mine])
    taken: list[int] = []
    left = np.ones(len(new), dtype=bool)
    while len(taken) < min(count, len(new)):
        worst = np.full(len(new), -np.inf)
        np.maximum.at(worst, owner, grades)
        worst[~left] = -np.inf
        chosen = int(np.argmax(worst))
        taken.append(chosen)
        left[chosen] = False
        for kind in np.unique(new_species[chosen]):
            atoms = new[chosen][new_species[chosen] == kind]
            # Only the most novel atom of the species: the others add little, and each costs a pass.
            levels = np.einsum("ij,jk,ik->i", atoms, inverses[int(kind)], atoms)
            _learn(inverses, int(kind), atoms[int(np.argmax(levels))], features, species, grades)
    return taken


def _inverse_spans(
    known: Floats, known_species: Ints, new: Sequence[Floats], new_species: Sequence[Ints]
) -> dict[int, Floats]:
    """Inverse of the scatter matrix of each species' learnt features."""
    size = known.shape[1]
    scale = float((known**2).mean()) * max(1, len(known))
    found = {}
    for kind in np.unique(np.concatenate([known_species, *new_species])):
        mine = known[known_species == kind]
        found[int(kind)] = np.linalg.inv(mine.T @ mine + _RIDGE * scale * np.eye(size))
    return found


def _learn(
    inverses: dict[int, Floats],
    kind: int,
    atom: Floats,
    features: Floats,
    species: Ints,
    grades: Floats,
) -> None:
    """Add one atom to a species' scatter matrix, and lower the grades by what it tells."""
    inverse = inverses[kind]
    towards = inverse @ atom
    scale = 1.0 + float(atom @ towards)
    inverses[kind] = inverse - np.outer(towards, towards) / scale
    mine = species == kind
    grades[mine] -= (features[mine] @ towards) ** 2 / scale


def most_novel(
    student: Path, learnt: Sequence[Path], candidates: Sequence[Atoms], count: int
) -> list[int]:
    """Indices of the `count` candidates that a fitted student knows least, in ascending order.

    student is the folder of a fit; learnt are the snapshot files it was fitted to. Raises
    HalmdError when its features cannot be computed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ase.io.write(folder / "candidates.extxyz", list(candidates), format="extxyz")
        job = {
            "student": str(student.resolve()),
            "learnt": [str(path.resolve()) for path in learnt],
            "candidates": str(folder / "candidates.extxyz"),
            "target": str(folder / "features.npz"),
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "halmd.distill.novelty", str(folder / "job.json")],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise HalmdError(f"{student}: no features of the snapshots: {lines[-1][:200]}")
        with np.load(folder / "features.npz") as found:
            ends = found["ends"]
            new = np.split(found["new"], ends[:-1])
            kinds = np.split(found["new_species"], ends[:-1])
            chosen = select(found["known"], found["known_species"], new, kinds, count)
    return sorted(chosen)


def _features_job(job: dict[str, Any]) -> None:
    """Features of the learnt snapshots and of the candidates, in the process with torch."""
    import torch

    from halmd.distill import network, plain_mace
    from halmd.distill.settings import StudentSettings
    from halmd.files import read_json

    fitted = read_json(Path(job["student"]) / "job.json")
    settings = StudentSettings.model_validate(fitted["settings"])
    elements = fitted["elements"]
    constants = plain_mace.constants_of(network.build(settings, elements))
    parameters = torch.load(Path(job["student"]) / "parameters.pt", weights_only=True)

    def features(atoms: Atoms) -> tuple[Floats, Ints]:
        batch = network.bare_batch(atoms, elements, settings.r_max_A)
        with torch.no_grad():
            _, found = plain_mace.energies_and_features(parameters, constants, *batch)
        return found.double().numpy(), batch[1].numpy()

    def of_files(paths: Sequence[str]) -> list[tuple[Floats, Ints]]:
        return [features(atoms) for path in paths for atoms in ase.io.read(path, ":")]

    known, new = of_files(job["learnt"]), of_files([job["candidates"]])
    np.savez(
        job["target"],
        known=np.concatenate([f for f, _ in known]),
        known_species=np.concatenate([s for _, s in known]),
        new=np.concatenate([f for f, _ in new]),
        new_species=np.concatenate([s for _, s in new]),
        ends=np.cumsum([len(f) for f, _ in new]),
    )


if __name__ == "__main__":
    _features_job(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
