"""`halmd fit`: a student fitted to labelled snapshots, on all cores, resumable to the step.

The command writes a job and starts one process of one thread for each worker; this file is also
what those processes run. Every step, each worker takes a pack of its own and the gradients are
averaged.
"""

import itertools
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halmd.distill.graphs import (
    Capacity,
    Graph,
    capacity,
    free_atom_energies,
    graph,
    pack,
    packs,
    room_for_neighbours,
    share_out,
)
from halmd.distill.label import Labelled
from halmd.distill.settings import StudentSettings
from halmd.errors import HalmdError
from halmd.files import read_json, whole_file, write_json

_CHECKPOINT_EVERY_S = 60.0
_WARM_UP = 0.03
_VALID_SHARE = 0.04
_LOOK_EVERY_S = 1.0
_PARENT = "HALMD_PARENT"
"""Environment variable with the process that a worker ends with."""


@dataclass(frozen=True)
class Job:
    """What every worker of a fit must know."""

    settings: StudentSettings
    elements: tuple[str, ...]
    seed: int
    workers: int
    device: str
    compiled: bool
    start_from: str | None
    """Parameters to begin with (`parameters.pt` of another fit)."""


def usable(labelled: Sequence[Labelled], max_force_eV_per_A: float) -> list[Labelled]:
    """Snapshots whose largest force is not of the kind that only ZBL should decide."""
    return [x for x in labelled if np.abs(x.forces_eV_per_A).max() < max_force_eV_per_A]


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
    say: Callable[[str], None],
) -> Path:
    """Fit a student and write `folder`/`name`.model; goes on where a killed fit stopped.

    start_from is the folder of an earlier fit: its parameters are the beginning where their shapes
    agree. Raises HalmdError when there is nothing to learn from or a worker fails.
    """
    target = folder / f"{name}.model"
    if target.exists():
        return target
    chosen = usable(labelled, settings.max_force_eV_per_A)
    if len(chosen) < 10:
        raise HalmdError(f"{folder}: {len(chosen)} usable snapshots are too few to fit a student")
    folder.mkdir(parents=True, exist_ok=True)
    free_eV = free_atom_energies(chosen, elements)
    graphs = [graph(entry, free_eV, elements, settings.r_max_A) for entry in chosen]
    # What is squeezed so much that an atom has no room for its neighbours is left to ZBL too.
    fitting = [g for g in graphs if g.most_neighbours <= room_for_neighbours(settings.r_max_A)]
    say(f"{len(fitting)} of {len(labelled)} snapshots are learnt")
    with whole_file(folder / "graphs.pickle") as temporary:
        temporary.write_bytes(pickle.dumps(fitting))
    parent = start_from / "parameters.pt" if start_from else None
    job = {
        "name": name,
        "settings": settings.model_dump(),
        "elements": list(elements),
        "free_eV": free_eV,
        "seed": seed,
        "workers": workers,
        "device": _device(),
        "compiled": settings.compiled,
        "start_from": str(parent) if parent and parent.exists() else None,
    }
    write_json(folder / "job.json", job)
    _run_workers(folder, workers, say)
    if not target.exists():
        raise HalmdError(f"{folder}: the fit ended without a model (see {folder}/worker-*.log)")
    return target


def _device() -> str:
    """cuda where there is a usable GPU; asked in another process, which keeps torch out of this."""
    code = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HalmdError("fitting needs mace-torch: pip install 'halmd[torch]'")
    return done.stdout.strip()


def _run_workers(folder: Path, workers: int, say: Callable[[str], None]) -> None:
    (folder / "meeting").unlink(missing_ok=True)
    (folder / "progress.json").unlink(missing_ok=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str((folder.parent / "compiled").resolve()),
        _PARENT: str(os.getpid()),
    }
    processes = []
    for rank in range(workers):
        with (folder / f"worker-{rank}.log").open("a") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "halmd.distill.fit", str(folder), str(rank)],
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
    path = folder / "progress.json"
    return str(read_json(path)["line"]) if path.exists() else ""


class _Course:
    """Order of the packs and the learning rate: functions of the step, so that a fit can resume."""

    def __init__(
        self, train: list[Graph], room: Capacity, settings: StudentSettings, seed: int, workers: int
    ):
        self.train, self.settings, self.seed, self.workers = train, settings, seed, workers
        self.room = room
        self.steps_per_epoch = max(1, len(self._epoch(0)) // workers)
        self.steps = self.steps_per_epoch * settings.epochs

    def _epoch(self, epoch: int) -> list[list[int]]:
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(len(self.train))
        return share_out(self.train, [int(k) for k in order], self.room)

    def packs_of(self, epoch: int, rank: int) -> list[list[int]]:
        """What a worker sees in an epoch: `steps_per_epoch` packs."""
        wanted = self.steps_per_epoch * self.workers
        every = itertools.islice(itertools.cycle(self._epoch(epoch)), wanted)
        return list(every)[rank :: self.workers]

    def rate(self, step: int) -> float:
        """Learning rate: a short rise, then half a cosine down to nothing."""
        done = step / self.steps
        if done < _WARM_UP:
            return self.settings.learning_rate * (step + 1) / (_WARM_UP * self.steps + 1)
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _worker(folder: Path, rank: int) -> None:
    import torch
    import torch.distributed as group

    from halmd.distill import network

    torch.set_num_threads(1)
    parent = int(os.environ.get(_PARENT, os.getppid()))
    job = read_json(folder / "job.json")
    settings = StudentSettings.model_validate(job["settings"])
    graphs: list[Graph] = pickle.loads((folder / "graphs.pickle").read_bytes())
    order = np.random.default_rng([job["seed"], 1]).permutation(len(graphs))
    n_valid = max(2, round(_VALID_SHARE * len(graphs)))
    valid = [graphs[k] for k in order[:n_valid]]
    train = [graphs[k] for k in order[n_valid:]]
    workers = job["workers"]
    room = capacity(graphs, max(1, settings.batch_size // workers), settings.r_max_A)
    course = _Course(train, room, settings, job["seed"], workers)
    model = network.build(settings, job["elements"], seed=job["seed"])
    train = network.without_repulsion(train, model)
    valid = network.without_repulsion(valid, model)
    model = model.to(job["device"])
    energies = network.energy_function(model)
    parameters = [p.detach().clone().requires_grad_(True) for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    if job["start_from"]:
        _take_over(parameters, names, torch.load(job["start_from"], weights_only=True))
    # A short memory of the gradients' size: their beginning, a hundred times larger, is forgotten.
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(0.9, 0.99))
    first = 0
    saved = folder / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        if state["workers"] != workers:
            raise SystemExit(
                f"{saved} is of a fit by {state['workers']} workers, not {workers}: set `workers` "
                "back, or delete it"
            )
        first = state["step"]
        with torch.no_grad():
            for parameter, value in zip(parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        optimiser.load_state_dict(state["optimiser"])
    group.init_process_group(
        "gloo",
        init_method=f"file://{(folder / 'meeting').resolve()}",
        rank=rank,
        world_size=workers,
    )
    weights = network.Weights(
        settings.energy_weight,
        settings.forces_weight,
        settings.stress_weight,
        settings.energy_knee_meV / 1000,
        settings.force_knee_meV_per_A / 1000,
        settings.stress_knee_meV_per_A3 / 1000,
    )
    step_of = network.training_step(energies, names, weights)

    def batch_of(members: list[int]) -> Any:
        chosen = [train[k] for k in members]
        return network.to_tensors(pack(chosen, course.room, settings.r_max_A), job["device"])

    if job["compiled"] and first < course.steps:
        step_of = network.compiled(step_of, parameters, batch_of(course.packs_of(0, 0)[0]))
    written = time.monotonic()
    spent_s, spent_steps, errors = 0.0, 0, ""
    for epoch in range(first // course.steps_per_epoch, settings.epochs):
        mine = course.packs_of(epoch, rank)
        losses = []
        for within, members in enumerate(mine):
            number = epoch * course.steps_per_epoch + within
            if number < first:
                continue
            if os.getppid() != parent:
                # Whoever started this is gone; a fit that goes on must not meet its shadow.
                sys.exit(1)
            began = time.monotonic()
            loss, *gradients = step_of(parameters, batch_of(members))
            flat = torch.cat([loss.reshape(1), *(g.reshape(-1) for g in gradients)])
            group.all_reduce(flat)
            flat /= workers
            losses.append(float(flat[0]))
            _set_gradients(parameters, flat[1:])
            torch.nn.utils.clip_grad_norm_(parameters, 10.0)
            for entry in optimiser.param_groups:
                entry["lr"] = course.rate(number)
            optimiser.step()
            spent_s += time.monotonic() - began
            spent_steps += 1
            if rank == 0 and time.monotonic() - written > _CHECKPOINT_EVERY_S:
                written = time.monotonic()
                _checkpoint(saved, number + 1, workers, parameters, optimiser)
                left_min = spent_s / spent_steps * (course.steps - number - 1) / 60
                mean = sum(losses) / len(losses)
                line = f"epoch {epoch + 1} of {settings.epochs}, loss {mean:.4f}{errors}, "
                write_json(folder / "progress.json", {"line": f"{line}{left_min:.0f} min left"})
        if rank == 0 and ((epoch + 1) % 5 == 0 or epoch + 1 == settings.epochs):
            p = dict(zip(names, parameters, strict=True))
            found = _errors(network, energies, p, valid, course.room, settings, job["device"])
            errors = (
                f", validation {found['energy_meV_per_atom']:.1f} meV/atom "
                f"{found['force_meV_per_A']:.0f} meV/Å"
            )
            with (folder / "history.jsonl").open("a") as history:
                record = {"epoch": epoch + 1, "loss": sum(losses) / max(1, len(losses))} | found
                history.write(json.dumps(record) + "\n")
    if rank == 0:
        values = dict(zip(names, (p.detach().cpu() for p in parameters), strict=True))
        with whole_file(folder / "parameters.pt") as temporary:
            torch.save(values, temporary)
        network.save_portable(
            folder / f"{job['name']}.model", settings, job["elements"], values, job["free_eV"]
        )
    group.destroy_process_group()


def _take_over(parameters: list[Any], names: list[str], earlier: dict[str, Any]) -> None:
    """Begin with the parameters of another fit, where their shapes agree."""
    import torch

    with torch.no_grad():
        for name, parameter in zip(names, parameters, strict=True):
            if name in earlier and earlier[name].shape == parameter.shape:
                parameter.copy_(earlier[name])


def _set_gradients(parameters: list[Any], flat: Any) -> None:
    at = 0
    for parameter in parameters:
        size = parameter.numel()
        parameter.grad = flat[at : at + size].reshape(parameter.shape)
        at += size


def _checkpoint(path: Path, step: int, workers: int, parameters: list[Any], optimiser: Any) -> None:
    import torch

    with whole_file(path) as temporary:
        torch.save(
            {
                "step": step,
                "workers": workers,
                "parameters": [p.detach().cpu() for p in parameters],
                "optimiser": optimiser.state_dict(),
            },
            temporary,
        )


def _errors(
    network: Any,
    energies: Any,
    parameters: dict[str, Any],
    valid: list[Graph],
    room: Any,
    settings: StudentSettings,
    device: str,
) -> dict[str, float]:
    """Root-mean-square errors on the ordinary ones of the snapshots that watch the fit."""
    energy, force, n_energy, n_force = 0.0, 0.0, 0.0, 0.0
    for filled in packs(valid, range(len(valid)), room, settings.r_max_A):
        batch = network.to_tensors(filled, device)
        e, f, _ = network.predict(energies, parameters, batch, differentiable=False)
        # A weight of one: no force in the whole snapshot is extreme.
        graphs = batch[10] == 1
        atoms = graphs[batch[4]] & (batch[11] == 1)
        energy += float(((e - batch[5])[graphs] ** 2).sum())
        force += float(((f - batch[6])[atoms] ** 2).sum())
        n_energy += float(graphs.sum())
        n_force += 3 * float(atoms.sum())
    return {
        "energy_meV_per_atom": 1000 * math.sqrt(energy / max(1.0, n_energy)),
        "force_meV_per_A": 1000 * math.sqrt(force / max(1.0, n_force)),
    }


if __name__ == "__main__":
    _worker(Path(sys.argv[1]), int(sys.argv[2]))
