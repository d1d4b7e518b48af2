"""For all tests: the marker `needs`, and the fixture `host_unchanged`."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.kit.host import host_unchanged
from tests.kit.needs import check_needs

__all__ = ["host_unchanged"]

settings.register_profile("shared", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("shared")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test."""
    check_needs(item)
