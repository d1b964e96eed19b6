"""`halmd add`: put compositions into a campaign file, and say what will be built of each.

The file is edited as text: everything that stands in it stays byte for byte.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from halmd.campaign import check_campaign, check_results, runs
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
        return sum(len(runs(self.campaign, material)) for material, _ in self.plans)

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
        return found


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
    campaign = parse_campaign(_with(record, entries), source=str(path))
    covered = find(campaign.potential).elements
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
                    potential_elements=covered,
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
        raise HalmdError(f"{path}: not valid YAML: {error}") from None
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


def _with(record: Mapping[str, Any], entries: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    return dict(record) | {"materials": [*(record.get("materials") or []), *entries]}


def with_materials(text: str, entries: Sequence[Mapping[str, str]], *, source: str) -> str:
    """Append materials to the `materials:` of a campaign's text, in the style of those there.

    All that stood in the text stays as it was, byte for byte. Raises HalmdError for a text that
    cannot be extended so (aliases, for one), saying what to write by hand.
    """
    if not entries:
        return text
    record = yaml.safe_load(text) or {}
    edited = _spliced(text, entries)
    try:
        # Places found by marks may mislead in rare YAML; the content never does.
        good = edited is not None and yaml.safe_load(edited) == _with(record, entries)
    except yaml.YAMLError:
        good = False
    if edited is None or not good:
        lines = "; ".join(_flow(entry) for entry in entries)
        raise HalmdError(
            f"{source}: its materials: are written in a way that cannot be extended without "
            f"changing the rest; add by hand: {lines}"
        )
    return edited


@dataclass(frozen=True)
class _Node:
    """A scalar, an alias or a collection of a YAML text, and where in the text it stands."""

    event: yaml.NodeEvent
    children: tuple["_Node", ...]
    end: int
    """Behind its last character; comments and line breaks behind it do not belong to it."""

    @property
    def start(self) -> int:
        return int(self.event.start_mark.index)

    @property
    def column(self) -> int:
        return int(self.event.start_mark.column)

    @property
    def flow(self) -> bool:
        """Whether it is a collection in brackets."""
        return bool(getattr(self.event, "flow_style", False))


def _roots(text: str) -> list[_Node]:
    """Documents of a YAML text, from the parser's events: aliases stay where they stand."""
    stack: list[list[_Node]] = [[]]
    opened: list[yaml.CollectionStartEvent] = []
    for event in yaml.parse(text):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(event)
            stack.append([])
        elif isinstance(event, yaml.CollectionEndEvent):
            start, children = opened.pop(), tuple(stack.pop())
            # The end of a block is only noticed at the next token, behind comments.
            end = event.end_mark.index if start.flow_style else children[-1].end
            stack[-1].append(_Node(start, children, end))
        elif isinstance(event, yaml.NodeEvent):
            stack[-1].append(_Node(event, (), event.end_mark.index))
    return stack[0]


def _spliced(text: str, entries: Sequence[Mapping[str, str]]) -> str | None:
    """The text with the entries in the place where they belong; None where there is none."""
    roots = _roots(text)
    if not roots:
        return _spliced_block(text, entries, len(text), 2, 1, head="materials:")
    root = roots[0]
    pairs = zip(root.children[::2], root.children[1::2], strict=False)
    found = [(k, v) for k, v in pairs if getattr(k.event, "value", None) == "materials"]
    if not found:
        head = " " * root.column + "materials:"
        return _spliced_block(text, entries, root.end, root.column + 2, root.column + 1, head=head)
    key, value = found[-1]
    if value.flow:
        return _spliced_flow(text, entries, value)
    if not value.children:
        return _spliced_block(text, entries, value.end, key.column + 2, key.column + 1)
    return _spliced_block(text, entries, value.end, value.column, value.column + 1)


def _spliced_block(
    text: str,
    entries: Sequence[Mapping[str, str]],
    end: int,
    indent: int,
    comments_from: int,
    *,
    head: str = "",
) -> str:
    """Lines `- formula: ...` behind the line of `end` and the deeper comments that follow it."""
    newline = _newline(text)
    lines = [head] if head else []
    for entry in entries:
        for number, line in enumerate(_yaml(entry, flow=False).splitlines()):
            lines.append(" " * indent + ("  " if number else "- ") + line)
    rest = re.compile(rf"[^\n]*(?:\n[ \t]{{{comments_from},}}#[^\n]*)*(?:\n|\Z)")
    match = rest.match(text, end)
    at = match.end() if match else len(text)
    block = newline.join(lines) + newline
    if at and text[at - 1] != "\n":
        block = newline + block.removesuffix(newline)
    return text[:at] + block + text[at:]


def _spliced_flow(text: str, entries: Sequence[Mapping[str, str]], found: _Node) -> str:
    """Entries `{formula: ...}` before the closing bracket, each on its line if others are."""
    if not found.children:
        at = found.end - 1
        return text[:at] + ", ".join(map(_flow, entries)) + text[at:]
    last = found.children[-1]
    quoted = text.startswith('{"', last.start)
    items = [json.dumps(e, ensure_ascii=False) if quoted else _flow(e) for e in entries]
    margin = text[text.rfind("\n", 0, last.start) + 1 : last.start]
    rest = re.compile(r"[ \t]*(,?)[ \t]*(?:#[^\r\n]*)?\r?\n").match(text, last.end)
    if margin.strip() or rest is None:
        return text[: last.end] + "".join(f", {item}" for item in items) + text[last.end :]
    comma = rest.group(1)
    newline = _newline(text)
    block = f",{newline}".join(margin + item for item in items) + comma + newline
    kept = ("" if comma else ",") + text[last.end : rest.end()]
    return text[: last.end] + kept + block + text[rest.end() :]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _flow(entry: Mapping[str, str]) -> str:
    return _yaml(entry, flow=True).strip()


def _yaml(entry: Mapping[str, str], *, flow: bool) -> str:
    text: str = yaml.safe_dump(
        dict(entry), default_flow_style=flow, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text
