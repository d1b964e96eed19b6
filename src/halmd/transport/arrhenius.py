"""`halmd arrhenius`: diffusivities at several temperatures to Ea and an extrapolated conductivity.

The model is ln(sigma T) = ln A - Ea / (k_B T) + (deviation of the ordering) + (scatter) + (error
of the run). Deviations of orderings have a common standard deviation tau, shared by all
temperatures of an ordering; scatter has omega, what the line does not describe. Both are unknown,
have half-normal priors of 0.5 in ln units, and are integrated over on a grid, so that two
orderings alone already widen the interval of everything that is extrapolated. For given tau and
omega the posterior of (ln A, Ea) under a flat prior is Gaussian, and its normalisation is the
weight of the grid point (restricted likelihood).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halmd.config import ArrheniusSettings
from halmd.transport.conductivity import nernst_einstein_S_per_cm
from halmd.transport.diffusion import LEVELS
from halmd.units import BOLTZMANN_EV_PER_K

Floats = NDArray[np.float64]

PRIOR_SPREAD = 0.5
"""Scale of the half-normal priors of tau and omega, in ln units: a factor of 1.6."""

FEWEST_TEMPERATURES = 3
_GRID = np.linspace(0.0, 2.0, 41)


@dataclass(frozen=True)
class Points:
    """Usable runs as points of a line."""

    inverse_kT: Floats
    """1 / (k_B T) in 1/eV, shape (n,)."""
    temperature_K: Floats
    value: Floats
    """ln(sigma T / (S K/cm)) or ln(D / (cm²/s))."""
    error: Floats
    ordering: NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """Posterior samples of a line."""

    intercept: Floats
    """ln A or ln D0, shape (n_samples,)."""
    Ea_eV: Floats
    between_orderings: float | None
    """Posterior mean of tau, in ln units; None with a single ordering."""
    scatter: float
    """Posterior mean of omega, in ln units."""

    def at(self, temperature_K: float | Floats) -> Floats:
        """Samples of the line at temperatures: shape (n_samples,) or (n_samples, n)."""
        x = 1 / (BOLTZMANN_EV_PER_K * np.asarray(temperature_K))
        result: Floats = (
            self.intercept[:, None] - self.Ea_eV[:, None] * x
            if np.ndim(x)
            else self.intercept - self.Ea_eV * x
        )
        return result


def arrhenius(
    runs: list[dict[str, Any]], settings: ArrheniusSettings, *, seed: int = 0
) -> dict[str, Any]:
    """The content of arrhenius.json from the transport records of one material.

    Each run carries `temperature_K`, `ordering`, and what `diffusion` writes. Runs whose verdict is
    not "converged" are left out and listed. Without three usable temperatures there is no fit, and
    the verdict says so.
    """
    usable = [run for run in runs if run["verdict"] == "converged"]
    excluded = [
        {key: run[key] for key in ("temperature_K", "ordering", "replica", "verdict")}
        for run in runs
        if run["verdict"] != "converged"
    ]
    temperatures = sorted({run["temperature_K"] for run in usable})
    record: dict[str, Any] = {
        "orderings": sorted({run["ordering"] for run in usable}),
        "temperatures_K": temperatures,
        "excluded": excluded,
        "settings": settings.model_dump(),
        "pooled": [],
    }
    if len(temperatures) < FEWEST_TEMPERATURES:
        return record | {"verdict": "too_few_temperatures"}
    rng = np.random.default_rng(seed)
    conductivity = _points(usable, lambda run: run["sigma_NE_S_per_cm"] * run["temperature_K"])
    diffusivity = _points(usable, lambda run: run["D_tracer_cm2_per_s"])
    line = fit_line(conductivity, settings.n_samples, rng)
    line_D = fit_line(diffusivity, settings.n_samples, rng)
    target_K = settings.extrapolate_to_K
    ln_sigma = line.at(target_K) - np.log(target_K)
    coldest = temperatures[0]
    record |= {
        "verdict": "ok",
        **_summary("Ea_eV", line.Ea_eV),
        **_summary("Ea_D_eV", line_D.Ea_eV),
        **_summary("ln_A_S_K_per_cm", line.intercept),
        **_summary("ln_D0_cm2_per_s", line_D.intercept),
        "correlation_Ea_ln_A": float(np.corrcoef(line.Ea_eV, line.intercept)[0, 1]),
        "between_orderings_ln": line.between_orderings,
        "scatter_ln": line.scatter,
        "chi2_per_degree": _chi2(conductivity, line),
        "extrapolation": {
            "temperature_K": target_K,
            "is_extrapolation": not coldest <= target_K <= temperatures[-1],
            "distance_1000_per_K": max(0.0, 1000 / target_K - 1000 / coldest),
            "measured_range_1000_per_K": 1000 / coldest - 1000 / temperatures[-1],
            **_summary("sigma_NE_S_per_cm", np.exp(ln_sigma), middle="median"),
            **_summary("D_tracer_cm2_per_s", np.exp(line_D.at(target_K)), middle="median"),
        },
        "band": _band(line, target_K, temperatures[-1]),
        "pooled": [
            _pooled([run for run in usable if run["temperature_K"] == t], line)
            for t in temperatures
        ],
    }
    return record


def _points(runs: list[dict[str, Any]], quantity: Callable[[dict[str, Any]], float]) -> Points:
    names = sorted({run["ordering"] for run in runs})
    temperature = np.array([run["temperature_K"] for run in runs], dtype=float)
    return Points(
        inverse_kT=1 / (BOLTZMANN_EV_PER_K * temperature),
        temperature_K=temperature,
        value=np.log([quantity(run) for run in runs]),
        error=np.array([_ln_error(run) for run in runs]),
        ordering=np.array([names.index(run["ordering"]) for run in runs]),
    )


def _ln_error(run: dict[str, Any]) -> float:
    """Standard deviation of ln D; a Student error counts with its own variance."""
    freedom = run["D_tracer_degrees_of_freedom"]
    wider = np.sqrt(freedom / (freedom - 2)) if freedom > 2 else 3.0
    return float(run["relative_error"] * wider)


def fit_line(points: Points, n_samples: int, rng: np.random.Generator) -> Line:
    """Posterior samples of value = intercept - Ea x, integrated over tau and omega."""
    centre = points.inverse_kT.mean()
    design = np.stack([np.ones_like(points.value), -(points.inverse_kT - centre)], axis=1)
    same = (points.ordering[:, None] == points.ordering[None]).astype(float)
    several = len(set(points.ordering)) > 1
    taus = _GRID
    log_weights = np.empty((len(taus), len(_GRID)))
    means = np.empty((len(taus), len(_GRID), 2))
    roots = np.empty((len(taus), len(_GRID), 2, 2))
    for i, tau in enumerate(taus):
        for k, omega in enumerate(_GRID):
            covariance = np.diag(points.error**2 + omega**2) + tau**2 * same
            inverse = np.linalg.inv(covariance)
            information = design.T @ inverse @ design
            mean = np.linalg.solve(information, design.T @ inverse @ points.value)
            rest = points.value - design @ mean
            log_weights[i, k] = (
                -0.5 * np.linalg.slogdet(covariance)[1]
                - 0.5 * np.linalg.slogdet(information)[1]
                - 0.5 * rest @ inverse @ rest
                - 0.5 * (tau**2 + omega**2) / PRIOR_SPREAD**2
            )
            means[i, k] = mean
            roots[i, k] = np.linalg.cholesky(np.linalg.inv(information))
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    chosen = rng.choice(weights.size, size=n_samples, p=weights.ravel())
    normal = rng.standard_normal((n_samples, 2))
    drawn = means.reshape(-1, 2)[chosen] + np.einsum(
        "sij,sj->si", roots.reshape(-1, 2, 2)[chosen], normal
    )
    return Line(
        intercept=drawn[:, 0] + drawn[:, 1] * centre,
        Ea_eV=drawn[:, 1],
        between_orderings=float((weights.sum(axis=1) * taus).sum()) if several else None,
        scatter=float((weights.sum(axis=0) * _GRID).sum()),
    )


def _chi2(points: Points, line: Line) -> float:
    """Squared residuals over the errors of the runs alone, per degree of freedom."""
    expected = line.intercept.mean() - line.Ea_eV.mean() * points.inverse_kT
    chi2 = (((points.value - expected) / points.error) ** 2).sum()
    return float(chi2 / max(1, len(points.value) - 2))


def _summary(name: str, samples: Floats, *, middle: str = "mean") -> dict[str, Any]:
    """Middle and intervals of samples, JSON-able."""
    result: dict[str, Any] = {name: float(getattr(np, middle)(samples))}
    stem, unit = _split_unit(name)
    for label, level in LEVELS.items():
        ends = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
        result[f"{stem}_interval{label}{unit}"] = ends.tolist()
    return result


def _split_unit(name: str) -> tuple[str, str]:
    for unit in ("_S_per_cm", "_cm2_per_s", "_S_K_per_cm", "_eV"):
        if name.endswith(unit):
            return name.removesuffix(unit), unit
    raise AssertionError(f"{name} has no unit")


def _band(line: Line, coldest_K: float, hottest_K: float) -> dict[str, Any]:
    """Line and band of ln(sigma T) between two temperatures, for plots."""
    inverse = np.linspace(1000 / hottest_K, max(1000 / coldest_K, 1000 / hottest_K), 60)
    samples = line.at(1000 / inverse)
    record: dict[str, Any] = {
        "per_1000_K": inverse.tolist(),
        "ln_sigma_T_S_K_per_cm": np.median(samples, axis=0).tolist(),
    }
    for label, level in LEVELS.items():
        ends = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
        record[f"interval{label}"] = ends.tolist()
    return record


def _pooled(runs: list[dict[str, Any]], line: Line) -> dict[str, Any]:
    """Mean over orderings and replicas at one temperature: ln D with all known sources of error."""
    tau = line.between_orderings or 0.0
    values = np.log([run["D_tracer_cm2_per_s"] for run in runs])
    within = np.array([_ln_error(run) for run in runs]) ** 2
    names = [run["ordering"] for run in runs]
    same = np.array([[a == b for b in names] for a in names], dtype=float)
    covariance = np.diag(within) + tau**2 * same
    inverse = np.linalg.inv(covariance)
    variance = 1 / inverse.sum()
    mean = variance * (inverse @ values).sum()
    error = float(np.sqrt(variance))
    D = float(np.exp(mean))
    first = runs[0]
    temperature = first["temperature_K"]
    density = np.mean([run["n_ions"] / run["volume_A3"] for run in runs])
    record: dict[str, Any] = {
        "temperature_K": temperature,
        "runs": len(runs),
        "orderings": len(set(names)),
        "n_effective_jumps": float(sum(run["n_effective_jumps"] for run in runs)),
        "length_ps": float(sum(run["length_ps"] for run in runs)),
        "relative_error_within": float(np.sqrt(1 / (1 / within).sum())),
        "relative_error": error,
    }
    for name, factor in (("", 0.0), ("68", 1.0), ("95", 2.0)):
        ends = [D] if not name else [D * np.exp(-factor * error), D * np.exp(factor * error)]
        sigma = [
            nernst_einstein_S_per_cm(d, 1, 1 / float(density), temperature, first["charge_e"])
            for d in ends
        ]
        tag = f"_interval{name}" if name else ""
        record[f"D_tracer{tag}_cm2_per_s"] = ends if name else ends[0]
        record[f"sigma_NE{tag}_S_per_cm"] = sigma if name else sigma[0]
    return record
