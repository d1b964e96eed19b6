"""What a results folder holds, read once for tables and figures."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halmd.errors import HalmdError
from halmd.files import read_json


@dataclass(frozen=True)
class MaterialResults:
    """All that was computed for one material."""

    name: str
    formula: str
    arrhenius: dict[str, Any]
    runs: list[dict[str, Any]]
    """transport.json of each run, with ordering and replica; run.json and npt.json under "run" and
    "npt", and the names of the files beside it."""
    structure: dict[str, Any]
    """orderings.json: prototype, confidence in it, cautions, what was built."""

    @property
    def mobile(self) -> str:
        """The element that diffuses."""
        return str(self.runs[0]["mobile"])

    @property
    def family(self) -> str | None:
        """Family of the prototype; None for a crystal of the user's own."""
        found: str | None = self.structure.get("prototype_details", {}).get("family")
        return found

    @property
    def extrapolate_to_K(self) -> float:
        """The temperature to which the fit is extrapolated, also where there is no fit."""
        return float(self.arrhenius["settings"]["extrapolate_to_K"])

    @property
    def doubtful(self) -> bool:
        """Whether the crystal is of low confidence, which every report must say."""
        return bool(self.structure["confidence"] == "low")


def load_runs(files: list[Path]) -> list[dict[str, Any]]:
    """Transport records with the ordering, replica and run they belong to.

    Those are read off results/<material>/<NN>/<T>K/r<R>/transport.json; files that lie elsewhere
    are replicas of one ordering, named by their paths.
    """
    runs = []
    for file in files:
        record = read_json(file)
        T = record.get("temperature_K")
        if isinstance(T, bool) or not isinstance(T, int | float):
            raise HalmdError(f"{file}: no transport.json (temperature_K is {T!r})")
        folder = file.resolve().parent
        if re.fullmatch(r"r\d+", folder.name) and folder.parent.name.endswith("K"):
            record["ordering"] = folder.parent.parent.name
            record["replica"] = folder.name.removeprefix("r")
        else:
            record["ordering"], record["replica"] = "00", str(file)
        for key, name in (("run", "run.json"), ("npt", "npt.json")):
            record[key] = read_json(folder / name) if (folder / name).is_file() else {}
        record["files"] = sorted(path.name for path in folder.iterdir())
        runs.append(record)
    return sorted(runs, key=lambda r: (r["ordering"], r["temperature_K"], r["replica"]))


def which(run: dict[str, Any]) -> tuple[str, float, str]:
    """What tells a run from the others of its material."""
    return run["ordering"], run["temperature_K"], run["replica"]


def left_out(results: MaterialResults) -> dict[tuple[str, float, str], str]:
    """Runs that did not enter the fit, as `which` names them, each with the rule in words."""
    return {which(run): run["rule"] for run in results.arrhenius["excluded"]}


def drawable(results: MaterialResults) -> list[dict[str, Any]]:
    """Runs whose conductivity has a logarithm."""
    return [run for run in results.runs if run.get("sigma_NE_S_per_cm", 0.0) > 0]


def extrapolates(run: dict[str, Any]) -> bool | None:
    """Whether a run left what its potential was trained on.

    Its elements or its crystal may be others, or the committee may say so. None where nothing of
    that is known.
    """
    if beyond_training(run):
        return True
    uncertainty = run["run"].get("uncertainty")
    return bool(uncertainty["extrapolating"]) if uncertainty else None


def beyond_training(run: dict[str, Any]) -> list[str]:
    """Elements and the prototype of a run that its potential was not trained on."""
    found: list[str] = run["run"].get("potential", {}).get("beyond_training", [])
    return found


def how_far(uncertainty: dict[str, Any]) -> str:
    """What a committee found, in words."""
    return (
        f"{100 * uncertainty['share_above_threshold']:.0f} % of {uncertainty['looks']} looks above "
        f"{uncertainty['threshold_eV_per_A']:.2g} eV/Å, "
        f"{100 * uncertainty['share_allowed']:.0f} % allowed"
    )


def load_material(folder: Path) -> MaterialResults:
    """Read results/<material>; raises HalmdError when a file is missing or damaged."""
    if not folder.is_dir():
        raise HalmdError(f"{folder}: no such folder; name one of a material, as results/Li3YCl6")
    orderings = read_json(folder / "orderings" / "orderings.json")
    files = sorted(folder.glob("*/*K/r*/transport.json"))
    if not files:
        raise HalmdError(f"{folder}: no transport.json yet; run the diffusion step first")
    if not (folder / "arrhenius.json").is_file():
        raise HalmdError(f"{folder}: no arrhenius.json yet; run the arrhenius step first")
    return MaterialResults(
        name=folder.name,
        formula=orderings["formula"],
        arrhenius=read_json(folder / "arrhenius.json"),
        runs=load_runs(files),
        structure=orderings,
    )
