"""A node's kernel as a scenario sees it: its TCP connections, and settings changed for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlab.errors import InputError
from netlab.fabric import sysctl
from netlab.fabric.enter import enter, in_thread
from netlab.fabric.tcp_info import TcpInfo, sampling
from netlab.lab.client import LabClient


@contextmanager
def tcp_connections(lab: LabClient, node: str, port: int, every_s: float = 0.01) -> Iterator[list[TcpInfo]]:
    """Samples of the connections at `port` of a node, taken while the context lasts.

    Raises LabError where the node is unknown, KernelError.
    """
    namespace = lab.namespace(node)
    try:
        with sampling(namespace, port, every_s) as found:
            yield found
    finally:
        os.close(namespace)


@contextmanager
def setting(lab: LabClient, node: str, key: str, value: str) -> Iterator[None]:
    """A network sysctl of a node, changed while the context lasts.

    Raises InputError where the kernel has no such sysctl, or does not take the value.
    """
    namespace = lab.namespace(node)
    try:
        before = in_thread(lambda: _exchange(namespace, node, key, value))
        try:
            yield
        finally:
            in_thread(lambda: _exchange(namespace, node, key, before))
    finally:
        os.close(namespace)


def _exchange(namespace: int, node: str, key: str, value: str) -> str:
    """Set it; what it was."""
    enter(namespace)
    try:
        before = Path(sysctl.path(key)).read_text(encoding="ascii").strip()
        sysctl.write(key, value)
    except OSError as error:
        raise InputError(f"{node}: sysctl {key} = {value}: {error.strerror}") from error
    return before
