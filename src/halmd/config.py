"""What a campaign may say: the single definition of every setting, its unit and its limits.

The JSON schema (`config.schema.json`), the Snakefile and the command line all use these models.
"""

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from halmd.errors import HalmdError

SCHEMA_FILE = Path(__file__).with_name("config.schema.json")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
Element = Annotated[str, Field(pattern=r"^[A-Z][a-z]?$")]


def _plain_path(path: str) -> str:
    if not re.fullmatch(r"[\w./+-]+", path):
        raise ValueError("a folder may hold letters, digits and . _ + - / only")
    return path


Folder = Annotated[str, AfterValidator(_plain_path)]
"""A path without blanks and other characters that mean something to a shell."""


class Settings(BaseModel):
    """Base of all settings: no unknown keys, no silent change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StructureSettings(Settings):
    """How supercells and orderings are built."""

    min_length_A: Positive = 11.0
    """Shortest allowed distance between opposite faces of the supercell, in Å."""
    max_atoms: Annotated[int, Field(ge=1, le=100_000)] = 400
    """Largest supercell that may be built."""
    composition_tolerance: NotNegative = 0.02
    """Largest deviation of an element's amount per formula unit from the formula written."""
    beyond_tolerance: Literal["refuse", "nearest"] = "refuse"
    """Where no supercell of up to max_atoms is within the tolerance: refuse, naming the size that
    would be, or take the nearest and report its deviation."""
    n_orderings: Annotated[int, Field(ge=1, le=100)] = 2
    """How many symmetry-distinct orderings are kept for each material."""
    ordering_temperature_K: Positive = 800.0
    """Temperature of the Monte Carlo sampling on the Ewald energy (the synthesis temperature)."""
    monte_carlo_steps: Annotated[int, Field(ge=1)] = 20_000
    """Monte Carlo moves for each ordering."""
    sampling: Literal["boltzmann", "random", "low_energy"] = "boltzmann"
    """boltzmann: drawn at ordering_temperature_K; random: as if it were infinite, only sites too
    close are kept apart; low_energy: cooled slowly, the lowest Ewald energies kept."""
    sqs: bool = False
    """Arrange the metals special-quasirandomly (sqsgenerator) and sample the rest around them."""
    rank_by: Literal["ewald", "potential", "relaxed"] = "ewald"
    """Which orderings are kept: those drawn, in the order of their Ewald energy; or those of lowest
    energy by the campaign's potential, as built or relaxed, out of `candidates` times as many."""
    candidates: Annotated[int, Field(ge=1, le=100)] = 5
    """Orderings drawn for each one kept, where the potential ranks them."""


def _kind_of_temperatures(value: Any) -> str:
    return "<auto>" if isinstance(value, str) else "<list>"


Temperatures = Annotated[
    Annotated[list[Positive], Field(min_length=1), Tag("<list>")]
    | Annotated[Literal["auto"], Tag("<auto>")],
    Discriminator(_kind_of_temperatures),
]
"""Tags in angle brackets are no part of a path that a person reads."""


class DynamicsSettings(Settings):
    """How molecular dynamics is run; equilibration and production use the same settings."""

    engine: Literal["lean", "batched", "ase"] = "lean"
    """What moves the atoms in production: halmd's own integrator, with next to nothing around the
    forces; the same for all runs of a material at once, for a GPU; or ASE's. All with Bussi's
    thermostat."""
    batch_atoms: Annotated[int, Field(ge=1)] | None = None
    """Most atoms at once with `engine: batched`; what the GPU has memory for when left out."""
    temperatures_K: Temperatures = [500.0, 600.0, 700.0, 800.0]
    """Temperatures of the campaign, in K. `auto` looks for them, for every material: between where
    its framework gives way in a short hot ramp and where its ions jump too seldom for a run."""
    n_temperatures: Annotated[int, Field(ge=2, le=20)] = 5
    """How many temperatures `auto` chooses."""
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Independent runs of every ordering and temperature (other seeds)."""
    timestep_fs: Annotated[float, Field(gt=0, le=5)] = 2.0
    """Integration step, in fs."""
    pressure_GPa: Annotated[float, Field(ge=-10, le=100)] = 0.0
    """External pressure of the NPT stage, in GPa."""
    equilibration_ps: Positive = 16.0
    """Length of NPT, in ps; the cell is averaged over the second half."""
    production_ps: Positive = 100.0
    """Length of NVT at the mean cell, in ps; of every run alike."""
    target_relative_error: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Instead of one length for all: every run goes on until the relative standard error of its
    diffusivity is this small. Cold runs get more, hot ones less."""
    min_ps: Positive = 20.0
    """Length of a run with `target_relative_error` before its diffusivity is looked at, in ps."""
    max_ps: Positive = 500.0
    """Largest length of a run with `target_relative_error`, in ps."""
    frame_interval_fs: Positive = 50.0
    """Time between saved positions, in fs: short enough to see every jump."""
    checkpoint_interval_ps: Positive = 2.0
    """Time between checkpoints, in ps: what a killed run loses at most."""
    uncertainty_interval_ps: NotNegative = 1.0
    """Time between looks of the potential's committee at the run, in ps, where it has one: whole
    frames, at least one; 0 for none."""
    thermostat_time_ps: Positive = 1.0
    """Relaxation time of the Bussi thermostat, in ps; much shorter slows diffusion."""
    barostat_time_ps: Positive = 1.0
    """Relaxation time of the MTK barostat, in ps."""

    @field_validator("temperatures_K")
    @classmethod
    def _distinct(cls, values: list[float] | str) -> list[float] | str:
        if isinstance(values, str):
            return values
        # Folders name temperatures with six digits; two that agree in those would share one.
        if len({f"{value:g}" for value in values}) != len(values):
            raise ValueError("the same temperature stands twice")
        return sorted(values)

    @model_validator(mode="after")
    def _rising_lengths(self) -> "DynamicsSettings":
        if self.min_ps > self.max_ps:
            raise ValueError(f"min_ps={self.min_ps:g} is more than max_ps={self.max_ps:g}")
        return self

    @model_validator(mode="after")
    def _whole_steps(self) -> "DynamicsSettings":
        steps = self.frame_interval_fs / self.timestep_fs
        if abs(steps - round(steps)) > 1e-6 or steps < 0.5:
            raise ValueError(
                f"frame_interval_fs={self.frame_interval_fs:g} is not a whole number of "
                f"timesteps of {self.timestep_fs:g} fs"
            )
        frames = self.checkpoint_interval_ps * 1000 / self.frame_interval_fs
        if abs(frames - round(frames)) > 1e-6 or frames < 0.5:
            raise ValueError(
                f"checkpoint_interval_ps={self.checkpoint_interval_ps:g} is not a whole number of "
                f"frames of {self.frame_interval_fs:g} fs"
            )
        return self


LATTICE_K = 300.0
LATTICE_PS = 20.0
"""Of NPT in `halmd lattice`; 60 atoms of Li3YCl6 gave volumes to 0.06 and 0.12 % in that length."""


class DiffusionSettings(Settings):
    """How displacements become a diffusivity."""

    mobile: Element = "Li"
    """Element whose diffusion is measured; all other atoms are the framework."""
    charge_e: Annotated[int, Field(ge=-7, le=7)] = 1
    """Charge of the mobile ion, in elementary charges."""
    fit_from_ps: Positive | None = None
    """Start of the fit window, in ps; chosen from the data when left out."""
    fit_to_ps: Positive | None = None
    """End of the fit window, in ps; twice its start when left out."""
    framework: Annotated[list[Element], Field(min_length=1)] | None = None
    """Elements whose centre of mass is held still; all but the mobile one when left out."""
    min_jumps: Annotated[float, Field(ge=0)] = 50.0
    """Fewest effective jumps for which a diffusivity is quoted."""
    jump_length_A: Positive = 2.5
    """Distance that counts as one jump, in Å: for effective jumps, and for the fit window, which
    starts where the MSD is twice its square."""
    target_relative_error: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Relative error of D for which the needed length of run is estimated."""

    @model_validator(mode="after")
    def _window(self) -> "DiffusionSettings":
        if self.fit_from_ps and self.fit_to_ps and self.fit_from_ps >= self.fit_to_ps:
            raise ValueError(
                f"fit_from_ps={self.fit_from_ps:g} is not before fit_to_ps={self.fit_to_ps:g}"
            )
        return self


class ArrheniusSettings(Settings):
    """How diffusivities at several temperatures become an activation energy."""

    curve: Literal["auto", "line", "two_lines", "vtf"] = "auto"
    """Curve of ln(sigma T); auto averages one line and two joined lines by their evidence."""
    extrapolate_to_K: Positive = 300.0
    """Temperature to which the conductivity is extrapolated, in K."""
    at_temperatures_K: list[Positive] = []
    """Further temperatures at which the conductivity is given, in K."""
    regime_changes_per_1000_per_K: Annotated[float, Field(ge=0, le=10)] = 0.25
    """Changes of Ea to expect per unit of 1000/T, inside and beyond the data; 0 for one line."""
    between_orderings_prior_ln: Annotated[float, Field(gt=0, le=3)] = 0.5
    """Scale of the half-Student prior of the spread between orderings, in ln units."""
    scatter_prior_ln: Annotated[float, Field(gt=0, le=3)] = 0.2
    """Scale of the half-Student prior of what neither curve nor error explains, in ln units."""
    n_samples: Annotated[int, Field(ge=1000, le=1_000_000)] = 20_000
    """Posterior samples of (Ea, prefactor)."""


FigureFormat = Literal["svg", "png", "pdf"]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("a label is one line of words")
    return text


def _drawable_colour(colour: str) -> str:
    # Only who chooses colours pays for the import.
    from matplotlib.colors import is_color_like

    if not is_color_like(colour) or colour.lower() == "none":
        raise ValueError("no colour; write a name such as teal, or '#0072B2' in quotes")
    return colour


class PlotSettings(Settings):
    """How figures look; changing this never runs molecular dynamics again."""

    formats: Annotated[list[FigureFormat], Field(min_length=1)] = ["svg", "png"]
    """Files written for each figure."""
    dpi: Annotated[int, Field(ge=30, le=1200)] = 160
    """Resolution of PNG figures."""
    show_measured: bool = True
    """Draw measured values from the review."""
    show_computed: bool = True
    """Draw published computed values."""
    materials: list[str] = []
    """Materials that are drawn, by their folder names, in this order; all of them when empty."""
    labels: dict[str, Annotated[str, AfterValidator(_one_line)]] = {}
    """Words for a material in figures, by its folder name; its formula when left out. Amounts of
    formulas in them become subscripts."""
    colours: dict[str, Annotated[str, AfterValidator(_drawable_colour)]] = {}
    """Colour of a material in figures, by its folder name: a name, or '#0072B2' in quotes."""
    temperature_unit: Literal["C", "K"] = "C"
    """Unit of the temperature axes on top of figures, and of measured values in legends."""

    @field_validator("materials")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} stands twice")
        return names


class Material(Settings):
    """One material of the campaign."""

    formula: str
    """Chemical formula, for example Li2.5Y0.5Zr0.5Cl6."""
    prototype: str | None = None
    """Name in structures/prototypes.yaml, or a path to a CIF; chosen by formula when left out."""
    site_fractions: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Total occupancy of sites (CIF labels) to begin with: {Y2: 1.0, Y3: 0.0} moves all Y of
    Li3YCl6 to M2."""
    oxidation_states: dict[Element, Annotated[int, Field(ge=-4, le=7)]] = {}
    """Oxidation states that the formula leaves open: {Fe: 3, V: 2} for LiFeVCl6."""
    name: Name | None = None
    """Folder name in results/; the formula when left out."""

    @property
    def folder(self) -> str:
        """Name of the material's folder under results/."""
        return self.name or re.sub(r"[^A-Za-z0-9._+-]", "_", self.formula)


RESERVED_FOLDERS = ("plots", "logs", "benchmarks", "potential")
"""Folders beside those of the materials in results/ and work/."""


class ClusterSettings(Settings):
    """What jobs ask a queue for; changes no result."""

    most_minutes: Annotated[int, Field(ge=5)] = 1440
    """Longest job that the queue allows, in minutes; a longer run is continued by further jobs."""
    ms_per_atom_step: Positive = 0.2
    """Time of a step per atom, in ms, by which jobs are sized (`halmd plan` prints it): twice that
    of the shipped potential on a slow core when left out."""


class Campaign(Settings):
    """A whole campaign: everything that decides a result."""

    campaign: Name = "campaign"
    """Name of the campaign, written into the results folder."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random; every run derives its own from it."""
    results: Folder = "results"
    """Folder of the results."""
    work: Folder = "work"
    """Folder of checkpoints and scratch; may be on another disk."""
    potential: str = "halmd-liycl-1"
    """Registry name, path to a MACE .model, or import path module:factory of an ASE calculator."""
    evaluator: Literal["auto", "native", "torch"] = "auto"
    """What computes a MACE potential; auto takes native where it is possible."""
    accept_extrapolation: bool = False
    """Run elements and crystals the potential was never trained on; written into every result."""
    materials: Annotated[list[Material], Field(min_length=1)]
    """The materials, each with a formula."""
    structure: StructureSettings = StructureSettings()
    """How supercells and orderings are built."""
    dynamics: DynamicsSettings = DynamicsSettings()
    """How molecular dynamics is run."""
    diffusion: DiffusionSettings = DiffusionSettings()
    """How displacements become a diffusivity."""
    arrhenius: ArrheniusSettings = ArrheniusSettings()
    """How diffusivities become an activation energy."""
    plots: PlotSettings = PlotSettings()
    """How figures look; never makes anything else run again."""
    cluster: ClusterSettings = ClusterSettings()
    """What jobs ask a queue for; never makes anything run again."""

    @field_validator("materials")
    @classmethod
    def _distinct_folders(cls, materials: list[Material]) -> list[Material]:
        folders = [material.folder.lower() for material in materials]
        for folder in folders:
            if folder in RESERVED_FOLDERS:
                raise ValueError(f"{folder!r} is a folder of the campaign's own; take another name")
            if folders.count(folder) > 1:
                raise ValueError(
                    f"two materials would share the folder {folder!r}; give one a `name:`"
                )
        return materials

    @model_validator(mode="after")
    def _plots_known_materials(self) -> "Campaign":
        known = [material.folder for material in self.materials]
        for key in ("materials", "labels", "colours"):
            for name in getattr(self.plots, key):
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                    raise ValueError(f"`plots.{key}`: no material is called {name!r}; {hint}")
        return self


def load_campaign(path: Path) -> Campaign:
    """Read and validate a campaign file; raises HalmdError with one line on any mistake."""
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HalmdError(f"{path}: no such file") from None
    except OSError as error:
        raise HalmdError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise HalmdError(f"{path}: not valid YAML: {problem}") from None
    if not isinstance(record, dict):
        raise HalmdError(f"{path}: expected `key: value` lines, found {type(record).__name__}")
    return parse_campaign(record, source=str(path))


def parse_campaign(record: dict[str, Any], *, source: str = "config") -> Campaign:
    """Validate a campaign given as a dictionary; raises HalmdError naming the path in the YAML."""
    try:
        return Campaign.model_validate(record)
    except ValidationError as error:
        raise HalmdError(f"{source}: {problem_in(error, Campaign)}") from None


def problem_in(error: ValidationError, settings: type[Settings]) -> str:
    """The first problem of a validation, with its YAML path and the nearest right key."""
    # A misspelt key is also a missing one; the misspelling is what the person did.
    problems = sorted(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    problem = problems[0]
    more = error.error_count() - 1
    path = _yaml_path(tuple(p for p in problem["loc"] if not str(p).startswith("<")))
    if problem["type"] == "extra_forbidden":
        text = f"unknown key `{path}`{_nearest_key(problem['loc'], settings)}"
    elif problem["type"] == "missing":
        text = f"`{path}` is missing"
    else:
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        if problem["type"] in ("float_parsing", "int_parsing"):
            message = f"wants a plain number in {_unit_of(path)}"
        value = problem["input"]
        shown = f" (found {value!r})" if not isinstance(value, dict | list) else ""
        text = f"`{path}`: {message}{shown}" if path else message
    return text + (f" (and {more} more)" if more else "")


def _unit_of(path: str) -> str:
    """The unit that a setting's name ends in, spelt out."""
    units = {"K": "K", "fs": "fs", "ps": "ps", "A": "Å", "GPa": "GPa", "e": "e"}
    suffix = re.sub(r"\[\d+\]$", "", path).rsplit("_", 1)[-1]
    return units.get(suffix, "the unit its name says")


def _yaml_path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)[1:]


def _nearest_key(location: tuple[int | str, ...], settings: type[Settings]) -> str:
    """Name the right key closest to the misspelt last part of `location`, if any is near."""
    model = settings
    for part in location[:-1]:
        if isinstance(part, str):
            model = _settings_in(model.model_fields[part].annotation) or model
    word = str(location[-1])
    known = list(model.model_fields)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        # A unit left out or wrong is the likeliest slip: `temperature` for `temperatures_K`.
        stem = word.split("_")[0].rstrip("s").lower()
        near = [key for key in known if key.lower().startswith(stem)] if stem else []
    if near:
        return f"; did you mean `{near[0]}`?"
    elsewhere = [
        f"{name}.{key}"
        for name, field in settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
        for key in field.annotation.model_fields
        if difflib.get_close_matches(word, [key], n=1, cutoff=0.8)
    ]
    if elsewhere:
        return f"; did you mean `{elsewhere[0]}`?"
    return f"; known here: {', '.join(known)}"


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The settings that a field holds, alone or in a list."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, Settings):
            return part
    return None


def full_example() -> str:
    """A campaign file with every key, its default and what it means: config/full.yaml."""
    example = Campaign(
        materials=[Material(formula="Li3YCl6", prototype="Li3YCl6_P-3m1_M2M3", name="Li3YCl6")]
    )
    head = "# Every key of a campaign with its default; made by `halmd example`.\n"
    return head + "\n".join(_commented(example, "")) + "\n"


def _commented(settings: Settings, indent: str) -> list[str]:
    lines = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        lines.append(f"{indent}# {' '.join((field.description or '').split())}")
        if isinstance(value, Settings):
            lines += [f"{indent}{name}:", *_commented(value, indent + "  ")]
        elif isinstance(value, list) and any(isinstance(entry, Settings) for entry in value):
            lines.append(f"{indent}{name}:")
            for entry in value:
                lines += [f"{indent}  -", *_commented(entry, indent + "    ")]
        else:
            text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            lines.append(f"{indent}{name}: {text}")
    return lines


def json_schema() -> str:
    """The JSON schema of a campaign file, as text."""
    schema = Campaign.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
