"""Physical constants (CODATA 2018, exact in the SI) and the conversions used at the boundaries."""

ELEMENTARY_CHARGE_C = 1.602176634e-19
BOLTZMANN_J_PER_K = 1.380649e-23
BOLTZMANN_EV_PER_K = BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C

CM2_PER_S_PER_A2_PER_PS = 1e-4
"""1 Å²/ps = 1e-4 cm²/s."""

KELVIN_AT_0_C = 273.15
EV_PER_A3_IN_GPA = ELEMENTARY_CHARGE_C * 1e30 / 1e9
"""1 eV/Å³ = 160.2 GPa."""
