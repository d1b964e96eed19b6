"""Materials put into the text of a campaign file, in which everything else stays as it was."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from halmd.errors import HalmdError


def with_entries(record: Mapping[str, Any], entries: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """The content of a campaign file with materials appended."""
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
        good = edited is not None and yaml.safe_load(edited) == with_entries(record, entries)
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
        return _mark(self.event.start_mark).index

    @property
    def column(self) -> int:
        return _mark(self.event.start_mark).column

    @property
    def flow(self) -> bool:
        """Whether it is a collection in brackets."""
        return bool(getattr(self.event, "flow_style", False))


def _mark(mark: Any) -> yaml.Mark:
    """A parser's mark; every event of a text has them, though their type allows for none."""
    if not isinstance(mark, yaml.Mark):
        raise TypeError("an event of a YAML text without a mark")
    return mark


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
            end = _mark(event.end_mark).index if start.flow_style else children[-1].end
            stack[-1].append(_Node(start, children, end))
        elif isinstance(event, yaml.NodeEvent):
            stack[-1].append(_Node(event, (), _mark(event.end_mark).index))
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
