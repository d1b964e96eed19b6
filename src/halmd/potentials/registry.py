"""Names of potentials, and the files and cards behind them.

A potential is what the forces are. Four kinds of name are known: a model shipped with halmd, a MACE
foundation model that mace-torch downloads, the path of a MACE `.model`, and `module:factory` of an
ASE calculator. Model files are pickles, so loading one runs code: only shipped files whose checksum
agrees with their card, downloads asked for by name, and explicit local paths are ever opened.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from halmd.errors import HalmdError
from halmd.files import read_json, sha256

SHIPPED = Path(__file__).parent / "shipped"

FOUNDATION_NAMES = (
    "small",
    "medium",
    "large",
    "small-0b",
    "medium-0b",
    "small-0b2",
    "medium-0b2",
    "large-0b2",
    "medium-0b3",
    "medium-mpa-0",
    "small-omat-0",
    "medium-omat-0",
    "mace-matpes-pbe-0",
    "mace-matpes-r2scan-0",
    "mh-0",
    "mh-1",
)
"""Names that mace-torch 0.3.16 downloads (`mace.calculators.foundations_models.mace_mp_urls`)."""

Kind = Literal["shipped", "foundation", "file", "ase"]


@dataclass(frozen=True)
class Entry:
    """What a potential's name stands for, before anything is loaded."""

    name: str
    kind: Kind
    model: Path | None = None
    """The MACE `.model`, where it is already on this machine."""
    native: Path | None = None
    """The same model exported for the native evaluator, where it is shipped."""
    card: dict[str, Any] | None = None
    """The card of a shipped model."""

    @property
    def elements(self) -> frozenset[str] | None:
        """Elements the potential was trained on; None where only its file or code can tell."""
        return frozenset(self.card["elements"]) if self.card else None


def shipped_names() -> list[str]:
    """Names of the models shipped with halmd."""
    return sorted(card.parent.name for card in SHIPPED.glob("*/card.json"))


def find(name: str) -> Entry:
    """Look up a potential by name; raises HalmdError when nothing has that name.

    The checksums of shipped files are compared with their card.
    """
    if name in shipped_names():
        return _shipped(name)
    if name in FOUNDATION_NAMES:
        return Entry(name, "foundation")
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return Entry(name, "ase")
    path = Path(name).expanduser()
    if path.is_file():
        return Entry(name, "file", model=path.resolve())
    if path.suffix == ".model" or "/" in name:
        raise HalmdError(f"potential {name!r}: no such file")
    raise HalmdError(
        f"potential {name!r} is not known; shipped: {', '.join(shipped_names()) or 'none'}; "
        f"foundation models: {', '.join(FOUNDATION_NAMES)}; or give the path of a MACE .model, "
        "or module:factory of an ASE calculator"
    )


def _shipped(name: str) -> Entry:
    folder = SHIPPED / name
    card = read_json(folder / "card.json")
    for file, checksum in card["sha256"].items():
        path = folder / file
        if not path.is_file() or sha256(path) != checksum:
            raise HalmdError(
                f"{path}: damaged (its SHA-256 is not the one in card.json); install halmd again"
            )
    return Entry(
        name, "shipped", folder / card["files"]["mace"], folder / card["files"]["native"], card
    )


def covering(elements: frozenset[str]) -> list[str]:
    """Shipped potentials trained on all of `elements`."""
    return [name for name in shipped_names() if elements <= (_shipped(name).elements or set())]


def require_elements(
    wanted: frozenset[str], covered: frozenset[str] | None, *, name: str, accept: bool = False
) -> list[str]:
    """Elements of `wanted` that potential `name` was not trained on.

    `covered` is None when a calculator does not say. Raises HalmdError when any is missing, unless
    extrapolation was accepted.
    """
    missing = sorted(wanted - covered) if covered is not None else []
    if missing and not accept:
        others = covering(wanted)
        cure = (
            f"shipped potentials that cover all of it: {', '.join(others)}"
            if others
            else "no shipped potential covers it; MACE foundation models such as medium-mpa-0 do"
        )
        raise HalmdError(
            f"potential {name!r} was not trained on {', '.join(missing)} "
            f"(it knows {', '.join(sorted(covered or []))}); {cure}; "
            "or say accept_extrapolation: true"
        )
    return missing
