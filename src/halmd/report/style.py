"""What all figures share: colours, sizes, the words for a material, and temperature axes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from halmd.composition import parse_formula
from halmd.config import PlotSettings
from halmd.errors import HalmdError
from halmd.report.results import MaterialResults
from halmd.units import KELVIN_AT_0_C

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, told apart by all common kinds of colour vision."""

MARKERS = ("o", "s", "D", "p")
"""Of means, one after the other when the colours are used up."""

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "axes.spines.right": True,
    "svg.hashsalt": "halmd",
    "svg.fonttype": "path",
    "mathtext.default": "regular",
}

_CELSIUS_TICKS = (-50, -25, 0, 25, 50, 100, 150, 200, 300, 400, 500, 700, 1000)
_KELVIN_TICKS = (200, 225, 250, 300, 350, 400, 500, 600, 800, 1000, 1300)


@dataclass(frozen=True)
class Look:
    """How a material is drawn."""

    label: str
    """Its words, with amounts as subscripts, in mathtext."""
    colour: str
    marker: str


def looks(results: Sequence[MaterialResults], settings: PlotSettings) -> list[Look]:
    """Look of each material: what the settings say, else its formula and the next free colour.

    Materials of one formula are told apart by their names.
    """
    formulas = [material.formula for material in results]
    found = []
    for number, material in enumerate(results):
        label = subscripted(material.formula)
        if formulas.count(material.formula) > 1:
            label += f" ({material.name})"
        if material.name in settings.labels:
            label = with_subscripts(settings.labels[material.name])
        colour = settings.colours.get(material.name, COLOURS[number % len(COLOURS)])
        found.append(Look(label, colour, MARKERS[number // len(COLOURS) % len(MARKERS)]))
    return found


def subscripted(formula: str) -> str:
    """A formula with its amounts as subscripts, in mathtext."""
    return re.sub(r"(\d+(?:\.\d+)?(?:/\d+)?)", r"$_{\1}$", formula)


def with_subscripts(words: str) -> str:
    """A line of words, in which the amounts of formulas become subscripts; other digits stay."""
    # A dollar in a person's words is a dollar, and never begins mathtext.
    plain = words.replace("$", r"\$")
    return re.sub(r"[A-Z][\w.()/\[\]]*[\w)\]]", _if_formula, plain)


def _if_formula(match: re.Match[str]) -> str:
    word = match.group()
    if word.endswith(")") and word.count("(") < word.count(")"):
        return with_subscripts(word[:-1]) + ")"
    try:
        elements = parse_formula(word)
    except HalmdError:
        return word
    return subscripted(word) if len(elements) > 1 else word


def in_doubt(material: MaterialResults) -> str:
    """A second line for narrow titles, where the crystal is of low confidence."""
    return "\nLOW confidence" if material.doubtful else ""


def doubt_words(material: MaterialResults) -> str:
    """What a title or legend adds for a crystal of low confidence."""
    return f" (LOW confidence: {material.structure['prototype']})" if material.doubtful else ""


def temperature_words(temperature_K: float, unit: str) -> str:
    """A temperature in the unit of the settings, C or K."""
    if unit == "K":
        return f"{temperature_K:g} K"
    return f"{temperature_K - KELVIN_AT_0_C:.0f} °C"


def add_temperatures_on_top(axes: Axes, unit: str) -> None:
    """Above an axis of 1000/T the temperature itself, in °C or K."""
    offset = KELVIN_AT_0_C if unit == "C" else 0.0

    def there(per_1000_K: Any) -> Any:
        return 1000 / np.maximum(per_1000_K, 1e-6) - offset

    def back(temperature: Any) -> Any:
        return 1000 / np.maximum(np.asarray(temperature) + offset, 1e-6)

    top = axes.secondary_xaxis("top", functions=(there, back))
    top.set_xlabel("temperature (°C)" if unit == "C" else "temperature (K)")
    coldest, hottest = sorted(there(end) for end in axes.get_xlim())
    ticks = _CELSIUS_TICKS if unit == "C" else _KELVIN_TICKS
    top.set_xticks([tick for tick in ticks if coldest <= tick <= hottest])
    top.minorticks_off()


def kelvins(temperatures_K: Iterable[float]) -> str:
    """Temperatures in words, each once: 300 K, or 300, 350 K."""
    return ", ".join(f"{T:g}" for T in sorted(set(temperatures_K))) + " K"


def say_empty(axes: Axes, words: str) -> None:
    """Say in the middle of axes why nothing is drawn there."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=9)
