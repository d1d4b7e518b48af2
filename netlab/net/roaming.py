"""A client that moves from one network to another: QUIC connections follow it (RFC 9000 section 9).

The kernel tells of links, addresses and routes that come and go (rtnetlink(7)). After each such change
the way to every server is looked up again; where it starts from another address than a connection's, the
connection moves there.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

from netlab.model.event import Flow
from netlab.net.context import RoleContext
from netlab.net.sockets import family_of

_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links; addresses and routes of IPv4; the same of IPv6
_SETTLE_S = 0.02  # one change of the network is told in several messages


class Movable(Protocol):
    """A connection that can go on from another address."""

    ended: asyncio.Event

    @property
    def flow(self) -> Flow: ...

    def migrate(self, local: str = "", interface: str = "") -> None:
        """Raises OSError where there is no way."""
        ...


_roamers: WeakKeyDictionary[RoleContext, Roamer] = WeakKeyDictionary()


def follow(ctx: RoleContext, connection: Movable) -> None:
    """Have `connection` move with the node from now on, for as long as anyone holds it."""
    if ctx not in _roamers:
        _roamers[ctx] = Roamer(ctx)
    _roamers[ctx].connections.add(connection)


class Roamer:
    """Hears of changes for all connections of a role, until it stops."""

    def __init__(self, ctx: RoleContext) -> None:
        self.connections: WeakSet[Movable] = WeakSet()
        self._ctx = ctx
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _GROUPS))
        self._timer: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(self._socket, self._told)
        ctx.tasks.create_task(self._until_stopped())

    async def _until_stopped(self) -> None:
        try:
            await self._ctx.stopped()
        finally:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            if self._timer is not None:
                self._timer.cancel()

    def _told(self) -> None:
        """What it says does not matter, and an overrun (ENOBUFS) says only that it was much."""
        with suppress(OSError):
            while self._socket.recv(65_536):
                pass
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SETTLE_S, self._look)

    def _look(self) -> None:
        self._timer = None
        for connection in tuple(self.connections):
            if connection.ended.is_set():
                self.connections.discard(connection)
                continue
            flow = connection.flow
            source = source_to(flow.remote, flow.remote_port)
            if source and source != flow.local:
                with suppress(OSError):  # the next change may bring a way; until then it is as it was
                    connection.migrate(source)


def source_to(address: str, port: int) -> str:
    """The address that the kernel would send from; "" where there is no way."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, port))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
