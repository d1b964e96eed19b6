#!/usr/bin/env python3
"""Submit a job script of Snakemake's: `submit.py SCRIPT` prints the name of the job."""

import json
import shlex
import subprocess
import sys
import uuid
from pathlib import Path

from queues import FOLDER, Needs, job_number, submit_command

PROPERTIES = "# properties = "


def wrapped(script: Path, token: str) -> Path:
    """A script that runs Snakemake's, here, and leaves its exit code."""
    here, run, left, part = (
        shlex.quote(str(path))
        for path in (
            Path.cwd(),
            script.resolve(),
            (FOLDER / f"{token}.exit").resolve(),
            (FOLDER / f"{token}.part").resolve(),
        )
    )
    text = f"""\
#!/bin/sh
cd {here} || exit 1
/bin/sh {run}
code=$?
echo $code > {part} && mv {part} {left}
exit $code
"""
    path = FOLDER / f"{token}.sh"
    path.write_text(text)
    path.chmod(0o755)
    return path.resolve()


def main() -> None:
    """Submit, and print queue, number and the word under which the job leaves its end."""
    script = Path(sys.argv[1])
    (line,) = (x for x in script.read_text().splitlines() if x.startswith(PROPERTIES))
    job = json.loads(line.removeprefix(PROPERTIES))
    resources = job["resources"]
    queue = resources["queue"]
    token = uuid.uuid4().hex[:12]
    FOLDER.mkdir(parents=True, exist_ok=True)
    needs = Needs(
        name=job.get("rule") or job["groupid"],
        threads=job["threads"],
        mem_mb=resources["mem_mb"],
        minutes=resources["runtime"],
        gpus=resources.get("gpu", 0),
        log=(FOLDER / f"{token}.log").resolve(),
        options=tuple(shlex.split(resources.get("queue_options", ""))),
    )
    try:
        command = submit_command(queue, needs, wrapped(script, token))
    except KeyError:
        sys.exit(f"submit.py: the resource queue is {queue!r}, and none of pbs, sge, lsf")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"submit.py: {shlex.join(command)} failed with exit code {done.returncode}")
    print(f"{queue}/{job_number(queue, done.stdout)}/{token}")


if __name__ == "__main__":
    main()
