"""Names of potentials: what is found, what is refused, and why."""

import json
import shutil
from pathlib import Path

import pytest

from halmd.errors import HalmdError
from halmd.potentials import registry
from halmd.potentials.registry import (
    covering,
    find,
    require_crystal,
    require_elements,
    shipped_names,
)


def test_every_shipped_model_has_files_that_agree_with_its_card() -> None:
    assert shipped_names()
    for name in shipped_names():
        entry = find(name)
        assert entry.model is not None
        assert entry.model.is_file()
        assert entry.native is not None
        assert entry.native.is_file()
        assert entry.elements


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(HalmdError, match=shipped_names()[0]):
        find("no-such-potential")


def test_missing_model_file_is_named() -> None:
    with pytest.raises(HalmdError, match=r"nowhere/x\.model.*no such file"):
        find("nowhere/x.model")


def test_damaged_shipped_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped_name: str
) -> None:
    shutil.copytree(registry.SHIPPED / shipped_name, tmp_path / shipped_name)
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    card = json.loads((tmp_path / shipped_name / "card.json").read_text())
    native = tmp_path / shipped_name / card["files"]["native"]
    native.write_bytes(native.read_bytes()[:-100])
    with pytest.raises(HalmdError, match="damaged"):
        find(shipped_name)


def test_untrained_element_is_refused_by_name() -> None:
    with pytest.raises(HalmdError, match="not trained on Zr") as caught:
        require_elements(frozenset({"Li", "Zr", "Cl"}), frozenset({"Li", "Y", "Cl"}), name="p")
    assert "accept_extrapolation" in str(caught.value)


def test_accepted_extrapolation_is_reported() -> None:
    missing = require_elements(
        frozenset({"Li", "Zr"}), frozenset({"Li", "Y"}), name="p", accept=True
    )
    assert missing == ["Zr"]


def test_untrained_crystal_is_refused_by_name() -> None:
    known = frozenset({"Li3YCl6_P-3m1_M2M3", "Li3InCl6_C2m"})
    with pytest.raises(HalmdError, match=r"crystal Li2MgCl4_Fd-3m \(it knows Li3InCl6") as caught:
        require_crystal("Li2MgCl4_Fd-3m", known, name="p")
    assert "accept_extrapolation" in str(caught.value)
    assert require_crystal("Li2MgCl4_Fd-3m", known, name="p", accept=True) == "Li2MgCl4_Fd-3m"


def test_what_nothing_is_known_of_is_not_judged() -> None:
    assert require_crystal("Li3InCl6_C2m", frozenset({"Li3InCl6_C2m"}), name="p") is None
    assert require_crystal("Li3InCl6_C2m", None, name="p") is None
    assert require_crystal(None, frozenset({"Li3InCl6_C2m"}), name="p") is None


def test_covering_names_only_models_trained_on_all(shipped_name: str) -> None:
    assert shipped_name in covering(frozenset({"Li", "Y", "Cl"}))
    assert covering(frozenset({"Li", "Og"})) == []
