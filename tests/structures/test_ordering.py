"""Orderings: numbers kept, exclusions honoured, ranked, distinct; the parent on average."""

import itertools
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from test_chains import all_fillings

from halmd.composition import parse_formula
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.ewald import ewald_matrix
from halmd.structures.lattice import VACANCY, Lattice, Occupation, site_charges
from halmd.structures.ordering import (
    Sampling,
    distinct_orderings,
    inverse_temperatures_per_eV,
    run_chains,
)
from halmd.structures.packing import start
from halmd.structures.prototypes import catalogue, choose_prototype, load_prototype
from halmd.structures.structure import (
    build_orderings,
    shortest_distance_A,
    summary,
    write_orderings,
)
from halmd.structures.symmetry import (
    content_kinds,
    fingerprint,
    group_kinds,
    same_ordering,
    site_symmetry,
)
from halmd.structures.table import prototype_table

SMALL = StructureSettings(min_length_A=9.5, n_orderings=2, monte_carlo_steps=500)
WITH_RULES = [name for name, entry in catalogue().items() if "keep_apart" in entry]


def li3ycl6(lattice_of: Callable[..., Lattice], matrix: object = (1, 1, 2)) -> Lattice:
    """The M2/M3 lattice of Li3YCl6."""
    n = round(float(np.prod(matrix)))
    return lattice_of("Li3YCl6_P-3m1_M2M3", matrix, {"Li": 9 * n, "Y": 3 * n, "Cl": 18 * n})


def orderings(lattice: Lattice, **changes: Any) -> list[tuple[Occupation, float, int]]:
    """Six orderings at 800 K, but for what is changed."""
    settings = {"wanted": 6, "temperature_K": 800.0, "steps": 1000, "seed": 1} | changes
    return distinct_orderings(lattice, **settings)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(
    lattice_of: Callable[..., Lattice],
) -> None:
    lattice = li3ycl6(lattice_of)
    first, again, other = (orderings(lattice, seed=s) for s in (1, 1, 2))
    assert [(o.tobytes(), e, k) for o, e, k in first] == [(o.tobytes(), e, k) for o, e, k in again]
    assert {o.tobytes() for o, _, _ in first}.isdisjoint({o.tobytes() for o, _, _ in other})


def test_asking_for_more_orderings_keeps_those_there_were(
    lattice_of: Callable[..., Lattice],
) -> None:
    lattice = li3ycl6(lattice_of)
    few = {o.tobytes() for o, _, _ in orderings(lattice, wanted=3)}
    many = {o.tobytes() for o, _, _ in orderings(lattice, wanted=9)}
    assert few < many


@pytest.mark.parametrize("sampling", ["boltzmann", "random", "low_energy"])
def test_orderings_of_every_sampling_are_allowed_ranked_and_distinct(
    lattice_of: Callable[..., Lattice], sampling: Sampling
) -> None:
    lattice = li3ycl6(lattice_of)
    found = orderings(lattice, sampling=sampling)
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    symmetry = site_symmetry(lattice.cell_A, lattice.fractional, content_kinds(lattice))
    energies = [energy for _, energy, _ in found]
    assert len(found) == 6
    assert energies == sorted(energies)
    for occupation, energy, _ in found:
        charges = site_charges(lattice, occupation)
        assert energy == pytest.approx(charges @ matrix @ charges / 2, abs=1e-9)
        full = occupation != VACANCY
        assert not lattice.excluded[np.ix_(full, full)].any()
        for group, content in lattice.contents.items():
            held = occupation[lattice.members(group)]
            assert np.sum(held != VACANCY) == sum(content.values())
    for (a, _, _), (b, _, _) in itertools.combinations(found, 2):
        assert not any(
            np.array_equal(b[symmetry.operation(k)], a) for k in range(symmetry.n_operations)
        )


def test_samplings_are_ordered_by_energy(lattice_of: Callable[..., Lattice]) -> None:
    lattice = li3ycl6(lattice_of, (2, 2, 2))
    low, warm, hot = (
        np.mean([e for _, e, _ in orderings(lattice, sampling=s, steps=3000)])
        for s in ("low_energy", "boltzmann", "random")
    )
    assert low < warm - 5 < hot - 15


def test_low_energy_finds_the_ground_state(columns: Callable[..., Lattice]) -> None:
    lattice = columns(2, {"M2": {"Y": 2, "Zr": 1}, "M3": {}, "Li": {"Li": 3}})
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    lowest = np.inf
    for metals in set(itertools.permutations([1, 1, 2, VACANCY])):
        for lithium in itertools.combinations(lattice.members("Li"), 3):
            occupation = np.full(len(lattice.groups), VACANCY)
            occupation[lattice.members("M2")] = metals
            occupation[list(lithium)] = 0
            charges = site_charges(lattice, occupation)
            lowest = min(lowest, float(charges @ matrix @ charges / 2))
    found = orderings(lattice, sampling="low_energy", wanted=2)
    assert found[0][1] == pytest.approx(lowest, abs=1e-9)


MATCHER = StructureMatcher(
    ltol=0.01,
    stol=0.01,
    angle_tol=0.1,
    primitive_cell=False,
    scale=False,
    attempt_supercell=False,
)


@pytest.mark.parametrize(
    "contents",
    [
        {"M2": {"Y": 1, "Zr": 1}, "M3": {}, "Li": {"Li": 2}},
        {"M2": {"Y": 1, "Sc": 1}, "M3": {"Y": 1}, "Li": {"Li": 1}},
    ],
    ids=["charges", "elements"],
)
def test_as_many_distinct_orderings_as_pymatgen_tells_apart(
    columns: Callable[..., Lattice], contents: dict[str, dict[str, int]]
) -> None:
    lattice = columns(3 if contents["M3"] else 2, contents)
    found = orderings(lattice, wanted=60, sampling="random", steps=100, tries_per_ordering=8)
    # All there are, by gathering every filling with its images.
    symmetry = site_symmetry(lattice.cell_A, lattice.fractional, content_kinds(lattice))
    left = set(all_fillings(lattice))
    classes = []
    while left:
        one = left.pop()
        classes.append(np.array(one))
        images = (classes[-1][symmetry.operation(k)] for k in range(symmetry.n_operations))
        left -= {tuple(image.tolist()) for image in images}
    assert 5 < len(found) == len(classes) < 60
    structures = [crystal(lattice, occupation) for occupation, _, _ in found]
    assert not any(MATCHER.fit(a, b) for a, b in itertools.combinations(structures, 2))
    # Every class has its member among those found, by pymatgen's judgement too.
    for occupation in classes[::5]:
        structure = crystal(lattice, occupation)
        assert sum(MATCHER.fit(structure, known) for known in structures) == 1


def test_pymatgen_finds_no_two_alike_among_those_of_a_real_cell(
    lattice_of: Callable[..., Lattice],
) -> None:
    lattice = li3ycl6(lattice_of, (1, 1, 1))
    found = orderings(lattice, wanted=40, sampling="random", steps=100)
    structures = [crystal(lattice, occupation) for occupation, _, _ in found]
    assert 5 < len(structures) < 40
    assert not any(MATCHER.fit(a, b) for a, b in itertools.combinations(structures, 2))


def crystal(lattice: Lattice, occupation: Occupation) -> Structure:
    full = occupation != VACANCY
    return Structure(
        lattice.cell_A, [lattice.species[k] for k in occupation[full]], lattice.fractional[full]
    )


@pytest.mark.parametrize("sampling", ["boltzmann", "random"])
def test_average_of_many_orderings_has_the_parents_occupancies_and_symmetry(
    lattice_of: Callable[..., Lattice], sampling: Sampling
) -> None:
    lattice = li3ycl6(lattice_of, (2, 2, 2))
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    betas = inverse_temperatures_per_eV(sampling, 3000.0, 1000)
    n = 400
    drawn = run_chains(lattice, matrix, betas_per_eV=betas, seed=3, chains=range(n))
    for number, element in enumerate(lattice.species):
        mean = np.mean([occupation == number for occupation, _ in drawn], axis=0)
        for group, content in lattice.contents.items():
            members = lattice.members(group)
            wanted = content.get(element, 0) / len(members)
            # Each chain is a sample of its own, so that the spread of the mean is binomial.
            spread = np.sqrt(wanted * (1 - wanted) / n)
            assert np.abs(mean[members] - wanted).max() <= 4.5 * spread + 1e-12
            assert mean[members].std() <= 1.4 * spread + 1e-12
    # The averaged crystal, sites alike when their occupancies are, has the parent's space group.
    means = np.array(
        [np.mean([o == k for o, _ in drawn], axis=0) for k in range(len(lattice.species))]
    ).T
    kinds: list[int] = []
    for mean in means:
        near = np.flatnonzero(np.abs(means[: len(kinds)] - mean).max(axis=1) < 0.15)
        kinds.append(kinds[near[0]] if len(near) else len(kinds))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        averaged = spglib.get_spacegroup((lattice.cell_A, lattice.fractional, kinds), symprec=0.01)
    assert averaged == "P-3m1 (164)"
    assert len(set(kinds)) == 6  # Li1, Li2, Y1, Y2, Y3 and Cl


def test_symmetry_images_are_the_same_ordering_and_others_are_not(
    lattice_of: Callable[..., Lattice],
) -> None:
    lattice = li3ycl6(lattice_of)
    symmetry = site_symmetry(lattice.cell_A, lattice.fractional, group_kinds(lattice))
    assert symmetry.n_operations == 24  # twelve of P-3m1, and the translation of the doubled axis
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    occupation = start(lattice, np.random.default_rng(3))
    for k in range(symmetry.n_operations):
        image = np.empty_like(occupation)
        image[symmetry.operation(k)] = occupation
        assert same_ordering(image, occupation, symmetry)
        assert np.allclose(
            fingerprint(lattice, matrix, image), fingerprint(lattice, matrix, occupation)
        )
    other = occupation.copy()
    li = lattice.members("Li2")
    filled, empty = li[occupation[li] != VACANCY][0], li[occupation[li] == VACANCY][0]
    other[[filled, empty]] = other[[empty, filled]]
    images = [other[symmetry.operation(k)] for k in range(symmetry.n_operations)]
    assert same_ordering(other, occupation, symmetry) == any(
        np.array_equal(image, occupation) for image in images
    )


def test_elements_of_one_charge_make_different_orderings(
    columns: Callable[..., Lattice],
) -> None:
    lattice = columns(2, {"M2": {"Y": 2, "Sc": 2}, "M3": {}, "Li": {}})
    found = orderings(lattice, wanted=6, sampling="random", steps=50)
    # Two of four places: together in a column, side by side, or crosswise.
    assert len(found) == 3
    assert len({round(energy, 9) for _, energy, _ in found}) == 1


def test_a_cell_of_20_angstrom_has_orderings(lattice_of: Callable[..., Lattice]) -> None:
    # Four hundred and eighty atoms on 560 sites, columns of M2 and M3 of six.
    lattice = li3ycl6(lattice_of, (2, 2, 4))
    assert len(orderings(lattice, wanted=4, steps=5000)) == 4


@pytest.mark.parametrize("name", WITH_RULES)
def test_no_ordering_fills_sites_that_are_kept_apart(name: str) -> None:
    formula = catalogue()[name]["formula"]
    found = build_orderings(formula, SMALL, seed=4, prototype=name)
    for ordering in found.orderings:
        atoms = ordering.atoms
        labels = atoms.get_array("site_label")
        distances = atoms.get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        for rule in found.prototype.keep_apart:
            member = np.isin(labels, rule.sites)
            assert distances[np.ix_(member, member)].min() >= rule.within_A


def test_m2_and_m3_of_one_column_are_never_both_filled() -> None:
    found = build_orderings("Li3YCl6", SMALL, seed=5)
    for ordering in found.orderings:
        y = ordering.atoms[ordering.atoms.symbols == "Y"]
        distances = y.get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        assert distances.min() > 5.0


def test_shipped_supercell_is_sixty_atoms_and_exact() -> None:
    found = build_orderings("Li3YCl6", SMALL, seed=6)
    assert found.prototype.name == "Li3YCl6_P-3m1_M2M3"
    assert found.supercell.counts == {"Li": 18, "Y": 6, "Cl": 36}
    assert found.supercell.deviation == 0
    assert np.array_equal(found.supercell.matrix, np.diag([1, 1, 2]))
    for ordering in found.orderings:
        assert ordering.atoms.get_chemical_formula() == "Cl36Li18Y6"


def test_site_fractions_move_yttrium_between_m2_and_m3() -> None:
    found = build_orderings("Li3YCl6", SMALL, seed=1, site_fractions={"Y2": 1.0, "Y3": 0.0})
    assert found.achieved_occupancies["Y2"] == {"Y": 1.0}
    assert found.achieved_occupancies["Y3"] == {}


def test_ordered_prototype_has_one_ordering_and_asking_for_more_is_refused(tmp_path: Path) -> None:
    found = build_orderings("Li3ErCl6", SMALL, seed=1, prototype="Li3ErCl6_P321_ordered_DFT")
    assert len(found.orderings) == 1
    with pytest.raises(HalmdError, match="has 1 distinct ordering in this supercell, not 2"):
        write_orderings(found, tmp_path / "orderings")
    assert not (tmp_path / "orderings").exists()


def test_written_orderings_carry_what_they_are(tmp_path: Path) -> None:
    import ase.io

    found = build_orderings("Li3YCl6", SMALL, seed=1)
    write_orderings(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00.extxyz",
        "01.extxyz",
        "orderings.json",
    ]
    atoms = ase.io.read(tmp_path / "00.extxyz")
    assert atoms.info["formula"] == "Li3YCl6"
    assert atoms.info["confidence"] == "verbatim"
    assert np.allclose(atoms.positions, found.orderings[0].atoms.positions, atol=1e-7)


def test_every_prototype_builds_neutral_dense_and_without_clashes() -> None:
    rows = prototype_table(StructureSettings(min_length_A=8.0, monte_carlo_steps=200))
    assert len(rows) == 45
    for row in rows:
        assert "error" not in row, row
        assert row["deviation"] <= 0.02
        assert row["shortest_A"] > 1.9, row
        assert 1.5 < row["density_g_per_cm3"] < 5.0, row


# Densities of SOURCES.md, computed there by pymatgen from the average structures.
@pytest.mark.parametrize(
    ("name", "density"),
    [
        ("Li3YCl6_P-3m1_M2M3", 2.44),
        ("Li3YBr6_C2m", 3.66),
        ("Li2MgCl4_Fd-3m", 2.13),
        ("Li2ZrF6_P-31m_DFT", 3.73),
    ],
)
def test_density_is_that_of_the_source(name: str, density: float) -> None:
    found = build_orderings(
        catalogue()[name]["formula"],
        SMALL.model_copy(update={"n_orderings": 1}),
        seed=0,
        prototype=name,
    )
    assert summary(found)["density_g_per_cm3"] == pytest.approx(density, rel=0.01)


def test_composition_that_does_not_fit_names_the_size_that_would() -> None:
    tight = SMALL.model_copy(update={"max_atoms": 60, "composition_tolerance": 0.001})
    with pytest.raises(HalmdError, match=r"no supercell of up to 60 atoms.*atoms would"):
        build_orderings("Li2.5Y0.5Zr0.5Cl6", tight, seed=0)


def test_prototype_is_chosen_by_composition_or_the_near_ones_are_named() -> None:
    assert choose_prototype(parse_formula("Li6Y2Cl12")) == "Li3YCl6_P-3m1_M2M3"
    assert choose_prototype(parse_formula("Li2Sc2/3Cl4")) == "Li2Sc0p667Cl4_Fd-3m"
    with pytest.raises(HalmdError, match=r"no prototype has this composition.*Li3YCl6"):
        choose_prototype(parse_formula("Li2.61Y1.13Cl6"))
    # A prototype that is asked for by name lends its sites to what replaces its metal.
    found = build_orderings("Li3InCl6", SMALL, seed=0, prototype="Li3YCl6_P-3m1_M1M2")
    assert "In" in found.supercell.counts
    assert "Y" not in found.supercell.counts


@pytest.mark.parametrize("damage", ["", "not a cif", "data_x\nloop_\n_atom_site_label\n", "half"])
def test_damaged_cif_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.cif"
    source = Path(__file__).parents[2] / "structures" / "Li3YCl6_P-3m1_M1M2.cif"
    text = source.read_text()
    path.write_text(text[: len(text) // 2] if damage == "half" else damage)
    with pytest.raises(HalmdError, match=r"broken\.cif") as caught:
        load_prototype(str(path))
    assert "\n" not in str(caught.value)


def test_a_cif_of_ones_own_builds(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "structures" / "Li3YCl6_P-3m1_M1M2.cif"
    (tmp_path / "mine.cif").write_text(source.read_text())
    found = build_orderings("Li3YCl6", SMALL, seed=0, prototype=str(tmp_path / "mine.cif"))
    assert found.prototype.confidence == "user"
    assert found.supercell.formula_units == Fraction(6)
    assert shortest_distance_A(found.orderings[0].atoms) > 2.0
