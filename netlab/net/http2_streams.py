"""The streams of one HTTP/2 connection on one transport: who reads, who writes, and whose turn it is.

One task reads the transport and one writes it. What all streams have to say in one turn of the event loop
leaves in one write. Bodies go out as both windows allow, by priority, and no faster than the transport.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from netlab.net.stream import Stream
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent, Reset
from netlab.proto.http2 import ClientCodec, ErrorCodes, ServerCodec
from netlab.proto.http2_priority import Turn, next_turn

_FRAME = 16 * 1024  # of one stream, before it is another's turn
_AHEAD = 64 * 1024  # what is made ready for one write


class StreamResetError(ConnectionResetError):
    """The stream, or its connection, ended early. `unsent`: the peer did not act on it."""

    def __init__(self, cause: str, *, unsent: bool = False) -> None:
        super().__init__(cause)
        self.unsent = unsent


def code_name(code: int) -> str:
    """As RFC 9113 section 7 names it."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"code {code:#x}"


def reset_by_peer(code: int) -> StreamResetError:
    """What RST_STREAM with this code means (RFC 9113 section 8.7)."""
    return StreamResetError(
        f"the stream was reset: {code_name(code)}", unsent=code == ErrorCodes.REFUSED_STREAM
    )


@dataclass(slots=True, eq=False)
class _Waiting:
    """A part of a body that waits for windows and for its turn."""

    turn: Turn
    data: memoryview
    ends: bool
    sent: asyncio.Future[None]
    timer: asyncio.Timeout
    timeout_s: float


class Multiplexer:
    """Streams share a codec and a transport. `write_s`: how long the peer may take nothing at all."""

    def __init__(self, codec: ServerCodec | ClientCodec, stream: Stream, write_s: float) -> None:
        self.codec = codec
        self._stream = stream
        self._write_s = write_s
        self._waiting: dict[int, _Waiting] = {}
        self._turns = 0
        self._ready = 0  # bytes of bodies in the codec since the last write
        self._something = asyncio.Event()
        self._finishing = False

    def flush(self) -> None:
        """What is in the codec is to be written."""
        self._something.set()

    def finish(self) -> None:
        """Let the writer end when all is written."""
        self._finishing = True
        self._something.set()

    async def write_all(self) -> None:
        """Write until `finish`. Raises OSError, and TimeoutError where the peer takes nothing."""
        while True:
            self._schedule()
            self._ready = 0
            data = self.codec.outgoing()
            if data:
                async with asyncio.timeout(self._write_s):
                    await self._stream.write(data)
            elif self._finishing:
                return
            else:
                self._something.clear()
                await self._something.wait()

    def send(self, *events: HttpEvent) -> None:
        """Heads, ends, resets: at once."""
        self.codec.send(*events)
        self._something.set()

    def reset(self, stream: int, code: int) -> None:
        """RST_STREAM, where the stream is not closed."""
        self.send(Reset(code, stream))
        self.fail(stream, StreamResetError(f"the stream was given up: {code_name(code)}"))

    def fits(self, stream: int, size: int) -> bool:
        """A body of this size may leave at once: nobody waits, and there is room everywhere."""
        return (
            not self._waiting
            and self._ready + size <= _AHEAD
            and (not size or size <= self.codec.window(stream))
        )

    def send_body(self, data: Data, *before: HttpEvent, end: End | None = None) -> None:
        """What `fits`, with what comes before and after it."""
        self._ready += len(data.data)
        ends = (end,) if end is not None else ()
        self.send(*before, *((data,) if data.data else ()), *ends)

    async def write(self, stream: int, data: bytes, timeout_s: float, *, ends: bool = False) -> None:
        """Send a part of a body; returns when the windows and the transport have taken it.

        Raises StreamResetError; TimeoutError where no byte could go for `timeout_s`.
        """
        if not self.codec.is_open(stream):
            raise StreamResetError("the stream is closed")
        if self.fits(stream, len(data)):
            self.send_body(Data(data, stream), end=End(stream=stream) if ends else None)
            return
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn = Turn(stream, self.codec.priority(stream), self._turns)
        async with asyncio.timeout(timeout_s) as timer:
            self._waiting[stream] = _Waiting(turn, memoryview(data), ends, sent, timer, timeout_s)
            self._something.set()
            try:
                await sent
            finally:
                self._waiting.pop(stream, None)

    def fail(self, stream: int, error: Exception) -> None:
        """Who waits to write on a stream is told."""
        waiting = self._waiting.get(stream)
        if waiting is not None and not waiting.sent.done():
            waiting.sent.set_exception(error)

    def _schedule(self) -> None:
        room = _AHEAD
        while room > 0 and self._waiting:
            turn = next_turn(
                waiting.turn
                for stream, waiting in self._waiting.items()
                if not waiting.sent.done() and self.codec.window(stream)
            )
            if turn is None:
                return
            room -= self._serve(self._waiting[turn.stream])

    def _serve(self, waiting: _Waiting) -> int:
        stream = waiting.turn.stream
        part = waiting.data[: min(_FRAME, self.codec.window(stream))]
        waiting.data = waiting.data[len(part) :]
        done = not waiting.data
        ends = (End(stream=stream),) if done and waiting.ends else ()
        self.codec.send(Data(bytes(part), stream), *ends)
        self._turns += 1
        waiting.turn.served = self._turns
        waiting.turn.priority = self.codec.priority(stream)
        if done:
            waiting.sent.set_result(None)
        else:
            waiting.timer.reschedule(asyncio.get_running_loop().time() + waiting.timeout_s)
        return len(part)


class Inbox:
    """What has come on one stream and was not read. Reading gives the peer its credit back."""

    def __init__(self, multiplexer: Multiplexer, stream: int) -> None:
        self.stream = stream
        self.ended = False
        self.trailers: Headers = NO_HEADERS
        self._multiplexer = multiplexer
        self._parts: deque[bytes] = deque()
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        self._parts.append(data)
        self._notify()

    def end(self, trailers: Headers) -> None:
        self.ended = True
        self.trailers = trailers
        self._notify()

    def fail(self, error: Exception) -> None:
        """Whoever reads gets `error`, when what came before it is read."""
        if not self.ended and self._error is None:
            self._error = error
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next_part(self, timeout_s: float | None) -> bytes | None:
        """All that has come; None at the end. Raises what `fail` got; TimeoutError where nothing comes."""
        if not self._parts and not self.ended and self._error is None:
            async with asyncio.timeout(timeout_s):
                await self._wait()
        if self._parts:
            data = self._parts.popleft() if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._multiplexer.codec.consumed(self.stream, len(data))
            self._multiplexer.flush()
            return data
        if self._error is not None:
            raise self._error
        return None

    async def _wait(self) -> None:
        while not self._parts and not self.ended and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


class Http2Tunnel:
    """A `Tunnel` (net.exchange) on one stream, after an extended CONNECT (RFC 8441 section 4).

    `done` is called once, when our side has ended it.
    """

    def __init__(
        self,
        multiplexer: Multiplexer,
        stream: Stream,
        inbox: Inbox,
        timeout_s: float,
        done: Callable[[], None] | None = None,
    ) -> None:
        self.flow = stream.flow
        self._multiplexer = multiplexer
        self._inbox = inbox
        self._timeout_s = timeout_s
        self._done = done
        self._writing = asyncio.Lock()

    async def read(self) -> bytes:
        """Some bytes, as soon as there are any; b"" at the end. Raises OSError."""
        return await self._inbox.next_part(None) or b""

    async def write(self, data: bytes) -> None:
        """Returns when the peer's slowness allows more. Several may write at once. Raises OSError."""
        if data:
            async with self._writing:
                await self._multiplexer.write(self._inbox.stream, data, self._timeout_s)

    async def close(self) -> None:
        """END_STREAM, as the end of a TCP connection (RFC 8441 section 5)."""
        stream = self._inbox.stream
        async with self._writing:
            if self._multiplexer.codec.is_open(stream):
                self._multiplexer.send(End(stream=stream))
        self._finish()

    def abort(self) -> None:
        """RST_STREAM with CANCEL, as a TCP reset (RFC 8441 section 5)."""
        self._multiplexer.reset(self._inbox.stream, ErrorCodes.CANCEL)
        self._finish()

    def _finish(self) -> None:
        if self._done is not None:
            self._done()
            self._done = None
