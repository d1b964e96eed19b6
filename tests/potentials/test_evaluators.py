"""The evaluators: equal numbers, checked at every load, and no torch where none is needed."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from halmd.errors import HalmdError
from halmd.potentials.evaluators import ase_calculator, load, torch_calculator
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import find, shipped_names

needs_native = pytest.mark.skipif(
    find_spec("symmetrix") is None, reason="symmetrix-xl has no wheel for this platform"
)


def hot_snapshots(elements: frozenset[str] = frozenset({"Li", "Y", "Cl"})) -> list[Atoms]:
    """Distorted rocksalt cells with every pair of the elements, in skewed cells, at two sizes."""
    rng = np.random.default_rng(5)
    anions = sorted(elements & {"F", "Cl", "Br", "I"})
    metals = sorted(elements - set(anions) - {"Li"})
    found = []
    for repeat in (2, 3):
        atoms = bulk("LiCl", "rocksalt", a=5.3).repeat(repeat)
        lithium = np.flatnonzero(atoms.symbols == "Li")
        count = min(max(len(lithium) // 4, len(metals)), len(lithium) - 2)
        places = rng.choice(lithium, count, replace=False)
        for place, metal in zip(places, metals * len(places), strict=False):
            atoms.symbols[place] = metal
        for number, place in enumerate(np.flatnonzero(atoms.symbols == "Cl")):
            atoms.symbols[place] = anions[number % len(anions)]
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
        found.append(atoms)
    return found


@needs_native
@pytest.mark.torch
@pytest.mark.parametrize("name", shipped_names())
def test_native_equals_float64_torch(name: str, tmp_path: Path) -> None:
    entry = find(name)
    assert entry.model is not None
    assert entry.elements is not None
    native = load(prepare_potential(name, evaluator="native", folder=tmp_path)).calculator
    torch = torch_calculator(entry.model, dtype="float64")
    for atoms in hot_snapshots(entry.elements):
        values = []
        for calculator in (native, torch):
            probe = atoms.copy()
            probe.calc = calculator
            values.append((probe.get_potential_energy(), probe.get_forces(), probe.get_stress()))
        (e1, f1, s1), (e2, f2, s2) = values
        assert abs(e1 - e2) / len(atoms) < 1e-5
        assert np.abs(f1 - f2).max() < 1e-4 * max(1.0, np.abs(f2).max())
        assert np.abs(s1 - s2).max() < 1e-5


@needs_native
def test_forces_and_stress_are_derivatives_of_the_energy(prepared: Path) -> None:
    # Float32 energies of 16 atoms carry about 1e-5 eV, hence the wide steps.
    atoms = hot_snapshots()[0]
    atoms.calc = load(prepared).calculator
    forces, stress, step = atoms.get_forces(), atoms.get_stress(), 0.01
    for index, axis in ((0, 0), (1, 1), (5, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions[index, axis] += sign * step
            energies.append(moved.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step)
        assert slope == pytest.approx(-forces[index, axis], abs=0.03 + 0.01 * abs(slope))
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.set_cell(moved.cell * (1 + sign * 0.003), scale_atoms=True)
        energies.append(moved.get_potential_energy())
    pressure = (energies[0] - energies[1]) / (0.006 * atoms.get_volume())
    assert pressure == pytest.approx(stress[:3].sum(), rel=0.03, abs=1e-3)


@needs_native
def test_auto_takes_native_and_never_imports_torch(prepared: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from halmd.potentials.evaluators import load;"
        "loaded = load(Path(sys.argv[1]));"
        "print(loaded.provenance['evaluator'], 'torch' in sys.modules, 'mace' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["native", "False", "False"]


@needs_native
def test_loading_leaves_the_arithmetic_of_the_process_as_it_was(prepared: Path) -> None:
    """Code linked with -ffast-math would make subnormal numbers zero, wherever they are met."""
    code = (
        "import sys; from pathlib import Path; from halmd.potentials.evaluators import load;"
        "loaded = load(Path(sys.argv[1]));"
        "print(float('2.3e-308') / 2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1.15e-308"


@needs_native
@pytest.mark.skipif(shutil.which("c++") is None, reason="the compiled part is made here first")
def test_a_node_without_a_compiler_runs_what_another_compiled(prepared: Path) -> None:
    """What was prepared with a compiler is loaded where there is none: slower, and told."""
    code = (
        "import sys, warnings; from pathlib import Path;"
        "from halmd.potentials.evaluators import load;"
        "warnings.simplefilter('always');"
        "loaded = load(Path(sys.argv[1]));"
        "print(loaded.provenance['evaluator'], loaded.calculator.evaluator.streamed_edges_mode)"
    )
    bare = {key: value for key, value in os.environ.items() if key != "CXX"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared)],
        env=bare | {"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    evaluator, mode = done.stdout.split()
    assert evaluator == "native"
    assert mode != "direct"
    assert "nothing can be compiled on" in done.stderr


def _edited(prepared: Path, folder: Path, **changes: object) -> Path:
    """A copy of a prepared potential with some fields of its record changed."""
    shutil.copytree(prepared.parent, folder)
    record = json.loads(prepared.read_text()) | changes
    target = folder / "potential.json"
    target.write_text(json.dumps(record))
    return target


@needs_native
@pytest.mark.torch
def test_native_that_fails_its_self_check_gives_way_to_torch(
    prepared: Path, tmp_path: Path
) -> None:
    # A native file whose energies are off: the shift of one species is changed in the export.
    record = json.loads(prepared.read_text())
    native = json.loads(Path(record["native_file"]).read_text())
    native["atomic_energies"] = [value + 0.01 for value in native["atomic_energies"]]
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(native))
    from halmd.files import sha256

    target = _edited(
        prepared, tmp_path / "copy", native_file=str(wrong), native_sha256=sha256(wrong)
    )
    with pytest.warns(UserWarning, match="self-check failed"):
        loaded = load(target)
    assert loaded.provenance["evaluator"] == "torch"


@needs_native
def test_changed_model_file_is_refused(prepared: Path, tmp_path: Path) -> None:
    target = _edited(prepared, tmp_path / "copy", native_sha256="0" * 64)
    with pytest.raises(HalmdError, match="changed since it was prepared"):
        load(target)


@needs_native
def test_without_a_compiler_native_still_runs(
    shipped_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/c++")
    target = prepare_potential(shipped_name, evaluator="native", folder=tmp_path)
    assert json.loads(target.read_text())["native_compiled"] is False
    assert "without its compiled part" in capsys.readouterr().err
    assert load(target).provenance["evaluator"] == "native"


@pytest.mark.torch
def test_torch_on_request(shipped_name: str, tmp_path: Path) -> None:
    target = prepare_potential(shipped_name, evaluator="torch", folder=tmp_path)
    assert load(target).provenance["evaluator"] == "torch"


@pytest.mark.torch
def test_foundation_name_is_fetched_by_mace_torch(
    shipped_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # mace-torch keeps downloads under XDG_CACHE_HOME: a local file stands in for the download.
    model = find(shipped_name).model
    assert model is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "mace" / "20231210mace128L0_energy_epoch249model"
    cached.parent.mkdir(parents=True)
    shutil.copy(model, cached)
    target = prepare_potential("small", evaluator="auto", folder=tmp_path / "potential")
    record = json.loads(target.read_text())
    assert record["kind"] == "foundation"
    assert record["model_file"] == str(cached)
    assert set(record["elements"]) == {"Li", "Y", "Cl"}


@pytest.mark.torch
def test_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(HalmdError, match="could not fetch it") as caught:
        prepare_potential("small", evaluator="auto", folder=tmp_path / "potential")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "potential").exists()


@pytest.mark.torch
def test_damaged_model_is_one_line(shipped_name: str, tmp_path: Path) -> None:
    model = find(shipped_name).model
    assert model is not None
    broken = tmp_path / "broken.model"
    broken.write_bytes(model.read_bytes()[:5000])
    with pytest.raises(HalmdError, match="damaged") as caught:
        prepare_potential(str(broken), folder=tmp_path / "potential")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "potential").exists()


def test_ase_calculator_by_import_path(tmp_path: Path) -> None:
    target = prepare_potential("ase.calculators.lj:LennardJones", folder=tmp_path)
    loaded = load(target)
    assert loaded.elements is None
    atoms = bulk("Ar", cubic=True)
    atoms.calc = loaded.calculator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(atoms.get_potential_energy())


def test_ase_calculator_that_is_not_there() -> None:
    with pytest.raises(HalmdError, match="cannot import"):
        ase_calculator("no_such_module:thing")
    with pytest.raises(HalmdError, match="has no Nothing"):
        ase_calculator("ase.calculators.lj:Nothing")
