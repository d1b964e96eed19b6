"""What a card says of its student, as Markdown tables.

    python training/tables.py src/halmd/potentials/shipped/halmd-halide-1/card.json

Takes a validation.json of `halmd validate-potential` as well.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One table."""
    print(f"{title}\n\n| {' | '.join(headings)} |\n|---{'|---' * (len(headings) - 1)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def errors(name: str, found: Record, mobile: str) -> list[str]:
    """A group of held-out snapshots: energies in meV/atom, forces in meV/Å."""
    ion = found["by_species"][mobile]
    return [
        name,
        str(found["snapshots"]),
        f"{found['energy_rmse_meV_per_atom']:.2f}",
        f"{found['force_rmse_meV_per_A']:.0f} ({found['force_relative']:.1%})",
        f"{ion['force_rmse_meV_per_A']:.0f}",
        f"{found['pressure_rmse_GPa']:.3f}",
    ]


def tables(found: Record, mobile: str) -> None:
    """All that was judged."""
    held_out = found["errors"]
    headings = [
        "snapshots",
        "energy, meV/atom",
        "force, meV/Å (of its RMS)",
        mobile,
        "pressure, GPa",
    ]
    for title, key in (("By family", "by_family"), ("By temperature", "by_temperature")):
        groups = dict(sorted(held_out[key].items(), key=lambda item: (len(item[0]), item[0])))
        rows = [errors(name, record, mobile) for name, record in groups.items()]
        show(title, ["", *headings], [*rows, errors("all", held_out["all"], mobile)])
    never = held_out["compositions_never_trained_on"]
    rows = [errors(name, held_out["by_composition"][name], mobile) for name in never]
    show("Compositions never trained on", ["", *headings], rows)
    rows = [
        [name, f"{record['force_rmse_meV_per_A']:.0f}", f"{record['force_slope']:.3f}"]
        for name, record in held_out["all"]["by_species"].items()
    ]
    show("By element", ["", "force, meV/Å", "slope on the teacher's"], rows)
    rows = [
        [
            family,
            record.get("failed") or f"{record['relaxed_student_over_teacher']:.4f}",
            "" if "failed" in record else f"{record['npt']['student_over_teacher']:.4f}",
            found["collapse"][family]["why"] or "holds",
            long_run(found["stability"].get(family)),
        ]
        for family, record in found["cells"].items()
    ]
    headings = ["volume at 0 K", "volume at 500 K", "squeezed by 15 %, 1200 K", "long run at 800 K"]
    show("Cells (student over teacher) and stability", ["", *headings], rows)
    rows = [
        [
            where,
            diffusivity(record, "student"),
            diffusivity(record, "teacher"),
            "yes" if record["agrees"] else "NO",
        ]
        for where, record in found["diffusivity"].items()
    ]
    if rows:
        show(f"D of {mobile}, 1e-5 cm²/s", ["", "student", "teacher", "agree"], rows)
    missed = [line for line in found["summary"] if line.startswith("FAILS")]
    print(f"{len(found['summary']) - len(missed)} of {len(found['summary'])} bars hold.")
    for line in missed:
        print(f"- {line}")


def diffusivity(record: Record, whose: str) -> str:
    """A diffusivity and its standard error in 1e-5 cm²/s."""
    value, error = (1e5 * record[f"{whose}_{what}_cm2_per_s"] for what in ("D", "error"))
    return f"{value:.2f} ± {error:.2f}"


def long_run(record: Record | None) -> str:
    """How a long run ended."""
    if record is None:
        return ""
    how = record["why"] or ("melts" if record["melted"] else "a crystal")
    return f"{record['length_ps']:.0f} ps, {how}, forces {record['force_relative']:.1%}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("--mobile", default="Li")
    arguments = parser.parse_args()
    record = json.loads(arguments.record.read_text(encoding="utf-8"))
    tables(record.get("validation", record), arguments.mobile)


if __name__ == "__main__":
    main()
