"""One Slurm for all tests of a file."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import slurm


@pytest.fixture(scope="module")
def cluster() -> Iterator[slurm.Slurm]:
    # Not pytest's folder: munge wants its socket where all may look.
    with TemporaryDirectory(prefix="halmd-slurm-") as folder:
        Path(folder).chmod(0o755)
        with slurm.running(Path(folder)) as found:
            yield found
