"""Where the files of a campaign are, which seeds its runs have, and what each command is told."""

import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from halmd.composition import parse_formula
from halmd.config import Campaign, DynamicsSettings, Material, PlotSettings
from halmd.errors import HalmdError
from halmd.files import read_json, write_json
from halmd.potentials.registry import find, require_crystal, require_elements
from halmd.report.figure_list import Described, figure_files
from halmd.structures.plan import Plan, plan

IDENTITY_FILE = "campaign.json"

EQUILIBRATION = (
    "timestep_fs",
    "pressure_GPa",
    "equilibration_ps",
    "thermostat_time_ps",
    "barostat_time_ps",
)
LATTICE = ("timestep_fs", "thermostat_time_ps", "barostat_time_ps")
PRODUCTION = (
    "engine",
    "timestep_fs",
    "frame_interval_fs",
    "checkpoint_interval_ps",
    "uncertainty_interval_ps",
    "thermostat_time_ps",
)
RAMP = (
    "engine",
    "timestep_fs",
    "pressure_GPa",
    "frame_interval_fs",
    "checkpoint_interval_ps",
    "n_temperatures",
)
ONE_LENGTH = ("production_ps",)
LENGTH_BY_ERROR = ("target_relative_error", "min_ps", "max_ps")
"""Settings that `halmd equilibrate`, `lattice`, `dynamics` and `temperatures` depend on."""


@dataclass(frozen=True)
class Run:
    """One run: a material's ordering at a temperature, and a replica."""

    material: str
    ordering: str
    temperature_K: float
    replica: int

    @property
    def folder(self) -> str:
        """Path below results/ and work/."""
        temperature = temperature_name(self.temperature_K)
        return f"{self.material}/{self.ordering}/{temperature}/r{self.replica}"


def temperature_name(temperature_K: float) -> str:
    """500.0 becomes 500K, 512.5 becomes 512.5K."""
    return f"{temperature_K:g}K"


def chosen_file(campaign: Campaign, folder: str) -> Path:
    """Where the temperatures of a material stand that `temperatures_K: auto` has found."""
    return Path(campaign.results) / folder / "temperatures.json"


def temperatures_of(campaign: Campaign, material: Material) -> list[float]:
    """Temperatures of a material in K; none while `auto` has not found them yet."""
    asked = campaign.dynamics.temperatures_K
    if asked != "auto":
        return list(asked)
    path = chosen_file(campaign, material.folder)
    found: list[float] = read_json(path)["temperatures_K"] if path.is_file() else []
    return found


def runs(campaign: Campaign, material: Material) -> list[Run]:
    """All runs of a material."""
    return [
        Run(material.folder, f"{ordering:02d}", temperature, replica)
        for ordering in range(campaign.structure.n_orderings)
        for temperature in temperatures_of(campaign, material)
        for replica in range(campaign.dynamics.replicas)
    ]


def n_runs(campaign: Campaign, material: Material) -> int:
    """How many runs a material asks for, also while its temperatures are still to be found."""
    temperatures = len(temperatures_of(campaign, material)) or campaign.dynamics.n_temperatures
    return campaign.structure.n_orderings * temperatures * campaign.dynamics.replicas


def material_named(campaign: Campaign, folder: str) -> Material:
    """The material whose folder has this name; raises HalmdError when there is none."""
    for material in campaign.materials:
        if material.folder == folder:
            return material
    known = ", ".join(material.folder for material in campaign.materials[:8])
    more = " and others" if len(campaign.materials) > 8 else ""
    raise HalmdError(f"{folder}: the campaign has no such material; it has {known}{more}")


def plotted(campaign: Campaign) -> list[Material]:
    """Materials that figures show, in their order there."""
    names = campaign.plots.materials
    return [material_named(campaign, name) for name in names] or campaign.materials


def plot_files(campaign: Campaign) -> list[str]:
    """Names of all files that `halmd plots` writes."""
    described = [
        Described(
            material.folder,
            material.formula,
            campaign.arrhenius.extrapolate_to_K,
            campaign.diffusion.mobile,
        )
        for material in plotted(campaign)
    ]
    return figure_files(described, campaign.plots)


def plot_options(campaign: Campaign) -> str:
    """Options of `halmd plots`, which is given the folders of `plotted`, in their order."""
    shown = {material.folder for material in plotted(campaign)}
    styles = {
        key: {name: word for name, word in getattr(campaign.plots, key).items() if name in shown}
        for key in ("labels", "colours")
    }
    names = [name for name in PlotSettings.model_fields if name != "materials"]
    return options(campaign.plots.model_copy(update=styles), names)


def seed_of(campaign: Campaign, *parts: str) -> int:
    """Seed of a stage of a run: a hash of the campaign's seed and the names of stage and run.

    It does not depend on what else the campaign holds, so adding a material changes no other run.
    """
    text = "/".join((str(campaign.seed), *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def options(settings: BaseModel, names: Iterable[str] | None = None) -> str:
    """Settings as command-line options of the same names; those left out of the config are left
    out."""
    values = settings.model_dump()
    chosen = names if names is not None else values
    words = []
    for name in chosen:
        value = values[name]
        flag = "--" + name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list):
            words += [f"{flag} {_word(entry)}" for entry in value]
        elif isinstance(value, dict):
            words += [f"{flag} {shlex.quote(f'{k}={_word(v)}')}" for k, v in value.items()]
        else:
            words.append(f"{flag} {_word(value)}")
    return " ".join(words)


def _word(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def structure_options(campaign: Campaign, material: Material) -> str:
    """What `halmd structure` is told of a material, beside its formula and the common settings."""
    words = [f"--mobile {campaign.diffusion.mobile}"]
    if material.prototype:
        words.append(f"--prototype {shlex.quote(material.prototype)}")
    words += [
        f"--site-fraction {shlex.quote(f'{label}={_word(fraction)}')}"
        for label, fraction in material.site_fractions.items()
    ]
    words += [
        f"--oxidation-state {element}={state}"
        for element, state in material.oxidation_states.items()
    ]
    return " ".join(words)


def with_temperature(settings: DynamicsSettings, temperature_K: str) -> str:
    """Production options of one run at a temperature, in K."""
    names = (*PRODUCTION, *_length(settings))
    return f"--temperature-K {temperature_K} {options(settings, names)}"


def ramp_options(settings: DynamicsSettings) -> str:
    """Options of `halmd temperatures`."""
    return options(settings, (*RAMP, *_length(settings)))


def _length(settings: DynamicsSettings) -> tuple[str, ...]:
    return ONE_LENGTH if settings.target_relative_error is None else LENGTH_BY_ERROR


def plan_of(campaign: Campaign, material: Material, *, structures: Path | None = None) -> Plan:
    """What will be built of a material; raises HalmdError where nothing can be."""
    return plan(
        material.formula,
        campaign.structure,
        mobile=campaign.diffusion.mobile,
        prototype=material.prototype,
        site_fractions=material.site_fractions,
        fixed_states=material.oxidation_states,
        structures_folder=structures,
    )


def batch_text(campaign: Campaign, material: Material) -> str:
    """A campaign file (JSON) of one material with what `halmd batch` depends on, and no more."""
    told = campaign.model_dump(mode="json", exclude_unset=True)
    keys = ("campaign", "seed", "potential", "accept_extrapolation", "results", "work")
    kept = {key: told[key] for key in (*keys, "structure", "dynamics") if key in told}
    kept["materials"] = [material.model_dump(mode="json", exclude_unset=True)]
    kept["diffusion"] = {"mobile": campaign.diffusion.mobile}
    return json.dumps(kept)


def check_campaign(campaign: Campaign, *, structures: Path | None = None) -> dict[str, Plan]:
    """Find every mistake in materials and potential before anything is written.

    Returns what will be built of each material, by folder. Raises HalmdError for a malformed or
    charged formula, a formula without the mobile element, a composition without a prototype or a
    supercell, and elements or crystals that the potential was not trained on.
    """
    entry = find(campaign.potential)
    plans: dict[str, Plan] = {}
    for material in campaign.materials:
        made = plans[material.folder] = plan_of(campaign, material, structures=structures)
        require_elements(
            frozenset(parse_formula(material.formula)),
            entry.elements,
            name=campaign.potential,
            accept=campaign.accept_extrapolation,
        )
        require_crystal(
            None if made.confidence == "user" else made.prototype,
            entry.crystals,
            name=campaign.potential,
            accept=campaign.accept_extrapolation,
        )
    return plans


def identity(campaign: Campaign) -> dict[str, Any]:
    """What may not change in a results folder: it decides every number in it."""
    return {
        "campaign": campaign.campaign,
        "seed": campaign.seed,
        "potential": campaign.potential,
        "materials": {
            material.folder: {"formula": material.formula, "prototype": material.prototype}
            | _unless_empty(material, "site_fractions", "oxidation_states")
            for material in campaign.materials
        },
    }


def _unless_empty(material: Material, *keys: str) -> dict[str, Any]:
    return {key: getattr(material, key) for key in keys if getattr(material, key)}


def check_results(campaign: Campaign) -> None:
    """Refuse a results folder that another configuration made; raises HalmdError.

    New materials, temperatures, lengths and plot styles are welcome.
    """
    path = Path(campaign.results) / IDENTITY_FILE
    if not path.is_file():
        return
    before, now = read_json(path), identity(campaign)
    for key in ("campaign", "seed", "potential"):
        if before.get(key) != now[key]:
            raise HalmdError(
                f"{campaign.results}/ was made with {key}: {before.get(key)}, and this config says "
                f"{now[key]}; set results: to another folder, or {key}: back"
            )
    for folder, entry in now["materials"].items():
        old = before.get("materials", {}).get(folder)
        if old is not None and old != entry:
            raise HalmdError(
                f"{campaign.results}/{folder} was made from {_shown(old)}, and this config says "
                f"{_shown(entry)}; give the material another name:"
            )


def _shown(entry: dict[str, Any]) -> str:
    words = [entry["prototype"] or "prototype chosen by formula"]
    for key in ("site_fractions", "oxidation_states"):
        words += [f"{name} {number:g}" for name, number in entry.get(key, {}).items()]
    return f"{entry['formula']} ({', '.join(words)})"


def claim_results(campaign: Campaign) -> None:
    """Write down whose results folder this is; materials of earlier runs stay listed."""
    path = Path(campaign.results) / IDENTITY_FILE
    now = identity(campaign)
    if path.is_file():
        before = read_json(path)
        now["materials"] = before.get("materials", {}) | now["materials"]
        if all(before.get(key) == value for key, value in now.items()):
            return
    write_json(path, now)
