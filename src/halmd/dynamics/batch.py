"""`halmd batch`: all runs of a campaign's materials at once, in one process, on one device.

Every run is what `halmd equilibrate` and `halmd dynamics` would have made of it, and is left in its
scratch folder: equilibrated, and with the checkpoints of its whole length. Those commands then
find nothing left to do but to write it out. A batch that is killed goes on with what is missing.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from halmd.campaign import Run, seed_of
from halmd.config import Campaign
from halmd.dynamics.allowance import Allowance, allowance
from halmd.dynamics.conductor import Conductor, Job, served
from halmd.dynamics.dynamics import production
from halmd.dynamics.equilibrate import equilibrate_in
from halmd.errors import OutOfTimeError
from halmd.potentials.evaluators import Loaded
from halmd.potentials.many import cell_of, many_of


@dataclass(frozen=True)
class Batched:
    """One run of a batch: the ordering it begins with, and the potential as it knows it."""

    run: Run
    ordering: Atoms
    loaded: Loaded


def run_batch(
    campaign: Campaign,
    runs: Sequence[Batched],
    *,
    read: Callable[[Path], Atoms],
    max_minutes: float,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Equilibrate and run all of them; returns what became of each: its length and its verdict.

    All have the same calculator. read reads a structure from its file. Raises the first error of a
    run, when the others have ended: OutOfTimeError where time was up.
    """
    loaded = runs[0].loaded
    many = many_of(loaded)
    conductor = Conductor(many)
    largest = max(runs, key=lambda each: len(each.ordering))
    most = campaign.dynamics.batch_atoms or many.most_atoms(cell_of(largest.ordering))
    total = sum(len(each.ordering) for each in runs)
    say(f"{len(runs)} runs of {total} atoms, at most {most} at once on {loaded.device}")
    ended = 0

    def job(each: Batched, until: Allowance) -> Job:
        def run() -> dict[str, Any]:
            nonlocal ended
            found = _one(campaign, each, served(each.loaded, conductor), read, until)
            ended += 1
            say(
                f"{each.run.folder}: {found['length_ps']:g} ps, {found['verdict']} "
                f"({ended} of {len(runs)})"
            )
            return found

        return Job(len(each.ordering), run)

    # The filter of one run must not outlive it in another.
    with allowance(max_minutes) as until, warnings.catch_warnings():
        found = conductor.conduct([job(each, until) for each in runs], most)
    errors = [each for each in found if isinstance(each, Exception)]
    # What a person can mend is told before what time will mend.
    for error in sorted(errors, key=lambda e: isinstance(e, OutOfTimeError)):
        raise error
    return found


def _one(
    campaign: Campaign,
    each: Batched,
    loaded: Loaded,
    read: Callable[[Path], Atoms],
    until: Allowance,
) -> dict[str, Any]:
    """A run from its ordering to its last checkpoint."""
    run, settings = each.run, campaign.dynamics
    names = (run.material, run.ordering, f"{run.temperature_K:g}K", str(run.replica))
    scratch = Path(campaign.work) / run.folder
    start = equilibrate_in(
        scratch,
        each.ordering,
        loaded,
        settings,
        target_K=run.temperature_K,
        seed=seed_of(campaign, "equilibrate", *names),
    )
    with production(
        read(start),
        loaded,
        settings,
        target_K=run.temperature_K,
        seed=seed_of(campaign, "dynamics", *names),
        scratch=scratch,
        mobile=campaign.diffusion.mobile,
        diffusion=None,
        until=until,
        show_progress=False,
    ) as finished:
        return {
            "run": run.folder,
            "length_ps": finished.run.time_ps,
            "verdict": finished.run.verdict,
        }
