"""What a role gets from its process: events, listeners, connections, TLS, time, random numbers."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any, overload

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.model.event import Flow
from netlab.model.launch import Launch
from netlab.model.roles import TlsClient, TlsServer
from netlab.net import sockets, tls
from netlab.net.connection import Networks, Peer, opened_by_peer
from netlab.net.events import EventWriter
from netlab.net.http_faults import HttpFaults
from netlab.net.idle import IdleWatch
from netlab.net.role_control import RoleControl, Settings
from netlab.net.stream import Stream, TcpStream
from netlab.net.tls import TlsContext, TlsError, TlsStream
from netlab.net.tls_revocation import RevocationLists

Handler = Callable[[Stream, Peer], Awaitable[None]]
_HANDSHAKE_TIMEOUT_S = 10.0
_DRAIN_S = 2.0


class RoleContext:
    """One role's hands. `tasks` outlives no role: what still runs there when the role ends is cancelled.

    A role whose work can fail without an exception sets `exit_status`.
    """

    def __init__(self, launch: Launch, events_fd: int, tasks: asyncio.TaskGroup) -> None:
        self.launch = launch
        self.tasks = tasks
        self.rng = random.Random(launch.seed)  # noqa: S311 - repeatable runs, no secrets
        self.exit_status = 0
        self._events = EventWriter(events_fd, launch.node, launch.role)
        self.control = RoleControl(launch.role)
        self._stopping = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Timeout] = set()
        self.waiting: set[IdleWatch] = set()
        self._keylog = tls.KeyLog(tls.keylog_path())
        self.revocation = RevocationLists(self)
        self._tls_servers: dict[tuple[TlsServer, tuple[str, ...]], tls.ServerContext] = {}
        self._tls_clients: dict[tuple[TlsClient, tuple[str, ...]], tls.ClientContext] = {}

    def emit(self, event: str, flow: Flow | None = None, time_ns: int = 0, **data: Any) -> None:
        """Write an event; see EventWriter.emit."""
        self._events.emit(event, flow, time_ns, **data)

    def flush(self) -> None:
        """Write the events that wait for the end of the loop's iteration."""
        self._events.flush()

    def now(self) -> float:
        """Seconds of the monotonic clock, for deadlines."""
        return time.monotonic()

    def now_ns(self) -> int:
        """CLOCK_REALTIME, for evidence."""
        return time.time_ns()

    def ready(self, port: int = 0, **data: Any) -> None:
        """Say that the role accepts."""
        if port:
            data["port"] = port
        self.emit("ready", **data)

    # What changes while it runs.

    @cached_property
    def http_faults(self) -> HttpFaults:
        """What `netlab fault slow` and `error` do to requests; whoever serves HTTP asks for it."""
        return HttpFaults(self.control, self.launch.seed)

    def on_settings(self, handler: Callable[[Settings], Settings]) -> None:
        """Have `handler` change settings of the role while it runs (`netlab role set`).

        It takes key ─► value as they were written, changes all of them or none, and returns the values
        that these keys had before, as they could be written. It raises InputError, with the remedy, for
        what it doesn't know. What is changed lasts until the role ends.
        """

        def change(settings: Settings) -> Settings:
            before = handler(settings)
            self.emit("settings-changed", settings=settings, before=before)
            return before

        self.control.on_settings(change)

    def addresses_of(self, name: str) -> tuple[str, ...]:
        """The addresses of a node that a setting names, for use in the handler of `on_settings`; of an
        address itself. Raises InputError where the lab has no such node."""
        return self.control.addresses_of(name)

    # The end of the role.

    def stop(self) -> None:
        """SIGTERM: accept no more; `stopping` and `stopped` say it to the role."""
        self._stopping.set()
        for server in self._servers:
            server.close()
        for timer in self._idle:
            if not timer.expired():  # one that is just ending can't be changed
                timer.reschedule(0)
        for watch in tuple(self.waiting):
            watch.interrupt()

    @asynccontextmanager
    async def idle(self, timeout_s: float) -> AsyncIterator[None]:
        """For a wait that may be cut short: TimeoutError after `timeout_s`, or when the role stops."""
        async with asyncio.timeout(0 if self.stopping else timeout_s) as timer:
            self._idle.add(timer)
            try:
                yield
            finally:
                self._idle.discard(timer)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    async def stopped(self) -> None:
        """Returns when the role has been told to stop."""
        await self._stopping.wait()

    async def drain(self) -> None:
        """Wait for connections in flight, at most two seconds."""
        self.stop()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_DRAIN_S)

    def in_flight(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do the work in a task that `drain` waits for."""
        task = self.tasks.create_task(work)
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        return task

    # TLS contexts, one for each way in which a role does TLS.

    def tls_server(self, spec: TlsServer, alpn: tuple[str, ...] = ("http/1.1",)) -> tls.ServerContext:
        """TLS with the node's certificate, secrets into SSLKEYLOGFILE. Equal calls give the same context."""
        if self.launch.identity is None:
            raise LocalProtocolError(f"role {self.launch.role} serves TLS and got no certificate")
        key = spec, alpn
        if key not in self._tls_servers:
            self._tls_servers[key] = tls.ServerContext(
                spec,
                (self.launch.identity, *self.launch.more_identities),
                alpn,
                self._keylog,
                self.launch.trust_pem,
            )
        return self._tls_servers[key]

    def tls_client(self, spec: TlsClient, alpn: tuple[str, ...] = ("http/1.1",)) -> tls.ClientContext:
        """TLS that trusts the lab's root alone, secrets into SSLKEYLOGFILE. Equal calls give the same
        context, with its sessions."""
        key = spec, alpn
        if key not in self._tls_clients:
            self._tls_clients[key] = tls.ClientContext(
                spec, self.launch.trust_pem, alpn, self._keylog, self.launch.client_identity
            )
        return self._tls_clients[key]

    # Connections.

    async def listen(
        self,
        port: int,
        handler: Handler,
        *,
        tls: TlsContext | None = None,
        proxy_from: Networks = (),
        hosts: tuple[str, ...] = sockets.EVERYWHERE,
    ) -> int:
        """Serve `handler(stream, peer)` for each connection until the role stops; the port's number.

        With `proxy_from` connections come from there and start with a PROXY header; `peer` is whom it names.
        The stream is closed when the handler returns. Errors of the peer (OSError, RemoteProtocolError)
        end its connection only. Raises LabError where the port can't be had.
        """

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            flow = sockets.flow_of(writer.get_extra_info("socket"))
            stream = TcpStream(reader, writer, flow)
            self.in_flight(self._serve(stream, handler, tls, proxy_from))

        listening = sockets.bound(port, socket.SOCK_STREAM, hosts)
        for sock in listening:
            self._servers.append(await asyncio.start_server(accepted, sock=sock))
        return int(listening[0].getsockname()[1])

    async def _serve(
        self, stream: TcpStream, handler: Handler, context: TlsContext | None, proxy_from: Networks
    ) -> None:
        self.emit("connection-opened", stream.flow, side="server")
        top: Stream = stream
        cause = "done"
        try:
            async with asyncio.timeout(_HANDSHAKE_TIMEOUT_S):
                peer = await opened_by_peer(stream, proxy_from)
                if peer is not None and context is not None:
                    # A peer that says nothing, as health checks do, has not failed at TLS.
                    top = await self._handshake(stream, context, None) if await stream.peek() else stream
                    peer = peer if top.tls is not None else None
            if peer is not None:
                await handler(top, peer)
        except (OSError, RemoteProtocolError, LocalProtocolError) as error:
            # Also a bug of ours, which one peer has found, is not to end what others are served.
            cause = str(error) or type(error).__name__
            if not isinstance(error, OSError):
                self.emit("error", stream.flow, cause=cause)
        finally:
            await top.close()
            self.emit("connection-closed", stream.flow, cause=cause)

    @overload
    async def connect(
        self, address: str, port: int, *, timeout_s: float = ..., purpose: str = ...
    ) -> TcpStream: ...

    @overload
    async def connect(
        self,
        address: str,
        port: int,
        *,
        tls: TlsContext | None,
        server_name: str = ...,
        timeout_s: float = ...,
        purpose: str = ...,
        first: bytes = ...,
    ) -> Stream: ...

    async def connect(
        self,
        address: str,
        port: int,
        *,
        tls: TlsContext | None = None,
        server_name: str = "",
        timeout_s: float = 10.0,
        purpose: str = "",
        first: bytes = b"",
    ) -> Stream:
        """A connection to an address (not a name), inside TLS where `tls` is given.

        `server_name` is sent as SNI and must be in the peer's certificate; empty: the address must be.
        `purpose` goes into the events where the connection carries no request ("health-check").
        `first` goes out before anything else, TLS included (a PROXY header).
        Raises OSError, also TlsError and TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            stream = await self._open(address, port, purpose)
            await stream.write(first)
            if tls is None:
                return stream
            try:
                return await self._handshake(stream, tls, server_name or address)
            except BaseException:  # cancelled too: nobody else has the connection yet
                stream.abort()
                raise

    async def _open(self, address: str, port: int, purpose: str) -> TcpStream:
        sock, flow = await self.connect_socket(address, port, purpose=purpose)
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:  # cancelled too: nobody else has the socket yet
            sock.close()
            raise
        return TcpStream(reader, writer, flow)

    async def connect_socket(
        self, address: str, port: int, *, purpose: str = ""
    ) -> tuple[socket.socket, Flow]:
        """A connected socket, non-blocking, for who moves bytes without a Stream. Raises OSError."""
        data = {"purpose": purpose} if purpose else {}
        started = self.now_ns()
        sock, flow = sockets.connecting(address, port)
        try:
            self.emit("connect-start", flow, started, **data)
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:  # cancelled too: nobody else has the socket yet
            sock.close()
            raise
        self.emit("connection-opened", flow, 0, side="client", **data)
        return sock, flow

    async def _look_up(self, inside: TlsStream) -> None:
        """Raises TlsError where the server's certificate is on its authority's list of the revoked."""
        try:
            await self.revocation.check(inside)
        except TlsError:
            await inside.refuse()
            raise

    async def _handshake(self, stream: TcpStream, context: TlsContext, server_name: str | None) -> TlsStream:
        side = "server" if server_name is None else "client"
        try:
            inside = await TlsStream.handshake(stream, context, server_name)
            if isinstance(context, tls.ClientContext) and context.lists:
                await self._look_up(inside)
        except OSError as error:
            check = error.check if isinstance(error, TlsError) else ""
            self.emit("tls-failed", stream.flow, side=side, cause=str(error), check=check)
            raise
        assert inside.tls is not None  # as the handshake is done
        self.emit("tls-handshake", stream.flow, side=side, **asdict(inside.tls))
        return inside
