"""Orderings whose ions are exchanged at random for others of the same charge.

A recipe lists some tens of compositions; students are asked about all that lie between them. Runs
from exchanged orderings show them neighbourhoods that no listed composition has.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from halmd.composition import check_neutral, parse_formula, reduced
from halmd.distill.settings import CompositionSettings, DistillSettings
from halmd.distill.starts import Start, bare
from halmd.structures.radii import relative_volume

_PALETTE = 3
"""Most species of one charge in an exchanged ordering."""


@dataclass(frozen=True)
class Exchange:
    """What may stand for what."""

    mobile: str
    """The species that stays itself."""
    states: Mapping[str, Mapping[str, int]]
    """Oxidation states of the species of every composition, by its formula."""
    species: Mapping[int, Sequence[str]]
    """Species of the trained compositions by charge, the mobile one left out."""
    held_out: Sequence[Mapping[str, Fraction]]
    """Compositions that no run may start from, as `reduced` writes them."""


def exchange_of(settings: DistillSettings) -> Exchange:
    """The species of a recipe that may be exchanged for one another."""
    every = [c for family in settings.families for c in family.compositions]
    states = {c.formula: _states(c, settings.mobile) for c in every}
    by_charge: dict[int, set[str]] = {}
    for composition in every:
        if not composition.held_out:
            for element, state in states[composition.formula].items():
                if element != settings.mobile:
                    by_charge.setdefault(state, set()).add(element)
    return Exchange(
        mobile=settings.mobile,
        states=states,
        species={state: sorted(found) for state, found in by_charge.items()},
        held_out=[reduced(parse_formula(c.formula)) for c in every if c.held_out],
    )


def _states(composition: CompositionSettings, mobile: str) -> dict[str, int]:
    return check_neutral(composition.formula, mobile, composition.oxidation_states)


def exchanged(start: Start, exchange: Exchange, rng: np.random.Generator) -> Start:
    """The same sites with other ions on them, and the volume that their radii ask for.

    Up to three species are drawn for every charge, and how much there is of each; the mobile
    species stays itself. Held-out compositions are never drawn.
    """
    states = exchange.states[start.composition]
    before = start.atoms.get_chemical_symbols()
    while True:
        palettes = {state: _palette(found, rng) for state, found in exchange.species.items()}
        symbols = list(before)
        new_states = dict(states)
        for place, symbol in enumerate(before):
            state = states[symbol]
            if symbol != exchange.mobile and state in palettes:
                species, shares = palettes[state]
                symbols[place] = str(rng.choice(species, p=shares))
                new_states[symbols[place]] = state
        if reduced(_amounts(symbols)) not in exchange.held_out:
            break
    atoms = bare(start.atoms)
    atoms.set_chemical_symbols(symbols)
    larger = relative_volume(_amounts(symbols), new_states) / relative_volume(
        _amounts(before), states
    )
    atoms.set_cell(np.array(atoms.cell) * larger ** (1 / 3), scale_atoms=True)
    return replace(start, atoms=atoms, tag=f"{start.tag}-exchanged")


def _palette(
    species: Sequence[str], rng: np.random.Generator
) -> tuple[Sequence[str], Sequence[float]]:
    """Some of the species, and the share of each."""
    count = int(rng.integers(1, min(_PALETTE, len(species)) + 1))
    drawn = [str(s) for s in rng.choice(list(species), count, replace=False)]
    return drawn, [float(share) for share in rng.dirichlet(np.ones(count))]


def _amounts(symbols: Sequence[str]) -> dict[str, Fraction]:
    return {symbol: Fraction(n) for symbol, n in Counter(symbols).items()}
