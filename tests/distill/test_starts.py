"""Orderings that snapshots start from: which are kept for the test, and their file."""

from pathlib import Path

import numpy as np
import pytest
from toy_cells import RECORD

from halmd.distill.settings import DistillSettings
from halmd.distill.snapshots import seed_snapshots
from halmd.distill.starts import Start, build_starts, read_starts, write_starts
from halmd.errors import HalmdError

COMPOSITIONS = [
    {"formula": "Li3YCl6", "prototype": "Li3YCl6_P-3m1_M1M2", "share": 2},
    {"formula": "Li3YBr6", "held_out": True},
]


@pytest.fixture(scope="module")
def two() -> DistillSettings:
    families = [{"name": "both", "compositions": COMPOSITIONS}]
    return DistillSettings.model_validate(RECORD | {"families": families})


@pytest.fixture(scope="module")
def found(two: DistillSettings) -> list[Start]:
    said: list[str] = []
    found = build_starts(two, said.append)
    assert said == ["both: Li3YCl6", "both: Li3YBr6"]
    return found


def test_orderings_are_kept_apart_for_the_test(found: list[Start]) -> None:
    chlorides = [start for start in found if start.composition == "Li3YCl6"]
    assert [start.held_out for start in chlorides] == [False, False, True]
    assert all(start.held_out for start in found if start.composition == "Li3YBr6")
    assert len({start.tag for start in found}) == len(found)


def test_what_is_held_out_is_never_in_the_seeds(two: DistillSettings, found: list[Start]) -> None:
    frames = seed_snapshots(two, found)
    tags = {start.tag for start in found if start.held_out}
    assert frames
    assert not tags & {atoms.info["start"] for atoms in frames}
    assert not any("Br" in atoms.get_chemical_symbols() for atoms in frames)


def test_the_same_seed_gives_the_same_orderings(two: DistillSettings, found: list[Start]) -> None:
    again = build_starts(two, lambda text: None)
    for one, other in zip(found, again, strict=True):
        assert one.tag == other.tag
        assert one.atoms.get_chemical_symbols() == other.atoms.get_chemical_symbols()
        assert np.array_equal(one.atoms.positions, other.atoms.positions)
    moved = build_starts(two.model_copy(update={"seed": 6}), lambda text: None)
    assert not all(
        np.array_equal(one.atoms.positions, other.atoms.positions)
        for one, other in zip(found, moved, strict=True)
    )


def test_the_file_holds_everything(found: list[Start], tmp_path: Path) -> None:
    write_starts(found, tmp_path / "starts.extxyz")
    for one, other in zip(found, read_starts(tmp_path / "starts.extxyz"), strict=True):
        fields = ("tag", "family", "composition", "held_out", "share")
        assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]
        assert one.atoms.get_chemical_symbols() == other.atoms.get_chemical_symbols()
        assert np.allclose(one.atoms.positions, other.atoms.positions, atol=1e-7)
        assert np.allclose(one.atoms.cell, other.atoms.cell, atol=1e-7)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match=r"starts\.extxyz: no such file; run `halmd snapshots`"):
        read_starts(tmp_path / "starts.extxyz")
