"""Errors and slopes of a student that is wrong in a known way."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from halmd.distill.errors import compare, errors, grouped
from halmd.distill.label import Labelled


class Scaled(Calculator):
    """Forces that are the teacher's times a factor for each species, plus noise."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, truth: dict[bytes, Labelled], factors: dict[str, float], noise: float):
        super().__init__()
        self.truth, self.factors = truth, factors
        self.rng, self.noise = np.random.default_rng(0), noise

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        entry = self.truth[atoms.positions.tobytes()]
        scale = np.array([self.factors[s] for s in atoms.get_chemical_symbols()])[:, None]
        noise = self.rng.normal(0, self.noise, entry.forces_eV_per_A.shape)
        self.results = {
            "energy": entry.energy_eV + 0.002 * len(atoms),
            "forces": entry.forces_eV_per_A * scale + noise,
            "stress": entry.stress_eV_per_A3 - 0.01,
        }


@pytest.fixture
def rows() -> list:  # type: ignore[type-arg]
    rng = np.random.default_rng(2)
    data = []
    for k in range(40):
        atoms = Atoms("Li20Cl20", positions=rng.random((40, 3)) * 12, cell=[12] * 3, pbc=True)
        atoms.info |= {"family": "ab"[k % 2], "start": "x"}
        data.append(Labelled(atoms, -100.0, rng.normal(0, 0.5, (40, 3)), np.zeros(6)))
    truth = {entry.atoms.positions.tobytes(): entry for entry in data}
    calculator = Scaled(truth, {"Li": 0.9, "Cl": 1.0}, noise=0.02)
    return [compare(entry, calculator) for entry in data]


def test_known_errors_are_found(rows: list) -> None:  # type: ignore[type-arg]
    found = errors(rows)
    assert found["snapshots"] == 40
    assert found["energy_rmse_meV_per_atom"] == pytest.approx(2.0)
    assert found["pressure_rmse_GPa"] == pytest.approx(0.01 * 160.21766)
    assert found["by_species"]["Li"]["force_slope"] == pytest.approx(0.9, abs=0.003)
    assert found["by_species"]["Cl"]["force_slope"] == pytest.approx(1.0, abs=0.003)
    assert found["by_species"]["Cl"]["force_rmse_meV_per_A"] == pytest.approx(20, rel=0.05)
    lithium = 1000 * np.hypot(0.1 * 0.5, 0.02)
    assert found["by_species"]["Li"]["force_rmse_meV_per_A"] == pytest.approx(lithium, rel=0.05)
    assert found["force_relative"] == pytest.approx(
        found["force_rmse_meV_per_A"] / found["force_rms_meV_per_A"]
    )


def test_groups_hold_all_snapshots(rows: list) -> None:  # type: ignore[type-arg]
    found = grouped(rows, lambda row: row.info["family"])
    assert list(found) == ["a", "b"]
    assert [record["snapshots"] for record in found.values()] == [20, 20]
