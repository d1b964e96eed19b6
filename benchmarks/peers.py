"""Other people's diffusion analysers behind one signature: the same arrays in, D and its error out.

Every function takes unwrapped positions in Å, shape (n_frames, n_atoms, 3), the cell in Å (rows are
lattice vectors), the symbols, the time between frames in ps, and from which lag in ps motion is
diffusive, which all of these tools leave to their user to know. Each returns an `Answer`.

Settings are the quickest and most favourable ones that each tool documents:

kinisi 2.x: `kinisi.parser.Parser` on arrays, which spares it one `ase.Atoms` or `Structure` for
every frame; `calculate_msd`; `Diffusion.bayesian_regression` with its default sampler. By default
it takes every lag there is: frames² displacements and a dense covariance of frames × frames,
which ends at a few thousand frames. It is given 100 lags, the number that its parsers' docstrings
name as default, evenly spaced in ln t from the start of the diffusive regime to the whole run. (It
takes the longest lag for the length of the run, so the lags must not end before.) It accepts
fractional coordinates only and unwraps them itself.

pymatgen-analysis-diffusion: `DiffusionAnalyzer` on an array of displacements, which spares it one
`Structure` a frame (`pymatgen_structures` is the route with them), with its default smoothed="max":
lags from 1 ps on, fixed, weighted by 1/t. The standard deviation it gives is that of the residuals
of a line through points that all come from the same data; its own documentation says that it makes
sense only without smoothing.

MDAnalysis: `EinsteinMSD(fft=True)` on an array in memory, then `linregress` as in its documentation
over the "middle" of the MSD, here from the given start to a tenth of the run. The `stderr` that its
documentation calls the error is again that of residuals. It removes no drift of the framework.

halmd is called as its own workflow does it, and finds the start of the diffusive regime itself;
`halmd_told` is told, as the others are.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

A2_PER_PS_PER_CM2_PER_S = 1e4
KINISI_LAGS = 100
TEMPERATURE_K = 600.0
LEVELS = (0.6827, 0.95)


@dataclass(frozen=True)
class Answer:
    """What a tool says about one trajectory."""

    D_A2_per_ps: float
    error_A2_per_ps: float
    """One standard deviation, as claimed."""
    interval68_A2_per_ps: tuple[float, float]
    interval95_A2_per_ps: tuple[float, float]

    @property
    def relative_error(self) -> float:
        """Claimed standard deviation over D."""
        return self.error_A2_per_ps / self.D_A2_per_ps

    @classmethod
    def gaussian(cls, D_A2_per_ps: float, error_A2_per_ps: float) -> "Answer":
        """From a tool that gives a standard deviation and nothing else."""
        D, e = D_A2_per_ps, error_A2_per_ps
        return cls(D, e, (D - e, D + e), (D - 1.96 * e, D + 1.96 * e))


Tool = Callable[[Floats, Floats, Sequence[str], float, float], Answer]


def halmd(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float, start_ps: float
) -> Answer:
    """halmd's own answer; it finds the start of the diffusive regime itself."""
    return _halmd(positions_A, cell_A, symbols, interval_ps, None)


def halmd_told(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float, start_ps: float
) -> Answer:
    """halmd's answer when it is told the start, as the other tools are."""
    return _halmd(positions_A, cell_A, symbols, interval_ps, start_ps)


def _halmd(
    positions_A: Floats,
    cell_A: Floats,
    symbols: Sequence[str],
    interval_ps: float,
    start_ps: float | None,
) -> Answer:
    from halmd.config import DiffusionSettings
    from halmd.transport.diffusion import diffusion
    from halmd.transport.motion import motion_of

    time_ps = interval_ps * np.arange(len(positions_A))
    motion = motion_of(positions_A, cell_A, list(symbols), time_ps, mobile="Li")
    settings = DiffusionSettings(fit_from_ps=start_ps)
    record = diffusion(motion, settings, temperature_K=TEMPERATURE_K)

    def interval(level: str) -> tuple[float, float]:
        low, high = record[f"D_tracer_interval{level}_cm2_per_s"]
        return low * A2_PER_PS_PER_CM2_PER_S, high * A2_PER_PS_PER_CM2_PER_S

    return Answer(
        record["D_tracer_cm2_per_s"] * A2_PER_PS_PER_CM2_PER_S,
        record["D_tracer_error_cm2_per_s"] * A2_PER_PS_PER_CM2_PER_S,
        interval("68"),
        interval("95"),
    )


def kinisi_parser(
    positions_A: Floats,
    cell_A: Floats,
    symbols: Sequence[str],
    interval_ps: float,
    lags: Floats,
) -> Any:
    """Its displacements, unwrapped and freed of drift; lags in frames. Positions may be wrapped."""
    import scipp as sc
    from kinisi.parser import Parser

    mobile = np.array(symbols) == "Li"
    return Parser(
        coords=sc.array(
            dims=["time", "particle", "dimension"], values=positions_A @ np.linalg.inv(cell_A)
        ),
        latt=sc.array(
            dims=["time", "row", "column"],
            values=np.broadcast_to(cell_A, (len(positions_A), 3, 3)),
            unit=sc.units.angstrom,
        ),
        time_step=interval_ps * sc.Unit("ps"),
        step_skip=sc.scalar(1),
        dt=sc.array(dims=["time interval"], values=lags * interval_ps, unit="ps"),
        specie_indices=sc.array(dims=["particle"], values=np.flatnonzero(mobile)),
        drift_indices=sc.array(dims=["particle"], values=np.flatnonzero(~mobile)),
    )


def kinisi(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float, start_ps: float
) -> Answer:
    """Andrew McCluskey's Bayesian regression; the error is the spread of its posterior."""
    import scipp as sc
    from kinisi.diffusion import Diffusion
    from kinisi.displacement import calculate_msd

    frames = len(positions_A)
    lags = np.unique(np.geomspace(max(1, start_ps / interval_ps), frames - 1, KINISI_LAGS).round())
    parser = kinisi_parser(positions_A, cell_A, symbols, interval_ps, lags)
    fitted = Diffusion(calculate_msd(parser, progress=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cov_nearest says that it stopped iterating
        fitted.bayesian_regression(
            start_dt=lags[0] * interval_ps * sc.Unit("ps") * (1 - 1e-9),
            progress=False,
            random_state=np.random.RandomState(0),
        )
    samples = np.asarray(fitted.gradient.values) / 6
    low68, low95, high95, high68 = np.quantile(
        samples,
        [(1 - LEVELS[0]) / 2, (1 - LEVELS[1]) / 2, (1 + LEVELS[1]) / 2, (1 + LEVELS[0]) / 2],
    )
    return Answer(
        float(samples.mean()),
        float(samples.std(ddof=1)),
        (float(low68), float(high68)),
        (float(low95), float(high95)),
    )


def pymatgen(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float, start_ps: float
) -> Answer:
    """pymatgen-analysis-diffusion from displacements; it has its own start, 1 ps."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Structure

    structure = Structure(cell_A, list(symbols), positions_A[0], coords_are_cartesian=True)
    displacements = np.ascontiguousarray((positions_A - positions_A[0]).transpose(1, 0, 2))
    found = DiffusionAnalyzer(
        structure, displacements, "Li", TEMPERATURE_K, time_step=interval_ps * 1000, step_skip=1
    )
    return Answer.gaussian(
        found.diffusivity * A2_PER_PS_PER_CM2_PER_S,
        found.diffusivity_std_dev * A2_PER_PS_PER_CM2_PER_S,
    )


def pymatgen_from_structures(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float
) -> Any:
    """Its analyser made from one `Structure` a frame. Positions may be wrapped."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    lattice, species = Lattice(cell_A), list(symbols)
    structures = [
        Structure(lattice, species, frame, coords_are_cartesian=True, to_unit_cell=True)
        for frame in positions_A
    ]
    return DiffusionAnalyzer.from_structures(
        structures, "Li", TEMPERATURE_K, time_step=interval_ps * 1000, step_skip=1
    )


def pymatgen_structures(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float, start_ps: float
) -> Answer:
    """pymatgen-analysis-diffusion from one `Structure` a frame, which it unwraps itself."""
    found = pymatgen_from_structures(positions_A, cell_A, symbols, interval_ps)
    return Answer.gaussian(
        found.diffusivity * A2_PER_PS_PER_CM2_PER_S,
        found.diffusivity_std_dev * A2_PER_PS_PER_CM2_PER_S,
    )


def mdanalysis(
    positions_A: Floats, cell_A: Floats, symbols: Sequence[str], interval_ps: float, start_ps: float
) -> Answer:
    """`EinsteinMSD` and `scipy.stats.linregress`."""
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD
    from MDAnalysis.coordinates.memory import MemoryReader
    from scipy.stats import linregress

    universe = MDAnalysis.Universe.empty(len(symbols), trajectory=True)
    universe.add_TopologyAttr("name", list(symbols))
    universe.load_new(positions_A, format=MemoryReader, order="fac", dt=interval_ps)
    msd = EinsteinMSD(universe, select="name Li", msd_type="xyz", fft=True).run()
    first = max(1, round(start_ps / interval_ps))
    last = max(first + 3, len(positions_A) // 10)
    lags = interval_ps * np.arange(first, last)
    line = linregress(lags, msd.results.timeseries[first:last])
    return Answer.gaussian(float(line.slope) / 6, float(line.stderr) / 6)


TOOLS: dict[str, Tool] = {
    "halmd": halmd,
    "kinisi": kinisi,
    "pymatgen": pymatgen,
    "pymatgen_structures": pymatgen_structures,
    "MDAnalysis": mdanalysis,
}

REQUIRES = {
    "halmd": ["halmd.transport.diffusion", "halmd.transport.motion"],
    "kinisi": ["kinisi.diffusion", "kinisi.parser", "scipp"],
    "pymatgen": ["pymatgen.analysis.diffusion.analyzer", "pymatgen.core"],
    "pymatgen_structures": ["pymatgen.analysis.diffusion.analyzer", "pymatgen.core"],
    "MDAnalysis": ["MDAnalysis.analysis.msd", "tidynamics"],
}
"""Modules that are imported before the clock starts."""
