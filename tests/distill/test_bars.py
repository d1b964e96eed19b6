"""Bars: which are missed, and what another round is to explore."""

from typing import Any

import numpy as np
import pytest
from toy_cells import RECORD, chloride

from halmd.distill.explore import explored_runs
from halmd.distill.judge import bars, families_to_explore
from halmd.distill.settings import DistillSettings, MDSettings
from halmd.distill.starts import Start

FAMILIES = ("chlorides", "bromides")


def settings() -> DistillSettings:
    families = [{"name": name, "compositions": ["Li3YCl6"]} for name in FAMILIES]
    return DistillSettings.model_validate(RECORD | {"families": families})


def found(**replaced: Any) -> dict[str, Any]:
    """What a student that reaches every bar is found to be; the second family as given."""
    why = replaced.get("why")

    def family(**values: float) -> dict[str, Any]:
        good = {"force_relative": 0.04, "energy_rmse_meV_per_atom": 0.5}
        return good | {"by_species": {"Li": {"force_rmse_meV_per_A": 20.0}}} | values

    return {
        "errors": {
            "by_family": {
                "chlorides": family(),
                "bromides": family(force_relative=replaced.get("force", 0.04)),
            },
            "all": {"by_species": {"Li": {"force_slope": replaced.get("slope", 1.0)}}},
        },
        "cells": {
            "bromides": {
                "relaxed_student_over_teacher": replaced.get("volume", 1.0),
                "npt_temperature_K": 500.0,
                "npt": {"student_over_teacher": 1.0},
            }
        },
        "pairs": {"Li-Cl": {"repulsive": not replaced.get("hole", False)}},
        "collapse": {
            "chlorides": {
                "why": why,
                "length_ps": 100,
                "stable": why is None,
            }
        },
        "stability": {
            "bromides": {
                "why": None,
                "melted": True,
                "stable": True,
                "length_ps": 1000.0,
                "force_relative": replaced.get("on_the_way", 0.04),
            }
        },
        "diffusivity": {},
    }


def test_a_good_student_misses_nothing() -> None:
    verdicts = bars(found(), settings())
    assert len(verdicts) == 12
    assert all(verdict.holds for verdict in verdicts)
    assert families_to_explore(verdicts) == []


@pytest.mark.parametrize(
    ("missing", "explored", "words"),
    [
        ({"force": 0.06}, ["bromides"], "bromides: forces 6.0% of their RMS"),
        ({"volume": 1.006}, ["bromides"], "bromides: volume at 0 K 1.0060 of the teacher's"),
        ({"why": "fell"}, ["chlorides"], "chlorides: compressed by 15 % at 1200 K: fell"),
        (
            {"on_the_way": 0.07},
            ["bromides"],
            "bromides: 1000 ps at 800 K: melts, forces on the way 7.0% of their RMS",
        ),
        ({"slope": 0.97}, [], "Li: slope of forces 0.970"),
        ({"hole": True, "force": 0.06}, [], "pairs with a hole: Li-Cl"),
    ],
)
def test_what_is_missed_is_explored(missing: Any, explored: list[str], words: str) -> None:
    verdicts = bars(found(**missing), settings())
    assert words in [verdict.text for verdict in verdicts if not verdict.holds]
    assert families_to_explore(verdicts) == explored


def test_a_family_that_is_only_included_makes_all_be_explored() -> None:
    record = found()
    record["errors"]["by_family"]["iodides"] = record["errors"]["by_family"]["bromides"] | {
        "force_relative": 0.2
    }
    assert families_to_explore(bars(record, settings())) == []


@pytest.mark.parametrize("wanted", [(), FAMILIES, ("bromides",)])
def test_only_families_of_the_plan_are_explored(wanted: tuple[str, ...]) -> None:
    starts = [Start(name, name, "x", chloride(Y=1), False) for name in FAMILIES]
    plan = MDSettings(temperatures_K=[300, 600], runs=20, families=wanted)
    runs = explored_runs(starts, plan, seed=1)
    counts = np.unique([start.family for start, _ in runs], return_counts=True)
    explored = sorted(wanted or FAMILIES)
    assert dict(zip(*counts, strict=True)) == dict.fromkeys(explored, 20 // len(explored))


def test_an_unknown_family_is_refused() -> None:
    plan = {"temperatures_K": [300], "runs": 2, "families": ["oxides"]}
    with pytest.raises(ValueError, match="oxides: no such family"):
        DistillSettings.model_validate(RECORD | {"test": plan})
