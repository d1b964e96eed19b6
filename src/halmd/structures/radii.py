"""Sizes of ions, and how the cell of a crystal changes when they are exchanged."""

from collections.abc import Mapping
from fractions import Fraction

from halmd.composition import Formula
from halmd.errors import HalmdError

SHANNON_A: Mapping[str, Mapping[int, float]] = {
    "Li": {1: 0.76},
    "Na": {1: 1.02},
    "K": {1: 1.38},
    "Rb": {1: 1.52},
    "Cs": {1: 1.67},
    "Ag": {1: 1.15},
    "Be": {2: 0.45},
    "Mg": {2: 0.72},
    "Ca": {2: 1.0},
    "Sr": {2: 1.18},
    "Ba": {2: 1.35},
    "Zn": {2: 0.74},
    "Cd": {2: 0.95},
    "Al": {3: 0.535},
    "Ga": {3: 0.62},
    "In": {3: 0.8},
    "Sc": {3: 0.745},
    "Y": {3: 0.9},
    "La": {3: 1.032},
    "Ce": {3: 1.01, 4: 0.87},
    "Pr": {3: 0.99},
    "Nd": {3: 0.983},
    "Sm": {3: 0.958},
    "Eu": {3: 0.947, 2: 1.17},
    "Gd": {3: 0.938},
    "Tb": {3: 0.923},
    "Dy": {3: 0.912},
    "Ho": {3: 0.901},
    "Er": {3: 0.89},
    "Tm": {3: 0.88},
    "Yb": {3: 0.868, 2: 1.02},
    "Lu": {3: 0.861},
    "Bi": {3: 1.03},
    "Zr": {4: 0.72},
    "Hf": {4: 0.71},
    "Si": {4: 0.4},
    "Ge": {4: 0.53},
    # Sn2+ has no entry of Shannon's: its lone pair fits no sphere. 1.18 is that of Sr2+.
    "Sn": {4: 0.69, 2: 1.18},
    "Nb": {5: 0.64},
    "Ta": {5: 0.64},
    "Sb": {3: 0.76, 5: 0.6},
    "W": {6: 0.6, 5: 0.62, 4: 0.66},
    "Mo": {6: 0.59, 5: 0.61, 4: 0.65, 3: 0.69},
    "Ti": {3: 0.67, 4: 0.605, 2: 0.86},
    "V": {3: 0.64, 2: 0.79, 4: 0.58},
    "Cr": {3: 0.615, 2: 0.8},
    "Mn": {2: 0.83, 3: 0.645},
    "Fe": {2: 0.78, 3: 0.645},
    "Co": {2: 0.745, 3: 0.61},
    "Ni": {2: 0.69},
    "Cu": {2: 0.73, 1: 0.77},
    "F": {-1: 1.33},
    "Cl": {-1: 1.81},
    "Br": {-1: 1.96},
    "I": {-1: 2.2},
    "O": {-2: 1.4},
    "S": {-2: 1.84},
    # Shannon lists N3- for four neighbours only.
    "N": {-3: 1.46},
}
"""Ionic radii for six neighbours, high spin, in Å: Shannon, Acta Cryst. A32 (1976) 751."""

_ANION_IN_CELL_A = {"F": 1.24, "Cl": 1.81, "Br": 1.99, "I": 2.20}
"""Radii that reproduce the cells of the halides Li3YCl6, Li3YBr6, Li3ErI6 and Li2ZrF6 among one
another; Shannon's are 1.33, 1.81, 1.96 and 2.20 Å."""

_CATION_SHARE = 0.75
"""How much of a change of the mean cation radius the mean bond follows: Li2MgCl4 to Li2CdCl4 0.76,
Li3YCl6 to Li3ScCl6 0.75, Li3YCl6 to Li2.5Y0.5Zr0.5Cl6 0.76."""

_BOND_OFFSET_A = 0.23
"""What is left of the mean bond of Li3YCl6 (2.634 Å from its volume per anion)."""


def radius_A(element: str, state: int) -> float:
    """Ionic radius of an element in an oxidation state; raises HalmdError where none is known."""
    try:
        return SHANNON_A[element][state]
    except KeyError:
        raise HalmdError(f"no ionic radius is known for {element} {state:+d}") from None


def mean_radius_A(formula: Formula, states: Mapping[str, int]) -> float:
    """Mean radius of the ions of a formula, weighted by amount; 0 for an empty one."""
    total = sum(formula.values(), Fraction(0))
    if not total:
        return 0.0
    return float(
        sum(float(amount) * radius_A(e, states[e]) for e, amount in formula.items()) / float(total)
    )


def relative_volume(formula: Formula, states: Mapping[str, int]) -> float:
    """Volume per anion of a close-packed compound, up to a factor common to all.

    The mean bond is the anion's radius and three quarters of the mean cation radius; its cube is
    averaged over the anions (Vegard in volumes). The ratio of two such numbers is the ratio of the
    volumes per anion, to about 2 % among the measured prototypes of one family.
    """
    cations = {e: amount for e, amount in formula.items() if states[e] > 0}
    anions = {e: amount for e, amount in formula.items() if states[e] < 0}
    mean = mean_radius_A(cations, states)
    total = float(sum(anions.values(), Fraction(0)))
    return sum(
        float(amount)
        / total
        * (_ANION_IN_CELL_A.get(e, radius_A(e, states[e])) + _CATION_SHARE * mean + _BOND_OFFSET_A)
        ** 3
        for e, amount in anions.items()
    )
