"""A student that was registered in potentials/ is found by its name, and only undamaged."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from halmd.campaign import check_campaign
from halmd.cli_options import load_for, prototype_in
from halmd.config import parse_campaign
from halmd.dynamics.uncertainty import committee_forces
from halmd.errors import HalmdError
from halmd.potentials import registry
from halmd.potentials.evaluators import load
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import covering, find, registered_names
from halmd.report.results import beyond_training, extrapolates


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped_name: str) -> str:
    """A copy of the shipped potential under another name, in potentials/ of this folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(registry.SHIPPED / shipped_name, tmp_path / "potentials" / "my-student")
    return "my-student"


def test_it_is_found_by_name(registered: str, shipped_name: str) -> None:
    entry = find(registered)
    assert entry.kind == "registered"
    assert entry.model is not None
    assert entry.model.is_absolute()
    assert entry.model.is_file()
    assert entry.elements == find(shipped_name).elements
    assert registered_names() == [registered]
    assert registered in covering(frozenset({"Li", "Cl"}))


def test_it_is_unknown_elsewhere(
    registered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(HalmdError, match="not known"):
        find(registered)


def test_an_unknown_name_is_told_what_is_registered(registered: str) -> None:
    with pytest.raises(HalmdError, match=registered):
        find("no-such-student")


def test_damage_is_one_line(registered: str) -> None:
    card = json.loads(Path("potentials/my-student/card.json").read_text())
    path = Path("potentials/my-student") / card["files"]["native"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HalmdError, match=r"damaged .* register it again"):
        find(registered)


def with_crystals(*names: str) -> None:
    path = Path("potentials/my-student/card.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crystals": list(names)}))


def test_another_crystal_is_refused_before_anything_runs(registered: str) -> None:
    with_crystals("Li3YCl6_P-3m1_M1M2")
    material = {"formula": "Li3YCl6", "prototype": "Li3YCl6_P-3m1_M2M3"}
    record = {"potential": registered, "materials": [material]}
    with pytest.raises(HalmdError, match="not trained on the crystal Li3YCl6_P-3m1_M2M3"):
        check_campaign(parse_campaign(record))
    check_campaign(parse_campaign(record | {"accept_extrapolation": True}))
    with_crystals("Li3YCl6_P-3m1_M1M2", "Li3YCl6_P-3m1_M2M3")
    check_campaign(parse_campaign(record))


@pytest.mark.skipif(
    importlib.util.find_spec("symmetrix") is None, reason="needs the native evaluator"
)
def test_another_crystal_is_in_the_record_of_a_run(registered: str, tmp_path: Path) -> None:
    with_crystals("Li3YCl6_P-3m1_M1M2")
    record = prepare_potential(registered, evaluator="native", folder=tmp_path / "prepared")
    elements = ("Li", "Y", "Cl")
    with pytest.raises(HalmdError, match="crystal Li3InCl6_C2m"):
        load_for(elements, record, False, prototype="Li3InCl6_C2m")
    loaded = load_for(elements, record, True, prototype="Li3InCl6_C2m")
    assert loaded.provenance["beyond_training"] == ["Li3InCl6_C2m"]
    assert beyond_training({"run": {"potential": loaded.provenance}}) == ["Li3InCl6_C2m"]
    assert extrapolates({"run": {"potential": loaded.provenance}}) is True
    within = load_for(elements, record, False, prototype="Li3YCl6_P-3m1_M1M2")
    assert "beyond_training" not in within.provenance


def test_a_cif_of_ones_own_is_not_judged() -> None:
    assert prototype_in({"prototype": "mine", "confidence": "user"}) is None
    assert prototype_in({"prototype": "Li3InCl6_C2m", "confidence": "low"}) == "Li3InCl6_C2m"
    assert prototype_in({}) is None


def test_a_shipped_name_keeps_its_meaning(registered: str, shipped_name: str) -> None:
    shutil.copytree("potentials/my-student", f"potentials/{shipped_name}")
    assert find(shipped_name).kind == "shipped"
    assert registered_names() == [registered]


@pytest.fixture
def with_committee(registered: str) -> str:
    """The registered student with itself for a committee."""
    folder = Path("potentials") / registered
    card = json.loads((folder / "card.json").read_text())
    shutil.copy(folder / card["files"]["native"], folder / "committee-1.native.json")
    card["files"]["committee"] = ["committee-1.native.json"]
    card["sha256"]["committee-1.native.json"] = card["sha256"][card["files"]["native"]]
    card["uncertainty"] = {"force_std_eV_per_A": 0.3, "share": 0.05}
    (folder / "card.json").write_text(json.dumps(card))
    return registered


def test_a_committee_is_prepared_and_loaded(with_committee: str, tmp_path: Path) -> None:
    pytest.importorskip("symmetrix")
    record = prepare_potential(with_committee, folder=tmp_path / "prepared")
    loaded = load(record)
    if loaded.provenance["evaluator"] != "native":
        pytest.skip("the native evaluator does not run here")
    assert loaded.uncertainty == {"force_std_eV_per_A": 0.3, "share": 0.05}
    (member,) = loaded.committee
    check = find(with_committee).card["self_check"][0]  # type: ignore[index]
    atoms = Atoms(check["symbols"], positions=check["positions_A"], cell=check["cell_A"], pbc=True)
    forces = committee_forces(atoms, [loaded.calculator, member])
    assert np.array_equal(forces[0], forces[1])
    assert np.allclose(forces[0], check["forces_eV_per_A"], atol=5e-4)


def test_a_damaged_member_is_one_line(with_committee: str) -> None:
    path = Path("potentials") / with_committee / "committee-1.native.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HalmdError, match="damaged"):
        find(with_committee)
