"""A campaign on two cores beside the same runs by a plain ASE script, one after the other.

    python benchmarks/campaign.py [--potential NAME] [--ps 20] [--share 0.04]

halmd: Snakemake with two cores, from built orderings and a prepared potential to trajectories on
disk, everything on the way included (start of processes, relaxation, NPT, guards, checkpoints,
frames). ASE: relaxation, MTK NPT and Bussi NVT with mace-torch's own calculator on two threads, as
a script of thirty lines has it, timed for a share of the steps. Both of Li3YCl6 at four
temperatures.
Prints picoseconds of molecular dynamics per minute, of all runs together, and their ratio.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

REPOSITORY = Path(__file__).parents[1]
TEMPERATURES_K = [500, 560, 620, 680]
EQUILIBRATION_PS, SETTLE_PS, TIMESTEP_FS = 8.0, 2.0, 2.0

PLAIN = """
import sys, time
import ase.io, numpy as np, torch
from ase import units
from ase.filters import FrechetCellFilter
from ase.md.bussi import Bussi
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE
from mace.calculators import MACECalculator

torch.set_num_threads(2)
model, structure, steps, share, temperature_K = sys.argv[1:3] + [float(x) for x in sys.argv[3:]]
calculator = MACECalculator(model_paths=model, device="cpu", default_dtype="float32")
atoms = ase.io.read(structure)
atoms.calc = calculator
atoms.get_forces()
began = time.perf_counter()
FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=round(60 * share) or 1)
MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K)
NPT = IsotropicMTKNPT(atoms, 2 * units.fs, temperature_K=temperature_K, pressure_au=0.0,
                      tdamp=200 * units.fs, pdamp=1000 * units.fs)
NPT.run(round(NPT_STEPS * share))
NVT = Bussi(atoms, 2 * units.fs, temperature_K=temperature_K, taut=1000 * units.fs)
NVT.run(round(steps * share))
print((time.perf_counter() - began) / share)
"""


def environment(threads: int) -> dict[str, str]:
    """For the processes of both."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {"OMP_NUM_THREADS": str(threads), "PATH": path, "PYTHONWARNINGS": "ignore"}
    structures = {"HALMD_STRUCTURES": str(REPOSITORY / "structures")}
    return os.environ | more | structures | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


def snakemake(folder: Path, *words: str) -> float:
    """Seconds of a run of Snakemake on two cores."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--cores", "2", *words],
        cwd=folder,
        env=environment(1),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return time.perf_counter() - began


def plain(folder: Path, length_ps: float, share: float) -> float:
    """Seconds of all runs by ASE, from a share of the steps of each."""
    import json

    model = json.loads((folder / "work/potential/potential.json").read_text())["model_file"]
    ordering = folder / "results/Li3YCl6/orderings/00.extxyz"
    npt_steps = (EQUILIBRATION_PS + SETTLE_PS) * 1000 / TIMESTEP_FS
    script = PLAIN.replace("NPT_STEPS", str(npt_steps))
    steps, total = length_ps * 1000 / TIMESTEP_FS, 0.0
    for temperature_K in TEMPERATURES_K:
        words = [str(folder / model), str(ordering), str(steps), str(share), str(temperature_K)]
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=folder,
            env=environment(2),
            capture_output=True,
            text=True,
            check=True,
        )
        total += float(done.stdout.split()[-1])
    return total


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="halmd-halide-1")
    parser.add_argument("--ps", type=float, default=20.0)
    parser.add_argument("--share", type=float, default=0.04)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        record = {
            "potential": arguments.potential,
            "materials": [{"formula": "Li3YCl6"}],
            "structure": {"n_orderings": 1, "min_length_A": 10},
            "dynamics": {
                "temperatures_K": TEMPERATURES_K,
                "production_ps": arguments.ps,
                "equilibration_ps": EQUILIBRATION_PS,
            },
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(record))
        snakemake(folder, "work/potential/potential.json", "results/Li3YCl6/orderings/00.extxyz")
        atoms = int((folder / "results/Li3YCl6/orderings/00.extxyz").read_text().splitlines()[0])
        all_ps = len(TEMPERATURES_K) * (arguments.ps + EQUILIBRATION_PS + SETTLE_PS)
        print(
            f"{arguments.potential}, {atoms} atoms, {len(TEMPERATURES_K)} runs, "
            f"{all_ps:g} ps in all, two cores"
        )
        ours_s = snakemake(folder, "trajectories")
        print(f"by halmd  {ours_s:8.0f} s {60 * all_ps / ours_s:8.1f} ps/min", flush=True)
        theirs_s = plain(folder, arguments.ps, arguments.share)
        print(f"plain ASE {theirs_s:8.0f} s {60 * all_ps / theirs_s:8.1f} ps/min", flush=True)
        print(f"ratio     {theirs_s / ours_s:8.1f}")


if __name__ == "__main__":
    main()
