"""Potentials behind the runs, for the report page: what their cards vouch for."""

import re
from collections.abc import Sequence
from typing import Any

from halmd.composition import parse_formula, reduced
from halmd.errors import HalmdError
from halmd.potentials.registry import find
from halmd.report.results import MaterialResults

Record = dict[str, Any]


def key_of(run: Record) -> str | None:
    """Name and checksum of a run's potential; None where run.json does not say."""
    potential = run["run"].get("potential")
    return f"{potential['name']} {(potential.get('sha256') or '')[:12]}" if potential else None


def potentials_of(results: Sequence[MaterialResults]) -> dict[str, Record]:
    """Every potential of these runs by its key, with its card where there is one here.

    A card that lists another file than the run's is not this potential's: it is left out.
    """
    found: dict[str, Record] = {}
    for run in (run for material in results for run in material.runs):
        key = key_of(run)
        if key is not None and key not in found:
            potential = run["run"]["potential"]
            found[key] = described(potential, _card(potential))
    return found


def _card(potential: Record) -> Record | None:
    try:
        card = find(potential["name"]).card
    except HalmdError:
        # Runs may come from another machine, whose potential is not here.
        return None
    made_with = {potential.get("sha256"), potential.get("model_sha256")}
    return card if card and made_with & set(card["sha256"].values()) else None


def described(potential: Record, card: Record | None) -> Record:
    """A run's potential and its card, for the page; errors are those of held-out snapshots."""
    record = {
        "name": potential["name"],
        "kind": potential.get("kind"),
        "sha256": potential.get("sha256"),
        "evaluator": potential.get("evaluator"),
        "versions": potential.get("versions", {}),
        "card": None,
    }
    if card is None:
        return record
    limit = card.get("uncertainty")
    summary = card.get("validation", {}).get("summary", [])
    return record | {
        "card": {
            "elements": sorted(card["elements"]),
            "crystals": card.get("crystals"),
            "families": card.get("families", []),
            "not_covered": card.get("learnt_but_not_covered", []),
            "teacher": _teacher(card.get("teacher")),
            "snapshots": _snapshots(card["data"]) if "data" in card else None,
            **{key: card.get(key) for key in ("shape", "r_max_A", "licence")},
            "errors": _errors(card),
            "bars": [sum(line.startswith("holds") for line in summary), len(summary)],
            "uncertainty": limit
            and {key: limit.get(key) for key in ("members", "force_std_eV_per_A", "share")},
        }
    }


def coverage(results: MaterialResults, card: Record | None) -> Record | None:
    """What of a material its potential was fitted on; None without a card.

    `learnt` is the families that name the formula, `held_out` the errors of its own snapshots,
    which the fit never saw.
    """
    if card is None:
        return None
    elements = {symbol for run in results.runs for symbol in _elements(run)}
    crystals, prototype = card["crystals"], results.structure["prototype"]
    return {
        "covered": sorted(elements & set(card["elements"])),
        "missing": sorted(elements - set(card["elements"])),
        "crystal": None if crystals is None else prototype in crystals,
        "learnt": [
            name.partition(" (")[0]
            for name in card["families"]
            if any(_same(text, results.formula) for text in re.split(r"[^\w.]+", name))
        ],
        "held_out": next(
            (
                row
                for row in card["errors"]
                if row["kind"] == "composition" and _same(row["of"], results.formula)
            ),
            None,
        ),
    }


def _same(text: str, formula: str) -> bool:
    """Whether a word of a card is this composition."""
    try:
        return reduced(parse_formula(text)) == reduced(parse_formula(formula))
    except HalmdError:
        return False


def _elements(run: Record) -> set[str]:
    return {run["mobile"], *run["msd"].get("others_A2", {})}


def _teacher(teacher: Any) -> str | None:
    """In words; a single model, or terms that are added up."""
    if teacher is None:
        return None
    if isinstance(teacher, dict):
        dispersion = teacher.get("dispersion")
        words = str(teacher["model"])
        return words + (
            f" with {dispersion['damping']} dispersion for {dispersion['method']}"
            if dispersion
            else ""
        )
    return " + ".join(f"{term['weight']:g} x {term['name']}" for term in teacher)


def _snapshots(data: Record) -> int:
    """Those it was fitted on, without the test."""
    return sum(
        part["snapshots"] for name, part in data.items() if name.rpartition("/")[2] != "test"
    )


def _errors(card: Record) -> list[Record]:
    """Held-out errors of everything, of each family (or temperature) and composition."""
    if "held_out_errors" in card:
        return [_error(of, "temperature", e) for of, e in card["held_out_errors"].items()]
    errors = card.get("validation", {}).get("errors", {})
    if not errors:
        return []
    rows = [_error("all", "family", errors["all"])]
    for kind in ("family", "composition"):
        rows += [_error(of, kind, e) for of, e in errors.get(f"by_{kind}", {}).items()]
    return rows


def _error(of: str, kind: str, errors: Record) -> Record:
    return {
        "of": of,
        "kind": kind,
        "snapshots": errors["snapshots"],
        "energy_meV_per_atom": errors["energy_rmse_meV_per_atom"],
        "force_meV_per_A": errors["force_rmse_meV_per_A"],
        "force_rms_meV_per_A": errors["force_rms_meV_per_A"],
        "pressure_GPa": errors.get("pressure_rmse_GPa"),
    }
