"""What jobs ask a queue for: enough, growing, bounded, and enough of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.campaign import check_campaign
from halmd.config import parse_campaign
from halmd.resources import JobSizes

BASE: dict[str, Any] = {
    "potential": "halmd-liycl-1",
    "materials": [{"formula": "Li3YCl6"}],
    "structure": {"min_length_A": 6},
}
PLANS = check_campaign(parse_campaign(BASE))


def sizes(*, cluster: dict[str, Any] | None = None, **dynamics: Any) -> JobSizes:
    return JobSizes(parse_campaign(BASE | {"dynamics": dynamics, "cluster": cluster or {}}), PLANS)


@given(
    length_ps=st.floats(1, 1e6),
    most=st.integers(5, 20_000),
    rate=st.floats(1e-4, 10),
    attempt=st.integers(1, 50),
)
def test_no_job_is_longer_than_the_queue_allows_and_all_attempts_reach_the_end(
    length_ps: float, most: int, rate: float, attempt: int
) -> None:
    found = sizes(cluster={"most_minutes": most, "ms_per_atom_step": rate}, production_ps=length_ps)
    minutes = found.dynamics_minutes("Li3YCl6", attempt)
    assert 5 <= minutes <= most
    assert minutes <= found.dynamics_minutes("Li3YCl6", attempt + 1)
    needed = length_ps * 500 * PLANS["Li3YCl6"].atoms * rate / 60_000
    together = sum(found.dynamics_minutes("Li3YCl6", n) for n in range(1, found.retries() + 2))
    assert together >= min(needed, 100 * most)


def test_by_hand() -> None:
    """30 atoms, 100 ps of 2 fs, 0.2 ms: 5 min; half as much again, and five to start."""
    assert PLANS["Li3YCl6"].atoms == 30
    assert sizes(production_ps=100).dynamics_minutes("Li3YCl6", 1) == 13
    assert sizes(production_ps=100).dynamics_minutes("Li3YCl6", 2) == 25
    adaptive = sizes(production_ps=10, target_relative_error=0.2, max_ps=100)
    assert adaptive.dynamics_minutes("Li3YCl6", 1) == 13
    assert sizes(production_ps=10).equilibrate_minutes("Li3YCl6", 1) >= 10
    # Two orderings of 20 ps NPT, whatever the runs' own equilibration.
    assert sizes(equilibration_ps=1).lattice_minutes("Li3YCl6", 1) == 10
    slow = {"cluster": {"ms_per_atom_step": 2}}
    one_ps = 2 * 1.3 * 500 * 30 * 2 / 60_000
    assert sizes(**slow).lattice_minutes("Li3YCl6", 1) > 5 + 1.5 * 20 * one_ps
    assert sizes(**slow).lattice_minutes("Li3YCl6", 1) < 5 + 1.5 * 25 * one_ps
    many = sizes(production_ps=100, replicas=10)
    assert many.batch_minutes("Li3YCl6", 1) > 10 * 4 * 5


def test_memory_grows_with_the_run() -> None:
    short, long = sizes(production_ps=100), sizes(production_ps=100_000)
    # Two million frames of 30 atoms, six copies of doubles, beside what Python takes.
    assert long.memory_MB("Li3YCl6") - short.memory_MB("Li3YCl6") == pytest.approx(
        6 * 2e6 * 90 * 8 / 1e6, rel=0.01
    )
