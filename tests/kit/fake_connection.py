"""Connections that a test opens, answers on, and breaks; without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from netlab.model.event import Flow
from netlab.model.roles import HttpVersion
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.net.upstream import (
    ClientConnection,
    ConnectionState,
    Outgoing,
    Response,
    Target,
    UpstreamError,
)
from netlab.proto.http import Headers, RequestHead, ResponseHead


class FakeResponse(Response):
    def __init__(self, flow: Flow, version: str, status: int, headers: Headers, body: bytes) -> None:
        self.head = ResponseHead(status, headers, version=version)
        self.flow = flow
        self._body = body

    async def body(self) -> AsyncIterator[bytes]:
        yield self._body


class FakeConnection(ClientConnection):
    """Answers with what `server` says; `fail_next` are the errors of the next requests."""

    def __init__(self, server: FakeServer, target: Target, version: HttpVersion, number: int) -> None:
        self.target = target
        self.version = version
        self.flow = Flow("tcp", "local", number, target.address, target.port)
        self.tls = None
        self.state = ConnectionState(capacity=server.capacity if version != "1.1" else 1)
        self.bodies: list[bytes] = []
        self.ended = ""
        self._server = server

    @asynccontextmanager
    async def exchange(self, request: Outgoing) -> AsyncIterator[Response]:
        self.state.active += 1
        self.state.requests += 1
        try:
            if request.body is not None:
                self.bodies.append(b"".join([part async for part in request.body]))
            self._server.requests.append((self, request.head))
            await self._server.turn(self)
            status, headers = self._server.answers.pop(0) if self._server.answers else (200, Headers())
            yield FakeResponse(self.flow, self.version, status, headers, b"hello")
        finally:
            self.state.active -= 1

    async def tunnel(self, head: RequestHead, timeout_s: float = 30.0) -> tuple[ResponseHead, Tunnel | None]:
        self.state.closed = self.version == "1.1"
        return ResponseHead(101), FakeTunnel(self.flow)

    async def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def break_down(self, cause: str = "the peer closed it") -> None:
        """As its reader does when the peer goes away."""
        self.state.cause = cause
        self.state.closed = True


class FakeTunnel(Tunnel):
    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    @property
    def flow(self) -> Flow:
        return self._flow

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...

    def abort(self) -> None: ...


@dataclass
class FakeServer:
    """Opens connections, in `version` where the target allows it. `hold`: requests wait while it is clear."""

    version: HttpVersion = "1.1"
    capacity: int = 100
    delay_s: dict[HttpVersion, float] = field(default_factory=dict)  # of opening, by version
    refuse: dict[HttpVersion, str] = field(default_factory=dict)  # versions that can't be had, and why
    made: list[FakeConnection] = field(default_factory=list)
    requests: list[tuple[FakeConnection, RequestHead]] = field(default_factory=list)
    answers: list[tuple[int, Headers]] = field(default_factory=list)
    failures: list[UpstreamError] = field(default_factory=list)
    cancelled: int = 0
    opening: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()
        self.open.set()

    async def dial(self, ctx: RoleContext, target: Target, connect_s: float) -> FakeConnection:
        del ctx, connect_s
        version: HttpVersion = "3" if "3" in target.versions else self.version
        self.opening += 1
        try:
            await asyncio.sleep(self.delay_s.get(version, 0))
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.opening -= 1
        if version in self.refuse:
            raise UpstreamError(self.refuse[version], unsent=True)
        connection = FakeConnection(self, target, version, len(self.made) + 1)
        self.made.append(connection)
        return connection

    async def turn(self, connection: FakeConnection) -> None:
        await self.go.wait()
        if self.failures:
            error = self.failures.pop(0)
            if not error.unsent:
                connection.break_down(str(error))
            raise error

    def alive(self) -> list[FakeConnection]:
        return [one for one in self.made if not one.ended]
