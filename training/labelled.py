"""The labelled snapshots of a distillation as a few small files, and back.

    python training/labelled.py pack training/halmd-halide-1.yaml
    python training/labelled.py unpack training/halmd-halide-1.yaml

`pack` writes training/labelled/NAME/: orderings and snapshots as they are, and every term's labels
as whole numbers of what they are rounded to, with SHA256SUMS. `unpack` checks the sums and puts all
of it where `halmd fit` and `halmd validate-potential` look for it; what is there already is left.
"""

import argparse
import io
import json
import lzma
from pathlib import Path

import ase.io
import numpy as np

from halmd.distill.settings import DistillSettings, load_distill
from halmd.distill.stages import snapshot_file, stage_names
from halmd.files import sha256, whole_file, write_text

FOLDER = Path(__file__).resolve().parent / "labelled"
SUMS = "SHA256SUMS"
UNITS = {"energies_eV": None, "forces_eV_per_A": 1e-4, "stresses_eV_per_A3": 1e-8}
"""Labels, and what `halmd label` rounds them to; energies are kept as they are."""

NOT_COMPUTED = np.iinfo(np.int32).min


def texts(settings: DistillSettings) -> list[Path]:
    """Orderings, and the snapshots of every stage."""
    stages = [snapshot_file(settings, stage) for stage in stage_names(settings)]
    return [settings.folder / "starts.extxyz", *stages]


def pack(settings: DistillSettings) -> None:
    """Write the archive of a distillation whose stages are all labelled."""
    target = FOLDER / settings.name
    target.mkdir(parents=True, exist_ok=True)
    for path in texts(settings):
        (target / f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
    for stage in stage_names(settings):
        for term in settings.teacher.terms:
            shards = sorted((settings.folder / "labels" / stage / term.name).glob("[0-9]*.npz"))
            parts = [np.load(shard) for shard in shards]
            arrays = {name: np.concatenate([part[name] for part in parts]) for name in UNITS}
            (target / f"{stage}-{term.name}.npz.xz").write_bytes(squeezed(arrays))
    files = sorted(path for path in target.iterdir() if path.name != SUMS)
    write_text(target / SUMS, "".join(f"{sha256(path)}  {path.name}\n" for path in files))
    size_MB = sum(path.stat().st_size for path in files) / 1e6
    print(f"{target}: {len(files)} files, {size_MB:.1f} MB, {SUMS} {sha256(target / SUMS)}")


def unpack(settings: DistillSettings) -> None:
    """Put the files of an archive where the commands look for them."""
    source = FOLDER / settings.name
    for line in (source / SUMS).read_text().splitlines():
        checksum, name = line.split()
        if sha256(source / name) != checksum:
            raise SystemExit(f"{source / name}: damaged (its SHA-256 is not the one in {SUMS})")
    for path in texts(settings):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as temporary:
                temporary.write_bytes(lzma.decompress((source / f"{path.name}.xz").read_bytes()))
    for stage in stage_names(settings):
        snapshots = snapshot_file(settings, stage)
        sizes = [len(atoms) for atoms in ase.io.read(snapshots, ":", format="extxyz")]
        for term in settings.teacher.terms:
            folder = settings.folder / "labels" / stage / term.name
            folder.mkdir(parents=True, exist_ok=True)
            made_of = {
                "snapshots_sha256": sha256(snapshots),
                "calculator": term.calculator,
                "arguments": term.arguments,
            }
            write_text(folder / "made-of.json", json.dumps(made_of))
            arrays = expanded((source / f"{stage}-{term.name}.npz.xz").read_bytes())
            write_shards(arrays, sizes, settings.teacher.shard, folder)
    print(f"{settings.folder}: {len(stage_names(settings))} stages with their labels")


def squeezed(arrays: dict[str, np.ndarray]) -> bytes:
    """Labels as xz-compressed npz, in whole units where UNITS has one."""
    whole = {}
    for name, unit in UNITS.items():
        values = arrays[name]
        if unit is not None:
            counts = np.where(np.isnan(values), NOT_COMPUTED, np.rint(values / unit))
            values = counts.astype(np.int32)
        whole[name] = values
    buffer = io.BytesIO()
    np.savez(buffer, **whole)
    return lzma.compress(buffer.getvalue(), preset=9)


def expanded(packed: bytes) -> dict[str, np.ndarray]:
    """The labels that `squeezed` was given: forces in float32, all else in float64."""
    with np.load(io.BytesIO(lzma.decompress(packed))) as whole:
        arrays = dict(whole)
    for name, unit in UNITS.items():
        if unit is not None:
            # By division, for 3 * 1e-4 is not the number nearest to 0.0003.
            values = np.where(arrays[name] == NOT_COMPUTED, np.nan, arrays[name] / round(1 / unit))
            arrays[name] = values.astype(np.float32) if name == "forces_eV_per_A" else values
    return arrays


def write_shards(arrays: dict[str, np.ndarray], sizes: list[int], shard: int, folder: Path) -> None:
    """The labels of a stage in shards of as many snapshots as the recipe says."""
    ends = np.cumsum([0, *sizes])
    for first in range(0, len(sizes), shard):
        path = folder / f"{first:06d}.npz"
        if path.exists():
            continue
        last = min(first + shard, len(sizes))
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                energies_eV=arrays["energies_eV"][first:last],
                forces_eV_per_A=arrays["forces_eV_per_A"][ends[first] : ends[last]],
                stresses_eV_per_A3=arrays["stresses_eV_per_A3"][first:last],
                offsets=ends[first : last + 1] - ends[first],
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("config", type=Path)
    arguments = parser.parse_args()
    settings = load_distill(arguments.config)
    {"pack": pack, "unpack": unpack}[arguments.what](settings)


if __name__ == "__main__":
    main()
