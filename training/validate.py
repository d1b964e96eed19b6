"""Judge the fitted student on what it never saw, and write its card.

    python training/validate.py [--folder training/data]

Errors on held-out orderings and temperatures, split by species, temperature and shortest
distance; slope of the student's forces on the teacher's; the pair scan down to 0.7 Å; the cell in
NPT at 300 K against experiment. With `--ship`, model, native export and card go into the package.
"""

import argparse
import json
import platform
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import yaml
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import LBFGS

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from fit import usable  # noqa: E402
from halmd.files import sha256, write_json  # noqa: E402
from halmd.potentials.convert import describe, reference  # noqa: E402
from halmd.potentials.evaluators import native_calculator, torch_calculator  # noqa: E402
from halmd.potentials.potential import export_native  # noqa: E402
from halmd.potentials.registry import SHIPPED  # noqa: E402
from snapshots import Start, bare, starts  # noqa: E402

MEASURED_LENGTHS_A = (11.2217, 11.2217, 6.05517)
MEASURED_VOLUME_A3_PER_ATOM = 660.35 / 30
"""Li3YCl6 at room temperature, Asano et al. 2018 (structures/SOURCES.md)."""


def predictions(frames: list[Atoms], calculator: Any) -> list[dict[str, Any]]:
    """Energy (eV/atom) and forces (eV/Å) of student and teacher for every snapshot."""
    rows = []
    for frame in frames:
        atoms = bare(frame)
        atoms.calc = calculator
        rows.append(
            {
                "symbols": np.array(atoms.get_chemical_symbols()),
                "energy": (
                    atoms.get_potential_energy() / len(atoms),
                    frame.info["REF_energy"] / len(atoms),
                ),
                "forces": (atoms.get_forces(), frame.arrays["REF_forces"]),
                "info": frame.info,
                "shortest_A": float(
                    np.min(atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)])
                ),
            }
        )
    return rows


def errors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """RMS errors and force slopes (student on teacher) over the given snapshots."""
    found = np.concatenate([row["forces"][0] for row in rows])
    wanted = np.concatenate([row["forces"][1] for row in rows])
    symbols = np.concatenate([row["symbols"] for row in rows])
    energy = np.array([row["energy"] for row in rows])
    result: dict[str, Any] = {
        "snapshots": len(rows),
        "energy_rmse_meV_per_atom": 1000
        * float(np.sqrt(np.mean((energy[:, 0] - energy[:, 1]) ** 2))),
        "force_rmse_meV_per_A": 1000 * float(np.sqrt(np.mean((found - wanted) ** 2))),
        "force_rms_meV_per_A": 1000 * float(np.sqrt(np.mean(wanted**2))),
        "by_species": {},
    }
    for symbol in sorted(set(symbols)):
        f, w = found[symbols == symbol], wanted[symbols == symbol]
        result["by_species"][symbol] = {
            "force_rmse_meV_per_A": 1000 * float(np.sqrt(np.mean((f - w) ** 2))),
            "force_rms_meV_per_A": 1000 * float(np.sqrt(np.mean(w**2))),
            "force_slope": float((f * w).sum() / (w * w).sum()),
        }
    return result


def pair_scan(start: Atoms, calculator: Any) -> dict[str, Any]:
    """Push each pair of species together: force between the two (eV/Å, positive is apart)."""
    scan = {}
    symbols = np.array(start.get_chemical_symbols())
    for a, b in (("Li", "Li"), ("Li", "Y"), ("Li", "Cl"), ("Y", "Y"), ("Y", "Cl"), ("Cl", "Cl")):
        lengths = start.get_all_distances(mic=True)
        lengths[np.diag_indices(len(start))] = np.inf
        lengths[np.ix_(symbols != a, np.arange(len(start)))] = np.inf
        lengths[np.ix_(np.arange(len(start)), symbols != b)] = np.inf
        i, j = np.unravel_index(np.argmin(lengths), lengths.shape)
        vector = start.get_distance(i, j, mic=True, vector=True)
        unit = vector / np.linalg.norm(vector)
        forces = {}
        for distance in (0.7, 0.9, 1.1, 1.3, 1.5):
            atoms = bare(start)
            middle = start.positions[i] + vector / 2
            atoms.positions[i] = middle - unit * distance / 2
            atoms.positions[j] = middle + unit * distance / 2
            atoms.calc = calculator
            f = atoms.get_forces()
            forces[f"{distance:.1f}"] = float((f[j] - f[i]) @ unit / 2)
        scan[f"{a}-{b}"] = forces
    return scan


def cell(
    start: Start, calculator: Any, temperature_K: float, pressure_GPa: float
) -> dict[str, Any]:
    """Volume relaxed at 0 K, and averaged over isotropic NPT, in Å³ per atom."""
    atoms = bare(start.atoms)
    atoms.calc = calculator
    pressure = pressure_GPa * units.GPa
    LBFGS(FrechetCellFilter(atoms, scalar_pressure=pressure), logfile=None).run(0.02, 300)
    relaxed = float(atoms.get_volume() / len(atoms))
    lengths = atoms.cell.lengths()
    cells_along_c = max(1, round(lengths[2] / MEASURED_LENGTHS_A[2]))
    rng = np.random.default_rng(1)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=rng)
    dynamics = IsotropicMTKNPT(
        atoms,
        2 * units.fs,
        temperature_K=temperature_K,
        pressure_au=pressure,
        tdamp=100 * units.fs,
        pdamp=1000 * units.fs,
    )
    volumes = []
    for step in range(1000):
        dynamics.run(10)
        if step >= 300:
            volumes.append(atoms.get_volume() / len(atoms))
    blocks = np.array(volumes).reshape(10, -1).mean(axis=1)
    return {
        "start": start.tag,
        "temperature_K": temperature_K,
        "pressure_GPa": pressure_GPa,
        "relaxed_A3_per_atom": relaxed,
        "mean_A3_per_atom": float(blocks.mean()),
        "standard_error_A3_per_atom": float(blocks.std(ddof=1) / np.sqrt(len(blocks))),
        "ratio_to_measured": float(blocks.mean() / MEASURED_VOLUME_A3_PER_ATOM),
        "lengths_A": _at_volume(lengths, relaxed, blocks.mean(), cells_along_c),
        "measured_lengths_A": list(MEASURED_LENGTHS_A),
    }


def _at_volume(lengths: Any, relaxed: float, mean: float, cells_along_c: int) -> list[float]:
    """Relaxed cell lengths in Å scaled to the mean volume, for one crystallographic cell."""
    scaled = lengths * (mean / relaxed) ** (1 / 3) / np.array([1, 1, cells_along_c])
    return [float(length) for length in scaled]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.yaml")
    parser.add_argument("--folder", type=Path, default=HERE / "data")
    parser.add_argument("--ship", action="store_true", help="put model and card into the package")
    arguments = parser.parse_args()
    recipe = yaml.safe_load(arguments.recipe.read_text())
    folder: Path = arguments.folder.resolve()
    name = recipe["name"]
    model = folder / "final" / f"{name}.model"
    native = export_native(model, folder / "final")
    calculator = native_calculator(native, folder / "native-cache")

    test = usable(
        ase.io.read(folder / "test-labelled.xyz", ":"), recipe["seeds"]["max_force_eV_per_A"]
    )
    rows = predictions(test, calculator)
    held_out: dict[str, Any] = {"all": errors(rows)}
    for temperature in recipe["test"]["temperatures_K"]:
        chosen = [row for row in rows if row["info"]["temperature_K"] == temperature]
        if chosen:
            held_out[f"{temperature}K"] = errors(chosen)
    contact_frames = usable(
        [
            f
            for f in ase.io.read(folder / "seeds-labelled.xyz", ":")
            if f.info["origin"] == "contact"
        ],
        recipe["seeds"]["max_force_eV_per_A"],
    )
    contact_rows = predictions(contact_frames, calculator)
    by_distance = {}
    for low, high in ((0.0, 1.2), (1.2, 1.6), (1.6, 2.3)):
        chosen = [row for row in contact_rows if low <= row["shortest_A"] < high]
        if chosen:
            by_distance[f"{low}-{high} A"] = errors(chosen)

    found = starts(recipe)
    by_tag = {start.tag: start for start in found}
    card = {
        "name": name,
        "elements": ["Li", "Y", "Cl"],
        "families": ["Li3YCl6, P-3m1, with M2/M3 disorder"],
        "r_max_A": recipe["student"]["r_max_A"],
        "shape": recipe["student"]["final"]["hidden_irreps"],
        "teacher": {**recipe["teacher"], "package": "sevenn 0.13.0", "licence": "MIT"},
        "licence": "MIT",
        "data": {
            stem.stem.removesuffix("-labelled"): {
                "snapshots": len(ase.io.read(stem, ":")),
                "sha256": sha256(stem),
            }
            for stem in sorted(folder.glob("*-labelled.xyz"))
        },
        "held_out_orderings": [start.tag for start in found if start.held_out],
        "held_out_temperatures_K": recipe["test"]["temperatures_K"],
        "held_out_errors": held_out,
        "contact_errors_in_training": by_distance,
        "pair_scan_force_eV_per_A": pair_scan(by_tag["m1m2-00"].atoms, calculator),
        "cell": [
            cell(by_tag[tag], calculator, 300.0, pressure)
            for tag in ("m1m2-00", "m2m3-60-00")
            for pressure in (0.0,)
        ],
        "versions": {p: version(p) for p in ("mace-torch", "torch", "symmetrix-xl", "ase")},
        "python": platform.python_version(),
    }
    print(json.dumps(_rounded(card), indent=1))
    if arguments.ship:
        ship(card, model, native)


def ship(card: dict[str, Any], model: Path, native: Path) -> None:
    """Copy the model into the package beside its card, checksums and self-check values."""
    target = SHIPPED / card["name"]
    target.mkdir(parents=True, exist_ok=True)
    files = {"mace": f"{card['name']}.model", "native": f"{card['name']}.native.json"}
    shutil.copy(model, target / files["mace"])
    shutil.copy(native, target / files["native"])
    exact = torch_calculator(model, dtype="float64")
    check = describe(model)["self_check"]
    recipe = yaml.safe_load((HERE / "recipe.yaml").read_text())
    rng = np.random.default_rng(3)
    for start in starts(recipe)[::9]:
        atoms = bare(start.atoms)
        atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
        check.append(reference(atoms, exact))
    checksums = {file: sha256(target / file) for file in files.values()}
    write_json(
        target / "card.json",
        _rounded(card) | {"files": files, "sha256": checksums, "self_check": check},
    )


if __name__ == "__main__":
    main()
