"""Messages of a channel in the packets: who sent which, and when it could be read where."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from netlab.errors import RemoteProtocolError
from netlab.model.roles import HttpVersion, Subscription
from netlab.trace.bodies import response_body
from netlab.trace.connection import Connection
from netlab.trace.round_trips import Moment
from netlab.trace.server_sent import event_streams
from netlab.trace.websockets import SocketFrame, websockets

URL = "https://origin.example.com/channels/{name}"
LONDON, TOKYO = "client-a", "client-b"


def subscription(channel: str, way: str, http: HttpVersion, count: int, **fields: object) -> Subscription:
    """One that fails if it doesn't get `count` messages within a minute."""
    return Subscription.model_validate(
        {
            "url": URL.format(name=channel),
            "way": way,
            "http": http,
            "count": count,
            "duration": "60s",
            **fields,
        }
    )


class Delivered(NamedTuple):
    """A channel's message as it came to a client: when its last byte could be read, in which frames."""

    text: str
    at: Moment
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A text that a client sent over its WebSocket: `at` its first byte."""

    text: str
    at: Moment
    frame: SocketFrame


def published(connections: Iterable[Connection]) -> Iterator[Published]:
    """What clients sent over WebSockets."""
    for connection in connections:
        for socket in websockets(connection):
            for one in socket.of("client"):
                if one.frame.message is not None and one.frame.opcode in (0, 1):
                    yield Published(one.frame.message.decode(errors="replace"), one.sent, one)


def delivered(connection: Connection) -> Iterator[Delivered]:
    """Every message of a channel that came over a connection, in whatever way."""
    for socket in websockets(connection):
        for one in socket.of("server"):
            if one.frame.message is not None:
                yield from _texts(one.frame.message, one.whole, one.frames)
    for stream in event_streams(connection):
        for event in stream.events:
            yield from _texts(event.event.data.encode(), event.whole, event.frames)
    yield from _polled(connection)


def _polled(connection: Connection) -> Iterator[Delivered]:
    for span in connection.requests:
        path = span.target.partition("?")[0]
        if span.done is not None and path.endswith(("/poll", "/messages")) and span.status == 200:
            with suppress(RemoteProtocolError):
                body = response_body(connection, span.exchange).data
                yield from _texts(body, span.done, span.response_frames)


def _texts(data: bytes, at: Moment, frames: tuple[int, ...]) -> Iterator[Delivered]:
    """Of one message, or of a list of them; nothing of what isn't a channel's."""
    try:
        found = json.loads(data)
    except ValueError:
        return
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict) and isinstance(one.get("text"), str):
            yield Delivered(one["text"], at, frames)
