"""Labels by a toy teacher in processes of its own: resumed, refused, summed, left out."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from toy_cells import RECORD, chloride, rattled_cells
from toy_teacher import morse

from halmd.distill.label import label, read_labelled
from halmd.distill.settings import DistillSettings, TeacherSettings
from halmd.distill.stages import label_stage, labels_note, snapshot_file
from halmd.errors import HalmdError
from halmd.files import read_json

pytestmark = pytest.mark.usefixtures("beside_teacher")
Say = Callable[[str], None]


def teacher(**changes: object) -> TeacherSettings:
    return TeacherSettings.model_validate(RECORD["teacher"] | changes)


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.extxyz"
    ase.io.write(path, rattled_cells(5), format="extxyz")
    return path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halmd.distill.label._LOOK_EVERY_S", 0.05)


def test_labels_are_the_teachers(snapshots: Path, tmp_path: Path, say: Say) -> None:
    label(snapshots, teacher(), tmp_path / "labels", workers=2, say=say)
    shards = sorted((tmp_path / "labels" / "pairs").glob("[0-9]*.npz"))
    assert [shard.name for shard in shards] == ["000000.npz", "000002.npz", "000004.npz"]
    found = read_labelled(snapshots, teacher(), tmp_path / "labels")
    frames: list[Atoms] = ase.io.read(snapshots, ":")
    assert len(found) == len(frames)
    for entry, atoms in zip(found, frames, strict=True):
        assert np.array_equal(entry.atoms.positions, atoms.positions)
        atoms.calc = morse()
        assert entry.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert np.allclose(entry.forces_eV_per_A, atoms.get_forces(), atol=6e-5)
        assert np.allclose(entry.stress_eV_per_A3, atoms.get_stress(), atol=6e-9)


def test_a_killed_labelling_goes_on(snapshots: Path, tmp_path: Path, say: Say) -> None:
    label(snapshots, teacher(), tmp_path / "labels", workers=2, say=say)
    folder = tmp_path / "labels" / "pairs"
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("[0-9]*.npz")}
    old = dict(np.load(folder / "000002.npz"))
    (folder / "000002.npz").unlink()
    with pytest.raises(HalmdError, match=r"2 shards of labels where 3 .* run `halmd label` first"):
        read_labelled(snapshots, teacher(), tmp_path / "labels")
    label(snapshots, teacher(), tmp_path / "labels", workers=2, say=say)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("[0-9]*.npz")}
    assert [name for name in after if after[name] != before[name]] == ["000002.npz"]
    new = np.load(folder / "000002.npz")
    assert all(np.array_equal(values, new[key]) for key, values in old.items())


@pytest.mark.parametrize("what", ["snapshots", "arguments"])
def test_labels_of_other_things_are_refused(
    snapshots: Path, tmp_path: Path, say: Say, what: str
) -> None:
    label(snapshots, teacher(), tmp_path / "labels", workers=1, say=say)
    other = teacher()
    if what == "snapshots":
        ase.io.write(snapshots, rattled_cells(5, seed=1), format="extxyz")
    else:
        term = RECORD["teacher"]["terms"][0] | {"arguments": {"depth_eV": 0.2}}
        other = teacher(terms=[term])
    with pytest.raises(HalmdError, match="labels of other snapshots or of another") as caught:
        label(snapshots, other, tmp_path / "labels", workers=1, say=say)
    assert "\n" not in str(caught.value)


def test_terms_are_summed_by_weight(snapshots: Path, tmp_path: Path, say: Say) -> None:
    one = RECORD["teacher"]["terms"][0]
    two = {**one, "name": "weak", "arguments": {"depth_eV": 0.1}}

    def summed(weight: float) -> TeacherSettings:
        return teacher(terms=[one, {**two, "weight": weight}])

    label(snapshots, summed(0.5), tmp_path / "labels", workers=2, say=say)
    alone = read_labelled(snapshots, teacher(), tmp_path / "labels")
    for weight in (0.5, -2.0):
        found = read_labelled(snapshots, summed(weight), tmp_path / "labels")
        # The depth of all wells is a factor of everything.
        factor = 1 + weight * 0.1 / 0.4
        for entry, single in zip(found, alone, strict=True):
            assert entry.energy_eV == pytest.approx(factor * single.energy_eV)
            assert np.allclose(entry.forces_eV_per_A, factor * single.forces_eV_per_A, atol=1e-4)
            assert np.allclose(entry.stress_eV_per_A3, factor * single.stress_eV_per_A3, atol=1e-7)


def test_what_the_teacher_cannot_do_is_left_out_and_counted(tmp_path: Path, say: Say) -> None:
    term = RECORD["teacher"]["terms"][0] | {"arguments": {"refuses": "Br"}}
    settings = DistillSettings.model_validate(
        RECORD | {"work": str(tmp_path), "teacher": {"terms": [term], "shard": 2}}
    )
    frames = [chloride(Y=1), chloride(Y=1, Br=1), chloride(Y=2)]
    path = snapshot_file(settings, "seeds")
    path.parent.mkdir()
    ase.io.write(path, frames, format="extxyz")
    said: list[str] = []
    label_stage(settings, "seeds", said.append)
    assert said[-1] == "3 snapshots labelled; pairs: 1 could not be computed"
    found = read_labelled(path, settings.teacher, settings.folder / "labels" / "seeds")
    assert [str(entry.atoms.symbols) for entry in found] == [
        str(frames[0].symbols),
        str(frames[2].symbols),
    ]
    note = read_json(labels_note(settings, "seeds"))
    assert note["snapshots"] == 3
    assert note["terms"]["pairs"]["failures"] == 1
    assert len(note["snapshots_sha256"]) == len(note["terms"]["pairs"]["shards_sha256"]) == 64


def test_a_note_written_again_is_as_old_as_its_labels(tmp_path: Path, say: Say) -> None:
    settings = DistillSettings.model_validate(RECORD | {"work": str(tmp_path)})
    path = snapshot_file(settings, "seeds")
    path.parent.mkdir()
    ase.io.write(path, rattled_cells(3), format="extxyz")
    label_stage(settings, "seeds", say)
    note = labels_note(settings, "seeds")
    first, written = note.read_text(), note.stat().st_mtime
    note.unlink()
    label_stage(settings, "seeds", say)
    assert note.read_text() == first
    assert note.stat().st_mtime == written


def test_a_missing_interpreter_is_one_line(snapshots: Path, tmp_path: Path, say: Say) -> None:
    with pytest.raises(HalmdError, match=r"teacher\.python: nowhere/python: no such inter") as e:
        label(snapshots, teacher(python="nowhere/python"), tmp_path / "l", workers=1, say=say)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize(
    ("calculator", "arguments", "message"),
    [
        ("no_such_module:morse", {}, "No module named 'no_such_module'"),
        ("toy_teacher:no_such_factory", {}, "no_such_factory"),
        ("toy_teacher:morse", {"no_such_argument": 1}, "no_such_argument"),
    ],
)
def test_a_calculator_that_cannot_be_made_is_one_line(
    snapshots: Path,
    tmp_path: Path,
    say: Say,
    calculator: str,
    arguments: dict[str, object],
    message: str,
) -> None:
    term = {"name": "bad", "calculator": calculator, "arguments": arguments}
    with pytest.raises(HalmdError, match=message) as caught:
        label(snapshots, teacher(terms=[term]), tmp_path / "labels", workers=2, say=say)
    assert str(caught.value).startswith("teacher 'bad': ")
    assert "\n" not in str(caught.value)
