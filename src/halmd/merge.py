"""`halmd merge`: results of one campaign made on several machines, put together.

Only what runs and orderings have written is taken; tables, fits and figures over several runs are
made again by the workflow. Everything is compared before anything is copied.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halmd.campaign import IDENTITY_FILE
from halmd.errors import HalmdError
from halmd.files import read_json, sha256, whole_file, write_json

_OVER_ALL = ("plots",)
_OVER_RUNS = ("arrhenius.json", "conductivity.csv", "report.html", IDENTITY_FILE)
"""Files that the workflow makes from several runs."""


@dataclass(frozen=True)
class Merged:
    """What a merge has done."""

    copied: int
    """Files that the target lacked."""
    same: int
    """Files that it had already, byte for byte."""


def merge(sources: Sequence[Path], target: Path) -> Merged:
    """Copy what the target's results lack from other results folders of the same campaign.

    Raises HalmdError, before anything is copied, where a folder is of another campaign, or where
    two machines have made different files of the same name.
    """
    identities = {folder: _identity(folder) for folder in sources}
    if (target / IDENTITY_FILE).is_file():
        identities[target] = _identity(target)
    together = _one_campaign(identities)
    wanted: dict[Path, Path] = {}
    same = 0
    for source in sources:
        for file in _of_runs(source):
            name = file.relative_to(source)
            there = wanted.get(name, target / name)
            if not there.is_file():
                wanted[name] = file
            elif sha256(there) == sha256(file):
                same += 1
            else:
                raise HalmdError(
                    f"{file} and {there} differ: the same run was made twice; delete or move away "
                    "the one that you do not want"
                )
    # In the order they were made in, so that the workflow finds none older than what it is from.
    for name, file in sorted(wanted.items(), key=lambda entry: entry[1].stat().st_mtime_ns):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target / name) as temporary:
            shutil.copyfile(file, temporary)
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / IDENTITY_FILE, together)
    return Merged(len(wanted), same)


def _identity(folder: Path) -> dict[str, Any]:
    file = folder / IDENTITY_FILE
    if not file.is_file():
        raise HalmdError(f"{folder}: no {IDENTITY_FILE} in it; name a results folder of halmd")
    return {
        k: v for k, v in read_json(file).items() if k not in ("schema_version", "halmd_version")
    }


def _one_campaign(identities: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """The identity of all of them; raises HalmdError where two are of different campaigns."""
    (first, together), *others = [(folder, dict(found)) for folder, found in identities.items()]
    together["materials"] = dict(together.get("materials", {}))
    for folder, found in others:
        for key in ("campaign", "seed", "potential"):
            if found.get(key) != together.get(key):
                raise HalmdError(
                    f"{folder} has {key}: {found.get(key)}, and {first} {together.get(key)}: they "
                    "are of different campaigns"
                )
        for name, material in found.get("materials", {}).items():
            if together["materials"].setdefault(name, material) != material:
                raise HalmdError(f"{folder} and {first}: {name} is another material in each")
    return together


def _of_runs(folder: Path) -> list[Path]:
    """Files below the folders of materials, but those that the workflow makes of several runs."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in _OVER_RUNS
        and path.relative_to(folder).parts[0] not in _OVER_ALL
        and not path.name.startswith(".")
    ]
