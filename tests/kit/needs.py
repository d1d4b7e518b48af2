"""What a test needs of the machine: `@pytest.mark.needs("netem")`.

A test whose need isn't met is skipped; it fails where the environment variable NETLAB_REQUIRE, a list of
names with commas, says that the machine has it. So a user may lack things, and CI can't lose tests unseen.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable

import pytest

from netlab.errors import HostError
from netlab.fabric.probe import probe
from netlab.roles.database import find_programs


def _root() -> bool:
    return os.geteuid() == 0


def _netem() -> bool:
    return _root() and probe().netem


def _postgres() -> bool:
    try:
        return find_programs().initdb.is_file()  # often not on PATH
    except HostError:
        return False


_PROBES: dict[str, Callable[[], bool]] = {"root": _root, "netem": _netem, "postgres": _postgres}


@functools.cache
def available(name: str) -> bool:
    """Whether the machine has it: "root", "netem", "postgres", or else the program of that name."""
    if name in _PROBES:
        return _PROBES[name]()
    return shutil.which(name) is not None or shutil.which(name, path="/usr/sbin:/sbin") is not None


def check_needs(item: pytest.Item) -> None:
    """Skip or fail the test if the machine lacks one of its needs."""
    required = {name.strip() for name in os.environ.get("NETLAB_REQUIRE", "").split(",")}
    for name in [name for marker in item.iter_markers("needs") for name in marker.args]:
        if not available(name):
            if name in required:
                pytest.fail(f"this machine lacks {name}, which NETLAB_REQUIRE names", pytrace=False)
            pytest.skip(f"this machine lacks {name}")
