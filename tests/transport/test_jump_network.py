"""The network of jumps against walks whose jumps are known."""

import itertools

import numpy as np
import pytest
from ase import Atoms

from halmd.transport.jumps import jump_record, visits
from halmd.transport.network import network_record
from halmd.transport.sites import Sites

A = 3.0
INTERVAL_PS = 0.05
FRAMES = 400


def ring(steps: list[tuple[int, int]]) -> tuple[np.ndarray, Sites]:
    """One ion among three sites a cell along x, in a cell of 3 A; it moves by (frame, step)."""
    places = np.array([[(2 * k + 1) / 6, 0.5, 0.5] for k in range(3)])
    cell_A = np.diag([3 * A, 3 * A, 3 * A])
    at = np.zeros(FRAMES)
    for frame, step in steps:
        at[frame:] += step
    ion = np.tile(places[0] @ cell_A, (FRAMES, 1))
    ion[:, 0] += at * A
    return ion[None], Sites(places, ("even", "odd", "even"), cell_A)


def test_jumps_both_ways_are_one_edge_and_copies_are_kept_apart() -> None:
    """0 to 1, back, and 0 to 2 through the face."""
    ions, sites = ring([(100, 1), (200, -1), (300, -1)])
    seen = visits([ions], sites, INTERVAL_PS)
    framework = Atoms("Cl", scaled_positions=[[0.0, 0.0, 0.25]], cell=sites.cell_A, pbc=True)
    found = network_record(seen, sites, framework, INTERVAL_PS)
    edges = [(e["from"], e["to"], e["image"], e["n_jumps"]) for e in found["edges"]]
    assert edges == [(0, 1, [0, 0, 0], 2), (0, 2, [-1, 0, 0], 1)]
    assert found["edges"][0]["rate_per_ps"] == pytest.approx(2 / (FRAMES * INTERVAL_PS))
    occupancy = [site["mean_occupancy"] for site in found["sites"]]
    assert occupancy == pytest.approx([0.5, 0.25, 0.25])
    assert [site["kind"] for site in found["sites"]] == ["even", "odd", "even"]
    assert found["framework"]["symbols"] == ["Cl"]
    assert found["framework"]["fractional"] == [pytest.approx([0.0, 0.0, 0.25])]


def test_rates_of_edges_add_up_to_the_rate_of_jumps() -> None:
    rng = np.random.default_rng(0)
    frames = rng.choice(np.arange(10, FRAMES - 10, 8), 30, replace=False)
    ions, sites = ring([(int(f), int(rng.choice([-1, 1]))) for f in sorted(frames)])
    seen = visits([ions], sites, INTERVAL_PS)
    record = jump_record(seen, sites, INTERVAL_PS, (1.0, 0.9, 1.1))
    found = network_record(seen, sites, Atoms(cell=sites.cell_A, pbc=True), INTERVAL_PS)
    total = sum(edge["rate_per_ps"] for edge in found["edges"])
    assert total == pytest.approx(record["jump_rate_per_ps"])
    assert sum(edge["n_jumps"] for edge in found["edges"]) == record["n_jumps"]
    # The same jumps by kinds of sites, with intervals that hold their rates.
    assert sum(p["rate_per_ps"] for p in record["pairs"]) == pytest.approx(total)
    for pair, k in itertools.product(record["pairs"], (0, 1)):
        sign = (-1, 1)[k]
        assert sign * (pair["rate_interval95_per_ps"][k] - pair["rate_per_ps"]) > 0


def test_an_ion_at_rest_has_no_edges() -> None:
    ions, sites = ring([])
    seen = visits([ions], sites, INTERVAL_PS)
    found = network_record(seen, sites, Atoms(cell=sites.cell_A, pbc=True), INTERVAL_PS)
    assert found["edges"] == []
    assert found["framework"] == {"symbols": [], "fractional": []}
