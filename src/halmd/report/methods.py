"""A methods paragraph from what the runs say of themselves, with the works to cite.

Every number in it is read off the results; a setting that differs between runs is given as a range.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from halmd.report.results import MaterialResults


@dataclass(frozen=True)
class Work:
    """A work to cite."""

    key: str
    authors: str
    title: str
    where: str
    doi: str

    def in_words(self) -> str:
        """One line of a list of references."""
        return f"{self.authors}, {self.title}, {self.where}, doi:{self.doi}"

    def bibtex(self) -> str:
        """An entry of a .bib file."""
        rows = {"author": self.authors, "title": self.title, "note": self.where, "doi": self.doi}
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in rows.items())
        return f"@article{{{self.key},\n{body}\n}}\n"


_WORKS = {
    work.key: work
    for work in (
        Work(
            "mace",
            "I. Batatia, D. P. Kovacs, G. Simm, C. Ortner, G. Csanyi",
            "MACE: Higher order equivariant message passing neural networks for fast and accurate "
            "force fields",
            "Advances in Neural Information Processing Systems 35 (2022)",
            "10.48550/arXiv.2206.07697",
        ),
        Work(
            "sevennet",
            "Y. Park, J. Kim, S. Hwang, S. Han",
            "Scalable parallel algorithm for graph neural network interatomic potentials in "
            "molecular dynamics simulations",
            "J. Chem. Theory Comput. 20, 4857 (2024)",
            "10.1021/acs.jctc.4c00190",
        ),
        Work(
            "d3bj",
            "S. Grimme, S. Ehrlich, L. Goerigk",
            "Effect of the damping function in dispersion corrected density functional theory",
            "J. Comput. Chem. 32, 1456 (2011)",
            "10.1002/jcc.21759",
        ),
        Work(
            "fire",
            "E. Bitzek, P. Koskinen, F. Gaehler, M. Moseler, P. Gumbsch",
            "Structural relaxation made simple",
            "Phys. Rev. Lett. 97, 170201 (2006)",
            "10.1103/PhysRevLett.97.170201",
        ),
        Work(
            "mtk",
            "G. J. Martyna, D. J. Tobias, M. L. Klein",
            "Constant pressure molecular dynamics algorithms",
            "J. Chem. Phys. 101, 4177 (1994)",
            "10.1063/1.467468",
        ),
        Work(
            "bussi",
            "G. Bussi, D. Donadio, M. Parrinello",
            "Canonical sampling through velocity rescaling",
            "J. Chem. Phys. 126, 014101 (2007)",
            "10.1063/1.2408420",
        ),
        Work(
            "baoab",
            "B. Leimkuhler, C. Matthews",
            "Rational construction of stochastic numerical methods for molecular sampling",
            "Appl. Math. Res. Express 2013, 34 (2013)",
            "10.1093/amrx/abs010",
        ),
        Work(
            "mccluskey",
            "A. R. McCluskey, S. W. Coles, B. J. Morgan",
            "Accurate estimation of diffusion coefficients and their uncertainties from computer "
            "simulation",
            "J. Chem. Theory Comput. 21, 79 (2025)",
            "10.1021/acs.jctc.4c01249",
        ),
        Work(
            "ase",
            "A. Hjorth Larsen et al.",
            "The atomic simulation environment: a Python library for working with atoms",
            "J. Phys.: Condens. Matter 29, 273002 (2017)",
            "10.1088/1361-648X/aa680e",
        ),
        Work(
            "pymatgen",
            "S. P. Ong et al.",
            "Python Materials Genomics (pymatgen): a robust, open-source Python library for "
            "materials analysis",
            "Comput. Mater. Sci. 68, 314 (2013)",
            "10.1016/j.commatsci.2012.10.028",
        ),
        Work(
            "snakemake",
            "F. Moelder et al.",
            "Sustainable data analysis with Snakemake",
            "F1000Research 10, 33 (2021)",
            "10.12688/f1000research.29032.2",
        ),
    )
}


def methods(results: Sequence[MaterialResults], version: str) -> tuple[str, list[Work]]:
    """A paragraph on how these results were made, and the works it cites, in order."""
    runs = [run for material in results for run in material.runs]
    made = [run["run"] for run in runs if run["run"]]
    cited: list[str] = []

    def cite(*keys: str) -> str:
        for key in keys:
            if key not in cited:
                cited.append(key)
        return "[" + ", ".join(str(cited.index(key) + 1) for key in keys) + "]"

    said = [
        f"Ionic conductivities were computed with halmd {version} {cite('snakemake', 'ase')}.",
        *_on_structures(results, cite),
        *_on_forces(made, cite),
        *_on_equilibration([run["npt"] for run in runs if run["npt"]], cite),
        *_on_dynamics(made, cite),
        *_on_transport(results, cite),
    ]
    return " ".join(said), [_WORKS[key] for key in cited]


Cite = Callable[..., str]


def _on_structures(results: Sequence[MaterialResults], cite: Cite) -> list[str]:
    cells = [
        f"{m.structure['achieved_formula']} ({m.structure['atoms']} atoms, "
        f"{len(m.structure['orderings'])} orderings, from {m.structure['prototype']}"
        + (", a crystal of low confidence" if m.doubtful else "")
        + ")"
        for m in results
    ]
    sampling = _span(m.structure["settings"]["sampling"] for m in results)
    words = {
        "boltzmann": "Partially occupied sites were filled by Monte Carlo on the Ewald energy",
        "random": "Partially occupied sites were filled at random, those too close kept apart",
        "sqs": "Partially occupied sites were filled as special quasirandom structures",
    }
    how = words.get(sampling, f"Partially occupied sites were filled by {sampling}")
    temperature_K = _span(m.structure["settings"]["ordering_temperature_K"] for m in results)
    at = f" at {temperature_K} K" if sampling == "boltzmann" else ""
    return [f"Supercells {cite('pymatgen')}: {'; '.join(cells)}. {how}{at}."]


def _on_forces(made: Sequence[dict[str, Any]], cite: Cite) -> list[str]:
    if not made:
        return []
    potentials = {run["potential"]["name"]: run["potential"] for run in made}
    found = []
    for name, potential in potentials.items():
        if potential["kind"] == "ase":
            found.append(f"Forces are those of the ASE calculator {name}.")
            continue
        versions = ", ".join(f"{k} {v}" for k, v in potential["versions"].items())
        checksum = potential.get("model_sha256") or potential["sha256"]
        teacher = ""
        if name.startswith("halmd-"):
            teacher = " distilled from SevenNet-l3i5 with D3(BJ) dispersion " + cite(
                "sevennet", "d3bj"
            )
        found.append(
            f"Forces are those of the MACE potential {name} {cite('mace')}{teacher} (SHA-256 "
            f"{checksum[:16]}), computed by {potential['evaluator']} evaluation ({versions})."
        )
        beyond = potential.get("beyond_training")
        if beyond:
            found.append(f"It was not trained on {', '.join(beyond)}.")
    return found


def _on_equilibration(records: Sequence[dict[str, Any]], cite: Cite) -> list[str]:
    if not records:
        return []
    pressure = _span(record["pressure_GPa"] for record in records)
    lengths = _span(record["length_ps"] for record in records)
    return [
        f"Cell and positions of every ordering were relaxed (FIRE {cite('fire')}); isotropic NPT "
        f"({cite('mtk')}, {pressure} GPa, {lengths} ps) gave the mean volume at temperature."
    ]


def _on_dynamics(made: Sequence[dict[str, Any]], cite: Cite) -> list[str]:
    if not made:
        return []

    def of(key: str) -> str:
        return _span(run["settings"][key] for run in made)

    lengths = _span(round(run["length_ps"], 1) for run in made)
    temperatures = _span(run["temperature_K"] for run in made)
    engines = {run["engine"] for run in made}
    integrator = "velocity Verlet" if engines == {"ase"} else f"BAOAB {cite('baoab')}"
    adaptive = {run["settings"]["target_relative_error"] for run in made} - {None}
    until = (
        f", each until the relative error of its diffusivity was {_span(adaptive)}"
        if adaptive
        else ""
    )
    thermostat_ps = of("thermostat_time_ps")
    return [
        f"Production at that volume used {integrator} with a timestep of {of('timestep_fs')} fs "
        f"and stochastic velocity rescaling {cite('bussi')} with a relaxation time of "
        f"{thermostat_ps} ps: {len(made)} runs of {lengths} ps at {temperatures} K{until}."
    ]


def _on_transport(results: Sequence[MaterialResults], cite: Cite) -> list[str]:
    runs = [run for material in results for run in material.runs]
    excluded = [run for material in results for run in material.arrhenius["excluded"]]
    counted = sum("n_events" in run for run in excluded)
    mobile = _span(run["mobile"] for run in runs)
    jumps = _span(run["settings"]["min_jumps"] for run in runs)
    found = [
        f"Tracer diffusivities of {mobile} come from generalised least squares on multi-origin "
        f"mean-square displacements {cite('mccluskey')} with the drift of the framework taken out, "
        "over the lags from the onset of diffusion to twice that, their errors from blocks of the "
        "run and of the ions; conductivities from the Nernst-Einstein relation.",
        f"{len(excluded)} of {len(runs)} runs were left out by rule (a framework that moved, fewer "
        f"than {jumps} effective jumps, a potential outside of what it was trained on)"
        + (f"; of {counted} of them the fits count the jumps." if counted else "."),
    ]
    fitted = [m for m in results if m.arrhenius["verdict"] == "ok"]
    if fitted:
        target = _span(m.arrhenius["extrapolation"]["temperature_K"] for m in fitted)
        found.append(
            "Activation energies come from ln(sigma T) weighted by the errors of the means at "
            f"each temperature; sigma({target} K) is an extrapolation whose interval allows for a "
            "change of regime that the runs could not see. Intervals are of 95 %."
        )
    return found


def _span(values: Any) -> str:
    """One value, or the least and the largest, or all words."""
    found = sorted(set(values))
    if len(found) > 1 and all(isinstance(value, int | float) for value in found):
        return f"{found[0]:g} to {found[-1]:g}"
    return " and ".join(f"{v:g}" if isinstance(v, int | float) else str(v) for v in found)
