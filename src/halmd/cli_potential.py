"""Commands that get a potential ready: `halmd potential NAME` and `halmd potential fetch NAME`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from halmd.cli_options import require_choice


class _PrepareUnlessTold(TyperGroup):
    """`potential NAME` is `potential prepare NAME`: a word that is no command is a name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["prepare", *args]
        return super().parse_args(ctx, args)


potential = typer.Typer(
    cls=_PrepareUnlessTold,
    no_args_is_help=True,
    help="Prepare a potential (`halmd potential NAME`), or fetch one beforehand.",
)


@potential.command()
def prepare(
    name: Annotated[str, typer.Argument(help="Registry name, .model, or module:factory.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the prepared potential.")
    ],
    evaluator: Annotated[str, typer.Option(help="auto, native or torch.")] = "auto",
) -> None:
    """Prepare a potential once: find, convert, compile, check. The word itself may be left out."""
    from halmd.files import read_json
    from halmd.potentials.potential import prepare_potential

    require_choice("--evaluator", evaluator, ("auto", "native", "torch"))
    record = read_json(prepare_potential(name, evaluator=evaluator, folder=output))
    typer.echo(f"{name}: ready, evaluator {record['evaluator']}")


@potential.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A MACE foundation model.")],
    source: Annotated[
        str | None, typer.Option("--from", help="A URL or a file in place of the published one.")
    ] = None,
    checksum: Annotated[
        str | None, typer.Option("--sha256", help="The SHA-256 that it must have.")
    ] = None,
) -> None:
    """Bring a foundation model into potentials/, where campaigns find it without internet."""
    from halmd.files import sha256
    from halmd.potentials.foundation import ACADEMIC
    from halmd.potentials.foundation import fetch as bring

    model = bring(name, source=source, checksum=checksum)
    typer.echo(f"{model}: ready to be prepared, SHA-256 {sha256(model)}")
    if name in ACADEMIC:
        typer.echo("  for academic use: https://github.com/gabor1/ASL")
