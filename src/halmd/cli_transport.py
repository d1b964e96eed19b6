"""Commands that analyse one trajectory, anybody's: diffusion, jumps, density, vanhove."""

from pathlib import Path
from typing import Annotated, Any

import typer

from halmd.cli_options import settings_of
from halmd.config import DiffusionSettings
from halmd.errors import HalmdError

_DIFFUSION = DiffusionSettings()

_TRAJECTORY_HELP = (
    "H5MD, .traj, extended xyz, XDATCAR, vasprun.xml, LAMMPS dump, or what MDAnalysis reads."
)
FrameInterval = Annotated[
    float | None, typer.Option(help="Time between frames, where the file does not say it.")
]
Timestep = Annotated[float | None, typer.Option(help="Time step of a LAMMPS dump.")]
Topology = Annotated[Path | None, typer.Option(help="File that names the atoms, for DCD, XTC...")]
Species = Annotated[
    str | None, typer.Option(help="Elements of LAMMPS types 1, 2, ..., as in 'Li Y Cl'.")
]
Format = Annotated[str | None, typer.Option(help="Format, where content and name do not tell.")]
Mobile = Annotated[str, typer.Option(help="Element whose motion is measured.")]
Framework = Annotated[
    list[str] | None, typer.Option(help="Element that is held still, once for each; all others.")
]
Figure = Annotated[Path | None, typer.Option(help="Draw the analysis: .png, .svg or .pdf.")]


def diffusion(
    trajectory: Annotated[Path, typer.Argument(help=_TRAJECTORY_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="transport.json")],
    temperature_K: Annotated[float, typer.Option("--temperature-K", help="Of the run, in K.")],
    run: Annotated[Path | None, typer.Option(help="run.json, for the verdict of the run.")] = None,
    figure: Figure = None,
    frame_interval_fs: FrameInterval = None,
    timestep_fs: Timestep = None,
    topology: Topology = None,
    species: Species = None,
    format: Format = None,
    mobile: Mobile = _DIFFUSION.mobile,
    charge_e: int = _DIFFUSION.charge_e,
    framework: Framework = None,
    fit_from_ps: float | None = None,
    fit_to_ps: float | None = None,
    min_jumps: float = _DIFFUSION.min_jumps,
    jump_length_A: Annotated[float, typer.Option("--jump-length-A")] = _DIFFUSION.jump_length_A,
    target_relative_error: float = _DIFFUSION.target_relative_error,
) -> None:
    """Diffusivity, conductivity and a verdict from one trajectory, anybody's."""
    from halmd.files import read_json, write_json
    from halmd.report.run import summary_lines, write_run_figure
    from halmd.transport.diffusion import diffusion as analyse

    settings = settings_of(
        DiffusionSettings,
        mobile=mobile,
        charge_e=charge_e,
        framework=framework,
        fit_from_ps=fit_from_ps,
        fit_to_ps=fit_to_ps,
        min_jumps=min_jumps,
        jump_length_A=jump_length_A,
        target_relative_error=target_relative_error,
    )
    _positive("--temperature-K", temperature_K)
    verdict = read_json(run)["verdict"] if run else "ok"
    motion = _motion(
        trajectory,
        settings,
        # A run that a guard stopped at once still gets its record, so that a campaign can go on.
        fewest_frames=2 if verdict == "ok" else 1,
        frame_interval_fs=frame_interval_fs,
        timestep_fs=timestep_fs,
        topology=topology,
        species=species,
        format=format,
    )
    found = analyse(motion, settings, temperature_K=temperature_K, run_verdict=verdict)
    write_json(output, found | {"trajectory": str(trajectory)})
    if figure:
        write_run_figure(found, figure)
    typer.echo(f"{output}: " + "\n  ".join(summary_lines(found)))


def jumps(
    trajectory: Annotated[Path, typer.Argument(help=_TRAJECTORY_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="jumps.json")],
    sites: Annotated[
        Path | None, typer.Option(help="CIF with the sites; found from the density if left out.")
    ] = None,
    figure: Figure = None,
    frame_interval_fs: FrameInterval = None,
    timestep_fs: Timestep = None,
    topology: Topology = None,
    species: Species = None,
    format: Format = None,
    mobile: Mobile = _DIFFUSION.mobile,
    framework: Framework = None,
    jump_length_A: Annotated[float, typer.Option("--jump-length-A")] = _DIFFUSION.jump_length_A,
) -> None:
    """Jumps between sites: rates, residence times, correlation, percolation."""
    from halmd.files import write_json
    from halmd.report.diagnostics import jumps_figure, write_figure
    from halmd.transport.density import density as density_of
    from halmd.transport.density import framework_atoms
    from halmd.transport.diffusion import tracer_of
    from halmd.transport.jumps import jump_record, visits
    from halmd.transport.network import network_record
    from halmd.transport.sites import sites_of_density, sites_of_structure

    settings = settings_of(
        DiffusionSettings, mobile=mobile, framework=framework, jump_length_A=jump_length_A
    )
    motion = _motion(
        trajectory,
        settings,
        frame_interval_fs=frame_interval_fs,
        timestep_fs=timestep_fs,
        topology=topology,
        species=species,
        format=format,
    )
    others = framework_atoms(motion)
    if sites:
        places = sites_of_structure(sites, settings.mobile, motion.cell_A, others)
    else:
        found = density_of(motion.ions(settings.mobile), motion.cell_A)
        places = sites_of_density(found, others)
    tracer = tracer_of(motion, settings)
    seen = visits(motion.ions(settings.mobile), places, motion.interval_ps)
    record = jump_record(
        seen,
        places,
        motion.interval_ps,
        (tracer.D_A2_per_ps, *tracer.interval_A2_per_ps(0.95)),
    ) | {"network": network_record(seen, places, others, motion.interval_ps)}
    write_json(output, record | {"trajectory": str(trajectory), "sites": str(sites or "found")})
    if figure:
        write_figure(jumps_figure(record), figure)
    f = record["correlation_factor"]
    typer.echo(
        f"{output}: {record['n_jumps']} jumps between {record['n_sites']} sites, "
        f"{record['jump_rate_per_ps']:.3g} per ion and ps"
        + (f", f = {f:.2f}" if f is not None else "")
        + f", paths percolate in {record['percolation']['dimensions']} dimensions"
    )


def density(
    trajectory: Annotated[Path, typer.Argument(help=_TRAJECTORY_HELP)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="density.cube, or a CHGCAR under any other name.")
    ],
    spacing_A: Annotated[float, typer.Option("--spacing-A", help="Edge of a voxel.")] = 0.2,
    fold: Annotated[
        tuple[int, int, int],
        typer.Option(help="Average over so many equal parts along each cell vector."),
    ] = (1, 1, 1),
    figure: Figure = None,
    frame_interval_fs: FrameInterval = None,
    timestep_fs: Timestep = None,
    topology: Topology = None,
    species: Species = None,
    format: Format = None,
    mobile: Mobile = _DIFFUSION.mobile,
    framework: Framework = None,
) -> None:
    """Density of the mobile ions on a grid, as a file that VESTA opens."""
    from halmd.report.diagnostics import density_figure, write_figure
    from halmd.transport.density import density as density_of
    from halmd.transport.density import folded, framework_atoms, write_density

    settings = settings_of(DiffusionSettings, mobile=mobile, framework=framework)
    _positive("--spacing-A", spacing_A)
    for divisions in fold:
        _positive("--fold", divisions)
    motion = _motion(
        trajectory,
        settings,
        frame_interval_fs=frame_interval_fs,
        timestep_fs=timestep_fs,
        topology=topology,
        species=species,
        format=format,
    )
    found = density_of(
        motion.ions(settings.mobile), motion.cell_A, spacing_A=spacing_A, divisions=fold
    )
    write_density(found, folded(framework_atoms(motion), fold), output)
    if figure:
        write_figure(density_figure(found, settings.mobile), figure)
    shape = " x ".join(str(n) for n in found.per_A3.shape)
    typer.echo(f"{output}: {found.n_ions:.3g} {settings.mobile} on a grid of {shape}")


def vanhove(
    trajectory: Annotated[Path, typer.Argument(help=_TRAJECTORY_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="vanhove.json")],
    time_ps: Annotated[list[float], typer.Option(help="Time, once for each.")] = [1.0, 5.0, 20.0],  # noqa: B006
    largest_A: Annotated[float, typer.Option("--largest-A", help="Largest distance.")] = 12.0,
    figure: Figure = None,
    frame_interval_fs: FrameInterval = None,
    timestep_fs: Timestep = None,
    topology: Topology = None,
    species: Species = None,
    format: Format = None,
    mobile: Mobile = _DIFFUSION.mobile,
    framework: Framework = None,
) -> None:
    """Distribution of the distances that ions go in given times (van Hove, self part)."""
    from halmd.files import write_json
    from halmd.report.diagnostics import van_hove_figure, write_figure
    from halmd.transport.vanhove import van_hove

    settings = settings_of(DiffusionSettings, mobile=mobile, framework=framework)
    for value in (*time_ps, largest_A):
        _positive("--time-ps, --largest-A", value)
    motion = _motion(
        trajectory,
        settings,
        frame_interval_fs=frame_interval_fs,
        timestep_fs=timestep_fs,
        topology=topology,
        species=species,
        format=format,
    )
    record = van_hove(
        motion.ions(settings.mobile), motion.interval_ps, time_ps, largest_A=largest_A
    )
    write_json(output, record | {"trajectory": str(trajectory), "mobile": settings.mobile})
    if figure:
        write_figure(van_hove_figure(record, settings.mobile), figure)
    typer.echo(
        f"{output}: "
        + ", ".join(
            f"{curve['msd_A2']:.3g} Å² in {curve['time_ps']:g} ps" for curve in record["curves"]
        )
    )


def _positive(option: str, value: float) -> None:
    # Written so that NaN fails.
    if not 0 < value < float("inf"):
        raise HalmdError(f"{option}: {value:g} is not a number greater than 0")


def _motion(
    trajectory: Path,
    settings: DiffusionSettings,
    *,
    fewest_frames: int = 2,
    frame_interval_fs: float | None = None,
    timestep_fs: float | None = None,
    topology: Path | None = None,
    species: str | None = None,
    format: str | None = None,
) -> Any:
    """Read a trajectory of any known format."""
    from dataclasses import replace

    from halmd.tracked import tracked
    from halmd.trajectory import open_trajectory
    from halmd.transport.motion import read_motion

    frames = open_trajectory(
        trajectory,
        topology=topology,
        frame_interval_fs=frame_interval_fs,
        timestep_fs=timestep_fs,
        species=species.replace(",", " ").split() if species else None,
        format=format,
    )
    return read_motion(
        replace(frames, blocks=lambda: tracked(frames.blocks(), f"reading {trajectory.name}")),
        mobile=settings.mobile,
        framework=settings.framework,
        fewest_frames=fewest_frames,
    )
