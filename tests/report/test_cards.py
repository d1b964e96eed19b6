"""What the page says of potentials, against their shipped cards."""

from dataclasses import replace
from typing import Any

import pytest

from halmd.files import read_json
from halmd.potentials.registry import SHIPPED
from halmd.report.cards import coverage, described, potentials_of
from halmd.report.results import MaterialResults

CARDS = {
    name: read_json(SHIPPED / name / "card.json") for name in ("halmd-halide-1", "halmd-liycl-1")
}


def made_with(results: MaterialResults, name: str, **more: Any) -> MaterialResults:
    """The same runs, made with a shipped potential."""
    card = CARDS[name]
    potential = {"name": name, "kind": "shipped", "sha256": card["sha256"][card["files"]["native"]]}
    runs = [run | {"run": run["run"] | {"potential": potential | more}} for run in results.runs]
    return replace(results, runs=runs)


@pytest.mark.parametrize("name", list(CARDS))
def test_numbers_are_those_of_the_card(results: MaterialResults, name: str) -> None:
    (found,) = potentials_of([made_with(results, name)]).values()
    card, shown = CARDS[name], found["card"]
    assert shown["elements"] == sorted(card["elements"])
    assert shown["families"] == card["families"]
    errors = card.get("held_out_errors") or card["validation"]["errors"]
    row = next(row for row in shown["errors"] if row["of"] == "all")
    assert row["force_meV_per_A"] == errors["all"]["force_rmse_meV_per_A"]
    assert row["energy_meV_per_atom"] == errors["all"]["energy_rmse_meV_per_atom"]
    trained = sum(v["snapshots"] for k, v in card["data"].items() if not k.endswith("test"))
    assert shown["snapshots"] == trained
    families = card.get("validation", {}).get("errors", {}).get("by_family", {})
    assert {row["of"] for row in shown["errors"] if row["kind"] == "family"} - {"all"} == set(
        families
    )


def test_a_card_of_another_file_or_none_is_left_out(results: MaterialResults) -> None:
    other = made_with(results, "halmd-liycl-1", sha256="f" * 64)
    assert [found["card"] for found in potentials_of([other]).values()] == [None]
    # The potential of the synthetic runs is not known here.
    (unknown,) = potentials_of([results]).values()
    assert (unknown["name"], unknown["card"]) == ("test", None)
    torch = made_with(
        results, "halmd-liycl-1", sha256=CARDS["halmd-liycl-1"]["sha256"]["halmd-liycl-1.model"]
    )
    assert all(found["card"] for found in potentials_of([torch]).values())


def test_what_of_a_material_was_learnt(results: MaterialResults) -> None:
    """The synthetic material is of Li and Cl, in a crystal that nobody was fitted on."""
    made = made_with(results, "halmd-halide-1")
    (found,) = potentials_of([made]).values()
    said = coverage(made, found["card"])
    assert said is not None
    assert (said["covered"], said["missing"], said["crystal"]) == (["Cl", "Li"], [], False)
    assert said["learnt"] == ["trivalent chlorides, trigonal and orthorhombic"]
    own = CARDS["halmd-halide-1"]["validation"]["errors"]["by_composition"]
    formula, errors = next(iter(own.items()))
    tested = coverage(replace(made, formula=formula), found["card"])
    assert tested is not None
    assert tested["held_out"]["force_meV_per_A"] == errors["force_rmse_meV_per_A"]
    crystal = made.structure | {"prototype": "Li3ErCl6_P-3m1"}
    doubled = coverage(replace(made, structure=crystal, formula="Li6Y2Cl12"), found["card"])
    assert doubled is not None
    assert doubled["crystal"]
    assert doubled["learnt"] == said["learnt"]
    never = coverage(replace(made, formula="Li3YbCl6"), found["card"])
    assert never is not None
    assert never["learnt"] == []
    assert coverage(made, None) is None


def test_elements_that_were_not_learnt_are_named(results: MaterialResults) -> None:
    runs = [run | {"msd": run["msd"] | {"others_A2": {"Ga": [], "Cl": []}}} for run in results.runs]
    made = made_with(replace(results, runs=runs), "halmd-liycl-1")
    (found,) = potentials_of([made]).values()
    said = coverage(made, found["card"])
    assert said is not None
    assert (said["missing"], said["crystal"]) == (["Ga"], None)


def test_a_card_that_says_no_more_than_it_must(results: MaterialResults) -> None:
    card = {"elements": ["Li", "Cl"], "files": {}, "sha256": {}}
    shown = described({"name": "own"}, card)["card"]
    assert (shown["elements"], shown["errors"], shown["snapshots"]) == (["Cl", "Li"], [], None)
    said = coverage(results, shown)
    assert said is not None
    assert (said["missing"], said["crystal"], said["learnt"]) == ([], None, [])
