"""A prepared copy of the shipped potential, shared by the tests of this folder."""

from pathlib import Path

import pytest

from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import shipped_names


@pytest.fixture(scope="session")
def shipped_name() -> str:
    return shipped_names()[0]


@pytest.fixture(scope="session")
def prepared(shipped_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`potential.json` of the shipped potential, on the evaluator that `auto` takes."""
    folder = tmp_path_factory.mktemp("potential")
    return prepare_potential(shipped_name, evaluator="auto", folder=folder)
