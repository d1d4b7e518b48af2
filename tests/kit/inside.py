"""Doing things inside a lab's network namespaces."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from typing import Any, TypeVar

from netlab.fabric.enter import enter, in_thread

Result = TypeVar("Result")


def inside(namespace_fd: int, work: Callable[[], Result]) -> Result:
    """The result of `work`, done in a thread that is in the namespace."""

    def entered() -> Result:
        enter(namespace_fd)
        return work()

    return in_thread(entered)


def run_inside(namespace_fd: int, *argv: str) -> str:
    """What a program prints that runs in the namespace and must succeed."""
    done = inside(
        namespace_fd, lambda: subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    )
    assert done.returncode == 0, f"{argv}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def ip_json(namespace_fd: int, *arguments: str) -> list[dict[str, Any]]:
    """What `ip -json` says in the namespace."""
    found: list[dict[str, Any]] = json.loads(run_inside(namespace_fd, "ip", "-details", "-json", *arguments))
    return found


def udp_socket(namespace_fd: int, address: str = "", port: int = 0) -> socket.socket:
    """A UDP socket that belongs to the namespace, bound, with a timeout of 5 s."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def bound() -> socket.socket:
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((address, port))
        udp.settimeout(5)
        return udp

    return inside(namespace_fd, bound)
