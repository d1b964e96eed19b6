"""Settings that all tests share.

Float strategies say `allow_subnormal=False`: the compiled part of the native evaluator switches the
process to flushing subnormal numbers to zero, and a test may share its process with one of those.
"""

import pytest
from hypothesis import HealthCheck, settings

# CI machines are slow and busy: time limits on single examples would only fail at random.
settings.register_profile("halmd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("halmd")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The workflow's tests first: a file goes to one process, and theirs is the longest."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)
