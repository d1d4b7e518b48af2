"""A channel's resources: publish by POST, get by WebSocket, server-sent events, long and plain polling.

POST /channels/NAME publishes the body. GET /channels/NAME/ws (?since=ID) is a WebSocket, whose messages
are published, too; /events an event stream; /poll?since=ID holds until there is news (the guide's 6.5);
/messages?since=ID answers at once. Each message is `{"id", "sent_ns", "text"}`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from netlab.net.answers import answer_json, read_body, refuse
from netlab.net.channel import Channel, Channels
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.postgres import DatabaseGoneError
from netlab.net.websocket import KeepAlive, WebSocket, WebSockets
from netlab.net.websocket_open import accept
from netlab.policy.channel import MAX_TEXT, ChannelMessage, flaw
from netlab.proto import sse
from netlab.proto.http import Headers, ResponseHead
from netlab.proto.websocket import INTERNAL_ERROR, POLICY, UNSUPPORTED, Message

_PATH = re.compile(r"/channels/([A-Za-z0-9._~-]{1,64})(?:/(ws|events|poll|messages))?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_EVENTS_HEADERS = Headers((("Content-Type", sse.CONTENT_TYPE), ("Cache-Control", "no-store")))


@dataclass(frozen=True, slots=True)
class Holding:
    """Seconds. `poll`: how long a long poll is held; `heartbeat`: between comments of an event stream;
    `retry_ms`: what an event stream tells its reader to wait before it comes again."""

    poll: float = 30.0
    heartbeat: float = 15.0
    retry_ms: int = 1000


class ChannelResources:
    """Answers what is asked below /channels/."""

    def __init__(
        self,
        ctx: RoleContext,
        channels: Channels,
        holding: Holding | None = None,
        timing: KeepAlive | None = None,
    ) -> None:
        self._ctx = ctx
        self._channels = channels
        self._holding = holding or Holding()
        self._sockets = WebSockets(ctx, timing)

    async def handle(self, exchange: Exchange) -> None:
        found = _PATH.fullmatch(exchange.request.path)
        if found is None:
            await refuse(exchange, 404, "no such resource")
            return
        name, what = found[1], found[2] or ""
        allowed = ("GET", "HEAD") if what in ("poll", "messages") else ("GET",) if what else ("POST",)
        if exchange.request.method not in allowed:
            await refuse(exchange, 405, f"only {' and '.join(allowed)}", ("Allow", ", ".join(allowed)))
            return
        try:
            channel = await self._channels.get(name)
            if channel is None:
                await refuse(exchange, 503, "too many channels")
            else:
                await self._answer(exchange, channel, what)
        except DatabaseGoneError as error:
            self._ctx.emit("error", cause=str(error))
            await refuse(exchange, 503, "the database is gone", ("Retry-After", "1"))

    async def _answer(self, exchange: Exchange, channel: Channel, what: str) -> None:
        try:
            since = _since(exchange, what)
        except ValueError as error:
            await refuse(exchange, 400, str(error))
            return
        match what:
            case "":
                await self._publish(exchange, channel)
            case "ws":
                await self._websocket(exchange, channel, since)
            case "events":
                await self._events(exchange, channel, since)
            case "poll":
                await self._poll(exchange, channel, channel.last_id if since is None else since)
            case _:
                await _list(exchange, channel.since(since or 0))

    async def _publish(self, exchange: Exchange, channel: Channel) -> None:
        data = await read_body(exchange, MAX_TEXT)
        if data is None:
            await refuse(exchange, 413, f"a message has at most {MAX_TEXT} bytes")
        elif cause := flaw(data):
            await refuse(exchange, 400, cause)
        else:
            message = await self._channels.publish(channel, data.decode(), exchange.traceparent)
            await answer_json(exchange, {"id": message.id, "sent_ns": message.sent_ns}, status=201)

    # WebSocket.

    async def _websocket(self, exchange: Exchange, channel: Channel, since: int | None) -> None:
        # Messages compressed without context are the same bytes to all, so they are made once.
        websocket = await accept(self._ctx, exchange, takeover=False, max_message=MAX_TEXT)
        if websocket is None:
            return
        self._sockets.add(websocket)
        channel.join(websocket, since)
        try:
            while (message := await websocket.receive()) is not None:
                await self._said(channel, websocket, message, exchange.traceparent)
        finally:
            channel.leave(websocket)
            self._sockets.discard(websocket)

    async def _said(self, channel: Channel, websocket: WebSocket, message: Message, traceparent: str) -> None:
        if not message.is_text:
            websocket.begin_close(UNSUPPORTED, "a channel takes text")
        elif cause := flaw(message.data):
            websocket.begin_close(POLICY, cause)
        else:
            try:
                await self._channels.publish(channel, message.text, traceparent)
            except DatabaseGoneError as error:
                self._ctx.emit("error", cause=str(error))
                websocket.begin_close(INTERNAL_ERROR, "the database is gone")

    # Server-sent events.

    async def _events(self, exchange: Exchange, channel: Channel, since: int | None) -> None:
        await exchange.respond(ResponseHead(200, _EVENTS_HEADERS), self._stream(channel, since))

    async def _stream(self, channel: Channel, since: int | None) -> AsyncIterator[bytes]:
        last_id = channel.last_id if since is None else since
        yield sse.retry(self._holding.retry_ms)
        while True:
            messages = channel.since(last_id)
            if messages:
                last_id = messages[-1].id
                yield b"".join(_event(message) for message in messages)
            elif self._ctx.stopping:
                return
            elif not await self._news(channel, self._holding.heartbeat) and not self._ctx.stopping:
                yield sse.comment()

    # Polling.

    async def _poll(self, exchange: Exchange, channel: Channel, since: int) -> None:
        """The messages after `since`, held until there is one; 204 where none comes in time."""
        if not channel.since(since):
            await self._news(channel, self._holding.poll)
        messages = channel.since(since)
        if messages:
            await _list(exchange, messages)
        else:
            await exchange.respond(ResponseHead(204, Headers((("Cache-Control", "no-store"),))))

    async def _news(self, channel: Channel, timeout_s: float) -> bool:
        """False where there is none in time, or the role stops."""
        try:
            async with self._ctx.idle(timeout_s):
                await channel.news()
        except TimeoutError:
            return False
        return True


def _since(exchange: Exchange, what: str) -> int | None:
    """The number after which messages are wanted: `since`, or Last-Event-ID of an event stream.

    Raises ValueError."""
    query = parse_qs(exchange.request.target.partition("?")[2], keep_blank_values=True, max_num_fields=8)
    values = query.get("since", [])
    if what == "events" and (last := exchange.request.headers.get("last-event-id")):
        values = [last]
    if not values:
        return None
    if len(values) > 1 or not _NUMBER.fullmatch(values[0]):
        raise ValueError("`since` is the id of a message")
    return int(values[0])


def _event(message: ChannelMessage) -> bytes:
    return sse.encode(message.to_json(), event_id=str(message.id))


async def _list(exchange: Exchange, messages: Iterable[ChannelMessage]) -> None:
    body = f"[{','.join(message.to_json() for message in messages)}]".encode()
    fields = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    await exchange.respond(ResponseHead(200, Headers(fields)), body)
