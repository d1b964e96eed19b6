"""`halmd add`: put compositions into a campaign file, and say what will be built of each.

The file is edited as text: everything that stands in it stays byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from halmd.campaign import check_campaign, check_results, n_runs
from halmd.campaign_text import with_entries, with_materials
from halmd.composition import parse_formula, reduced
from halmd.config import Campaign, Material, parse_campaign
from halmd.errors import HalmdError
from halmd.files import write_text
from halmd.potentials.registry import find
from halmd.series import series
from halmd.structures.plan import Plan, plan


@dataclass(frozen=True)
class Addition:
    """What would be added to a campaign, before any file is touched."""

    path: Path
    """The campaign file."""
    text: str
    """The campaign file as it will be."""
    campaign: Campaign
    """The campaign as it will be."""
    plans: tuple[tuple[Material, Plan], ...]
    """What is new, and what will be built of it."""
    already_there: tuple[tuple[str, str], ...]
    """Formulas that are not added, each with the formula that stands there already."""

    @property
    def n_runs(self) -> int:
        """How many runs of molecular dynamics the new materials ask for."""
        return sum(n_runs(self.campaign, material) for material, _ in self.plans)

    def lines(self) -> list[str]:
        """What a person should know of each composition."""
        found = [
            f"{formula}: already in {self.path}"
            + ("" if formula == there else f" as {there}")
            + "; not added again"
            for formula, there in self.already_there
        ]
        for _, made in self.plans:
            found += made.lines()
        chosen = dict.fromkeys(made.prototype for _, made in self.plans)
        if len(chosen) > 1:
            found.append(
                f"these are {len(chosen)} types of crystal ({', '.join(chosen)}); --prototype NAME "
                "keeps a series in one"
            )
        if self.plans:
            found.append(self._trained_on())
        return found

    def _trained_on(self) -> str:
        """What the campaign's potential knows, beyond its elements."""
        card = find(self.campaign.potential).card
        if card is None:
            return f"potential {self.campaign.potential}: what it was trained on is not known here"
        families = "; ".join(card["families"])
        return (
            f"potential {self.campaign.potential}: trained on {families}; beyond is extrapolation"
        )


def prepare(
    path: Path,
    arguments: Sequence[str],
    *,
    prototype: str | None = None,
    name: str | None = None,
) -> Addition:
    """Plan the compositions that `arguments` ask for (formulas, templates, `x=...`).

    Nothing is written. Raises HalmdError for a campaign file or a composition that is not right,
    and for a potential that nothing is known of; `check` looks at the whole.
    """
    formulas = series(arguments)
    if name is not None and len(formulas) > 1:
        raise HalmdError(f"--name {name}: one name for {len(formulas)} compositions; leave it out")
    text, record = _read(path)
    before = parse_campaign(record, source=str(path)).materials if record.get("materials") else []
    wanted = [Material(formula=f, prototype=prototype) for f in formulas]
    new, there = _split(before, wanted)
    entries = [_entry(material.formula, prototype, name) for material in new]
    campaign = parse_campaign(with_entries(record, entries), source=str(path))
    entry = find(campaign.potential)
    added = campaign.materials[len(before) :]
    return Addition(
        path=path,
        text=with_materials(text, entries, source=str(path)),
        campaign=campaign,
        plans=tuple(
            (
                material,
                plan(
                    material.formula,
                    campaign.structure,
                    mobile=campaign.diffusion.mobile,
                    prototype=material.prototype,
                    potential_elements=entry.elements,
                    potential_crystals=entry.crystals,
                ),
            )
            for material in added
        ),
        already_there=tuple(there),
    )


def check(addition: Addition) -> None:
    """Require that the campaign as it will be can run; raises HalmdError, naming the cure."""
    check_campaign(addition.campaign)
    check_results(addition.campaign)


def write(addition: Addition) -> None:
    """Write the campaign file, whole or not at all; links and permissions of it stay."""
    if not addition.plans:
        return
    path = addition.path.resolve()
    mode = path.stat().st_mode
    write_text(path, addition.text)
    path.chmod(mode)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Text and content of a campaign file, which may still be without materials."""
    try:
        text = path.read_bytes().decode("utf-8")
        record = yaml.safe_load(text)
    except FileNotFoundError:
        raise HalmdError(f"{path}: no such file; --config names the campaign file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HalmdError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if record is not None and not isinstance(record, dict):
        raise HalmdError(f"{path}: expected `key: value` lines, found {type(record).__name__}")
    return text, record or {}


def _split(
    before: Sequence[Material], wanted: Sequence[Material]
) -> tuple[list[Material], list[tuple[str, str]]]:
    """Materials that are new, and formulas that stand in the campaign already with their twins."""
    new: list[Material] = []
    there: list[tuple[str, str]] = []
    for material in wanted:
        twin = next((old for old in (*before, *new) if _same(old, material)), None)
        if twin is None:
            new.append(material)
        else:
            there.append((material.formula, twin.formula))
    return new, there


def _same(old: Material, new: Material) -> bool:
    """Whether the compositions are equal; another prototype makes another material."""
    if new.prototype is not None and old.prototype != new.prototype:
        return False
    return reduced(parse_formula(old.formula)) == reduced(parse_formula(new.formula))


def _entry(formula: str, prototype: str | None, name: str | None) -> dict[str, str]:
    entry = {"formula": formula, "prototype": prototype, "name": name}
    return {key: value for key, value in entry.items() if value is not None}
