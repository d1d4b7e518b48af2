"""A client that wants a channel's messages: by WebSocket, server-sent events, long polling or plain polling.

What is lost it asks for again: after a break it comes back, with a growing and random delay, and says which
message it had last (`since`, or Last-Event-ID).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from netlab.errors import RemoteProtocolError
from netlab.model.roles import Subscription, TlsClient
from netlab.net.agent import Asked, UserAgent
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.net.upstream import Response, UpstreamError
from netlab.net.websocket import WebSocket, WebSockets
from netlab.net.websocket_open import NotAcceptedError, open_websocket
from netlab.policy.channel import ChannelMessage
from netlab.policy.reconnect import Backoff, retry_after
from netlab.policy.tracing import new_traceparent
from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.proto.sse import EventParser
from netlab.proto.url import parse_url

_HELD_S = 40.0  # a long poll is held for 30 s
_LARGEST = 4 * 1024 * 1024  # bytes of one answer to a poll

MakeHeaders = Callable[[str, str], Headers]  # authority, traceparent ─► the client's own fields


class _EnoughError(Exception):
    """What the subscription asked for has come."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client asks: its own header fields, and how it does TLS."""

    headers: MakeHeaders
    tls: TlsClient


class Subscriber:
    """One subscription, from its first connection to its end."""

    def __init__(self, ctx: RoleContext, spec: Subscription, agent: UserAgent, manner: Manner) -> None:
        self._ctx = ctx
        self._spec = spec
        self._agent = agent
        self._manner = manner
        self._name = spec.name or spec.url
        self._channel = parse_url(spec.url).target.partition("?")[0].rpartition("/")[2]
        self._last_id: int | None = None
        self._received = 0
        self._requests = 0
        self._published = 0
        self._backoff = Backoff(ctx.rng)
        self._sockets = WebSockets(ctx)
        self._subscribed = asyncio.Event()

    async def run(self) -> bool:
        """Until `count` messages have come, or `duration` is over. False where fewer came than were wanted.

        Raises InputError where the URL is none.
        """
        publishing = self._ctx.tasks.create_task(self._publish())
        try:
            async with asyncio.timeout(self._spec.duration_ns / 1e9):
                await self._receive_for_ever()
        except _EnoughError:
            pass
        except TimeoutError:
            if self._received < self._spec.count:
                cause = (
                    f"{self._received} of {self._spec.count} messages in {self._spec.duration_ns / 1e9:g} s"
                )
                self._ctx.emit("request-failed", name=self._name, cause=cause)
        finally:
            publishing.cancel()
        return self._received >= self._spec.count

    async def _receive_for_ever(self) -> None:
        ways = {
            "websocket": self._websocket,
            "sse": self._events,
            "long-poll": self._long_poll,
            "poll": self._poll,
        }
        while True:
            try:
                await ways[self._spec.way]()
                cause, asked_s = "the server ended it", None
            except (UpstreamError, OSError, RemoteProtocolError, ValueError) as error:
                cause, asked_s = str(error) or type(error).__name__, self._asked_delay(error)
            delay_s = self._backoff.delay(asked_s)
            self._ctx.emit(
                "reconnect",
                way=self._spec.way,
                attempt=self._backoff.attempts,
                delay_ms=round(delay_s * 1000),
                cause=cause,
                last_id=self._last_id,
            )
            await asyncio.sleep(delay_s)

    def _asked_delay(self, error: Exception) -> float | None:
        """What the server's Retry-After asks for, where it refused so."""
        if not isinstance(error, NotAcceptedError):
            return None
        now = datetime.fromtimestamp(self._ctx.now_ns() / 1e9, UTC)
        return retry_after(error.response.headers.get("retry-after"), now)

    def _ready(self) -> None:
        self._backoff.succeeded()
        if not self._subscribed.is_set():
            self._subscribed.set()
            self._ctx.emit("subscribed", name=self._name, channel=self._channel, way=self._spec.way)

    def _got(self, message: ChannelMessage) -> None:
        """Raises _EnoughError with the last that is wanted."""
        self._last_id = message.id
        self._received += 1
        self._ctx.emit(
            "message",
            name=self._name,
            channel=self._channel,
            id=message.id,
            way=self._spec.way,
            sent_ns=message.sent_ns,
            bytes=len(message.text.encode()),
        )
        if self._spec.count and self._received >= self._spec.count:
            raise _EnoughError

    # Requests.

    def _asked(
        self, path: str, method: str = "GET", body: bytes = b"", fields: Headers | None = None
    ) -> Asked:
        """A request below the channel, announced under the subscription's name and a number."""
        self._requests += 1
        url = self._agent.secured(parse_url(self._spec.url + path))
        traceparent = new_traceparent(self._ctx.rng)
        what = "publish" if method == "POST" else self._spec.way
        self._ctx.emit(
            "request-start",
            name=f"{self._name}/{what} {self._requests}",
            url=f"{url.origin}{url.target}",
            traceparent=traceparent,
        )
        headers = self._manner.headers(url.authority, traceparent)
        for name, value in fields or Headers():
            headers = headers.having(name, value)
        if body:
            headers = headers.plus("Content-Length", str(len(body)))

        async def parts() -> AsyncIterator[bytes]:
            yield body

        return Asked(
            url,
            RequestHead(method, url.target, headers, scheme=url.scheme),
            self._spec.tls or self._manner.tls,
            parts if body else None,
            self._spec.http,
            timeout_s=_HELD_S,
        )

    def _since(self, path: str) -> str:
        return path if self._last_id is None else f"{path}?since={self._last_id}"

    # WebSocket.

    async def _websocket(self) -> None:
        websocket = await self._opened()
        self._ready()
        self._sockets.add(websocket)
        sending = self._ctx.tasks.create_task(self._say(websocket))
        try:
            while (message := await websocket.receive()) is not None:
                self._got(ChannelMessage.from_json(message.data))
        finally:
            sending.cancel()
            self._sockets.discard(websocket)
            with suppress(UpstreamError, OSError, RemoteProtocolError):
                await websocket.close()

    async def _opened(self) -> WebSocket:
        asked = self._asked(self._since("/ws"))

        async def opener(head: RequestHead) -> tuple[ResponseHead, Tunnel | None]:
            return await self._agent.tunnel(asked, head)

        return await open_websocket(self._ctx, opener, asked.head)

    async def _say(self, websocket: WebSocket) -> None:
        """What is left to publish goes over the connection itself."""
        async for text in self._due():
            with suppress(UpstreamError, OSError, RemoteProtocolError):
                await websocket.send(text)

    # Server-sent events.

    async def _events(self) -> None:
        fields = [("Accept", "text/event-stream"), ("Cache-Control", "no-cache")]
        if self._last_id is not None:
            fields.append(("Last-Event-ID", str(self._last_id)))
        async with self._agent.exchange(self._asked("/events", fields=Headers(fields))) as response:
            _check(response)
            self._ready()
            parser = EventParser()
            async for part in response.body():
                for event in parser.receive(part):
                    self._got(ChannelMessage.from_json(event.data))
                if parser.retry_ms is not None:
                    self._backoff.ask(parser.retry_ms / 1000)

    # Polling.

    async def _long_poll(self) -> None:
        while True:
            if self._last_id is None:
                await self._begin()
            for message in await self._messages(self._since("/poll")):
                self._got(message)

    async def _poll(self) -> None:
        while True:
            if self._last_id is None:
                await self._begin()
            for message in await self._messages(self._since("/messages")):
                self._got(message)
            await asyncio.sleep(self._spec.interval_ns / 1e9)

    async def _begin(self) -> None:
        """Only what is published from now on is wanted."""
        known = await self._messages("/messages")
        self._last_id = known[-1].id if known else 0
        self._ready()

    async def _messages(self, path: str) -> list[ChannelMessage]:
        """An answer of 204 has none. Raises UpstreamError, ValueError where it is no list of messages."""
        async with self._agent.exchange(self._asked(path)) as response:
            _check(response)
            body = await _limited(response)
        self._backoff.succeeded()
        if not body:
            return []
        found = json.loads(body)
        if not isinstance(found, list):
            raise ValueError(f"not a list of messages: {body[:60]!r}")  # noqa: TRY004 - a peer's bytes
        return [ChannelMessage.from_json(json.dumps(one)) for one in found]

    # Publishing.

    async def _publish(self) -> None:
        """By requests of their own, where the way has no direction to the server."""
        if self._spec.way == "websocket":
            return
        async for text in self._due():
            try:
                asked = self._asked("", "POST", text.encode())
                async with self._agent.exchange(asked) as response:
                    _check(response)
                    await response.read()
            except (UpstreamError, OSError) as error:
                self._ctx.emit("error", cause=f"{self._name}: not published: {error}")

    async def _due(self) -> AsyncIterator[str]:
        """Each text to publish when its time has come; none before the subscription stands."""
        await self._subscribed.wait()
        await asyncio.sleep(self._spec.publish_after_ns / 1e9)
        while self._published < len(self._spec.publish):
            self._published += 1
            yield self._spec.publish[self._published - 1]
            await asyncio.sleep(self._spec.publish_interval_ns / 1e9)


def _check(response: Response) -> None:
    if response.head.status >= 300:
        raise NotAcceptedError(f"the server answered {response.head.status}", response.head)


async def _limited(response: Response) -> bytes:
    body = b""
    async for part in response.body():
        body += part
        if len(body) > _LARGEST:
            raise UpstreamError(f"an answer of more than {_LARGEST} bytes")
    return body
