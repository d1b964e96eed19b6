"""Densities and jumps on the report page: which runs, and the numbers of their files."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from halmd.errors import HalmdError
from halmd.files import write_json
from halmd.report.ions import MOST_EDGES, chosen, jumps_of, projections, read_ions
from halmd.transport.density import Density, write_density

SKEWED = np.array([[8.0, 0, 0], [-4.0, 6.928, 0], [1.0, 2.0, 9.0]])


def run(T: float, ordering: str = "00", **more: Any) -> dict[str, Any]:
    base = {"temperature_K": T, "ordering": ordering, "replica": "0", "verdict": "converged"}
    base |= {"n_effective_jumps": 50.0, "files": ["jumps.json", "density.vasp"], "mobile": "Li"}
    return base | more


def per_A2(plane: dict[str, Any]) -> np.ndarray:
    levels = np.frombuffer(base64.b64decode(plane["levels"]), dtype=np.uint8)
    return levels.reshape(plane["shape"]) / 255 * plane["largest_per_A2"]


@pytest.mark.parametrize("shape", [(20, 24, 30), (57, 41, 90)], ids=["as it is", "coarser"])
def test_every_projection_holds_all_ions(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    found = Density(rng.random(shape) ** 8, SKEWED)
    for plane in projections(found)["planes"]:
        (ux, _), (_, vy) = plane["u_A"], plane["v_A"]
        assert max(plane["shape"]) <= 40
        n_ions = per_A2(plane).mean() * ux * vy
        # To half a level of 255, of a density whose mean is a good part of its largest value.
        assert n_ions == pytest.approx(found.n_ions, rel=0.01)


def test_planes_have_the_shape_of_the_cell_and_ions_their_place() -> None:
    """One voxel is full: it shows where it is, in the plane across each cell vector."""
    grid = np.zeros((8, 10, 12))
    grid[2, 5, 9] = 1.0
    planes = {plane["along"]: plane for plane in projections(Density(grid, SKEWED))["planes"]}
    for name, place in (("a", (5, 9)), ("b", (2, 9)), ("c", (2, 5))):
        image = per_A2(planes[name])
        assert np.unravel_index(image.argmax(), image.shape) == place
        assert np.count_nonzero(image) == 1
    u, v = np.array(planes["a"]["u_A"]), np.array(planes["a"]["v_A"])
    assert np.linalg.norm(u) == pytest.approx(np.linalg.norm(SKEWED[1]))
    assert np.linalg.norm(v) == pytest.approx(np.linalg.norm(SKEWED[2]))
    assert u @ v == pytest.approx(SKEWED[1] @ SKEWED[2])


def test_a_coarser_pixel_keeps_the_mean_of_what_it_covers() -> None:
    """A wave of long period is the same wave on fewer pixels, about the same places."""
    n = 100
    wave = 2 + np.cos(2 * np.pi * np.arange(n) / n)
    grid = np.broadcast_to(wave[:, None, None], (n, 4, 4)).copy()
    (plane,) = (
        p for p in projections(Density(grid, np.eye(3) * 10.0))["planes"] if p["along"] == "c"
    )
    found = per_A2(plane)[:, 0]
    assert found == pytest.approx(10 * (2 + np.cos(2 * np.pi * np.arange(40) / 40)), abs=0.1)


def test_the_coldest_a_middle_and_the_hottest_that_were_analysed() -> None:
    runs = [run(T) for T in (400, 500, 600, 700, 800)] + [run(900, files=["transport.json"])]
    assert [r["temperature_K"] for r in chosen(runs)] == [400, 600, 800]
    assert chosen([run(500, files=[])]) == []
    assert [r["temperature_K"] for r in chosen([run(500), run(600)])] == [500, 600]


def test_of_one_temperature_the_run_that_converged_and_jumped_most() -> None:
    runs = [
        run(500, "00", n_effective_jumps=40.0),
        run(500, "01", n_effective_jumps=60.0),
        run(500, "02", n_effective_jumps=900.0, verdict="framework_unstable"),
    ]
    assert [r["ordering"] for r in chosen(runs)] == ["01"]


def test_records_of_an_earlier_halmd_have_no_network() -> None:
    old: dict[str, Any] = {"n_jumps": 0, "correlation_factor": None, "back_jump_share": None}
    old |= {"jump_rate_per_ps": 0.0, "jump_rate_interval95_per_ps": [0.0, 0.1], "pairs": []}
    old |= {"percolation": {"dimensions": 0, "vectors": []}, "share_of_time_at_no_site": 0.0}
    assert jumps_of(old | {"kinds": {}})["network"] is None
    edge = {"from": 0, "to": 1, "image": [0, 0, 1], "n_jumps": 3, "rate_per_ps": 0.5}
    network = {"cell_A": SKEWED.tolist(), "framework": {"symbols": [], "fractional": []}}
    network |= {"sites": [], "edges": [edge] * (MOST_EDGES + 7)}
    shown = jumps_of(old | {"kinds": {}, "network": network})["network"]
    assert shown["edges"][0] == [0, 1, 0, 0, 1, 3, 0.5]
    assert (len(shown["edges"]), shown["n_edges"]) == (MOST_EDGES, MOST_EDGES + 7)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    here = tmp_path / "00" / "500K" / "r0"
    here.mkdir(parents=True)
    (here / "density.vasp").write_text("nothing")
    with pytest.raises(HalmdError, match=r"density\.vasp: not a readable density"):
        read_ions(tmp_path, [run(500, files=["density.vasp"])])
    atoms = Atoms("Cl", scaled_positions=[[0, 0, 0]], cell=SKEWED, pbc=True)
    write_density(Density(np.ones((4, 4, 4)), SKEWED), atoms, here / "density.vasp")
    (found,) = read_ions(tmp_path, [run(500, files=["density.vasp"])])
    assert found["jumps"] is None
    assert found["density"]["n_ions"] == pytest.approx(abs(np.linalg.det(SKEWED)))
    write_json(here / "jumps.json", {"n_jumps": 0})
    with pytest.raises(HalmdError, match=r"jumps\.json"):
        read_ions(tmp_path, [run(500, files=["jumps.json"])])
