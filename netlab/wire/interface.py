"""Interfaces up and down, by ioctl (netdevice(7)): a veth that is down takes its peer's carrier away."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Final

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_IFREQ: Final = struct.Struct("=16sH22x")


def set_up(interface: str, *, up: bool) -> None:
    """Bring an interface of this thread's namespace up or down. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        request = _IFREQ.pack(interface.encode(), 0)
        name, flags = _IFREQ.unpack(fcntl.ioctl(opened, _SIOCGIFFLAGS, request))
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(opened, _SIOCSIFFLAGS, _IFREQ.pack(name, flags))
