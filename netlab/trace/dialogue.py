"""What was said on one leg: its plain bytes, whether they came through TLS or not, and its exchanges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from netlab.decode.quic import QuicConnection
from netlab.decode.tls import KeyLog, TlsSession, decrypt, hello_offset
from netlab.errors import RemoteProtocolError
from netlab.proto.proxy_protocol import SIGNATURE, Header, HeaderReader
from netlab.trace.carriage import Carriage
from netlab.trace.connection import http_of
from netlab.trace.leg import Leg, Network, View
from netlab.trace.message import Exchange
from netlab.trace.packet import Journey, Packet
from netlab.trace.silent import silent_frames
from netlab.trace.sql import sql_exchanges

_HELLO_START = 64  # bytes of a ClientHello that have its random, which no other connection has


class Secured(NamedTuple):
    """`version` "TLS 1.2", "TLS 1.3" or "QUIC v1"; `problem`: why not all of it could be read, or ""."""

    version: str
    cipher: str
    sni: str
    alpn: str
    resumed: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`tls` is None where the bytes are plain or in QUIC. `start`: where the client's own bytes begin in its
    stream, after a PROXY protocol header (`proxied`). `protocol`: "http", "sql", or "" for what isn't read;
    `version` of HTTP: "1.1", "2", "3". `quic`, `quic_server`: a QUIC connection as its client's and its
    server's interface saw it."""

    leg: Leg
    protocol: str
    tls: TlsSession | None
    proxied: Header | None
    start: int
    exchanges: tuple[Exchange, ...]
    version: str = ""
    quic: QuicConnection | None = None
    quic_server: QuicConnection | None = None

    @property
    def opening(self) -> bytes:
        """What the client itself said first: the same on both sides of a layer 4 balancer, and nowhere
        else, because a TLS client's random is its own, and a proxy changes the requests it forwards."""
        data = self.leg.client.up.data[self.start :]
        return data if self.tls is None else data[:_HELLO_START]

    @property
    def secured(self) -> Secured | None:
        """What protects it; None in the clear."""
        if self.quic is not None:
            one = self.quic
            return Secured(one.version, one.cipher, one.sni, one.alpn, one.resumed, "; ".join(one.problems))
        if self.tls is None:
            return None
        tls = self.tls
        return Secured(tls.version, tls.cipher, tls.sni, tls.alpn, tls.resumed, tls.undecrypted)

    @property
    def silent(self) -> frozenset[int]:
        """HTTP/2 over TCP: frames at the client that only manage the connection."""
        if self.version != "2" or self.quic is not None:
            return frozenset()
        client, tls = self.leg.client, self.tls
        if tls is not None:
            plain = tls.client_plain.data, tls.server_plain.data
        else:
            plain = client.up.since(self.start), client.down.data
        return silent_frames(plain, self.up(client), self.down(client))

    def up(self, view: View) -> Carriage:
        """What the client said, as `view` saw it: its client's or its server's."""
        if self.quic is not None:
            return Carriage.quic(self._quic_at(view), "client")
        return Carriage.tcp(view.up, self.tls.client_plain if self.tls else None, self.start)

    def down(self, view: View) -> Carriage:
        """What the server said."""
        if self.quic is not None:
            return Carriage.quic(self._quic_at(view), "server")
        return Carriage.tcp(view.down, self.tls.server_plain if self.tls else None)

    def _quic_at(self, view: View) -> QuicConnection:
        found = self.quic if view is self.leg.client else self.quic_server
        assert found is not None
        return found


def dialogue(leg: Leg, keys: KeyLog) -> Dialogue:
    """Reads a leg of TCP: TLS with the secrets of `keys`, HTTP/1.1 or 2, PostgreSQL. Other legs have no
    exchanges."""
    up, down = leg.client.up, leg.client.down
    proxied, start = _proxy_header(up.data)
    if hello_offset(up.data) is None:
        return _plain(leg, proxied, start, up.data[start:], down.data)
    tls = decrypt(up, down, keys)
    version, found = http_of(tls.client_plain.data, tls.server_plain.data)
    return Dialogue(leg, "http" if found else "", tls, proxied, tls.start, found, version)


def _plain(leg: Leg, proxied: Header | None, start: int, up: bytes, down: bytes) -> Dialogue:
    version, found = http_of(up, down)
    if found:
        return Dialogue(leg, "http", None, proxied, start, found, version)
    statements = sql_exchanges(up, down)
    return Dialogue(leg, "sql" if statements else "", None, proxied, start, statements)


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
        asked, answered = exchange.request_extents, exchange.response_extents
        if exchange.trace_id != trace_id or exchange.response is None or not exchange.whole:
            continue
        up, down, heard, said = one.up(client), one.down(client), one.up(server), one.down(server)
        if not (heard.has(asked) and said.has(answered)):
            continue  # the capture at the server lost a part of it
        request, response = up.frames_of(asked), down.frames_of(answered)
        yield Passage(
            one,
            exchange,
            joined.by_number[request[0]],
            joined.by_number[heard.whole(asked)],
            joined.by_number[said.frames_of(answered)[0]],
            joined.by_number[down.whole(answered)],
            request,
            response,
            joined.journey_of[heard.frames_of(asked)[0]],
            joined.journey_of[response[0]],
        )
