"""Materials put into the text of a campaign: everything else stays, in every style of YAML."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from halmd.campaign_text import with_materials
from halmd.errors import HalmdError

STYLES = {
    "indented": "seed: 1\nmaterials:\n  - formula: Li3YCl6   # known\n    name: a\nplots: {}\n",
    "flush": "materials:\n- formula: Li3YCl6\n\n# dynamics follow\ndynamics:\n  production_ps: 8\n",
    "last": "# head\nmaterials:\n  - formula: Li3YCl6\n  # about nothing\n",
    "no newline": "seed: 3\nmaterials:\n  - formula: Li3YCl6",
    "deep": "materials:\n    -   formula: Li3YCl6\n        prototype: x.cif\nseed: 2\n",
    "flow": "materials: [{formula: Li3YCl6}]  # all of them\nseed: 2\n",
    "flow lines": "materials: [\n  {formula: Li3YCl6},\n  {formula: Li3InCl6},  # 2\n]\nseed: 2\n",
    "empty list": "materials: []\nseed: 2\n",
    "nothing": "materials:\nseed: 2\n",
    "without": "seed: 2\nplots: {dpi: 100}\n",
    "without, no newline": "seed: 2",
    "comments only": "# a campaign\n",
    "empty": "",
    "json": '{"seed": 2, "materials": [{"formula": "Li3YCl6"}]}\n',
    "windows": "seed: 1\r\nmaterials:\r\n  - formula: Li3YCl6\r\nplots:\r\n  dpi: 90\r\n",
    "anchor": "base: &b {formula: Li3YCl6}\nmaterials:\n  - *b\nseed: 1\n",
    "document marks": "---\nmaterials:\n  - formula: Li3YCl6\n",
}

names = st.text(alphabet="abcLYZ019._+-", min_size=1, max_size=8)
entries = st.fixed_dictionaries(
    {
        "formula": st.sampled_from(
            ["Li3InCl6", "Li2.5Y0.5Zr0.5Cl6", "Li3(YCl6)", "Li2In1/3Sc1/3Cl4"]
        )
    },
    optional={
        "prototype": st.sampled_from(["my crystal.cif", "a: b.cif", "#1.cif", "é.cif"]),
        "name": names,
    },
)


@given(st.sampled_from(sorted(STYLES)), st.lists(entries, min_size=1, max_size=3))
def test_materials_are_appended_and_all_else_stays(style: str, new: list[dict[str, str]]) -> None:
    text = STYLES[style]
    edited = with_materials(text, new, source="config.yaml")
    before, after = yaml.safe_load(text) or {}, yaml.safe_load(edited)
    assert after["materials"] == [*(before.get("materials") or []), *new]
    assert {k: v for k, v in after.items() if k != "materials"} == {
        k: v for k, v in before.items() if k != "materials"
    }
    # What was written is there still, character by character, in its order.
    rest = iter(edited)
    assert all(character in rest for character in text)
    assert ("\r\n" in edited) == ("\r\n" in text)


def test_block_style_and_comments_are_kept() -> None:
    edited = with_materials(STYLES["indented"], [{"formula": "Li3InCl6"}], source="c")
    assert edited == STYLES["indented"].replace(
        "    name: a\n", "    name: a\n  - formula: Li3InCl6\n"
    )


def test_what_cannot_be_extended_says_what_to_write() -> None:
    with pytest.raises(HalmdError, match=r"add by hand: \{formula: Li3InCl6\}"):
        with_materials(
            "all: &all\n  - formula: Li3YCl6\nmaterials: *all\n",
            [{"formula": "Li3InCl6"}],
            source="config.yaml",
        )
