"""A prepared copy of a shipped potential, shared by the tests of this folder."""

from pathlib import Path

import pytest

from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import SHIPPED, shipped_names


@pytest.fixture(scope="session")
def shipped_name() -> str:
    """The smallest, whose native part is compiled soonest."""
    return min(shipped_names(), key=lambda name: (SHIPPED / name / f"{name}.model").stat().st_size)


@pytest.fixture(scope="session")
def prepared(shipped_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`potential.json` of that potential, on the evaluator that `auto` takes."""
    folder = tmp_path_factory.mktemp("potential")
    return prepare_potential(shipped_name, evaluator="auto", folder=folder)
