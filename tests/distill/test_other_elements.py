"""A student for more or fewer elements computes the same of those that both know."""

from typing import Any

import pytest
from test_grown import student, values
from toy_cells import rattled_cells

from halmd.distill.settings import StudentSettings

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("mace")

from halmd.distill import network  # noqa: E402
from halmd.distill.other_elements import with_elements  # noqa: E402

BEFORE = ("Cl", "Li", "Y", "Zr")
ELEMENTS = ("Br", "Cl", "Hf", "Li", "Sc", "Y", "Zr")
LIKE = {"Br": "Cl", "Hf": "Zr", "Sc": "Y"}


def energies(model: Any, p: dict[str, Any], atoms: Any, elements: tuple[str, ...]) -> Any:
    batch = network.bare_batch(atoms, elements, 4.5)
    return network.energy_function(model)(p, batch, batch[0])


@pytest.mark.parametrize("irreps", ["16x0e", "16x0e + 16x1o"])
def test_what_was_known_is_known_and_what_is_new_begins_as_its_like(irreps: str) -> None:
    small = student(1, irreps)
    settings = StudentSettings.model_validate(
        {"hidden_irreps": irreps, "r_max_A": 4.5, "radial": (16, 16)}
    )
    large = network.build(settings, ELEMENTS, seed=2)
    p = with_elements(values(small), BEFORE, ELEMENTS, LIKE)
    assert {name: x.shape for name, x in p.items()} == {
        name: x.shape for name, x in values(large).items()
    }
    for atoms in rattled_cells(2, seed=5):
        before = energies(small, values(small), atoms, BEFORE)
        own = energies(large, values(large), atoms, ELEMENTS)
        other = atoms.copy()
        other.symbols = ["Br" if s == "Cl" else "Sc" if s == "Y" else s for s in other.symbols]
        for asked in (atoms, other):
            after = energies(large, p, asked, ELEMENTS)
            assert float((after - before).abs().max()) < 1e-5 * float(before.abs().max())
        assert float((own - before).abs().max()) > 1e-2 * float(before.abs().max())


def test_an_element_like_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="what Hf begin as"):
        with_elements(values(student(1)), BEFORE, ELEMENTS, {"Br": "Cl", "Sc": "Y"})


def test_what_is_left_out_changes_nothing_of_the_rest() -> None:
    large = student(1)
    p = with_elements(values(large), BEFORE, ("Cl", "Li", "Y"))
    settings = StudentSettings(hidden_irreps="16x0e", r_max_A=4.5, radial=(16, 16))
    small = network.build(settings, ("Cl", "Li", "Y"))
    found = [a for a in rattled_cells(6, seed=5) if "Zr" not in a.get_chemical_symbols()]
    assert found
    for atoms in found:
        before = energies(large, values(large), atoms, BEFORE)
        after = energies(small, p, atoms, ("Cl", "Li", "Y"))
        assert float((after - before).abs().max()) < 1e-5 * float(before.abs().max())
