"""Commands that make structures: structure, add, prototypes, compositions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from halmd.cli_options import load_for, settings_of
from halmd.config import DiffusionSettings, StructureSettings
from halmd.errors import HalmdError

_STRUCTURE = StructureSettings()
_DIFFUSION = DiffusionSettings()


def structure(
    formula: Annotated[str, typer.Argument(help="For example Li3YCl6.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the orderings.")],
    prototype: Annotated[
        str | None, typer.Option(help="Name or CIF; by formula if left out.")
    ] = None,
    mobile: Annotated[str, typer.Option(help="Element that diffuses.")] = _DIFFUSION.mobile,
    site_fraction: Annotated[
        list[str] | None, typer.Option(help="Occupancy of a site, as Y2=1.0; may be repeated.")
    ] = None,
    oxidation_state: Annotated[
        list[str] | None, typer.Option(help="Where the formula leaves it open, as Fe=3.")
    ] = None,
    seed: int = 0,
    min_length_A: Annotated[float, typer.Option("--min-length-A")] = _STRUCTURE.min_length_A,
    max_atoms: int = _STRUCTURE.max_atoms,
    composition_tolerance: float = _STRUCTURE.composition_tolerance,
    beyond_tolerance: Annotated[
        str, typer.Option(help="refuse or nearest.")
    ] = _STRUCTURE.beyond_tolerance,
    n_orderings: int = _STRUCTURE.n_orderings,
    ordering_temperature_K: Annotated[
        float, typer.Option("--ordering-temperature-K")
    ] = _STRUCTURE.ordering_temperature_K,
    monte_carlo_steps: int = _STRUCTURE.monte_carlo_steps,
    sampling: Annotated[
        str, typer.Option(help="boltzmann, random or low_energy.")
    ] = _STRUCTURE.sampling,
    sqs: Annotated[
        bool, typer.Option("--sqs/--no-sqs", help="Metals special-quasirandom.")
    ] = _STRUCTURE.sqs,
    rank_by: Annotated[str, typer.Option(help="ewald, potential or relaxed.")] = _STRUCTURE.rank_by,
    candidates: Annotated[
        int, typer.Option(help="Drawn for each one kept, where the potential ranks.")
    ] = _STRUCTURE.candidates,
    potential: Annotated[
        Path | None, typer.Option(help="potential.json, where the potential ranks.")
    ] = None,
    accept_extrapolation: bool = False,
) -> None:
    """Build supercells and orderings of a material."""
    from halmd.composition import check_neutral
    from halmd.structures.structure import build_orderings, summary, write_orderings

    settings = settings_of(
        StructureSettings,
        min_length_A=min_length_A,
        max_atoms=max_atoms,
        composition_tolerance=composition_tolerance,
        beyond_tolerance=beyond_tolerance,
        n_orderings=n_orderings,
        ordering_temperature_K=ordering_temperature_K,
        monte_carlo_steps=monte_carlo_steps,
        sampling=sampling,
        sqs=sqs,
        rank_by=rank_by,
        candidates=candidates,
    )
    states = {
        element: round(state)
        for element, state in _numbers("--oxidation-state", oxidation_state or []).items()
    }
    check_neutral(formula, mobile, states)
    energy = None
    if settings.rank_by != "ewald" and potential is not None:
        energy = _energy(formula, potential, settings, accept_extrapolation)
    found = build_orderings(
        formula,
        settings,
        seed=seed,
        mobile=mobile,
        prototype=prototype,
        site_fractions=_numbers("--site-fraction", site_fraction or []),
        fixed_states=states,
        energy=energy,
    )
    write_orderings(found, output)
    made = summary(found)
    confidence = made["confidence"].upper() if made["confidence"] == "low" else made["confidence"]
    n = len(found.orderings)
    typer.echo(
        f"{formula}: {n} ordering{'s' if n > 1 else ''} of {made['achieved_formula']}, "
        f"{made['atoms']} atoms, from {made['prototype']} (confidence: {confidence})"
    )
    for words in made["cautions"]:
        typer.echo(f"  caution: {words}")


def _energy(
    formula: str, potential: Path, settings: StructureSettings, accept_extrapolation: bool
) -> Any:
    """Energy of a structure by a prepared potential, relaxed first where the settings say so."""
    from halmd.composition import parse_formula
    from halmd.structures.rerank import calculator_energy

    loaded = load_for(parse_formula(formula), potential, accept_extrapolation)
    relax = settings.rank_by == "relaxed"
    return calculator_energy(loaded.calculator, relax=relax, relax_cell=relax)


def _numbers(option: str, words: list[str]) -> dict[str, float]:
    """Read options such as Y2=0.5."""
    numbers = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise HalmdError(f"{option} {word}: write a name and a number, as Y2=0.5") from None
    return numbers


def add(
    compositions: Annotated[
        list[str],
        typer.Argument(help="Formulas, or a series: 'Li{3-x}In{1-x}Zr{x}Cl6' x=0:0.5:0.1"),
    ],
    config: Annotated[Path, typer.Option(help="The campaign file.")] = Path("config.yaml"),
    prototype: Annotated[
        str | None, typer.Option(help="Name or CIF; by formula if left out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the results folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, write nothing.")] = False,
) -> None:
    """Add compositions to a campaign and say what will be built of each."""
    from halmd.add import check, prepare, write

    addition = prepare(config, compositions, prototype=prototype, name=name)
    for line in addition.lines():
        typer.echo(line)
    check(addition)
    if not addition.plans:
        typer.echo(f"{config}: nothing to add")
        return
    if not dry_run:
        write(addition)
    n = len(addition.plans)
    typer.echo(
        f"{config}: {n} material{'s' if n > 1 else ''} {'would be ' * dry_run}added, "
        f"{addition.n_runs} runs; `halmd run {config}` runs only what is new"
    )


def prototypes(
    min_length_A: Annotated[float, typer.Option("--min-length-A")] = 9.5,
    max_atoms: int = _STRUCTURE.max_atoms,
) -> None:
    """Build one ordering of every prototype and print the table."""
    from rich.console import Console

    from halmd.structures.table import prototype_table, render

    settings = settings_of(StructureSettings, min_length_A=min_length_A, max_atoms=max_atoms)
    Console(width=max(120, Console().width)).print(render(prototype_table(settings)))


def compositions(
    min_length_A: Annotated[float, typer.Option("--min-length-A")] = 9.5,
    max_atoms: int = _STRUCTURE.max_atoms,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table as Markdown.")
    ] = None,
) -> None:
    """Build one ordering of every composition of the review and print the table."""
    from rich.console import Console

    from halmd.files import write_text
    from halmd.structures.table import (
        composition_table,
        compositions_markdown,
        render_compositions,
    )

    settings = settings_of(StructureSettings, min_length_A=min_length_A, max_atoms=max_atoms)
    rows = composition_table(settings)
    if output is not None:
        write_text(output, compositions_markdown(rows))
    Console(width=max(170, Console().width)).print(render_compositions(rows))
