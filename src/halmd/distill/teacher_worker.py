"""Label snapshots with one ASE calculator; run as a script by the teacher's own interpreter.

    python teacher_worker.py JOB.json

Needs numpy, ASE and the calculator's packages; nothing of halmd. JOB has `snapshots` (an extxyz
file), `calculator` (module:factory), `arguments`, `target` (folder of the shards), `shard`,
`worker` and `workers`. Each shard is one npz: energies (eV), forces (eV/Å), stresses (eV/Å³,
Voigt order), offsets of the snapshots among the forces. A snapshot the calculator cannot compute
is NaN.
"""

import importlib
import json
import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
# In the place of this script's own folder, whose modules are halmd's and not the teacher's.
sys.path[0] = str(Path.cwd())


def main() -> None:
    """Label this worker's shards; those already written are left as they are."""
    import ase.io
    import numpy as np
    from ase.calculators.calculator import all_changes

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    target = Path(job["target"])
    frames = ase.io.read(job["snapshots"], ":", format="extxyz")
    shards = [
        (first, target / f"{first:06d}.npz")
        for number, first in enumerate(range(0, len(frames), job["shard"]))
        if number % job["workers"] == job["worker"]
    ]
    todo = [(first, path) for first, path in shards if not path.exists()]
    if not todo:
        return
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        pass
    module, _, factory = job["calculator"].partition(":")
    calculator = getattr(importlib.import_module(module), factory)(**job["arguments"])
    parent = int(os.environ.get("HALMD_PARENT", os.getppid()))
    for first, path in todo:
        if os.getppid() != parent:
            # Whoever started this is gone, and may have been started again.
            return
        energies, forces, stresses, offsets = [], [], [], [0]
        for atoms in frames[first : first + job["shard"]]:
            try:
                calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
                results = calculator.results
                energies.append(float(results["energy"]))
                forces.append(np.array(results["forces"], dtype=float))
                stresses.append(np.array(results["stress"], dtype=float))
            except Exception as error:
                print(f"snapshot {first + len(energies)}: {error}", file=sys.stderr, flush=True)
                energies.append(np.nan)
                forces.append(np.full((len(atoms), 3), np.nan))
                stresses.append(np.full(6, np.nan))
            offsets.append(offsets[-1] + len(atoms))
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        with temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                energies_eV=np.array(energies),
                # Finer than any teacher's noise; what is rounded is kept in half the space.
                forces_eV_per_A=np.concatenate(forces).round(4).astype(np.float32),
                stresses_eV_per_A3=np.array(stresses).round(8),
                offsets=np.array(offsets),
            )
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)


if __name__ == "__main__":
    main()
