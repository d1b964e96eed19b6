"""The measured cell of a material, where its prototype has one and is what the material is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.cell import Cell

from halmd.composition import Formula
from halmd.structures.conventional import ConventionalCell
from halmd.structures.prototypes import Prototype, catalogue, load_prototype

ROOM = "room"
"""In the catalogue: measured, and the source says no temperature."""
_ROOM_K = 298.0
_NEAR_K = 20.0
"""Crystals of this kind expand by 0.01 % in volume per kelvin: so much is 0.2 %."""
_SAME_SHARE = 1e-3
"""Of all atoms: refined and nominal amounts differ by less (Li3In0.664Sc0.336Cl6)."""
_SAME_OCCUPANCY = 0.05


@dataclass(frozen=True)
class MeasuredCell:
    """A cell from a diffraction experiment."""

    cell: ConventionalCell
    temperature_K: float | None
    """Of the measurement; None where the source says none, which is taken as room temperature."""
    source: str


def measured_cell(
    name: str,
    formula: Formula,
    occupancies: Mapping[str, Mapping[str, float]],
    *,
    temperature_K: float,
    folder: Path | None = None,
) -> MeasuredCell | str:
    """The measured cell of a material at a temperature, or the words that say why there is none.

    `name` is that of its prototype, `occupancies` are site label to element to occupancy as built.
    The catalogue's `measured_cell_K` tells which cells were measured, on the very composition and
    phase; those of models, of density-functional theory and from memory are not.
    """
    if name not in catalogue(folder):
        return f"{name} is no prototype of the catalogue, so nothing says whether it was measured"
    prototype = load_prototype(name, folder)
    stated = prototype.details.get("measured_cell_K")
    if not _same_composition(formula, prototype.formula):
        return f"{name} has another composition ({prototype.details['formula']})"
    if stated is None:
        detail = prototype.details["confidence_detail"]
        return f"{name} is not a structure measured as it stands ({detail})"
    if not _same_occupancies(occupancies, prototype):
        return f"{name} was measured with its sites occupied otherwise"
    measured_K = None if stated == ROOM else float(stated)
    if abs((measured_K or _ROOM_K) - temperature_K) > _NEAR_K:
        at = f"at {measured_K:g} K" if measured_K else "at room temperature"
        return f"{name} was measured {at}, not at {temperature_K:g} K"
    cell = Cell(prototype.lattice_A)
    return MeasuredCell(
        ConventionalCell(cell.lengths(), cell.angles(), float(cell.volume)),
        measured_K,
        str(prototype.details["source"]),
    )


def _same_composition(one: Formula, other: Formula) -> bool:
    if set(one) != set(other):
        return False
    all_one, all_other = sum(one.values()), sum(other.values())
    return all(abs(one[e] / all_one - other[e] / all_other) < _SAME_SHARE for e in one)


def _same_occupancies(built: Mapping[str, Mapping[str, float]], prototype: Prototype) -> bool:
    measured = prototype.by_label
    return all(
        np.isclose(
            built.get(label, {}).get(element, 0.0),
            measured.get(label, {}).get(element, 0.0),
            atol=_SAME_OCCUPANCY,
        )
        for label in {*built, *measured}
        for element in {*built.get(label, {}), *measured.get(label, {})}
    )
