"""`halmd add`: what it says, what it writes, and when it writes nothing."""

from pathlib import Path

import pytest
import yaml

from test_cli import halmd, refused

HEAD = "# my campaign\nstructure: {min_length_A: 9.5}   # small\n"
CONFIG = HEAD + "materials:\n  - formula: Li3YCl6\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "given.yaml").write_text(CONFIG)
    return tmp_path


def written(folder: Path) -> list[str]:
    record = yaml.safe_load((folder / "given.yaml").read_text())
    return [material["formula"] for material in record["materials"]]


def test_a_series_is_planned_and_added(folder: Path) -> None:
    done = halmd("add", "Li{3-3x}Y{1+x}Cl6", "x=0:0.2:0.1", "--config", "given.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert written(folder) == ["Li3YCl6", "Li2.7Y1.1Cl6", "Li2.4Y1.2Cl6"]
    assert (folder / "given.yaml").read_text().startswith(CONFIG)
    for words in (
        "Li3YCl6: already in given.yaml",
        "oxidation states: Li +1, Y +3, Cl -1",
        "chosen because",
        "supercell:",
        "confidence: LOW",
        "covers every element",
        "trained on Li3YCl6",
        "given.yaml: 2 materials added, 16 runs",
    ):
        assert words in done.stdout
    again = halmd("add", "Li5.4Y2.2Cl12", "--config", "given.yaml", cwd=folder)
    assert "already in given.yaml as Li2.7Y1.1Cl6" in again.stdout
    assert "nothing to add" in again.stdout
    assert halmd("check", "given.yaml", cwd=folder).returncode == 0


def test_dry_run_says_all_and_writes_nothing(folder: Path) -> None:
    done = halmd("add", "Li2.4Y1.2Cl6", "--dry-run", "--config", "given.yaml", cwd=folder)
    assert done.returncode == 0
    assert "Li2.4Y1.2Cl6: from " in done.stdout
    assert "would be added" in done.stdout
    assert written(folder) == ["Li3YCl6"]


def test_an_element_the_potential_does_not_know_is_planned_but_not_added(folder: Path) -> None:
    done = halmd("add", "Li2.5Y0.5Zr0.5Cl6", "--config", "given.yaml", cwd=folder)
    assert done.returncode == 2
    assert "was not trained on Zr" in done.stdout
    assert "supercell:" in done.stdout
    assert "accept_extrapolation" in done.stderr
    assert written(folder) == ["Li3YCl6"]
    (folder / "given.yaml").write_text(CONFIG + "accept_extrapolation: true\n")
    done = halmd("add", "Li2.5Y0.5Zr0.5Cl6", "--config", "given.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert written(folder) == ["Li3YCl6", "Li2.5Y0.5Zr0.5Cl6"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Li3ZrCl6"], "Li2ZrCl6 would be neutral"),
        (["Li2.7Y1.1Cl6", "Li3YtCl6"], "unknown element Yt"),
        (["Li{3-x}YCl6", "x=0:1:0.5"], "Li2.5YCl6 has a charge"),
        (["Li{3-x}YCl6"], "x has no values"),
        (["Li3YCl6", "--prototype", "glass", "--name", "g"], "melting and quenching"),
        (["Li2.7Y1.1Cl6", "Li2.4Y1.2Cl6", "--name", "a"], "one name for 2 compositions"),
        (["Na3YCl6"], "holds no Li, whose diffusion"),
        (["Li2.4Y1.2Cl6", "--name", "Li3YCl6"], "share the folder"),
        (["Li2.4Y1.2Cl6", "--config", "given_nothing.yaml"], "no such file"),
    ],
)
def test_bad_additions_change_nothing(folder: Path, words: list[str], message: str) -> None:
    config = [] if "--config" in words else ["--config", "given.yaml"]
    done = halmd("add", *words, *config, cwd=folder)
    assert message in refused(done, folder)
    assert (folder / "given.yaml").read_text() == CONFIG


def test_a_mistake_elsewhere_in_the_campaign_is_named(folder: Path) -> None:
    (folder / "given.yaml").write_text(CONFIG + "dynamic: {}\n")
    done = halmd("add", "Li2.4Y1.2Cl6", "--config", "given.yaml", cwd=folder)
    assert "did you mean `dynamics`?" in refused(done, folder)


def test_a_linked_campaign_stays_a_link(folder: Path) -> None:
    (folder / "given_link.yaml").symlink_to("given.yaml")
    (folder / "given.yaml").chmod(0o640)
    done = halmd("add", "Li2.4Y1.2Cl6", "--config", "given_link.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "given_link.yaml").is_symlink()
    assert (folder / "given.yaml").stat().st_mode & 0o777 == 0o640
    assert written(folder) == ["Li3YCl6", "Li2.4Y1.2Cl6"]
