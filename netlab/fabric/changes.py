"""Tells when interfaces of a namespace change (rtnetlink(7), RTMGRP_LINK)."""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple

from netlab.fabric.enter import enter, in_thread
from netlab.fabric.message import RTM_NEWLINK, attributes
from netlab.fabric.netlink import answers

_RTMGRP_LINK = 1
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x1_0000
_IFLA_IFNAME = 3
_BYTES = 64 * 1024
_ifinfomsg = struct.Struct("=BxHiII")  # family, type, index, flags, change


class Flags(NamedTuple):
    """`up`: it was brought up. `carrier`: so was what it is plugged into (netif_carrier_ok of Linux).

    Unlike IFF_RUNNING, which the kernel works out up to a second later.
    """

    up: bool
    carrier: bool


def flags(body: bytes) -> Flags:
    """Of the body of an RTM_NEWLINK message."""
    bits = _ifinfomsg.unpack_from(body)[3]
    return Flags(bool(bits & _IFF_UP), bool(bits & _IFF_LOWER_UP))


class LinkChanges:
    """A socket of the namespace; readable when one of its interfaces changed. KernelError, OSError."""

    def __init__(self, namespace_fd: int) -> None:
        def opened() -> socket.socket:
            enter(namespace_fd)
            made = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
            )
            made.bind((0, _RTMGRP_LINK))
            made.setblocking(False)
            return made

        self._socket = in_thread(opened)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> set[str] | None:
        """The names of the interfaces that changed; None where so many did that the kernel lost count."""
        names: set[str] = set()
        lost = False
        while True:
            try:
                received = self._socket.recv(_BYTES)
            except BlockingIOError:
                return None if lost else names
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            for one in answers(received):
                if one.kind == RTM_NEWLINK:
                    name = attributes(one.payload[_ifinfomsg.size :]).get(_IFLA_IFNAME, b"")
                    names.add(name.rstrip(b"\0").decode())
