"""The fitted students of a distillation and what was judged of them, kept between machines.

    python training/fitted.py pack training/halmd-halide-1.yaml
    python training/fitted.py pack training/halmd-halide-2.yaml --weights
    python training/fitted.py unpack training/halmd-halide-1.yaml

`pack` copies students (model, parameters, settings, history) and finished parts of the judgement to
training/fitted/NAME/, with SHA256SUMS; `unpack` checks the sums and puts all of it back,
after `labelled.py unpack`: `halmd validate-potential` then goes on with what is not judged yet.
With `--weights`, of the finished student only what another fit begins with: for one that is not
good enough to be judged.
"""

import argparse
import shutil
from pathlib import Path

from halmd.distill.settings import DistillSettings, load_distill
from halmd.distill.stages import MADE_OF, explorer_of, model_file, student_names
from halmd.files import sha256, write_text

FOLDER = Path(__file__).resolve().parent / "fitted"
SUMS = "SHA256SUMS"
OF_A_FIT = (MADE_OF, "job.json", "parameters.pt", "history.jsonl")


def kept(settings: DistillSettings) -> list[Path]:
    """Files worth keeping, below the folder of the distillation."""
    found: list[Path] = []
    finished = [name for name in student_names(settings) if not name.startswith("explorer-")]
    # In whose cells teacher and student diffuse.
    for student in dict.fromkeys([*finished, explorer_of(settings, "test")]):
        model = model_file(settings, student)
        if model.is_file():
            found += [model, *(model.with_name(name) for name in OF_A_FIT)]
    final = model_file(settings, "final")
    if final.is_file():
        judged = settings.folder / "validation" / sha256(final)[:12]
        found += sorted(judged.glob("*.json"))
    return [path for path in found if path.is_file()]


def weights(settings: DistillSettings) -> list[Path]:
    """What another fit begins with."""
    model = model_file(settings, "final")
    return [path for name in OF_A_FIT if (path := model.with_name(name)).is_file()]


def pack(settings: DistillSettings, *, only_weights: bool = False) -> None:
    """Copy them into the repository, in place of what was there."""
    target = FOLDER / settings.name
    shutil.rmtree(target, ignore_errors=True)
    lines = []
    for path in weights(settings) if only_weights else kept(settings):
        name = path.relative_to(settings.folder)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / name)
        lines.append(f"{sha256(path)}  {name.as_posix()}\n")
    if not lines:
        raise SystemExit(f"{settings.folder}: no student is fitted")
    write_text(target / SUMS, "".join(lines))
    print(f"{target}: {len(lines)} files")


def unpack(settings: DistillSettings) -> None:
    """Put them back; what is there already is left."""
    source = FOLDER / settings.name
    for line in (source / SUMS).read_text().splitlines():
        checksum, name = line.split()
        if sha256(source / name) != checksum:
            raise SystemExit(f"{source / name}: damaged (its SHA-256 is not the one in {SUMS})")
        path = settings.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Of now, and so newer than the labels: nothing is fitted again.
            shutil.copyfile(source / name, path)
    print(f"{settings.folder}: students and what was judged of them")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("config", type=Path)
    parser.add_argument("--weights", action="store_true", help="no more than a fit needs")
    arguments = parser.parse_args()
    settings = load_distill(arguments.config)
    if arguments.what == "unpack":
        unpack(settings)
    else:
        pack(settings, only_weights=arguments.weights)


if __name__ == "__main__":
    main()
