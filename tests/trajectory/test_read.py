"""Which reader opens a file, and H5MD files of other programs block by block."""

import gc
import gzip
from pathlib import Path
from typing import Any

import ase.io
import h5py
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
from halmd.trajectory import Trajectory, open_trajectory, read_trajectory, write_trajectory

NUMBERS = [{"Li": 3, "Y": 39, "Cl": 17}[symbol] for symbol in SYMBOLS]


def halmd_file(path: Path, moved: Motion) -> Path:
    trajectory = Trajectory(moved.continuous_A, moved.cells_A[0], SYMBOLS, moved.time_ps, {})
    write_trajectory(path, trajectory, {})
    return path


def other_file(
    path: Path,
    moved: Motion,
    *,
    length: tuple[str | bytes | None, float] = ("Angstrom", 1.0),
    time: tuple[str | None, float] = ("ps", 1.0),
    images: bool = False,
    edges: str = "series",
    species: Any = NUMBERS,
) -> Path:
    """An H5MD file of another program: wrapped, in any unit, with or without image flags."""
    unit, per_A = length
    time_unit, per_ps = time
    with h5py.File(path, "w") as file:
        file.create_group("h5md/creator").attrs["name"] = "another"
        group = file.create_group("particles/all")
        cells = moved.cells_A * per_A
        vectors = np.diagonal(cells, axis1=1, axis2=2)
        name = "box/edges/value" if "series" in edges else "box/edges"
        values = vectors if "vector" in edges else cells
        group[name] = values if "series" in edges else values[0]
        group["box"].attrs["boundary"] = ["periodic"] * 3
        group["position/value"] = moved.wrapped_A * per_A
        group["position/time"] = moved.time_ps * per_ps
        if images:
            group["image/value"] = moved.images
        if unit is not None:
            group[name].attrs["unit"] = unit
            group["position/value"].attrs["unit"] = unit
        if time_unit is not None:
            group["position/time"].attrs["unit"] = time_unit
        group["species"] = species
    return path


@pytest.mark.parametrize("cell", CELLS_A)
def test_halmds_own_files(tmp_path: Path, cell: str) -> None:
    moved = motion(cell)
    path = halmd_file(tmp_path / "trajectory.h5", moved)
    frames = open_trajectory(path)
    at_once = read_trajectory(path)
    found = whole(frames)
    assert frames.continuous
    assert frames.symbols == at_once.symbols == SYMBOLS
    np.testing.assert_array_equal(frames.masses_amu, at_once.masses_amu)
    np.testing.assert_array_equal(found.positions_A, at_once.positions_A)
    np.testing.assert_array_equal(found.time_ps, at_once.time_ps)
    np.testing.assert_array_equal(found.cells_A, np.repeat(at_once.cell_A[None], 9, axis=0))


@given(per_block=st.integers(1, 700), n_frames=st.integers(1, 600))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_block: int, n_frames: int
) -> None:
    moved = motion(n_frames=n_frames)
    path = halmd_file(tmp_path / "trajectory.h5", moved)
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * per_block)
    frames = open_trajectory(path)
    sizes = [len(block.time_ps) for block in frames.blocks()]
    assert sum(sizes) == n_frames
    assert max(sizes) <= per_block
    np.testing.assert_array_equal(whole(frames).positions_A, moved.continuous_A.astype(np.float32))


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("edges", ["series", "fixed", "series vector", "fixed vector"])
@pytest.mark.parametrize(
    "length", [("Angstrom", 1.0), ("Å", 1.0), ("nm", 0.1), (np.bytes_("nm"), 0.1)]
)
@pytest.mark.parametrize("time", [("ps", 1.0), ("fs", 1e3), ("ns", 1e-3)])
def test_files_of_others(tmp_path: Path, images: bool, edges: str, length: Any, time: Any) -> None:
    cell = "orthorhombic" if "vector" in edges else "triclinic"
    moved = motion(cell, npt="series" in edges)
    path = other_file(
        tmp_path / "a.h5md", moved, images=images, edges=edges, length=length, time=time
    )
    frames = open_trajectory(path)
    found = whole(frames)
    assert frames.symbols == SYMBOLS
    assert frames.continuous == images
    expected = moved.continuous_A if images else moved.wrapped_A
    np.testing.assert_allclose(found.positions_A, expected, atol=1e-9)
    np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-9)
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)


def test_three_frames_of_three_edges(tmp_path: Path) -> None:
    moved = motion("orthorhombic", npt=True, n_frames=3)
    path = other_file(tmp_path / "a.h5", moved, edges="series vector")
    np.testing.assert_allclose(whole(open_trajectory(path)).cells_A, moved.cells_A, atol=1e-12)


@pytest.mark.parametrize("npt", [False, True])
def test_what_mdanalysis_writes(tmp_path: Path, npt: bool) -> None:
    mda = pytest.importorskip("MDAnalysis")
    moved = motion(npt=npt)
    path = tmp_path / "run.h5md"
    with quiet():
        universe = mda.Universe.empty(len(SYMBOLS), trajectory=True)
        with mda.Writer(str(path), len(SYMBOLS), lengthunit="Angstrom", timeunit="ps") as writer:
            for number, positions in enumerate(moved.continuous_A):
                universe.atoms.positions = positions
                step = universe.trajectory.ts
                step.triclinic_dimensions = moved.cells_A[number]
                step.time = moved.time_ps[number]
                step.data["step"] = number
                writer.write(universe.atoms)
    with h5py.File(path, "r+") as file:
        file["particles/trajectory/species"] = NUMBERS
    found = whole(open_trajectory(path))
    np.testing.assert_allclose(found.positions_A, moved.continuous_A, atol=1e-5)
    np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-4)
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-6)


def test_species_of_an_h5md_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    moved = motion()
    types = [{"Li": 1, "Y": 2, "Cl": 3}[symbol] for symbol in SYMBOLS]
    other_file(path, moved, species=types)
    assert "types" in one_line(lambda: open_trajectory(path), path)
    assert open_trajectory(path, species=["Li", "Y", "Cl"]).symbols == SYMBOLS
    assert "name one" in one_line(lambda: open_trajectory(path, species=["Li", "Y"]), path)
    other_file(path, moved, species=np.array(SYMBOLS, dtype="S2"))
    assert open_trajectory(path).symbols == SYMBOLS
    kinds = h5py.enum_dtype({"Li": 0, "Y": 1, "Cl": 2}, basetype="i")
    other_file(path, moved, species=np.array(types, dtype="i").astype(kinds) - 1)
    with h5py.File(path, "r+") as file:
        del file["particles/all/species"]
        data = file["particles/all"].create_dataset("species", (len(SYMBOLS),), dtype=kinds)
        data[...] = np.array(types) - 1
    assert open_trajectory(path).symbols == SYMBOLS
    other_file(path, moved)
    for species in ([*"NOP"] * 20, ["Li"], SYMBOLS[::-1]):
        message = one_line(lambda: open_trajectory(path, species=species), path)  # noqa: B023
        assert "contradict" in message


def test_units_that_are_missing(tmp_path: Path) -> None:
    path = other_file(tmp_path / "a.h5", motion(), time=(None, 1.0))
    assert "--frame-interval-fs" in one_line(lambda: open_trajectory(path), path)
    found = whole(open_trajectory(path, frame_interval_fs=50))
    np.testing.assert_allclose(found.time_ps, motion().time_ps, atol=1e-12)
    path = other_file(tmp_path / "a.h5", motion(), length=(None, 1.0))
    message = one_line(lambda: open_trajectory(path), path)
    assert "/particles/all/position/value" in message
    assert "unit (none)" in message
    path = other_file(tmp_path / "a.h5", motion(), length=("bohr", 1.0))
    assert "bohr" in one_line(lambda: open_trajectory(path), path)


def put(name: str, place: Any, value: Any) -> Any:
    return lambda file: file[f"particles/all/{name}"].__setitem__(place, value)


def put_series(name: str, values: Any) -> Any:
    def change(file: Any) -> None:
        group = file["particles/all"]
        if name in group:
            del group[name]
        group[f"{name}/value"] = values

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (put("position/value", (5, 2, 1), np.nan), "positions of frame 5"),
        (put("position/value", (5, 2, 1), -np.inf), "positions of frame 5"),
        (put("position/time", 7, 0.3), "increase"),
        (put("position/time", 7, 0.1), "frame 7"),
        (put("position/time", 7, np.nan), "frame 7"),
        (put("box/edges/value", (6, 0, 0), np.nan), "cell of frame 6"),
        (put("box/edges/value", (6, 0), 0.0), "cell of frame 6 has no volume"),
        (put("species", 0, 300), "atomic numbers"),
        (put("species", 0, 0), "atomic numbers"),
        (lambda file: file["particles/all/position"].__delitem__("time"), "--frame-interval-fs"),
        (lambda file: file["particles/all"].__delitem__("species"), "H5MD"),
        (lambda file: file["particles/all/box"].__delitem__("edges"), "H5MD"),
        (lambda file: file["particles"].__delitem__("all"), "no particles"),
        (lambda file: file.__delitem__("particles"), "H5MD"),
        (
            lambda file: file["particles/all/box"].attrs.__setitem__("boundary", ["none"] * 3),
            "not periodic",
        ),
        (put_series("image", np.zeros((9, 3, 3), int)), "image"),
        (put_series("species", [NUMBERS] * 5 + [NUMBERS[::-1]] * 4), "changes in frame 5"),
        (put_series("id", [range(12)] * 8 + [range(12, 0, -1)]), "changes in frame 8"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, damage: Any, words: str) -> None:
    path = other_file(tmp_path / "a.h5", motion())
    with h5py.File(path, "r+") as file:
        damage(file)
    message = one_line(lambda: whole(open_trajectory(path)), path)
    assert words in message


@given(kept=st.floats(0.001, 0.999, allow_subnormal=False))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_h5md_is_one_line(tmp_path: Path, kept: float) -> None:
    path = halmd_file(tmp_path / "trajectory.h5", motion())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    one_line(lambda: whole(open_trajectory(path)), path)


def test_series_of_one_species_and_id_are_fine(tmp_path: Path) -> None:
    path = other_file(tmp_path / "a.h5", motion())
    with h5py.File(path, "r+") as file:
        put_series("species", [NUMBERS] * 9)(file)
        put_series("id", [range(12)] * 9)(file)
    assert open_trajectory(path).symbols == SYMBOLS
    assert_same_modulo_cell(whole(open_trajectory(path)), motion())


def test_content_goes_before_the_name(tmp_path: Path) -> None:
    moved = motion(n_frames=2)
    images = [
        Atoms(SYMBOLS, positions=positions, cell=cell, pbc=True)
        for positions, cell in zip(moved.continuous_A, moved.cells_A, strict=True)
    ]
    for format in ("traj", "extxyz", "vasp-xdatcar"):
        path = tmp_path / f"dump.{format}.lammpstrj"
        ase.io.write(path, images, format=format)
        frames = open_trajectory(path, frame_interval_fs=50)
        assert frames.symbols == SYMBOLS
        assert_same_modulo_cell(whole(frames), moved, 1e-4)
    own = halmd_file(tmp_path / "own.xyz", motion())
    assert open_trajectory(own).continuous


# A reader of MDAnalysis that could not open its file complains when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_files_that_are_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "missing.xyz"
    assert "no such file" in one_line(lambda: open_trajectory(missing), missing)
    assert "no such file" in one_line(lambda: open_trajectory(tmp_path), tmp_path)
    for name in ("a.h5", "XDATCAR", "a.xyz", "a.dump", "a.traj", "vasprun.xml", "a.dcd", "a.bin"):
        path = tmp_path / name
        for content in (b"", b"  \n\n"):
            path.write_bytes(content)
            message = one_line(lambda: open_trajectory(path, frame_interval_fs=1), path)  # noqa: B023
            assert "empty" in message
        for content in (b"hello\n", b"\x00\xff\xfe" * 3000, b"hello\n" * 100):
            path.write_bytes(content)
            message = one_line(
                lambda: open_trajectory(path, frame_interval_fs=1, timestep_fs=1),  # noqa: B023
                path,
            )
            if name == "a.bin":
                assert "XDATCAR" in message
                assert "--format" in message
    packed = tmp_path / "a.xyz.gz"
    packed.write_bytes(gzip.compress(b"3\n" * 9000)[:25])
    one_line(lambda: open_trajectory(packed, frame_interval_fs=1), packed)
    packed.write_bytes(b"\x1f\x8bnot really")
    assert "damaged" in one_line(lambda: open_trajectory(packed, frame_interval_fs=1), packed)
    gc.collect()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_are_none(tmp_path: Path, value: float) -> None:
    path = halmd_file(tmp_path / "trajectory.h5", motion())
    for name in ("frame_interval_fs", "timestep_fs"):
        message = one_line(lambda: open_trajectory(path, **{name: value}), path)  # noqa: B023
        assert name.replace("_", "-") in message


# A reader of MDAnalysis that could not open its file complains when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_formats_by_name(tmp_path: Path) -> None:
    moved = motion("orthorhombic")
    images = [
        Atoms(SYMBOLS, positions=positions, cell=cell, pbc=True)
        for positions, cell in zip(moved.continuous_A, moved.cells_A, strict=True)
    ]
    path = tmp_path / "frames"
    with quiet():
        ase.io.write(path, images, format="proteindatabank")
    assert "no known format" in one_line(lambda: open_trajectory(path), path)
    pytest.importorskip("MDAnalysis")
    named = path.rename(tmp_path / "frames.pdb")
    found = whole(open_trajectory(named, format="pdb", frame_interval_fs=50))
    assert_same_modulo_cell(found, moved, 2e-3)
    one_line(lambda: open_trajectory(named, format="nonsense", frame_interval_fs=50), named)
    for format in ("h5md", "ase", "traj", "extxyz", "xdatcar", "vasprun", "lammps", "dcd"):
        one_line(
            lambda: whole(open_trajectory(named, format=format, frame_interval_fs=50)),  # noqa: B023
            named,
        )
    gc.collect()
