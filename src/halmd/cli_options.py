"""What the commands share: settings from options, structures and potentials from files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from halmd.config import Campaign, Settings
from halmd.errors import HalmdError

SettingsT = TypeVar("SettingsT", bound=Settings)


def settings_of(model: type[SettingsT], **values: Any) -> SettingsT:
    """Settings from options; a bad value names the option."""
    from pydantic import ValidationError

    try:
        return model(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = "--" + "-".join(str(part) for part in problem["loc"][:1]).replace("_", "-")
        message = problem["msg"].removeprefix("Value error, ")
        # A command runs at one temperature, a campaign at several.
        option = option.replace("--temperatures-K", "--temperature-K")
        # Of an option with several values, such as --colours, the one that is meant.
        place = problem["loc"]
        several = len(place) > 1 and isinstance(values.get(str(place[0])), dict)
        entry = f" {place[1]}={problem['input']}" if several else ""
        named = f"{option}{entry}: " if place else ""
        raise HalmdError(f"{named}{message[0].lower()}{message[1:]}") from None


def require_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of the allowed ones."""
    if value not in allowed:
        raise HalmdError(f"{option}: {value!r} is none of {', '.join(allowed)}")


def read_structure(path: Path) -> Any:
    """Read an extxyz structure; one line when it is missing or damaged."""
    import ase.io

    if not path.is_file():
        raise HalmdError(f"{path}: no such file")
    try:
        return ase.io.read(path, format="extxyz")
    except Exception as error:
        # ASE's reader raises whatever a damaged file makes it stumble over.
        problem = " ".join(str(error).split())[:120]
        raise HalmdError(f"{path}: not a readable extxyz structure ({problem})") from None


def prototype_in(info: Mapping[str, Any]) -> str | None:
    """The prototype of an ordering; None for a user's own CIF, or where nothing tells."""
    return None if info.get("confidence") == "user" else info.get("prototype")


def structure_and_potential(
    structure: Path, potential: Path, accept: bool, *, batched: bool = False
) -> tuple[Any, Any]:
    """A structure file, and a prepared potential that knows its elements and its crystal."""
    from halmd.potentials.evaluators import load

    atoms = read_structure(structure)
    symbols, prototype = atoms.get_chemical_symbols(), prototype_in(atoms.info)
    loaded = load(potential, batched=batched)
    return atoms, known_to(loaded, symbols, accept, prototype=prototype)


def load_for(
    elements: Iterable[str], potential: Path, accept: bool, *, prototype: str | None = None
) -> Any:
    """Load a prepared potential and require that it knows the elements and the crystal."""
    from halmd.potentials.evaluators import load

    return known_to(load(potential), elements, accept, prototype=prototype)


def known_to(
    loaded: Any, elements: Iterable[str], accept: bool, *, prototype: str | None = None
) -> Any:
    """A loaded potential, of which it is required that it knows the elements and the crystal.

    What it does not know, and extrapolation into it was accepted, goes into every record.
    """
    from dataclasses import replace

    from halmd.potentials.registry import require_crystal, require_elements

    provenance = dict(loaded.provenance)
    missing = require_elements(
        frozenset(elements), loaded.elements, name=provenance["name"], accept=accept
    )
    crystal = require_crystal(prototype, loaded.crystals, name=provenance["name"], accept=accept)
    if missing or crystal:
        provenance["beyond_training"] = [*missing, *([crystal] if crystal else [])]
    if accept:
        provenance["accept_extrapolation"] = True
    return replace(loaded, provenance=provenance)


def checked(config: Path) -> Campaign:
    """A campaign file without a mistake in it."""
    from halmd.campaign import check_campaign, check_results
    from halmd.config import load_campaign

    campaign = load_campaign(config)
    check_campaign(campaign)
    check_results(campaign)
    return campaign
