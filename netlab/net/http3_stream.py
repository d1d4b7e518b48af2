"""HTTP/3 streams on a QUIC link, for both sides: bodies with back-pressure each way, and tunnels."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.net.quic_link import QuicLink
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent
from netlab.proto.http3 import Http3
from netlab.proto.http3_frames import ErrorCode

PART = 64 * 1024  # bytes of one DATA frame
_HIGH = 128 * 1024  # bytes of a stream that may wait to be sent
_LOW = 64 * 1024


class StreamResetError(ConnectionResetError):
    """The peer gave up a stream, or the connection ended: `code` is HTTP/3's."""

    def __init__(self, cause: str, code: int = ErrorCode.NO_ERROR) -> None:
        super().__init__(cause)
        self.code = code


def reset_by_peer(code: int) -> StreamResetError:
    try:
        name = f"H3_{ErrorCode(code).name}"
    except ValueError:
        name = f"{code:#x}"
    return StreamResetError(f"the peer reset the stream ({name})", code)


class Incoming:
    """A body as it comes; what nobody has read yet is held against the peer's flow control."""

    def __init__(self, link: QuicLink, stream: int) -> None:
        self._link = link
        self._stream = stream
        self._parts: deque[bytes] = deque()
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self.ended = False
        self.trailers: Headers = NO_HEADERS

    def put(self, data: bytes) -> None:
        self._link.quic.hold(self._stream, len(data))
        self._parts.append(data)
        self._news.set()

    def end(self, trailers: Headers = NO_HEADERS) -> None:
        self.trailers, self.ended = trailers, True
        self._news.set()

    def fail(self, error: Exception) -> None:
        """It ends early: what came is not given any more. One that is whole stays so."""
        if not self.ended and self._error is None:
            self._error = error
            self.drop()
        self._news.set()

    def drop(self) -> None:
        """Nobody will read the rest."""
        self._parts.clear()

    async def get(self, timeout_s: float | None) -> bytes | None:
        """What has come, as soon as there is something; None at the end.

        Raises TimeoutError, or the error that ended it early.
        """
        if not self._parts and not self.ended and self._error is None:
            await self._wait(timeout_s)
        if self._error is not None:
            raise self._error
        if not self._parts:
            return None
        data = b"".join(self._parts)
        self._parts.clear()
        self._link.quic.hold(self._stream, -len(data))
        self._link.wake()
        return data

    async def _wait(self, timeout_s: float | None) -> None:
        async with asyncio.timeout(timeout_s):
            while not self._parts and not self.ended and self._error is None:
                self._news.clear()
                await self._news.wait()


class Multiplexer:
    """The sending side of all streams of one connection."""

    def __init__(self, link: QuicLink, http: Http3) -> None:
        self.link = link
        self.http = http
        self._waiting: dict[int, asyncio.Event] = {}

    def send(self, event: HttpEvent, *, end: bool = False) -> None:
        """At once; it leaves with whatever else is sent in this turn of the event loop."""
        self.http.send(event, end=end)
        self.link.wake()

    async def write(self, stream: int, data: bytes, timeout_s: float, *, end: bool = False) -> None:
        """Body bytes; returns when there is room for more. Raises TimeoutError, StreamResetError."""
        for offset in range(0, len(data), PART):
            if not self.http.writable(stream):
                raise StreamResetError("the peer takes no more of this stream")
            part = data if len(data) <= PART else data[offset : offset + PART]
            self.send(Data(part, stream), end=end and offset + PART >= len(data))
            if self.link.quic.unsent(stream) > _HIGH:
                await self._room(stream, timeout_s)

    async def _room(self, stream: int, timeout_s: float) -> None:
        room = self._waiting[stream] = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await room.wait()
        finally:
            self._waiting.pop(stream, None)

    def sent(self) -> None:
        """Datagrams have left."""
        if self._waiting:
            for stream, room in self._waiting.items():
                if self.link.quic.unsent(stream) <= _LOW or not self.http.writable(stream):
                    room.set()

    def forget(self, stream: int) -> None:
        """A stream is done with."""
        self.link.quic.forget(stream)
        self.wake_writer(stream)

    def wake_writer(self, stream: int) -> None:
        if stream in self._waiting:
            self._waiting[stream].set()

    def finish(self) -> None:
        """The connection has ended."""
        for room in self._waiting.values():
            room.set()


class Http3Tunnel:
    """A Tunnel (net.exchange) on one stream (RFC 9220): bytes in DATA frames. `on_end` is called when both
    directions have ended, or it is aborted."""

    def __init__(self, multiplexer: Multiplexer, stream: int, incoming: Incoming, timeout_s: float) -> None:
        self._multiplexer = multiplexer
        self._stream = stream
        self._incoming = incoming
        self._timeout_s = timeout_s
        self.on_end: Callable[[], None] | None = None

    @property
    def flow(self) -> Flow:
        return self._multiplexer.link.flow

    async def read(self) -> bytes:
        data = await self._incoming.get(None)
        if data is None:
            self._end_if_done()
        return data or b""

    async def write(self, data: bytes) -> None:
        await self._multiplexer.write(self._stream, data, self._timeout_s)

    async def close(self) -> None:
        if self._multiplexer.http.writable(self._stream):
            self._multiplexer.send(End(stream=self._stream))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._incoming.ended and not self._multiplexer.http.writable(self._stream):
            self._ended()

    def abort(self) -> None:
        self._multiplexer.http.reset(self._stream, ErrorCode.CONNECT_ERROR)
        self._multiplexer.forget(self._stream)
        self._incoming.fail(StreamResetError("aborted"))
        self._multiplexer.link.wake()
        self._ended()

    def _ended(self) -> None:
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()


def too_slow(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{what} took too long", 408)
