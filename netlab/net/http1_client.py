"""The client's side of an HTTP/1.1 connection: one request at a time, bodies streamed both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from netlab.errors import RemoteProtocolError
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.net.http1_cycle import Cycle
from netlab.net.http1_tunnel import Http1Tunnel
from netlab.net.stream import Stream
from netlab.net.upstream import (
    ClientConnection,
    ConnectionState,
    Outgoing,
    Response,
    Target,
    UpstreamError,
)
from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.proto.http1 import ClientCodec

_MAX_HEAD = 64 * 1024
_LEFTOVER = 256 * 1024  # of a body that nobody wants, read so that the connection can go on


class _Response(Response):
    """A response whose head has come; its body comes as it is asked for."""

    def __init__(self, head: ResponseHead, cycle: Cycle) -> None:
        self.head = head
        self.flow = cycle.flow
        self.informational = tuple(cycle.informational)
        self._cycle = cycle

    async def body(self) -> AsyncIterator[bytes]:
        """Raises UpstreamError where the body ends early."""
        while (part := await self._cycle.next_part()) is not None:
            yield part
        self.trailers = self._cycle.trailers


class Http1Connection(ClientConnection):
    """Takes over `stream`, which is connected to `target`, TLS included."""

    def __init__(self, ctx: RoleContext, stream: Stream, target: Target) -> None:
        self.target = target
        self.version = "1.1"
        self.flow = stream.flow
        self.tls = stream.tls
        self.state = ConnectionState()
        self._ctx = ctx
        self._stream = stream
        self._codec = ClientCodec(_MAX_HEAD)
        self._watcher: asyncio.Task[None] | None = None
        self._told = False  # that the connection is closed

    @asynccontextmanager
    async def exchange(self, request: Outgoing) -> AsyncIterator[Response]:
        await self._begin()
        cycle = Cycle(self._ctx, self._stream, self.target, self._codec, request)
        try:
            await cycle.send()
            yield _Response(await cycle.head(), cycle)
        except BaseException as error:
            cycle.gave_up(error)
            raise
        finally:
            await self._finish(cycle)

    async def tunnel(self, head: RequestHead, timeout_s: float = 30.0) -> tuple[ResponseHead, Tunnel | None]:
        await self._begin()
        own = (("Upgrade", head.protocol), ("Connection", "Upgrade"))
        fields = Headers((*head.headers.without("upgrade", "connection"), *own))
        request = Outgoing(head.with_headers(fields), timeout_s=timeout_s)
        cycle = Cycle(self._ctx, self._stream, self.target, self._codec, request)
        switched = False
        try:
            await cycle.send()
            answer = await cycle.head()
            if answer.status == 101:
                self._check_switch(head, answer)
                switched = True
                self._say_closed("it has become a tunnel")
                return answer, Http1Tunnel(self._stream, self._codec.trailing())
            await cycle.skip(_LEFTOVER)
        except BaseException as error:
            cycle.gave_up(error)
            raise
        finally:
            if not switched:
                await self._finish(cycle)
        return answer, None

    def _check_switch(self, asked: RequestHead, answer: ResponseHead) -> None:
        """RFC 9110 section 7.8: the server says to what it switches."""
        if answer.headers.get("upgrade").lower() != asked.protocol:
            chosen = answer.headers.get("upgrade") or "nothing"
            raise UpstreamError(f"{self.target}: it switched to {chosen}, not {asked.protocol}")

    async def close(self) -> None:
        self._say_closed("done")
        self._stop_watching()
        await self._stream.close()
        self._emit_closed()

    def abort(self) -> None:
        self._say_closed("aborted")
        self._stop_watching()
        self._stream.abort()
        self._emit_closed()

    # From one request to the next.

    async def _begin(self) -> None:
        if watcher := self._stop_watching():
            await asyncio.wait({watcher})  # it reads the stream
        state = self.state
        if state.closed or state.active:
            cause = state.cause or "another request is under way"
            raise UpstreamError(f"{self.target}: {cause}", unsent=True)
        state.active = 1
        state.requests += 1

    async def _finish(self, cycle: Cycle) -> None:
        """Keep the connection where it can carry another request; end it elsewhere."""
        cycle.settle()
        cause = cycle.cause or self._not_reusable(cycle)
        if cause:
            self._say_closed(cause)
        await cycle.stop_sending()
        self.state.active = 0
        if not cause:
            self._watcher = self._ctx.tasks.create_task(self._watch())
        elif cycle.complete and not cycle.cause:
            await self.close()
        else:
            self.abort()

    def _not_reusable(self, cycle: Cycle) -> str:
        """Why the connection ends; "" where it goes on."""
        if not cycle.complete:
            return "given up within a response"
        if self._ctx.stopping:
            return "the role stops"
        if not self._codec.reusable:
            return "done"
        try:
            self._codec.next_cycle()
        except RemoteProtocolError as error:
            return str(error)
        return ""

    async def _watch(self) -> None:
        """While it is idle: a server that closes it, or talks unasked (408, say), has ended it."""
        try:
            cause = "it talked unasked" if await self._stream.read() else "the server closed it"
        except OSError as error:
            cause = str(error)
        self._say_closed(cause)
        self._watcher = None
        await self._stream.close()
        self._emit_closed()

    def _stop_watching(self) -> asyncio.Task[None] | None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        return watcher

    def _say_closed(self, cause: str) -> None:
        if not self.state.closed:
            self.state.cause = cause
            self.state.closed = True

    def _emit_closed(self) -> None:
        if not self._told:
            self._told = True
            self._ctx.emit("connection-closed", self.flow, cause=self.state.cause)
