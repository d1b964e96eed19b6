"""Snapshots that were handed in: labelled and learnt like the others, refused in one line."""

from pathlib import Path

import ase.io
import pytest
from toy_cells import RECORD, chloride

from halmd.distill.settings import DistillSettings
from halmd.distill.stages import learnt_by, made_of, make_snapshots, stage_names
from halmd.errors import HalmdError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = chloride(Y=1)
    atoms.info |= {"force_std_eV_per_A": 0.7, "time_ps": 3.0}
    ase.io.write("extrapolating.extxyz", [atoms, atoms.repeat((2, 1, 1))], format="extxyz")


def settings(**changes: object) -> DistillSettings:
    return DistillSettings.model_validate(
        RECORD | {"work": "work", "extra": ["extrapolating.extxyz"]} | changes
    )


def quiet(_: str) -> None:
    pass


def test_they_are_a_stage_that_finished_students_learn() -> None:
    assert stage_names(settings()) == ["seeds", "extra", "test"]
    assert learnt_by(settings(), "final") == ["seeds", "extra"]
    found = ase.io.read(make_snapshots(settings(), "extra", quiet), ":")
    assert [len(atoms) for atoms in found] == [8, 16]
    assert all(atoms.info["origin"] == "extra" for atoms in found)


def test_other_content_is_another_stage() -> None:
    before = made_of(settings(), "final")
    ase.io.write("extrapolating.extxyz", chloride(Y=2), format="extxyz")
    assert made_of(settings(), "final") != before


def test_unknown_elements_are_one_line() -> None:
    ase.io.write("extrapolating.extxyz", chloride(In=1), format="extxyz")
    with pytest.raises(HalmdError, match=r"In is in no composition"):
        make_snapshots(settings(), "extra", quiet)
    make_snapshots(settings(extra_elements=["In"]), "extra", quiet)


def test_missing_and_damaged_files_are_one_line() -> None:
    with pytest.raises(HalmdError, match="no such file"):
        make_snapshots(settings(extra=["nothing.extxyz"]), "extra", quiet)
    Path("damaged.extxyz").write_text("3\nno lattice\nLi 0 0")
    with pytest.raises(HalmdError, match="not readable"):
        make_snapshots(settings(extra=["damaged.extxyz"]), "extra", quiet)
