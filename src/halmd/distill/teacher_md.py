"""MD at constant volume by a sum of ASE calculators; run as a script by the teacher's interpreter.

    python teacher_md.py JOB.json

Needs numpy, ASE and the calculators' packages; nothing of halmd. JOB has `start` (an extxyz file),
`terms` (calculator, arguments, weight), `temperature_K`, `timestep_fs`, `frame_fs`, `length_ps`,
`thermostat_ps`, `settle_ps`, `seed`, `target` (a folder) and `part_ps` (1 if left out). Positions
(Å, not wrapped) of every frame go into target/part-NNNN.npz; a killed run goes on from the last.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.bussi import Bussi

_PART_PS = 1.0


class Sum(Calculator):  # type: ignore[misc]
    """Weighted sum of calculators: energy, forces, stress."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, terms: list[tuple[Any, float]]):
        super().__init__()
        self.terms = terms

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Sum the results of all terms."""
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": 0.0, "stress": 0.0}
        for calculator, weight in self.terms:
            calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
            for key in self.results:
                self.results[key] = self.results[key] + weight * calculator.results[key]


def by_ase(atoms: Atoms, job: dict[str, Any], rng: np.random.Generator) -> Any:
    """ASE's stochastic velocity rescaling with the calculator of `atoms`."""
    dynamics = Bussi(
        atoms,
        job["timestep_fs"] * units.fs,
        temperature_K=job["temperature_K"],
        taut=job["thermostat_ps"] * 1000 * units.fs,
        rng=rng,
    )
    # The total momentum is zero and stays so; ASE counts its three degrees of freedom too.
    dynamics.ndof = 3 * len(atoms) - 3
    dynamics.target_kinetic_energy = 0.5 * dynamics.ndof * units.kB * job["temperature_K"]
    return dynamics


def run(atoms: Atoms, job: dict[str, Any], mover: Any = by_ase) -> None:
    """Run or continue `job` from the positions of `atoms`, which are at rest when it begins.

    `mover` makes what moves the atoms of the atoms, the job and a generator: its `run(steps)` does.
    """
    target = Path(job["target"])
    target.mkdir(parents=True, exist_ok=True)
    per_frame = round(job["frame_fs"] / job["timestep_fs"])
    part_ps = job.get("part_ps", _PART_PS)
    per_part = round(part_ps * 1000 / job["frame_fs"])
    rng = np.random.default_rng(job["seed"])
    parts = sorted(target.glob("part-*.npz"))
    if parts:
        with np.load(parts[-1]) as last:
            atoms.positions = last["positions_A"][-1]
            atoms.set_momenta(last["momenta"])
        rng.bit_generator.state = json.loads((target / f"{parts[-1].stem}.json").read_text())
    else:
        spread = np.sqrt(atoms.get_masses() * units.kB * job["temperature_K"])[:, None]
        momenta = rng.normal(size=(len(atoms), 3)) * spread
        atoms.set_momenta(momenta - momenta.mean(axis=0))
    dynamics = mover(atoms, job, rng)
    if not parts:
        dynamics.run(round(job["settle_ps"] * 1000 / job["timestep_fs"]))
    for number in range(len(parts), round(job["length_ps"] / part_ps)):
        positions = []
        for _ in range(per_part):
            dynamics.run(per_frame)
            positions.append(atoms.positions.copy())
        stem = target / f"part-{number:04d}"
        stem.with_suffix(".json").write_text(json.dumps(rng.bit_generator.state))
        temporary = target / f".{stem.name}.npz"
        np.savez(temporary, positions_A=np.array(positions), momenta=atoms.get_momenta())
        temporary.replace(stem.with_suffix(".npz"))


def main() -> None:
    """Build the teacher and run the job."""
    import ase.io

    # In the place of this script's own folder, whose modules are halmd's and not the teacher's.
    sys.path[0] = str(Path.cwd())
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        pass
    terms = []
    for term in job["terms"]:
        module, _, factory = term["calculator"].partition(":")
        made = getattr(importlib.import_module(module), factory)(**term["arguments"])
        terms.append((made, term["weight"]))
    atoms = ase.io.read(job["start"], format="extxyz")
    atoms.calc = Sum(terms)
    run(atoms, job)


if __name__ == "__main__":
    main()
