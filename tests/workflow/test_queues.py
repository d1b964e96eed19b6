"""The profile for PBS, SGE and LSF, with a queue that is a shell script."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
PROFILE = REPOSITORY / "workflow" / "profiles" / "generic"

QSUB = """\
#!/bin/sh
# Like qsub of {queue}: the last word is the script; it runs by itself, and a number is said.
echo "$@" >> {folder}/submitted
for script; do :; done
setsid "$script" > {folder}/output 2>&1 &
echo $!
"""
QSTAT = """\
#!/bin/sh
for number; do :; done
if kill -0 $number 2> /dev/null; then
    echo "Job id Name User Time Use S Queue"
    echo "$number job user 0 R work"
else
    echo "qstat: {gone}" >&2
    exit 1
fi
"""
QDEL = """\
#!/bin/sh
for number; do kill -- -$number; echo $number >> {folder}/deleted; done
"""


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PROFILE))
    import queues

    return queues


def queue_in(folder: Path, queue: str) -> Path:
    """A folder of commands that stand in for those of a queue."""
    gone = {"pbs": "Unknown Job Id", "sge": "Following jobs do not exist"}[queue]
    commands = folder / "bin"
    commands.mkdir()
    for name, text in (("qsub", QSUB), ("qstat", QSTAT), ("qdel", QDEL)):
        path = commands / name
        path.write_text(text.format(folder=folder, queue=queue, gone=gone))
        path.chmod(0o755)
    return commands


WORKFLOW = """\
rule all:
    input: "made"
rule first:
    output: "begun"
    threads: 2
    resources: gpu=1, runtime=90
    shell: "echo begun > {output}"
rule second:
    input: "begun"
    output: "made"
    retries: 1
    resources: runtime=lambda w, attempt: 10 * attempt
    # As a run that stops at a checkpoint: exit code 75, and once more.
    shell: "test -e tried || {{ touch tried; exit 75; }}; cat {input} > {output}"
"""


@pytest.mark.workflow
@pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="snakemake-executor-plugin-cluster-generic is not installed",
)
@pytest.mark.parametrize("queue", ["pbs", "sge"])
def test_snakemake_runs_through_a_queue(tmp_path: Path, queue: str) -> None:
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    commands = queue_in(tmp_path, queue)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--profile", str(PROFILE), "--cores", "2"),
            *("--default-resources", f"queue={queue}", "queue_options='-q long'", "mem_mb=300"),
            *("--seconds-between-status-checks", "1", "--latency-wait", "2"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "made").read_text() == "begun\n"
    first, second, again = (tmp_path / "submitted").read_text().splitlines()
    wanted = {
        "pbs": ["ncpus=2:mem=300mb:ngpus=1", "walltime=01:30:00"],
        "sge": ["-pe smp 2", "h_vmem=150M", "h_rt=5400", "gpu=1"],
    }[queue]
    assert all(word in first for word in [*wanted, "-N first", "-q long"])
    assert ("gpu" in second, "gpu" in again) == (False, False)
    limits = {"pbs": ("00:10:00", "00:20:00"), "sge": ("h_rt=600", "h_rt=1200")}[queue]
    assert limits[0] in second
    assert limits[1] in again


def test_what_the_queues_say(queues: ModuleType) -> None:
    """Answers as their manuals print them."""
    assert queues.job_number("pbs", "1234.server.site\n") == "1234.server.site"
    assert queues.job_number("sge", "1234\n") == "1234"
    assert queues.job_number("lsf", "Job <1234> is submitted to queue <long>.\n") == "1234"
    table = "Job id Name User Time Use S Queue\n------ ---- - - -\n1.s batch me 00:10:01 {} w\n"
    assert not queues.is_over("pbs", 0, table.format("R"))
    assert not queues.is_over("pbs", 0, table.format("Q"))
    assert queues.is_over("pbs", 0, table.format("F"))
    assert queues.is_over("pbs", 35, "qstat: 1.s Job has finished, use -x or -H to obtain it")
    assert queues.is_over("pbs", 153, "qstat: Unknown Job Id 1.s")
    # A server that does not answer has not lost a job.
    assert not queues.is_over("pbs", 111, "qstat: cannot connect to server s (errno=111)")
    assert not queues.is_over("sge", 0, "job_number: 1\nexec_file: x\n")
    assert queues.is_over("sge", 1, "Following jobs do not exist:\n1\n")
    assert not queues.is_over("lsf", 0, "PEND\n")
    assert queues.is_over("lsf", 0, "EXIT\n")
    assert queues.is_over("lsf", 255, "Job <1> is not found")


def test_a_bare_lsf_command(queues: ModuleType) -> None:
    needs = queues.Needs("batch", 1, 8000, 61, 1, Path("/l/og"), ("-P", "project"))
    command = queues.submit_command("lsf", needs, Path("/s/cript"))
    assert command[0] == "bsub"
    assert command[-4:] == ["-P", "project", "/bin/sh", "/s/cript"]
    for option, value in (("-W", "61"), ("-n", "1"), ("-gpu", "num=1"), ("-o", "/l/og")):
        assert command[command.index(option) + 1] == value
    assert queues.cancel_command("lsf", ["1", "2"]) == ["bkill", "1", "2"]


def test_a_job_that_left_no_word_has_failed_after_a_while(
    tmp_path: Path, queues: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = queue_in(tmp_path, "pbs")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    queues.FOLDER.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as job:
        name = f"pbs/{job.pid}/abc"
        assert queues.status(name) == "running"
        cancelled = [sys.executable, str(PROFILE / "cancel.py"), name]
        subprocess.run(cancelled, check=True)
        job.wait()
    assert (tmp_path / "deleted").read_text() == f"{job.pid}\n"
    # Its file may be on its way yet.
    assert queues.status(name) == "running"
    missed = queues.FOLDER / "abc.missed"
    os.utime(missed, (0, missed.stat().st_mtime - queues.GRACE_S - 1))
    assert queues.status(name) == "failed"
    (queues.FOLDER / "abc.exit").write_text("0\n")
    assert queues.status(name) == "success"
    (queues.FOLDER / "abc.exit").write_text("75\n")
    assert queues.status(name) == "failed"


def test_a_queue_that_is_not_known_is_one_line(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    resources = {"queue": "nqs", "mem_mb": 1, "runtime": 1}
    properties = json.dumps({"rule": "x", "threads": 1, "resources": resources})
    script.write_text(f"#!/bin/sh\n# properties = {properties}\ntrue\n")
    done = subprocess.run(
        [str(PROFILE / "submit.py"), str(script)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "submit.py: the resource queue is 'nqs', and none of pbs, sge, lsf\n"
