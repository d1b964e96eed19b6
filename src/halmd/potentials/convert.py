"""Read a MACE `.model` with torch, in a process of its own: `python -m halmd.potentials.convert`.

Writes what the rest of halmd needs to know without torch: elements, cutoff, and reference energies
and forces in float64 for the self-check.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii


def probe_structures(elements: list[str], seed: int = 7) -> list[Atoms]:
    """Small periodic cells of the given elements at reasonable distances, for a self-check.

    Random sequential addition: no pair is closer than 1.1 times the sum of its covalent radii.
    """
    rng = np.random.default_rng(seed)
    preferred = [x for x in ("Li", "Cl", "Br", "Y", "In", "Zr", "F", "I", "O") if x in elements]
    chosen = (preferred + [x for x in elements if x not in preferred])[:4]
    found = []
    for _ in range(2):
        symbols = [chosen[k % len(chosen)] for k in range(12)]
        radii = np.array([covalent_radii[chemical_symbols.index(x)] for x in symbols])
        cell = np.diag([2.6 * radii.mean() * len(symbols) ** (1 / 3)] * 3)
        cell += rng.normal(0.0, 0.3, (3, 3))
        positions: list[np.ndarray[Any, Any]] = []
        while len(positions) < len(symbols):
            trial = Atoms(
                symbols[: len(positions) + 1],
                positions=[*positions, rng.random(3) @ cell],
                cell=cell,
                pbc=True,
            )
            k = len(positions)
            if k:
                lengths = trial.get_distances(k, np.arange(k), mic=True)
                if np.any(lengths < 1.1 * (radii[:k] + radii[k])):
                    # Widening by a hair each time guarantees that the search ends.
                    cell *= 1.002
                    continue
            positions.append(trial.positions[-1])
        found.append(Atoms(symbols, positions=positions, cell=cell, pbc=True))
    return found


def reference(atoms: Atoms, calculator: Any) -> dict[str, Any]:
    """Structure with energy (eV), forces (eV/Å) and stress (eV/Å³) by `calculator`, JSON-able."""
    probe = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    probe.calc = calculator
    return {
        "symbols": probe.get_chemical_symbols(),
        "positions_A": probe.positions.tolist(),
        "cell_A": np.array(probe.cell).tolist(),
        "energy_eV": float(probe.get_potential_energy()),
        "forces_eV_per_A": probe.get_forces().tolist(),
        "stress_eV_per_A3": probe.get_stress().tolist(),
    }


def describe(model: Path, structures: list[Atoms] | None = None) -> dict[str, Any]:
    """Elements, cutoff and float64 reference values of a MACE model (imports torch).

    The values are of the given structures, or of cells made of the model's elements.
    """
    # e3nn 0.4.4 reads its own constants with an old torch.load.
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(model), device="cpu", default_dtype="float64")
    elements = [chemical_symbols[int(z)] for z in calculator.models[0].atomic_numbers]
    return {
        "elements": elements,
        "r_max_A": float(calculator.r_max),
        "self_check": [
            reference(atoms, calculator)
            for atoms in (probe_structures(elements) if structures is None else structures)
        ],
    }


def main() -> None:
    """Command line of the conversion process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--structures", type=Path, help="extxyz with structures to be computed")
    arguments = parser.parse_args()
    structures = ase.io.read(arguments.structures, ":") if arguments.structures else None
    facts = describe(arguments.model, structures)
    arguments.target.write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
