"""What interfaces are and have carried, as the kernel says. Changes nothing."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from netlab.fabric.enter import enter, in_thread
from netlab.fabric.message import NLM_F_REQUEST, RTM_GETQDISC, attributes
from netlab.fabric.netlink import RouteSocket

_COUNTERS = Path("/proc/thread-self/net/dev")
_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_NLM_F_ECHO = 0x8  # without it, kernels before 6.12 tell only listeners
_ROOT = 0xFFFF_FFFF
_STATS2, _QUEUE, _DROPS_AT = 7, 3, 8  # TCA_STATS2, TCA_STATS_QUEUE and in it gnet_stats_queue.drops
_ifreq = struct.Struct("=16sH22x")
_tcmsg = struct.Struct("=BxxxiIII")  # family, interface index, handle, parent, info


class Seen(NamedTuple):
    """One interface (netdevice(7), proc(5)). `carrier`: it is up and its other end is too."""

    up: bool
    carrier: bool
    received_frames: int
    received_bytes: int
    sent_frames: int
    sent_bytes: int


def observe(wanted: Mapping[int, Iterable[str]]) -> dict[tuple[int, str], Seen]:
    """Namespace descriptor ─► interfaces becomes (descriptor, interface) ─► what was seen.

    An interface that isn't there is left out. KernelError where a namespace can't be entered.
    """

    def look() -> dict[tuple[int, str], Seen]:
        return {
            (descriptor, name): seen
            for descriptor, names in wanted.items()
            for name, seen in _look_into(descriptor, set(names)).items()
        }

    return in_thread(look)


def dropped(wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """(Descriptor, interface) ─► how many frames its root qdisc dropped, for whatever reason.

    0 for the kernel's own qdiscs, which count nothing. An interface that isn't there is left out.
    """

    def look() -> dict[tuple[int, str], int]:
        counts = {place: _dropped(*place) for place in wanted}
        return {place: count for place, count in counts.items() if count is not None}

    return in_thread(look)


def _dropped(namespace: int, interface: str) -> int | None:
    enter(namespace)
    index = {name: number for number, name in socket.if_nameindex()}.get(interface)
    if index is None:
        return None
    route = RouteSocket()
    try:
        what = f"look at the qdisc of {interface}"
        body = _tcmsg.pack(0, index, 0, _ROOT, 0)
        answers = route.request(what, RTM_GETQDISC, NLM_F_REQUEST | _NLM_F_ECHO, body)
    finally:
        route.close()
    if not answers:
        return 0
    queue = attributes(attributes(answers[0].payload[_tcmsg.size :])[_STATS2])[_QUEUE]
    return int.from_bytes(queue[_DROPS_AT : _DROPS_AT + 4], sys.byteorder)


def _look_into(namespace: int, names: set[str]) -> dict[str, Seen]:
    enter(namespace)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        rows = (line.split(":", 1) for line in _COUNTERS.read_text(encoding="ascii").splitlines()[2:])
        found = ((name.strip(), counters.split()) for name, counters in rows)
        return {name: _seen(_flags(asker, name), counters) for name, counters in found if name in names}


def _flags(asker: socket.socket, interface: str) -> int:
    answer = fcntl.ioctl(asker.fileno(), _SIOCGIFFLAGS, _ifreq.pack(interface.encode(), 0))
    return int(_ifreq.unpack(answer)[1])


def _seen(flags: int, counters: list[str]) -> Seen:
    """`counters` in the order of /proc/net/dev: 8 of what was received, 8 of what was sent."""
    return Seen(
        bool(flags & _IFF_UP),
        bool(flags & _IFF_RUNNING),
        received_frames=int(counters[1]),
        received_bytes=int(counters[0]),
        sent_frames=int(counters[9]),
        sent_bytes=int(counters[8]),
    )
