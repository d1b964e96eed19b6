"""The documentation is true: its commands run, its links lead somewhere, its references agree.

Pages under RUN are run as a reader would, block by block, in a folder like a checkout, with a toy
potential and shorter runs. What cannot be run is listed with the reason, and at least parsed.
"""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import ase.io
import numpy as np
import pytest
import typer
import yaml
from ase import Atoms
from typer.core import TyperGroup

from docs_pages import (
    DOCS,
    PAGES,
    REPOSITORY,
    blocks,
    commands,
    inline_commands,
    links,
    named_files,
    words,
)
from halmd import cli
from halmd.reference_pages import cli_page, config_page

RUN = ("structures.md", "potentials.md", "trajectories.md", "transport.md")
"""Pages whose commands are run, after those of the tutorial and in its folder."""

NOT_RUN: dict[str, dict[str, str]] = {
    "tutorial.md": {
        "make setup": "installs everything, from a registry",
        "source .venv/bin/activate": "the test's environment is active already",
    },
    "potentials.md": {
        "halmd potential my.model": "imports torch; tests/potentials/test_registry.py does it",
        "halmd potential medium-mpa-0": "downloads a foundation model",
    },
    "dynamics.md": {
        "halmd temperatures": "two minutes of molecular dynamics",
        "halmd lattice": "minutes of molecular dynamics; tests/dynamics/test_lattice.py",
        "snakemake": "molecular dynamics; tests/workflow has the target",
    },
    "clusters.md": {
        "pip install": "from a registry",
        "python -m venv": "an environment of a node's own, from a registry",
        "halmd": "a queue, or results of one",
        "snakemake": "a queue",
    },
    "plots.md": {
        "halmd plots": "two materials; tests/report/test_plots.py does it",
        "halmd validation": "two materials; tests/report/test_validation.py does it",
    },
    "transport.md": {
        "halmd polycrystal": "a whole campaign; tests/transport/test_polycrystal.py does it",
    },
    "validation.md": {
        "halmd validation": "tests/report/test_kept_results.py does it",
        "make validation": "the same",
        "halmd run": "hours of molecular dynamics",
    },
    "report.md": {"halmd report": "two materials; tests/report/test_page.py does it"},
    "distill.md": {
        "halmd": "hours of a teacher's labels",
        "python3 -m venv": "an environment of a teacher's own",
        ".venv-teacher/bin/python": "an environment of a teacher's own",
    },
    "README.md": {
        "make": "twenty minutes of molecular dynamics, or all tests",
        "source .venv/bin/activate": "the test's environment is active already",
        "pip install": "from a registry",
        "halmd": "the tutorial and its neighbours run the same commands",
        "snakemake": "tests/workflow runs these targets",
    },
}
"""Beginnings of commands that are only parsed, by page, and why."""

SHORTER = {"--production-ps": "2", "--equilibration-ps": "0.2"}
"""Options whose values are cut down."""

TOY = {"halmd-liycl-1": "toy:ions"}
"""What is run in place of a potential that has to be compiled."""

TINY: dict[str, Any] = {
    "potential": "toy:ions",
    "structure": {"monte_carlo_steps": 200},
    "dynamics": {
        "temperatures_K": [720],
        "equilibration_ps": 0.2,
        "production_ps": 2,
    },
    "diffusion": {"min_jumps": 0},
    "plots": {"formats": ["png"], "dpi": 40},
}
"""What is changed in a campaign of the tutorial, so that it takes seconds."""

_APART = ("run", "plan", "potential", "equilibrate", "dynamics")
"""Commands that load a potential get a process of their own."""

MENTIONED = [(page, command) for page in PAGES for command in commands(page)]


def reason_not_to_run(page: Path, command: str) -> str | None:
    """Why a command of a page is only parsed; None for one that is run."""
    for beginning, reason in NOT_RUN.get(page.name, {}).items():
        if command.startswith(beginning):
            return reason
    return None


# --- running -------------------------------------------------------------------------------------


def synthetic(T: float, n_frames: int = 600) -> list[Atoms]:
    """Li that diffuses in rattling YCl, wrapped, 50 fs apart, with an Ea of 0.3 eV."""
    rng = np.random.default_rng(int(T))
    cell = np.array([[11.0, 0, 0], [-5.5, 9.526, 0], [0, 0, 12.0]])
    D_A2_per_ps = 0.3 * np.exp(-0.3 / 8.617e-5 * (1 / T - 1 / 720))
    steps = rng.normal(0, np.sqrt(2 * D_A2_per_ps * 0.05), (n_frames, 9, 3))
    moved = np.concatenate([steps.cumsum(axis=0), rng.normal(0, 0.1, (n_frames, 21, 3))], axis=1)
    start = rng.random((30, 3)) @ cell
    symbols = ["Li"] * 9 + ["Y"] * 3 + ["Cl"] * 18
    found = [Atoms(symbols, start + frame, cell=cell, pbc=True) for frame in moved]
    for atoms in found:
        atoms.wrap()
    return found


def lammps_dump(frames: list[Atoms], steps_apart: int) -> str:
    """A text dump of types 1, 2, 3 for Li, Y, Cl, with scaled positions."""
    lines = []
    kinds = {"Li": 1, "Y": 2, "Cl": 3}
    (lx, _, _), (xy, ly, _), (_, _, lz) = frames[0].cell.array
    for number, atoms in enumerate(frames):
        lines += [f"ITEM: TIMESTEP\n{number * steps_apart}\nITEM: NUMBER OF ATOMS\n{len(atoms)}"]
        lines += [f"ITEM: BOX BOUNDS xy xz yz pp pp pp\n{xy} {lx} {xy}\n0 {ly} 0\n0 {lz} 0"]
        lines += ["ITEM: ATOMS id type xs ys zs"]
        lines += [
            f"{k + 1} {kinds[symbol]} {x:.8f} {y:.8f} {z:.8f}"
            for k, (symbol, (x, y, z)) in enumerate(
                zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)
            )
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what a reader's has: the workflow, structures, trajectories of others."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("structures", "workflow", "Snakefile", "profiles"):
        (folder / name).symlink_to(REPOSITORY / name)
    shutil.copy(REPOSITORY / "tests" / "workflow" / "toy.py", folder)
    # `halmd add` on a page adds elements that the shipped campaign's potential does not know.
    text = (REPOSITORY / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        text.replace("halmd-liycl-1 ", "medium-mpa-0 ") + "results: added\n"
    )
    ase.io.write(folder / "XDATCAR", synthetic(650), format="vasp-xdatcar")
    (folder / "dump.lammpstrj").write_text(lammps_dump(synthetic(720), 25))
    ase.io.write(folder / "md.extxyz", synthetic(800), format="extxyz")
    return folder


@pytest.fixture(scope="module")
def after_tutorial(checkout: Path) -> Path:
    """The same folder when a reader has done the tutorial."""
    followed(DOCS / "tutorial.md", checkout)
    return checkout


def followed(page: Path, folder: Path) -> None:
    """Do what a page says: write its titled blocks, run its commands and its Python."""
    for block in blocks(page):
        if block.title:
            text = block.text
            if block.title.endswith(".yaml"):
                text = yaml.safe_dump(shortened(yaml.safe_load(text), TINY))
            (folder / block.title).write_text(text)
        elif block.language == "python":
            with chdir(folder):
                exec(compile(block.text, f"{page.name}, a block", "exec"), {})
        for command in block.commands():
            if reason_not_to_run(page, command) is None:
                ran(command, folder, page)


def shortened(record: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A campaign with some settings changed."""
    result = dict(record)
    for key, value in change.items():
        old = record.get(key)
        result[key] = (old or {}) | value if isinstance(value, dict) else value
    return result


def ran(command: str, folder: Path, page: Path) -> None:
    """Run a command of a page with shorter runs; it must end well."""
    program, *arguments = words(command)
    assert program == "halmd", f"{page.name}: how is `{command}` to be run? See NOT_RUN"
    for option, value in SHORTER.items():
        if option in arguments:
            arguments[arguments.index(option) + 1] = value
    arguments = [TOY.get(word, word) for word in arguments]
    if arguments[0] in _APART:
        done = subprocess.run(
            [sys.executable, "-m", "halmd.cli", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stderr[-2000:]}"
        return
    with chdir(folder), mock.patch.object(sys, "argv", ["halmd", *arguments]):
        code = ended(cli.main)
    assert code in (0, None), f"{page.name}: {command}: exit code {code}"


def ended(call: Any) -> Any:
    """Exit code of a command in this process."""
    try:
        call()
    except SystemExit as exit_:
        return exit_.code
    return None


@pytest.mark.workflow
def test_the_tutorial_ends_with_its_plot(after_tutorial: Path) -> None:
    results = after_tutorial / "results"
    for name in ("plots/conductivity-temperature.png", "conductivity.csv", "report.html"):
        assert (results / name).stat().st_size > 0


@pytest.mark.workflow
@pytest.mark.parametrize("name", RUN)
def test_commands_of_a_page_run(name: str, after_tutorial: Path) -> None:
    followed(DOCS / name, after_tutorial)


# --- parsing -------------------------------------------------------------------------------------


def made_sense_of(command: str) -> None:
    """Require that a command which is not run could be: programs, options, files, targets."""
    program, *arguments = words(command)
    if program == "halmd":
        group = typer.main.get_command(cli.app)
        assert arguments[0] in group.commands, f"halmd has no command {arguments[0]}"
        # Raises for unknown options, and for arguments that are missing or of a wrong kind.
        command = group.commands[arguments[0]]
        context = command.make_context(arguments[0], arguments[1:])
        if isinstance(command, TyperGroup):
            name, command, rest = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            command.make_context(name, rest)
    elif program == "make":
        for target in arguments:
            makefile = (REPOSITORY / "Makefile").read_text()
            assert re.search(rf"^{target}:", makefile, re.M), f"make has no target {target}"
    elif program == "snakemake":
        rules = "".join(
            path.read_text() for path in (REPOSITORY / "workflow").rglob("*") if path.is_file()
        )
        # Options of Snakemake's own take a word each.
        pairs = zip(["", *arguments], arguments, strict=False)
        targets = [word for before, word in pairs if "--" not in before + word]
        for target in targets:
            assert re.search(rf"^rule {target}:", rules, re.M), f"there is no rule {target}"
    elif program == "pip" and "halmd[" in command:
        extras = (REPOSITORY / "pyproject.toml").read_text()
        for extra in re.findall(r"halmd\[(\w+)\]", command):
            assert re.search(rf"^{extra} = \[", extras, re.M), f"there is no extra {extra}"
    for word in arguments:
        if re.match(r"(benchmarks|config|tests|training|workflow)/|config\.yaml$", word):
            assert (REPOSITORY / word).exists(), f"{word}: no such file"


@pytest.mark.parametrize(
    ("page", "command"),
    [(p, c) for p, c in MENTIONED if reason_not_to_run(p, c)],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_commands_that_are_not_run_could_be(page: Path, command: str) -> None:
    made_sense_of(command)


def test_every_command_is_run_or_has_a_reason_not_to_be() -> None:
    run = {DOCS / name for name in (*RUN, "tutorial.md")}
    for page, command in MENTIONED:
        assert page in run or reason_not_to_run(page, command), f"{page.name}: {command}"
    for name, entries in NOT_RUN.items():
        for beginning in entries:
            assert any(
                page.name == name and command.startswith(beginning) for page, command in MENTIONED
            ), f"{name} has no command {beginning!r} any more"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_running_text_exist(page: Path) -> None:
    group = typer.main.get_command(cli.app)
    for command in inline_commands(page):
        name, *rest = command.removeprefix("halmd ").split()
        if name.startswith("-") or name == "COMMAND":
            continue
        assert name in group.commands, f"{page.name}: {command}"
        options = {spelt for p in group.commands[name].params for spelt in (*p.opts, "--help")}
        if name not in ("run", "distill"):
            for word in rest:
                assert not word.startswith("--") or word in options, f"{page.name}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_imports_what_there_is(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("halmd"):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names), page.name


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_are_there(page: Path) -> None:
    missing = [target for target in links(page) if not (page.parent / target).exists()]
    # Modules are named from src/halmd on, all else from the top.
    places = (REPOSITORY, REPOSITORY / "src" / "halmd")
    missing += [n for n in named_files(page) if not any((top / n).exists() for top in places)]
    assert not missing


@pytest.mark.parametrize(
    ("name", "expected"),
    [("config", config_page()), ("cli", cli_page(typer.main.get_command(cli.app)))],
    ids=["config", "cli"],
)
def test_reference_is_in_step_with_the_code(name: str, expected: str) -> None:
    found = (DOCS / f"reference-{name}.md").read_text(encoding="utf-8")
    assert found == expected, f"run `halmd reference {name} > docs/reference-{name}.md`"


def test_every_option_in_the_reference_has_words() -> None:
    page = cli_page(typer.main.get_command(cli.app))
    assert not re.findall(r"^\| `-.*\| *\|$", page, re.M)


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed (make docs)")
def test_the_site_builds_and_needs_no_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]*src=\"?(?:https?:)?//", text)
        assert not re.findall(r"<link[^>]*(?:stylesheet|preload)[^>]*href=\"?(?:https?:)?//", text)
        # Every equation was converted.
        assert "arithmatex" not in text
    physics = (tmp_path / "site" / "physics.html").read_text(encoding="utf-8")
    assert physics.count('display="block"') == (DOCS / "physics.md").read_text().count("\n$$\n") / 2
