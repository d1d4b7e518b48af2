"""What was said on one leg: its plain bytes, whether they came through TLS or not, and its exchanges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netlab.decode.stream import Stream
from netlab.decode.tls import KeyLog, TlsSession, decrypt, hello_offset
from netlab.errors import RemoteProtocolError
from netlab.proto.proxy_protocol import SIGNATURE, Header, HeaderReader
from netlab.trace.leg import Leg, Network, View
from netlab.trace.message import Exchange, Extent, http_exchanges
from netlab.trace.packet import Journey, Packet
from netlab.trace.sql import sql_exchanges

_HELLO_START = 64  # bytes of a ClientHello that have its random, which no other connection has


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`tls` is None where the bytes are plain. `start`: where the client's own bytes begin in its stream,
    after a PROXY protocol header (`proxied`). `protocol`: "http", "sql", or "" for what isn't read."""

    leg: Leg
    protocol: str
    tls: TlsSession | None
    proxied: Header | None
    start: int
    exchanges: tuple[Exchange, ...]

    @property
    def opening(self) -> bytes:
        """What the client itself said first: the same on both sides of a layer 4 balancer, and nowhere
        else, because a TLS client's random is its own, and a proxy changes the requests it forwards."""
        data = self.leg.client.up.data[self.start :]
        return data if self.tls is None else data[:_HELLO_START]

    def up_range(self, extent: Extent) -> tuple[int, int]:
        """Where the client's stream has the plain bytes of `extent`."""
        if self.tls is not None:
            return self.tls.client_plain.stream_range(extent.start, extent.end)
        return extent.start + self.start, extent.end + self.start

    def down_range(self, extent: Extent) -> tuple[int, int]:
        """Where the server's stream has the plain bytes of `extent`."""
        if self.tls is not None:
            return self.tls.server_plain.stream_range(extent.start, extent.end)
        return extent.start, extent.end


def dialogue(leg: Leg, keys: KeyLog) -> Dialogue:
    """Reads a leg: TLS with the secrets of `keys`, HTTP/1.1, PostgreSQL. Other legs have no exchanges."""
    up, down = leg.client.up, leg.client.down
    proxied, start = _proxy_header(up.data)
    if hello_offset(up.data) is None:
        return _plain(leg, proxied, start, up.data[start:], down.data)
    tls = decrypt(up, down, keys)
    found = http_exchanges(tls.client_plain.data, tls.server_plain.data)
    return Dialogue(leg, "http" if found else "", tls, proxied, tls.start, found)


def _plain(leg: Leg, proxied: Header | None, start: int, up: bytes, down: bytes) -> Dialogue:
    for protocol, exchanges in (("http", http_exchanges(up, down)), ("sql", sql_exchanges(up, down))):
        if exchanges:
            return Dialogue(leg, protocol, None, proxied, start, exchanges)
    return Dialogue(leg, "", None, proxied, start, ())


def _proxy_header(data: bytes) -> tuple[Header | None, int]:
    """The PROXY header (version 2) at the start of `data`, and its length."""
    if not data.startswith(SIGNATURE):
        return None, 0
    reader = HeaderReader()
    try:
        header = reader.receive(data)
    except RemoteProtocolError:
        return None, 0
    return (header, len(data) - reader.buffered()) if header is not None else (None, 0)


@dataclass(frozen=True, slots=True)
class Passage:
    """One request and its response on one leg, with the packets that carried them.

    `asked` and `answered`: the first packet of the request at the client, of the response at the
    server. `heard` and `received`: the packet with which the whole request was at the server, the
    whole response at the client. `crossing` and `returning`: the journeys of the first packets that
    arrived, which are others than `asked` and `answered` where those were lost on the way.
    """

    dialogue: Dialogue
    exchange: Exchange
    asked: Packet
    heard: Packet
    answered: Packet
    received: Packet
    request_frames: tuple[int, ...]
    response_frames: tuple[int, ...]
    crossing: Journey
    returning: Journey

    @property
    def client(self) -> View:
        return self.dialogue.leg.client

    @property
    def server(self) -> View:
        return self.dialogue.leg.server


def passages(dialogues: Iterable[Dialogue], joined: Network, trace_id: str) -> tuple[Passage, ...]:
    """The legs that the request `trace_id` took, in order: the same trace-id is in the bytes of each.

    Exchanges without a response in the capture are left out.
    """
    found = [passage for one in dialogues for passage in _passages_of(one, joined, trace_id)]
    return tuple(sorted(found, key=lambda passage: passage.asked.time_ns))


def _passages_of(one: Dialogue, joined: Network, trace_id: str) -> Iterator[Passage]:
    client, server = one.leg.client, one.leg.server
    for exchange in one.exchanges:
        if exchange.trace_id != trace_id or exchange.response is None:
            continue
        up, down = one.up_range(exchange.request_extent), one.down_range(exchange.response_extent)
        if not (_has(server.up, up) and _has(server.down, down)):
            continue  # the capture at the server lost a part of it
        request, response = client.up.frames_of(*up), client.down.frames_of(*down)
        yield Passage(
            one,
            exchange,
            joined.by_number[request[0]],
            joined.by_number[server.up.frame_at(up[1] - 1)],
            joined.by_number[server.down.frames_of(*down)[0]],
            joined.by_number[client.down.frame_at(down[1] - 1)],
            request,
            response,
            joined.journey_of[server.up.frames_of(*up)[0]],
            joined.journey_of[response[0]],
        )


def _has(stream: Stream, extent: tuple[int, int]) -> bool:
    return extent[0] < extent[1] <= len(stream)
