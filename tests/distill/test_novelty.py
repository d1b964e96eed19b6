"""The snapshots taken are those outside of what was learnt, and no two that say the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from halmd.distill.novelty import select

RNG = np.random.default_rng(0)
KNOWN = RNG.normal(0, 1, (400, 6)) * np.array([1, 1, 1, 1, 0.05, 0.05])
SPECIES = np.repeat([0, 1], 200)


def candidate(spread: float, along: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    atoms = RNG.normal(0, 0.3, (10, 6)) * np.array([1, 1, 1, 1, 0.05, 0.05])
    if along is not None:
        atoms[3, along] = spread
    return atoms, np.repeat([0, 1], 5)


def test_what_lies_outside_is_taken_first() -> None:
    plain = [candidate(0.0) for _ in range(8)]
    outside = [candidate(4.0, along=4), candidate(-4.0, along=5)]
    every = [*plain[:4], outside[0], *plain[4:], outside[1]]
    new, kinds = [f for f, _ in every], [s for _, s in every]
    assert set(select(KNOWN, SPECIES, new, kinds, 2)) == {4, 9}


def test_a_copy_is_not_taken_before_something_else() -> None:
    first, second = candidate(4.0, along=4), candidate(3.0, along=5)
    new = [first[0], first[0].copy(), second[0], candidate(0.0)[0]]
    kinds = [first[1], first[1], second[1], first[1]]
    taken = select(KNOWN, SPECIES, new, kinds, 2)
    assert 2 in taken
    assert len({0, 1} & set(taken)) == 1


def test_a_direction_known_of_one_species_is_new_for_another() -> None:
    known = KNOWN.copy()
    known[SPECIES == 0, 4] *= 80
    same = candidate(3.0, along=4)
    other = (same[0], same[1][::-1].copy())
    # Atom 3 is of species 0 in `same` and of species 1 in `other`.
    assert select(known, SPECIES, [same[0], other[0]], [same[1], other[1]], 1) == [1]


@given(st.integers(1, 12), st.integers(1, 15))
def test_as_many_as_asked_and_none_twice(candidates: int, count: int) -> None:
    every = [candidate(1.0, along=k % 6) for k in range(candidates)]
    taken = select(KNOWN, SPECIES, [f for f, _ in every], [s for _, s in every], count)
    assert len(taken) == min(count, candidates)
    assert len(set(taken)) == len(taken)


def test_grades_after_learning_are_those_of_the_larger_set() -> None:
    """Taking a snapshot by updates gives the choice that a fresh start from both sets gives."""
    every = [candidate(2.0 + k, along=4 + k % 2) for k in range(5)]
    new, kinds = [f for f, _ in every], [s for _, s in every]
    order = select(KNOWN, SPECIES, new, kinds, 5)
    first = order[0]
    inverse = {
        k: np.linalg.inv(
            KNOWN[k == SPECIES].T @ KNOWN[k == SPECIES]
            + 1e-4 * float((KNOWN**2).mean()) * len(KNOWN) * np.eye(6)
        )
        for k in (0, 1)
    }
    grades = [
        max(float(a @ inverse[int(s)] @ a) for a, s in zip(f, kind, strict=True))
        for f, kind in every
    ]
    assert first == int(np.argmax(grades))
