"""Milliseconds of a step of janus-core's MD; called by `dynamics.py`, in janus-core's environment.

    python benchmarks/janus_steps.py MODEL STRUCTURE STEPS

NVT by velocity rescaling at 600 K, 2 fs, mace-torch in float32, its files as by default.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from janus_core.calculations.md import NVT_CSVR


def run(model: str, structure: str, steps: int, folder: str) -> float:
    """Seconds of so many steps."""
    dynamics = NVT_CSVR(
        struct=structure,
        arch="mace",
        model=model,
        calc_kwargs={"default_dtype": "float32"},
        steps=steps,
        timestep=2.0,
        temp=600.0,
        taut=1000.0,
        seed=1,
        file_prefix=Path(folder) / "janus",
        track_carbon=False,
    )
    began = time.perf_counter()
    dynamics.run()
    return time.perf_counter() - began


def main() -> None:
    """Command line."""
    model, structure, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with TemporaryDirectory() as folder:
        # The first run holds what is done once.
        run(model, structure, 3, folder)
        print(1000 * run(model, structure, steps, folder) / steps)


if __name__ == "__main__":
    main()
