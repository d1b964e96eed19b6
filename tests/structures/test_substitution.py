"""Substitution: shared sites, vacancies, interstitials, and the size of the cell."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Species

from halmd.composition import oxidation_states, parse_formula
from halmd.errors import HalmdError
from halmd.structures.family import candidates, resolve
from halmd.structures.prototypes import Prototype, catalogue, load_prototype
from halmd.structures.radii import SHANNON_A, relative_volume
from halmd.structures.substitution import Substitution, spread, substitute


def placed(
    text: str, prototype: str | None = None, fractions: Mapping[str, float] | None = None
) -> tuple[Substitution, str]:
    formula = parse_formula(text)
    states = oxidation_states(formula)
    return resolve(text, formula, states, prototype=prototype, site_fractions=fractions)


def per_cell(prototype: Prototype) -> dict[str, float]:
    totals: dict[str, float] = {}
    for occupancy in prototype.occupancies:
        for element, amount in occupancy.items():
            totals[element] = totals.get(element, 0.0) + amount
    return totals


@pytest.mark.parametrize(
    "text",
    [
        "Li2.5Y0.5Zr0.5Cl6",
        "Li2.2In0.2Sc0.2Zr0.2Hf0.2Ta0.2Cl6",
        "Li3YBr2Cl3.7F0.3",
        "Li2.4Y0.4Zr0.6Cl5.85F0.15",
        "Li2.25Zr0.75Fe0.25Cl6",
        "Li1.25Zr0.25Ta0.75Cl6",
        "Li2.61Y1.13Cl6",
        "Li4ScCl7",
        "Li3OCl0.5Br0.5",
        "Li2.5Na0.5YCl6",
    ],
)
def test_sites_hold_exactly_the_formula(text: str) -> None:
    made, _ = placed(text)
    wanted = {e: float(n * made.units_per_cell) for e, n in parse_formula(text).items()}
    assert per_cell(made.prototype) == pytest.approx(wanted, abs=1e-6)
    for occupancy in made.prototype.occupancies:
        assert sum(occupancy.values()) <= 1 + 1e-9


def test_metals_share_every_metal_site_in_the_wanted_ratio() -> None:
    made, _ = placed("Li2.5Y0.5Zr0.5Cl6", "Li3YCl6_P-3m1_M2M3")
    parent = made.parent.by_label
    for label in ("Y1", "Y2", "Y3"):
        occupancy = made.prototype.by_label[label]
        assert occupancy["Y"] == pytest.approx(parent[label]["Y"] / 2)
        assert occupancy["Zr"] == pytest.approx(parent[label]["Y"] / 2)
    # Half an Li per formula less than in Li3YCl6, three formulas in the cell, none elsewhere.
    assert made.mobile_change_per_cell == pytest.approx(-1.5, abs=1e-3)
    assert made.metal_change_per_cell == pytest.approx(0, abs=1e-3)


def test_interstitials_go_to_named_voids_and_lower_the_confidence() -> None:
    made, _ = placed("Li1.25Zr0.25Ta0.75Cl6", "LiTaCl6_R3_DFT")
    extra = made.prototype.by_label["Li8"]
    assert extra["Li"] == pytest.approx(1.0)
    assert made.prototype.confidence == "low"
    assert "octahedral void" in made.cautions[0]
    # Far from every other ion: an octahedral void of the anions.
    new = made.prototype.fractional[np.array(made.prototype.labels) == "Li8"]
    others = made.prototype.fractional[np.array(made.prototype.labels) != "Li8"]
    away = new[:, None] - others[None]
    away -= np.rint(away)
    assert np.linalg.norm(away @ made.prototype.lattice_A, axis=-1).min() > 2.3


def test_no_room_is_refused_with_the_numbers() -> None:
    with pytest.raises(HalmdError, match=r"room for 3 mobile ions per formula unit, not 3\.3"):
        placed("Li3.3Er0.7Mg0.3Cl6", "Li3ErCl6_P321_ordered_DFT")
    # M2 and M3 of one column exclude one another: the half-filled columns have no room.
    with pytest.raises(HalmdError, match=r"room for 1 metals per formula unit, not 1\.13"):
        placed("Li2.61Y1.13Cl6", "Li3YCl6_P-3m1_M2M3")


def test_site_fractions_and_their_mistakes() -> None:
    made, _ = placed("Li3HoCl6", None, {"Y2": 1.0, "Y3": 0.0})
    assert made.prototype.by_label["Y2"] == pytest.approx({"Ho": 1.0})
    assert not made.prototype.by_label["Y3"]
    with pytest.raises(HalmdError, match="no site 'M2'; its sites are"):
        placed("Li3HoCl6", None, {"M2": 1.0})
    with pytest.raises(HalmdError, match="not between 0 and 1"):
        placed("Li3HoCl6", None, {"Y2": 1.5})


def test_an_ordered_pattern_of_the_same_elements_is_kept() -> None:
    parent = load_prototype("Li3ErCl6_P-3m1_milled_model")
    occupancies = tuple(
        {"In": o["Er"]} if label == "Er1" else o
        for label, o in zip(parent.labels, parent.occupancies, strict=True)
    )
    formula = parse_formula("Li3In1/3Er2/3Cl6")
    ordered = Prototype(
        **{**vars(parent), "occupancies": occupancies, "formula": formula, "name": "mine"}
    )
    made = substitute(formula, oxidation_states(formula), ordered)
    assert made.prototype.by_label["Er1"] == pytest.approx({"In": 1.0})
    assert made.prototype.by_label["Er2"] == pytest.approx({"Er": 0.5})
    shared = substitute(
        (other := parse_formula("Li3Y1/3Er2/3Cl6")), oxidation_states(other), ordered
    )
    assert shared.prototype.by_label["Er1"] == pytest.approx({"Y": 1 / 3, "Er": 2 / 3})


def test_mobile_ion_is_whatever_the_formula_has() -> None:
    made, _ = placed("Na3YCl6")
    assert set(made.prototype.by_label["Li1"]) == {"Na"}
    assert 1.04 < made.cell_scale < 1.07
    assert any("Na put in the place of Li" in words for words in made.cautions)
    with pytest.raises(HalmdError, match=r"K\+ .* too large"):
        placed("K3YCl6")


def test_aliovalent_anions_share_sites_when_a_prototype_is_named() -> None:
    with pytest.raises(HalmdError, match="melting and quenching"):
        placed("Li2.2ZrCl5.8O0.2")
    made, _ = placed("Li2.2ZrCl5.8O0.2", "Li2ZrCl6_alpha_P-3m1")
    assert made.prototype.by_label["Cl1"] == pytest.approx({"Cl": 5.8 / 6, "O": 0.2 / 6})
    assert made.prototype.confidence == "low"


@pytest.mark.parametrize(
    ("text", "prototype"),
    [
        ("Li3HoCl6", "Li3YCl6_P-3m1_M2M3"),
        ("Li3LuCl6", "Li3YbCl6_Pnma"),
        ("Li3TiCl6", "Li3ScCl6_C2m"),
        ("Li3VCl6", "Li3ScCl6_C2m"),
        ("Li3InBr6", "Li3YBr6_C2m"),
        ("Li3DyI6", "Li3YI6_C2c_model"),
        ("Li3Al0.7Y0.3Cl6", "Li3ScCl6_C2m"),
        ("Li2.7In0.7Hf0.3Cl6", "Li3In067Sc033Cl6_C2m"),
        ("Li2.7Yb0.7Zr0.3Cl6", "Li3YbCl6_Pnma"),
        ("Li2ZrCl5.75F0.25", "Li2ZrCl6_alpha_P-3m1"),
        ("Li2ZrF5Cl", "Li2ZrF6_P-31m_DFT"),
        ("Li2NiCl4", "Li2MgCl4_Fd-3m"),
        ("Li3In0.5Sc0.5Cl6", "Li3In067Sc033Cl6_C2m"),
        ("Li2In1/3Sc1/3Cl4", "Li2In0p333Sc0p333Cl4_Fd-3m"),
        ("Li3ScCl6", "Li3ScCl6_C2m"),
        ("Li2Sc2/3Cl4", "Li2Sc0p667Cl4_Fd-3m"),
    ],
)
def test_the_parent_is_of_the_family(text: str, prototype: str) -> None:
    made, why = placed(text)
    assert made.parent.name == prototype
    assert why.startswith("chosen because ")


@pytest.mark.parametrize("tenths", range(6))
def test_indium_and_zirconium_keep_the_monoclinic_type(tenths: int) -> None:
    text = f"Li{3 - tenths / 10:g}In{1 - tenths / 10:g}" + f"Zr{tenths / 10:g}" * bool(tenths)
    assert placed(text + "Cl6")[0].parent.details["space_group"] == "C 2/m"
    assert placed("Li2.5Y0.5Zr0.5Cl6")[0].parent.details["space_group"] == "P n m a"


def test_glass_asked_for_by_name() -> None:
    with pytest.raises(HalmdError, match="only crystals are built"):
        placed("LiTaCl6", "glass")


def test_candidates_are_ranked_and_of_the_family() -> None:
    formula = parse_formula("Li3HoCl6")
    found = candidates(formula, oxidation_states(formula))
    assert [c.distance for c in found] == sorted(c.distance for c in found)
    assert all("MgCl4" not in c.name for c in found)


# Volume per anion of one measured cell from another of the same packing, by the rule alone.
@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ("Li2MgCl4_Fd-3m", "Li2CdCl4_Fd-3m"),
        ("Li2MgCl4_Fd-3m", "Li2MnCl4_Fd-3m"),
        ("Li3YCl6_P-3m1_M2M3", "Li3ErCl6_P-3m1"),
        ("Li3YCl6_P-3m1_M2M3", "Li3ScCl6_C2m"),
        ("Li3YCl6_P-3m1_M2M3", "Li3YbCl6_Pnma"),
        ("Li3YCl6_P-3m1_M2M3", "Li2p5Y0p5Zr0p5Cl6_Pnma"),
        ("Li3ScCl6_C2m", "Li3InCl6_C2m"),
        ("Li3YCl6_P-3m1_M2M3", "Li3YBr6_C2m"),
        ("Li3YBr6_C2m", "Li3ErI6_C2c"),
        ("LiTaCl6_R3_DFT", "Li2ZrCl6_alpha_P-3m1"),
    ],
)
def test_rule_of_volumes_reproduces_measured_cells(known: str, wanted: str) -> None:
    volumes = []
    rules = []
    for name in (known, wanted):
        prototype = load_prototype(name)
        states = oxidation_states(prototype.formula)
        anions = sum(n for o in prototype.occupancies for e, n in o.items() if states[e] < 0)
        volumes.append(abs(np.linalg.det(prototype.lattice_A)) / anions)
        rules.append(relative_volume(prototype.formula, states))
    assert rules[1] / rules[0] == pytest.approx(volumes[1] / volumes[0], rel=0.025)


def test_radii_are_those_of_shannon() -> None:
    for element, states in SHANNON_A.items():
        for state, radius in states.items():
            if (element, state) in (("Sn", 2), ("N", -3)):
                continue
            found = None
            for spin in ("", "High Spin"):
                try:
                    found = Species(element, state).get_shannon_radius("VI", spin, "ionic")
                    break
                except KeyError:
                    continue
            assert radius == found, (element, state)


def test_extra_sites_of_every_prototype_lie_apart_from_its_ions() -> None:
    for name in catalogue():
        prototype = load_prototype(name)
        for extra in prototype.extra_sites:
            assert len(extra.fractional) or extra.label in prototype.labels
            away = extra.fractional[:, None] - prototype.fractional[None]
            away -= np.rint(away)
            if len(extra.fractional):
                assert np.linalg.norm(away @ prototype.lattice_A, axis=-1).min() > 1.9, name


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(
            st.floats(0, 1, allow_subnormal=False),
            st.integers(1, 8),
            st.floats(0, 1, allow_subnormal=False),
        ),
        min_size=1,
    ),
    st.floats(0, 40, allow_subnormal=False),
)
def test_spreading_loses_no_atom_and_overfills_no_site(
    sites: dict[str, tuple[float, int, float]], total: float
) -> None:
    weights = {k: w for k, (w, _, _) in sites.items()}
    sizes = {k: n for k, (_, n, _) in sites.items()}
    caps = {k: c for k, (_, _, c) in sites.items()}
    filled, rest = spread(weights, sizes, caps, total)
    assert all(-1e-12 <= filled[k] <= caps[k] + 1e-9 for k in sites)
    assert sum(sizes[k] * filled[k] for k in sites) + rest == pytest.approx(total, abs=1e-6)
