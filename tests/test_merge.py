"""Results of two machines become one; whatever does not fit is refused before it does harm."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from halmd.errors import HalmdError
from halmd.files import read_json, write_json
from halmd.merge import merge

IDENTITY: dict[str, Any] = {
    "campaign": "both",
    "seed": 3,
    "potential": "own:ions",
    "materials": {"Li3YCl6": {"formula": "Li3YCl6", "prototype": None}},
}


def results(folder: Path, *files: str, text: str = "", **identity: Any) -> Path:
    """A results folder with files of their own names as content."""
    for age, name in enumerate(reversed(files)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name + text)
        os.utime(path, (time.time() - 1000 * (age + 1),) * 2)
    write_json(folder / "campaign.json", IDENTITY | identity)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


ORDERING = "Li3YCl6/orderings/00.extxyz"
FIRST, SECOND = "Li3YCl6/00/500K/r0/run.json", "Li3YCl6/00/600K/r0/run.json"


def test_what_one_lacks_comes_from_the_other(tmp_path: Path) -> None:
    here = results(tmp_path / "here", ORDERING, FIRST, "Li3YCl6/arrhenius.json")
    names = (ORDERING, SECOND, "Li3YCl6/arrhenius.json", "plots/a.svg")
    more = {"Li3InCl6": {"formula": "Li3InCl6"}}
    there = results(tmp_path / "there", *names, materials=IDENTITY["materials"] | more)
    before = content(here)
    found = merge([there], here)
    assert (found.copied, found.same) == (1, 1)
    after = content(here)
    assert after[SECOND] == content(there)[SECOND]
    assert {name: after[name] for name in before if name != "campaign.json"} == {
        name: value for name, value in before.items() if name != "campaign.json"
    }
    assert set(read_json(here / "campaign.json")["materials"]) == {"Li3YCl6", "Li3InCl6"}
    # Again changes nothing.
    assert merge([there], here).copied == 0


def test_a_new_folder_takes_all_of_both(tmp_path: Path) -> None:
    one = results(tmp_path / "one", ORDERING, FIRST)
    two = results(tmp_path / "two", ORDERING, SECOND)
    assert merge([one, two], tmp_path / "new").copied == 3
    assert set(content(tmp_path / "new")) == {ORDERING, FIRST, SECOND, "campaign.json"}
    # In the order in which they were made: Snakemake goes by times.
    ordering, run = (tmp_path / "new" / name for name in (ORDERING, FIRST))
    assert ordering.stat().st_mtime_ns <= run.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed: 3, and .* 4"),
        ({"potential": "another"}, "potential"),
        ({"materials": {"Li3YCl6": {"formula": "Li3YBr6"}}}, "another material"),
    ],
)
def test_another_campaign_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    here = results(tmp_path / "here", ORDERING, FIRST)
    there = results(tmp_path / "there", ORDERING, SECOND, **change)
    before = content(here)
    with pytest.raises(HalmdError, match=message):
        merge([there], here)
    assert content(here) == before


def test_a_run_made_twice_is_refused_and_nothing_copied(tmp_path: Path) -> None:
    here = results(tmp_path / "here", ORDERING, FIRST)
    there = results(tmp_path / "there", SECOND)
    results(there, FIRST, text="of another machine")
    before = content(here)
    with pytest.raises(HalmdError, match="differ"):
        merge([there], here)
    assert content(here) == before
    with pytest.raises(HalmdError, match="differ"):
        merge([here, there], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match=r"no campaign\.json"):
        merge([tmp_path], tmp_path / "new")
