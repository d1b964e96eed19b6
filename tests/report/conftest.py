"""A material's results, made of synthetic walks, for tables, figures and exports."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from walks import FRAME_PS, hopping

from halmd.config import ArrheniusSettings, DiffusionSettings, DynamicsSettings, StructureSettings
from halmd.files import write_json
from halmd.report.results import MaterialResults, load_material, load_runs
from halmd.transport.arrhenius import arrhenius
from halmd.transport.diffusion import diffusion
from halmd.transport.motion import motion_of

JUMPS_PER_PS = {500.0: 0.05, 600.0: 0.12, 700.0: 0.25}
POTENTIAL = {
    "name": "test",
    "kind": "mace",
    "evaluator": "native",
    "sha256": "0123456789abcdef" * 4,
    "versions": {"symmetrix-xl": "0.1.1"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/Li3YCl6 with two orderings at three temperatures, one run stopped by a guard."""
    folder = tmp_path_factory.mktemp("results") / "Li3YCl6"
    rng = np.random.default_rng(0)
    for ordering in ("00", "01"):
        for temperature, rate in JUMPS_PER_PS.items():
            run = folder / ordering / f"{temperature:g}K" / "r0"
            lithium = hopping(rng, 1200, 18, rate)
            framework = rng.normal(0, 0.1, (1200, 36, 3)) + rng.random((36, 3)) * 11
            motion = motion_of(
                np.concatenate([lithium, framework], axis=1),
                np.diag([11.0, 11.0, 11.0]),
                ("Li",) * 18 + ("Cl",) * 36,
                np.arange(1200) * FRAME_PS,
            )
            stopped = ordering == "01" and temperature == 700
            verdict = "framework_unstable" if stopped else "ok"
            record = diffusion(
                motion, DiffusionSettings(), temperature_K=temperature, run_verdict=verdict
            )
            write_json(run / "transport.json", record)
            made = {"verdict": verdict, "potential": POTENTIAL, "engine": "lean"}
            made |= {"length_ps": 1199 * FRAME_PS, "temperature_K": temperature}
            made |= {"framework": {"plateau_A2": 9.0 if stopped else 0.2}}
            settings = {"settings": DynamicsSettings().model_dump()}
            write_json(run / "run.json", made | settings)
            write_json(run / "npt.json", {"pressure_GPa": 0.0, "length_ps": 12.5})
    made = {"formula": "Li3YCl6", "achieved_formula": "Li3YCl6", "prototype": "a_crystal"}
    made |= {"confidence": "verbatim", "cautions": [], "atoms": 54, "orderings": [{}, {}]}
    made |= {"settings": StructureSettings().model_dump()}
    write_json(folder / "orderings" / "orderings.json", made)
    for number in range(2):
        atoms = bulk("LiCl", "rocksalt", a=5.2, cubic=True)
        atoms.rattle(0.1, seed=number)
        ase.io.write(folder / "orderings" / f"{number:02d}.extxyz", atoms)
    runs = load_runs(sorted(folder.glob("*/*K/r*/transport.json")))
    write_json(folder / "arrhenius.json", arrhenius(runs, ArrheniusSettings(n_samples=2000)))
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> MaterialResults:
    return load_material(folder)
