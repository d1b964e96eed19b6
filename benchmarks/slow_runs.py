"""What leaving out slow runs does to the conductivity at 300 K, and what counting them does.

    python benchmarks/slow_runs.py [--campaigns 200]

Synthetic campaigns with a known line (0.30 eV, two orderings, 420 to 630 K): events come as
Poisson numbers of four effective jumps each, errors are known from few blocks, and runs whose error
exceeds half of D have the verdict `too_few_jumps`. Each campaign is fitted with those runs left out
and with their events counted.
"""

import argparse

import numpy as np

from halmd.config import ArrheniusSettings
from halmd.transport.arrhenius import arrhenius
from halmd.transport.conductivity import nernst_einstein_S_per_cm, to_cm2_per_s
from halmd.transport.usable import Run
from halmd.units import BOLTZMANN_EV_PER_K

EA_EV, N_IONS, VOLUME_A3, JUMP_A = 0.30, 18, 1300.0, 2.5
LENGTH_PS = {420.0: 200.0, 500.0: 120.0, 560.0: 60.0, 630.0: 30.0}
JUMPS_PER_EVENT, FREEDOM, BETWEEN_ORDERINGS = 4, 12, 0.2


def campaign(D0_cm2_per_s: float, rng: np.random.Generator) -> list[Run]:
    """Transport records of one material."""
    runs = []
    for ordering in ("00", "01"):
        deviation = rng.normal(0, BETWEEN_ORDERINGS)
        for T, length_ps in LENGTH_PS.items():
            D = D0_cm2_per_s * np.exp(deviation - EA_EV / (BOLTZMANN_EV_PER_K * T))
            of_one = to_cm2_per_s(JUMPS_PER_EVENT * JUMP_A**2 / (6 * N_IONS * length_ps))
            events = int(rng.poisson(D / of_one))
            error = float(np.sqrt(rng.chisquare(FREEDOM) / FREEDOM / events)) if events else None
            found = events * of_one
            runs.append(
                {
                    "temperature_K": T,
                    "ordering": ordering,
                    "replica": "0",
                    "verdict": "converged" if error and error <= 0.5 else "too_few_jumps",
                    "D_tracer_cm2_per_s": found,
                    "sigma_NE_S_per_cm": nernst_einstein_S_per_cm(found, N_IONS, VOLUME_A3, T),
                    "relative_error": error,
                    "D_tracer_degrees_of_freedom": FREEDOM,
                    "n_ions": N_IONS,
                    "volume_A3": VOLUME_A3,
                    "charge_e": 1,
                    "n_effective_jumps": float(JUMPS_PER_EVENT * events),
                    "length_ps": length_ps,
                    "settings": {"jump_length_A": JUMP_A},
                }
            )
    return runs


def row(how: str, D0_cm2_per_s: float, campaigns: int) -> str:
    """One line: error of ln sigma(300 K) in the mean and RMS, how often 95 % hold the truth."""
    true_D = D0_cm2_per_s * np.exp(-EA_EV / (BOLTZMANN_EV_PER_K * 300))
    truth = np.log(nernst_einstein_S_per_cm(true_D, N_IONS, VOLUME_A3, 300.0))
    off, held, left = [], [], 0
    for seed in range(campaigns):
        runs = campaign(D0_cm2_per_s, np.random.default_rng(seed))
        left += sum(run["verdict"] != "converged" for run in runs)
        if how == "left out":
            # Without its jump length nothing of a run can be counted.
            runs = [run | {"settings": None} for run in runs]
        record = arrhenius(runs, ArrheniusSettings(n_samples=4000), seed=seed)
        if record["verdict"] != "ok":
            continue
        there = record["extrapolation"]
        low, high = np.log(there["sigma_NE_interval95_S_per_cm"])
        off.append(float(np.log(there["sigma_NE_S_per_cm"])) - truth)
        held.append(low < truth < high)
    return (
        f"| {how} | {left / campaigns:.1f} of 8 | {np.mean(off):+.2f} ± "
        f"{np.std(off) / len(off) ** 0.5:.2f} | {np.sqrt(np.mean(np.square(off))):.2f} "
        f"| {np.mean(held):.1%} |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=200)
    arguments = parser.parse_args()
    print("| slow runs | so many | ln sigma(300 K) off, mean | RMS | 95 % hold |")
    print("|---|---|---|---|---|")
    for D0_cm2_per_s in (1.5e-3, 4e-3):
        for how in ("left out", "counted"):
            print(row(how, D0_cm2_per_s, arguments.campaigns), flush=True)


if __name__ == "__main__":
    main()
