"""A real Slurm of one node on loopback: munge, controller and node as processes of this test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
CONFIGURATION = Path("/etc/slurm")
"""Where Slurm's own commands look: Snakemake's job steps strip every SLURM_* variable."""
CPUS, MEMORY_MB = 4, 16_000
_DEVICES = ("/dev/null", "/dev/zero")
"""Slurm wants a device for every GPU; any character device will do where none is used."""


def why_not() -> str:
    """Why Slurm cannot be brought up here; empty where it can."""
    search = f"{os.environ['PATH']}:/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=search) is None]
    if missing:
        return f"Slurm is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "bringing Slurm up takes root"
    if not os.access(CONFIGURATION, os.W_OK):
        return f"{CONFIGURATION} is not writable"
    file = CONFIGURATION / "slurm.conf"
    # What a killed test has left is overwritten; a cluster that is really there is let be.
    if file.exists() and "ClusterName=halmdtest" not in file.read_text():
        return f"{file} is of a cluster that is there already"
    return ""


@dataclass(frozen=True)
class Slurm:
    """The running cluster."""

    node: str
    log: Path

    def ask(self, *command: str) -> str:
        """What a command of Slurm's says."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Logs of the running jobs, named by Snakemake after rule and wildcards, by job id."""
        format = "JobID:20,STDOUT:500"
        lines = self.ask("squeue", "--noheader", "--states=RUNNING", "--Format", format)
        return dict(line.split(maxsplit=1) for line in lines.splitlines())


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Bring the cluster up in a folder, and down again."""
    for name in ("run", "log", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    node = socket.gethostname().split(".")[0]
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    (CONFIGURATION / "slurm.conf").write_text(_configuration(folder, node))
    (CONFIGURATION / "gres.conf").write_text(
        "".join(f"NodeName={node} Name=gpu File={device}\n" for device in _DEVICES)
    )
    try:
        # Only the daemons' own complaints say what went wrong.
        _start(
            "munged",
            *(f"--key-file={key}", f"--socket={folder}/run/munge.socket"),
            *(f"--pid-file={folder}/run/munged.pid", f"--log-file={folder}/log/munged.log"),
            f"--seed-file={folder}/run/munged.seed",
        )
        _start("slurmctld", "-c")
        _start("slurmd")
        cluster = Slurm(node, folder / "log")
        _until_idle(cluster)
        yield cluster
    finally:
        subprocess.run(["scancel", "--user", "root"], capture_output=True, check=False)
        # A node does not stop while a step of a job lives.
        time.sleep(1)
        for daemon in ("slurmd", "slurmctld", "munged"):
            _stop(folder / "run" / f"{daemon}.pid")
        for name in ("slurm.conf", "gres.conf"):
            (CONFIGURATION / name).unlink(missing_ok=True)


def _start(program: str, *options: str) -> None:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    subprocess.run([program, *options], env=environment, check=True, timeout=30)


def _stop(pid_file: Path) -> None:
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(50):
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)


def _until_idle(cluster: Slurm) -> None:
    for _ in range(150):
        done = subprocess.run(
            ["sinfo", "--noheader", "--format", "%t"], capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-2000:] for path in cluster.log.glob("*.log"))
    raise RuntimeError(f"Slurm did not come up:\n{logs}")


def _configuration(folder: Path, node: str) -> str:
    return f"""\
ClusterName=halmdtest
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/run/munge.socket
SlurmctldPort=36817
SlurmdPort=36818
CommunicationParameters=NoAddrCache,NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2,defer_batch
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=600
KillWait=3
SlurmdParameters=config_overrides
NodeName={node} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:{len(_DEVICES)}
PartitionName=work Nodes={node} Default=YES MaxTime=60 DefaultTime=5 State=UP
"""
