"""Nernst-Einstein conductivity."""

from halmd.units import BOLTZMANN_J_PER_K, CM2_PER_S_PER_A2_PER_PS, ELEMENTARY_CHARGE_C


def nernst_einstein_S_per_cm(
    D_cm2_per_s: float, n_ions: int, volume_A3: float, temperature_K: float, charge_e: int = 1
) -> float:
    """sigma = N z² e² D / (V k_B T), in S/cm.

    D in cm²/s, volume in Å³, temperature in K. With the charge diffusivity in place of the tracer
    diffusivity it is the conductivity itself.
    """
    density_per_cm3 = n_ions / (volume_A3 * 1e-24)
    charge_C = charge_e * ELEMENTARY_CHARGE_C
    return density_per_cm3 * charge_C**2 * D_cm2_per_s / (BOLTZMANN_J_PER_K * temperature_K)


def to_cm2_per_s(D_A2_per_ps: float) -> float:
    """Å²/ps to cm²/s."""
    return D_A2_per_ps * CM2_PER_S_PER_A2_PER_PS
