"""What will be built of a formula, decided without building it: fast, and in words for people."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from halmd.composition import check_neutral, format_formula, parse_formula
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.prototypes import choose_prototype, load_prototype
from halmd.structures.structure import _units_per_cell
from halmd.structures.supercell import find_supercell


@dataclass(frozen=True)
class Plan:
    """Everything that is decided of a material before its orderings are drawn."""

    formula: str
    mobile: str
    """Element whose diffusion is measured."""
    prototype: str
    """Name in prototypes.yaml, or the stem of a CIF handed in."""
    space_group: str
    """Of the prototype, empty where it is not known."""
    why: str
    """Why this prototype: "chosen because ..."."""
    oxidation_states: Mapping[str, int]
    substitutions: tuple[str, ...]
    """Words on each species of the prototype that was replaced."""
    mobile_sites: int
    """Sites of the mobile ion in the supercell."""
    vacancies: float
    """Mobile ions fewer than the prototype has, per supercell."""
    interstitials: float
    """Mobile ions more than the prototype has, per supercell."""
    supercell: tuple[tuple[int, int, int], ...]
    """Rows are the new cell vectors in units of the prototype's."""
    counts: Mapping[str, int]
    """Atoms of each element in the supercell."""
    achieved_formula: str
    deviation: float
    """Largest deviation of an amount per formula unit."""
    cell_scale: float
    """Factor on the prototype's cell lengths, for ions of another size."""
    confidence: str
    """verbatim, derived, recalled, low, or user for a CIF handed in."""
    cautions: tuple[str, ...]
    """What a reader of any result must know; never empty where the confidence is low."""
    uncovered: tuple[str, ...] | None
    """Elements the potential was not trained on; None where no potential was named."""

    @property
    def atoms(self) -> int:
        """Atoms in the supercell."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """The plan in lines for people."""
        states = ", ".join(f"{e} {state:+d}" for e, state in self.oxidation_states.items())
        return [f"{self.formula}: {self.prototype}, {self.why}", f"  oxidation states: {states}"]


def plan(
    formula: str,
    settings: StructureSettings,
    *,
    mobile: str = "Li",
    prototype: str | None = None,
    potential_elements: Collection[str] | None = None,
    site_fractions: Mapping[str, float] | None = None,
    structures_folder: Path | None = None,
) -> Plan:
    """Decide how a formula will be built: prototype, charges, substitutions, supercell.

    `potential_elements` are those the campaign's potential was trained on. Raises HalmdError for a
    formula that cannot be built, with what would mend it.
    """
    states = check_neutral(formula, mobile)
    wanted = parse_formula(formula)
    if mobile not in wanted:
        raise HalmdError(f"{formula} holds no {mobile}, whose diffusion would be measured")
    chosen = load_prototype(
        prototype or choose_prototype(wanted, structures_folder), structures_folder
    )
    cell = find_supercell(
        chosen.lattice_A,
        wanted,
        states,
        _units_per_cell(wanted, states, chosen),
        min_length_A=settings.min_length_A,
        max_atoms=settings.max_atoms,
        tolerance=settings.composition_tolerance,
        mobile=mobile,
    )
    return Plan(
        formula=formula,
        mobile=mobile,
        prototype=chosen.name,
        space_group=str(chosen.details.get("space_group", "")),
        why="as asked for" if prototype else "chosen because it has this composition",
        oxidation_states=states,
        substitutions=(),
        mobile_sites=0,
        vacancies=0.0,
        interstitials=0.0,
        supercell=tuple((int(a), int(b), int(c)) for a, b, c in cell.matrix),
        counts=dict(cell.counts),
        achieved_formula=format_formula(
            {e: n / cell.formula_units for e, n in cell.counts.items()}
        ),
        deviation=cell.deviation,
        cell_scale=1.0,
        confidence=chosen.confidence,
        cautions=(),
        uncovered=None
        if potential_elements is None
        else tuple(e for e in wanted if e not in potential_elements),
    )
