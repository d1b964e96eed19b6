"""Label snapshots with the teacher: SevenNet, with D3(BJ) dispersion if asked.

Runs in the teacher's own environment (`requirements-teacher.txt`), because sevenn and mace-torch
need different versions of e3nn. Energies in eV, forces in eV/Å, stress in eV/Å³ (ASE sign). Results
are kept in small shards, so that a killed run continues where it stopped.
"""

import argparse
import os
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARD = 20


def _prepare(model: str, dispersion: tuple[str, str] | None) -> None:
    global CALCULATORS
    import torch
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(1)
    CALCULATORS = [SevenNetCalculator(model, device="cpu")]
    if dispersion:
        from dftd3.ase import DFTD3

        CALCULATORS.append(DFTD3(method=dispersion[0], damping=dispersion[1]))


def _label_shard(job: tuple[Path, str]) -> str:
    import ase.io
    from ase.calculators.calculator import all_changes

    source, selection = job
    target = source.parent / f"{source.stem}-shards" / f"{selection.replace(':', '-')}.xyz"
    if target.exists():
        return str(target)
    frames = ase.io.read(source, selection)
    for atoms in frames:
        energy, forces, stress = 0.0, 0.0, 0.0
        for calculator in CALCULATORS:
            calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
            energy += float(calculator.results["energy"])
            forces = forces + calculator.results["forces"]
            stress = stress + calculator.results["stress"]
        atoms.calc = None
        atoms.info["REF_energy"] = energy
        atoms.info["REF_stress"] = stress
        atoms.arrays["REF_forces"] = forces
    temporary = target.with_suffix(".tmp.xyz")
    ase.io.write(temporary, frames, format="extxyz")
    temporary.replace(target)
    return str(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", default="7net-l3i5")
    parser.add_argument("--dispersion", nargs=2, metavar=("METHOD", "DAMPING"))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    import ase.io

    source: Path = arguments.source
    (source.parent / f"{source.stem}-shards").mkdir(exist_ok=True)
    count = len(ase.io.read(source, ":"))
    jobs = [(source, f"{k}:{min(k + SHARD, count)}") for k in range(0, count, SHARD)]
    dispersion = tuple(arguments.dispersion) if arguments.dispersion else None
    with get_context("spawn").Pool(
        arguments.workers, _prepare, (arguments.model, dispersion)
    ) as pool:
        shards = []
        for done, shard in enumerate(pool.imap(_label_shard, jobs), start=1):
            shards.append(shard)
            print(f"label: {min(done * SHARD, count)} of {count} snapshots", flush=True)
    frames = [atoms for shard in shards for atoms in ase.io.read(shard, ":")]
    temporary = arguments.target.with_suffix(".tmp.xyz")
    ase.io.write(temporary, frames, format="extxyz")
    temporary.replace(arguments.target)


if __name__ == "__main__":
    main()
