"""The command line with bad input: one line, exit code 2, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk

from halmd.cli_options import settings_of
from halmd.config import PlotSettings
from halmd.errors import HalmdError

REPOSITORY = Path(__file__).parent.parent


def halmd(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HALMD_STRUCTURES": str(REPOSITORY / "structures")}
    return subprocess.run(
        [sys.executable, "-m", "halmd.cli", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], cwd: Path) -> str:
    """Require exit code 2, one line and an empty folder; returns the line."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("halmd: error: ")
    assert done.stdout == ""
    assert [path for path in cwd.iterdir() if not path.name.startswith("given")] == []
    return lines[0]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("Li3YtCl6", "unknown element Yt"),
        ("Li3(YCl6", "not closed"),
        ("Li3ZrCl6", "Li2ZrCl6 would be neutral"),
        ("Li1.2TaO1.2Cl3.8", "amorphous phases are made by melting"),
    ],
)
def test_bad_formula(tmp_path: Path, formula: str, message: str) -> None:
    assert message in refused(halmd("structure", formula, "-o", "out", cwd=tmp_path), tmp_path)


def test_composition_the_supercell_cannot_hold(tmp_path: Path) -> None:
    done = halmd(
        "structure", "Li2.5Y0.5Zr0.5Cl6", "-o", "out", "--max-atoms", "30",
        "--min-length-A", "5", "--composition-tolerance", "0", cwd=tmp_path,
    )  # fmt: skip
    assert "atoms would" in refused(done, tmp_path)


def test_bad_setting_names_the_option(tmp_path: Path) -> None:
    done = halmd("structure", "Li3YCl6", "-o", "out", "--min-length-A", "-1", cwd=tmp_path)
    assert "--min-length-A" in refused(done, tmp_path)


@pytest.mark.parametrize("temperature", ["0", "-300", "nan"])
def test_impossible_temperature(tmp_path: Path, temperature: str) -> None:
    ase.io.write(tmp_path / "given.extxyz", bulk("LiCl", "rocksalt", a=5.1))
    done = halmd(
        "equilibrate", "given.extxyz", "--potential", "given.json", "--temperature-K", temperature,
        "-o", "a.extxyz", "--record", "npt.json", cwd=tmp_path,
    )  # fmt: skip
    assert "--temperature-K: " in refused(done, tmp_path)


def test_truncated_structure(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "given.extxyz", bulk("LiCl", "rocksalt", a=5.1).repeat(2))
    text = (tmp_path / "given.extxyz").read_text()
    (tmp_path / "given.extxyz").write_text(text[: len(text) // 2])
    done = halmd(
        "equilibrate", "given.extxyz", "--potential", "given.json", "--temperature-K", "500",
        "-o", "a.extxyz", "--record", "npt.json", cwd=tmp_path,
    )  # fmt: skip
    assert "given.extxyz: not a readable extxyz structure" in refused(done, tmp_path)


def test_damaged_trajectory(tmp_path: Path) -> None:
    (tmp_path / "given.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    done = halmd("diffusion", "given.h5", "-o", "out.json", "--temperature-K", "500", cwd=tmp_path)
    assert "given.h5: not a complete H5MD trajectory" in refused(done, tmp_path)


def test_damaged_model(tmp_path: Path) -> None:
    (tmp_path / "given.model").write_bytes(b"PK\x03\x04 not a model")
    done = halmd("potential", "given.model", "-o", "out", cwd=tmp_path)
    assert "given.model" in refused(done, tmp_path)


def test_unknown_potential(tmp_path: Path) -> None:
    done = halmd("potential", "no-such-thing", "-o", "out", cwd=tmp_path)
    assert "is not known" in refused(done, tmp_path)


def test_potential_that_does_not_know_an_element(tmp_path: Path) -> None:
    made = halmd("potential", "halmd-liycl-1", "-o", "given-potential", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    ase.io.write(tmp_path / "given.extxyz", bulk("NaCl", "rocksalt", a=5.6))
    done = halmd(
        "equilibrate", "given.extxyz", "--potential", "given-potential/potential.json",
        "--temperature-K", "500", "-o", "a.extxyz", "--record", "npt.json", cwd=tmp_path,
    )  # fmt: skip
    assert "was not trained on Na" in refused(done, tmp_path)


def test_bad_campaign(tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text("materials: [{formla: Li3YCl6}]\n")
    for command in ("check", "run"):
        line = refused(halmd(command, "given.yaml", cwd=tmp_path), tmp_path)
        assert "did you mean `formula`?" in line


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("a file, not a folder")
    done = halmd("structure", "Li3YCl6", "-o", "given", "--min-length-A", "5", cwd=tmp_path)
    assert "given: File exists" in refused(done, tmp_path)


def test_debug_shows_a_traceback(tmp_path: Path) -> None:
    done = halmd("--debug", "structure", "Li3YtCl6", "-o", "out", cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert done.returncode != 0


def test_a_good_structure_command(tmp_path: Path) -> None:
    done = halmd("structure", "Li3YCl6", "-o", "out", "--min-length-A", "9.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 orderings of Li3YCl6, 60 atoms" in done.stdout
    assert (tmp_path / "out" / "01.extxyz").is_file()


def test_a_bad_value_among_several_is_named() -> None:
    with pytest.raises(HalmdError, match=r"^--colours Li3YCl6=nope: no colour"):
        settings_of(PlotSettings, colours={"Li2ZrCl6": "teal", "Li3YCl6": "nope"})
    with pytest.raises(HalmdError, match=r"^--dpi: "):
        settings_of(PlotSettings, dpi=1)
