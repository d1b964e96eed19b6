"""Curves of ln(sigma T) or ln D against 1/(k_B T): one line, two joined lines, VTF.

All are written around the mean 1/(k_B T) of the points, x0, as a height c there and an activation
energy e there or nearby:

- `line`: c - e (x - x0).
- `two_lines`: slopes e - change/2 on the hot and e + change/2 on the cold side of a break, joined.
  The break has a uniform prior in 1/T between the second-hottest and the second-coldest used
  temperature, so that each line rests on two temperatures at least.
- `vtf`: sigma T = A exp(-B / (k_B (T - T0))) (Vogel, Tammann, Fulcher), as in glasses and polymers;
  e is its local activation energy at x0. T0 has a uniform prior below every temperature used or
  asked for. Crystals hop over fixed barriers, so it is fitted on request only.

Priors: c flat (shared by all curves, so evidences stay comparable), e normal with EA_MEAN_EV and
EA_SD_EV, change normal with CHANGE_SD_EV around zero: the colder line may be steeper (order sets
in, vacancies must form) or flatter (an easier path takes over).
"""

from dataclasses import dataclass

import numpy as np

from halmd.transport.evidence import Counts, Family, Floats, Points, Posterior
from halmd.units import BOLTZMANN_EV_PER_K

EA_MEAN_EV, EA_SD_EV = 0.35, 0.25
"""Prior of an activation energy: lithium conductors worth computing lie between 0.1 and 0.6 eV."""

CHANGE_SD_EV = 0.2
"""Prior of the change of activation energy at a break; 0.1 to 0.3 eV are reported for halides."""

FEWEST_TEMPERATURES = {"line": 3, "two_lines": 4, "vtf": 4}
"""A curve with as many temperatures as parameters leaves nothing to judge it by; two lines need
two temperatures on each side."""

_N_BREAKS = 25
_N_T0 = 25
_T0_BELOW = 0.9


@dataclass(frozen=True)
class Curves:
    """Equally likely curves of one family."""

    name: str
    coefficients: Floats
    """Shape (n_samples, 2 or 3): height, activation energy in eV, change at the break in eV."""
    shape: Floats
    """Break in 1/eV, k_B T0 in eV, or NaN, shape (n_samples,)."""
    centre: float
    """x0 in 1/eV."""

    def at(self, inverse_kT: Floats) -> Floats:
        """Values at 1/(k_B T) in 1/eV, shape (n_samples, n)."""
        columns = _columns(self.name, inverse_kT, self.shape, self.centre)
        result: Floats = np.einsum("snp,sp->sn", columns, self.coefficients)
        return result

    def Ea_at_eV(self, inverse_kT: float) -> Floats:
        """Local activation energy, minus the slope, shape (n_samples,)."""
        Ea = self.coefficients[:, 1]
        if self.name == "two_lines":
            colder = np.where(inverse_kT >= self.shape, 0.5, -0.5)
            return np.asarray(Ea + colder * self.coefficients[:, 2])
        if self.name == "vtf":
            ratio = (1 - self.shape * self.centre) / (1 - self.shape * inverse_kT)
            return np.asarray(Ea * ratio**2)
        return Ea

    def parameters(self, prefactor: str) -> dict[str, Floats]:
        """The curve in usual terms, each of shape (n_samples,); `prefactor` names ln A or ln D0."""
        height, Ea = self.coefficients[:, 0], self.coefficients[:, 1]
        if self.name == "line":
            return {"Ea_eV": Ea, prefactor: height + Ea * self.centre}
        if self.name == "two_lines":
            half = self.coefficients[:, 2] / 2
            lever = np.abs(self.centre - self.shape)
            straight = height + Ea * self.centre + half * lever
            return {
                "Ea_hot_eV": Ea - half,
                "Ea_cold_eV": Ea + half,
                "break_temperature_K": 1 / (BOLTZMANN_EV_PER_K * self.shape),
                f"{prefactor}_hot": straight - half * self.shape,
                f"{prefactor}_cold": straight + half * self.shape,
            }
        B = Ea * (1 - self.shape * self.centre) ** 2
        return {
            "B_eV": B,
            "T0_K": self.shape / BOLTZMANN_EV_PER_K,
            prefactor: height + B * self.centre / (1 - self.shape * self.centre),
        }

    def take(self, indices: np.ndarray) -> "Curves":
        """Some of the curves."""
        return Curves(self.name, self.coefficients[indices], self.shape[indices], self.centre)


def candidates(curve: str, n_temperatures: int) -> list[str]:
    """Curves that `curve` (auto, line, two_lines, vtf) asks for and the temperatures allow."""
    wanted = ["line", "two_lines"] if curve == "auto" else [curve]
    return [name for name in wanted if n_temperatures >= FEWEST_TEMPERATURES[name]]


def family(name: str, points: Points, counts: Counts, lowest_K: float) -> Family:
    """The curves of one name through points; `lowest_K` is the lowest temperature asked for."""
    centre = float(points.inverse_kT.mean())
    shapes = np.array([np.nan])
    mean, sd = [0.0, EA_MEAN_EV], [np.inf, EA_SD_EV]
    if name == "two_lines":
        used = np.unique(points.inverse_kT)
        shapes = np.linspace(used[1], used[-2], _N_BREAKS)
        mean.append(0.0)
        sd.append(CHANGE_SD_EV)
    elif name == "vtf":
        lowest = min(lowest_K * BOLTZMANN_EV_PER_K, 1 / points.inverse_kT.max())
        shapes = np.linspace(0, _T0_BELOW * lowest, _N_T0)
    design, design_counts = (
        _columns(name, runs.inverse_kT, shapes, centre) for runs in (points, counts)
    )
    return Family(name, design, design_counts, shapes, np.array(mean), np.array(sd))


def curves(name: str, found: Posterior, points: Points) -> Curves:
    """Posterior samples of a family as curves."""
    return Curves(name, found.coefficients, found.shape, float(points.inverse_kT.mean()))


def levels(points: Points, counts: Counts) -> Family:
    """One free height for every temperature: means over orderings and replicas without a curve.

    Heights are those of `numpy.unique(points.inverse_kT)`, hottest first; counts must be of
    these temperatures.
    """
    used = np.unique(points.inverse_kT)
    design, design_counts = (
        (runs.inverse_kT[:, None] == used).astype(float)[None] for runs in (points, counts)
    )
    no_shape, flat = np.array([np.nan]), np.full(len(used), np.inf)
    return Family("levels", design, design_counts, no_shape, np.zeros(len(used)), flat)


def _columns(name: str, inverse_kT: Floats, shapes: Floats, centre: float) -> Floats:
    """What the coefficients are multiplied by, shape (n_shapes, n, n_coefficients)."""
    x = np.broadcast_to(np.asarray(inverse_kT, dtype=float), (len(shapes), len(inverse_kT)))
    one, shape = np.ones_like(x), shapes[:, None]
    if name == "line":
        return np.stack([one, centre - x], axis=2)
    if name == "two_lines":
        bend = (np.abs(centre - shape) - np.abs(x - shape)) / 2
        return np.stack([one, centre - x, bend], axis=2)
    # u = 1 / (k_B (T - T0)), scaled to slope one at the centre.
    u, u_centre = x / (1 - shape * x), centre / (1 - shape * centre)
    return np.stack([one, (u_centre - u) * (1 - shape * centre) ** 2], axis=2)
