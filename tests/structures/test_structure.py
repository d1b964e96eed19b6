"""From the options of a material to written orderings: what is asked arrives, doubts are said."""

from pathlib import Path

import ase.io
import pytest
from typer.testing import CliRunner

from halmd.campaign import check_campaign, identity, structure_options
from halmd.cli import app
from halmd.config import parse_campaign
from halmd.errors import HalmdError
from halmd.files import read_json

MATERIAL = {
    "formula": "Li3.5Fe0.5V0.5Cl6",
    "prototype": "Li3YCl6_P-3m1_M2M3",
    "site_fractions": {"Y2": 1.0, "Y3": 0.0},
    "oxidation_states": {"Fe": 3},
}


def test_options_of_a_material_reach_the_command(tmp_path: Path) -> None:
    campaign = parse_campaign({"materials": [MATERIAL], "accept_extrapolation": True})
    check_campaign(campaign)
    words = structure_options(campaign, campaign.materials[0])
    command = ["structure", MATERIAL["formula"], "-o", str(tmp_path), *words.split()]
    command += ["--n-orderings", "1", "--monte-carlo-steps", "20", "--min-length-A", "9"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "confidence: LOW" in result.output
    assert "caution: " in result.output
    record = read_json(tmp_path / "orderings.json")
    assert record["oxidation_states"]["V"] == 2
    assert sum(record["site_occupancies_achieved"]["Y2"].values()) == 1
    assert record["site_occupancies_achieved"]["Y3"] == {}
    assert record["confidence"] == "low"
    assert record["cautions"]
    atoms = ase.io.read(tmp_path / "00.extxyz")
    assert atoms.info["confidence"] == "low"


def test_campaign_names_the_mistake_in_a_materials_options() -> None:
    wrong = MATERIAL | {"site_fractions": {"M9": 1.0}}
    campaign = parse_campaign({"materials": [wrong], "accept_extrapolation": True})
    with pytest.raises(HalmdError, match="no site 'M9'; its sites are"):
        check_campaign(campaign)
    with pytest.raises(HalmdError, match=r"materials\[0\]\.site_fractions\.Y2.*less than or equal"):
        parse_campaign({"materials": [MATERIAL | {"site_fractions": {"Y2": 2.0}}]})


def test_what_decides_a_structure_is_part_of_the_identity_of_results() -> None:
    plain = parse_campaign({"materials": [{"formula": "Li3YCl6"}]})
    assert identity(plain)["materials"]["Li3YCl6"] == {"formula": "Li3YCl6", "prototype": None}
    named = parse_campaign({"materials": [MATERIAL | {"name": "a"}]})
    assert identity(named)["materials"]["a"]["site_fractions"] == {"Y2": 1.0, "Y3": 0.0}
