"""Waits until interfaces send.

A veth has its carrier at once when both ends are up, but the kernel gives it its queue a moment later, in
work of its own (linkwatch), and drops what is sent before. A TCP SYN lost there would cost a second.
"""

from __future__ import annotations

import fcntl
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple

from netlab.errors import LabError

_SIOCGIFFLAGS = 0x8913
_PAUSE_S = 0.001
_IFF_RUNNING = 0x40
_flags = struct.Struct("=16sH22x")


class Interface(NamedTuple):
    """An interface, and a socket of its namespace."""

    socket_fd: int
    node: str
    name: str


def wait_for_carrier(interfaces: Iterable[Interface], deadline: float) -> None:
    """Return when all of them run. LabError at `deadline` (monotonic seconds) names those that don't."""
    waiting = [interface for interface in interfaces if not running(interface)]
    while waiting:
        if time.monotonic() > deadline:
            names = ", ".join(f"{interface.node}:{interface.name}" for interface in waiting)
            raise LabError(f"no carrier at {names}")
        time.sleep(_PAUSE_S)
        waiting = [interface for interface in waiting if not running(interface)]


def running(interface: Interface) -> bool:
    """Whether it is up and has a carrier, as the kernel says (netdevice(7), IFF_RUNNING)."""
    request = _flags.pack(interface.name.encode(), 0)
    answer = fcntl.ioctl(interface.socket_fd, _SIOCGIFFLAGS, request)
    return bool(_flags.unpack(answer)[1] & _IFF_RUNNING)
