"""ASE trajectories, extended xyz, and DCD, XTC, TRR and NetCDF through MDAnalysis."""

import gc
import gzip
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from foreign import (
    CELLS_A,
    SYMBOLS,
    Motion,
    assert_same_modulo_cell,
    motion,
    one_line,
    quiet,
    whole,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import halmd.trajectory.frames as frames_module
from halmd.trajectory import open_trajectory


def images_of(moved: Motion) -> list[Atoms]:
    return [
        Atoms(SYMBOLS, positions=positions, cell=cell, pbc=True)
        for positions, cell in zip(moved.continuous_A, moved.cells_A, strict=True)
    ]


@pytest.mark.parametrize("npt", [False, True])
@pytest.mark.parametrize("cell", CELLS_A)
@pytest.mark.parametrize("name", ["run.traj", "run.extxyz", "run.xyz"])
def test_what_ase_writes(tmp_path: Path, name: str, cell: str, npt: bool) -> None:
    moved = motion(cell, npt=npt)
    path = tmp_path / name
    ase.io.write(path, images_of(moved), format="traj" if name.endswith("traj") else "extxyz")
    frames = open_trajectory(path, frame_interval_fs=50)
    assert frames.symbols == SYMBOLS
    assert not frames.continuous
    found = whole(frames)
    np.testing.assert_allclose(found.positions_A, moved.continuous_A, atol=1e-7)
    np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-7)
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)
    judged = ase.io.read(path, ":")
    for number, atoms in enumerate(judged):
        np.testing.assert_allclose(found.positions_A[number], atoms.positions, atol=1e-12)
        np.testing.assert_allclose(found.cells_A[number], atoms.cell, atol=1e-12)


@pytest.mark.parametrize("name", ["run.traj", "run.xyz", "run.xyz.gz"])
def test_blocks_and_compression_do_not_matter(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = motion(npt=True, n_frames=7)
    path = tmp_path / name
    ase.io.write(path, images_of(moved), format="traj" if name.endswith("traj") else "extxyz")
    if name.endswith("gz"):
        assert path.read_bytes()[:2] == b"\x1f\x8b" or path.write_bytes(
            gzip.compress(path.read_bytes())
        )
    frames = open_trajectory(path, frame_interval_fs=50)
    at_once = whole(frames)
    for per_block in (1, 3):
        monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * per_block)
        assert max(len(block.time_ps) for block in frames.blocks()) == per_block
        found = whole(frames)
        np.testing.assert_array_equal(found.positions_A, at_once.positions_A)
        np.testing.assert_array_equal(found.cells_A, at_once.cells_A)
        np.testing.assert_array_equal(found.time_ps, at_once.time_ps)


def test_xyz_columns_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "run.xyz"
    path.write_text(
        "2\r\n"
        'note="a = b" Properties=forces:R:3:pos:R:3:id:I:1:species:S:1 '
        'LATTICE="4 0 0 1 5 0 0 2 6"\r\n'
        "9 9 9 0.1 0.2 0.3 7 Li\r\n9 9 9 1.1 1.2 1.3 8 Cl\r\n\r\n"
    )
    frames = open_trajectory(path, frame_interval_fs=1)
    assert frames.symbols == ("Li", "Cl")
    found = whole(frames)
    np.testing.assert_array_equal(found.positions_A[0], [[0.1, 0.2, 0.3], [1.1, 1.2, 1.3]])
    np.testing.assert_array_equal(found.cells_A[0], [[4, 0, 0], [1, 5, 0], [0, 2, 6]])


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_xyz_cut_anywhere_uses_the_whole_frames(tmp_path: Path, data: st.DataObject) -> None:
    moved = motion(n_frames=4)
    path = tmp_path / "run.extxyz"
    ase.io.write(path, images_of(moved), format="extxyz")
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    per_frame = len(SYMBOLS) + 2
    ends = [sum(map(len, lines[: per_frame * count])) for count in range(1, 5)]
    cut = data.draw(st.integers(ends[0], len(content)))
    path.write_bytes(content[:cut])
    frames = open_trajectory(path, frame_interval_fs=50)
    n_whole = sum(end <= cut for end in ends)
    if cut in ends:
        found = whole(frames)
    else:
        with pytest.warns(UserWarning, match=f"middle of frame {n_whole}"):
            found = whole(frames)
    np.testing.assert_allclose(found.positions_A, moved.continuous_A[:n_whole], atol=1e-7)


@pytest.mark.parametrize("name", ["run.traj", "run.xyz"])
def test_no_time_without_an_interval(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    images = images_of(motion(n_frames=2))
    for number, atoms in enumerate(images):
        atoms.info["time"] = 0.05 * number
    ase.io.write(path, images)
    assert "--frame-interval-fs" in one_line(lambda: open_trajectory(path), path)


def spoilt_atoms(image: Atoms) -> None:
    image.positions[3, 1] = np.nan


def spoilt_cell(image: Atoms) -> None:
    image.cell[1, 0] = np.inf


def flat_cell(image: Atoms) -> None:
    image.cell[2] = image.cell[0] + image.cell[1]


def other_order(image: Atoms) -> None:
    image.symbols[[0, -1]] = ["Cl", "Li"]


def fewer(image: Atoms) -> None:
    del image[-1]


def slab(image: Atoms) -> None:
    image.pbc = (True, True, False)


def no_cell(image: Atoms) -> None:
    image.cell[:] = 0


@pytest.mark.parametrize("name", ["run.traj", "run.xyz"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoilt_atoms, "positions of frame 2 are not numbers"),
        (spoilt_cell, "cell of frame 2 is not made of numbers"),
        (flat_cell, "cell of frame 2 has no volume"),
        (other_order, "elements of the atoms in frame 2"),
        (fewer, "frame 2 has 11 atoms"),
        (slab, "frame 2 is not periodic"),
        (no_cell, "frame 2 has no"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, name: str, spoil: Any, words: str) -> None:
    path = tmp_path / name
    images = images_of(motion(n_frames=4))
    spoil(images[2])
    with quiet():
        ase.io.write(path, images)
    frames = open_trajectory(path, frame_interval_fs=50)
    message = one_line(lambda: whole(frames), path)
    assert words in message or (spoil is no_cell and "no volume" in message)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Li ", "Lq ", "'Lq'"),
        ("Properties=species:S:1", "Properties=species:S:9", "do not fit"),
        ("Properties=species:S:1", "Properties=names:S:1", "do not fit"),
        ("Lattice=", "Cell=", "no cell"),
        ("Lattice=", 'Lattice="1 2" other=', "damaged"),
        ("\n12\n", "\ntwelve\n", "frame 1"),
        ("Cl ", "Cl 7 ", "damaged"),
        ("Y ", "Y **** ", "damaged"),
    ],
)
def test_damaged_xyz(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "run.xyz"
    ase.io.write(path, images_of(motion(n_frames=3)), format="extxyz")
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1 if old == "Cl " else -1))
    message = one_line(lambda: whole(open_trajectory(path, frame_interval_fs=50)), path)
    assert words in message


def test_damaged_ase_trajectory(tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    ase.io.write(path, images_of(motion(n_frames=8)))
    content = path.read_bytes()
    for kept in np.linspace(0.05, 0.95, 19):
        path.write_bytes(content[: int(kept * len(content))])
        one_line(lambda: whole(open_trajectory(path, frame_interval_fs=50)), path)


def test_species_that_contradict(tmp_path: Path) -> None:
    path = tmp_path / "run.xyz"
    ase.io.write(path, images_of(motion()), format="extxyz")
    assert open_trajectory(path, frame_interval_fs=50, species=["Cl", "Y", "Li"]).symbols == SYMBOLS
    assert open_trajectory(path, frame_interval_fs=50, species=SYMBOLS).symbols == SYMBOLS
    for species in (["Li", "Cl"], SYMBOLS[::-1]):
        message = one_line(
            lambda: open_trajectory(path, frame_interval_fs=50, species=species),  # noqa: B023
            path,
        )
        assert "contradict" in message


def written(tmp_path: Path, moved: Motion, suffix: str, **options: Any) -> tuple[Path, Path]:
    """A trajectory as MDAnalysis writes it, and its topology."""
    mda = pytest.importorskip("MDAnalysis")
    topology, path = tmp_path / "atoms.xyz", tmp_path / f"run.{suffix}"
    ase.io.write(topology, images_of(moved)[0], format="xyz")
    with quiet():
        universe = mda.Universe.empty(len(SYMBOLS), trajectory=True)
        with mda.Writer(str(path), len(SYMBOLS), dt=0.05, **options) as writer:
            for number, positions in enumerate(moved.continuous_A):
                universe.atoms.positions = positions
                step = universe.trajectory.ts
                step.triclinic_dimensions = moved.cells_A[number]
                step.frame = number
                step.time = moved.time_ps[number]
                writer.write(universe.atoms)
    return path, topology


@pytest.mark.parametrize("npt", [False, True])
@pytest.mark.parametrize("cell", CELLS_A)
@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "ncdf"])
def test_what_mdanalysis_writes(tmp_path: Path, suffix: str, cell: str, npt: bool) -> None:
    moved = motion(cell, npt=npt)
    path, topology = written(tmp_path, moved, suffix)
    frames = open_trajectory(path, topology=topology)
    assert frames.symbols == SYMBOLS
    assert not frames.continuous
    found = whole(frames)
    # XTC keeps three digits of a nanometre.
    atol = 0.006 if suffix == "xtc" else 1e-4
    np.testing.assert_allclose(found.positions_A, moved.continuous_A, atol=atol)
    np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-4)
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-5)
    other = whole(open_trajectory(path, topology=topology, frame_interval_fs=20))
    np.testing.assert_allclose(other.time_ps, np.arange(9) * 0.02, atol=1e-12)


def test_mdanalysis_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, topology = written(tmp_path, motion(npt=True), "dcd")
    frames = open_trajectory(path, topology=topology)
    at_once = whole(frames)
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * 2)
    assert len(list(frames.blocks())) == 5
    found = whole(frames)
    np.testing.assert_array_equal(found.positions_A, at_once.positions_A)
    np.testing.assert_array_equal(found.time_ps, at_once.time_ps)


def test_dcd_files_of_lammps_have_no_known_time_unit(tmp_path: Path) -> None:
    moved = motion()
    path, topology = written(
        tmp_path, moved, "dcd", nsavc=25, remarks="Written by LAMMPS", convert_units=False
    )
    message = one_line(lambda: open_trajectory(path, topology=topology), path)
    assert "--timestep-fs" in message
    found = whole(open_trajectory(path, topology=topology, timestep_fs=2))
    np.testing.assert_allclose(np.diff(found.time_ps), 0.05, atol=1e-9)
    found = whole(open_trajectory(path, topology=topology, frame_interval_fs=50))
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)
    assert_same_modulo_cell(found, moved, 1e-4)


@pytest.mark.parametrize("style", ["atomic", "charge", "full"])
def test_types_of_a_lammps_topology(tmp_path: Path, style: str) -> None:
    moved = motion()
    path, _ = written(tmp_path, moved, "dcd")
    topology = tmp_path / "atoms.data"
    ase.io.write(
        topology,
        images_of(moved)[0],
        format="lammps-data",
        specorder=["Li", "Y", "Cl"],
        atom_style=style,
    )
    message = one_line(lambda: open_trajectory(path, topology=topology), path)
    assert "--species" in message
    frames = open_trajectory(path, topology=topology, species=["Li", "Y", "Cl"])
    assert frames.symbols == SYMBOLS
    frames = open_trajectory(path, topology=topology, species=SYMBOLS)
    assert frames.symbols == SYMBOLS
    for species in (["Li", "Y"], ["Li", "Y", "Qq"]):
        one_line(
            lambda: open_trajectory(path, topology=topology, species=species),  # noqa: B023
            path,
        )
    topology.write_text(topology.read_text().replace(f"# {style}", ""))
    message = one_line(lambda: open_trajectory(path, topology=topology, species=SYMBOLS), topology)
    assert "atom style" in message


# A reader of MDAnalysis that could not open its file complains when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_mdanalysis_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, topology = written(tmp_path, motion(), "dcd")
    assert "--topology" in one_line(lambda: open_trajectory(path), path)
    few = tmp_path / "few.xyz"
    ase.io.write(few, Atoms("LiCl"), format="xyz")
    assert "cannot read" in one_line(lambda: open_trajectory(path, topology=few), path)
    missing = tmp_path / "missing.pdb"
    assert "no such file" in one_line(lambda: open_trajectory(path, topology=missing), missing)
    broken = tmp_path / "broken.dcd"
    broken.write_bytes(path.read_bytes()[:100])
    one_line(lambda: open_trajectory(broken, topology=topology), broken)
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    assert "pip install" in one_line(lambda: open_trajectory(path, topology=topology), path)
    gc.collect()


def test_mdanalysis_without_a_cell(tmp_path: Path) -> None:
    mda = pytest.importorskip("MDAnalysis")
    path, topology = written(tmp_path, motion(), "dcd")
    bare = tmp_path / "bare.trr"
    with quiet():
        universe = mda.Universe.empty(len(SYMBOLS), trajectory=True)
        with mda.Writer(str(bare), len(SYMBOLS)) as writer:
            for number in range(3):
                universe.trajectory.ts.time = number
                writer.write(universe.atoms)
    message = one_line(lambda: whole(open_trajectory(bare, topology=topology)), bare)
    assert "cell" in message
    assert path.is_file()


def test_mdanalysis_without_times(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    moved = motion("orthorhombic")
    path = tmp_path / "run.pdb"
    with quiet():
        ase.io.write(path, images_of(moved), format="proteindatabank")
    assert "--frame-interval-fs" in one_line(lambda: open_trajectory(path), path)
    frames = open_trajectory(path, frame_interval_fs=50)
    assert frames.symbols == SYMBOLS
    assert_same_modulo_cell(whole(frames), moved, 2e-3)
