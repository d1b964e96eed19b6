"""`halmd lattice`: a crystal whose cell is known, what a guard does, and a run that is killed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from click.testing import Result
from toy_crystal import IonicToy, lithium_chloride, loaded
from typer.testing import CliRunner

from halmd.cli import app
from halmd.config import DynamicsSettings
from halmd.dynamics import equilibrate
from halmd.dynamics.lattice import in_words, lattice
from halmd.errors import HalmdError
from halmd.files import read_json

SETTINGS = DynamicsSettings(
    equilibration_ps=0.7,
    barostat_time_ps=0.3,
    pressure_GPa=5.0,
    timestep_fs=4.0,
    frame_interval_fs=40.0,
)


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """Neither the settled start nor the last digit of the relaxation is looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equilibrate, "_SETTLE_PS", 0.02)
        patch.setattr(equilibrate, "_RELAX_STEPS", 60)
        yield


def summary_of(atoms: Atoms, matrix: Any) -> dict[str, Any]:
    """What orderings.json would say of a rocksalt cell."""
    n = len(atoms) // 2
    return {
        "formula": "LiCl",
        "prototype": "rocksalt",
        "confidence": "user",
        "counts": {"Li": n, "Cl": n},
        "achieved_per_formula_unit": {"Li": 1.0, "Cl": 1.0},
        "supercell_matrix": matrix,
        "site_occupancies_wanted": {},
    }


CUBES = {"00": lithium_chloride(strain=0.99), "01": lithium_chloride(strain=0.98)}
OF_CUBES = summary_of(CUBES["00"], np.diag([2, 2, 2]).tolist())


def found(
    orderings: Mapping[str, Atoms] = CUBES,
    summary: Mapping[str, Any] = OF_CUBES,
    calculator: Any = None,
    **changes: Any,
) -> dict[str, Any]:
    arguments = {"target_K": 200.0, "seed": 5, "show_progress": False} | changes
    fresh = arguments.pop("fresh", None)
    return lattice(
        orderings, summary, loaded(calculator or IonicToy(), fresh=fresh), SETTINGS, **arguments
    )


@pytest.fixture(scope="module")
def cubes() -> dict[str, Any]:
    """The record of both orderings."""
    return found()


def test_the_cube_of_rocksalt_comes_out_of_a_rhombohedral_supercell(cubes: dict[str, Any]) -> None:
    """128 atoms as 4 x 4 x 4 primitive cells: sixteen cubes, whatever their outer shape."""
    atoms = bulk("LiCl", "rocksalt", a=5.2).repeat(4)
    summary = summary_of(atoms, [[0, 2, 2], [2, 0, 2], [2, 2, 0]])
    one = found({"00": atoms}, summary)
    for record in (one, cubes):
        np.testing.assert_allclose(record["angles_degree"], 90, atol=0.3)
        np.testing.assert_allclose(record["lengths_A"], record["lengths_A"][0], rtol=5e-3)
        volume = np.prod(record["lengths_A"]) / 4
        assert record["volume_A3_per_formula"] == pytest.approx(volume, rel=1e-4)
    # Two sizes of one crystal, each within the errors of a short run.
    assert one["lengths_A"][0] == pytest.approx(np.mean(cubes["lengths_A"]), rel=0.01)


def test_means_and_spreads_are_those_of_the_orderings(cubes: dict[str, Any]) -> None:
    record = cubes
    volumes = [entry["volume_A3"] / 32 for entry in record["orderings"]]
    errors = [entry["volume_error_A3"] / 32 for entry in record["orderings"]]
    assert record["volume_A3_per_formula"] == pytest.approx(sum(volumes) / 2)
    spread = abs(volumes[0] - volumes[1]) / 2
    assert record["volume_half_spread_A3_per_formula"] == pytest.approx(spread)
    assert record["volume_error_A3_per_formula"] == pytest.approx(np.hypot(*errors) / 2)
    assert [entry["seed"] for entry in record["orderings"]] == [5, 6]
    assert record["volume_ratio_to_measured"] is None
    assert "CIF was handed in" in record["not_compared_because"]
    assert any("not compared: the CIF" in line for line in in_words(record))


def failing(*numbers: int) -> dict[str, Any]:
    """A calculator whose forces cease to be numbers in the NPT of these orderings."""
    toy = IonicToy()
    started: list[int] = []

    def fresh() -> None:
        toy.forget()
        toy.nan_after = toy.calls + 60 if len(started) in numbers else None
        started.append(len(started))

    return {"calculator": toy, "fresh": fresh}


def test_an_ordering_that_a_guard_stopped_counts_for_nothing(cubes: dict[str, Any]) -> None:
    half = found(**failing(1))
    assert [entry["verdict"] for entry in half["orderings"]] == ["ok", "nan_forces"]
    assert half["orderings"][0] == cubes["orderings"][0]
    assert half["lengths_A"] == half["orderings"][0]["lengths_A"]
    assert half["orderings"][1]["lengths_A"] is None
    assert half["lengths_half_spread_A"] == [0, 0, 0]
    assert "ordering 01 left out: nan_forces" in in_words(half)


def test_where_no_ordering_held_there_is_a_record_without_numbers() -> None:
    record = found(**failing(0, 1))
    for key in ("lengths_A", "angles_half_spread_degree", "volume_A3_per_formula"):
        assert record[key] is None
    assert in_words(record)[0] == "no ordering held"


def test_a_killed_run_goes_on_ordering_by_ordering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cubes: dict[str, Any]
) -> None:
    done: list[int] = []
    original = equilibrate.equilibrate

    def counted(*arguments: Any, **options: Any) -> Any:
        if len(done) == 1:
            done.append(-1)
            raise KeyboardInterrupt
        done.append(options["seed"])
        return original(*arguments, **options)

    monkeypatch.setattr(equilibrate, "equilibrate", counted)
    with pytest.raises(KeyboardInterrupt):
        found(scratch=tmp_path)
    assert found(scratch=tmp_path) == cubes
    assert done == [5, -1, 6]
    assert found(scratch=tmp_path) == cubes
    assert len(done) == 3


def test_orderings_of_another_material_are_one_line() -> None:
    with pytest.raises(
        HalmdError, match=r"ordering 00: Cl4Li4 is not what orderings\.json"
    ) as caught:
        found({"00": lithium_chloride(repeat=1)})
    assert "\n" not in str(caught.value)


def halmd(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy potential and a measured and a substituted material of 30 atoms."""
    folder = tmp_path_factory.mktemp("lattice")
    small = ("--min-length-A", "5.9", "--monte-carlo-steps", "100", "--n-orderings", "2")
    for arguments in (
        ("potential", "toy:ions", "-o", str(folder / "potential")),
        ("structure", "Li3YCl6", "-o", str(folder / "measured"), *small),
        ("structure", "Li3YCl6", "-o", str(folder / "substituted"), *small,
         "--prototype", "Li3ErCl6_P-3m1"),
    ):  # fmt: skip
        done = halmd(*arguments)
        assert done.exit_code == 0, done.exception
    return folder


def run(folder: Path, *orderings: str) -> Result:
    return halmd(
        "lattice", *[str(folder / name) for name in orderings],
        "--potential", str(folder / "potential" / "potential.json"),
        "-o", str(folder / "lattice.json"), "--equilibration-ps", "0.2", "--timestep-fs", "4",
        "--temperature-K", "290", "--seed", "3",
    )  # fmt: skip


def test_the_command_puts_the_measured_cell_beside_its_own(prepared: Path) -> None:
    done = run(prepared, "measured/00.extxyz", "measured/01.extxyz")
    assert done.exit_code == 0, done.exception
    record = read_json(prepared / "lattice.json")
    assert record["measured_lengths_A"] == pytest.approx([11.2093, 11.2093, 6.0469], abs=1e-4)
    assert record["measured_angles_degree"] == pytest.approx([90, 90, 120])
    assert "acs.chemmater.0c04352" in record["measured_from"]
    assert (record["temperature_K"], record["not_compared_because"]) == (290, None)
    assert [entry["ordering"] for entry in record["orderings"]] == ["00", "01"]
    # Three formula units in the measured cell of 11.2093² sin(120°) 6.0469 Å³.
    per_formula = 11.2093**2 * np.sqrt(3) / 2 * 6.0469 / 3
    ratio = record["volume_A3_per_formula"] / per_formula
    assert record["volume_ratio_to_measured"] == pytest.approx(ratio, rel=1e-4)
    assert f"volume over measured: {ratio:.3f}" in done.stdout


def test_a_substituted_composition_has_nothing_measured(prepared: Path) -> None:
    done = run(prepared, "substituted/00.extxyz")
    assert done.exit_code == 0, done.exception
    record = read_json(prepared / "lattice.json")
    for key in ("measured_lengths_A", "measured_angles_degree", "measured_from",
                "volume_ratio_to_measured"):  # fmt: skip
        assert record[key] is None
    assert "Li3ErCl6_P-3m1 has another composition (Li3ErCl6)" in record["not_compared_because"]
    assert record["volume_A3_per_formula"] > 0


def test_orderings_of_two_folders_are_refused(prepared: Path) -> None:
    (prepared / "lattice.json").unlink(missing_ok=True)
    done = run(prepared, "measured/00.extxyz", "substituted/00.extxyz")
    assert isinstance(done.exception, HalmdError)
    assert "orderings of one material" in str(done.exception)
    assert not (prepared / "lattice.json").exists()
