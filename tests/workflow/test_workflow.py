"""The whole workflow on the tiny campaign, and what an edit makes run again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from halmd.files import read_json
from halmd.trajectory import read_trajectory

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent
pytestmark = pytest.mark.workflow


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HALMD_STRUCTURES": str(REPOSITORY / "structures"),
    }
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    return subprocess.run(
        [*command, "--cores", "1", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def to_run(folder: Path) -> dict[str, int]:
    """Jobs that a dry run announces, by rule."""
    done = snakemake(folder, "--dry-run")
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    table = text.partition("Job stats:")[2].partition("total")[0]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}


def edit(folder: Path, **sections: object) -> None:
    """Change settings of the campaign; None restores the shipped file."""
    record = yaml.safe_load((HERE / "tiny.yaml").read_text())
    for section, values in sections.items():
        if isinstance(values, dict):
            record[section] = record.get(section, {}) | values
        else:
            record[section] = values
    (folder / "config.yaml").write_text(yaml.safe_dump(record))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny campaign has run to its end."""
    folder = tmp_path_factory.mktemp("campaign")
    shutil.copy(HERE / "toy.py", folder)
    edit(folder)
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_output_is_there(finished: Path) -> None:
    results = finished / "results"
    for name in ("conductivity.csv", "campaign.json", "plots/conductivity-temperature.svg",
                 "plots/conductivity-temperature.png", "plots/msd-Li3YCl6.svg",
                 "Li3YCl6/arrhenius.json", "Li3YCl6/orderings/orderings.json"):  # fmt: skip
        assert (results / name).stat().st_size > 0
    runs = sorted((results / "Li3YCl6").glob("*/*K/r0"))
    assert len(runs) == 6
    for run in runs:
        record = read_json(run / "run.json")
        trajectory = read_trajectory(run / "trajectory.h5")
        assert trajectory.time_ps[-1] == pytest.approx(8.0)
        assert record["potential"]["name"] == "toy:ions"
        assert read_json(run / "npt.json")["verdict"] == "ok"
        # Checkpoints are never among the declared outputs.
        assert {path.name for path in run.iterdir()} == {
            "equilibrated.extxyz", "npt.json", "trajectory.h5", "run.json", "transport.json"
        }  # fmt: skip


def test_runs_of_a_campaign_are_independent(finished: Path) -> None:
    files = sorted((finished / "results" / "Li3YCl6").glob("*/*K/r0/run.json"))
    seeds = [read_json(path)["seed"] for path in files]
    assert len(set(seeds)) == len(seeds)
    starts = [read_trajectory(path.with_name("trajectory.h5")).positions_A[40] for path in files]
    assert not any(np.allclose(starts[0], other) for other in starts[1:])


REPORT = {"arrhenius": 1, "table": 1, "plots": 1}
EDITS: list[tuple[dict[str, dict[str, object]], dict[str, int]]] = [
    ({}, {}),
    ({"plots": {"dpi": 90}}, {"plots": 1}),
    ({"arrhenius": {"extrapolate_to_K": 350}}, REPORT),
    ({"diffusion": {"jump_length_A": 3.0}}, {"diffusion": 6} | REPORT),
    ({"dynamics": {"production_ps": 10}}, {"dynamics": 6, "diffusion": 6} | REPORT),
    (
        {"dynamics": {"temperatures_K": [700, 900, 1100, 1200]}},
        {"equilibrate": 2, "dynamics": 2, "diffusion": 2} | REPORT,
    ),
]


@pytest.mark.parametrize(("change", "expected"), EDITS)
def test_an_edit_runs_again_only_what_depends_on_it(
    finished: Path, change: dict[str, dict[str, object]], expected: dict[str, int]
) -> None:
    edit(finished, **change)
    try:
        found = to_run(finished)
    finally:
        edit(finished)
    found.pop("all", None)
    assert found == expected


def test_plots_target_draws_again_without_molecular_dynamics(finished: Path) -> None:
    figure = finished / "results" / "plots" / "conductivity-temperature.svg"
    before = figure.read_bytes()
    figure.unlink()
    done = snakemake(finished, "plots")
    assert done.returncode == 0, done.stderr
    assert figure.read_bytes() == before
    assert "rule dynamics" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "was made with seed: 7"),
        ({"materials": [{"formula": "Li3ZrCl6"}]}, "Li2ZrCl6 would be neutral"),
        ({"dynamics": {"temperatures_K": [0]}}, r"`dynamics.temperatures_K[0]`"),
        ({"dynamic": {}}, "did you mean `dynamics`?"),
    ],
)
def test_bad_campaign_stops_with_one_line_and_touches_nothing(
    finished: Path, change: dict[str, object], message: str
) -> None:
    before = sorted(str(path) for path in finished.rglob("*") if ".snakemake" not in str(path))
    edit(finished, **change)
    try:
        done = snakemake(finished)
    finally:
        edit(finished)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    after = sorted(str(path) for path in finished.rglob("*") if ".snakemake" not in str(path))
    assert after == before
