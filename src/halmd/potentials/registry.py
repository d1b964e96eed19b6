"""Names of potentials, and the files and cards behind them.

A potential is what the forces are. Five kinds of name are known: a model shipped with halmd, one
that `halmd distill` registered in potentials/, a MACE foundation model, fetched there
or downloaded by mace-torch, the path of a MACE `.model`, and `module:factory` of an ASE calculator.
Model files are pickles, so loading one runs code: only shipped and registered files whose checksum
agrees with their card, downloads asked for by name, and explicit local paths are ever opened.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from halmd.errors import HalmdError
from halmd.files import read_json, sha256
from halmd.potentials import foundation

SHIPPED = Path(__file__).parent / "shipped"

REGISTERED = Path("potentials")
"""Where `halmd distill` puts its students, in the folder a campaign runs in."""

Kind = Literal["shipped", "registered", "foundation", "file", "ase"]


@dataclass(frozen=True)
class Entry:
    """What a potential's name stands for, before anything is loaded."""

    name: str
    kind: Kind
    model: Path | None = None
    """The MACE `.model`, where it is already on this machine."""
    native: Path | None = None
    """The same model exported for the native evaluator, where it has a card."""
    card: dict[str, Any] | None = None
    """The card of a shipped or registered model."""
    committee: tuple[Path, ...] = ()
    """Native exports of students fitted with other seeds."""

    @property
    def elements(self) -> frozenset[str] | None:
        """Elements the potential was trained on; None where only its file or code can tell."""
        return frozenset(self.card["elements"]) if self.card else None

    @property
    def crystals(self) -> frozenset[str] | None:
        """Prototypes the potential was trained on; None where nothing tells."""
        crystals = (self.card or {}).get("crystals")
        return None if crystals is None else frozenset(crystals)


def shipped_names() -> list[str]:
    """Names of the models shipped with halmd."""
    return sorted(card.parent.name for card in SHIPPED.glob("*/card.json"))


def registered_names() -> list[str]:
    """Names of the models registered in potentials/ here; a shipped one keeps its name."""
    found = {card.parent.name for card in REGISTERED.glob("*/card.json")}
    return sorted(found - set(shipped_names()))


def find(name: str) -> Entry:
    """Look up a potential by name; raises HalmdError when nothing has that name.

    The checksums of shipped and registered files are compared with their card, that of a fetched
    one with what was fetched.
    """
    if name in shipped_names():
        return _with_card(SHIPPED / name, "shipped")
    if name in registered_names():
        return _with_card(REGISTERED / name, "registered")
    if name in foundation.URLS:
        return Entry(name, "foundation", model=foundation.fetched(name))
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return Entry(name, "ase")
    path = Path(name).expanduser()
    if path.is_file():
        return Entry(name, "file", model=path.resolve())
    if path.suffix == ".model" or "/" in name:
        raise HalmdError(f"potential {name!r}: no such file")
    raise HalmdError(
        f"potential {name!r} is not known; shipped: {', '.join(shipped_names()) or 'none'}; "
        f"registered in {REGISTERED}/: {', '.join(registered_names()) or 'none'}; "
        f"foundation models: {', '.join(foundation.URLS)}; or give the path of a MACE .model, "
        "or module:factory of an ASE calculator"
    )


def _with_card(folder: Path, kind: Kind) -> Entry:
    card = read_json(folder / "card.json")
    cure = "install halmd again" if kind == "shipped" else "register it again"
    members = card["files"].get("committee", [])
    for file in (card["files"]["mace"], card["files"]["native"], *members):
        if file not in card["sha256"]:
            raise HalmdError(f"{folder / 'card.json'}: it has no SHA-256 of {file}; {cure}")
    for file, checksum in card["sha256"].items():
        path = folder / file
        if not path.is_file() or sha256(path) != checksum:
            raise HalmdError(f"{path}: damaged (its SHA-256 is not the one in card.json); {cure}")
    if not _is_threshold(card.get("uncertainty")):
        raise HalmdError(
            f"{folder / 'card.json'}: its uncertainty needs force_std_eV_per_A above zero and a "
            f"share from 0 to 1; {cure}"
        )
    return Entry(
        folder.name,
        kind,
        (folder / card["files"]["mace"]).resolve(),
        (folder / card["files"]["native"]).resolve(),
        card,
        tuple((folder / file).resolve() for file in members),
    )


def _is_threshold(uncertainty: Any) -> bool:
    """Whether a card says soundly what disagreement of a committee means, or nothing at all."""
    if uncertainty is None:
        return True
    if not isinstance(uncertainty, dict):
        return False
    limit, share = uncertainty.get("force_std_eV_per_A"), uncertainty.get("share")
    if not isinstance(limit, int | float) or not isinstance(share, int | float):
        return False
    return limit > 0 and 0 <= share <= 1


def covering(elements: frozenset[str]) -> list[str]:
    """Shipped and registered potentials trained on all of `elements`."""
    names = [*shipped_names(), *registered_names()]
    return [name for name in names if elements <= (find(name).elements or set())]


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
            f"potentials that cover all of it: {', '.join(others)}"
            if others
            else "none with a card covers it; MACE foundation models such as medium-mpa-0 do"
        )
        raise HalmdError(
            f"potential {name!r} was not trained on {', '.join(missing)} "
            f"(it knows {', '.join(sorted(covered or []))}); {cure}; "
            "or say accept_extrapolation: true"
        )
    return missing


def require_crystal(
    prototype: str | None, covered: frozenset[str] | None, *, name: str, accept: bool = False
) -> str | None:
    """The prototype, if potential `name` was trained on other crystals only.

    `prototype` is None for a user's own CIF, `covered` where a potential does not say: neither is
    judged. Raises HalmdError unless extrapolation was accepted.
    """
    if prototype is None or covered is None or prototype in covered:
        return None
    if not accept:
        raise HalmdError(
            f"potential {name!r} was not trained on the crystal {prototype} (it knows "
            f"{', '.join(sorted(covered))}); take one of these as prototype, another potential, or "
            "say accept_extrapolation: true"
        )
    return prototype
