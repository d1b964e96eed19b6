"""The `halmd` command: nothing but argument handling.

Options have the names, units and defaults of config.yaml. Heavy modules are imported inside the
commands that need them: `halmd --help` is quick, and MD processes import nothing of the rest.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from halmd.cli_distill import distill, fit, label, snapshots, validate_potential
from halmd.cli_options import (
    checked,
    known_to,
    prototype_in,
    read_structure,
    require_choice,
    settings_of,
    structure_and_potential,
)
from halmd.cli_potential import potential
from halmd.cli_report import (
    export,
    merge,
    plan,
    plots,
    print_summary,
    report,
    show,
    status,
    table,
    validation,
)
from halmd.cli_structure import add, compositions, prototypes, structure
from halmd.cli_transport import density, diffusion, jumps, vanhove
from halmd.config import (
    LATTICE_K,
    LATTICE_PS,
    ArrheniusSettings,
    DiffusionSettings,
    DynamicsSettings,
)
from halmd.errors import EXIT_BAD_INPUT, EXIT_OUT_OF_TIME, HalmdError, OutOfTimeError

app = typer.Typer(
    name="halmd",
    help="From the formula of a lithium halide to its conductivity, with a true error bar.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DYNAMICS = DynamicsSettings()
_DIFFUSION = DiffusionSettings()
_ARRHENIUS = ArrheniusSettings()


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options before the command."""


for making in (structure, add, prototypes, compositions):
    app.command()(making)


app.add_typer(potential, name="potential")


@app.command()
def temperatures(
    ordering: Annotated[Path, typer.Argument(help="An ordering (.extxyz).")],
    potential: Annotated[Path, typer.Option(help="potential.json of `halmd potential`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="temperatures.json")],
    scratch: Annotated[Path, typer.Option(help="Folder of the probes.")],
    seed: int = 0,
    engine: str = _DYNAMICS.engine,
    timestep_fs: float = _DYNAMICS.timestep_fs,
    pressure_GPa: Annotated[float, typer.Option("--pressure-GPa")] = _DYNAMICS.pressure_GPa,
    frame_interval_fs: float = _DYNAMICS.frame_interval_fs,
    checkpoint_interval_ps: float = _DYNAMICS.checkpoint_interval_ps,
    n_temperatures: int = _DYNAMICS.n_temperatures,
    production_ps: float = _DYNAMICS.production_ps,
    target_relative_error: Annotated[
        float | None, typer.Option(help="As for `halmd dynamics`.")
    ] = None,
    min_ps: float = _DYNAMICS.min_ps,
    max_ps: float = _DYNAMICS.max_ps,
    mobile: str = _DIFFUSION.mobile,
    min_jumps: float = _DIFFUSION.min_jumps,
    jump_length_A: Annotated[float, typer.Option("--jump-length-A")] = _DIFFUSION.jump_length_A,
    accept_extrapolation: bool = False,
) -> None:
    """Choose temperatures by a short hot ramp: below melting, above where nothing moves."""
    settings = settings_of(
        DynamicsSettings,
        engine=engine,
        timestep_fs=timestep_fs,
        pressure_GPa=pressure_GPa,
        frame_interval_fs=frame_interval_fs,
        checkpoint_interval_ps=checkpoint_interval_ps,
        n_temperatures=n_temperatures,
        production_ps=production_ps,
        target_relative_error=target_relative_error,
        min_ps=min_ps,
        max_ps=max_ps,
    )
    limits = settings_of(
        DiffusionSettings, mobile=mobile, min_jumps=min_jumps, jump_length_A=jump_length_A
    )
    atoms, loaded = structure_and_potential(ordering, potential, accept_extrapolation)
    from halmd.dynamics.temperatures import find_temperatures

    found = find_temperatures(
        atoms, loaded, settings, limits, seed=seed, scratch=scratch, record=output
    )
    chosen = ", ".join(f"{value:g}" for value in found["temperatures_K"])
    typer.echo(f"{output}: {chosen} K")
    typer.echo(f"  hottest: {found['hottest_because']}")
    typer.echo(f"  coldest: {found['coldest_because']}")


@app.command()
def equilibrate(
    ordering: Annotated[Path, typer.Argument(help="An ordering (.extxyz).")],
    potential: Annotated[Path, typer.Option(help="potential.json of `halmd potential`.")],
    temperature_K: Annotated[float, typer.Option("--temperature-K", help="Of the run, in K.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="equilibrated.extxyz")],
    record: Annotated[Path, typer.Option(help="npt.json")],
    seed: int = 0,
    timestep_fs: float = _DYNAMICS.timestep_fs,
    pressure_GPa: Annotated[float, typer.Option("--pressure-GPa")] = _DYNAMICS.pressure_GPa,
    equilibration_ps: float = _DYNAMICS.equilibration_ps,
    thermostat_time_ps: float = _DYNAMICS.thermostat_time_ps,
    barostat_time_ps: float = _DYNAMICS.barostat_time_ps,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder in which `halmd batch` may have made it already.")
    ] = None,
    accept_extrapolation: bool = False,
) -> None:
    """Relax, run NPT, and write a settled start at the mean cell."""
    settings = _npt_settings(
        temperature_K,
        timestep_fs,
        pressure_GPa=pressure_GPa,
        equilibration_ps=equilibration_ps,
        thermostat_time_ps=thermostat_time_ps,
        barostat_time_ps=barostat_time_ps,
    )
    atoms, loaded = structure_and_potential(ordering, potential, accept_extrapolation)
    from halmd.dynamics.equilibrate import equilibrate as run
    from halmd.dynamics.equilibrate import equilibrated_in, write_equilibrated

    if scratch and equilibrated_in(
        scratch,
        atoms,
        loaded,
        settings,
        target_K=temperature_K,
        seed=seed,
        start=output,
        record=record,
    ):
        typer.echo(f"{output}: as made by `halmd batch`")
        return
    result = run(atoms, loaded, settings, target_K=temperature_K, seed=seed)
    write_equilibrated(result, output, record)
    typer.echo(f"{output}: {result.record['verdict']}")


def _npt_settings(temperature_K: float, timestep_fs: float, **values: Any) -> DynamicsSettings:
    """Settings of a command that ends with NPT."""
    return settings_of(
        DynamicsSettings,
        temperatures_K=[temperature_K],
        timestep_fs=timestep_fs,
        # Frames and checkpoints belong to production; any timestep will do here.
        frame_interval_fs=timestep_fs,
        checkpoint_interval_ps=timestep_fs / 1000,
        **values,
    )


@app.command()
def lattice(
    orderings: Annotated[
        list[Path], typer.Argument(help="Orderings (.extxyz) of one folder of `halmd structure`.")
    ],
    potential: Annotated[Path, typer.Option(help="potential.json of `halmd potential`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="lattice.json")],
    temperature_K: Annotated[
        float, typer.Option("--temperature-K", help="Of NPT, in K.")
    ] = LATTICE_K,
    seed: int = 0,
    timestep_fs: float = _DYNAMICS.timestep_fs,
    equilibration_ps: float = LATTICE_PS,
    thermostat_time_ps: float = _DYNAMICS.thermostat_time_ps,
    barostat_time_ps: float = _DYNAMICS.barostat_time_ps,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder that keeps orderings which are done.")
    ] = None,
    accept_extrapolation: bool = False,
) -> None:
    """Lattice constants in NPT, at no pressure, beside the measured ones."""
    settings = _npt_settings(
        temperature_K,
        timestep_fs,
        equilibration_ps=equilibration_ps,
        thermostat_time_ps=thermostat_time_ps,
        barostat_time_ps=barostat_time_ps,
    )
    folders = sorted({path.parent for path in orderings})
    if len(folders) > 1:
        raise HalmdError(f"{folders[0]}, {folders[1]}: give orderings of one material, one folder")
    from halmd.files import read_json, write_json

    first, loaded = structure_and_potential(orderings[0], potential, accept_extrapolation)
    others = [read_structure(path) for path in orderings[1:]]
    beside = folders[0] / "orderings.json"
    if not beside.is_file():
        raise HalmdError(
            f"{beside}: no such file; orderings are read as `halmd structure` left them"
        )
    summary = read_json(beside)
    from halmd.dynamics.lattice import in_words
    from halmd.dynamics.lattice import lattice as measure

    found = measure(
        dict(zip([path.stem for path in orderings], [first, *others], strict=True)),
        summary,
        loaded,
        settings,
        target_K=temperature_K,
        seed=seed,
        scratch=scratch,
    )
    write_json(output, found)
    typer.echo(f"{output}: " + "\n  ".join(in_words(found)))


@app.command()
def dynamics(
    start: Annotated[Path, typer.Argument(help="equilibrated.extxyz of `halmd equilibrate`.")],
    potential: Annotated[Path, typer.Option(help="potential.json of `halmd potential`.")],
    temperature_K: Annotated[float, typer.Option("--temperature-K", help="Of the run, in K.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="trajectory.h5")],
    record: Annotated[Path, typer.Option(help="run.json")],
    scratch: Annotated[Path, typer.Option(help="Folder of checkpoints.")],
    seed: int = 0,
    engine: str = _DYNAMICS.engine,
    timestep_fs: float = _DYNAMICS.timestep_fs,
    production_ps: float = _DYNAMICS.production_ps,
    target_relative_error: Annotated[
        float | None, typer.Option(help="Run until D is this certain, instead of --production-ps.")
    ] = None,
    min_ps: float = _DYNAMICS.min_ps,
    max_ps: float = _DYNAMICS.max_ps,
    frame_interval_fs: float = _DYNAMICS.frame_interval_fs,
    checkpoint_interval_ps: float = _DYNAMICS.checkpoint_interval_ps,
    uncertainty_interval_ps: float = _DYNAMICS.uncertainty_interval_ps,
    thermostat_time_ps: float = _DYNAMICS.thermostat_time_ps,
    mobile: str = _DIFFUSION.mobile,
    max_minutes: Annotated[float | None, typer.Option(help="Stop cleanly after this long.")] = None,
    accept_extrapolation: bool = False,
) -> None:
    """Run or continue NVT production; exit code 75 when it ran out of time."""
    settings = settings_of(
        DynamicsSettings,
        engine=engine,
        temperatures_K=[temperature_K],
        timestep_fs=timestep_fs,
        production_ps=production_ps,
        target_relative_error=target_relative_error,
        min_ps=min_ps,
        max_ps=max_ps,
        frame_interval_fs=frame_interval_fs,
        checkpoint_interval_ps=checkpoint_interval_ps,
        uncertainty_interval_ps=uncertainty_interval_ps,
        thermostat_time_ps=thermostat_time_ps,
    )
    atoms, loaded = structure_and_potential(
        start, potential, accept_extrapolation, batched=engine == "batched"
    )
    from halmd.dynamics.dynamics import run_dynamics

    result = run_dynamics(
        atoms,
        loaded,
        settings,
        target_K=temperature_K,
        seed=seed,
        scratch=scratch,
        trajectory=output,
        record=record,
        mobile=mobile,
        max_minutes=float("inf") if max_minutes is None else max_minutes,
    )
    typer.echo(
        f"{output}: {result['length_ps']:g} ps, {result['ns_per_day']:.1f} ns/day, "
        f"{result['verdict']}"
    )
    found = result["uncertainty"]
    if found and found["extrapolating"]:
        from halmd.dynamics.uncertainty import extrapolating_file
        from halmd.report.results import how_far

        typer.echo(f"  the run leaves what its potential was trained on: {how_far(found)}")
        if (frames := extrapolating_file(record)).is_file():
            typer.echo(f"  its worst frames: {frames}")


@app.command()
def batch(
    config: Annotated[Path, typer.Argument(help="A campaign file.")] = Path("config.yaml"),
    material: Annotated[
        list[str] | None, typer.Option(help="Folder of a material; all when left out.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="batch.json")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop cleanly after this long.")] = None,
) -> None:
    """All runs of materials at once on one device (`engine: batched`); exit code 75 out of time."""
    from halmd.campaign import material_named, runs
    from halmd.dynamics.batch import Batched, run_batch
    from halmd.files import write_json
    from halmd.potentials.evaluators import load

    campaign = checked(config)
    if campaign.dynamics.engine != "batched":
        raise HalmdError(f"{config}: dynamics.engine is {campaign.dynamics.engine}, not batched")
    names = material or [each.folder for each in campaign.materials]
    unknown = set(names) - {each.folder for each in campaign.materials}
    if unknown:
        raise HalmdError(f"{config}: no material has the folder {', '.join(sorted(unknown))}")
    prepared = Path(campaign.work) / "potential"
    if not (prepared / "potential.json").is_file():
        raise HalmdError(
            f"{prepared}/potential.json: no such file; run `halmd potential {campaign.potential} "
            f"--output {prepared}` first"
        )
    loaded = load(prepared / "potential.json", batched=True)
    chosen: list[Batched] = []
    for name in names:
        for run in runs(campaign, material_named(campaign, name)):
            file = Path(campaign.results) / name / "orderings" / f"{run.ordering}.extxyz"
            ordering = read_structure(file)
            own = known_to(
                loaded,
                ordering.get_chemical_symbols(),
                campaign.accept_extrapolation,
                prototype=prototype_in(ordering.info),
            )
            chosen.append(Batched(run, ordering, own))
    if not chosen:
        raise HalmdError(f"{config}: no temperatures are known yet; run `halmd temperatures` first")
    found = run_batch(
        campaign,
        chosen,
        read=read_structure,
        max_minutes=float("inf") if max_minutes is None else max_minutes,
        say=typer.echo,
    )
    if record is not None:
        write_json(record, {"device": loaded.device, "runs": found})


for analysis in (diffusion, jumps, density, vanhove):
    app.command()(analysis)


@app.command()
def arrhenius(
    transports: Annotated[list[Path], typer.Argument(help="transport.json of all runs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="arrhenius.json")],
    curve: Annotated[str, typer.Option(help="auto, line, two_lines or vtf.")] = _ARRHENIUS.curve,
    extrapolate_to_K: Annotated[
        float, typer.Option("--extrapolate-to-K")
    ] = _ARRHENIUS.extrapolate_to_K,
    at_temperatures_K: Annotated[
        list[float], typer.Option("--at-temperatures-K", help="May be given several times.")
    ] = _ARRHENIUS.at_temperatures_K,
    regime_changes_per_1000_per_K: Annotated[
        float, typer.Option("--regime-changes-per-1000-per-K")
    ] = _ARRHENIUS.regime_changes_per_1000_per_K,
    between_orderings_prior_ln: float = _ARRHENIUS.between_orderings_prior_ln,
    scatter_prior_ln: float = _ARRHENIUS.scatter_prior_ln,
    n_samples: int = _ARRHENIUS.n_samples,
) -> None:
    """Activation energy and conductivities of one material, inside and beyond the data."""
    from halmd.files import write_json
    from halmd.report.results import load_runs
    from halmd.transport.arrhenius import arrhenius as fit_arrhenius

    settings = settings_of(
        ArrheniusSettings,
        curve=curve,
        extrapolate_to_K=extrapolate_to_K,
        at_temperatures_K=at_temperatures_K,
        regime_changes_per_1000_per_K=regime_changes_per_1000_per_K,
        between_orderings_prior_ln=between_orderings_prior_ln,
        scatter_prior_ln=scatter_prior_ln,
        n_samples=n_samples,
    )
    found = fit_arrhenius(load_runs(transports), settings)
    write_json(output, found)
    typer.echo(
        f"{output}: "
        + (f"Ea = {found['Ea_eV']:.3f} eV" if found["verdict"] == "ok" else found["verdict"])
    )


@app.command()
def polycrystal(
    transports: Annotated[list[Path], typer.Argument(help="transport.json of all runs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="polycrystal.json")],
    axis: Annotated[str, typer.Option(help="a, b or c: the one that is unlike the others.")] = "c",
    curve: Annotated[str, typer.Option(help="auto, line, two_lines or vtf.")] = _ARRHENIUS.curve,
    extrapolate_to_K: Annotated[
        float, typer.Option("--extrapolate-to-K")
    ] = _ARRHENIUS.extrapolate_to_K,
    n_samples: int = _ARRHENIUS.n_samples,
) -> None:
    """Conductivity of a pellet without texture, of a crystal that conducts best along one axis."""
    from halmd.files import write_json
    from halmd.report.results import load_runs
    from halmd.transport.polycrystal import polycrystal as of_pellet

    settings = settings_of(
        ArrheniusSettings, curve=curve, extrapolate_to_K=extrapolate_to_K, n_samples=n_samples
    )
    found = of_pellet(load_runs(transports), settings, axis=axis)
    write_json(output, found)
    if found["verdict"] != "ok":
        typer.echo(f"{output}: {found['verdict']}")
        return
    for name, part in (
        (f"along {axis}", found["along"]),
        (f"across {axis}", found["across"]),
        ("mean of directions", found["mean"]),
        ("pellet", found["pellet"]),
    ):
        low, high = (1000 * x for x in part["sigma_NE_interval95_S_per_cm"])
        Ea = f", Ea {part['Ea_eV']:.2f} eV" if "Ea_eV" in part else ""
        typer.echo(
            f"  {name}: sigma({extrapolate_to_K:g} K) = {1000 * part['sigma_NE_S_per_cm']:.2g} "
            f"mS/cm (95 %: {low:.2g} to {high:.2g}){Ea}"
        )
    typer.echo(f"{output}: a pellet conducts {found['pellet_over_mean']:.2g} times the mean")


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="A campaign file.")] = Path("config.yaml"),
) -> None:
    """Check a campaign file without writing anything."""
    campaign = checked(config)
    from halmd.campaign import n_runs

    total = sum(n_runs(campaign, material) for material in campaign.materials)
    typer.echo(f"{config}: fine, {len(campaign.materials)} materials, {total} runs")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="A campaign file.")] = Path("config.yaml"),
) -> None:
    """Check a campaign, then run it with Snakemake; further options go to Snakemake."""
    import os
    import re
    import subprocess

    from halmd.report.results import load_material

    campaign = checked(config)
    # --configfile takes every word behind it, targets too: it comes last.
    command = [sys.executable, "-m", "snakemake", *context.args, "--configfile", str(config)]
    # The rules call `halmd`; without an activated environment only this folder has it.
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    code = subprocess.run(command, env=os.environ | {"PATH": search}, check=False).returncode
    if code:
        raise typer.Exit(code)
    if any(re.fullmatch(r"-[a-z]*n[a-z]*|--dry-?run", word) for word in context.args):
        return
    results = Path(campaign.results)
    for material in campaign.materials:
        if (results / material.folder / "arrhenius.json").is_file():
            print_summary(load_material(results / material.folder))
    for extension in campaign.plots.formats:
        path = results / "plots" / f"conductivity-temperature.{extension}"
        if path.is_file():
            typer.echo(f"plot: {path}")


for reading in (table, plots, report, validation, export, merge, show, plan, status):
    app.command()(reading)
for distilling in (snapshots, label, fit, validate_potential):
    app.command()(distilling)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(distill)


@app.command()
def schema() -> None:
    """Print the JSON schema of a campaign file."""
    from halmd.config import json_schema

    typer.echo(json_schema(), nl=False)


@app.command()
def example() -> None:
    """Print a campaign file with every key, its default and what it means."""
    from halmd.config import full_example

    typer.echo(full_example(), nl=False)


@app.command(hidden=True)
def reference(page: Annotated[str, typer.Argument(help="config or cli.")]) -> None:
    """Print a reference page of the documentation, made from the code."""
    from halmd.reference_pages import cli_page, config_page

    require_choice("PAGE", page, ("config", "cli"))
    text = config_page() if page == "config" else cli_page(typer.main.get_command(app))
    typer.echo(text, nl=False)


def _guarded(call: Callable[[], Any]) -> int:
    """Run the app; turn the two known ways of ending early into one line and an exit code."""
    try:
        call()
    except HalmdError as error:
        print(f"halmd: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except OutOfTimeError as error:
        print(f"halmd: {error}", file=sys.stderr)
        return EXIT_OUT_OF_TIME
    except OSError as error:
        if error.filename is None:
            raise
        # A folder in the place of a file, no permission, a full disk: the person's to mend.
        print(f"halmd: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def main() -> None:
    """Entry point of the `halmd` command."""
    if "--debug" in sys.argv:
        app()
        return
    sys.exit(_guarded(app))


if __name__ == "__main__":
    main()
