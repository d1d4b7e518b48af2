"""Tests of the kernel: as root, each inside a fake host of its own, so that the machine is never touched.

The fake host is a thread with a network and a mount namespace of its own; what the test starts is in them
too. Fixtures run outside, in the machine's own namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.fabric.enter import CLONE_NEWNET, CLONE_NEWNS, MS_PRIVATE, MS_REC, in_thread, mount, unshare
from netlab.fabric.kernel import Kernel

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.needs("root"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Call the test in its fake host."""
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    def call() -> None:
        unshare(CLONE_NEWNET | CLONE_NEWNS)
        mount("none", "/", flags=MS_REC | MS_PRIVATE)
        pyfuncitem.obj(**arguments)

    in_thread(call)
    return True


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A Kernel without namespaces, closed at the end."""
    kernel = Kernel()
    yield kernel
    kernel.close()
