"""Files written whole or not at all, and read back with one clear line when they are damaged."""

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import halmd
from halmd.errors import HalmdError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success fsync it and rename it to `path`.

    The temporary name keeps the suffix, because ASE, matplotlib and h5py choose formats by it.
    On an exception the temporary file is removed and `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        # mkstemp makes files private; results are for the whole group, as the umask says.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        # A full disk is told without the file it was met in.
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(*paths: Path) -> None:
    """Remove temporary files that a killed process left beside `paths`.

    Only for whoever is alone in writing them: another's unfinished file would go too.
    """
    for path in paths:
        # The names that `whole_file` gives, of eight random characters.
        pattern = f".{glob.escape(path.stem)}.????????{glob.escape(path.suffix)}"
        for leftover in path.parent.glob(pattern):
            leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, record: dict[str, Any], *, schema_version: int = 1) -> None:
    """Write `record` as JSON with `schema_version` and halmd's version, whole or not at all."""
    head = {"schema_version": schema_version, "halmd_version": halmd.__version__}
    write_text(
        path, json.dumps(head | record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises HalmdError naming the file when it is missing or damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HalmdError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise HalmdError(
            f"{path}: damaged or truncated JSON ({error}); delete it and run the step again"
        ) from None
    if not isinstance(record, dict):
        raise HalmdError(f"{path}: expected a JSON object, found {type(record).__name__}")
    return record


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(record: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that change whenever a JSON-able record changes."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
