"""WebSockets of either side over a tunnel of any version of HTTP (RFC 6455, RFC 8441, RFC 9220)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, assert_never

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.proto.websocket import (
    ABNORMAL,
    GOING_AWAY,
    MAX_MESSAGE,
    NORMAL,
    Closing,
    Failed,
    Message,
    Ping,
    Pong,
    Prepared,
    WebSocketCodec,
    WebSocketEvent,
)
from netlab.proto.websocket_deflate import Deflate
from netlab.proto.websocket_handshake import Accepted

_MAX_PENDING = 1024 * 1024  # bytes that wait for a peer to whom nobody can wait


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Seconds. A ping after `interval` of silence; the end where `timeout` later nothing has come, or
    nothing could be written for so long. `close`: for the peer's part of the closing handshake."""

    interval: float = 20.0
    timeout: float = 20.0
    close: float = 2.0


class WebSocket:
    """One WebSocket. One task may receive; any may send.

    Pings are answered while somebody receives, and only then is anything read: a receiver that is slow
    holds the peer back.
    """

    __slots__ = (
        "__weakref__",
        "_busy_since",
        "_closing_since",
        "_codec",
        "_ctx",
        "_ended",
        "_events",
        "_heard",
        "_lock",
        "_mute",
        "_over",
        "_pending",
        "_pending_size",
        "_pinged",
        "_receiving",
        "_side",
        "_tunnel",
        "close_code",
        "close_reason",
        "flow",
        "subprotocol",
        "timing",
    )

    def __init__(
        self,
        ctx: RoleContext,
        tunnel: Tunnel,
        *,
        client: bool,
        agreed: Accepted,
        max_message: int = MAX_MESSAGE,
        timing: KeepAlive | None = None,
    ) -> None:
        deflate = Deflate(agreed.compression, client=client) if agreed.compression else None
        self._ctx = ctx
        self._tunnel = tunnel
        self._side = "client" if client else "server"
        self._codec = WebSocketCodec(client=client, deflate=deflate, max_message=max_message)
        self.flow: Flow = tunnel.flow
        self.subprotocol = agreed.subprotocol
        self.timing = timing or KeepAlive()
        self.close_code = ABNORMAL  # how it ended; the peer's code, or ours where it broke the protocol
        self.close_reason = ""
        self._events: deque[WebSocketEvent] = deque()
        self._lock = asyncio.Lock()  # whole frames go out one after another
        self._pending: deque[bytes] = deque()
        self._pending_size = 0
        self._over = False
        self._mute = False
        self._ended: asyncio.Event | None = None  # made by who waits for the end
        self._receiving = False
        self._heard = ctx.now()
        self._pinged = 0.0
        self._busy_since = 0.0
        self._closing_since = 0.0

    @property
    def closed(self) -> bool:
        return self._over

    # What comes in.

    async def receive(self) -> Message | None:
        """The next message; None when the WebSocket has ended, however (`close_code` tells)."""
        self._receiving = True
        try:
            while not self._over:
                message = await self._handle()
                if message is not None:
                    return message
                if not self._over:
                    await self._read()
        finally:
            self._receiving = False
        return None

    async def _handle(self) -> Message | None:
        """Take events until one is a message, or none is left."""
        while self._events:
            event = self._events.popleft()
            match event:
                case Message():
                    self._heard = self._ctx.now()
                    if not self._codec.close_sent:
                        self._say("websocket-received", event)
                        return event
                case Ping():
                    await self._pong(event.payload)
                case Pong():
                    pass  # that something came is what counts
                case Closing():
                    await self._finish(event.code, event.reason, "closed by the peer", event.code)
                case Failed():
                    await self._finish(
                        event.code, event.reason, f"the peer broke the protocol: {event.reason}"
                    )
                case _:
                    assert_never(event)
        return None

    async def _read(self) -> None:
        try:
            data = await self._tunnel.read()
        except (OSError, RemoteProtocolError) as error:
            self.abort(str(error) or type(error).__name__)
            return
        self._heard = self._ctx.now()
        if data:
            self._events.extend(self._codec.receive(data))
        else:
            await self._end_tunnel()
            self._lose("the peer ended without a Close frame")

    async def _pong(self, payload: bytes) -> None:
        if self._codec.close_sent or self._mute:
            return
        try:
            await self._write(lambda: self._codec.pong(payload))
        except (OSError, RemoteProtocolError):
            self._mute = True  # nothing can be said any more; what was heard before still counts

    # What goes out.

    async def send(self, message: Message | Prepared | str | bytes, **labels: Any) -> bool:
        """Returns when the peer's slowness allows more; False where the WebSocket has ended or ends.

        `labels` go into the event."""
        if isinstance(message, str | bytes):
            message = as_message(message)
        if self._over or self._codec.close_sent:
            return False
        try:
            if not await self._write(lambda: self._codec.send(message)):
                return False
        except (OSError, RemoteProtocolError) as error:
            self.abort(str(error) or type(error).__name__)
            return False
        self._say("websocket-sent", message, **labels)
        return True

    def offer(self, message: Prepared, *, announce: bool = True, **labels: Any) -> bool:
        """Send without waiting. A peer too slow for what waits already is cut off: False.

        Without `announce` there is no event: a thousand receivers of one message are one event's worth.
        """
        if self._over or self._codec.close_sent:
            return False
        if not self._post(self._codec.send(message)):
            return False
        if announce:
            self._say("websocket-sent", message, **labels)
        return True

    def _post(self, data: bytes) -> bool:
        """Write at once where the tunnel can, else after what waits already."""
        if not self._pending and not self._lock.locked() and self._feed(data):
            return True
        self._pending_size += len(data)
        if self._pending_size > _MAX_PENDING and self._pending:
            self.abort(f"the peer is too slow: {self._pending_size} bytes wait")
            return False
        self._pending.append(data)
        if len(self._pending) == 1 and not self._lock.locked():
            self._ctx.tasks.create_task(self._flush())
        return True

    def _feed(self, data: bytes) -> bool:
        feed = getattr(self._tunnel, "feed", None)
        return feed is not None and bool(feed(data))

    async def _flush(self) -> None:
        try:
            async with self._lock:
                await self._write_pending()
        except (OSError, RemoteProtocolError) as error:
            self.abort(str(error) or type(error).__name__)

    async def _write_pending(self) -> None:
        while self._pending:
            data = self._pending.popleft()
            self._pending_size -= len(data)
            await self._timed_write(data)

    async def _write(self, make: Callable[[], bytes]) -> bool:
        """The frame is made in its turn: compressed ones must leave in the order of their making.
        False where Close has gone before it."""
        async with self._lock:
            await self._write_pending()
            if self._over or self._codec.close_sent:
                return False
            await self._timed_write(make())
            await self._write_pending()
            return True

    async def _timed_write(self, data: bytes) -> None:
        self._busy_since = self._ctx.now()
        try:
            await self._tunnel.write(data)
        finally:
            self._busy_since = 0.0

    # The end.

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """The closing handshake (RFC 6455 section 7.1.2), within the time that `timing.close` gives."""
        self.begin_close(code, reason)
        try:
            async with asyncio.timeout(self.timing.close):
                if self._receiving:
                    await self.ended()
                else:
                    while await self.receive() is not None:
                        pass
        except TimeoutError:
            self.abort("the peer did not answer Close in time")

    def begin_close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send Close without waiting; who receives sees the rest of the handshake."""
        if not self._over and not self._codec.close_sent:
            self._closing_since = self._ctx.now()
            self.close_reason = reason
            self._post(self._codec.close(code, reason))

    async def ended(self) -> None:
        """Returns when the WebSocket has ended."""
        if self._over:
            return
        if self._ended is None:
            self._ended = asyncio.Event()
        await self._ended.wait()

    def abort(self, cause: str = "aborted") -> None:
        """End it at once, without a Close frame."""
        self._tunnel.abort()
        self._lose(cause)

    async def _finish(self, code: int, reason: str, cause: str, reply: int | None = None) -> None:
        """Answer Close, or say why we close; then the connection, which the server ends first
        (RFC 6455 section 7.1.1)."""
        ours = self._codec.close_sent
        self._closing_since = self._ctx.now()
        try:
            async with asyncio.timeout(self.timing.close):
                if not ours:
                    await self._write(lambda: self._codec.close(code, reason if reply is None else ""))
                if self._side == "server":
                    await self._tunnel.close()
                while await self._tunnel.read():
                    pass  # what comes after Close means nothing
                await self._tunnel.close()
        except (OSError, RemoteProtocolError):  # TimeoutError among them
            self._tunnel.abort()
        self._end(code, reason, "closed by us" if ours else cause)

    async def _end_tunnel(self) -> None:
        with suppress(OSError, RemoteProtocolError):
            await self._tunnel.close()

    def _lose(self, cause: str) -> None:
        self._end(ABNORMAL, "", cause)

    def _end(self, code: int, reason: str, cause: str) -> None:
        if self._over:
            return
        self._over = True
        self._pending.clear()
        self._events.clear()
        self.close_code, self.close_reason = code, reason
        if self._ended is not None:
            self._ended.set()
        self._ctx.emit("websocket-closed", self.flow, side=self._side, code=code, reason=reason, cause=cause)

    def check(self, now: float) -> None:
        """What the time asks for: a ping, or the end of a peer that is gone or takes nothing."""
        timing = self.timing
        if self._over:
            return
        if self._closing_since:
            if now - self._closing_since > timing.close:
                self.abort("the peer did not answer Close in time")
        elif self._busy_since:
            if now - self._busy_since > timing.timeout:
                self.abort(f"the peer has taken nothing for {timing.timeout:g} s")
        elif self._receiving and self._pinged > self._heard:
            if now - self._pinged > timing.timeout:
                self.abort(f"no answer to a ping in {timing.timeout:g} s")
        elif self._receiving and now - self._heard > timing.interval:
            self._pinged = now
            self._post(self._codec.ping())

    def _say(self, event: str, message: Message | Prepared, **labels: Any) -> None:
        content = message.message if isinstance(message, Prepared) else message
        kind = "text" if content.is_text else "binary"
        self._ctx.emit(event, self.flow, kind=kind, bytes=len(content.data), **labels)


class WebSockets:
    """Those that one role holds: kept alive, and told to go away when the role stops.

    One task looks after all of them, so that each costs little.
    """

    def __init__(self, ctx: RoleContext, timing: KeepAlive | None = None) -> None:
        self._ctx = ctx
        self.timing = timing or KeepAlive()
        self._held: set[WebSocket] = set()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def add(self, websocket: WebSocket) -> None:
        websocket.timing = self.timing
        self._held.add(websocket)
        if self._task is None or self._task.done():
            self._task = self._ctx.tasks.create_task(self._look())

    def discard(self, websocket: WebSocket) -> None:
        self._held.discard(websocket)

    async def _look(self) -> None:
        timing = self.timing
        tick = min(1.0, max(min(timing.interval, timing.timeout, timing.close) / 4, 0.01))
        while self._held:
            with suppress(TimeoutError):
                async with self._ctx.idle(tick):
                    await self._ctx.stopped()
            if self._ctx.stopping:
                break
            now = self._ctx.now()
            for websocket in list(self._held):
                websocket.check(now)
        for websocket in list(self._held):
            websocket.begin_close(GOING_AWAY, "this end stops")
        self._task = None


def as_message(content: str | bytes) -> Message:
    """Text of a str, binary of bytes."""
    return Message(content.encode()) if isinstance(content, str) else Message(content, is_text=False)
