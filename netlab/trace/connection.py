"""Connections at one interface: handshake, requests and round trips, measured from the packets.

Give it the frames of one interface, or of all interfaces of one host (a client that migrates from one to
another); frames of several hosts would show every packet twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from netlab.decode.frame import Frame
from netlab.decode.quic import Datagram, QuicConnection, QuicTracker, Side
from netlab.decode.tls import KeyLog, TlsSession, decrypt, hello_offset
from netlab.errors import RemoteProtocolError
from netlab.proto.http import RequestHead, ResponseHead
from netlab.proto.http2_reader import PREFACE
from netlab.proto.proxy_protocol import SIGNATURE, HeaderReader
from netlab.trace.amplification import releasing
from netlab.trace.carriage import Carriage
from netlab.trace.leg import View, tcp_views
from netlab.trace.message import Exchange, http_exchanges
from netlab.trace.packet import Packet, Socket, packets_of
from netlab.trace.round_trips import Moment, RoundTrips, Spoken, Turn, first_wait, round_trips, turns
from netlab.trace.silent import silent_frames
from netlab.trace.streams import Http2Dialogue, Http3Dialogue, http2_dialogue, http3_dialogue

Transport = Literal["tcp", "quic"]


class HandshakeMessage(NamedTuple):
    """A TLS handshake message. `done`: the frame with which it was whole."""

    name: str
    sender: Side
    frames: tuple[int, ...]
    done: int


@dataclass(frozen=True, slots=True)
class Handshake:
    """`version`: "TLS 1.2", "TLS 1.3" (also within QUIC) or "" in the clear; `cipher` its IANA name.

    `early_data`: "", "offered", "accepted" or "rejected". `done`: both sides' Finished have been seen here,
    or in plain TCP the client's first ACK; None where the capture doesn't show it.
    """

    version: str = ""
    cipher: str = ""
    sni: str = ""
    alpn: str = ""
    resumed: bool = False
    early_data: str = ""
    retry: bool = False
    version_negotiation: bool = False
    messages: tuple[HandshakeMessage, ...] = ()
    done: Moment | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A request and its response. `asked`: its first byte; `sent`: its last one. `answered`: the first byte
    of the response; `done`: the packet with which the whole response could be read.

    What the capture doesn't have is None. `request_bytes`, `response_bytes`: headers and framing of HTTP
    included, without TLS, QUIC and below. `early`: it was sent in 0-RTT packets.
    """

    stream: int
    version: str
    method: str
    target: str
    status: int
    asked: Moment
    sent: Moment
    answered: Moment | None
    done: Moment | None
    request_bytes: int
    response_bytes: int
    request_body: int
    response_body: int
    request_frames: tuple[int, ...]
    response_frames: tuple[int, ...]
    early: bool
    exchange: Exchange

    @property
    def wait_ns(self) -> int | None:
        """From the request's first byte to the response's."""
        return None if self.answered is None else self.answered.time_ns - self.asked.time_ns

    @property
    def total_ns(self) -> int | None:
        """From the request's first byte to the response's last one."""
        return None if self.done is None else self.done.time_ns - self.asked.time_ns


@dataclass(frozen=True)
class Connection:
    """`view` of TCP, `quic` of QUIC. `http`: "1.1", "2", "3", or "" where none was read.

    `missing`: what the capture lacks or can't open, so that numbers may lack it too.
    """

    transport: Transport
    client: Socket
    server: Socket
    packets: tuple[Packet, ...]
    handshake: Handshake
    http: str
    exchanges: tuple[Exchange, ...]
    up: Carriage
    down: Carriage
    missing: tuple[str, ...] = ()
    view: View | None = None
    tls: TlsSession | None = None
    quic: QuicConnection | None = None

    @property
    def start(self) -> Moment:
        """Its first packet here."""
        return Moment(self.packets[0].time_ns, self.packets[0].number)

    @property
    def end(self) -> Moment:
        return Moment(self.packets[-1].time_ns, self.packets[-1].number)

    @cached_property
    def plain(self) -> tuple[bytes, bytes]:
        """TCP: what client and server said, without TLS and a PROXY header. Empty for QUIC."""
        if self.view is None:
            return b"", b""
        if self.tls is not None:
            return self.tls.client_plain.data, self.tls.server_plain.data
        return self.view.up.since(self.up.shift), self.view.down.data

    @cached_property
    def http2(self) -> Http2Dialogue:
        """Its frames, where it speaks HTTP/2."""
        return http2_dialogue(*self.plain)

    @cached_property
    def http3(self) -> Http3Dialogue:
        """Its frames, where it speaks HTTP/3. Empty for TCP."""
        return Http3Dialogue((), ()) if self.quic is None else http3_dialogue(self.quic)

    @cached_property
    def _times(self) -> dict[int, int]:
        return {packet.number: packet.time_ns for packet in self.packets}

    def moment(self, frame: int) -> Moment:
        return Moment(self._times[frame], frame)

    @cached_property
    def spoken(self) -> tuple[Spoken, ...]:
        """The packets that say something the other side may wait for."""
        if self.quic is not None:
            said = {one.frame: one.sender == "client" for one in self.quic.packets if one.speaks}
            spoken = [Spoken(self.moment(frame), by) for frame, by in said.items()]
            released = releasing(self.quic, first_wait(spoken)) - said.keys()
            return tuple(sorted((*spoken, *(Spoken(self.moment(frame), True) for frame in released))))
        assert self.view is not None
        silent = self._silent
        return tuple(
            Spoken(self.moment(one.number), self.view.to_server(one))
            for one in self.packets
            if one.speaks and one.number not in silent
        )

    @cached_property
    def _turns(self) -> tuple[Turn, ...]:
        return turns(self.spoken, first_wait(self.spoken))

    def trips(self, start_ns: int, end_ns: int) -> int:
        """Waits for the server that ended after `start_ns` and until `end_ns`. At the client's interface."""
        return sum(start_ns < one.answered.time_ns <= end_ns for one in self._turns)

    @cached_property
    def _silent(self) -> frozenset[int]:
        """Packets of HTTP/2's own management: no one waits for them."""
        managing = silent_frames(self.plain, self.up, self.down) if self.http == "2" else frozenset[int]()
        shaking = {number for one in self.handshake.messages for number in one.frames}
        return managing - shaking

    @cached_property
    def requests(self) -> tuple[Span, ...]:
        """By the time at which they were sent."""
        found = (self._span(one) for one in self.exchanges)
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.asked))

    def _span(self, exchange: Exchange) -> Span | None:
        asked, answer = exchange.request, exchange.response_extents
        if not isinstance(asked, RequestHead) or not self.up.has(exchange.request_extents):
            return None
        answered = self.down.has(answer)
        request_frames = self.up.frames_of(exchange.request_extents)
        return Span(
            exchange.stream,
            asked.version,
            asked.method,
            asked.target,
            exchange.response.status if isinstance(exchange.response, ResponseHead) else 0,
            self.moment(self.up.first(exchange.request_extents)),
            self.moment(self.up.whole(exchange.request_extents)),
            self.moment(self.down.first(answer)) if answered else None,
            self.moment(self.down.whole(answer)) if answered and exchange.whole else None,
            sum(one.end - one.start for one in exchange.request_extents),
            sum(one.end - one.start for one in answer),
            exchange.request_body,
            exchange.response_body,
            request_frames,
            self.down.frames_of(answer) if answered else (),
            self._early(request_frames),
            exchange,
        )

    def _early(self, frames: Sequence[int]) -> bool:
        return bool(frames) and set(frames) <= self._early_frames

    @cached_property
    def _early_frames(self) -> frozenset[int]:
        packets = self.quic.packets if self.quic is not None else ()
        return frozenset(one.frame for one in packets if one.type == "0-RTT" and one.speaks)

    @cached_property
    def round_trips(self) -> RoundTrips | None:
        """Before the first response byte; None without a response. At the client's interface."""
        answered = [one for one in self.requests if one.answered is not None]
        if not answered:
            return None
        first = min(answered, key=lambda one: one.answered or one.asked)
        assert first.answered is not None
        return round_trips(self.spoken, first.asked, first.answered)


def connections(frames: Iterable[Frame], keys: KeyLog) -> tuple[Connection, ...]:
    """The TCP and QUIC connections among `frames`, in the order in which they begin.

    Never raises for what the frames hold: `missing` of a connection says what could not be read.
    """
    packets = packets_of(frames)
    made = [_tcp(view, keys) for view in tcp_views(one for one in packets if one.headers.protocol == "tcp")]
    made += _quic([one for one in packets if one.headers.protocol == "udp"], keys)
    return tuple(sorted(made, key=lambda one: one.start))


# --------------------------------------------------------------------------------------------- TCP


def _tcp(view: View, keys: KeyLog) -> Connection:
    up, down = view.up.data, view.down.data
    tls = decrypt(view.up, view.down, keys) if hello_offset(up) is not None else None
    shift = 0 if tls is not None else _proxy_length(up)
    plain = (up[shift:], down) if tls is None else (tls.client_plain.data, tls.server_plain.data)
    http, exchanges = http_of(*plain)
    missing = [*_lacking(view), *([tls.undecrypted] if tls is not None and tls.undecrypted else [])]
    return Connection(
        "tcp",
        view.client,
        view.server,
        view.packets,
        _tcp_handshake(view, tls),
        http,
        exchanges,
        Carriage.tcp(view.up, tls.client_plain if tls else None, shift),
        Carriage.tcp(view.down, tls.server_plain if tls else None),
        tuple(missing),
        view,
        tls,
    )


def http_of(up: bytes, down: bytes) -> tuple[str, tuple[Exchange, ...]]:
    """The version of HTTP that plain bytes of a TCP connection speak, and its exchanges; "" if none."""
    if up.startswith(PREFACE):
        return "2", http2_dialogue(up, down).exchanges
    found = http_exchanges(up, down)
    return ("1.1" if found else ""), found


def _proxy_length(data: bytes) -> int:
    """How long the PROXY protocol header is that the client's stream begins with."""
    if not data.startswith((SIGNATURE, b"PROXY ")):
        return 0
    reader = HeaderReader()
    try:
        header = reader.receive(data[:4112])
    except RemoteProtocolError:
        return 0
    return 0 if header is None else len(data[:4112]) - reader.buffered()


def _lacking(view: View) -> list[str]:
    found = []
    if not (view.up.opened and view.down.opened):
        found.append("the capture begins within the connection: no SYN from both sides")
    cut = [one.number for one in view.packets if len(one.payload) < one.headers.payload_length]
    if cut:
        found.append(f"{len(cut)} packets are cut short by the snapshot length, the first is frame {cut[0]}")
    for side, stream in (("client", view.up), ("server", view.down)):
        if stream.gaps:
            start, end = stream.gaps[0]
            found.append(f"bytes {start} to {end} of the {side}'s stream aren't in the capture")
    return found


def _tcp_handshake(view: View, tls: TlsSession | None) -> Handshake:
    times = {one.number: one.time_ns for one in view.packets}
    if tls is None:
        acked = _acked(view)
        return Handshake(done=Moment(acked.time_ns, acked.number) if acked else None)
    messages = tuple(
        HandshakeMessage(one.name, one.direction, stream.frames_of(one.start, one.end), done)
        for one in tls.messages
        for stream in [view.up if one.direction == "client" else view.down]
        for done in [stream.frame_at(one.end - 1)]
    )
    return Handshake(
        tls.version,
        tls.cipher,
        tls.sni,
        tls.alpn,
        tls.resumed,
        messages=tuple(sorted(messages, key=lambda one: (times[one.done], one.done))),
        done=_finished(messages, times),
    )


def _acked(view: View) -> Packet | None:
    """The client's first packet after SYN and SYN-ACK."""
    accepted = False
    for packet in view.packets:
        if accepted and view.to_server(packet) and not packet.opens:
            return packet
        accepted = accepted or packet.accepts
    return None


def _finished(messages: Iterable[HandshakeMessage], times: dict[int, int]) -> Moment | None:
    """When the later of the two Finished messages was here."""
    done: dict[Side, Moment] = {}
    for one in messages:
        if one.name == "Finished":
            done.setdefault(one.sender, Moment(times[one.done], one.done))
    return max(done.values()) if len(done) == 2 else None


# -------------------------------------------------------------------------------------------- QUIC


def _quic(packets: Sequence[Packet], keys: KeyLog) -> list[Connection]:
    tracker, owner = QuicTracker(keys), dict[int, list[Packet]]()
    for packet in packets:
        datagram = Datagram(packet.number, packet.time_ns, packet.src, packet.dst, packet.payload)
        connection = tracker.add(datagram)
        if connection is not None:
            owner.setdefault(id(connection), []).append(packet)
    return [_quic_connection(one, tuple(owner[id(one)])) for one in tracker.connections]


def _quic_connection(quic: QuicConnection, packets: tuple[Packet, ...]) -> Connection:
    exchanges = http3_dialogue(quic).exchanges
    times = {one.number: one.time_ns for one in packets}
    messages = tuple(HandshakeMessage(one.name, one.sender, one.frames, one.done) for one in quic.messages)
    handshake = Handshake(
        "TLS 1.3" if messages else "",
        quic.cipher,
        quic.sni,
        quic.alpn,
        quic.resumed,
        quic.early_data,
        quic.retry,
        quic.negotiated,
        messages,
        _finished(messages, times),
    )
    return Connection(
        "quic",
        Socket(*quic.client),
        Socket(*quic.server),
        packets,
        handshake,
        "3" if exchanges else "",
        exchanges,
        Carriage.quic(quic, "client"),
        Carriage.quic(quic, "server"),
        _quic_lacking(quic, packets),
        quic=quic,
    )


def _quic_lacking(quic: QuicConnection, packets: Iterable[Packet]) -> tuple[str, ...]:
    found = list(quic.problems)
    cut = [one.number for one in packets if len(one.payload) < one.headers.payload_length]
    if cut:
        found.append(f"{len(cut)} packets are cut short by the snapshot length, the first is frame {cut[0]}")
    for (stream, side), one in sorted(quic.streams.items()):
        if one.gaps:
            start, end = one.gaps[0]
            found.append(f"bytes {start} to {end} of the {side}'s stream {stream} aren't in the capture")
    return tuple(found)
