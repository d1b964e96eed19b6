"""Who runs this very run? One process at a time, on whatever node of a cluster it is.

A file lock tells on one machine, and goes with its process, however that ends. Between machines it
tells only where the file system passes locks on; elsewhere the owner's note beside the checkpoints
does: an owner on another machine that has left no checkpoint for a long time is gone.
"""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from halmd.dynamics.allowance import Allowance
from halmd.errors import HalmdError, OutOfTimeError
from halmd.files import clear_leftovers, write_json

NOTE = "owner.json"

_LEAST_PATIENCE_S = 600.0
_PATIENCE = 5.0
"""Intervals between checkpoints after which an owner elsewhere is taken for gone."""
_LOOK_EVERY_S = 2.0


@contextmanager
def owned(folder: Path, *, wait: Allowance | None = None) -> Iterator[None]:
    """Hold a run's folder; leftovers of a process that was killed are cleared away.

    Raises HalmdError when another process holds it; with an allowance, waits until it does not, and
    raises OutOfTimeError where the allowance is over first: a job that was submitted again while
    the one before still runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        while (holder := _holder(folder, lock)) is not None:
            text = f"{folder}: another process ({holder}) is running this very run"
            if wait is None:
                raise HalmdError(f"{text}; wait for it, or stop it first")
            if wait.over or wait.left_s < _LOOK_EVERY_S:
                raise OutOfTimeError(f"{text}; run again to look whether it has ended")
            time.sleep(_LOOK_EVERY_S)
        for leftover in (*folder.glob(".checkpoint-*"), *folder.glob(".segment-*")):
            leftover.unlink()
        clear_leftovers(folder / NOTE)
        write_json(
            folder / NOTE,
            {
                "host": platform.node(),
                "pid": os.getpid(),
                "slurm_job": os.environ.get("SLURM_JOB_ID"),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            },
        )
        try:
            yield
        finally:
            (folder / NOTE).unlink(missing_ok=True)


def _holder(folder: Path, lock: IO[str]) -> str | None:
    """Who holds a folder, in words; None when nobody does, and then the lock is taken."""
    note = _note(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _in_words(note)
    except OSError:
        # A file system without locks: the process itself tells, where it is on this machine.
        if note and note["host"] == platform.node() and _alive(int(note["pid"])):
            return _in_words(note)
    if note and note["host"] != platform.node() and _fresh(folder):
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        return _in_words(note)
    return None


def _note(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if {"host", "pid", "since"} <= found.keys() else None


def _in_words(note: dict[str, Any] | None) -> str:
    if note is None:
        return "unknown"
    job = f", Slurm job {note['slurm_job']}" if note.get("slurm_job") else ""
    return f"{note['pid']} on {note['host']}{job}, since {note['since']}"


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _fresh(folder: Path) -> bool:
    """Whether the last checkpoint, or the note, is as young as a running process would leave it."""
    points = sorted(path.stat().st_mtime for path in folder.glob("checkpoint-*.bin"))
    interval_s = points[-1] - points[-2] if len(points) > 1 else 0.0
    last = max([(folder / NOTE).stat().st_mtime, *points])
    return time.time() - last < max(_LEAST_PATIENCE_S, _PATIENCE * interval_s)
