"""`halmd diffusion` on other people's trajectories, and on what is no trajectory."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from halmd.config import DiffusionSettings
from halmd.transport.diffusion import diffusion
from halmd.transport.motion import motion_of
from test_cli import halmd, refused

CELL = np.array([[12.0, 0, 0], [-6.0, 10.392, 0], [1.0, 2.0, 12.0]])
SYMBOLS = ["Li"] * 18 + ["Cl"] * 30
FRAME_FS = 100.0
TIMES = ("--frame-interval-fs", "100", "--temperature-K", "600", "-o", "out.json")


D_A2_PER_PS = 0.3


def continuous_positions(n_frames: int = 1500) -> np.ndarray:
    """Li that diffuses in rattling Cl, shape (n_frames, 48, 3)."""
    rng = np.random.default_rng(0)
    width = np.sqrt(2 * D_A2_PER_PS * FRAME_FS / 1000)
    li = np.cumsum(rng.normal(0, width, (n_frames, 18, 3)), axis=0)
    cl = rng.normal(0, 0.1, (n_frames, 30, 3))
    return rng.random((48, 3)) @ CELL + np.concatenate([li, cl], axis=1)


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    """The same, put back into a triclinic cell."""
    found = [
        Atoms(SYMBOLS, positions=positions, cell=CELL, pbc=True)
        for positions in continuous_positions()
    ]
    for atoms in found:
        atoms.wrap()
    return found


@pytest.fixture(scope="module")
def expected_cm2_per_s() -> float:
    """D of the continuous positions."""
    positions = continuous_positions()
    motion = motion_of(positions, CELL, SYMBOLS, np.arange(len(positions)) * FRAME_FS / 1000)
    return diffusion(motion, DiffusionSettings(), temperature_K=600)["D_tracer_cm2_per_s"]


@pytest.mark.parametrize("name", ["given.extxyz", "given.traj", "given_XDATCAR"])
def test_every_format_gives_the_same_diffusivity(
    name: str, frames: list[Atoms], expected_cm2_per_s: float, tmp_path: Path
) -> None:
    kind = {"given.extxyz": "extxyz", "given.traj": "traj", "given_XDATCAR": "vasp-xdatcar"}[name]
    ase.io.write(tmp_path / name, frames, format=kind)
    done = halmd("diffusion", name, *TIMES, "--figure", "out.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("out.json: converged")
    record = json.loads((tmp_path / "out.json").read_text())
    low, high = record["D_tracer_interval95_cm2_per_s"]
    assert low < D_A2_PER_PS * 1e-4 < high
    assert record["D_tracer_cm2_per_s"] == pytest.approx(expected_cm2_per_s, rel=1e-3)
    assert record["length_ps"] == pytest.approx(149.9)
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_a_wrapped_trajectory_too_coarse_is_refused(frames: list[Atoms], tmp_path: Path) -> None:
    ase.io.write(tmp_path / "given.extxyz", frames[::100], format="extxyz")
    done = halmd("diffusion", "given.extxyz", *TIMES, cwd=tmp_path)
    assert "too far to unwrap" in refused(done, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature-K", "600", "-o", "out.json"), "--frame-interval-fs"),
        ((*TIMES, "--mobile", "Na"), "no Na in the trajectory"),
        ((*TIMES, "--framework", "Br"), "Br is not in the trajectory"),
        ((*TIMES, "--fit-from-ps", "100"), "beyond a third of the run"),
        (("--temperature-K", "-3", *TIMES[:2], *TIMES[4:]), "--temperature-K"),
        (("--temperature-K", "nan", *TIMES[:2], *TIMES[4:]), "--temperature-K"),
    ],
)
def test_what_is_missing_is_asked_for(
    options: tuple[str, ...], message: str, frames: list[Atoms], tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "given.extxyz", frames[:200], format="extxyz")
    done = halmd("diffusion", "given.extxyz", *options, cwd=tmp_path)
    assert message in refused(done, tmp_path)


def damaged(frames: list[Atoms], how: str) -> list[Atoms]:
    frames = [atoms.copy() for atoms in frames[:50]]
    if how == "nan":
        frames[20].positions[3, 1] = np.nan
    elif how == "lost atom":
        del frames[20][5]
    elif how == "other order":
        frames[20] = frames[20][::-1]
    elif how == "one frame":
        frames = frames[:1]
    elif how == "no cell":
        for atoms in frames:
            atoms.set_cell(None)
            atoms.pbc = False
    return frames


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", "frame 20 are not numbers"),
        ("lost atom", "frame 20 has 47 atoms"),
        ("other order", "in frame 20 are not those of frame 0"),
        ("one frame", "1 frame; a diffusivity needs a run"),
        ("no cell", "cell"),
    ],
)
def test_damaged_trajectories_are_refused(
    how: str, message: str, frames: list[Atoms], tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "given.extxyz", damaged(frames, how), format="extxyz")
    done = halmd("diffusion", "given.extxyz", *TIMES, cwd=tmp_path)
    assert message in refused(done, tmp_path)


@pytest.mark.parametrize("content", ["", "this is no trajectory\n"])
def test_files_that_are_no_trajectory(content: str, tmp_path: Path) -> None:
    (tmp_path / "given.dat").write_text(content)
    message = refused(halmd("diffusion", "given.dat", *TIMES, cwd=tmp_path), tmp_path)
    assert ("empty" if not content else "no known format") in message


def test_where_ions_go_on_the_command_line(frames: list[Atoms], tmp_path: Path) -> None:
    ase.io.write(tmp_path / "given.extxyz", frames[:400], format="extxyz")
    for command, output, more in (
        ("density", "out.cube", ("--fold", "2", "1", "1")),
        ("vanhove", "out.json", ("--time-ps", "1")),
        ("jumps", "jumps.json", ()),
    ):
        done = halmd(
            command, "given.extxyz", "--frame-interval-fs", "100", "-o", output, "--figure",
            f"{command}.png", *more, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{output}: ")
        assert (tmp_path / output).stat().st_size > 100
        assert (tmp_path / f"{command}.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("density", "given.extxyz", "--spacing-A", "0"), "--spacing-A"),
        (("vanhove", "given.extxyz", "--time-ps", "1000"), "longer than the run"),
        (("jumps", "given.extxyz", "--sites", "none.cif"), "not a readable crystal structure"),
    ],
)
def test_bad_questions_are_refused(
    arguments: tuple[str, ...], message: str, frames: list[Atoms], tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "given.extxyz", frames[:100], format="extxyz")
    done = halmd(*arguments, "--frame-interval-fs", "100", "-o", "out", cwd=tmp_path)
    assert message in refused(done, tmp_path)
