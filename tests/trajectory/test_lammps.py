"""LAMMPS dumps in every style lead to one motion, and ASE and MDAnalysis agree."""

import gzip
import itertools
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
import pytest
from foreign import (
    CELLS_A,
    SYMBOLS,
    Motion,
    assert_same_modulo_cell,
    motion,
    one_line,
    peak_bytes,
    quiet,
    whole,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import halmd.trajectory.frames as frames_module
from halmd.trajectory import open_trajectory

STYLES = ("xu", "xsu", "x+i", "xs+i", "x", "xs")
TYPES = {"Li": 1, "Y": 2, "Cl": 3}
SPECIES = ("Li", "Y", "Cl")


def dump(
    path: Path,
    moved: Motion,
    style: str = "xu",
    *,
    origin_A: Sequence[float] = (1.0, -2.0, 3.5),
    box: str = "restricted",
    named: str = "type",
    units: str | None = None,
    steps: Sequence[int] | None = None,
    shuffled: bool = True,
) -> Path:
    """Write a text dump as LAMMPS does, atoms in another order in every frame."""
    rng = np.random.default_rng(5)
    origin = np.array(origin_A)
    lines = []
    for number, cell in enumerate(moved.cells_A):
        if units and number == 0:
            lines += ["ITEM: UNITS", units]
        if units:
            time = number * 0.05 * (1000 if units == "real" else 1)
            lines += ["ITEM: TIME", repr(time)]
        lines += ["ITEM: TIMESTEP", str(steps[number] if steps else 25 * number)]
        lines += ["ITEM: NUMBER OF ATOMS", str(len(SYMBOLS))]
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell.tolist()
        if box == "abc":
            lines += ["ITEM: BOX BOUNDS abc origin pp pp pp"]
            lines += [" ".join(map(repr, row)) for row in np.column_stack([cell, origin]).tolist()]
        else:
            low = origin + np.array([min(0, xy, xz, xy + xz), min(0, yz), 0])
            high = origin + np.array([lx + max(0, xy, xz, xy + xz), ly + max(0, yz), lz])
            tilted = bool(xy or xz or yz)
            lines += [f"ITEM: BOX BOUNDS {'xy xz yz ' if tilted else ''}pp pp pp"]
            rows = np.column_stack([low, high, (xy, xz, yz)])[:, : 3 if tilted else 2]
            lines += [" ".join(map(repr, row)) for row in rows.tolist()]
        lines += ["ITEM: ATOMS " + " ".join(["id", named, *_names(style)])]
        order = rng.permutation(len(SYMBOLS)) if shuffled else range(len(SYMBOLS))
        columns = _columns(moved, number, style, origin)
        for atom in order:
            name = TYPES[SYMBOLS[atom]] if named == "type" else SYMBOLS[atom]
            lines += [f"{atom + 1} {name} " + " ".join(columns[atom])]
    path.write_text("\n".join(lines) + "\n")
    return path


def _names(style: str) -> list[str]:
    kind = style.split("+")[0]
    names = [kind[0].replace(kind[0], axis) + kind[1:] for axis in "xyz"]
    return names + (["ix", "iy", "iz"] if "+i" in style else [])


def _columns(moved: Motion, number: int, style: str, origin: np.ndarray) -> list[list[str]]:
    kind = style.split("+")[0]
    values = {
        "xu": moved.continuous_A[number] + origin,
        "xsu": moved.fractional[number],
        "x": moved.wrapped_A[number] + origin,
        "xs": moved.wrapped[number],
    }[kind]
    rows = [[f"{value:.12g}" for value in row] for row in values]
    if "+i" in style:
        images = moved.images[number]
        rows = [[*row, *map(str, images[atom])] for atom, row in enumerate(rows)]
    return rows


@pytest.mark.parametrize("npt", [False, True])
@pytest.mark.parametrize("box", ["restricted", "abc"])
@pytest.mark.parametrize("cell", CELLS_A)
def test_every_style_is_the_same_motion(tmp_path: Path, cell: str, box: str, npt: bool) -> None:
    moved = motion(cell, npt=npt)
    assert np.abs(moved.images).max() >= 1, "atoms must leave the cell"
    for style in STYLES:
        path = dump(tmp_path / "run.lammpstrj", moved, style, box=box)
        frames = open_trajectory(path, timestep_fs=2.0, species=SPECIES)
        found = whole(frames)
        assert frames.symbols == SYMBOLS
        assert frames.continuous == (style not in ("x", "xs"))
        expected = moved.continuous_A if frames.continuous else moved.wrapped_A
        np.testing.assert_allclose(found.positions_A, expected, atol=1e-9)
        np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-12)
        np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS_A)
@pytest.mark.parametrize("style", ["x", "xs", "xu"])
def test_ase_agrees(tmp_path: Path, cell: str, style: str) -> None:
    moved = motion(cell, npt=True)
    path = dump(tmp_path / "run.lammpstrj", moved, style)
    found = whole(open_trajectory(path, timestep_fs=1.0, species=SPECIES))
    judged = ase.io.read(path, ":", format="lammps-dump-text", specorder=list(SPECIES))
    assert len(judged) == len(found.time_ps)
    for number, atoms in enumerate(judged):
        assert tuple(atoms.get_chemical_symbols()) == SYMBOLS
        np.testing.assert_allclose(atoms.cell, found.cells_A[number], atol=1e-9)
        # ASE keeps the origin of the box, and forgets it where positions are scaled.
        origin = 0 if style == "xs" else np.array([1.0, -2.0, 3.5])
        np.testing.assert_allclose(atoms.positions - origin, found.positions_A[number], atol=1e-9)


@pytest.mark.parametrize("cell", CELLS_A)
@pytest.mark.parametrize("style", ["x", "xs", "xu", "xsu"])
def test_mdanalysis_agrees(tmp_path: Path, cell: str, style: str) -> None:
    mda = pytest.importorskip("MDAnalysis")
    moved = motion(cell, npt=True)
    path = dump(tmp_path / "run.lammpstrj", moved, style, origin_A=(0, 0, 0))
    found = whole(open_trajectory(path, timestep_fs=2.0, species=SPECIES))
    with quiet():
        universe = mda.Universe(
            str(path), format="LAMMPSDUMP", topology_format="LAMMPSDUMP", dt=0.002
        )
        for number, step in enumerate(universe.trajectory):
            np.testing.assert_allclose(step.positions, found.positions_A[number], atol=2e-5)
            np.testing.assert_allclose(step.triclinic_dimensions, found.cells_A[number], atol=2e-5)
            assert step.time == pytest.approx(found.time_ps[number])


@pytest.mark.parametrize("units", ["metal", "real"])
def test_time_and_units_of_the_dump(tmp_path: Path, units: str) -> None:
    moved = motion()
    path = dump(tmp_path / "dump.run", moved, units=units)
    found = whole(open_trajectory(path, species=SPECIES))
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)
    other = whole(open_trajectory(path, species=SPECIES, frame_interval_fs=10))
    np.testing.assert_allclose(other.time_ps, np.arange(9) * 0.01, atol=1e-12)


def test_elements_and_compression(tmp_path: Path) -> None:
    moved = motion("monoclinic")
    plain = dump(tmp_path / "a.lammpsdump", moved, named="element")
    packed = tmp_path / "dump.lammpstrj.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        frames = open_trajectory(path, timestep_fs=2)
        assert frames.symbols == SYMBOLS
        np.testing.assert_allclose(whole(frames).positions_A, moved.continuous_A, atol=1e-9)
    assert open_trajectory(plain, timestep_fs=2, species=["Li", "Y", "Cl"]).symbols == SYMBOLS
    message = one_line(lambda: open_trajectory(plain, timestep_fs=2, species=["Li", "Br"]), plain)
    assert "contradict" in message


def test_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = motion(npt=True, n_frames=7)
    path = dump(tmp_path / "run.dump", moved)
    frames = open_trajectory(path, timestep_fs=2, species=SPECIES)
    at_once = whole(frames)
    assert len(list(frames.blocks())) == 1
    for per_block in (1, 2, 3):
        monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * per_block)
        sizes = [len(block.time_ps) for block in frames.blocks()]
        assert max(sizes) == per_block
        assert sum(sizes) == 7
        in_parts = whole(frames)
        np.testing.assert_array_equal(in_parts.positions_A, at_once.positions_A)
        np.testing.assert_array_equal(in_parts.cells_A, at_once.cells_A)
        np.testing.assert_array_equal(in_parts.time_ps, at_once.time_ps)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_anywhere_uses_the_whole_frames(tmp_path: Path, data: st.DataObject) -> None:
    moved = motion(n_frames=4)
    path = dump(tmp_path / "run.lammpstrj", moved)
    content = path.read_bytes()
    ends = [len(part) for part in itertools.accumulate(_frames_of(content))]
    cut = data.draw(st.integers(ends[0], len(content)))
    path.write_bytes(content[:cut])
    frames = open_trajectory(path, timestep_fs=2, species=SPECIES)
    n_whole = sum(end <= cut for end in ends)
    if cut in ends:
        found = whole(frames)
    else:
        with pytest.warns(UserWarning, match=f"middle of frame {n_whole}"):
            found = whole(frames)
    assert len(found.time_ps) == n_whole
    np.testing.assert_allclose(found.positions_A, moved.continuous_A[:n_whole], atol=1e-9)


def _frames_of(content: bytes) -> list[bytes]:
    return [b"ITEM: TIMESTEP" + part for part in content.split(b"ITEM: TIMESTEP")[1:]]


def test_cut_in_the_first_frame_and_cut_gzip(tmp_path: Path) -> None:
    path = dump(tmp_path / "run.lammpstrj", motion(n_frames=40))
    content = path.read_bytes()
    packed = tmp_path / "run.lammpstrj.gz"
    packed.write_bytes(gzip.compress(content)[:-3000])
    with pytest.warns(UserWarning, match="middle of frame"):
        found = whole(open_trajectory(packed, timestep_fs=2, species=SPECIES))
    assert 0 < len(found.time_ps) < 40
    path.write_bytes(content[:300])
    assert "first frame" in one_line(lambda: open_trajectory(path, timestep_fs=2), path)


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


PER_FRAME = 9 + len(SYMBOLS)


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (PER_FRAME * 2 + 9, "1 1 nan 2 3\n", ["frame 2", "not numbers"]),
        (PER_FRAME * 2 + 9, "1 1 -inf 2 3\n", ["frame 2", "not numbers"]),
        (PER_FRAME * 2 + 9, "1 1 2 3\n", ["frame 2", "damaged"]),
        (PER_FRAME * 2 + 9, "1 1 2 3 ****\n", ["frame 2", "damaged"]),
        (PER_FRAME * 2 + 9, "99 1 1 2 3\n", ["frame 2", "ids"]),
        (PER_FRAME * 2 + 9, "2 1 1 2 3\n", ["frame 2", "same id"]),
        (PER_FRAME * 2 + 9, "1 3 1 2 3\n", ["frame 2", "types"]),
        (PER_FRAME * 2 + 1, "25\n", ["frame 2", "increase"]),
        (PER_FRAME * 2 + 1, "0\n", ["frame 2", "increase"]),
        (PER_FRAME * 2 + 1, "x\n", ["frame 2", "damaged"]),
        (PER_FRAME * 2, "ITEM: NONSENSE\n", ["frame 2", "NONSENSE"]),
        (PER_FRAME * 2, "nonsense\n", ["frame 2", "nonsense"]),
        (PER_FRAME * 2 + 7, "3.5 3.5 0.0\n", ["frame 2", "no volume"]),
        (PER_FRAME * 2 + 7, "3.5 nan 0.0\n", ["frame 2", "not made of numbers"]),
        (PER_FRAME * 2 + 4, "ITEM: BOX BOUNDS xy xz yz pp pp ff\n", ["periodic"]),
        (PER_FRAME * 2 + 8, "ITEM: ATOMS id type vx vy vz\n", ["no columns with positions"]),
        (PER_FRAME * 2 + 8, "ITEM: ATOMS id type x y z\n", ["frame 2", "wrapped"]),
        (PER_FRAME * 2 + 8, "ITEM: ATOMS mol type xu yu zu\n", ["no id column"]),
    ],
)
def test_damage_is_one_line(tmp_path: Path, line: int, text: str, words: list[str]) -> None:
    path = dump(tmp_path / "run.lammpstrj", motion(), shuffled=False)
    lines = lines_of(path)
    lines[line] = text
    path.write_text("".join(lines))
    frames = open_trajectory(path, timestep_fs=2, species=SPECIES)
    message = one_line(lambda: whole(frames), path)
    for word in words:
        assert word in message


def test_fewer_atoms(tmp_path: Path) -> None:
    path = dump(tmp_path / "run.lammpstrj", motion(), shuffled=False)
    lines = lines_of(path)
    lines[PER_FRAME * 3 + 3] = f"{len(SYMBOLS) - 1}\n"
    del lines[PER_FRAME * 3 + 9]
    path.write_text("".join(lines))
    frames = open_trajectory(path, timestep_fs=2, species=SPECIES)
    assert "frame 3 has 11 atoms" in one_line(lambda: whole(frames), path)


def test_what_must_be_asked_for(tmp_path: Path) -> None:
    path = dump(tmp_path / "run.lammpstrj", motion())
    assert "--timestep-fs" in one_line(lambda: open_trajectory(path, species=SPECIES), path)
    assert "--species" in one_line(lambda: open_trajectory(path, timestep_fs=2), path)
    few = one_line(lambda: open_trajectory(path, timestep_fs=2, species=["Li", "Y"]), path)
    assert "1 to 3" in few
    stranger = one_line(
        lambda: open_trajectory(path, timestep_fs=2, species=["Li", "Y", "Q"]), path
    )
    assert "'Q'" in stranger
    lj = dump(tmp_path / "lj.lammpstrj", motion(), units="lj")
    assert "'lj'" in one_line(lambda: open_trajectory(lj, species=SPECIES), lj)


def test_one_interval_needs_even_steps(tmp_path: Path) -> None:
    moved = motion(n_frames=4)
    for steps in ([0, 25, 50, 80], [0, 25, 25, 50]):
        path = dump(tmp_path / "run.lammpstrj", moved, steps=steps)
        frames = open_trajectory(path, frame_interval_fs=50, species=SPECIES)
        assert "follow each other" in one_line(lambda: whole(frames), path)  # noqa: B023
    path = dump(tmp_path / "run.lammpstrj", moved, steps=[5000, 5025, 5050, 5075])
    found = whole(open_trajectory(path, frame_interval_fs=50, species=SPECIES))
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)
    assert_same_modulo_cell(found, moved)


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * 4)
    peaks = []
    for n_frames in (40, 400):
        path = dump(tmp_path / "run.lammpstrj", motion(n_frames=n_frames))
        peaks.append(peak_bytes(open_trajectory(path, timestep_fs=2, species=SPECIES)))
    assert peaks[1] < 1.3 * peaks[0]
