"""One process at a time runs a run; what a killed one, or another node, has left is told apart."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from halmd.dynamics.allowance import Allowance
from halmd.dynamics.owner import NOTE, owned
from halmd.errors import HalmdError, OutOfTimeError

HOLD = (
    "import sys, time, pathlib\n"
    "from halmd.dynamics.owner import owned\n"
    "with owned(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(float(sys.argv[2]))\n"
)


def holding(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that holds a folder."""
    command = [sys.executable, "-c", HOLD, str(folder), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def note(folder: Path, age_s: float, **changes: Any) -> None:
    """The note of an owner, and a checkpoint of its, both of some age."""
    record = {"host": "another-node", "pid": 17, "since": "then", "slurm_job": "8"} | changes
    (folder / NOTE).write_text(json.dumps(record))
    point = folder / "checkpoint-000000000100.bin"
    point.write_bytes(b"")
    for path in (folder / NOTE, point):
        os.utime(path, (time.time() - age_s,) * 2)


def test_a_folder_has_one_owner_and_loses_halves_of_files(tmp_path: Path) -> None:
    half = tmp_path / ".checkpoint-000000002000.x1y2.bin"
    half.write_bytes(b"half")
    with owned(tmp_path):
        assert not half.exists()
        with (
            pytest.raises(HalmdError, match=f"another process .{os.getpid()} on "),
            owned(tmp_path),
        ):
            pass
    assert not (tmp_path / NOTE).exists()
    with owned(tmp_path):
        pass


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    with holding(tmp_path, 60) as process:
        with pytest.raises(HalmdError, match="another process"), owned(tmp_path):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert (tmp_path / NOTE).exists()
    with owned(tmp_path):
        pass


def test_a_job_waits_for_the_one_before_it(tmp_path: Path) -> None:
    with holding(tmp_path, 1.0):
        began = time.monotonic()
        with owned(tmp_path, wait=Allowance(60, [])):
            assert time.monotonic() - began > 0.5


def test_a_job_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    with holding(tmp_path, 60) as process:
        for wait in (Allowance(3, []), Allowance(60, [signal.SIGTERM])):
            with pytest.raises(OutOfTimeError, match="another process"), owned(tmp_path, wait=wait):
                pass
        process.kill()


def test_an_owner_elsewhere_is_believed_while_it_leaves_checkpoints(tmp_path: Path) -> None:
    note(tmp_path, age_s=100)
    refused = "17 on another-node, Slurm job 8, since then"
    with pytest.raises(HalmdError, match=refused), owned(tmp_path):
        pass
    # Refused, but not locked.
    note(tmp_path, age_s=100_000)
    with owned(tmp_path):
        assert json.loads((tmp_path / NOTE).read_text())["host"] == platform.node()


def test_slow_runs_are_given_more_time(tmp_path: Path) -> None:
    note(tmp_path, age_s=2000)
    earlier = tmp_path / "checkpoint-000000000050.bin"
    earlier.write_bytes(b"")
    os.utime(earlier, (time.time() - 3000,) * 2)
    with pytest.raises(HalmdError, match="another process"), owned(tmp_path):
        pass


def test_where_nothing_locks_the_process_itself_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("halmd.dynamics.owner.fcntl.flock", refuses)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        note(tmp_path, age_s=1, host=platform.node(), pid=process.pid)
        with pytest.raises(HalmdError, match="another process"), owned(tmp_path):
            pass
        process.kill()
    with owned(tmp_path):
        pass


def test_threads_of_one_process_do_not_share_a_folder(tmp_path: Path) -> None:
    found: list[Exception] = []

    def other() -> None:
        try:
            with owned(tmp_path):
                pass
        except HalmdError as error:
            found.append(error)

    with owned(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(found) == 1


def test_a_damaged_note_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_text("{")
    with owned(tmp_path):
        pass
