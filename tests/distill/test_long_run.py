"""How a long run ended: held, melted, met, or ceased to be numbers."""

import numpy as np
import pytest
from ase import Atoms
from toy_cells import chloride

from halmd.distill.stability import judged

N_FRAMES = 400


def cell() -> Atoms:
    atoms: Atoms = chloride(Y=1).repeat((2, 2, 1))
    return atoms


def vibrating(atoms: Atoms) -> np.ndarray:
    rng = np.random.default_rng(1)
    return atoms.positions + rng.normal(0, 0.1, (N_FRAMES, len(atoms), 3))


def test_a_crystal_that_vibrates_holds() -> None:
    atoms = cell()
    found = judged(atoms, vibrating(atoms), "Li", None)
    assert found["stable"]
    assert not found["melted"]
    assert found["length_ps"] == 200
    assert found["framework_displacement_A2"] == pytest.approx(6 * 0.1**2, rel=0.3)


def test_lithium_may_go_where_it_likes_and_the_framework_melts() -> None:
    atoms = cell()
    steps = np.random.default_rng(2).normal(0, 0.1, (N_FRAMES, len(atoms), 3)).cumsum(axis=0)
    # Ions that wander in a box without walls do meet: only what melts is asked for here.
    for mover, melts in (("Li", False), ("Cl", True)):
        wandering = np.where((np.array(atoms.symbols) == mover)[:, None], steps, 0.0)
        found = judged(atoms, vibrating(atoms) + wandering, "Li", None)
        assert found["melted"] is melts


def test_ions_that_meet_end_a_run() -> None:
    atoms = cell()
    positions = vibrating(atoms)
    lithium, chlorine = (list(atoms.symbols).index(s) for s in ("Li", "Cl"))
    positions[100:, lithium] = positions[100:, chlorine] + [0.7, 0, 0]
    found = judged(atoms, positions, "Li", None)
    assert not found["stable"]
    assert found["why"] == "Li-Cl at 0.70 Å"
    assert found["length_ps"] == 50


def test_what_is_no_number_ends_a_run() -> None:
    atoms = cell()
    positions = vibrating(atoms)
    positions[30:, 0] = np.nan
    found = judged(atoms, positions, "Li", None)
    assert found["why"] == "positions are no longer numbers"
    assert found["length_ps"] == 15
    assert not found["melted"]


def test_a_student_that_fails_is_told_apart() -> None:
    atoms = cell()
    found = judged(atoms, vibrating(atoms)[:10], "Li", "the student fails: too many neighbours")
    assert not found["stable"]
    assert found["length_ps"] == 5
