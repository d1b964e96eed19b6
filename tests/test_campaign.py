"""Paths, seeds, options and the identity of a results folder."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.campaign import (
    check_campaign,
    check_results,
    claim_results,
    material_named,
    options,
    plot_files,
    plot_options,
    plotted,
    runs,
    seed_of,
    temperature_name,
)
from halmd.config import Campaign, Material, PlotSettings, StructureSettings, parse_campaign
from halmd.errors import HalmdError


def campaign(results: str = "results", **changes: Any) -> Campaign:
    base = {
        "campaign": "test",
        "results": results,
        "potential": "ase.calculators.lj:LennardJones",
        "materials": [{"formula": "Li3YCl6"}],
    }
    return parse_campaign(base | changes)


def test_runs_follow_the_layout() -> None:
    made = campaign(dynamics={"temperatures_K": [512.5, 500], "replicas": 2})
    folders = [run.folder for run in runs(made, made.materials[0])]
    assert folders[:2] == ["Li3YCl6/00/500K/r0", "Li3YCl6/00/500K/r1"]
    assert folders[2] == "Li3YCl6/00/512.5K/r0"
    assert len(folders) == len(set(folders)) == 8


def test_seeds_differ_and_do_not_depend_on_the_rest_of_the_campaign() -> None:
    first = campaign(seed=1)
    longer = campaign(seed=1, materials=[{"formula": "Li3YCl6"}, {"formula": "Li3ErCl6"}])
    names = ("dynamics", "Li3YCl6", "00", "500K", "0")
    assert seed_of(first, *names) == seed_of(longer, *names)
    seeds = {
        seed_of(made, stage, *names[1:])
        for made in (first, campaign(seed=2))
        for stage in ("equilibrate", "dynamics")
    }
    assert len(seeds) == 4


def test_options_have_the_names_of_the_settings() -> None:
    text = options(StructureSettings(min_length_A=9.5))
    assert "--min-length-A 9.5" in text
    assert "--n-orderings 2" in text
    text = options(PlotSettings(formats=["svg", "pdf"], show_measured=False))
    assert "--formats svg --formats pdf" in text
    assert "--no-show-measured" in text
    assert "--show-computed" in text


def test_plots_are_told_their_style_and_only_of_what_is_drawn() -> None:
    plots = {
        "materials": ["b", "Li3YCl6"],
        "labels": {"b": "my 'best' {sample}", "c": "c"},
        "colours": {"Li3YCl6": "#0072B2"},
        "formats": ["svg"],
    }
    materials = [{"formula": "Li3YCl6"}, *({"formula": "Li3YBr6", "name": name} for name in "bc")]
    made = campaign(materials=materials, plots=plots)
    assert [material.folder for material in plotted(made)] == ["b", "Li3YCl6"]
    words = shlex.split(plot_options(made))
    assert words[words.index("--labels") + 1] == "b=my 'best' {sample}"
    assert words[words.index("--colours") + 1] == "Li3YCl6=#0072B2"
    assert "--materials" not in words
    assert words.count("--labels") == 1
    files = plot_files(made)
    assert "msd-b.svg" in files
    assert "msd-b.csv" in files
    assert "msd-c.svg" not in files
    every = campaign(materials=materials)
    assert [material.folder for material in plotted(every)] == ["Li3YCl6", "b", "c"]


@given(st.floats(min_value=1, max_value=3000, allow_subnormal=False))
def test_temperature_names_are_safe_in_paths(temperature: float) -> None:
    name = temperature_name(temperature)
    assert name.endswith("K")
    assert "/" not in name
    assert " " not in name


@pytest.mark.parametrize(
    ("materials", "message"),
    [
        ([{"formula": "Li3ZrCl6"}], r"charge of \+1.*Li2ZrCl6"),
        ([{"formula": "Li3YtCl6"}], "unknown element Yt"),
        ([{"formula": "Li1.2TaO1.2Cl3.8"}], "amorphous phases are made by melting"),
        ([{"formula": "Li3YCl6", "prototype": "nothing"}], "prototype 'nothing' is not known"),
        ([{"formula": "Li3YCl6", "prototype": "no.cif"}], r"no\.cif: no such file"),
    ],
)
def test_material_mistakes_are_found_before_anything_runs(
    materials: list[dict[str, str]], message: str
) -> None:
    with pytest.raises(HalmdError, match=message):
        check_campaign(campaign(materials=materials))


def test_mobile_element_must_be_in_the_formula() -> None:
    with pytest.raises(HalmdError, match="Li3YCl6 holds no Na"):
        check_campaign(campaign(diffusion={"mobile": "Na"}))


def test_untrained_element_is_refused_unless_accepted() -> None:
    made = campaign(potential="halmd-liycl-1", materials=[{"formula": "Li3InCl6"}])
    with pytest.raises(HalmdError, match="not trained on In"):
        check_campaign(made)
    check_campaign(made.model_copy(update={"accept_extrapolation": True}))


def test_results_of_another_configuration_are_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / "results")
    first = campaign(folder)
    check_results(first)
    claim_results(first)
    check_results(first)
    check_results(campaign(folder, dynamics={"temperatures_K": [400]}, plots={"dpi": 100}))
    check_results(campaign(folder, materials=[{"formula": "Li3YCl6"}, {"formula": "Li3ErCl6"}]))
    for change, message in (
        ({"seed": 9}, "made with seed: 0, and this config says 9"),
        ({"campaign": "other"}, "made with campaign: test"),
        ({"potential": "halmd-liycl-1"}, "made with potential"),
        ({"materials": [{"formula": "Li3ErCl6", "name": "Li3YCl6"}]}, "give the material another"),
    ):
        with pytest.raises(HalmdError, match=message):
            check_results(campaign(folder, **change))


def test_claiming_again_keeps_earlier_materials(tmp_path: Path) -> None:
    folder = str(tmp_path / "results")
    claim_results(campaign(folder))
    claim_results(campaign(folder, materials=[{"formula": "Li3ErCl6"}]))
    with pytest.raises(HalmdError, match="give the material another name"):
        check_results(campaign(folder, materials=[{"formula": "Li3YBr6", "name": "Li3YCl6"}]))


def test_folder_names_are_safe() -> None:
    assert Material(formula="Li2Sc2/3Cl4").folder == "Li2Sc2_3Cl4"
    assert Material(formula="Li3(Y0.5In0.5)Cl6").folder == "Li3_Y0.5In0.5_Cl6"


def test_an_unknown_material_is_named_beside_those_there_are() -> None:
    with pytest.raises(HalmdError, match=r"Li3XCl6: .* it has Li3YCl6$"):
        material_named(campaign(), "Li3XCl6")
