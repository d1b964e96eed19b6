"""docs/validation.md says what the kept results of the review's campaigns say."""

import shlex
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner

from halmd.cli import app
from halmd.report.validation_page import BEGIN, END

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "validation.md"


def test_the_page_is_what_its_own_command_writes(tmp_path: Path) -> None:
    text = PAGE.read_text()
    command = text.split(BEGIN)[1].split("```bash\n")[1].split("```")[0].replace("\\\n", " ")
    program, *arguments = shlex.split(command)
    assert program == "halmd"
    (tmp_path / "docs").mkdir()
    (tmp_path / "campaigns").symlink_to(ROOT / "campaigns")
    page = tmp_path / "docs" / "validation.md"
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{END}{rest.split(END)[1]}")
    with chdir(tmp_path):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert page.read_text() == text


def test_every_material_with_a_fit_is_on_the_page() -> None:
    fits = (ROOT / "campaigns" / "results" / "review").glob("*/arrhenius.json")
    kept = {file.parent for file in fits}
    assert kept
    for folder in kept:
        assert folder.relative_to(ROOT).as_posix() in PAGE.read_text()
