"""Settings and a working folder that the tests of this folder share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toy_cells import RECORD

from halmd.distill.settings import DistillSettings


@pytest.fixture
def settings() -> DistillSettings:
    return DistillSettings.model_validate(RECORD)


@pytest.fixture
def say() -> Callable[[str], None]:
    return lambda text: None


@pytest.fixture
def beside_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find `toy_teacher` in the folder they are started in."""
    monkeypatch.chdir(Path(__file__).parent)
