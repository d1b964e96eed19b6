"""What will be built of a formula, decided without building it: fast, and in words for people."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from halmd.composition import check_neutral, parse_formula
from halmd.config import StructureSettings
from halmd.errors import HalmdError
from halmd.structures.structure import decide
from halmd.structures.substitution import Substitution


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
    """Elements and the crystal that the potential was not trained on; None without a potential."""

    @property
    def atoms(self) -> int:
        """Atoms in the supercell."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """The plan in lines for people."""
        group = f" ({self.space_group})" if self.space_group else ""
        states = ", ".join(f"{e} {state:+d}" for e, state in self.oxidation_states.items())
        made = [
            f"{self.formula}: from {self.prototype}{group}, {self.why}",
            f"  oxidation states: {states}",
        ]
        if self.substitutions:
            made.append(f"  substituted: {'; '.join(self.substitutions)}")
        if abs(self.cell_scale - 1) > 5e-5:
            made.append(
                f"  cell: {100 * (self.cell_scale - 1):+.2f} % in length, by the sizes of the ions"
            )
        made.append(f"  {self.mobile}: {self._mobile_words()}")
        matrix = "; ".join(" ".join(str(n) for n in row) for row in self.supercell)
        made.append(f"  supercell: {self.atoms} atoms, [{matrix}]")
        exact = "exact" if self.deviation < 5e-7 else f"off by at most {self.deviation:.3g}"
        made.append(f"  composition: {self.achieved_formula}, {exact} per formula unit")
        made.append(f"  confidence: {self.confidence.upper() if self._low else self.confidence}")
        made += [f"    caution: {words}" for words in self.cautions]
        if self.uncovered is not None:
            text = "covers every element"
            if self.uncovered:
                text = f"was not trained on {', '.join(self.uncovered)}"
            made.append(f"  potential: {text}")
        return made

    @property
    def _low(self) -> bool:
        return self.confidence == "low"

    def _mobile_words(self) -> str:
        text = f"{self.counts[self.mobile]} ions on {self.mobile_sites} sites"
        for n, word in ((self.vacancies, "vacancies"), (self.interstitials, "interstitials")):
            if n > 0.005:
                text += f", {n:.4g} {word} against the prototype"
        return text


def _unknown_crystal(made: Substitution, known: Collection[str] | None) -> tuple[str, ...]:
    """The prototype, if a potential knows others only; a user's own CIF is not judged."""
    name = made.parent.name
    own = known is None or name in known or made.prototype.confidence == "user"
    return () if own else (f"the crystal {name}",)


def plan(
    formula: str,
    settings: StructureSettings,
    *,
    mobile: str = "Li",
    prototype: str | None = None,
    potential_elements: Collection[str] | None = None,
    potential_crystals: Collection[str] | None = None,
    site_fractions: Mapping[str, float] | None = None,
    fixed_states: Mapping[str, int] | None = None,
    structures_folder: Path | None = None,
) -> Plan:
    """Decide how a formula will be built: prototype, charges, substitutions, supercell.

    `potential_elements` and `potential_crystals` (prototypes) are those the campaign's potential
    was trained on, where that is known. Raises HalmdError for a formula that cannot be built, with
    what would mend it.
    """
    check_neutral(formula, mobile, fixed_states)
    if mobile not in parse_formula(formula):
        raise HalmdError(
            f"{formula} holds no {mobile}, whose diffusion would be measured; "
            "set diffusion.mobile to one of its elements"
        )
    build = decide(
        formula,
        settings,
        mobile=mobile,
        prototype=prototype,
        site_fractions=site_fractions,
        fixed_states=fixed_states,
        structures_folder=structures_folder,
    )
    made, cell = build.substitution, build.supercell
    n_cells = float(cell.formula_units / made.units_per_cell)
    change = made.mobile_change_per_cell * n_cells
    return Plan(
        formula=formula,
        mobile=mobile,
        prototype=made.parent.name,
        space_group=str(made.parent.details.get("space_group", "")),
        why=build.why,
        oxidation_states=build.oxidation_states,
        substitutions=made.replaced,
        mobile_sites=round(made.mobile_sites_per_cell * n_cells),
        vacancies=max(0.0, -change),
        interstitials=max(0.0, change),
        supercell=tuple((int(a), int(b), int(c)) for a, b, c in cell.matrix),
        counts=dict(cell.counts),
        achieved_formula=cell.achieved,
        deviation=cell.deviation,
        cell_scale=made.cell_scale,
        confidence=made.prototype.confidence,
        cautions=build.cautions,
        uncovered=None
        if potential_elements is None
        else (
            *(e for e in cell.counts if e not in potential_elements),
            *_unknown_crystal(made, potential_crystals),
        ),
    )
