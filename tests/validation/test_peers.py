"""halmd beside kinisi, pymatgen-analysis-diffusion and MDAnalysis, on trajectories of known D."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import walks
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from halmd.transport.motion import motion_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import peers

pytestmark = pytest.mark.validation

Floats = NDArray[np.float64]

OTHERS = {"kinisi": "kinisi", "pymatgen": "pymatgen.analysis.diffusion", "MDAnalysis": "tidynamics"}
TRAJECTORIES = 20
D_A2_PER_PS = 0.2
IONS = 18
FRAMEWORK = ["Y"] * 6 + ["Cl"] * 36
SYMBOLS = ["Li"] * IONS + FRAMEWORK
HEXAGONAL_A = np.array([[11.2, 0.0, 0.0], [-5.6, 5.6 * np.sqrt(3), 0.0], [0.0, 0.0, 12.06]])
START_PS = 2.0


def hopping(rng: np.random.Generator, frames: int) -> Floats:
    """Jumps of 2.5 Å and rattling."""
    return walks.hopping(rng, frames, IONS, D_A2_PER_PS * 6 / 2.5**2)


def brownian(rng: np.random.Generator, frames: int) -> Floats:
    """The same D in all directions."""
    return walks.brownian(rng, frames, IONS, D_A2_PER_PS)


def anisotropic(rng: np.random.Generator, frames: int) -> Floats:
    """Along c eight times faster than across."""
    return brownian(rng, frames) * np.sqrt([0.3, 0.3, 2.4])


def two_populations(rng: np.random.Generator, frames: int) -> Floats:
    """A third of the ions jumps, two thirds only rattle."""
    jumping = walks.hopping(rng, frames, IONS // 3, 3 * D_A2_PER_PS * 6 / 2.5**2)
    staying = rng.normal(0.0, walks.RATTLE_A, (frames, IONS - IONS // 3, 3))
    return np.concatenate([jumping, staying], axis=1)


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], Floats], int]] = {
    "brownian": (brownian, 3000),
    "hopping": (hopping, 3000),
    "anisotropic": (anisotropic, 3000),
    "two populations": (two_populations, 3000),
    "hopping, short": (hopping, 800),
    "hopping, long": (hopping, 12_000),
}


def crystal(rng: np.random.Generator, ions_A: Floats, cell_A: Floats = HEXAGONAL_A) -> Floats:
    """Ions that walk in a framework that rattles: unwrapped positions (n_frames, n_atoms, 3)."""
    frames = len(ions_A)
    framework = rng.normal(0.0, 0.15, (frames, len(FRAMEWORK), 3))
    sites = rng.random((len(SYMBOLS), 3)) @ cell_A
    return np.concatenate([ions_A, framework], axis=1) + sites


@dataclass(frozen=True)
class Sample:
    """One tool's answers to all trajectories of a kind, in units of the true D."""

    D: Floats
    error: Floats
    covered: dict[str, Floats]
    """Whether the claimed interval holds the truth, for "68" and "95"."""

    @property
    def error_of_mean(self) -> float:
        return float(self.D.std(ddof=1) / np.sqrt(len(self.D)))

    @property
    def honest_error(self) -> Floats:
        """The claimed error, or the scatter over trajectories where it is larger."""
        return np.maximum(self.error, self.D.std(ddof=1))


def ask(tool: str, trajectories: list[Floats]) -> Sample:
    """All answers of a tool."""
    answers = [
        getattr(peers, tool.lower())(positions, HEXAGONAL_A, SYMBOLS, walks.FRAME_PS, START_PS)
        for positions in trajectories
    ]
    D = D_A2_PER_PS

    def holds(interval: tuple[float, float]) -> bool:
        return interval[0] <= D <= interval[1]

    return Sample(
        np.array([answer.D_A2_per_ps for answer in answers]) / D,
        np.array([answer.error_A2_per_ps for answer in answers]) / D,
        {
            "68": np.array([holds(answer.interval68_A2_per_ps) for answer in answers]),
            "95": np.array([holds(answer.interval95_A2_per_ps) for answer in answers]),
        },
    )


@pytest.fixture(scope="module")
def trajectories() -> dict[str, list[Floats]]:
    """By kind, the same for every tool."""
    result = {}
    for number, (kind, (walk, frames)) in enumerate(KINDS.items()):
        rng = np.random.default_rng([20, number])
        result[kind] = [crystal(rng, walk(rng, frames)) for _ in range(TRAJECTORIES)]
    return result


@pytest.fixture(scope="module")
def ours(trajectories: dict[str, list[Floats]]) -> dict[str, Sample]:
    """halmd's answers by kind."""
    return {kind: ask("halmd", group) for kind, group in trajectories.items()}


HEAD = (
    f"{'':18s} {'D/D_halmd':>16s} {'D/true':>16s} {'scatter':>8s} {'claimed':>8s} "
    f"{'in 68 %':>8s} {'in 95 %':>8s}"
)


def show(label: str, theirs: Sample, ours: Sample) -> None:
    """A row of the table."""
    ratio = theirs.D / ours.D
    print(
        f"{label:18s} {ratio.mean():8.3f} ± {ratio.std(ddof=1) / np.sqrt(len(ratio)):.3f} "
        f"{theirs.D.mean():8.3f} ± {theirs.error_of_mean:.3f} {theirs.D.std(ddof=1):8.3f} "
        f"{np.sqrt((theirs.error**2).mean()):8.4f} "
        f"{100 * theirs.covered['68'].mean():7.0f}% {100 * theirs.covered['95'].mean():7.0f}%"
    )


def test_halmd_is_right_and_its_intervals_hold_what_they_say(ours: dict[str, Sample]) -> None:
    print("\nhalmd\n" + HEAD)
    for kind, sample in ours.items():
        show(kind, sample, sample)
    for kind, sample in ours.items():
        assert abs(sample.D.mean() - 1) < 3.5 * sample.error_of_mean, kind
    for label, level in (("68", 0.6827), ("95", 0.95)):
        covered = np.concatenate([sample.covered[label] for sample in ours.values()])
        spread = np.sqrt(level * (1 - level) / len(covered))
        assert abs(covered.mean() - level) < 3.5 * spread, label


@pytest.fixture(scope="module")
def theirs(trajectories: dict[str, list[Floats]]) -> Callable[[str], dict[str, Sample]]:
    """Another tool's answers by kind, asked for once."""

    @cache
    def found(tool: str) -> dict[str, Sample]:
        return {kind: ask(tool, group) for kind, group in trajectories.items()}

    return found


@pytest.mark.parametrize("tool", list(OTHERS))
def test_same_diffusivity_as_others(
    tool: str, ours: dict[str, Sample], theirs: Callable[[str], dict[str, Sample]]
) -> None:
    pytest.importorskip(OTHERS[tool])
    print(f"\n{tool}\n" + HEAD)
    for kind, sample in theirs(tool).items():
        show(kind, sample, ours[kind])
    for kind, sample in theirs(tool).items():
        mine = ours[kind]
        difference = sample.D - mine.D
        if abs(difference.mean()) > 3.5 * difference.std(ddof=1) / np.sqrt(len(difference)):
            # They differ on average: then the truth must be on halmd's side.
            assert abs(mine.D.mean() - 1) < 3.5 * mine.error_of_mean, kind
            assert abs(sample.D.mean() - 1) > abs(mine.D.mean() - 1), kind
        joint = np.hypot(sample.honest_error, mine.error)
        assert np.abs(difference / joint).max() < 4, kind


def test_told_where_to_start_halmd_scatters_no_more_than_kinisi(
    trajectories: dict[str, list[Floats]], theirs: Callable[[str], dict[str, Sample]]
) -> None:
    """An honest interval is no excuse for a wasteful estimator."""
    pytest.importorskip(OTHERS["kinisi"])
    print("\nhalmd, told the same start as kinisi\n" + HEAD)
    for kind, group in trajectories.items():
        mine, other = ask("halmd_told", group), theirs("kinisi")[kind]
        show(kind, mine, other)
        # Standard deviations of twenty values are known to a sixth.
        assert mine.D.std() < 1.4 * other.D.std(), kind


CELLS_A = {
    "hexagonal": HEXAGONAL_A,
    "triclinic": np.array([[11.0, 0.0, 0.0], [-4.0, 10.5, 0.0], [3.5, -4.5, 11.5]]),
    "sheared": np.array([[11.0, 0.0, 0.0], [33.0, 11.0, 0.0], [0.0, 22.0, 12.0]]),
}
"""The sheared one spans a lattice that is nearly cubic by vectors far from the shortest."""


def moved_by_halmd(wrapped_A: Floats, cell_A: Floats) -> Floats:
    """Displacements of Li from the first frame and relative to the framework, in Å."""
    time_ps = walks.FRAME_PS * np.arange(len(wrapped_A))
    motion = motion_of(wrapped_A, cell_A, SYMBOLS, time_ps, wrapped=True)
    positions = np.concatenate(list(motion.ions("Li"))).transpose(1, 0, 2)
    return positions - positions[0]


def moved_by_kinisi(wrapped_A: Floats, cell_A: Floats) -> Floats:
    pytest.importorskip(OTHERS["kinisi"])
    parsed = peers.kinisi_parser(wrapped_A, cell_A, SYMBOLS, walks.FRAME_PS, np.array([1.0]))
    moved = np.asarray(parsed.displacements.values)
    return np.concatenate([np.zeros_like(moved[:1]), moved])


def moved_by_pymatgen(wrapped_A: Floats, cell_A: Floats) -> Floats:
    pytest.importorskip(OTHERS["pymatgen"])
    found = peers.pymatgen_from_structures(wrapped_A, cell_A, SYMBOLS, walks.FRAME_PS)
    return found.corrected_displacements[found.indices].transpose(1, 0, 2)


@pytest.mark.parametrize("shape", list(CELLS_A))
def test_unwraps_as_others_do_or_better(shape: str) -> None:
    cell_A = CELLS_A[shape]
    rng = np.random.default_rng(7)
    frames = 1200
    truth_A = crystal(rng, hopping(rng, frames), cell_A)
    truth_A += walks.brownian(rng, frames, 1, 0.05)  # the whole crystal drifts
    fractional = truth_A @ np.linalg.inv(cell_A)
    wrapped_A = (fractional - np.floor(fractional)) @ cell_A
    moved = truth_A - truth_A[0]

    def relative(weights: Floats) -> Floats:
        framework = moved[:, IONS:]
        return moved[:, :IONS] - np.einsum("fai,a->fi", framework, weights / weights.sum())[:, None]

    masses = atomic_masses[[atomic_numbers[symbol] for symbol in FRAMEWORK]]
    by_mass, by_number = relative(masses), relative(np.ones(len(FRAMEWORK)))
    wrong = {
        "kinisi": np.abs(moved_by_kinisi(wrapped_A, cell_A) - by_number).max(),
        "pymatgen": np.abs(moved_by_pymatgen(wrapped_A, cell_A) - by_number).max(),
    }
    print(f"\n{shape} cell, largest error of a displacement in Å: ", end="")
    print(", ".join(f"{tool} {error:.1e}" for tool, error in wrong.items()), end=", ")
    wrong["halmd"] = np.abs(moved_by_halmd(wrapped_A, cell_A) - by_mass).max()
    print(f"halmd {wrong['halmd']:.1e}")
    assert wrong["halmd"] < 1e-3
    if shape != "sheared":
        # The others round in the cell as it is given, and lose their atoms in that one.
        assert max(wrong.values()) < 1e-3
