"""The Apptainer definition: what it copies is there, and it installs what `make` does."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CONTAINER = REPOSITORY / "workflow" / "container"
DEFINITION = (CONTAINER / "halmd.def").read_text()


def section(name: str) -> list[str]:
    """Lines of a section that are no comments."""
    text = re.split(r"^%(\w+)$", DEFINITION, flags=re.MULTILINE)
    body = text[text.index(name) + 1]
    lines = (line.strip() for line in body.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_what_is_copied_is_there_and_is_enough() -> None:
    copied = dict(line.split() for line in section("files"))
    for source, target in copied.items():
        assert (REPOSITORY / source).exists(), source
        assert target == f"/opt/halmd/{source}"
    # The files that pip reads; the prototypes are found beside the source.
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "constraints.txt", project["readme"], "src"} <= set(copied)
    assert {"Snakefile", "workflow", "structures"} <= set(copied)


def test_torch_is_that_of_the_constraints_and_the_extras_exist() -> None:
    post = "\n".join(section("post"))
    constraints = (REPOSITORY / "constraints.txt").read_text().splitlines()
    (torch,) = re.findall(r"torch==\S+", post)
    assert torch in constraints
    assert torch in (REPOSITORY / "Makefile").read_text()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r'--editable "\.\[(.+)\]"', post)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_every_argument_is_used_and_every_used_one_has_a_default() -> None:
    defined = {line.partition("=")[0] for line in section("arguments")}
    assert set(re.findall(r"\{\{ (\w+) \}\}", DEFINITION)) == defined


def test_its_shell_is_sound() -> None:
    for name in ("post", "environment", "test", "runscript"):
        text = "\n".join(section(name))
        done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_rules_halmd_becomes_that_of_the_image(tmp_path: Path) -> None:
    apptainer = tmp_path / "apptainer"
    apptainer.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 75\n')
    apptainer.chmod(0o755)
    path = f"{CONTAINER / 'bin'}:{tmp_path}:{os.environ['PATH']}"
    call = ["halmd", "dynamics", "a b", "--seed", "1"]
    given = {"PATH": path, "HALMD_IMAGE": "/my images/halmd.sif", "HALMD_APPTAINER": "--nv"}
    done = subprocess.run(call, env=os.environ | given, capture_output=True, text=True, check=False)
    # The exit code of a run out of time is what makes it go on.
    assert done.returncode == 75
    assert done.stdout == "exec|--nv|/my images/halmd.sif|halmd|dynamics|a b|--seed|1|"
    unset = {key: value for key, value in os.environ.items() if key != "HALMD_IMAGE"}
    done = subprocess.run(
        call, env=unset | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "HALMD_IMAGE" in done.stderr
