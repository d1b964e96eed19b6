"""A bar is seen on a terminal only, and the items are the same."""

import os
import pty
import subprocess
import sys

CODE = (
    "import time; from halmd.tracked import tracked;"
    "print(sum(tracked((k for k in range(4) if not time.sleep(0.1)), 'counting', total=4)))"
)


def test_a_terminal_shows_a_bar_and_a_file_none() -> None:
    quiet = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert (quiet.stdout, quiet.stderr) == ("6\n", "")
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
        text=True,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.stdout == "6\n"
    assert "counting" in shown
    assert "%" in shown
