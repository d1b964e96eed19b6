"""What PBS, SGE and LSF are asked, and how a job leaves word of its end.

A queue forgets jobs, each in its own time; so a job writes its exit code into a file, and the queue
is asked only whether a job without one is still there. Needs nothing but Python itself.
"""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(".snakemake") / "queue"
GRACE_S = 60.0
"""How late a file of a node may be seen on the login node."""

GONE = {
    "pbs": re.compile(r"Unknown Job|has finished", re.IGNORECASE),
    "sge": re.compile(r"do not exist", re.IGNORECASE),
    "lsf": re.compile(r"is not found", re.IGNORECASE),
}
"""What a queue says of a job that it does not know (any more)."""

OVER = {"pbs": {"C", "F", "X"}, "sge": set(), "lsf": {"DONE", "EXIT", "ZOMBI"}}
"""States of jobs that have ended, while the queue still shows them."""


@dataclass(frozen=True)
class Needs:
    """What a job asks for."""

    name: str
    threads: int
    mem_mb: int
    minutes: int
    gpus: int
    log: Path
    options: tuple[str, ...]


def submit_command(queue: str, needs: Needs, script: Path) -> list[str]:
    """The command that submits `script`; raises KeyError for a queue that is not known."""
    time_limit = f"{needs.minutes // 60:02d}:{needs.minutes % 60:02d}:00"
    gpus = f":ngpus={needs.gpus}" if needs.gpus else ""
    commands = {
        "pbs": [
            *("qsub", "-N", needs.name[:15], "-j", "oe", "-o", str(needs.log)),
            *("-l", f"select=1:ncpus={needs.threads}:mem={needs.mem_mb}mb{gpus}"),
            *("-l", f"walltime={time_limit}", "-V"),
        ],
        "sge": [
            *("qsub", "-terse", "-N", needs.name, "-j", "y", "-o", str(needs.log)),
            *("-S", "/bin/sh", "-V", "-cwd", "-l", f"h_rt={needs.minutes * 60}"),
            # Memory is asked for each slot.
            *("-l", f"h_vmem={-(-needs.mem_mb // needs.threads)}M"),
            *(("-pe", "smp", str(needs.threads)) if needs.threads > 1 else ()),
            *(("-l", f"gpu={needs.gpus}") if needs.gpus else ()),
        ],
        "lsf": [
            *("bsub", "-J", needs.name, "-o", str(needs.log), "-n", str(needs.threads)),
            *("-W", str(needs.minutes), "-R", f"rusage[mem={needs.mem_mb}] span[hosts=1]"),
            *(("-gpu", f"num={needs.gpus}") if needs.gpus else ()),
        ],
    }
    run = ["/bin/sh", str(script)] if queue == "lsf" else [str(script)]
    return [*commands[queue], *needs.options, *run]


def job_number(queue: str, answer: str) -> str:
    """The job's number in what the submit command says."""
    found = re.search(r"<(\d+)>" if queue == "lsf" else r"^(\d\S*)", answer.strip(), re.MULTILINE)
    if found is None:
        raise ValueError(f"no job number in what {queue} says: {answer!r}")
    return found.group(1)


def cancel_command(queue: str, numbers: list[str]) -> list[str]:
    """The command that cancels jobs."""
    return ["bkill" if queue == "lsf" else "qdel", *numbers]


def status_command(queue: str, number: str) -> list[str]:
    """The command that asks for one job."""
    commands = {
        "pbs": ["qstat", number],
        "sge": ["qstat", "-j", number],
        "lsf": ["bjobs", "-noheader", "-o", "stat", number],
    }
    return commands[queue]


def is_over(queue: str, code: int, answer: str) -> bool:
    """Whether the queue says that a job has ended; a queue that does not answer says nothing."""
    if GONE[queue].search(answer):
        return True
    if code or not answer.split():
        return False
    last = answer.strip().splitlines()[-1].split()
    # PBS: id, name, user, time, state, queue.
    state = last[4] if queue == "pbs" and len(last) > 4 else last[0]
    return state in OVER[queue]


def status(identifier: str) -> str:
    """`running`, `success` or `failed`, of a job as `submit.py` named it."""
    queue, number, token = identifier.split("/")
    left = FOLDER / f"{token}.exit"
    if left.is_file():
        return "success" if left.read_text().strip() == "0" else "failed"
    done = subprocess.run(
        status_command(queue, number), capture_output=True, text=True, check=False
    )
    missed = FOLDER / f"{token}.missed"
    if not is_over(queue, done.returncode, done.stdout + done.stderr):
        missed.unlink(missing_ok=True)
        return "running"
    if not missed.exists():
        missed.touch()
    return "failed" if time.time() - missed.stat().st_mtime > GRACE_S else "running"
