"""The whole workflow on the tiny campaign, and what an edit makes run again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml

from halmd.campaign import options, with_temperature
from halmd.cli import app
from halmd.config import Campaign, DynamicsSettings, StructureSettings
from halmd.files import read_json
from halmd.trajectory import read_trajectory

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent
SNAKEMAKE_OPTIONS = ("--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1")
pytestmark = pytest.mark.workflow


def started(folder: Path, *command: str, path: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module in a folder, with this search path for commands."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "PATH": path,
        "HALMD_STRUCTURES": str(REPOSITORY / "structures"),
    }
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return started(folder, "snakemake", *SNAKEMAKE_OPTIONS, *arguments, path=path)


def halmd_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`halmd run` as from a shell in which no environment is active."""
    return started(folder, "halmd.cli", "run", *arguments, *SNAKEMAKE_OPTIONS, path=os.defpath)


def to_run(folder: Path, *targets: str) -> dict[str, int]:
    """Jobs that a dry run announces, by rule."""
    done = snakemake(folder, "--dry-run", *targets)
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
    for name in ("conductivity.csv", "report.html", "campaign.json",
                 "plots/conductivity-temperature.svg", "plots/msd-Li3YCl6.svg",
                 "plots/conductivity-temperature.png", "plots/conductivity-temperature.csv",
                 "plots/parity.svg", "plots/anisotropy.svg", "plots/msd.svg", "plots/msd.csv",
                 "Li3YCl6/arrhenius.json", "Li3YCl6/orderings/orderings.json"):  # fmt: skip
        assert (results / name).stat().st_size > 0
    runs = sorted((results / "Li3YCl6").glob("*/*K/r0"))
    assert len(runs) == 6
    for run in runs:
        record = read_json(run / "run.json")
        trajectory = read_trajectory(run / "trajectory.h5")
        assert trajectory.time_ps[-1] == pytest.approx(4.0)
        assert record["potential"]["name"] == "toy:ions"
        assert read_json(run / "npt.json")["verdict"] == "ok"
        # Checkpoints are never among the declared outputs.
        assert {path.name for path in run.iterdir()} == {
            "equilibrated.extxyz", "npt.json", "trajectory.h5", "run.json", "transport.json",
            "transport.png",
        }  # fmt: skip


def test_runs_of_a_campaign_are_independent(finished: Path) -> None:
    files = sorted((finished / "results" / "Li3YCl6").glob("*/*K/r0/run.json"))
    seeds = [read_json(path)["seed"] for path in files]
    assert len(set(seeds)) == len(seeds)
    starts = [read_trajectory(path.with_name("trajectory.h5")).positions_A[40] for path in files]
    assert not any(np.allclose(starts[0], other) for other in starts[1:])


REPORT = {"arrhenius": 1, "table": 1, "plots": 1, "report": 1}
EDITS: list[tuple[dict[str, dict[str, object]], dict[str, int]]] = [
    ({}, {}),
    ({"plots": {"dpi": 90}}, {"plots": 1}),
    ({"plots": {"labels": {"Li3YCl6": "{x} of 'us'"}, "temperature_unit": "K"}}, {"plots": 1}),
    ({"arrhenius": {"extrapolate_to_K": 350}}, REPORT),
    ({"diffusion": {"jump_length_A": 3.0}}, {"diffusion": 6} | REPORT),
    ({"dynamics": {"production_ps": 10}}, {"dynamics": 6, "diffusion": 6} | REPORT),
    (
        {"dynamics": {"temperatures_K": [700, 900, 1100, 1200]}},
        {"equilibrate": 2, "dynamics": 2, "diffusion": 2} | REPORT,
    ),
    # Orderings that the potential ranks are other orderings.
    (
        {"structure": {"rank_by": "potential", "candidates": 2}},
        {"structure": 1, "equilibrate": 6, "dynamics": 6, "diffusion": 6} | REPORT,
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


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The finished campaign, to be changed."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_run_out_of_time_continues_where_it_stopped(copy: Path) -> None:
    """With an allowance of no minutes, each start reaches one checkpoint, 2 ps further."""
    run = copy / "results" / "Li3YCl6" / "00" / "700K" / "r0"
    before = read_trajectory(run / "trajectory.h5")
    edit(copy, dynamics={"production_ps": 8})
    record = str((run / "run.json").relative_to(copy))
    done = snakemake(copy, record, "--set-resources", "dynamics:runtime=1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stopped at 6.0 of 8 ps" in done.stdout + done.stderr
    after = read_trajectory(run / "trajectory.h5")
    assert after.time_ps[-1] == pytest.approx(8.0)
    n_before = len(before.time_ps)
    assert np.array_equal(after.positions_A[:n_before], before.positions_A)


def test_named_campaign_takes_nothing_from_config_yaml(copy: Path) -> None:
    """What a campaign leaves out has its default, whatever config.yaml beside it says."""
    record = {"results": "other", "work": "w", "materials": [{"formula": "Li3YCl6"}]}
    (copy / "other.yaml").write_text(yaml.safe_dump(record))
    done = halmd_run(copy, "other.yaml", "-np")
    assert done.returncode == 0, done.stderr
    commands = done.stdout + done.stderr
    assert options(StructureSettings()) in commands
    assert with_temperature(DynamicsSettings(), "500") in commands
    assert f"halmd potential {Campaign.model_fields['potential'].default} " in commands


def test_halmd_run_makes_one_target(copy: Path) -> None:
    (copy / "results" / "conductivity.csv").unlink()
    done = halmd_run(copy, "config.yaml", "results/conductivity.csv")
    assert done.returncode == 0, done.stderr
    assert (copy / "results" / "conductivity.csv").is_file()
    assert "plot: results/plots/conductivity-temperature.svg" in done.stdout


def test_edit_of_an_own_cif_builds_again(copy: Path) -> None:
    cif = copy / "my crystal.cif"
    shutil.copy(REPOSITORY / "structures" / "Li3YCl6_P-3m1_M1M2.cif", cif)
    material = {"formula": "Li3YCl6", "name": "own", "prototype": cif.name}
    edit(copy, materials=[material])
    ordering = "results/own/orderings/00.extxyz"
    done = snakemake(copy, ordering)
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in snakemake(copy, ordering).stderr
    cif.write_text(cif.read_text() + "# edited\n")
    assert "structure" in snakemake(copy, ordering, "--dry-run").stdout


def test_what_is_added_is_all_that_runs(copy: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    before = (copy / "config.yaml").read_text().splitlines()
    added = started(copy, "halmd.cli", "add", "Li2.4Y1.2Cl6", "Li2Y{4/3}Cl6", path=path)
    assert added.returncode == 0, added.stderr
    after = (copy / "config.yaml").read_text().splitlines()
    assert [line for line in after if line in before] == before
    found = to_run(copy)
    found.pop("all", None)
    assert found == {
        "structure": 2, "equilibrate": 12, "dynamics": 12, "diffusion": 12, "arrhenius": 2,
        "table": 1, "plots": 1, "report": 1,
    }  # fmt: skip


def test_orderings_are_ranked_by_the_potential_of_the_campaign(copy: Path) -> None:
    edit(copy, structure={"rank_by": "relaxed", "candidates": 3})
    done = snakemake(copy, "results/Li3YCl6/orderings/orderings.json")
    assert done.returncode == 0, done.stderr[-3000:]
    ranked = read_json(copy / "results" / "Li3YCl6" / "orderings" / "orderings.json")["orderings"]
    energies = [entry["potential_energy_eV"] for entry in ranked]
    assert energies == sorted(energies)
    assert len(energies) == 2


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


def test_lattice_constants_are_asked_for_by_a_target_of_their_own(tmp_path: Path) -> None:
    shutil.copy(HERE / "toy.py", tmp_path)
    edit(tmp_path, materials=[{"formula": "Li3YCl6"}, {"formula": "Li3ErCl6"}],
         accept_extrapolation=True)  # fmt: skip
    assert to_run(tmp_path, "lattices") == {
        "potential": 1, "structure": 2, "lattice": 2, "lattices": 1,
    }  # fmt: skip
    assert not {"lattice", "lattices"} & to_run(tmp_path).keys()
    done = snakemake(tmp_path, "--dry-run", "--printshellcmds", "results/Li3ErCl6/lattice.json")
    (command,) = re.findall(r"halmd lattice ([^>]*)", done.stdout + done.stderr)
    words = command.split()
    # Raises for options that the command does not have.
    typer.main.get_command(app).commands["lattice"].make_context("lattice", list(words))
    assert words[:2] == [f"results/Li3ErCl6/orderings/{n:02d}.extxyz" for n in range(2)]
    assert "--accept-extrapolation" in words


def test_pellets_are_asked_for_by_name(copy: Path) -> None:
    assert "polycrystal" not in to_run(copy)
    done = snakemake(copy, "--dry-run", "--printshellcmds", "results/Li3YCl6/polycrystal.json")
    (command,) = re.findall(r"halmd polycrystal ([^>]*)", done.stdout + done.stderr)
    words = command.split()
    typer.main.get_command(app).commands["polycrystal"].make_context("polycrystal", list(words))
    assert words[0].endswith("/r0/transport.json")


def test_temperatures_that_are_looked_for_decide_the_runs(copy: Path) -> None:
    """Before the ramp nothing else is known to run; afterwards the runs at what it found."""
    edit(copy, dynamics={"temperatures_K": "auto"})
    before = to_run(copy)
    assert before.pop("temperatures") == 1
    assert not {"equilibrate", "dynamics", "diffusion"} & before.keys()
    found = copy / "results" / "Li3YCl6" / "temperatures.json"
    found.write_text('{"temperatures_K": [700.0, 800.0]}')
    after = to_run(copy)
    after.pop("all", None)
    assert after == {"equilibrate": 2, "dynamics": 2, "diffusion": 2} | REPORT


def test_a_batch_leaves_nothing_to_run_and_is_what_the_commands_would_make(
    finished: Path, tmp_path: Path
) -> None:
    """With `engine: batched` one job runs all of a material; the others write it down."""
    for name in ("toy.py", "results/Li3YCl6/orderings", "work/potential"):
        source, target = finished / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    short = {"engine": "batched", "production_ps": 2, "equilibration_ps": 0.4}
    edit(tmp_path, dynamics=short | {"temperatures_K": [700]})
    done = snakemake(tmp_path, "trajectories")
    assert done.returncode == 0, done.stderr[-3000:]
    batch = read_json(tmp_path / "work" / "Li3YCl6" / "batch.json")
    assert [entry["verdict"] for entry in batch["runs"]] == ["ok"] * 2
    for entry in batch["runs"]:
        folder = tmp_path / "results" / entry["run"]
        record = read_json(folder / "run.json")
        assert (record["engine"], record["length_ps"]) == ("batched", 2.0)
        log = (tmp_path / "work" / "logs" / entry["run"] / "equilibrate.log").read_text()
        assert "as made by `halmd batch`" in log
    # By hand, alone, from the same start: the same run.
    folder = tmp_path / "results" / batch["runs"][0]["run"]
    record = read_json(folder / "run.json")
    settings = DynamicsSettings.model_validate(
        {"temperatures_K": [700], "frame_interval_fs": 40, "checkpoint_interval_ps": 2} | short
    )
    alone = started(
        tmp_path,
        "halmd.cli",
        "dynamics",
        str(folder / "equilibrated.extxyz"),
        *("--potential", "work/potential/potential.json", "--output", "alone.h5"),
        *("--record", "alone.json", "--scratch", "alone", "--seed", str(record["seed"])),
        *with_temperature(settings, "700").split(),
        path=os.environ["PATH"],
    )
    assert alone.returncode == 0, alone.stderr
    one, other = (
        read_trajectory(path) for path in (folder / "trajectory.h5", tmp_path / "alone.h5")
    )
    assert one.positions_A.tobytes() == other.positions_A.tobytes()


def test_small_jobs_go_together_on_slurm(finished: Path) -> None:
    """What the profile makes of fifty analyses: one submission, within a queue's memory."""
    profile = REPOSITORY / "workflow" / "profiles" / "slurm" / "config.yaml"
    settings = yaml.safe_load(profile.read_text())
    groups = {name: f"{name}={group}" for name, group in settings["groups"].items()}
    edit(finished, diffusion={"jump_length_A": 3.0})
    try:
        done = snakemake(finished, "--dry-run", "--groups", *groups.values())
    finally:
        edit(finished)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert "Group job analyses" in text
    assert set(settings["group-components"]) == set(settings["groups"].values())
    assert settings["slurm-status-command"] == "squeue"
