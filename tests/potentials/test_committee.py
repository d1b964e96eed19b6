"""Several native models in one process: each right, none in the way of a run."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE

from halmd.config import DynamicsSettings
from halmd.dynamics.dynamics import run_dynamics
from halmd.dynamics.uncertainty import committee_forces
from halmd.errors import HalmdError, OutOfTimeError
from halmd.files import read_json, sha256
from halmd.potentials import registry
from halmd.potentials.evaluators import Loaded, load
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import find
from halmd.trajectory import read_trajectory

needs_native = pytest.mark.skipif(
    find_spec("symmetrix") is None, reason="symmetrix-xl has no wheel for this platform"
)
NAME = "my-student"
MEMBERS = ("committee-1.native.json", "committee-2.native.json")
ALONE = """
import sys
from pathlib import Path
import ase.io, numpy as np
from halmd.potentials.evaluators import native_calculator
frames = ase.io.read(sys.argv[1], ":")
calculator = native_calculator(Path(sys.argv[2]), Path(sys.argv[3]), compiled=sys.argv[4] == "1")
forces = []
for atoms in frames:
    atoms.calc = calculator
    forces.append(atoms.get_forces())
np.save(sys.argv[5], np.array(forces))
print("torch" in sys.modules)
"""


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped_name: str) -> Path:
    """Folder of a registered copy of the shipped potential; its committee has other weights."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "potentials" / NAME
    shutil.copytree(registry.SHIPPED / shipped_name, folder)
    card = json.loads((folder / "card.json").read_text())
    native = json.loads((folder / card["files"]["native"]).read_text())
    for number, member in enumerate(MEMBERS, start=1):
        other = native | {
            key: [(1 + 0.1 * number) * weight for weight in native[key]]
            for key in ("readout_1_weights", "readout_2_weights_2")
        }
        (folder / member).write_text(json.dumps(other))
        card["sha256"][member] = sha256(folder / member)
    card["files"]["committee"] = list(MEMBERS)
    card["uncertainty"] = {"force_std_eV_per_A": 0.02, "share": 0.05, "definition": "a test"}
    write_card(folder, card)
    return folder


def write_card(folder: Path, card: dict[str, Any]) -> None:
    (folder / "card.json").write_text(json.dumps(card))


def crystal(folder: Path) -> Atoms:
    check = read_json(folder / "card.json")["self_check"][0]
    return Atoms(check["symbols"], positions=check["positions_A"], cell=check["cell_A"], pbc=True)


def settled(folder: Path, loaded: Loaded) -> Atoms:
    """A crystal at rest, then set moving: the cell of the self-check is strained and rattled."""
    atoms = crystal(folder)
    atoms.calc = loaded.calculator
    FIRE(atoms, logfile=None).run(fmax=0.3, steps=200)
    atoms.calc = None
    thermalize_momenta(atoms, 600.0, rng=np.random.default_rng(2))
    return atoms


def native_of(record: Path) -> Loaded:
    loaded = load(record)
    if loaded.provenance["evaluator"] != "native":
        pytest.skip("the native evaluator does not run here")
    return loaded


@needs_native
def test_the_record_names_the_committee_and_its_checksums(student: Path, tmp_path: Path) -> None:
    record = prepare_potential(NAME, folder=tmp_path / "prepared")
    stored = read_json(record)
    assert [Path(member["file"]).name for member in stored["committee"]] == list(MEMBERS)
    assert stored["uncertainty"]["definition"] == "a test"
    loaded = native_of(record)
    assert loaded.uncertainty == stored["uncertainty"]
    assert loaded.provenance["committee_sha256"] == [sha256(student / name) for name in MEMBERS]


@needs_native
def test_members_compute_the_same_beside_one_another_as_alone(
    student: Path, tmp_path: Path
) -> None:
    record = prepare_potential(NAME, folder=tmp_path / "prepared")
    loaded, stored = native_of(record), read_json(record)
    frames = []
    for seed in range(3):
        atoms = crystal(student)
        atoms.rattle(0.1, seed=seed)
        frames.append(atoms)
    # In turns, so that each would find what another left behind.
    together = np.array(
        [committee_forces(atoms, (loaded.calculator, *loaded.committee)) for atoms in frames]
    )
    write(tmp_path / "frames.extxyz", frames, columns=["symbols", "positions"])
    files = [stored["native_file"], *(member["file"] for member in stored["committee"])]
    for number, file in enumerate(files):
        result = tmp_path / f"{number}.npy"
        arguments = [tmp_path / "frames.extxyz", file, tmp_path / "prepared" / "native-cache"]
        compiled = "1" if stored["native_compiled"] else "0"
        done = subprocess.run(
            [sys.executable, "-c", ALONE, *map(str, arguments), compiled, str(result)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["False"], "torch was imported"
        # The file of frames has eight decimals.
        np.testing.assert_allclose(together[:, number], np.load(result), atol=2e-5)
    assert np.abs(together[:, 1] - together[:, 0]).max() > 0.1
    assert np.abs(together[:, 2] - together[:, 1]).max() > 0.1


@needs_native
def test_a_native_run_is_the_same_bit_for_bit(student: Path, tmp_path: Path) -> None:
    record = prepare_potential(NAME, folder=tmp_path / "prepared")
    atoms = settled(student, native_of(record))
    settings = DynamicsSettings(
        production_ps=0.3,
        frame_interval_fs=20.0,
        checkpoint_interval_ps=0.1,
        uncertainty_interval_ps=0.06,
    )

    def run(folder: Path, loaded: Loaded, max_minutes: float = float("inf")) -> dict[str, Any]:
        return run_dynamics(
            atoms,
            loaded,
            settings,
            target_K=300.0,
            seed=3,
            scratch=folder / "scratch",
            trajectory=folder / "trajectory.h5",
            record=folder / "run.json",
            max_minutes=max_minutes,
            show_progress=False,
        )

    judged = run(tmp_path / "with", native_of(record))
    assert judged["verdict"] == "extrapolating"
    assert judged["uncertainty"]["looks"] == 6
    stops = 0
    while True:
        try:
            continued = run(tmp_path / "continued", native_of(record), max_minutes=0.0)
        except OutOfTimeError:
            stops += 1
        else:
            break
    assert stops == 2
    assert continued["uncertainty"] == judged["uncertainty"]
    frames = [tmp_path / name / "extrapolating.extxyz" for name in ("with", "continued")]
    assert frames[0].read_text().replace("/with", "/continued") == frames[1].read_text()

    card = read_json(student / "card.json")
    del card["files"]["committee"], card["uncertainty"]
    write_card(student, card)
    plain = native_of(prepare_potential(NAME, folder=tmp_path / "plain"))
    assert plain.committee == ()
    assert "committee_sha256" not in plain.provenance
    assert run(tmp_path / "without", plain)["uncertainty"] is None
    one, *others = (
        read_trajectory(tmp_path / name / "trajectory.h5")
        for name in ("without", "with", "continued")
    )
    for other in others:
        assert one.positions_A.tobytes() == other.positions_A.tobytes()
        for key, column in one.thermo.items():
            assert column.tobytes() == other.thermo[key].tobytes()


@needs_native
def test_a_member_damaged_after_it_was_prepared_is_one_line(student: Path, tmp_path: Path) -> None:
    record = prepare_potential(NAME, folder=tmp_path / "prepared")
    native_of(record)
    path = student / MEMBERS[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HalmdError, match=r"committee-2.* changed since it was prepared") as caught:
        load(record)
    assert "\n" not in str(caught.value)


@pytest.mark.torch
def test_torch_says_that_the_committee_is_lost(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load(prepare_potential(NAME, evaluator="torch", folder=tmp_path / "prepared"))
    assert loaded.committee == ()
    assert "without its committee" in capsys.readouterr().err


def test_a_member_without_a_checksum_is_never_opened(student: Path) -> None:
    card = read_json(student / "card.json")
    del card["sha256"][MEMBERS[0]]
    write_card(student, card)
    with pytest.raises(HalmdError, match=r"no SHA-256 of committee-1") as caught:
        find(NAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uncertainty",
    [
        {"share": 0.05},
        {"force_std_eV_per_A": 0.1},
        {"force_std_eV_per_A": 0.0, "share": 0.05},
        {"force_std_eV_per_A": 0.1, "share": 5},
        {"force_std_eV_per_A": "0.1", "share": 0.05},
        [0.1, 0.05],
    ],
)
def test_a_threshold_that_says_nothing_is_refused(student: Path, uncertainty: Any) -> None:
    write_card(student, read_json(student / "card.json") | {"uncertainty": uncertainty})
    with pytest.raises(HalmdError, match="needs force_std_eV_per_A"):
        find(NAME)
