"""A node's kernel as a scenario sees it: its TCP connections, and the congestion control that they use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from netlab.fabric.congestion import control_routes
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
def congestion_control(lab: LabClient, node: str, algorithm: str) -> Iterator[None]:
    """Connections that a node makes or accepts while the context lasts use this algorithm.

    Raises InputError where the kernel has no such algorithm.
    """
    namespace = lab.namespace(node)
    try:
        control_routes(namespace, algorithm)
        try:
            yield
        finally:
            control_routes(namespace, "")
    finally:
        os.close(namespace)
