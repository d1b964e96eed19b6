"""`halmd fit`: a student fitted to labelled snapshots, on all cores, resumable to the step.

The command writes the data and a job, and starts one process of one thread for each worker
(`fit_worker.py`), or one process where there is a GPU.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from halmd.distill.graphs import free_atom_energies, graph, rooms_for_neighbours
from halmd.distill.label import Labelled
from halmd.distill.settings import StudentSettings
from halmd.errors import HalmdError
from halmd.files import read_json, whole_file, write_json

GRAPHS, JOB, PARAMETERS, PROGRESS = "graphs.pickle", "job.json", "parameters.pt", "progress.json"
"""Files in the folder of a fit."""

PARENT = "HALMD_PARENT"
"""Environment variable with the process that a worker ends with."""

_LOOK_EVERY_S = 1.0

_FLOWN_A = 1e4
"""Further from the origin than any cell, and than any ion in the cells of the longest run."""


def usable(labelled: Sequence[Labelled], max_force_eV_per_A: float) -> list[Labelled]:
    """Snapshots whose largest force is not of the kind that only ZBL should decide.

    Nor of a run whose atoms flew away: a neighbour list of those takes minutes, or never ends.
    """
    return [
        x
        for x in labelled
        if np.abs(x.forces_eV_per_A).max() < max_force_eV_per_A
        and np.abs(x.atoms.positions).max() < _FLOWN_A
    ]


def fit(
    labelled: Sequence[Labelled],
    settings: StudentSettings,
    elements: Sequence[str],
    folder: Path,
    *,
    name: str,
    seed: int,
    workers: int,
    start_from: Path | None = None,
    like: Mapping[str, str] | None = None,
    say: Callable[[str], None],
) -> Path:
    """Fit a student and write `folder`/`name`.model; goes on where a killed fit stopped.

    start_from is the folder of an earlier fit of the same shape: its parameters are the beginning.
    Where it had fewer elements, `like` names the one that each new element begins as.
    Raises HalmdError when there is nothing to learn from or a worker fails.
    """
    target = folder / f"{name}.model"
    if target.exists():
        return target
    chosen = usable(labelled, settings.max_force_eV_per_A)
    if len(chosen) < 10:
        raise HalmdError(f"{folder}: {len(chosen)} usable snapshots are too few to fit a student")
    folder.mkdir(parents=True, exist_ok=True)
    free_eV = _free_atoms(chosen, elements, start_from)
    graphs = [graph(entry, free_eV, elements, settings.r_max_A) for entry in chosen]
    # What is squeezed so much that an atom has no room for its neighbours is left to ZBL too.
    widest = max(rooms_for_neighbours(settings.r_max_A))
    fitting = [g for g in graphs if g.most_neighbours <= widest]
    say(f"{len(fitting)} of {len(labelled)} snapshots are learnt")
    with whole_file(folder / GRAPHS) as temporary:
        temporary.write_bytes(pickle.dumps(fitting))
    device = _device()
    processes = workers if device == "cpu" else 1
    job = {
        "name": name,
        "settings": settings.model_dump(),
        "elements": list(elements),
        "free_eV": free_eV,
        "seed": seed,
        "workers": processes,
        "device": device,
        "compiled": settings.compiled,
        "start_from": str(start_from / PARAMETERS) if start_from else None,
        "like": dict(like or {}),
    }
    write_json(folder / JOB, job)
    _run_workers(folder, processes, say)
    if not target.exists():
        raise HalmdError(f"{folder}: the fit ended without a model (see {folder}/worker-*.log)")
    return target


def _free_atoms(
    chosen: Sequence[Labelled], elements: Sequence[str], start_from: Path | None
) -> dict[str, float]:
    """Energies of free atoms in eV: those of the fit that is gone on from, or new ones.

    Other ones would shift what the earlier fit has learnt, element by element.
    """
    earlier = read_json(start_from / JOB)["free_eV"] if start_from else {}
    return free_atom_energies(chosen, elements, known=earlier)


def _device() -> str:
    """cuda where there is a usable GPU; asked in another process, which keeps torch out of this."""
    code = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HalmdError("fitting needs mace-torch: pip install 'halmd[torch]'")
    return done.stdout.strip()


def _run_workers(folder: Path, workers: int, say: Callable[[str], None]) -> None:
    (folder / "meeting").unlink(missing_ok=True)
    (folder / PROGRESS).unlink(missing_ok=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str((folder.parent / "compiled").resolve()),
        PARENT: str(os.getpid()),
    }
    processes = []
    for rank in range(workers):
        with (folder / f"worker-{rank}.log").open("a") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "halmd.distill.fit_worker", str(folder), str(rank)],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                )
            )
    said = ""
    try:
        while any(process.poll() is None for process in processes):
            time.sleep(_LOOK_EVERY_S)
            if any(process.poll() for process in processes):
                break
            line = _progress(folder)
            if line != said:
                said = line
                say(line)
    finally:
        for process in processes:
            if process.poll() is None and any(other.poll() for other in processes):
                process.terminate()
            process.wait()
    for rank, process in enumerate(processes):
        # A worker that was stopped because another failed has nothing to tell.
        if process.returncode not in (0, -signal.SIGTERM):
            path = folder / f"worker-{rank}.log"
            lines = path.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise HalmdError(f"{folder}: the fit failed: {lines[-1][:200]} (see {path})")
    if any(process.returncode for process in processes):
        raise HalmdError(f"{folder}: the fit was stopped; run the same command to go on")


def _progress(folder: Path) -> str:
    path = folder / PROGRESS
    return str(read_json(path)["line"]) if path.exists() else ""
