"""`halmd lattice`: lattice constants of a material in NPT, beside the measured ones.

Every ordering is equilibrated as for a run: the shape is that of the relaxed cell, the volume that
of NPT. From the supercell follows the prototype's own cell, of which a paper prints a, b and c.
Rule, command, file and this module have one name; `structures/lattice.py`, the sites of a
supercell, is something else.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.cell import Cell

from halmd.composition import parse_formula
from halmd.config import DynamicsSettings
from halmd.dynamics.equilibrate import equilibrate, equilibrate_in
from halmd.errors import HalmdError
from halmd.files import read_json
from halmd.potentials.evaluators import Loaded
from halmd.structures.conventional import conventional_cell, mean_and_half_spread
from halmd.structures.measured_cell import MeasuredCell, measured_cell

_OF_NPT = ("seed", "volume_A3", "volume_error_A3", "volume_drift_percent", "volume_relaxed_A3")
_OF_CELL = (
    "lengths_A",
    "angles_degree",
    "cell_volume_A3",
    "volume_A3_per_formula",
    "volume_error_A3_per_formula",
)


def lattice(
    orderings: Mapping[str, Atoms],
    summary: Mapping[str, Any],
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    seed: int,
    scratch: Path | None = None,
    structures_folder: Path | None = None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """The record lattice.json of a material's orderings, by their names, at a temperature.

    `summary` is their orderings.json. Ordering k has the seed `seed + k`; finished ones are kept in
    `scratch` and not done again. One that a guard stopped keeps its verdict and counts for nothing.
    Raises HalmdError for an ordering that is not of this summary.
    """
    for name, atoms in orderings.items():
        if Counter(atoms.get_chemical_symbols()) != Counter(summary["counts"]):
            raise HalmdError(
                f"ordering {name}: {atoms.get_chemical_formula()} is not what orderings.json "
                "describes; give orderings and orderings.json of one `halmd structure`"
            )
    entries = [
        _entry(
            name,
            _equilibrated(atoms, loaded, settings, target_K, seed + k, scratch, show_progress),
            summary,
        )
        for k, (name, atoms) in enumerate(orderings.items())
    ]
    measured = (
        "the CIF was handed in: nothing says whether its cell was measured"
        if summary["confidence"] == "user"
        else measured_cell(
            summary["prototype"],
            parse_formula(summary["formula"]),
            summary["site_occupancies_wanted"],
            temperature_K=target_K,
            folder=structures_folder,
        )
    )
    sound = [entry for entry in entries if entry["verdict"] == "ok"]
    return {
        "formula": summary["formula"],
        "prototype": summary["prototype"],
        "confidence": summary["confidence"],
        "temperature_K": target_K,
        "pressure_GPa": settings.pressure_GPa,
        "length_ps": settings.equilibration_ps,
        "potential": loaded.provenance,
        "orderings": entries,
        **_means(sound),
        **_beside(sound, measured),
    }


def in_words(record: Mapping[str, Any]) -> list[str]:
    """A lattice.json record in a few lines."""
    lines = [_constants(record["lengths_A"], record["angles_degree"]) or "no ordering held"]
    if record["measured_lengths_A"]:
        beside = _constants(record["measured_lengths_A"], record["measured_angles_degree"])
        lines.append(f"measured: {beside}")
    if record["volume_ratio_to_measured"]:
        lines.append(f"volume over measured: {record['volume_ratio_to_measured']:.3f}")
    else:
        lines.append(f"not compared: {record['not_compared_because']}")
    lines += [
        f"ordering {entry['ordering']} left out: {entry['verdict']}"
        for entry in record["orderings"]
        if entry["verdict"] != "ok"
    ]
    return lines


def _constants(lengths_A: Sequence[float] | None, angles_degree: Sequence[float] | None) -> str:
    if lengths_A is None or angles_degree is None:
        return ""
    lengths = ", ".join(f"{x:.3f}" for x in lengths_A)
    return f"{lengths} Å; " + ", ".join(f"{x:.2f}" for x in angles_degree) + "°"


def _equilibrated(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    target_K: float,
    seed: int,
    scratch: Path | None,
    show_progress: bool,
) -> dict[str, Any]:
    """The npt.json record of an ordering."""
    if scratch is None:
        return equilibrate(
            atoms, loaded, settings, target_K=target_K, seed=seed, show_progress=show_progress
        ).record
    start = equilibrate_in(
        scratch,
        atoms,
        loaded,
        settings,
        target_K=target_K,
        seed=seed,
        show_progress=show_progress,
    )
    return read_json(start.with_suffix(".json"))


def _entry(name: str, npt: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of one ordering; without a cell where a guard stopped it."""
    entry: dict[str, Any] = {"ordering": name, "verdict": npt["verdict"]}
    entry |= {key: npt.get(key) for key in _OF_NPT} | dict.fromkeys(_OF_CELL)
    if npt["verdict"] != "ok":
        return entry
    supercell = Cell.fromcellpar([*npt["cell_lengths_A"], *npt["cell_angles_degree"]])
    cell = conventional_cell(supercell.array, summary["supercell_matrix"])
    units = _formula_units(summary)
    return entry | {
        "lengths_A": cell.lengths_A.tolist(),
        "angles_degree": cell.angles_degree.tolist(),
        "cell_volume_A3": cell.volume_A3,
        "volume_A3_per_formula": npt["volume_A3"] / units,
        "volume_error_A3_per_formula": npt["volume_error_A3"] / units,
    }


def _formula_units(summary: Mapping[str, Any]) -> float:
    """Formula units in the supercell."""
    element, amount = max(summary["achieved_per_formula_unit"].items(), key=lambda item: item[1])
    return float(summary["counts"][element] / amount)


def _means(sound: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the orderings that count, half their spreads, and the error of the mean volume."""
    names = {
        "lengths_A": "lengths_half_spread_A",
        "angles_degree": "angles_half_spread_degree",
        "volume_A3_per_formula": "volume_half_spread_A3_per_formula",
    }
    error = "volume_error_A3_per_formula"
    if not sound:
        return dict.fromkeys((*names, *names.values(), error))
    found: dict[str, Any] = {}
    for key, spread in names.items():
        mean, half = mean_and_half_spread([entry[key] for entry in sound])
        found |= {key: mean.tolist(), spread: half.tolist()}
    found[error] = float(np.linalg.norm([entry[error] for entry in sound]) / len(sound))
    return found


def _beside(sound: Sequence[Mapping[str, Any]], measured: MeasuredCell | str) -> dict[str, Any]:
    """The measured cell and the ratio of the volumes, or why there is none."""
    ratio, why = None, None
    if isinstance(measured, str):
        why = measured
    elif not sound:
        why = "no ordering held; their verdicts say what happened"
    else:
        mean_A3 = np.mean([entry["cell_volume_A3"] for entry in sound])
        ratio = float(mean_A3 / measured.cell.volume_A3)
    known = measured if isinstance(measured, MeasuredCell) else None
    return {
        "measured_lengths_A": known.cell.lengths_A.tolist() if known else None,
        "measured_angles_degree": known.cell.angles_degree.tolist() if known else None,
        "measured_temperature_K": known.temperature_K if known else None,
        "measured_from": known.source if known else None,
        "volume_ratio_to_measured": ratio,
        "not_compared_because": why,
    }
