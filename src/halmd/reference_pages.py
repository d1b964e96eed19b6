"""The two reference pages of the documentation, written from the code they describe.

`halmd reference config` and `halmd reference cli` print them; a test keeps docs/ in step.
"""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic.fields import FieldInfo

from halmd.config import (
    ArrheniusSettings,
    Campaign,
    DiffusionSettings,
    DynamicsSettings,
    PlotSettings,
    Settings,
    StructureSettings,
)

_OPTIONS_OF = (DiffusionSettings, ArrheniusSettings, PlotSettings, DynamicsSettings)
"""Where an option without words of its own takes them from. `target_relative_error` stands in two:
only `halmd diffusion` leaves it to its settings, which come first."""

_KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false"}
_PATTERNS = {"^[A-Z][a-z]?$": "element"}
_LIMITS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


def config_page() -> str:
    """Every key of a campaign file with its default, what it may be and what it means; Markdown."""
    parts = [
        "# Keys of a campaign\n",
        "Made by `halmd reference config > docs/reference-config.md` from the models in\n"
        "`src/halmd/config.py`. A unit stands at the end of a name. `config/full.yaml` is the\n"
        "same as a file to copy from, `halmd schema` prints a JSON schema for editors, and\n"
        "`halmd check` finds every mistake before anything runs. Files of `halmd distill` are in\n"
        "[Distilling a potential](distill.md#every-key).\n",
        "## The file as a whole\n",
        _table(Campaign),
        *_sections(Campaign, ""),
    ]
    return "\n".join(parts)


def _sections(settings: type[Settings], path: str) -> Iterator[str]:
    """A table for each key that holds settings of its own, and for those below it."""
    for name, field in settings.model_fields.items():
        inner = _settings_in(field.annotation)
        if inner:
            yield f"## `{path}{name}`\n"
            yield f"{'' if inner is field.annotation else 'A list. '}{_plain(inner.__doc__)}\n"
            yield _table(inner)
            yield from _sections(inner, f"{path}{name}.")


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The settings that a field holds, alone or in a list."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, Settings):
            return part
    return None


def cli_page(app: Any) -> str:
    """Every command with its arguments, options and defaults; Markdown.

    app is the click group of the command line, as `typer.main.get_command` makes it.
    """
    parts = [
        "# Commands\n",
        "Made by `halmd reference cli > docs/reference-cli.md` from the command line itself;\n"
        "`halmd COMMAND --help` says it in short. Options have the names, units and defaults of a\n"
        "[campaign's keys](reference-config.md). Exit codes: 0, done; 2, bad input, said in one\n"
        "line, and nothing written; 75, out of time, to be continued by the same command.\n"
        "`halmd --debug COMMAND` shows tracebacks.\n",
        "| command | |\n|---|---|",
    ]
    commands = dict(_commands(app, ""))
    parts += [
        f"| [`{n}`](#halmd-{n.replace(' ', '-')}) | {_cell(_plain(c.help))} |"
        for n, c in commands.items()
    ]
    for name, command in commands.items():
        parts += ["", *_command(name, command)]
    return "\n".join(parts) + "\n"


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Commands that are shown, those of groups in their places, by what is written to call them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}", command


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    needed = [option for option in options if option.required]
    usage = " ".join(["halmd", name, *map(_argument, arguments), *map(_needed, needed)])
    more = " [options]" if len(options) > len(needed) else ""
    yield f"## `halmd {name}`\n"
    yield f"{_plain(command.help)}\n"
    yield f"```text\n{usage}{more}\n```\n"
    if command.params:
        yield "| | default | |"
        yield "|---|---|---|"
    for each in arguments:
        default = "required" if each.required else _value(each.default)
        yield f"| `{_upper(each)}` | {default} | {_cell(each.help or '')} |"
    for each in options:
        names = ", ".join(f"`{spelt}`" for spelt in (*each.opts, *each.secondary_opts))
        default = "required" if each.required else _value(each.default)
        yield f"| {names} | {default} | {_cell(_meaning(each))} |"


def _argument(argument: Any) -> str:
    word = _upper(argument) + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def _needed(option: Any) -> str:
    return f"{option.opts[0]} {_upper(option)}"


def _upper(parameter: Any) -> str:
    return str(parameter.name).upper()


def _meaning(option: Any) -> str:
    """Words of an option; those of the setting of the same name where it has none of its own."""
    if option.help:
        return str(option.help)
    for settings in (*_OPTIONS_OF, StructureSettings, Campaign):
        if option.name in settings.model_fields:
            return settings.model_fields[option.name].description or ""
    return ""


def _table(settings: type[Settings]) -> str:
    schema = settings.model_json_schema()
    lines = ["| key | default | may be | |", "|---|---|---|---|"]
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else _default(field)
        wanted = _wanted(schema["properties"][name])
        lines.append(f"| `{name}` | {default} | {wanted} | {_cell(_plain(field.description))} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "below" if isinstance(value, Settings) else _value(value)


def _wanted(schema: dict[str, Any]) -> str:
    """What a value may be, in words, from its JSON schema."""
    if "$ref" in schema:
        return "settings, below"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            found = [part for part in schema[several] if part.get("type") != "null"]
            return " or ".join(_wanted(part) for part in found)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list: {_wanted(schema['items'])}"
    if schema.get("type") == "object":
        # Keys with a pattern of their own, such as elements, have their values elsewhere.
        patterns = schema.get("patternProperties", {}).values()
        return f"mapping: {_wanted(next(iter(patterns), schema.get('additionalProperties', {})))}"
    kind = _KINDS.get(schema["type"]) or _PATTERNS.get(schema.get("pattern", ""), "text")
    limits = [f"{sign} {_written(schema[key])}" for key, sign in _LIMITS.items() if key in schema]
    return " ".join([kind, ", ".join(limits)]).strip()


def _value(value: Any) -> str:
    """A default as it is written in YAML or on a command line."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(_written, value))}]`"
    return f"`{_written(value)}`"


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    """Text that ends no cell of a table and is no HTML."""
    return _plain(text).replace("|", "\\|").replace("<", "&lt;")
