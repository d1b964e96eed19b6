"""Orderings: numbers kept, exclusions honoured, energies right, symmetry recognised."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from halmd.composition import parse_formula
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures import structure as module
from halmd.structures.ewald import ewald_matrix
from halmd.structures.ordering import (
    VACANCY,
    Lattice,
    Walk,
    canonical,
    permutations,
    site_charges,
    start,
)
from halmd.structures.prototypes import catalogue, choose_prototype, load_prototype
from halmd.structures.structure import (
    build_orderings,
    shortest_distance_A,
    summary,
    write_orderings,
)
from halmd.structures.table import prototype_table

SMALL = StructureSettings(min_length_A=9.5, n_orderings=2, monte_carlo_steps=500)
WITH_RULES = [name for name, entry in catalogue().items() if "keep_apart" in entry]


def disordered_lattice() -> Lattice:
    """The M2/M3 lattice of Li3YCl6, 1x1x2 cells."""
    seen: list[Lattice] = []
    original = module.distinct_orderings

    def spy(lattice: Lattice, **rest: object) -> object:
        seen.append(lattice)
        return original(lattice, **rest)  # type: ignore[arg-type]

    module.distinct_orderings = spy  # type: ignore[assignment]
    try:
        build_orderings("Li3YCl6", SMALL, seed=1)
    finally:
        module.distinct_orderings = original
    return seen[-1]


def test_incremental_energy_equals_a_fresh_sum_after_ten_thousand_exchanges() -> None:
    lattice = disordered_lattice()
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    rng = np.random.default_rng(0)
    walk = Walk.of(lattice, matrix, start(lattice, rng))
    done = 0
    groups = [lattice.members(group) for group in ("Li1", "Li2", "Y2", "Y3")]
    while done < 10_000:
        i, j = rng.choice(groups[rng.integers(4)], 2, replace=False)
        if walk.occupation[i] != walk.occupation[j]:
            walk.exchange(int(i), int(j))
        done += 1
    charges = site_charges(lattice, walk.occupation)
    assert walk.energy_eV == pytest.approx(charges @ matrix @ charges / 2, abs=1e-6)
    full = (walk.occupation != VACANCY).astype(int)
    assert np.array_equal(walk.blocked, lattice.excluded @ full)


def test_occupations_moved_by_symmetry_are_the_same_ordering() -> None:
    lattice = disordered_lattice()
    operations = permutations(lattice)
    assert len(operations) == 24  # twelve of P-3m1 and the translation of the doubled axis
    rng = np.random.default_rng(3)
    occupation = start(lattice, rng)
    image = np.empty_like(occupation)
    image[operations[7]] = occupation
    assert canonical(image, operations) == canonical(occupation, operations)
    other = occupation.copy()
    li = lattice.members("Li2")
    filled, empty = li[occupation[li] != VACANCY][0], li[occupation[li] == VACANCY][0]
    other[[filled, empty]] = other[[empty, filled]]
    energies = [
        site_charges(lattice, o)
        @ ewald_matrix(lattice.cell_A, lattice.fractional)
        @ site_charges(lattice, o)
        for o in (occupation, other)
    ]
    if abs(energies[0] - energies[1]) > 1e-6:
        assert canonical(other, operations) != canonical(occupation, operations)


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


def test_same_seed_same_orderings_and_other_seed_others() -> None:
    first, again, other = (build_orderings("Li3YCl6", SMALL, seed=s) for s in (1, 1, 2))
    for a, b in zip(first.orderings, again.orderings, strict=True):
        assert np.array_equal(a.atoms.positions, b.atoms.positions)
    same = [
        np.array_equal(a.atoms.positions, b.atoms.positions)
        for a, b in zip(first.orderings, other.orderings, strict=True)
    ]
    assert not all(same)


def test_orderings_are_ranked_and_distinct() -> None:
    found = build_orderings("Li3YCl6", SMALL.model_copy(update={"n_orderings": 5}), seed=3)
    energies = [ordering.ewald_energy_eV for ordering in found.orderings]
    assert energies == sorted(energies)
    assert len({round(energy, 6) for energy in energies}) == 5


def test_cold_sampling_finds_lower_energies_than_hot_sampling() -> None:
    means = []
    for temperature in (50.0, 100_000.0):
        settings = SMALL.model_copy(
            update={
                "n_orderings": 6,
                "ordering_temperature_K": temperature,
                "monte_carlo_steps": 3000,
            }
        )
        found = build_orderings("Li3YCl6", settings, seed=3)
        means.append(np.mean([o.ewald_energy_eV for o in found.orderings]))
    assert means[0] < means[1] - 0.5


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
    with pytest.raises(HalmdError, match="has no site for In"):
        build_orderings("Li3InCl6", SMALL, seed=0, prototype="Li3YCl6_P-3m1_M1M2")


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
