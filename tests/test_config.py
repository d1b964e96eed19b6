"""Campaign files: one clear line for every mistake, and generated files that are in step."""

import difflib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.config import (
    SCHEMA_FILE,
    Campaign,
    DynamicsSettings,
    full_example,
    json_schema,
    load_campaign,
    parse_campaign,
)
from halmd.errors import HalmdError

REPOSITORY = Path(__file__).parent.parent
GOOD: dict[str, Any] = {"materials": [{"formula": "Li3YCl6"}]}


def _in_step(path: Path, expected: str, command: str) -> None:
    found = path.read_text()
    difference = "\n".join(
        difflib.unified_diff(found.splitlines(), expected.splitlines(), lineterm="")
    )
    assert found == expected, f"{path.name} is out of step; run `{command} > {path}`\n{difference}"


def test_schema_is_in_step_with_the_models() -> None:
    _in_step(SCHEMA_FILE, json_schema(), "halmd schema")


def test_full_example_is_in_step_with_the_models() -> None:
    _in_step(REPOSITORY / "config" / "full.yaml", full_example(), "halmd example")


@pytest.mark.parametrize("file", ["config.yaml", "config/full.yaml", "tests/workflow/tiny.yaml"])
def test_shipped_campaigns_are_valid(file: str) -> None:
    load_campaign(REPOSITORY / file)


def test_full_example_says_the_defaults() -> None:
    campaign = load_campaign(REPOSITORY / "config" / "full.yaml")
    assert campaign.model_copy(update={"materials": []}) == Campaign(**{**GOOD}).model_copy(
        update={"materials": []}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"materials": [{"formla": "x"}]}, r"materials\[0\]\.formla`; did you mean `formula`"),
        (
            {"dynamics": {"temperature": [300]}},
            "dynamics.temperature`; did you mean `temperatures_K`",
        ),
        ({"dynamics": {"timestep_ps": 2}}, "dynamics.timestep_ps`; did you mean `timestep_fs`"),
        ({"timestep_fs": 2}, "did you mean `dynamics.timestep_fs`"),
        ({"dynamics": {"temperatures_K": [0]}}, r"dynamics\.temperatures_K\[0\]`.*greater than 0"),
        ({"dynamics": {"temperatures_K": [-5]}}, r"temperatures_K\[0\]`.*greater than 0.*found -5"),
        ({"dynamics": {"temperatures_K": ["500 C"]}}, r"plain number in K \(found '500 C'\)"),
        ({"dynamics": {"production_ps": "2 ns"}}, r"plain number in ps \(found '2 ns'\)"),
        ({"dynamics": {"production_ps": float("nan")}}, "dynamics.production_ps"),
        ({"dynamics": {"timestep_fs": 3}}, "not a whole number of timesteps of 3 fs"),
        ({"dynamics": {"checkpoint_interval_ps": 0.33}}, "not a whole number of frames"),
        ({"dynamics": {"temperatures_K": [500, 500]}}, "stands twice"),
        ({"dynamics": {"temperatures_K": [500.0001, 500.0002]}}, "stands twice"),
        ({"dynamics": {"temperatures_K": []}}, "at least 1 item"),
        ({"results": "my results"}, "`results`: a folder may hold letters.*found 'my results'"),
        ({"work": ""}, "`work`: a folder may hold letters"),
        ({"materials": [{"formula": "Li3YCl6", "name": "plots"}]}, "folder of the campaign's own"),
        ({"plots": {"materials": ["Li3YCl"]}}, r"`plots\.materials`: no material.*mean 'Li3YCl6'"),
        ({"plots": {"materials": ["Li3YCl6"] * 2}}, "'Li3YCl6' stands twice"),
        ({"plots": {"labels": {"x": "y"}}}, "`plots.labels`: no material is called 'x'; known: Li"),
        ({"plots": {"labels": {"Li3YCl6": "a\nb"}}}, "one line of words"),
        ({"plots": {"colours": {"x": "red"}}}, "`plots.colours`: no material is called 'x'"),
        ({"plots": {"colours": {"Li3YCl6": "reddish"}}}, "no colour; write a name.*'reddish'"),
        ({"plots": {"colours": {"Li3YCl6": "none"}}}, "no colour"),
        ({"plots": {"colours": {"Li3YCl6": None}}}, r"plots\.colours\.Li3YCl6"),
        ({"plots": {"temperature_unit": "F"}}, r"plots\.temperature_unit"),
        ({"plots": {"colors": {}}}, "did you mean `colours`"),
        ({"dynamics": {"engine": "gromacs"}}, "dynamics.engine"),
        ({"materials": [{"formula": "Li3YCl6"}] * 2}, "would share the folder 'li3ycl6'"),
        ({"diffusion": {"fit_from_ps": 20, "fit_to_ps": 10}}, "not before"),
        ({"seed": -1}, "`seed`.*greater than or equal to 0"),
        ({"materials": None}, "`materials`"),
    ],
)
def test_mistake_is_one_line_with_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(HalmdError, match=message) as caught:
        parse_campaign(GOOD | change, source="config.yaml")
    assert str(caught.value).startswith("config.yaml: ")
    assert "\n" not in str(caught.value)


def test_missing_materials_is_named() -> None:
    with pytest.raises(HalmdError, match="`materials` is missing"):
        parse_campaign({})


@pytest.mark.parametrize("text", ["[1, 2]", "materials: [", "just words", "\x00"])
def test_file_that_is_no_campaign_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(HalmdError, match=r"broken\.yaml") as caught:
        load_campaign(path)
    assert "\n" not in str(caught.value)


def test_folder_in_the_place_of_a_campaign_is_named(tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match="Is a directory"):
        load_campaign(tmp_path)


def test_seed_zero_is_a_seed() -> None:
    assert parse_campaign(GOOD | {"seed": 0}).seed == 0


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
known_keys = st.sampled_from([*Campaign.model_fields, *DynamicsSettings.model_fields, "temprature"])


@given(st.dictionaries(known_keys, json_values, max_size=4))
def test_any_nonsense_is_refused_in_one_line_or_accepted(record: dict[str, Any]) -> None:
    problem = ""
    try:
        parse_campaign(record)
    except HalmdError as error:
        problem = str(error)
    assert "\n" not in problem
