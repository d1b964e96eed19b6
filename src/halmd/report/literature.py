"""Published values that belong beside the results of some materials."""

from collections.abc import Sequence
from dataclasses import dataclass

from halmd.config import PlotSettings
from halmd.reference import Published, computed, measured
from halmd.report.results import MaterialResults

NEAR_K = 10.0
"""Values measured so near to a temperature stand for it: 12 % in sigma at 3 K and 0.3 eV."""


@dataclass(frozen=True)
class Shown:
    """A published value and the material, by its place among the results, that it stands beside."""

    number: int
    kind: str
    """measured, or published: computed by others."""
    value: Published


def shown(results: Sequence[MaterialResults], settings: PlotSettings) -> list[Shown]:
    """Published values of the materials that the settings ask for, each value once.

    Computed values of a composition nearby may belong to several materials; the first has them.
    """
    found: list[Shown] = []
    known: set[Published] = set()
    for number, material in enumerate(results):
        values = []
        if settings.show_measured:
            values += [("measured", value) for value in measured(material.formula, material.family)]
        if settings.show_computed:
            values += [("published", value) for value in computed(material.formula)]
        for kind, value in values:
            if value not in known:
                known.add(value)
                found.append(Shown(number, kind, value))
    return found


def measured_near(formula: str, temperature_K: float, family: str | None = None) -> list[Published]:
    """Measured values of this composition within `NEAR_K` of a temperature, as published.

    Without those of crystals of another family of prototypes, where one is given.
    """
    values = measured(formula, family)
    return [value for value in values if abs(value.temperature_K - temperature_K) <= NEAR_K]
