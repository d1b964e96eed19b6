"""Checkpoints of a run: whole, checksummed, versioned, the last two kept.

Beside each checkpoint lies the segment of frames that led to it, so that the growing trajectory is
never one file that a killed process leaves half written.
"""

import hashlib
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.errors import HalmdError
from halmd.files import whole_file

_MAGIC = b"HALMD-CHECKPOINT 1 "
_KEPT = 2

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """State from which a run continues bit for bit."""

    step: int
    arrays: Arrays
    """float64 positions (Å), momenta (ASE units) and cell (Å)."""
    state: dict[str, Any]
    """JSON-able rest: random-number state, thermostat, bookkeeping."""


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then drop all but the last two."""
    head = np.frombuffer(json.dumps([checkpoint.step, checkpoint.state]).encode(), dtype=np.uint8)
    path = folder / f"checkpoint-{checkpoint.step:012d}.bin"
    _write_sealed(path, {"head": head, **checkpoint.arrays})
    for old in sorted(folder.glob("checkpoint-*.bin"))[:-_KEPT]:
        old.unlink()


def latest(folder: Path) -> Checkpoint | None:
    """The newest sound checkpoint, or None where there is none at all.

    A damaged newest one gives way to the one before, with a warning. Raises HalmdError when all are
    damaged or of another version.
    """
    files = sorted(folder.glob("checkpoint-*.bin"), reverse=True)
    for path in files:
        try:
            arrays = _read_sealed(path)
        except ValueError as error:
            warnings.warn(f"{path}: {error}; taking the checkpoint before it", stacklevel=2)
            continue
        step, state = json.loads(arrays.pop("head").tobytes())
        return Checkpoint(step, arrays, state)
    if files:
        raise HalmdError(f"{folder}: every checkpoint is damaged; delete the folder to start again")
    return None


def save_segment(folder: Path, end_step: int, columns: Arrays) -> None:
    """Write the frames that led to `end_step`."""
    _write_sealed(folder / f"segment-{end_step:012d}.bin", columns)


def load_segments(folder: Path, up_to_step: int, n_frames: int) -> Arrays:
    """All frames up to a step, concatenated.

    Raises HalmdError when a segment is damaged, or when there are not `n_frames` in all: a missing
    segment would leave a hole in time that no later step could see.
    """
    parts: list[Arrays] = []
    for path in sorted(folder.glob("segment-*.bin")):
        if int(path.stem.split("-")[1]) > up_to_step:
            continue
        try:
            parts.append(_read_sealed(path))
        except ValueError as error:
            raise HalmdError(f"{path}: {error}; delete {folder} to start again") from None
    found = sum(len(next(iter(part.values()))) for part in parts)
    if not parts or found != n_frames:
        raise HalmdError(
            f"{folder}: {found} frames found, {n_frames} expected; delete the folder to start again"
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write_sealed(path: Path, arrays: Arrays) -> None:
    """Write arrays behind a version and the SHA-256 of what follows."""
    payload = io.BytesIO()
    np.savez(payload, allow_pickle=False, **arrays)
    data = payload.getvalue()
    with whole_file(path) as temporary:
        temporary.write_bytes(_MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def _read_sealed(path: Path) -> Arrays:
    """What `_write_sealed` wrote; raises ValueError for anything else."""
    first, _, data = path.read_bytes().partition(b"\n")
    if not first.startswith(_MAGIC):
        raise ValueError("damaged, or not of this version")
    if hashlib.sha256(data).hexdigest().encode() != first.removeprefix(_MAGIC):
        raise ValueError("damaged or truncated")
    with np.load(io.BytesIO(data)) as archive:
        return {name: archive[name] for name in archive.files}
