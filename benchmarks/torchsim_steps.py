"""Seconds of a step of many cells by TorchSim; called by `batched.py`, in TorchSim's environment.

    python benchmarks/torchsim_steps.py MODEL STRUCTURE REPLICAS STEPS

NVT by velocity rescaling at 600 K, 2 fs, float32, mace-torch's own TorchSim model without stress.
Prints JSON with the median of three blocks.
"""

import json
import sys
import time
from statistics import median

import ase.io
import torch
import torch_sim as ts
from mace.calculators.mace_torchsim import MaceTorchSimModel

TEMPERATURE_K, TIMESTEP_FS, THERMOSTAT_FS = 600.0, 2.0, 1000.0


def main() -> None:
    """Command line."""
    model_file, structure = sys.argv[1:3]
    replicas, steps = map(int, sys.argv[3:5])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = MaceTorchSimModel(model_file, device=device, dtype=torch.float32, compute_stress=False)
    cells = [ase.io.read(structure)] * replicas
    state = ts.initialize_state(cells, device=device, dtype=torch.float32)
    unit = ts.units.MetalUnits
    kT, dt = TEMPERATURE_K * unit.temperature, TIMESTEP_FS / 1000 * unit.time
    tau = THERMOSTAT_FS / 1000 * unit.time
    state = ts.nvt_vrescale_init(state, model, kT=kT)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        for _ in range(steps):
            state = ts.nvt_vrescale_step(model, state, dt=dt, kT=kT, tau=tau)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / steps)
    kelvin = float(
        ts.calc_temperature(
            masses=state.masses, momenta=state.momenta, system_idx=state.system_idx
        ).mean()
    )
    print(json.dumps({"seconds_per_step": median(times[1:]), "temperature_K": kelvin}))


if __name__ == "__main__":
    main()
