"""Waits until new interfaces carry frames.

A veth has its carrier at once when both ends are up, but the kernel gives it its queue, and IPv6 its
link-local address, a moment later in work of its own, and until then drops what is sent. A TCP SYN or a
neighbour solicitation lost there costs a second.
"""

from __future__ import annotations

import fcntl
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from netlab.errors import LabError
from netlab.fabric.enter import enter
from netlab.fabric.message import LOOPBACK, NLM_F_REQUEST, RTM_SETLINK, set_up
from netlab.fabric.namespace import Namespace

_PAUSE_S = 0.001
_SIOCGIFFLAGS = 0x8913
_IFF_RUNNING = 0x40
_IFA_F_TENTATIVE = 0x40
_IPV6_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_ifreq = struct.Struct("=16sH22x")


def wait_for_carrier(new: Iterable[tuple[Namespace, str]], deadline: float) -> None:
    """Return when every `new` interface runs. LabError at `deadline` (monotonic s) names those that don't."""
    links = list(new)
    _wait(
        lambda: [f"{link[0].node}:{link[1]}" for link in links if not _running(*link)], "no carrier", deadline
    )
    for namespace, _ in links[-1:]:
        # The flag that we saw comes first of what the kernel does about a carrier, under its lock of all
        # network configuration. Whoever has had that lock since, has seen the rest of it done.
        namespace.socket.request("wait for links", RTM_SETLINK, NLM_F_REQUEST, set_up(LOOPBACK))


def wait_for_addresses(namespaces: Iterable[Namespace], deadline: float) -> None:
    """Return when no IPv6 address is tentative; moves the calling thread into the namespaces.

    LabError at `deadline` (monotonic s) names what still is: duplicates, or the kernel's own addresses
    where the Plan leaves duplicate address detection on.
    """
    waiting = list(namespaces)
    _wait(lambda: [text for one in waiting for text in _tentative(one)], "tentative", deadline)


def _wait(pending: Callable[[], list[str]], what: str, deadline: float) -> None:
    while left := pending():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: {', '.join(left)}")
        time.sleep(_PAUSE_S)


def _running(namespace: Namespace, interface: str) -> bool:
    """Whether it is up and has a carrier, as the kernel says (netdevice(7), IFF_RUNNING)."""
    answer = fcntl.ioctl(namespace.socket.fileno(), _SIOCGIFFLAGS, _ifreq.pack(interface.encode(), 0))
    return bool(_ifreq.unpack(answer)[1] & _IFF_RUNNING)


def _tentative(namespace: Namespace) -> list[str]:
    """Each as "node:interface address", the address in 32 hexadecimal digits."""
    enter(namespace.fd)
    rows = (line.split() for line in _IPV6_ADDRESSES.read_text().splitlines())
    return [f"{namespace.node}:{row[5]} {row[0]}" for row in rows if int(row[4], 16) & _IFA_F_TENTATIVE]
