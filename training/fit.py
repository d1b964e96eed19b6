"""Fit a MACE student to labelled snapshots with `mace_run_train`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from halmd.files import whole_file


def usable(frames: list[Atoms], max_force_eV_per_A: float) -> list[Atoms]:
    """Snapshots whose largest force is finite and not of the kind that only ZBL should decide."""
    return [
        atoms
        for atoms in frames
        if np.abs(atoms.arrays["REF_forces"]).max() < max_force_eV_per_A  # False for NaN too
    ]


def fit(
    name: str, frames: list[Atoms], recipe: dict[str, Any], size: dict[str, Any], folder: Path
) -> Path:
    """Fit a student called `name`; returns its `.model`, fitted once and then reused.

    A twentieth of the snapshots, drawn by the recipe's seed, is kept to watch the fit.
    """
    target = folder / f"{name}.model"
    if (folder / "done").exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    frames = usable(frames, recipe["seeds"]["max_force_eV_per_A"])
    order = np.random.default_rng(recipe["seed"]).permutation(len(frames))
    n_valid = max(10, len(frames) // 20)
    ase.io.write(folder / "valid.xyz", [frames[k] for k in order[:n_valid]], format="extxyz")
    ase.io.write(folder / "train.xyz", [frames[k] for k in order[n_valid:]], format="extxyz")
    student = recipe["student"]
    options = {
        "name": name,
        "seed": recipe["seed"],
        "work_dir": folder,
        "train_file": folder / "train.xyz",
        "valid_file": folder / "valid.xyz",
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "E0s": "average",
        "model": "MACE",
        "hidden_irreps": size["hidden_irreps"],
        "r_max": student["r_max_A"],
        "max_ell": student["max_ell"],
        "correlation": student["correlation"],
        "num_interactions": student["num_interactions"],
        "loss": "universal",
        "energy_weight": 1,
        "forces_weight": 10,
        "stress_weight": 100,
        "huber_delta": 0.01,
        "compute_stress": True,
        "error_table": "PerAtomRMSE",
        "batch_size": student["batch_size"],
        "valid_batch_size": 8,
        "lr": student["learning_rate"],
        "scheduler": "ExponentialLR",
        "lr_scheduler_gamma": size["decay"],
        "ema_decay": 0.995,
        "max_num_epochs": size["epochs"],
        "eval_interval": 2,
        "device": "cpu",
        "default_dtype": "float32",
        "plot": False,
    }
    command = [sys.executable, "-m", "mace.cli.run_train"]
    command += [f"--{key}={value}" for key, value in options.items()]
    command += ["--pair_repulsion", "--ema", "--amsgrad", "--restart_latest"]
    with (folder / "fit.log").open("a") as log:
        subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, check=True, env=_environment()
        )
    if not target.exists():
        raise RuntimeError(f"{folder / 'fit.log'}: mace_run_train wrote no {target.name}")
    (folder / "done").touch()
    return target


def _environment() -> dict[str, str]:
    return os.environ | {
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "OMP_NUM_THREADS": str(os.cpu_count() or 1),
    }


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
