"""Cell of Li3YCl6 relaxed at 0 K by the teacher, with and without dispersion, against experiment.

    .venv-teacher/bin/python training/teacher_cell.py

The ordering is the fully ordered P321 structure with Er replaced by Y; the measured cell is that of
Asano et al. 2018 at room temperature (structures/SOURCES.md): 660.35 Å³ for 30 atoms.
"""

from pathlib import Path

import ase.io
from ase.calculators.mixing import SumCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from dftd3.ase import DFTD3
from sevenn.calculator import SevenNetCalculator

MEASURED_A3 = 660.35
STRUCTURE = Path(__file__).parent.parent / "structures" / "Li3ErCl6_P321_ordered_DFT.cif"


def main() -> None:
    """Print the relaxed cells."""
    model = SevenNetCalculator("7net-l3i5", device="cpu")
    dispersion = DFTD3(method="PBE", damping="d3bj")
    for label, calculator in {
        "7net-l3i5": model,
        "7net-l3i5 + D3(BJ)": SumCalculator([model, dispersion]),
    }.items():
        atoms = ase.io.read(STRUCTURE)
        atoms.symbols[atoms.symbols == "Er"] = "Y"
        atoms.calc = calculator
        LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=200)
        a, _, c = atoms.cell.lengths()
        volume = atoms.get_volume()
        print(f"{label}: a {a:.3f} c {c:.3f} Å, volume {volume:.2f} Å³, {volume / MEASURED_A3:.4f}")


if __name__ == "__main__":
    main()
