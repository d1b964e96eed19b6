"""Commands that read campaigns and results: tables, figures, the page, costs and progress."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from halmd.cli_options import checked, settings_of
from halmd.config import PlotSettings
from halmd.errors import HalmdError

_PLOTS = PlotSettings()


def print_summary(material: Any) -> None:
    """The table and the lines that matter of one material's results."""
    from rich.console import Console

    from halmd.report.table import summary

    console = Console(width=max(100, Console().width))
    for part in summary(material):
        console.print(part, highlight=False)


def table(
    materials: Annotated[list[Path], typer.Argument(help="Folders results/<material>.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="conductivity.csv")],
) -> None:
    """Write conductivity.csv and print the summary."""
    from halmd.report.results import load_material
    from halmd.report.table import write_table

    results = [load_material(folder) for folder in materials]
    write_table(results, output)
    for material in results:
        print_summary(material)


def plots(
    materials: Annotated[list[Path], typer.Argument(help="Folders results/<material>.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the figures.")],
    formats: list[str] = _PLOTS.formats,  # type: ignore[assignment]
    dpi: int = _PLOTS.dpi,
    show_measured: bool = _PLOTS.show_measured,
    show_computed: bool = _PLOTS.show_computed,
    labels: Annotated[list[str] | None, typer.Option(help="NAME=WORDS, for a material.")] = None,
    colours: Annotated[list[str] | None, typer.Option(help="NAME=COLOUR, of a material.")] = None,
    temperature_unit: str = _PLOTS.temperature_unit,
) -> None:
    """Draw all figures from the JSON results, without touching molecular dynamics.

    Materials are drawn in the order in which they are given.
    """
    from halmd.report.plots import write_plots
    from halmd.report.results import load_material

    settings = settings_of(
        PlotSettings,
        formats=formats,
        dpi=dpi,
        show_measured=show_measured,
        show_computed=show_computed,
        labels=_by_name("--labels", labels or []),
        colours=_by_name("--colours", colours or []),
        temperature_unit=temperature_unit,
    )
    for path in write_plots([load_material(folder) for folder in materials], output, settings):
        typer.echo(str(path))


def _by_name(option: str, words: list[str]) -> dict[str, str]:
    """Read options such as Li3YCl6=teal."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise HalmdError(f"{option} {word}: write a material and its value, as Li3YCl6=teal")
        values[name] = value
    return values


def plan(
    config: Annotated[Path, typer.Argument(help="A campaign file.")] = Path("config.yaml"),
    slots: Annotated[int, typer.Option(min=1, help="Runs that go at once.")] = 2,
) -> None:
    """Time a few real steps and say what the campaign will cost; nothing is submitted."""
    from tempfile import TemporaryDirectory

    from rich.console import Console

    from halmd.plan import cost_table, costs, timed_step_ms
    from halmd.potentials.evaluators import load
    from halmd.potentials.potential import prepare_potential
    from halmd.report.status import campaign_status

    campaign = checked(config)
    prepared = Path(campaign.work) / "potential" / "potential.json"
    with TemporaryDirectory() as scratch:
        if not prepared.is_file():
            prepared = prepare_potential(
                campaign.potential, evaluator=campaign.evaluator, folder=Path(scratch)
            )
        loaded = load(prepared, batched=campaign.dynamics.engine == "batched")
        atoms, step_ms = timed_step_ms(campaign, loaded)
    typer.echo(
        f"{campaign.potential} ({loaded.provenance['evaluator']}), {atoms} atoms: "
        f"{step_ms:.2f} ms a step on {'one core' if loaded.device == 'cpu' else loaded.device} "
        f"({step_ms / atoms:.3f} an atom), "
        f"{campaign.dynamics.timestep_fs * 86.4 / step_ms:.1f} ns a day"
    )
    found = costs(campaign, campaign_status(campaign), step_ms / atoms)
    console = Console(width=max(100, Console().width))
    console.print(cost_table(campaign, found, slots=slots, device=loaded.device), highlight=False)
    for cost in found:
        for warning in cost.warnings:
            typer.echo(f"too short: {warning}")


def report(
    materials: Annotated[list[Path], typer.Argument(help="Folders results/MATERIAL.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="report.html")],
) -> None:
    """One page of all results, which opens anywhere without a network."""
    from halmd.report.report import write_report

    write_report(materials, output)
    noun = "material" if len(materials) == 1 else "materials"
    typer.echo(f"{output}: {len(materials)} {noun}, {output.stat().st_size / 1e6:.1f} MB")


def validation(
    materials: Annotated[list[Path], typer.Argument(help="Folders results/MATERIAL.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Page of Markdown; text around the markers is kept."),
    ],
    figure: Annotated[
        Path | None, typer.Option(help="Computed against measured: .svg, .pdf or .png.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="All numbers as CSV, one row a material.")
    ] = None,
) -> None:
    """Results beside what was measured, judged: errors, ranks and shares with intervals."""
    from halmd.report.validation import write_validation
    from halmd.report.validation_rows import counted

    rows = write_validation(materials, output, figure=figure, table=table)
    noun = "material" if len(rows) == 1 else "materials"
    typer.echo(f"{output}: {len(rows)} {noun}, {len(counted(rows))} compared with measurements")
    for path in (figure, table):
        if path is not None:
            typer.echo(str(path))


def export(
    materials: Annotated[list[Path], typer.Argument(help="Folders results/MATERIAL.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    parquet: Annotated[bool, typer.Option(help="The table as Parquet too.")] = False,
) -> None:
    """Results for other tools: tidy tables, an ASE database, JSON, a methods paragraph."""
    from halmd.report.export import export as run

    for path in run(materials, output, parquet=parquet):
        typer.echo(str(path))


def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results folders of the same campaign.")],
    into: Annotated[Path, typer.Option(help="Results folder to put them into.")],
) -> None:
    """Put results of several machines together; refused, whole, where two disagree."""
    from halmd.merge import merge as run

    found = run(sources, into)
    typer.echo(f"{into}: {found.copied} files copied, {found.same} there already")
    typer.echo(
        "run the campaign there for its tables and figures; no molecular dynamics is repeated"
    )


def show(
    material: Annotated[Path, typer.Argument(help="A material's folder, results/MATERIAL.")],
) -> None:
    """A material's conductivities, activation energy and a small plot, in the terminal."""
    from halmd.report.results import load_material
    from halmd.report.show import text_plot

    found = load_material(material)
    print_summary(found)
    for line in text_plot(found):
        typer.echo(line)


def status(
    config: Annotated[Path, typer.Argument(help="A campaign file.")] = Path("config.yaml"),
    watch: Annotated[bool, typer.Option("--watch", help="Again every ten seconds.")] = False,
) -> None:
    """Where a campaign stands: what waits, runs, is done or failed, and D so far."""
    import time

    from rich.console import Console, Group
    from rich.live import Live

    from halmd.config import load_campaign
    from halmd.report.status import campaign_status, failures, status_table

    campaign = load_campaign(config)

    def shown() -> Group:
        found = campaign_status(campaign)
        return Group(status_table(campaign, found), *failures(found))

    console = Console(width=max(100, Console().width))
    if not watch:
        console.print(shown(), highlight=False)
        return
    live = Live(shown(), console=console, auto_refresh=False)
    with suppress(KeyboardInterrupt), live:
        while True:
            time.sleep(10)
            live.update(shown(), refresh=True)
