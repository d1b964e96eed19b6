"""XDATCAR and vasprun.xml as VASP writes them, judged by ASE and pymatgen."""

import gzip
from collections.abc import Sequence
from pathlib import Path

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
    peak_bytes,
    quiet,
    whole,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.io.vasp.outputs import Vasprun, Xdatcar

import halmd.trajectory.frames as frames_module
from halmd.trajectory import open_trajectory

COUNTS = "4 2 6"


def xdatcar(
    path: Path,
    moved: Motion,
    *,
    npt: bool = False,
    scale: Sequence[float] = (1.0,),
    elements: str | None = "Li Y_sv Cl/6b1d",
    separator: str = "Direct configuration={:6d}",
    comment: str = "unknown system",
    cartesian: bool = False,
) -> Path:
    """Write an XDATCAR; the cell is divided by `scale`, so that reading it must multiply."""
    lines: list[str] = []
    factor = np.array(scale if min(scale) > 0 else [3.0])
    for number, cell in enumerate(moved.cells_A):
        if npt or number == 0:
            lines += [comment, " ".join(map(str, scale))]
            lines += [" ".join(f"{value:.12f}" for value in row / factor) for row in cell]
            lines += [elements] if elements else []
            lines += [COUNTS]
        lines += [separator.format(number + 1)]
        rows = moved.wrapped_A[number] / factor if cartesian else moved.wrapped[number]
        lines += [" ".join(f"{value:.12f}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("npt", [False, True])
@pytest.mark.parametrize("cell", CELLS_A)
def test_ase_and_pymatgen_agree(tmp_path: Path, cell: str, npt: bool) -> None:
    moved = motion(cell, npt=npt)
    path = xdatcar(tmp_path / "XDATCAR", moved, npt=npt, elements="Li Y Cl")
    frames = open_trajectory(path, frame_interval_fs=50)
    found = whole(frames)
    assert frames.symbols == SYMBOLS
    assert not frames.continuous
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)
    by_ase = ase.io.read(path, ":", format="vasp-xdatcar")
    with quiet():
        by_pymatgen = Xdatcar(path).structures
    assert len(by_ase) == len(by_pymatgen) == len(found.time_ps)
    for number, (atoms, structure) in enumerate(zip(by_ase, by_pymatgen, strict=True)):
        assert tuple(atoms.get_chemical_symbols()) == SYMBOLS
        for positions, vectors in (
            (atoms.positions, atoms.cell),
            (structure.cart_coords, structure.lattice.matrix),
        ):
            np.testing.assert_allclose(found.positions_A[number], positions, atol=1e-9)
            np.testing.assert_allclose(found.cells_A[number], vectors, atol=1e-9)


@pytest.mark.parametrize("npt", [False, True])
def test_what_ase_and_pymatgen_write(tmp_path: Path, npt: bool) -> None:
    moved = motion("hexagonal", npt=npt)
    images = [
        Atoms(SYMBOLS, scaled_positions=wrapped, cell=cell, pbc=True)
        for wrapped, cell in zip(moved.wrapped, moved.cells_A, strict=True)
    ]
    path = tmp_path / "run.XDATCAR"
    ase.io.write(path, images, format="vasp-xdatcar")
    assert_same_modulo_cell(whole(open_trajectory(path, frame_interval_fs=50)), moved, 1e-4)
    if not npt:
        again = tmp_path / "XDATCAR_again"
        with quiet():
            Xdatcar(path).write_file(again)
        found = whole(open_trajectory(again, frame_interval_fs=50))
        assert_same_modulo_cell(found, moved, 1e-4)


@pytest.mark.parametrize("npt", [False, True])
@pytest.mark.parametrize("scale", [(1.0,), (3.0,), (2.0, 3.0, 0.5)])
@pytest.mark.parametrize("cartesian", [False, True])
@pytest.mark.parametrize(
    "separator", ["{:.0s}", "Konfig={:6d}", "Direct configuration={:6d}", "Direct", "blank"]
)
def test_old_and_unusual_headers(
    tmp_path: Path, npt: bool, scale: tuple[float, ...], cartesian: bool, separator: str
) -> None:
    moved = motion("triclinic", npt=npt, n_frames=4)
    separator = "" if separator in ("{:.0s}", "blank") else separator
    if cartesian:
        separator = "Cartesian configuration={:6d}"
    for comment in ("unknown system", "", "Li", "1.0 2.0 3.0"):
        if not comment and not separator:
            continue
        path = xdatcar(
            tmp_path / "XDATCAR",
            moved,
            npt=npt,
            scale=scale,
            separator=separator,
            comment=comment,
            cartesian=cartesian,
        )
        found = whole(open_trajectory(path, frame_interval_fs=50))
        np.testing.assert_allclose(found.positions_A, moved.wrapped_A, atol=1e-9)
        np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-9)


def test_a_negative_scale_is_the_volume(tmp_path: Path) -> None:
    moved = motion("monoclinic")
    volume = abs(np.linalg.det(moved.cells_A[0]))
    path = xdatcar(tmp_path / "XDATCAR", moved, scale=(-volume,))
    found = whole(open_trajectory(path, frame_interval_fs=50))
    np.testing.assert_allclose(found.cells_A, moved.cells_A, atol=1e-9)
    np.testing.assert_allclose(found.positions_A, moved.wrapped_A, atol=1e-9)


def test_files_of_vasp_4_need_species(tmp_path: Path) -> None:
    path = xdatcar(tmp_path / "XDATCAR", motion(), elements=None)
    assert "--species" in one_line(lambda: open_trajectory(path, frame_interval_fs=50), path)
    frames = open_trajectory(path, frame_interval_fs=50, species=["Li", "Y", "Cl"])
    assert frames.symbols == SYMBOLS
    for species, word in ((["Li", "Y"], "3 groups"), (["Li", "Y", "Xx"], "'Xx'")):
        message = one_line(
            lambda: open_trajectory(path, frame_interval_fs=50, species=species),  # noqa: B023
            path,
        )
        assert word in message


def test_blocks_and_compression_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = motion(npt=True, n_frames=7)
    plain = xdatcar(tmp_path / "XDATCAR", moved, npt=True)
    packed = tmp_path / "XDATCAR.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    at_once = whole(open_trajectory(plain, frame_interval_fs=50))
    for per_block in (1, 3):
        monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * per_block)
        frames = open_trajectory(packed, frame_interval_fs=50)
        assert max(len(block.time_ps) for block in frames.blocks()) == per_block
        found = whole(frames)
        np.testing.assert_array_equal(found.positions_A, at_once.positions_A)
        np.testing.assert_array_equal(found.cells_A, at_once.cells_A)
        np.testing.assert_array_equal(found.time_ps, at_once.time_ps)


@given(data=st.data(), npt=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_anywhere_uses_the_whole_frames(tmp_path: Path, data: st.DataObject, npt: bool) -> None:
    moved = motion(n_frames=4)
    path = xdatcar(tmp_path / "XDATCAR", moved, npt=npt)
    lines = path.read_bytes().splitlines(keepends=True)
    header, rows = 7, 1 + len(SYMBOLS)
    counts = [header + rows] + [rows + header * npt] * 3
    ends = [sum(map(len, lines[:end])) for end in np.cumsum(counts)]
    content = path.read_bytes()
    assert ends[-1] == len(content)
    cut = data.draw(st.integers(ends[0], len(content)))
    path.write_bytes(content[:cut])
    frames = open_trajectory(path, frame_interval_fs=50)
    n_whole = sum(end <= cut for end in ends)
    if cut in ends:
        found = whole(frames)
    else:
        with pytest.warns(UserWarning, match=f"middle of frame {n_whole}"):
            found = whole(frames)
    assert len(found.time_ps) == n_whole
    np.testing.assert_allclose(found.positions_A, moved.wrapped_A[:n_whole], atol=1e-9)


def test_blank_lines_at_the_end(tmp_path: Path) -> None:
    path = xdatcar(tmp_path / "XDATCAR", motion())
    path.write_text(path.read_text() + "\n   \n")
    assert len(whole(open_trajectory(path, frame_interval_fs=50)).time_ps) == 9


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (7 + 13 * 2 + 4, "0.1 nan 0.2\n", ["frame 2", "not numbers"]),
        (7 + 13 * 2 + 4, "0.1 inf 0.2\n", ["frame 2", "not numbers"]),
        (7 + 13 * 2 + 4, "0.1 **** 0.2\n", ["frame 2", "damaged"]),
        (7 + 13 * 2 + 4, "0.1 0.2\n", ["frame 2", "damaged"]),
        (7 + 13 * 2 + 4, "0.1 0.2 0.3 0.4\n", ["frame 2", "damaged"]),
        (7 + 13 * 2, "nonsense\n", ["frame 2", "damaged"]),
        (1, "0.0\n", ["no volume"]),
        (1, "nan\n", ["not made of numbers"]),
        (2, "0.0 0.0 0.0\n", ["no volume"]),
        (5, "Li Y Qq\n", ["'Qq'"]),
        (5, "Li Y\n", ["do not fit"]),
        (6, "4 2 -6\n", ["do not fit"]),
        (6, "4 2 7\n", ["frame 0", "damaged"]),
        (2, "0.1\n", ["no cell"]),
    ],
)
def test_damage_is_one_line(tmp_path: Path, line: int, text: str, words: list[str]) -> None:
    path = xdatcar(tmp_path / "XDATCAR", motion())
    lines = path.read_text().splitlines(keepends=True)
    lines[line] = text
    path.write_text("".join(lines))
    message = one_line(lambda: whole(open_trajectory(path, frame_interval_fs=50)), path)
    for word in words:
        assert word in message


def test_atoms_that_change(tmp_path: Path) -> None:
    moved = motion(n_frames=3)
    for new, words in (
        (("Li Y Br", COUNTS), ["elements", "frame 1"]),
        (("Li Y Cl", "4 2 5"), ["frame 1 has 11 atoms"]),
    ):
        path = xdatcar(tmp_path / "XDATCAR", moved, npt=True)
        lines = path.read_text().splitlines()
        lines[20 + 5], lines[20 + 6] = new
        if new[1] != COUNTS:
            del lines[20 + 10]
        path.write_text("\n".join(lines) + "\n")
        message = one_line(
            lambda: whole(open_trajectory(path, frame_interval_fs=50)),  # noqa: B023
            path,
        )
        for word in words:
            assert word in message


def test_what_must_be_asked_for(tmp_path: Path) -> None:
    path = xdatcar(tmp_path / "XDATCAR", motion())
    assert "--frame-interval-fs" in one_line(lambda: open_trajectory(path), path)
    message = one_line(
        lambda: open_trajectory(path, frame_interval_fs=50, species=["Na", "Y", "Cl"]), path
    )
    assert "contradict" in message


def vasprun(
    path: Path, moved: Motion, *, settings: str = "", potim: str | None = "50.0", ibrion: int = 0
) -> Path:
    """Write the parts of a vasprun.xml that programs read."""
    atoms = "\n".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in SYMBOLS)
    step = f'<i name="POTIM">{potim}</i>' if potim else ""
    kinds = "\n".join(
        f"<rc><c>{count}</c><c>{name}</c><c>1.0</c><c>1.0</c><c>PAW_PBE {name}</c></rc>"
        for name, count in zip(("Li", "Y", "Cl"), COUNTS.split(), strict=True)
    )
    parts = [
        f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i>
</generator>
<incar><i type="int" name="IBRION">{ibrion}</i>{step}{settings}</incar>
<kpoints><generation param="Gamma"><v type="int" name="divisions">1 1 1</v></generation>
<varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1.0</v></varray></kpoints>
<parameters><separator name="ionic"><i type="int" name="IBRION">{ibrion}</i>{step}
<i type="int" name="NSW">9</i></separator>
<separator name="electronic"><i type="int" name="NELM">60</i><i name="EFIELD_PEAD">0</i>
<separator name="electronic smearing"><i type="int" name="ISMEAR">0</i></separator></separator>
<separator name="general"><i type="logical" name="LHFCALC">F</i></separator></parameters>
<atominfo><atoms>{len(SYMBOLS)}</atoms><types>3</types>
<array name="atoms"><dimension dim="1">ion</dimension>
<field type="string">element</field><field type="int">atomtype</field><set>{atoms}</set></array>
<array name="atomtypes"><dimension dim="1">type</dimension>
<field type="int">atomspertype</field><field type="string">element</field><field>mass</field>
<field>valence</field><field type="string">pseudopotential</field><set>{kinds}</set></array>
</atominfo>""",
        _structure(moved, 0, "initialpos"),
    ]
    for number in range(len(moved.cells_A)):
        forces = "<v>0.0 0.0 0.0</v>" * len(SYMBOLS)
        energies = '<energy><i name="e_fr_energy">-1.0</i><i name="e_wo_entrp">-1.0</i>'
        energies += '<i name="e_0_energy">-1.0</i></energy>'
        parts.append(
            f"<calculation><scstep>{energies}</scstep>{_structure(moved, number, None)}"
            f'<varray name="forces">{forces}</varray>{energies}</calculation>'
        )
    parts += [_structure(moved, len(moved.cells_A) - 1, "finalpos"), "</modeling>"]
    path.write_text("\n".join(parts) + "\n")
    return path


def _structure(moved: Motion, number: int, name: str | None) -> str:
    basis = "".join(f"<v>{' '.join(map(repr, row))}</v>" for row in moved.cells_A[number].tolist())
    rows = "".join(f"<v>{' '.join(map(repr, row))}</v>\n" for row in moved.wrapped[number].tolist())
    named = f' name="{name}"' if name else ""
    return (
        f'<structure{named}><crystal><varray name="basis">{basis}</varray></crystal>'
        f'<varray name="positions">{rows}</varray></structure>'
    )


@pytest.mark.parametrize("npt", [False, True])
@pytest.mark.parametrize("cell", CELLS_A)
def test_vasprun_as_ase_and_pymatgen_read_it(tmp_path: Path, cell: str, npt: bool) -> None:
    moved = motion(cell, npt=npt)
    path = vasprun(tmp_path / "vasprun.xml", moved)
    frames = open_trajectory(path)
    found = whole(frames)
    assert frames.symbols == SYMBOLS
    assert not frames.continuous
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)
    with quiet():
        by_ase = ase.io.read(path, ":", format="vasp-xml")
        by_pymatgen = Vasprun(
            path, parse_dos=False, parse_eigen=False, parse_potcar_file=False
        ).ionic_steps
    assert len(by_ase) == len(by_pymatgen) == len(found.time_ps)
    for number, (atoms, step) in enumerate(zip(by_ase, by_pymatgen, strict=True)):
        structure = step["structure"]
        assert tuple(atoms.get_chemical_symbols()) == SYMBOLS
        np.testing.assert_allclose(found.positions_A[number], atoms.positions, atol=1e-9)
        np.testing.assert_allclose(found.positions_A[number], structure.cart_coords, atol=1e-9)
        np.testing.assert_allclose(found.cells_A[number], atoms.cell, atol=1e-9)
        np.testing.assert_allclose(found.cells_A[number], structure.lattice.matrix, atol=1e-9)


def test_vasprun_of_a_killed_run(tmp_path: Path) -> None:
    moved = motion(n_frames=6)
    path = vasprun(tmp_path / "vasprun.xml", moved)
    content = path.read_text()
    ends = [place for place in range(len(content)) if content.startswith("</structure>", place)]
    for cut in np.linspace(ends[1] + 12, ends[-2] + 11, 40).astype(int):
        path.write_text(content[:cut])
        n_whole = sum(end + 12 <= cut for end in ends) - 1
        with pytest.warns(UserWarning, match=f"middle of frame {n_whole}"):
            found = whole(open_trajectory(path))
        assert len(found.time_ps) == n_whole
        np.testing.assert_allclose(found.positions_A, moved.wrapped_A[:n_whole], atol=1e-9)
    path.write_text(content[: ends[0] + 100])
    assert "first frame" in one_line(lambda: open_trajectory(path), path)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ibrion": 2}, "IBRION"),
        ({"potim": None}, "POTIM"),
        ({"settings": '<i type="int" name="ML_OUTBLOCK">10</i>'}, "ML_OUTBLOCK"),
    ],
)
def test_vasprun_without_a_time(tmp_path: Path, options: dict[str, object], word: str) -> None:
    moved = motion(n_frames=3)
    path = vasprun(tmp_path / "run_vasprun.xml", moved, **options)  # type: ignore[arg-type]
    message = one_line(lambda: open_trajectory(path), path)
    assert word in message
    assert "--frame-interval-fs" in message
    found = whole(open_trajectory(path, frame_interval_fs=50))
    np.testing.assert_allclose(found.time_ps, moved.time_ps, atol=1e-12)


def test_damaged_vasprun(tmp_path: Path) -> None:
    path = vasprun(tmp_path / "vasprun.xml", motion())
    content = path.read_text()
    for old, new, words in (
        ("</scstep>", "</wrong>", ["frame 0", "damaged"]),
        ("<c>Li</c>", "<c>Lx</c>", ["'Lx'"]),
        ("<c>Li</c>", "<d/><c>Li</c>", ["damaged"]),
        ('<varray name="basis">', '<varray name="base">', ["without basis"]),
        ("<rc><c>Cl</c><c>1</c></rc></set>", "</set>", ["12 positions of 11 atoms"]),
    ):
        assert old in content
        path.write_text(content.replace(old, new))
        message = one_line(lambda: whole(open_trajectory(path)), path)
        for word in words:
            assert word in message


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 24 * len(SYMBOLS) * 4)
    peaks = []
    for n_frames in (40, 400):
        path = vasprun(tmp_path / "vasprun.xml", motion(n_frames=n_frames))
        peaks.append(peak_bytes(open_trajectory(path)))
    assert peaks[1] < 1.3 * peaks[0]
