#!/usr/bin/env python3
"""Say whether a job runs: `status.py JOB` prints running, success or failed."""

import sys

from queues import status

print(status(sys.argv[1]))
