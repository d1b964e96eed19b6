"""From a teacher to a validated student potential: `halmd distill CONFIG` runs this.

Labels, checkpoints of fits and single MD runs are no outputs of a rule: Snakemake deletes the outputs
of jobs that fail, and those are what a killed job goes on from. Outputs are the files written last.
"""

import sys
from pathlib import Path

from halmd.distill.distill import (
    load_checked,
    needed_by_fit,
    needed_by_snapshots,
    needed_by_validation,
    validation_file,
)
from halmd.distill.stages import model_file, stage_names, student_names
from halmd.errors import HalmdError

try:
    if "recipe" not in config:
        raise HalmdError("name the distillation file: halmd distill CONFIG, or --config recipe=CONFIG")
    RECIPE = str(config["recipe"])
    SETTINGS = load_checked(Path(RECIPE))
except HalmdError as error:
    # Snakemake would wrap an exception in a traceback; a person gets one line.
    print(f"halmd: error: {error}", file=sys.stderr)
    sys.exit(2)

FOLDER = SETTINGS.folder
VALIDATION = validation_file(SETTINGS)


def one_of(names):
    """A pattern for any of these names."""
    return "|".join(name.replace(".", r"\.").replace("+", r"\+") for name in names)


wildcard_constraints:
    stage=one_of(stage_names(SETTINGS)),
    student=one_of(student_names(SETTINGS)),
    model=one_of(model_file(SETTINGS, student).stem for student in student_names(SETTINGS)),


rule distilled:
    default_target: True
    input:
        VALIDATION,


include: "rules/distill.smk"
