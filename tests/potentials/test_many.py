"""Many cells at once, judged by each evaluator's own calculator, one cell after the other."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from halmd.files import read_json
from halmd.potentials.evaluators import Loaded, load, torch_calculator
from halmd.potentials.many import Many, NativeMany, OneByOne, TorchMany, cell_of, many_of

native = pytest.param(
    "native",
    marks=pytest.mark.skipif(
        find_spec("symmetrix") is None or shutil.which("c++") is None,
        reason="the native evaluator needs its wheel and a compiler",
    ),
)
evaluators = pytest.mark.parametrize(
    "name", [native, pytest.param("torch", marks=pytest.mark.torch)]
)


def cells() -> list[Atoms]:
    """Crystals of several sizes and shapes, hot."""
    rng = np.random.default_rng(3)
    found = []
    for repeat, strain in (((2, 1, 1), 1.0), ((1, 1, 1), 1.05), ((2, 2, 1), 0.97)):
        atoms = bulk("LiCl", "rocksalt", a=5.3, cubic=True).repeat(repeat)
        atoms.symbols[0] = "Y"
        atoms.set_cell(atoms.cell @ (strain * np.eye(3) + rng.normal(0, 0.02, (3, 3))), True)
        atoms.rattle(0.1, rng=rng)
        found.append(atoms)
    return found


def of(prepared: Path, name: str) -> tuple[Many, Any]:
    """A batched evaluator, and a calculator of the same potential to judge it."""
    if name == "native":
        return NativeMany(load(prepared).calculator), load(prepared).calculator
    model = Path(read_json(prepared)["model_file"])
    return TorchMany(torch_calculator(model)), torch_calculator(model)


@evaluators
def test_cells_together_are_cells_alone(prepared: Path, name: str) -> None:
    many, judge = of(prepared, name)
    rng = np.random.default_rng(1)
    batch = [(atoms, cell_of(atoms)) for atoms in cells()]
    # Still, within the skin, beyond it, with another lattice, and with one cell fewer.
    for width, strain in ((0.0, 1.0), (0.02, 1.0), (0.6, 1.0), (0.01, 1.004), (0.01, 1.05)):
        for atoms, cell in batch:
            atoms.set_cell(atoms.cell * strain, scale_atoms=True)
            atoms.positions += rng.normal(0, width, atoms.positions.shape) if width else 0.0
            cell.positions_A, cell.cell_A = atoms.positions.copy(), np.array(atoms.cell)
        for kept in (batch, batch[1:]):
            answers = many([cell for _, cell in kept], stress=True)
            for (atoms, _), answer in zip(kept, answers, strict=True):
                own = atoms.copy()
                own.calc = judge
                judge.reset()
                scale = 1 + abs(own.get_forces()).max()
                np.testing.assert_allclose(
                    answer.forces_eV_per_A, own.get_forces(), rtol=0, atol=3e-5 * scale
                )
                assert answer.energy_eV == pytest.approx(own.get_potential_energy(), abs=1e-3)
                assert answer.stress_eV_per_A3 is not None
                np.testing.assert_allclose(
                    answer.stress_eV_per_A3, own.get_stress(), rtol=0, atol=1e-6 * scale
                )


@pytest.mark.parametrize("name", [native])
def test_company_changes_no_bit(prepared: Path, name: str) -> None:
    many, _ = of(prepared, name)
    found = [cell_of(atoms) for atoms in cells()]
    together = many(found, stress=True)
    turned = many(found[::-1], stress=True)[::-1]
    for cell, one, other in zip(found, together, turned, strict=True):
        (alone,) = many([cell], stress=True)
        for answer in (one, other):
            assert answer.energy_eV == alone.energy_eV
            assert answer.forces_eV_per_A.tobytes() == alone.forces_eV_per_A.tobytes()
            assert answer.stress_eV_per_A3 is not None
            assert alone.stress_eV_per_A3 is not None
            assert answer.stress_eV_per_A3.tobytes() == alone.stress_eV_per_A3.tobytes()


@evaluators
def test_what_is_no_number_is_told(prepared: Path, name: str) -> None:
    many, _ = of(prepared, name)
    found = [cell_of(atoms) for atoms in cells()]
    found[1].positions_A[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="no longer numbers"):
        many(found, stress=False)


def test_the_batched_evaluator_is_that_of_the_potential(prepared: Path) -> None:
    loaded = load(prepared)
    wanted = NativeMany if NativeMany.can(loaded.calculator) else TorchMany
    assert isinstance(many_of(loaded), wanted)

    class Foreign:
        """Neither native nor mace-torch."""

        def calculate(self) -> None:
            raise NotImplementedError

    foreign = Loaded(Foreign(), {"name": "own"}, None, lambda: None)
    assert isinstance(many_of(foreign), OneByOne)
    assert many_of(loaded).most_atoms(cell_of(cells()[0])) >= 1000
