"""The profile for PBS, SGE and LSF, with a queue that is a shell script."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROFILE = REPOSITORY / "workflow" / "profiles" / "generic"

QSUB = """\
#!/bin/sh
# Like that of PBS: the last word is the script; it runs by itself, and a number is said.
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
    echo "qstat: Unknown Job Id" >&2
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


def queue_in(folder: Path) -> Path:
    """A folder of commands that stand in for those of PBS."""
    commands = folder / "bin"
    commands.mkdir()
    for name, text in (("qsub", QSUB), ("qstat", QSTAT), ("qdel", QDEL)):
        path = commands / name
        path.write_text(text.format(folder=folder))
        path.chmod(0o755)
    return commands


@pytest.mark.workflow
@pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="snakemake-executor-plugin-cluster-generic is not installed",
)
def test_a_batch_out_of_time_is_submitted_again_with_more(tmp_path: Path) -> None:
    record = yaml.safe_load((HERE / "tiny.yaml").read_text())
    record["structure"]["n_orderings"] = 1
    record["dynamics"] |= {
        "engine": "batched",
        "temperatures_K": [700],
        "equilibration_ps": 0.2,
        "checkpoint_interval_ps": 0.4,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(record))
    shutil.copy(HERE / "toy.py", tmp_path)
    commands = queue_in(tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--workflow-profile", str(PROFILE), "work/Li3YCl6/batch.json"),
            *("--seconds-between-status-checks", "1", "--latency-wait", "5"),
            # Of one minute a job may use none; of many it may use enough.
            *("--set-resources", "batch:runtime=1 if attempt == 1 else 90"),
        ],
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HALMD_STRUCTURES": str(REPOSITORY / "structures"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    submitted = (tmp_path / "submitted").read_text().splitlines()
    assert sorted(line.split()[1] for line in submitted) == [
        "batch",
        "batch",
        "potential",
        "structures",
    ]
    first, again = (line for line in submitted if line.startswith("-N batch"))
    assert "select=1:ncpus=1:mem=8000mb:ngpus=1 -l walltime=00:01:00" in first
    assert "select=1:ncpus=1:mem=8000mb:ngpus=1 -l walltime=01:30:00" in again
    assert not any("gpu" in line for line in submitted if "-N batch" not in line)


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


@pytest.mark.parametrize(
    ("queue", "first", "wanted"),
    [
        ("pbs", "qsub", ["-l select=1:ncpus=2:mem=8001mb:ngpus=1", "-l walltime=01:01:00"]),
        ("sge", "qsub", ["-pe smp 2", "-l h_vmem=4001M", "-l h_rt=3660", "-l gpu=1"]),
        ("lsf", "bsub", ["-n 2", "-W 61", "-R rusage[mem=8001] span[hosts=1]", "-gpu num=1"]),
    ],
)
def test_what_a_queue_is_asked(
    queues: ModuleType, queue: str, first: str, wanted: list[str]
) -> None:
    needs = queues.Needs("batch", 2, 8001, 61, 1, Path("/l/og"), ("-P", "project"))
    command = queues.submit_command(queue, needs, Path("/s/cript"))
    said = " ".join(command)
    assert command[0] == first
    assert all(word in said for word in [*wanted, "-o /l/og", "-P project"])
    assert command[-1] == "/s/cript"
    assert queues.cancel_command(queue, ["1", "2"])[1:] == ["1", "2"]


def test_a_job_that_left_no_word_has_failed_after_a_while(
    tmp_path: Path, queues: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = queue_in(tmp_path)
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
