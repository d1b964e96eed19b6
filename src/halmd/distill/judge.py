"""`halmd validate-potential`: the finished student against its teacher, on what it never saw.

Every part is written when it is done and not done again, so a killed validation goes on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from halmd.distill.cells import (
    npt_frames,
    one_of_each_family,
    relaxed_cells,
    reweighted_volume,
    teacher_volume_A3,
)
from halmd.distill.diffusivity import compare_diffusivities
from halmd.distill.errors import Compared, compare, errors, grouped
from halmd.distill.fit import usable
from halmd.distill.label import Labelled, label, read_labelled
from halmd.distill.parity import parity_figure
from halmd.distill.robustness import collapse_test, pair_scan
from halmd.distill.settings import DistillSettings
from halmd.distill.stability import agreement_on_the_way, long_run
from halmd.distill.stages import (
    all_starts,
    all_test,
    committee,
    model_file,
    native_of,
)
from halmd.distill.starts import Start
from halmd.dynamics.uncertainty import committee_forces, force_spread_eV_per_A
from halmd.errors import HalmdError
from halmd.files import read_json, sha256, whole_file, write_json
from halmd.potentials.evaluators import native_calculator
from halmd.report.diagnostics import write_figure

_USUAL = 0.99
_SHARE_ABOVE = 0.05
_HEAD = ("schema_version", "halmd_version")
_DEAR = ("stability", "diffusivity")
"""Parts that take an hour and more."""

Say = Callable[[str], None]
Record = dict[str, Any]


def validate_potential(settings: DistillSettings, say: Say) -> Record:
    """Judge the student and write validation.json; returns its content.

    Raises HalmdError when the student or the labels of the test are missing.
    """
    model = model_file(settings, "final")
    if not model.exists():
        raise HalmdError(f"{model}: no such student; run `halmd fit` first")
    native = native_of(model)
    checksum = sha256(model)
    # Another student is judged anew, beside what was found of the one before.
    folder = settings.folder / "validation" / checksum[:12]
    cache = settings.folder / "native-cache"
    starts = all_starts(settings)
    parts: dict[str, Callable[[], Record]] = {
        "errors": lambda: _held_out_errors(settings, native, cache, folder),
        "pairs": lambda: _pairs(settings, starts, native, cache),
        "cells": lambda: _cells(settings, starts, native, cache, folder, say),
        "collapse": lambda: _collapse(settings, starts, native, cache),
        "uncertainty": lambda: _uncertainty(settings, native, cache),
        "stability": lambda: _stability(settings, starts, native, cache, folder / "stability", say),
        "diffusivity": lambda: compare_diffusivities(
            settings, starts, native, cache, folder / "diffusivity"
        ),
    }
    found: Record = {name: {} for name in parts}
    for name, part in parts.items():
        path = folder / f"{name}.json"
        if not path.exists():
            if name in _DEAR and settings.round < settings.rounds and _missed(found, settings):
                say(f"{name}: not judged, because another round follows anyway")
                continue
            say(f"judging {name}")
            write_json(path, part())
        found[name] = {k: v for k, v in read_json(path).items() if k not in _HEAD}
    verdicts = bars(found, settings)
    record = {
        "name": settings.name,
        "model_sha256": checksum,
        **found,
        "bars_hold": all(verdict.holds for verdict in verdicts),
        "to_explore": families_to_explore(verdicts),
        "summary": [f"{'holds' if v.holds else 'FAILS'}: {v.text}" for v in verdicts],
    }
    write_json(settings.folder / "validation.json", record)
    return record


@dataclass(frozen=True)
class Verdict:
    """One bar in words with the figure found, and whether it holds."""

    text: str
    holds: bool
    family: str | None = None
    """The family it is about, if it is about one of this distillation's own."""


def bars(found: Record, settings: DistillSettings) -> list[Verdict]:
    """The verdict on each bar."""
    wanted = settings.bars
    own = {family.name for family in settings.families}
    verdicts = []

    def judged(text: str, holds: bool, family: str | None = None) -> None:
        where = f"{family}: " if family else ""
        verdicts.append(Verdict(where + text, bool(holds), family if family in own else None))

    for family, record in found["errors"]["by_family"].items():
        relative, energy = record["force_relative"], record["energy_rmse_meV_per_atom"]
        mobile = record["by_species"][settings.mobile]["force_rmse_meV_per_A"]
        judged(f"forces {relative:.1%} of their RMS", relative <= wanted.force_relative, family)
        judged(
            f"forces on {settings.mobile} {mobile:.0f} meV/Å",
            mobile <= wanted.mobile_force_meV_per_A,
            family,
        )
        judged(f"energy {energy:.2f} meV/atom", energy <= wanted.energy_meV_per_atom, family)
    low, high = wanted.slope
    for species, record in found["errors"]["all"]["by_species"].items():
        slope = record["force_slope"]
        judged(f"{species}: slope of forces {slope:.3f}", low <= slope <= high)
    for family, record in found["cells"].items():
        if "failed" in record:
            judged(f"volume: {record['failed']}", False, family)
            continue
        at_rest, npt = record["relaxed_student_over_teacher"], record["npt"]
        judged(
            f"volume at 0 K {at_rest:.4f} of the teacher's",
            abs(at_rest - 1) <= wanted.volume_at_rest,
            family,
        )
        judged(
            f"volume at {record['npt_temperature_K']:.0f} K "
            f"{npt['student_over_teacher']:.4f} of the teacher's",
            abs(npt["student_over_teacher"] - 1) <= wanted.volume_in_npt,
            family,
        )
    holes = [pair for pair, record in found["pairs"].items() if not record["repulsive"]]
    judged(f"pairs with a hole: {', '.join(holes) or 'none'}", not holes)
    for family, record in found["collapse"].items():
        how = record["why"] or f"{record['length_ps']:.0f} ps"
        judged(f"compressed by 15 % at 1200 K: {how}", record["stable"], family)
    for family, record in found["stability"].items():
        how = record["why"] or ("melts" if record["melted"] else "stays a crystal")
        judged(
            f"{record['length_ps']:.0f} ps at 800 K: {how}, forces on the way "
            f"{record['force_relative']:.1%} of their RMS",
            record["stable"] and record["force_relative"] <= wanted.force_relative,
            family,
        )
    for where, record in found["diffusivity"].items():
        text = (
            f"{where}: D {record['student_D_cm2_per_s']:.2e} ± "
            f"{record['student_error_cm2_per_s']:.1e}, teacher {record['teacher_D_cm2_per_s']:.2e} "
            f"± {record['teacher_error_cm2_per_s']:.1e} cm²/s"
        )
        judged(text, record["agrees"])
    return verdicts


def _missed(found: Record, settings: DistillSettings) -> bool:
    return not all(verdict.holds for verdict in bars(found, settings))


def families_to_explore(verdicts: Sequence[Verdict]) -> list[str]:
    """Families that miss a bar; none (which is: all) where what is missed is of no family."""
    missed = {verdict.family for verdict in verdicts if not verdict.holds}
    return sorted(family for family in missed if family) if None not in missed else []


def _held_out_errors(settings: DistillSettings, native: Path, cache: Path, folder: Path) -> Record:
    data = usable(all_test(settings), settings.student.max_force_eV_per_A)
    with _pool(settings) as pool:
        parts = [data[k :: settings.workers] for k in range(settings.workers)]
        found = pool.map(_compare_part, parts, [native] * len(parts), [cache] * len(parts))
        rows = [row for part in found for row in part]
    write_figure(parity_figure(rows, settings.mobile), folder / "parity.png")
    composition = {start.tag: start for start in all_starts(settings)}
    families = [family for each in settings.with_included() for family in each.families]
    every = [item for family in families for item in family.compositions]
    learnt = {item.formula for item in every if not item.held_out}
    never = {item.formula for item in every} - learnt

    def formula(row: Compared) -> str:
        return composition[str(row.info["start"])].composition

    return {
        "all": errors(rows),
        "by_family": grouped(rows, lambda row: str(row.info["family"])),
        "by_temperature": grouped(rows, lambda row: f"{row.info['temperature_K']:g} K"),
        "by_composition": grouped(rows, formula),
        "compositions_never_trained_on": sorted(never),
    }


def _compare_part(part: Sequence[Labelled], native: Path, cache: Path) -> list[Compared]:
    calculator = native_calculator(native, cache)
    return [compare(entry, calculator) for entry in part]


def _pairs(settings: DistillSettings, starts: list[Start], native: Path, cache: Path) -> Record:
    with _pool(settings) as pool:
        return pool.submit(_pairs_job, starts, native, cache, trained_elements(starts)).result()


def _pairs_job(starts: list[Start], native: Path, cache: Path, species: list[str]) -> Record:
    return pair_scan([start.atoms for start in starts], native_calculator(native, cache), species)


def _uncertainty(settings: DistillSettings, native: Path, cache: Path) -> Record:
    """What disagreement of the committee is usual on the test, and whether it tells of errors.

    The threshold of a run is the largest disagreement about an atom that all but one of a hundred
    held-out snapshots stay below; more than one look in twenty above it is extrapolation.
    """
    if not settings.committee:
        return {}
    members = [native, *(native_of(model_file(settings, name)) for name in committee(settings))]
    data = usable(all_test(settings), settings.student.max_force_eV_per_A)
    with _pool(settings) as pool:
        parts = [data[k :: settings.workers] for k in range(settings.workers)]
        found = pool.map(_spread_part, parts, [members] * len(parts), [cache] * len(parts))
        spread, error = np.concatenate(list(found)).T
    return {
        "members": len(members),
        "force_std_eV_per_A": float(np.quantile(spread, _USUAL)),
        "share": _SHARE_ABOVE,
        "definition": "largest over atoms of the committee's standard deviation of the force, "
        f"{_USUAL:.0%} quantile over held-out snapshots",
        "median_eV_per_A": float(np.median(spread)),
        "rank_correlation_with_error": float(spearmanr(spread, error).statistic),
    }


def _spread_part(
    part: Sequence[Labelled], members: Sequence[Path], cache: Path
) -> NDArray[np.float64]:
    """For each snapshot the largest disagreement and the largest error of a force, in eV/Å."""
    calculators = [native_calculator(member, cache) for member in members]
    rows = []
    for entry in part:
        forces = committee_forces(entry.atoms, calculators)
        error = np.linalg.norm(forces[0] - entry.forces_eV_per_A, axis=1)
        rows.append((force_spread_eV_per_A(forces).max(), error.max()))
    return np.array(rows)


def trained_elements(starts: Sequence[Start]) -> list[str]:
    """Elements of the compositions that were trained on, sorted."""
    return sorted(
        {s for start in starts if not start.held_out for s in start.atoms.get_chemical_symbols()}
    )


def trained_crystals(starts: Sequence[Start]) -> list[str]:
    """Prototypes of the orderings that were trained on, sorted."""
    return sorted({start.prototype for start in starts if not start.held_out})


def _cells(
    settings: DistillSettings,
    starts: list[Start],
    native: Path,
    cache: Path,
    folder: Path,
    say: Say,
) -> Record:
    snapshots = folder / "cells.extxyz"
    chosen = one_of_each_family(starts)
    if not snapshots.exists():
        with _pool(settings) as pool:
            parts = pool.map(
                _cells_job,
                chosen,
                [native] * len(chosen),
                [cache] * len(chosen),
                [settings.seed] * len(chosen),
            )
            frames = [frame for part in parts for frame in part]
        with whole_file(snapshots) as temporary:
            ase.io.write(temporary, frames, format="extxyz")
    labels = folder / "labels-cells"
    label(snapshots, settings.teacher, labels, workers=settings.workers, say=say)
    data = read_labelled(snapshots, settings.teacher, labels)
    return {start.family: _cell_record(start, data) for start in chosen}


def _cells_job(start: Start, native: Path, cache: Path, seed: int) -> list[Any]:
    """Frames of one ordering; none of a part in which the student does not hold the cell."""
    calculator = native_calculator(native, cache)
    frames: list[Any] = []
    # What a bad student does to a cell ends in whatever its evaluator stumbles over.
    failures = (ValueError, RuntimeError, FloatingPointError)
    with suppress(*failures):
        frames += relaxed_cells(start, calculator)
    with suppress(*failures):
        frames += npt_frames(start, calculator, seed=seed)
    return frames


def _cell_record(start: Start, data: Sequence[Labelled]) -> Record:
    mine = [entry for entry in data if entry.atoms.info["start"] == start.tag]
    rest = [entry for entry in mine if entry.atoms.info["origin"] == "relaxed"]
    hot = [entry for entry in mine if entry.atoms.info["origin"] == "npt500"]
    volumes = np.array([entry.atoms.get_volume() for entry in rest])
    pressures = np.array([-entry.stress_eV_per_A3[:3].mean() for entry in rest])
    if not rest or not hot:
        return {"ordering": start.tag, "failed": "the student does not hold the cell"}
    try:
        wanted = teacher_volume_A3(volumes, pressures)
    except ValueError as error:
        return {"ordering": start.tag, "failed": f"the teacher on the relaxed cell: {error}"}
    temperature_K = float(hot[0].atoms.info["temperature_K"])
    return {
        "ordering": start.tag,
        "atoms": len(start.atoms),
        "relaxed_student_A3_per_atom": float(np.median(volumes)) / len(start.atoms),
        "relaxed_student_over_teacher": float(np.median(volumes)) / wanted,
        "npt_temperature_K": temperature_K,
        "npt": reweighted_volume(
            np.array([entry.atoms.get_volume() for entry in hot]),
            np.array([float(entry.atoms.info["student_energy_eV"]) for entry in hot]),
            np.array([entry.energy_eV for entry in hot]),
            temperature_K,
        ),
    }


def _collapse(settings: DistillSettings, starts: list[Start], native: Path, cache: Path) -> Record:
    chosen = one_of_each_family(starts)
    with _pool(settings) as pool:
        ends = pool.map(
            _collapse_job,
            chosen,
            [native] * len(chosen),
            [cache] * len(chosen),
            [settings.bars.collapse_ps] * len(chosen),
        )
        return {
            start.family: {"ordering": start.tag, **end}
            for start, end in zip(chosen, ends, strict=True)
        }


def _collapse_job(start: Start, native: Path, cache: Path, length_ps: float) -> Record:
    return collapse_test(start.atoms, native_calculator(native, cache), length_ps=length_ps)


def _stability(
    settings: DistillSettings,
    starts: list[Start],
    native: Path,
    cache: Path,
    folder: Path,
    say: Say,
) -> Record:
    chosen = one_of_each_family(starts)
    length_ps = settings.bars.stability_ps
    with _pool(settings) as pool:
        runs = [
            pool.submit(
                long_run,
                start,
                native,
                cache,
                folder / start.tag,
                mobile=settings.mobile,
                length_ps=length_ps,
                seed=settings.seed,
            )
            for start in chosen
        ]
        files = [run.result() for run in runs]
    data = []
    for frames in files:
        labels = frames.parent / "labels"
        label(frames, settings.teacher, labels, workers=settings.workers, say=say)
        data.append(read_labelled(frames, settings.teacher, labels))
    with _pool(settings) as pool:
        notes = [frames.with_name("run.json") for frames in files]
        count = len(chosen)
        found = pool.map(agreement_on_the_way, data, notes, [native] * count, [cache] * count)
        return {start.family: record for start, record in zip(chosen, found, strict=True)}


def _pool(settings: DistillSettings) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn"))
