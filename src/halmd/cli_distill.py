"""Commands that make a potential: distill, snapshots, label, fit, validate-potential."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="A distillation file (docs/distill.md).")]
Stage = Annotated[str, typer.Argument(help="seeds, generation-1, ..., or test.")]


def snapshots(config: Config, stage: Stage) -> None:
    """Make the snapshots of a stage: the seeds by hand, the others by MD of a student."""
    from halmd.distill.settings import load_distill
    from halmd.distill.stages import make_snapshots, printable

    settings = load_distill(config)
    typer.echo(str(make_snapshots(settings, stage, printable(settings, stage))))


def label(config: Config, stage: Stage) -> None:
    """Have the teacher label the snapshots of a stage; goes on where it was killed."""
    from halmd.distill.settings import load_distill
    from halmd.distill.stages import label_stage, printable

    settings = load_distill(config)
    typer.echo(str(label_stage(settings, stage, printable(settings, stage))))


def fit(
    config: Config,
    student: Annotated[str, typer.Argument(help="explorer-1, ..., final, or committee-1, ...")],
) -> None:
    """Fit a student to the labels before it; goes on where it was killed."""
    from halmd.distill.settings import load_distill
    from halmd.distill.stages import fit_student, printable

    settings = load_distill(config)
    typer.echo(str(fit_student(settings, student, printable(settings, student))))


def validate_potential(config: Config) -> None:
    """Judge the finished student on what it never saw, and register it with its card.

    A missed bar is said, here and in the card, and is no error.
    """
    from halmd.distill.card import register
    from halmd.distill.judge import validate_potential as judge
    from halmd.distill.settings import load_distill
    from halmd.distill.stages import printable

    settings = load_distill(config)
    found = judge(settings, printable(settings, "validation"))
    for line in found["summary"]:
        typer.echo(line)
    typer.echo(f"{register(settings, found)}: registered; use it with `potential: {settings.name}`")


def distill(context: typer.Context, config: Config) -> None:
    """Make a potential, snapshots to validation, with Snakemake, to which further options go."""
    from halmd.distill.distill import run_distill, summary_lines

    settings, code = run_distill(config, context.args)
    if code:
        raise typer.Exit(code)
    for line in summary_lines(settings):
        typer.echo(line)
