"""Students and their judgement are put away and come back as they were."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

import fitted
from halmd.distill.settings import DistillSettings
from halmd.files import sha256

RECORD = {
    "name": "toy",
    "teacher": {"terms": [{"name": "lj", "calculator": "ase.calculators.lj:LennardJones"}]},
    "families": [{"name": "chlorides", "compositions": ["Li3YCl6"]}],
    "test": {"temperatures_K": [400], "runs": 2},
    "committee": 1,
}


def of(work: Path) -> DistillSettings:
    return DistillSettings.model_validate(RECORD | {"work": str(work)})


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DistillSettings:
    """A distillation with a student and half of a judgement, put away."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitted, "FOLDER", tmp_path / "kept")
    settings = of(Path("work"))
    final = settings.folder / "final"
    final.mkdir(parents=True)
    for name in ("toy.model", "job.json", "parameters.pt", "made-of.json", "worker-0.log"):
        (final / name).write_text(f"content of {name}")
    for checksum in (sha256(final / "toy.model")[:12], "of another"):
        judged = settings.folder / "validation" / checksum
        judged.mkdir(parents=True)
        (judged / "errors.json").write_text("{}")
    fitted.pack(settings)
    return settings


def test_they_come_back(packed: DistillSettings) -> None:
    fitted.unpack(of(Path("elsewhere")))
    before = {p.relative_to(packed.folder) for p in packed.folder.rglob("*") if p.is_file()}
    there = of(Path("elsewhere")).folder
    after = {p.relative_to(there): p.read_text() for p in there.rglob("*") if p.is_file()}
    # Neither logs nor what was judged of another student.
    left = {path for path in before if path.suffix == ".log" or path.parts[1] == "of another"}
    assert after.keys() == before - left
    assert after[Path("final/toy.model")] == "content of toy.model"


def test_weights_alone_are_what_another_fit_begins_with(packed: DistillSettings) -> None:
    fitted.pack(packed, only_weights=True)
    there = {path.name for path in (fitted.FOLDER / "toy").rglob("*") if path.is_file()}
    assert there == {"job.json", "parameters.pt", "made-of.json", fitted.SUMS}


def test_what_is_there_is_left(packed: DistillSettings) -> None:
    model = packed.folder / "final" / "toy.model"
    model.write_text("fitted further")
    fitted.unpack(packed)
    assert model.read_text() == "fitted further"


def test_damage_is_told(packed: DistillSettings) -> None:
    (fitted.FOLDER / "toy" / "final" / "toy.model").write_text("flipped")
    with pytest.raises(SystemExit, match="damaged"):
        fitted.unpack(packed)


def test_nothing_to_keep_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted, "FOLDER", tmp_path / "kept")
    with pytest.raises(SystemExit, match="no student is fitted"):
        fitted.pack(of(tmp_path / "work"))
