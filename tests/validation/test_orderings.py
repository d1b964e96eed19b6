"""Sampled orderings of real and of random cells: Boltzmann weights, mixing, energies, symmetry."""

import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import spglib
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure

from halmd.config import StructureSettings
from halmd.structures.chains import Chains
from halmd.structures.ewald import ewald_matrix
from halmd.structures.filling import exclusions, sites
from halmd.structures.lattice import VACANCY, Floats, Lattice, site_charges
from halmd.structures.ordering import inverse_temperatures_per_eV, run_chains
from halmd.structures.packing import start
from halmd.structures.prototypes import catalogue, load_prototype
from halmd.structures.structure import build_orderings
from halmd.structures.supercell import Supercell

sys.path.insert(0, str(Path(__file__).parents[1] / "structures"))
from test_chains import chance_of_what_is_drawn

pytestmark = [
    pytest.mark.validation,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

MATERIALS = {
    "columns": ("Li3YCl6", "Li3YCl6_P-3m1_M2M3"),
    "crowded": ("Li3YBr6", "Li3YBr6_C2m"),
    "spinel": ("Li2Sc2/3Cl4", "Li2Sc0p667Cl4_Fd-3m"),
    "high entropy": ("Li2.2In0.2Sc0.2Zr0.2Hf0.2Ta0.2Cl6", None),
    "high entropy, no columns": ("Li2.9In0.75Zr0.1Sc0.05Er0.05Y0.05Cl6", None),
}


def lattice_of(name: str, min_length_A: float = 11.0) -> Lattice:
    """The sites of a material, and the atoms that they hold."""
    formula, prototype = MATERIALS[name]
    settings = StructureSettings(
        min_length_A=min_length_A, n_orderings=1, monte_carlo_steps=1, sampling="random"
    )
    found = build_orderings(formula, settings, seed=0, prototype=prototype)
    states = found.build.oxidation_states
    cell, fractional, labels = sites(found.prototype, found.supercell)
    species = tuple(found.supercell.counts)
    return Lattice(
        cell,
        fractional,
        labels,
        species,
        np.array([float(states[e]) for e in species]),
        {
            label: {e: round(x * labels.count(label)) for e, x in occupancy.items()}
            for label, occupancy in found.achieved_occupancies.items()
        },
        exclusions(found.prototype, cell, fractional, labels, states),
    )


def cations(name: str, matrix: object, contents: Mapping[str, Mapping[str, int]]) -> Lattice:
    """Some cation sites of a prototype, few enough to enumerate their fillings."""
    prototype = load_prototype(name)
    cells = np.diag(np.array(matrix))
    cell, fractional, labels = sites(prototype, Supercell(cells, {}, Fraction(1), 0.0))
    states = {"Li": 1, "Y": 3, "Sc": 3, "Ho": 3, "Cl": -1, "Br": -1}
    excluded = exclusions(prototype, cell, fractional, labels, states)
    kept = [k for k, label in enumerate(labels) if label in contents]
    return Lattice(
        cell,
        fractional[kept],
        tuple(labels[k] for k in kept),
        ("Li", "Y", "Sc"),
        np.array([1.0, 3.0, 3.0]),
        contents,
        excluded[np.ix_(kept, kept)],
    )


@pytest.mark.parametrize("beta_per_eV", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(
    ("name", "matrix", "contents"),
    [
        (
            "Li3YBr6_C2m",
            (1, 1, 1),
            {"Li1": {"Li": 1}, "Li2": {"Li": 2}, "Li3": {"Li": 2, "Y": 1}, "Li4": {"Y": 1}},
        ),
        (
            "Li3YBr6_C2m",
            (1, 1, 1),
            {"Li1": {"Li": 2}, "Li2": {"Li": 2}, "Li3": {"Li": 3}, "Li4": {"Y": 1}},
        ),
        ("Li2Sc0p667Cl4_Fd-3m_refined", (1, 1, 1), {"Li1": {"Li": 1}, "Li2": {"Li": 2}}),
        (
            "Li2p727Ho1p091Cl6_Pnma_model",
            (1, 1, 2),
            {"Ho2": {"Y": 1, "Sc": 1}, "Li1": {"Li": 1}},
        ),
    ],
    ids=["crowded", "more crowded", "spinel", "columns of pairs"],
)
def test_crystals_are_drawn_at_their_boltzmann_weights(
    name: str, matrix: object, contents: Mapping[str, Mapping[str, int]], beta_per_eV: float
) -> None:
    lattice = cations(name, matrix, contents)
    assert chance_of_what_is_drawn(lattice, beta_per_eV, chains=2000, moves=1000) > 1e-4


# The fillings of seed 6 fall into two sets that no move joins: without symmetry there are no
# cluster moves, and no exchange of one atom leads from set to set.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 7, 8, 9])
def test_random_exclusions_in_skewed_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = 7 * np.eye(3)
    cell[1, 0], cell[2, 0], cell[2, 1] = rng.uniform(-3, 3, 3)
    excluded = np.triu(rng.random((11, 11)) < 0.15, 1)
    lattice = Lattice(
        cell,
        rng.random((11, 3)),
        ("A",) * 6 + ("B",) * 5,
        ("Li", "Y", "Sc", "Zr"),
        np.array([1.0, 3.0, 3.0, 4.0]),
        {"A": {"Li": 1, "Y": 1, "Sc": 1}, "B": {"Zr": 1, "Li": 1}},
        excluded | excluded.T,
    )
    assert chance_of_what_is_drawn(lattice, 0.03, chains=2000, moves=1000) > 1e-4


@pytest.mark.parametrize("name", MATERIALS)
def test_chains_forget_where_they_began(name: str) -> None:
    # From random fillings and from cooled ones, the same mean energy; a jammed chain would not.
    lattice = lattice_of(name)
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    means, errors, spreads = [], [], []
    for number, sampling in enumerate(("random", "low_energy")):
        rngs = [np.random.default_rng([number, k]) for k in range(24)]
        kinds = np.random.default_rng(number)
        chains = Chains.of(lattice, matrix, [start(lattice, rng) for rng in rngs])
        chains.run(inverse_temperatures_per_eV(sampling, 800.0, 6000), rngs, kinds)  # type: ignore[arg-type]
        energies = []
        for _ in range(16):
            chains.run(inverse_temperatures_per_eV("boltzmann", 800.0, 1000), rngs, kinds)
            energies.append(chains.energies_eV())
        later = np.array(energies[6:])
        means.append(later.mean())
        errors.append(later.mean(axis=0).std(ddof=1) / 24**0.5)
        spreads.append((later.mean(axis=0).std(), later.std(axis=0).mean()))
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    for between, within in spreads:
        assert between < 1.2 * within


@pytest.mark.parametrize("name", MATERIALS)
def test_ten_thousand_moves_leave_energies_exact_and_batches_independent(name: str) -> None:
    lattice = lattice_of(name)
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    betas = inverse_temperatures_per_eV("boltzmann", 800.0, 10_000)
    rngs = [np.random.default_rng(k) for k in range(8)]
    chains = Chains.of(lattice, matrix, [start(lattice, rng) for rng in rngs])
    chains.run(betas, rngs, np.random.default_rng(0))
    assert np.allclose(chains.potential_V, chains.charges_e() @ matrix, rtol=0, atol=1e-9)
    assert np.allclose(chains.energies_eV(), chains.total_energies_eV(), rtol=0, atol=1e-6)
    full = (chains.occupations() != VACANCY).astype(int)
    assert np.array_equal(chains.blocked, full @ lattice.excluded.astype(int))
    assert not (full * chains.blocked).any()
    many = run_chains(lattice, matrix, betas_per_eV=betas, seed=3, chains=range(20))
    few = run_chains(lattice, matrix, betas_per_eV=betas, seed=3, chains=[2, 17])
    assert [o.tobytes() for o, _ in few] == [many[k][0].tobytes() for k in (2, 17)]


def averaged_group(lattice: Lattice, means: Floats, tolerance: float) -> str:
    """Space group of the sites, those alike of which the mean occupancies agree."""
    kinds: list[int] = []
    for mean in means:
        near = np.flatnonzero(np.abs(means[: len(kinds)] - mean).max(axis=1) < tolerance)
        kinds.append(kinds[near[0]] if len(near) else len(kinds))
    return str(spglib.get_spacegroup((lattice.cell_A, lattice.fractional, kinds), symprec=0.01))


@pytest.mark.parametrize("sampling", ["random", "boltzmann"])
@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("columns", "P-3m1 (164)"),
        ("crowded", "C2/m (12)"),
        ("spinel", "Fd-3m (227)"),
    ],
)
def test_average_of_many_orderings_has_the_symmetry_of_the_parent(
    name: str, group: str, sampling: str
) -> None:
    lattice = lattice_of(name)
    matrix = ewald_matrix(lattice.cell_A, lattice.fractional)
    n = 300
    betas = inverse_temperatures_per_eV(sampling, 3000.0, 2000)  # type: ignore[arg-type]
    drawn = run_chains(lattice, matrix, betas_per_eV=betas, seed=5, chains=range(n))
    occupations = np.array([occupation for occupation, _ in drawn])
    means = np.stack([(occupations == k).mean(axis=0) for k in range(len(lattice.species))], axis=1)
    for number, element in enumerate(lattice.species):
        for label, content in lattice.contents.items():
            members = lattice.members(label)
            wanted = content.get(element, 0) / len(members)
            spread = np.sqrt(wanted * (1 - wanted) / n)
            assert np.abs(means[members, number] - wanted).max() <= 5 * spread + 1e-12
    assert averaged_group(lattice, means, 0.1) == group


@pytest.mark.parametrize("name", list(catalogue()))
def test_energy_of_every_prototype_is_pymatgens(name: str) -> None:
    settings = StructureSettings(min_length_A=8.0, n_orderings=1, monte_carlo_steps=50)
    found = build_orderings(catalogue()[name]["formula"], settings, seed=2, prototype=name)
    atoms = found.orderings[0].atoms
    states = found.build.oxidation_states
    structure = Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    structure.add_oxidation_state_by_site([states[e] for e in atoms.get_chemical_symbols()])
    peer = EwaldSummation(structure, acc_factor=14).total_energy
    assert found.orderings[0].ewald_energy_eV == pytest.approx(peer, abs=1e-6)


def test_lattice_of_a_material_is_the_one_it_was_built_on() -> None:
    lattice = lattice_of("columns")
    occupation = start(lattice, np.random.default_rng(0))
    assert abs(site_charges(lattice, occupation).sum()) < 1e-9
