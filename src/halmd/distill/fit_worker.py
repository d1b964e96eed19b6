"""One process of a fit: `python -m halmd.distill.fit_worker FOLDER RANK`, started by `halmd fit`.

Every step, each worker takes a pack of its own and the gradients are averaged; then all make the
same step. The order of the packs and the learning rate are functions of the step alone, so a fit
that was killed goes on from its last checkpoint as if it had not been, as long as its steps are of
the same kind: those of `quick_mace` and of differentiating twice differ by 1e-4 of the gradient.
"""

import itertools
import json
import math
import os
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as group
from torch import Tensor

from halmd.distill import network, plain_mace, quick_mace
from halmd.distill.fit import GRAPHS, JOB, PARAMETERS, PARENT, PROGRESS
from halmd.distill.graphs import (
    Capacity,
    Graph,
    by_room,
    capacities,
    element_shifts,
    pack,
    packs,
    share_out,
)
from halmd.distill.grown import grown
from halmd.distill.other_elements import with_elements
from halmd.distill.settings import StudentSettings
from halmd.distill.soap import Soap, layout_of
from halmd.files import read_json, whole_file, write_json

_CHECKPOINT = "checkpoint.pt"
_CHECKPOINT_EVERY_S = 60.0
_JUDGE_EVERY = 5
_LARGEST_GRADIENT = 10.0
_VALID_SHARE = 0.04
_SETTLED_BY = 2000
"""Snapshots that free atoms are fitted to where a fit goes on from an earlier one."""

_WATCHED_CALLS = 2
_WARM_UP = 0.03


class Course:
    """Which packs a worker sees in which epoch, and how large a step is made."""

    def __init__(
        self,
        train: Sequence[Graph],
        rooms: Sequence[Capacity],
        settings: StudentSettings,
        seed: int,
        workers: int,
    ):
        self.train, self.rooms, self.settings = train, rooms, settings
        self.seed, self.workers = seed, workers
        self.steps_per_epoch = len(self._epoch(0))
        self.steps = self.steps_per_epoch * settings.epochs

    def _epoch(self, epoch: int) -> list[tuple[Capacity, list[list[int]]]]:
        """Every step's kind of pack, and the graphs of the pack of each worker, at random."""
        rng = np.random.default_rng([self.seed, 2, epoch])
        order = rng.permutation(len(self.train)).tolist()
        found = []
        for room, members in by_room(self.train, order, self.rooms):
            every = share_out(self.train, members, room)
            # The last step is filled up with what was seen already.
            wanted = self.workers * math.ceil(len(every) / self.workers)
            filled = list(itertools.islice(itertools.cycle(every), wanted))
            found += [(room, filled[k : k + self.workers]) for k in range(0, wanted, self.workers)]
        return [found[k] for k in rng.permutation(len(found))]

    def packs_of(self, epoch: int, rank: int) -> list[tuple[Capacity, list[int]]]:
        """Graphs of each pack that a worker takes in an epoch, `steps_per_epoch` of them."""
        steps = itertools.islice(itertools.cycle(self._epoch(epoch)), self.steps_per_epoch)
        return [(room, shares[rank]) for room, shares in steps]

    def from_step(self, first: int, rank: int) -> Iterator[tuple[int, Capacity, list[int]]]:
        """Every step from `first` on, with the pack a worker takes in it."""
        for epoch in range(first // self.steps_per_epoch, self.settings.epochs):
            for within, (room, members) in enumerate(self.packs_of(epoch, rank)):
                step = epoch * self.steps_per_epoch + within
                if step >= first:
                    yield step, room, members

    def rate(self, step: int) -> float:
        """Learning rate: a short rise, then half a cosine down to nothing."""
        done = step / self.steps
        if done < _WARM_UP:
            return self.settings.learning_rate * (step + 1) / (_WARM_UP * self.steps + 1)
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class _Fit:
    """Data, parameters and optimiser of one worker."""

    def __init__(self, folder: Path, rank: int):
        job = read_json(folder / JOB)
        self.folder, self.rank, self.workers = folder, rank, job["workers"]
        self.name, self.elements, self.free_eV = job["name"], job["elements"], job["free_eV"]
        self.device, self.like = job["device"], job["like"]
        self.settings = StudentSettings.model_validate(job["settings"])
        model = network.build(self.settings, self.elements, seed=job["seed"])
        graphs: list[Graph] = pickle.loads((folder / GRAPHS).read_bytes())
        graphs = network.without_repulsion(graphs, model)
        order = np.random.default_rng([job["seed"], 1]).permutation(len(graphs))
        n_valid = max(2, round(_VALID_SHARE * len(graphs)))
        self.valid = [graphs[k] for k in order[:n_valid]]
        self.train = [graphs[k] for k in order[n_valid:]]
        self.rooms = capacities(
            graphs, max(1, self.settings.batch_size // self.workers), self.settings.r_max_A
        )
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters = [
            p.detach().clone().to(self.device).requires_grad_(True) for p in model.parameters()
        ]
        if job["start_from"]:
            self._take_over(self._earlier(Path(job["start_from"]), model))
        shape = plain_mace.constants_of(model)
        self.optimiser = Soap(
            self.parameters,
            [
                layout_of(name, p.shape, shape.channels, shape.n_elements)
                for name, p in zip(self.names, self.parameters, strict=True)
            ],
        )
        wanted = job["compiled"] and self.device == "cpu"
        quick = quick_mace.quick_or_none(shape) if wanted else None
        self.compiled: dict[Capacity, network.Step] | None = None
        if quick is not None:
            self.kind = "quick"
            self.energies = network.quick_energies(quick)
            self.plain_step = network.quick_step(quick, self.names, self._weights())
        else:
            self.kind = "fused" if job["compiled"] else "plain"
            self.compiled = {} if job["compiled"] else None
            self.energies = network.energy_function(model, self.device)
            self.plain_step = network.training_step(self.energies, self.names, self._weights())
        self.warm = False
        if job["start_from"]:
            self._settle_free_atoms()
        self.course = Course(self.train, self.rooms, self.settings, job["seed"], self.workers)
        self.first = self._resume()

    def _weights(self) -> network.Weights:
        s = self.settings
        return network.Weights(
            s.energy_weight,
            s.forces_weight,
            s.stress_weight,
            s.energy_knee_meV / 1000,
            s.force_knee_meV_per_A / 1000,
            s.stress_knee_meV_per_A3 / 1000,
        )

    def _earlier(self, parameters: Path, model: Any) -> dict[str, Tensor]:
        """Parameters of an earlier fit, with room for what this student has and it had not."""
        found: dict[str, Tensor] = torch.load(parameters, weights_only=True)
        job = read_json(parameters.with_name(JOB))
        if job["elements"] != self.elements:
            found = with_elements(found, job["elements"], self.elements, self.like)
        shape = StudentSettings.model_validate(job["settings"])
        if shape.hidden_irreps.replace(" ", "") == self.settings.hidden_irreps.replace(" ", ""):
            return found
        small = plain_mace.constants_of(network.build(shape, self.elements))
        fresh = {name: p.detach() for name, p in model.named_parameters()}
        return grown(found, small, plain_mace.constants_of(model), fresh)

    def _take_over(self, earlier: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in zip(self.names, self.parameters, strict=True):
                parameter.copy_(earlier[name])

    def _settle_free_atoms(self) -> None:
        """Take from the energies what the beginning misses by as much for every atom of an element.

        An element that began as another's copy, and shares of elements that no earlier snapshot
        had, are off by eV that no force feels and that weights would learn only slowly.
        """
        some = self.train[:: math.ceil(len(self.train) / _SETTLED_BY)]
        p = dict(zip(self.names, (q.detach() for q in self.parameters), strict=True))
        missed = np.array([g.energy_eV for g in some])
        for room, members in by_room(some, range(len(some)), self.rooms):
            for together in share_out(some, members, room):
                filled = pack([some[k] for k in together], room, self.settings.r_max_A)
                batch = network.to_tensors(filled, self.device)
                with torch.no_grad():
                    of_atoms = self.energies(p, batch, batch[0]).double().cpu().numpy()
                sums = np.bincount(filled.graph_of_atom, of_atoms, minlength=room.graphs)
                missed[together] -= sums[: len(together)]
        shifts = element_shifts(some, missed, len(self.elements))
        self.free_eV = {
            element: self.free_eV[element] + float(shift)
            for element, shift in zip(self.elements, shifts, strict=True)
        }
        self.train, self.valid = (
            [replace(g, energy_eV=g.energy_eV - float(shifts[g.species].sum())) for g in graphs]
            for graphs in (self.train, self.valid)
        )

    def _resume(self) -> int:
        """Take up the last checkpoint, if there is one; returns the step to go on with."""
        saved = self.folder / _CHECKPOINT
        if not saved.exists():
            return 0
        state = torch.load(saved, weights_only=True)
        if state["workers"] != self.workers:
            raise SystemExit(
                f"{saved} is of a fit by {state['workers']} processes, not {self.workers}: set "
                "`processes` back, or delete it"
            )
        if "steps" not in state["optimiser"]:
            raise SystemExit(f"{saved} is of an earlier version's optimiser: delete it")
        if state.get("kind", self.kind) != self.kind:
            print(
                f"{saved} is of {state['kind']} steps; going on with {self.kind} ones", flush=True
            )
        self._take_over(dict(zip(self.names, state["parameters"], strict=True)))
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])

    def checkpoint(self, step: int) -> None:
        """Keep all that the fit needs to go on with `step`."""
        with whole_file(self.folder / _CHECKPOINT) as temporary:
            torch.save(
                {
                    "step": step,
                    "workers": self.workers,
                    "kind": self.kind,
                    "parameters": [p.detach().cpu() for p in self.parameters],
                    "optimiser": self.optimiser.state_dict(),
                },
                temporary,
            )

    def _step_of(self, room: Capacity, batch: list[Tensor]) -> network.Step:
        """The training step for packs of one kind, compiled when the first of them comes."""
        if self.compiled is None:
            if self.kind == "plain" and not self.warm:
                # TorchScript watches the first two calls of a process and rewrites what follows,
                # with other roundings: a fit that is gone on with would part from the whole one.
                for _ in range(_WATCHED_CALLS):
                    self.plain_step(self.parameters, batch)
                self.warm = True
            return self.plain_step
        if room not in self.compiled:
            self.compiled[room] = network.compiled(self.plain_step, self.parameters, batch)
        return self.compiled[room]

    def step(self, number: int, room: Capacity, members: Sequence[int]) -> float:
        """Make one step together with the other workers; returns the loss of all."""
        chosen = [self.train[k] for k in members]
        batch = network.to_tensors(pack(chosen, room, self.settings.r_max_A), self.device)
        loss, *gradients = self._step_of(room, batch)(self.parameters, batch)
        flat = torch.cat([loss.reshape(1), *(g.reshape(-1) for g in gradients)])
        if self.workers > 1:
            group.all_reduce(flat)
            flat /= self.workers
        at = 1
        for parameter in self.parameters:
            parameter.grad = flat[at : at + parameter.numel()].reshape(parameter.shape)
            at += parameter.numel()
        torch.nn.utils.clip_grad_norm_(self.parameters, _LARGEST_GRADIENT)
        self.optimiser.step(self.course.rate(number))
        return float(flat[0])

    def errors(self) -> dict[str, float]:
        """Root-mean-square errors on the ordinary ones of the snapshots that watch the fit."""
        p = dict(zip(self.names, (q.detach() for q in self.parameters), strict=True))
        energy, force, n_energy, n_force = 0.0, 0.0, 0.0, 0.0
        for filled in packs(self.valid, self.rooms, self.settings.r_max_A):
            batch = network.to_tensors(filled, self.device)
            e, f, _ = network.predict(self.energies, p, batch, differentiable=False)
            # A weight of one: no force in the whole snapshot is extreme.
            graphs = batch[10] == 1
            atoms = graphs[batch[4]] & (batch[11] == 1)
            energy += float(((e.detach() - batch[5])[graphs] ** 2).sum())
            force += float(((f.detach() - batch[6])[atoms] ** 2).sum())
            n_energy += float(graphs.sum())
            n_force += 3 * float(atoms.sum())
        return {
            "energy_meV_per_atom": 1000 * math.sqrt(energy / max(1.0, n_energy)),
            "force_meV_per_A": 1000 * math.sqrt(force / max(1.0, n_force)),
        }

    def save(self) -> None:
        """Write the parameters for the next fit, and the model."""
        values = dict(zip(self.names, (p.detach().cpu() for p in self.parameters), strict=True))
        with whole_file(self.folder / PARAMETERS) as temporary:
            torch.save(values, temporary)
        # Before the model, with which the fit is done: what goes on from here needs them too.
        write_json(self.folder / JOB, read_json(self.folder / JOB) | {"free_eV": self.free_eV})
        # Room for elements that no snapshot has would only make the file larger.
        seen = {int(kind) for g in [*self.train, *self.valid] for kind in g.species}
        network.save_portable(
            self.folder / f"{self.name}.model",
            self.settings,
            self.elements,
            values,
            self.free_eV,
            kept=[element for k, element in enumerate(self.elements) if k in seen],
        )


class _Reporter:
    """Progress, checkpoints and history of a fit, by its first worker."""

    def __init__(self, fit: _Fit):
        self.fit, self.losses, self.judged = fit, list[float](), ""
        self.written = self.began = time.monotonic()
        self.steps_done = 0

    def after(self, step: int, loss: float) -> None:
        """What is to be written after a step."""
        course = self.fit.course
        self.losses.append(loss)
        self.steps_done += 1
        epoch, within = divmod(step + 1, course.steps_per_epoch)
        now = time.monotonic()
        if now - self.written > _CHECKPOINT_EVERY_S:
            self.written = now
            self.fit.checkpoint(step + 1)
            left_min = (now - self.began) / self.steps_done * (course.steps - step - 1) / 60
            line = (
                f"epoch {step // course.steps_per_epoch + 1} of {self.fit.settings.epochs}, "
                f"loss {np.mean(self.losses):.4f}{self.judged}, {left_min:.0f} min left"
            )
            write_json(self.fit.folder / PROGRESS, {"line": line})
        if within == 0:
            if epoch % _JUDGE_EVERY == 0 or epoch == self.fit.settings.epochs:
                self._judge(epoch)
            self.losses.clear()

    def _judge(self, epoch: int) -> None:
        found = self.fit.errors()
        self.judged = (
            f", validation {found['energy_meV_per_atom']:.1f} meV/atom "
            f"{found['force_meV_per_A']:.0f} meV/Å"
        )
        record = {"epoch": epoch, "loss": float(np.mean(self.losses))} | found
        with (self.fit.folder / "history.jsonl").open("a") as history:
            history.write(json.dumps(record) + "\n")


def main() -> None:
    """Fit, or go on fitting, the job in a folder."""
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    parent = int(os.environ.get(PARENT, os.getppid()))
    fit = _Fit(folder, rank)
    if fit.workers > 1:
        meeting = f"file://{(folder / 'meeting').resolve()}"
        group.init_process_group("gloo", init_method=meeting, rank=rank, world_size=fit.workers)
    reporter: Any = _Reporter(fit) if rank == 0 else None
    for step, room, members in fit.course.from_step(fit.first, rank):
        if os.getppid() != parent:
            # Whoever started this is gone; a fit that goes on must not meet its shadow.
            sys.exit(1)
        loss = fit.step(step, room, members)
        if reporter:
            reporter.after(step, loss)
    if rank == 0:
        fit.save()
    if fit.workers > 1:
        group.destroy_process_group()


if __name__ == "__main__":
    main()
