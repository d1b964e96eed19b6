"""What a distillation may say: compositions, teacher, snapshots, student, bars."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from halmd.composition import parse_formula
from halmd.config import Element, Folder, Name, NotNegative, Positive, Settings, problem_in
from halmd.errors import HalmdError
from halmd.files import read_json

Count = Annotated[int, Field(ge=0, le=1_000_000)]
AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(gt=-0.5, lt=1.0)]


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("the first of the two must be the smaller")
    return span


Strains = Annotated[tuple[Fraction, Fraction], AfterValidator(_rising)]
Lengths = Annotated[tuple[NotNegative, Positive], AfterValidator(_rising)]
Slopes = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]


ROUND_FILE = "round.json"
"""In the folder of a distillation: the families that each repeated round explores."""


class Term(Settings):
    """One ASE calculator of the teacher; the teacher is the weighted sum of its terms."""

    name: Name
    """Folder of its labels; change it when anything but the weight changes."""
    calculator: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """Import path module:factory of an ASE calculator in the teacher's environment."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the factory."""
    weight: float = 1.0
    """Factor of its energy, forces and stress in the sum; no new labels are needed to change it."""


class TeacherSettings(Settings):
    """What the student learns from."""

    python: str | None = None
    """Interpreter of the environment the teacher is installed in; halmd's own when left out."""
    terms: Annotated[list[Term], Field(min_length=1)]
    """Calculators whose energies, forces and stresses are summed."""
    shard: AtLeastOne = 20
    """Snapshots labelled between two writes: what a killed labelling loses at most."""

    @field_validator("terms")
    @classmethod
    def _distinct(cls, terms: list[Term]) -> list[Term]:
        if len({term.name for term in terms}) != len(terms):
            raise ValueError("two terms have the same name")
        return terms


class CompositionSettings(Settings):
    """One composition to learn, or to be tested on without having learnt it."""

    formula: str
    """Chemical formula, for example Li3YCl6."""
    prototype: str | None = None
    """Name in structures/prototypes.yaml, or a path to a CIF; chosen by formula when left out."""
    site_fractions: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Total occupancy of sites (CIF labels), as in a campaign."""
    oxidation_states: dict[Element, Annotated[int, Field(ge=-4, le=7)]] = Field(
        default_factory=dict
    )
    """Oxidation states that the formula leaves open."""
    held_out: bool = False
    """Never trained on; the student is judged on it."""
    share: Positive = 1.0
    """Weight with which its orderings are drawn for MD."""


class FamilySettings(Settings):
    """Compositions that are judged together."""

    name: str
    """As it stands in the card."""
    compositions: Annotated[list[CompositionSettings], Field(min_length=1)]
    """Formulas, or mappings with `formula:` and more."""
    covered: bool = True
    """Whether the card vouches for it: elements and crystals of no covered family are refused by
    campaigns, although the student learnt and was judged on them."""

    @field_validator("compositions", mode="before")
    @classmethod
    def _plain_formulas(cls, entries: Any) -> Any:
        if not isinstance(entries, list):
            return entries
        return [{"formula": entry} if isinstance(entry, str) else entry for entry in entries]


class CellSettings(Settings):
    """One size of cell, and how many orderings of each composition are built in it."""

    min_length_A: Positive
    """Shortest distance between opposite faces, in Å."""
    max_atoms: AtLeastOne = 60
    """Largest cell; the nearest composition it has room for is taken."""
    orderings: AtLeastOne = 3
    """Orderings to learn from."""
    held_out: Count = 1
    """Further orderings, kept for the test."""


class SeedSettings(Settings):
    """Snapshots the first student learns from."""

    rattles: Count = 6
    """Rattled and strained copies of each ordering."""
    rattle_A: Lengths = (0.02, 0.30)
    """Standard deviation of the displacements, drawn for each snapshot, in Å."""
    mobile_factor: Positive = 1.5
    """How much further mobile ions are moved."""
    volume_strain: Strains = (-0.15, 0.18)
    """Relative change of volume, drawn for each snapshot."""
    shear_strain: NotNegative = 0.03
    """Standard deviation of the symmetric shear."""
    defects: Count = 1
    """Copies of each ordering with a mobile ion missing, added, or moved into a void."""
    contacts: Count = 1
    """Copies of each composition for each pair of its species, brought close together."""
    mixtures: Count = 60
    """Cells whose metals and anions are exchanged at random for others of the whole set, one pair
    brought close together: contacts between species that share no composition."""
    contact_A: Lengths = (1.3, 2.4)
    """Distances of the pairs brought close together, in Å."""


class StudentSettings(Settings):
    """Shape of a MACE student and how it is fitted."""

    hidden_irreps: Annotated[str, Field(pattern=r"^\d+x0e(\s*\+\s*\d+x1o)?$")] = "32x0e"
    """Features of each atom; N x 0e or N x 0e + N x 1o."""
    r_max_A: Positive = 5.0
    """Cutoff of the neighbourhood, in Å."""
    radial: tuple[AtLeastOne, ...] = (64, 64, 64)
    """Hidden layers of the radial network."""
    epochs: AtLeastOne = 40
    """Passes over the snapshots."""
    batch_size: AtLeastOne = 2
    """Snapshots of mean size for each step of the optimiser, shared by its processes."""
    processes: AtLeastOne = 1
    """Processes of one thread that share a step; a GPU, where there is one, is used by one."""
    learning_rate: Positive = 0.02
    """Largest step of the optimiser; it rises at the start and falls to nothing at the end."""
    energy_weight: NotNegative = 3.0
    """Weight of energies per atom (eV) in the loss."""
    forces_weight: NotNegative = 1.0
    """Weight of forces (eV/Å) in the loss."""
    stress_weight: NotNegative = 20.0
    """Weight of stresses (eV/Å³) in the loss."""
    energy_knee_meV: Positive = 1.0
    """Error of energies per atom beyond which the loss is linear, in meV."""
    force_knee_meV_per_A: Positive = 20.0
    """Error of forces beyond which the loss is linear, in meV/Å."""
    stress_knee_meV_per_A3: Positive = 0.1
    """Error of stresses beyond which the loss is linear, in meV/Å³."""
    max_force_eV_per_A: Positive = 300.0
    """Snapshots with a larger force are left to the repulsion at short range (ZBL)."""
    compiled: bool = True
    """Compile the training step: on a CPU, for a multiple of 16 channels, in seconds and then ten
    times faster; else in minutes (once), then two to three times faster."""
    warm_start: bool = True
    """Go on from the weights of the last explorer, where it has the same shape."""


class MDSettings(Settings):
    """Student MD that looks for snapshots."""

    temperatures_K: Annotated[list[Positive], Field(min_length=1)]
    """Temperatures; each run draws one."""
    runs: AtLeastOne
    """Number of runs; each starts from an ordering drawn at random."""
    length_ps: Positive = 4.0
    """Length of a run, in ps."""
    snapshots: AtLeastOne = 8
    """Snapshots taken from each run."""
    volume_strain: Strains = (-0.10, 0.12)
    """Relative change of volume at the start, drawn for each run."""
    npt_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of the runs at constant pressure."""
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the snapshots that is labelled: those the descriptors tell are least known."""
    families: tuple[str, ...] = ()
    """Families that are explored; all when left out."""
    exchanged: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the runs whose metals and anions are exchanged at random for others of their
    charge; compositions that are held out are never made."""


class GenerationSettings(MDSettings):
    """One round of exploring: student MD, labelled and learnt by the students after it."""

    student: StudentSettings | None = None
    """The student that explores; `explorer` when left out."""


class DiffusivitySettings(Settings):
    """Short MD of the teacher, for its diffusivity beside the student's."""

    compositions: Annotated[list[str], Field(min_length=1)]
    """Formulas among those of the families; the smallest ordering of each is taken."""
    temperatures_K: Annotated[tuple[Positive, ...], Field(min_length=1)] = (900.0, 1100.0)
    """Hot, because the teacher's runs must be short."""
    length_ps: Positive = 12.0
    """Length of each run, in whole ps."""
    timestep_fs: Annotated[float, Field(gt=0, le=4)] = 2.0
    """Integration step of both, in fs."""
    student_runs: AtLeastOne = 8
    """Runs of the student for one of the teacher."""


class BarSettings(Settings):
    """What the student must reach on what it never saw."""

    force_relative: Positive = 0.05
    """Force error over the teacher's RMS force, in every family."""
    mobile_force_meV_per_A: Positive = 30.0
    """Force error of the mobile species."""
    slope: Slopes = (0.98, 1.02)
    """Slope of the student's forces on the teacher's, for every element."""
    energy_meV_per_atom: Positive = 1.0
    """Energy error in every family."""
    volume_at_rest: Positive = 0.005
    """Relative difference of the relaxed volumes of student and teacher, in every family."""
    volume_in_npt: Positive = 0.01
    """The same of their mean volumes in NPT at 500 K."""
    collapse_ps: Positive = 100.0
    """Length of MD at 1200 K in a cell compressed by 15 %, in which no family may collapse."""
    stability_ps: Positive = 1000.0
    """Length of MD at 800 K that every family must survive, in steps of 20 ps; it may melt, if the
    teacher agrees with the forces on the way."""


def _check_scaffold(small: StudentSettings, large: StudentSettings) -> None:
    wanted = large.hidden_irreps.replace(" ", "").split("+")
    if small.hidden_irreps != wanted[0] or len(wanted) != 2:
        raise ValueError(
            f"scaffold: a student of {large.hidden_irreps} cannot begin as one of "
            f"{small.hidden_irreps}: the first must be N x 0e + N x 1o, the other the same N x 0e"
        )
    if (small.r_max_A, small.radial) != (large.r_max_A, large.radial):
        raise ValueError("scaffold: its r_max_A and radial must be those of the student")


class WidenSettings(Settings):
    """A finished student of fewer elements that the first student of a distillation begins as."""

    student: str
    """Its distillation file, which must be among those included."""
    like: dict[Element, Element] = Field(default_factory=dict)
    """What each new element begins as: a known one of its charge and much its size (F: Cl)."""


class DistillSettings(Settings):
    """A whole distillation: everything that decides a student."""

    name: Name
    """Name under which the student is registered."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random."""
    work: Folder = "work/distill"
    """Folder of snapshots, labels and fits; a folder of the student's name is made in it."""
    register_in: Folder = "potentials"
    """Folder of named potentials that the finished student is put into; `potential: NAME` finds
    what lies in potentials/ of the folder a campaign runs in."""
    workers: AtLeastOne = 2
    """Processes of one thread each that label and explore."""
    mobile: Element = "Li"
    """The mobile species."""
    extra_elements: tuple[Element, ...] = ()
    """Elements that get room in the student beside those of the compositions, to widen it later."""
    include: tuple[str, ...] = ()
    """Other distillation files: their labels are learnt too, and their tests are judged."""
    included_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the snapshots of those files that is learnt, drawn at random: a student that begins
    as theirs (`widen`) needs only to be kept from forgetting. All of their hard cores are."""
    widen: WidenSettings | None = None
    """Begin with the finished student of another distillation, which had fewer elements."""
    teacher: TeacherSettings
    """What the student learns from."""
    families: Annotated[list[FamilySettings], Field(min_length=1)]
    """Compositions, in families that are judged together."""
    cells: Annotated[tuple[CellSettings, ...], Field(min_length=1)] = (
        CellSettings(min_length_A=6.0),
    )
    """Sizes of cells."""
    seeds: SeedSettings = SeedSettings()
    """Snapshots the first student learns from."""
    cores: Count = 0
    """Cells for each pair of species, pressed together as far as the teacher can be asked; finished
    students learn from them that forces go on growing inwards."""
    extra: tuple[str, ...] = ()
    """Files of further snapshots (extxyz) to label and to learn, such as the extrapolating.extxyz
    of runs that left what a student knew."""
    explorer: StudentSettings = StudentSettings(hidden_irreps="16x0e", epochs=20)
    """Students that explore, where a generation has none of its own."""
    generations: tuple[GenerationSettings, ...] = ()
    """Student MD, labelled and learnt, one after the other."""
    student: StudentSettings = StudentSettings()
    """The student that is shipped."""
    scaffold: StudentSettings | None = None
    """A student of scalars (N x 0e) that is fitted first and that the shipped one, of N x 0e +
    N x 1o, begins as: much of the way at half the price of a step."""
    rounds: Count = 0
    """How often at most, while a bar is missed, the last generation's MD is repeated with the
    finished student, labelled, learnt and judged again."""
    round: Count = 0
    """Rounds repeated so far; `halmd distill` counts them itself."""
    committee: Annotated[int, Field(ge=0, le=8)] = 0
    """Further students of other seeds, for the uncertainty of a run."""
    committee_epochs: AtLeastOne | None = None
    """Passes over the snapshots for each of them; those of `student` when left out."""
    test: MDSettings
    """MD of the finished student on orderings, compositions and temperatures kept apart."""
    diffusivity: DiffusivitySettings | None = None
    """Diffusivities of teacher and student side by side: hours of MD; none when left out."""
    bars: BarSettings = BarSettings()
    """What the student must reach."""

    @model_validator(mode="after")
    def _distinct(self) -> "DistillSettings":
        names = [family.name for family in self.families]
        if len(set(names)) != len(names):
            raise ValueError("two families have the same name")
        if self.rounds and not self.generations:
            raise ValueError("rounds repeat the last generation, and there is none")
        if self.scaffold is not None:
            _check_scaffold(self.scaffold, self.student)
        for plan in (*self.generations, self.test):
            unknown = set(plan.families) - set(names)
            if unknown:
                raise ValueError(f"families: {', '.join(sorted(unknown))}: no such family")
        return self

    def after(self, rounds: Sequence[Sequence[str]]) -> "DistillSettings":
        """These settings with more rounds: generations that a finished student explores.

        Each round is the families it explores; none for all.
        """
        repeated = [
            self.generations[-1].model_copy(
                update={"student": self.student, "families": tuple(families)}
            )
            for families in rounds
        ]
        generations = (*self.generations, *repeated)
        return self.model_copy(
            update={"generations": generations, "round": self.round + len(rounds)}
        )

    def with_included(self) -> list["DistillSettings"]:
        """These settings and those of the files they include, which include no others."""
        return [self, *(load_distill(Path(path)) for path in self.include)]

    @property
    def folder(self) -> Path:
        """Where everything of this student is kept."""
        return Path(self.work) / self.name

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements the student has room for, sorted."""
        found = set(self.extra_elements)
        for family in self.families:
            for composition in family.compositions:
                found |= set(parse_formula(composition.formula))
        return tuple(sorted(found))


def load_distill(path: Path) -> DistillSettings:
    """Read and validate a distillation file; raises HalmdError with one line on any mistake."""
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HalmdError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HalmdError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(record, dict):
        raise HalmdError(f"{path}: expected `key: value` lines, found {type(record).__name__}")
    try:
        settings = DistillSettings.model_validate(record)
    except ValidationError as error:
        raise HalmdError(f"{path}: {problem_in(error, DistillSettings)}") from None
    settings = _with_elements_of_included(path, settings)
    note = settings.folder / ROUND_FILE
    return settings.after(read_json(note)["rounds"]) if note.is_file() else settings


def _with_elements_of_included(path: Path, settings: DistillSettings) -> DistillSettings:
    """Give the student room for the elements of the files it includes."""
    elements = set(settings.extra_elements)
    for other in settings.with_included()[1:]:
        if other.include:
            raise HalmdError(f"{path}: include: {other.name} includes others itself; name them all")
        if other.teacher.terms != settings.teacher.terms or other.mobile != settings.mobile:
            raise HalmdError(f"{path}: include: {other.name} has another teacher or mobile species")
        elements |= set(other.elements)
    settings = settings.model_copy(update={"extra_elements": tuple(sorted(elements))})
    if settings.widen:
        _check_widen(path, settings, settings.widen)
    return settings


def _check_widen(path: Path, settings: DistillSettings, widen: WidenSettings) -> None:
    if widen.student not in settings.include:
        raise HalmdError(f"{path}: widen: {widen.student} is not among the files of `include:`")
    known = load_distill(Path(widen.student)).elements
    for element in settings.elements:
        if element not in known and widen.like.get(element) not in known:
            raise HalmdError(
                f"{path}: widen: like: say which of {', '.join(known)} {element} begins as"
            )
