"""A layer 4 balancer's UDP: datagrams of a client go to one upstream, and its answers back."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.net.datagrams import Control, ask_for_destination, destination, from_address
from netlab.policy.quic_routing import QuicRoutes

IDLE_S = 60.0  # RFC 4787 section 4.3 asks of a translator two minutes; QUIC's own idle timeouts are shorter
SESSIONS = 16_384
_AT_ONCE = 64  # datagrams taken from one socket before others have their turn
_DATAGRAM = 65_535

Choose = Callable[[str], str | None]  # by the client's address
Result = Callable[[str, str], None]  # an upstream, and why it failed; "": it answers


_Key = tuple[str, int, str]  # the client's address and port, and the address that it spoke to


@dataclass(slots=True)
class _Session:
    """A client's socket pair and the socket that stands for it at the upstream."""

    client: Flow
    listener: socket.socket
    upstream: str
    socket: socket.socket
    reply: Control
    heard: float
    answered: bool = False


class UdpSplice:
    """Forwards between clients and upstreams. `choose` names the upstream of a new client, if any; `result`
    is told when it first answers, or that nobody listens there."""

    def __init__(
        self,
        ctx: RoleContext,
        choose: Choose,
        result: Result = lambda _upstream, _cause: None,
        sessions: int = SESSIONS,
    ) -> None:
        self._ctx = ctx
        self._choose = choose
        self._result = result
        self._limit = sessions
        self._routes = QuicRoutes()
        self._sessions: OrderedDict[_Key, _Session] = OrderedDict()
        self._listeners: list[socket.socket] = []
        self._reaping: asyncio.Task[None] | None = None

    def listen(self, port: int) -> None:
        """Raises LabError where the port can't be had."""
        self._listeners = sockets.bound(port, socket.SOCK_DGRAM)
        loop = asyncio.get_running_loop()
        for sock in self._listeners:
            ask_for_destination(sock)
            loop.add_reader(sock, self._from_clients, sock)
        self._reaping = self._ctx.tasks.create_task(self._reap())

    def close(self) -> None:
        """End every session."""
        if self._reaping is not None:
            self._reaping.cancel()
        loop = asyncio.get_running_loop()
        for sock in self._listeners:
            loop.remove_reader(sock)
            sock.close()
        self._listeners.clear()
        for key in list(self._sessions):
            self._end(key, "the role ends")

    def _from_clients(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, control, _, remote = sock.recvmsg(_DATAGRAM, 256)
            except (BlockingIOError, ConnectionError):
                return
            local = destination(control)
            key = remote[0], remote[1], local
            session = self._sessions.get(key) or self._open(key, sock, data)
            if session is not None:
                self._sessions.move_to_end(key)
                session.heard = self._ctx.now()
                self._to_upstream(key, session, data)

    def _to_upstream(self, key: _Key, session: _Session, data: bytes) -> None:
        try:
            session.socket.send(data)
        except BlockingIOError:
            return  # lost, as datagrams are
        except ConnectionError as error:
            self._refused(key, session, error)

    def _refused(self, key: _Key, session: _Session, error: ConnectionError) -> None:
        """The upstream's kernel says that nobody listens: the client's next datagram opens a new session."""
        self._result(session.upstream, f"{session.upstream}: {error.strerror}")
        self._end(key, f"{session.upstream}: {error.strerror}")

    def _open(self, key: _Key, listener: socket.socket, data: bytes) -> _Session | None:
        """A session for a client that is new, or a connection that comes from a new address."""
        client = Flow("udp", key[2], listener.getsockname()[1], key[0], key[1])
        try:
            upstream = self._routes.upstream_of(data) or self._choose(key[0])
        except RemoteProtocolError as error:
            self._ctx.emit("error", client, cause=str(error))
            return None
        if upstream is None:
            self._ctx.emit("error", client, cause="no upstream takes datagrams")
            return None
        while len(self._sessions) >= self._limit:
            self._end(next(iter(self._sessions)), "too many sessions: the one that was idle longest ends")
        try:
            sock = _connected(upstream)
        except OSError as error:
            self._ctx.emit("error", client, cause=f"{upstream}: {error}")
            return None
        session = _Session(client, listener, upstream, sock, from_address(listener, key[2]), self._ctx.now())
        self._sessions[key] = session
        asyncio.get_running_loop().add_reader(sock, self._from_upstream, key, session)
        flow = sockets.flow_of(sock, "udp")
        self._ctx.emit("upstream-chosen", client, upstream=upstream, upstream_flow=list(flow))
        return session

    def _from_upstream(self, key: _Key, session: _Session) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = session.socket.recv(_DATAGRAM)
            except BlockingIOError:
                return
            except ConnectionError as error:
                self._refused(key, session, error)
                return
            session.heard = self._ctx.now()
            if not session.answered:
                session.answered = True
                self._result(session.upstream, "")
            self._routes.learn(data, session.upstream)
            with suppress(BlockingIOError, ConnectionError):
                session.listener.sendmsg(
                    [data], session.reply, 0, (session.client.remote, session.client.remote_port)
                )

    def _end(self, key: _Key, cause: str) -> None:
        session = self._sessions.pop(key)
        asyncio.get_running_loop().remove_reader(session.socket)
        session.socket.close()
        self._ctx.emit("connection-closed", session.client, cause=cause)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(IDLE_S / 4)
            old = self._ctx.now() - IDLE_S
            for key in [key for key, one in self._sessions.items() if one.heard < old]:
                self._end(key, "idle")


def _connected(upstream: str) -> socket.socket:
    """A socket whose peer is the upstream. Raises OSError."""
    address, port = sockets.address_port(upstream)
    sock = socket.socket(sockets.family_of(address), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock
