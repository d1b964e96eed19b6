#!/usr/bin/env python3
"""Cancel jobs: `cancel.py JOB...`."""

import subprocess
import sys

from queues import cancel_command

jobs = [identifier.split("/")[:2] for identifier in sys.argv[1:]]
for queue in {queue for queue, _ in jobs}:
    command = cancel_command(queue, [number for own, number in jobs if own == queue])
    subprocess.run(command, check=False)
