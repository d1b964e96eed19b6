"""Sites and jumps against walks whose jumps are known."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

from halmd.errors import HalmdError
from halmd.transport.density import density
from halmd.transport.jumps import NOWHERE, Jumps, jump_record, percolation, visits
from halmd.transport.sites import Sites, nearest_site, sites_of_density, sites_of_structure

A = 3.0
INTERVAL_PS = 0.05
CUBIC = np.eye(3)
HEXAGONAL = np.array([[1, 0, 0], [-0.5, np.sqrt(3) / 2, 0], [0, 0, 1.2]])


def lattice_sites(unit: np.ndarray, n: int = 3) -> Sites:
    """One site in each cell of an n x n x n supercell of edge A."""
    places = np.array(list(itertools.product(range(n), repeat=3)), dtype=float) / n + 0.2 / n
    return Sites(places, ("site",) * len(places), unit * A * n)


def walk(
    unit: np.ndarray,
    directions: np.ndarray,
    *,
    rate_per_ps: float,
    frames: int,
    ions: int,
    back: float = 0.0,
    rattle_A: float = 0.2,
    seed: int = 0,
) -> tuple[np.ndarray, int]:
    """Ions (n_ions, n_frames, 3) that jump by unit vectors of the lattice; number of jumps."""
    rng = np.random.default_rng(seed)
    jumps = rng.random((frames, ions)) < rate_per_ps * INTERVAL_PS
    jumps[0] = False
    steps = np.zeros((frames, ions, 3))
    last = directions[rng.integers(0, len(directions), ions)]
    for frame in range(frames):
        fresh = directions[rng.integers(0, len(directions), ions)]
        now = np.where((rng.random(ions) < back)[:, None], -last, fresh)
        last = np.where(jumps[frame][:, None], now, last)
        steps[frame] = np.where(jumps[frame][:, None], now, 0)
    start = rng.integers(0, 3, (ions, 3)) + 0.2
    positions = (start + np.cumsum(steps, axis=0)) @ (unit * A)
    positions += rng.normal(0, rattle_A, positions.shape)
    return positions.transpose(1, 0, 2), int(jumps.sum())


AXES = np.concatenate([np.eye(3), -np.eye(3)])


@pytest.mark.parametrize("unit", [CUBIC, HEXAGONAL], ids=["cubic", "hexagonal"])
def test_every_jump_is_found(unit: np.ndarray) -> None:
    sites = lattice_sites(unit)
    ions, made = walk(unit, AXES, rate_per_ps=0.2, frames=4000, ions=12)
    found = visits([ions[:5], ions[5:]], sites, INTERVAL_PS)
    record = jump_record(found, sites, INTERVAL_PS, (0.3, 0.2, 0.4))
    # Two jumps within the shortest visit that cancel are not counted.
    assert made * 0.97 <= record["n_jumps"] <= made
    low, high = record["jump_rate_interval95_per_ps"]
    assert low < 0.2 < high
    mean_square = A**2 * np.mean((unit**2).sum(axis=1))
    assert record["mean_square_jump_A2"] == pytest.approx(mean_square, rel=0.03)
    assert record["kinds"]["site"]["residence_ps"] == pytest.approx(5.0, rel=0.1)
    assert record["kinds"]["site"]["mean_occupancy"] == pytest.approx(12 / 27, rel=0.01)
    assert record["percolation"]["dimensions"] == 3


def test_uncorrelated_walks_have_a_factor_of_one_and_returning_ones_the_known_one() -> None:
    sites = lattice_sites(CUBIC)
    for back, f in ((0.0, 1.0), (0.5, 1 / 3)):
        ions, _ = walk(CUBIC, AXES, rate_per_ps=0.1, frames=8000, ions=40, back=back)
        D = 0.1 * A**2 / 6 * f
        found = visits([ions], sites, INTERVAL_PS)
        record = jump_record(found, sites, INTERVAL_PS, (D, D, D))
        assert record["correlation_factor"] == pytest.approx(f, rel=0.06)
        # Random jumps go back once in six times as well.
        assert record["back_jump_share"] == pytest.approx(back + (1 - back) / 6, abs=0.03)
        assert record["successive_jumps_cosine"] == pytest.approx(-back, abs=0.03)
        assert record["correlation_factor_one_step"] == pytest.approx(f, abs=0.06)


def test_rattling_is_no_jump() -> None:
    sites = lattice_sites(CUBIC)
    ions, made = walk(CUBIC, AXES, rate_per_ps=0.0, frames=5000, ions=10, rattle_A=0.45)
    assert made == 0
    found = visits([ions], sites, INTERVAL_PS)
    record = jump_record(found, sites, INTERVAL_PS, (0.0, 0.0, 0.0))
    assert record["n_jumps"] == 0
    assert record["correlation_factor"] is None
    assert record["percolation"]["dimensions"] == 0
    assert record["jump_rate_interval95_per_ps"][0] == 0
    assert record["jump_rate_interval95_per_ps"][1] > 0


def test_an_excursion_that_turns_back_is_no_jump() -> None:
    sites = lattice_sites(CUBIC)
    place = sites.fractional[0] @ sites.cell_A
    ion = np.tile(place, (1, 200, 1))
    ion[0, 50:60, 0] += 0.55 * A  # beyond the middle, not in the other core
    ion[0, 100:103, 0] += A  # in the other core for 0.15 ps, and back
    ion[0, 150:, 1] += A  # a jump
    found = visits([ion], sites, INTERVAL_PS)
    assert found.jumps.frame.tolist() == [150]
    assert set(found.site[0, :150]) == {0}
    record = jump_record(found, sites, INTERVAL_PS, (0.0, 0.0, 0.0))
    assert record["back_jump_share"] is None


def test_an_ion_is_nowhere_before_its_first_core() -> None:
    sites = lattice_sites(CUBIC)
    ion = np.tile(sites.fractional[0] @ sites.cell_A, (1, 100, 1))
    ion[0, :10, 0] += A / 2
    found = visits([ion], sites, INTERVAL_PS)
    assert (found.site[0, :10] == NOWHERE).all()
    assert (found.site[0, 10:] == 0).all()
    assert len(found.jumps.frame) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_jumps_along_one_axis_percolate_along_it(axis: int) -> None:
    sites = lattice_sites(HEXAGONAL)
    along = np.eye(3)[[axis]]
    ions, _ = walk(HEXAGONAL, np.concatenate([along, -along]), rate_per_ps=0.3, frames=3000, ions=8)
    record = jump_record(visits([ions], sites, INTERVAL_PS), sites, INTERVAL_PS, (0.1, 0.1, 0.1))
    found = record["percolation"]
    assert found["dimensions"] == 1
    assert found["vectors"] == [along[0].astype(int).tolist()]
    assert [name for name, there in found["along"].items() if there] == ["abc"[axis]]


def test_jumps_to_and_fro_percolate_nowhere() -> None:
    sites = lattice_sites(CUBIC)
    place = sites.fractional[0] @ sites.cell_A
    ion = np.tile(place, (1, 400, 1))
    for begin in range(50, 400, 100):
        ion[0, begin : begin + 50, 0] -= A  # across the face of the cell
    found = visits([ion], sites, INTERVAL_PS)
    assert len(found.jumps.frame) == 7
    assert percolation(found.jumps, 27)["dimensions"] == 0


def test_networks_apart_are_told_apart() -> None:
    # One site with jumps along a, one along b, two that only exchange.
    origin, target = np.array([0, 1, 2, 3]), np.array([0, 1, 3, 2])
    image = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
    found = percolation(Jumps(np.zeros(4, int), np.arange(4), origin, target, image), 4)
    assert found["dimensions"] == 1
    assert found["along"] == {"a": True, "b": True, "c": False}
    assert [network["vectors"] for network in found["networks"]] == [[[1, 0, 0]], [[0, 1, 0]]]
    assert found["sites_reached"] == 4


@pytest.mark.parametrize(
    "unit",
    [
        [[1, 0, 0], [2, 1, 0], [-1, 1, 1]],
        [[1, 0, 0], [0, 1, 0], [0.5, 0.5, np.sqrt(0.5)]],
    ],
    ids=["skewed", "face-centred"],
)
def test_one_site_in_a_small_cell(unit: list[list[float]]) -> None:
    # The site's neighbours are its own images, nearer than rounded fractions can tell.
    cell = A * np.array(unit)
    sites = Sites(np.array([[0.2, 0.2, 0.2]]), ("site",), cell)
    ions, made = walk(np.array(unit), AXES, rate_per_ps=0.1, frames=3000, ions=6, rattle_A=0.25)
    found = visits([ions], sites, INTERVAL_PS)
    assert made * 0.97 <= len(found.jumps.frame) <= made
    steps = (np.abs(found.jumps.image).sum(axis=1) == 1).mean()
    assert steps > 0.97
    # A core holds what is within 0.4 of the distance to the next site, on every side.
    rng = np.random.default_rng(5)
    aside = rng.normal(size=(2000, 1, 3))
    aside *= 0.39 * A / np.linalg.norm(aside, axis=2)[..., None]
    place = sites.fractional[0] @ cell
    still = visits([place + aside, place + aside * 1.05], sites, INTERVAL_PS)
    assert (still.site[:2000] == 0).all()
    assert (still.site[2000:] == NOWHERE).all()
    assert still.share_at_no_site == 0


def test_time_at_places_that_are_no_sites_is_told() -> None:
    sites = lattice_sites(CUBIC)
    ion = np.tile(sites.fractional[0] @ sites.cell_A, (1, 400, 1))
    ion[0, 300:] += A / 2  # in the middle of a cube of sites
    found = visits([ion], sites, INTERVAL_PS)
    record = jump_record(found, sites, INTERVAL_PS, (0.0, 0.0, 0.0))
    assert record["share_of_time_followed"] == 1
    assert record["share_of_time_at_no_site"] == pytest.approx(0.25)


def test_an_ion_that_is_never_in_a_core() -> None:
    sites = lattice_sites(CUBIC)
    ions = np.tile(sites.fractional[:2, None] @ sites.cell_A, (1, 100, 1))
    ions[0] += A / 2
    found = visits([ions], sites, INTERVAL_PS)
    assert (found.site[0] == NOWHERE).all()
    record = jump_record(found, sites, INTERVAL_PS, (0.0, 0.0, 0.0))
    assert record["share_of_time_followed"] == pytest.approx(0.5)
    assert record["n_jumps"] == 0
    assert json.dumps(record, allow_nan=False)


def test_sites_where_no_ion_ever_is_are_refused() -> None:
    sites = lattice_sites(CUBIC)
    ion = np.tile(sites.fractional[:1, None] @ sites.cell_A + A / 2, (1, 100, 1))
    with pytest.raises(HalmdError, match="no ion ever came into the core of a site"):
        visits([ion], sites, INTERVAL_PS)


def test_two_ions_on_one_site_are_told() -> None:
    sites = lattice_sites(CUBIC)
    ions = np.tile(sites.fractional[[0, 0, 1]] @ sites.cell_A, (100, 1, 1)).transpose(1, 0, 2)
    record = jump_record(visits([ions], sites, INTERVAL_PS), sites, INTERVAL_PS, (0.0, 0.0, 0.0))
    assert record["double_occupancy_share"] == pytest.approx(0.5)


def test_the_cell_and_the_orientation_do_not_matter() -> None:
    ions, _ = walk(HEXAGONAL, AXES, rate_per_ps=0.2, frames=1500, ions=6)
    sites = lattice_sites(HEXAGONAL)
    plain = visits([ions], sites, INTERVAL_PS)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    skew = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    cell = skew @ sites.cell_A @ turn
    other = Sites(
        (sites.fractional @ sites.cell_A @ turn @ np.linalg.inv(cell)) % 1.0, sites.kinds, cell
    )
    turned = visits([ions @ turn], other, INTERVAL_PS)
    assert (turned.site == plain.site).all()
    assert turned.jumps.frame.tolist() == plain.jumps.frame.tolist()
    assert other.nearest_other_A() == pytest.approx(sites.nearest_other_A())


def test_nearest_site_through_the_faces_of_a_skewed_cell() -> None:
    cell = np.array([[6.0, 0, 0], [5.0, 6.0, 0], [-4.0, 5.0, 7.0]])
    rng = np.random.default_rng(2)
    sites = Sites(rng.random((10, 3)), ("x",) * 10, cell)
    points = rng.random((200, 3)) * 5 - 2
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    for point, found in zip(points, nearest_site(sites, points), strict=True):
        every = (sites.fractional[:, None] + shifts[None] - point % 1.0) @ cell
        assert np.linalg.norm(every, axis=2).min(axis=1).argmin() == found


def test_sites_are_found_where_ions_are() -> None:
    true = lattice_sites(HEXAGONAL)
    ions, _ = walk(HEXAGONAL, AXES, rate_per_ps=0.3, frames=4000, ions=20)
    found = sites_of_density(density([ions], true.cell_A), Atoms(cell=true.cell_A, pbc=True))
    assert len(found.kinds) == 27
    for place in found.fractional:
        difference = true.fractional - place
        difference -= np.round(difference)
        assert np.linalg.norm(difference @ true.cell_A, axis=1).min() < 0.15


def test_kinds_are_the_coordination_by_anions() -> None:
    # Fluorite: Ca positions in cubes of F; here ions on the octahedral holes and in tetrahedra.
    a = 6.0
    cl = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    framework = Atoms("Cl4", scaled_positions=cl, cell=np.eye(3) * a, pbc=True)
    rng = np.random.default_rng(3)
    places = np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]])
    ions = (places[:, None] + rng.normal(0, 0.03, (2, 4000, 3))) * a
    found = sites_of_density(density([ions], np.eye(3) * a), framework)
    assert sorted(found.kinds) == ["octahedron", "tetrahedron"]


def test_ions_on_one_site_only_are_refused() -> None:
    ions = np.random.default_rng(4).normal(0, 0.1, (1, 1000, 3)) + 3
    with pytest.raises(HalmdError, match="fewer than two sites"):
        sites_of_density(density([ions], np.eye(3) * 6), Atoms(cell=np.eye(3) * 6, pbc=True))


@pytest.fixture
def cif(tmp_path: Path) -> Path:
    structure = Structure.from_spacegroup(
        "P-3m1",
        Lattice.hexagonal(6.0, 5.0),
        [{"Li": 0.5}, "Y", "Cl"],
        [[0, 0, 0.5], [0, 0, 0], [0.33, 0.67, 0.25]],
    )
    path = tmp_path / "given.cif"
    structure.to(filename=str(path))
    return path


def test_sites_of_a_structure_are_repeated_in_the_supercell(cif: Path) -> None:
    unit = Structure.from_file(str(cif)).lattice.matrix
    matrix = np.array([[2, 1, 0], [0, 2, 0], [0, 0, 3]])
    cell = (matrix @ unit) * 1.01
    found = sites_of_structure(cif, "Li", cell)
    assert len(found.kinds) == 12
    places = found.fractional @ matrix % 1.0
    assert np.abs(places - np.round(places) - [0, 0, 0.5]).min(axis=1).max() < 1e-6
    z = (found.fractional @ matrix)[:, 2] % 1.0
    assert z == pytest.approx(0.5)


def test_structures_that_do_not_fit_are_refused(cif: Path, tmp_path: Path) -> None:
    with pytest.raises(HalmdError, match="not repeated in the trajectory's cell"):
        sites_of_structure(cif, "Li", np.diag([7.3, 8.1, 9.9]))
    with pytest.raises(HalmdError, match="no Na in this structure"):
        sites_of_structure(cif, "Na", np.diag([7.3, 8.1, 9.9]))
    (tmp_path / "broken.cif").write_text("data_x\n")
    with pytest.raises(HalmdError, match="not a readable crystal structure"):
        sites_of_structure(tmp_path / "broken.cif", "Li", np.eye(3) * 9)
