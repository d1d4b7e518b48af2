"""Real QUIC datagrams without a network: aioquic at both ends, in memory, over a path with known times.

Every datagram is sighted at the client's interface and at the server's; some are lost between the two.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import StringIO
from ipaddress import ip_address
from typing import Any

from aioquic._buffer import Buffer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ProtocolNegotiated
from aioquic.quic.packet import pull_quic_header
from aioquic.quic.retry import QuicRetryTokenHandler
from aioquic.tls import CipherSuite, SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from netlab.decode.frame import Frame
from netlab.decode.quic import Datagram
from netlab.decode.tls_keys import KeyLog
from tests.kit.tls_bytes import certificate_pem

NAME = "api.example.com"
CLIENT, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 443)
MS = 1_000_000
EPOCH_NS = 1_700_000_000_000_000_000

# Whether the network loses a datagram: (its number among those of its direction, from 0; its bytes).
Loss = Callable[[int, bytes], bool]


def _keeps(_: int, __: bytes) -> bool:
    return False


@dataclass
class Network:
    """The path between two ends. `one_way_ns` in each direction; times count in ns from EPOCH_NS.

    `at_client` and `at_server`: sightings, numbered as one capture by time.
    """

    client: QuicConnection
    server: QuicConnection | None
    make_server: Callable[[bytes, bytes | None], QuicConnection]
    secrets: StringIO
    one_way_ns: int = 25 * MS
    lost_up: Loss = _keeps
    lost_down: Loss = _keeps
    retry: bool = False
    negotiate: int = 0  # the only version that the server says it has, in a Version Negotiation packet
    client_address: tuple[str, int] = CLIENT
    now_ns: int = EPOCH_NS
    seen: list[tuple[int, str, Datagram]] = field(default_factory=list)
    flying: list[tuple[int, int, bool, bytes, tuple[str, int]]] = field(default_factory=list)
    sent: list[int] = field(default_factory=lambda: [0, 0])
    h3_client: H3Connection | None = None
    h3_server: H3Connection | None = None
    answer: Callable[[str], bytes] = lambda path: b"answer to " + path.encode()
    tunnel_fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    got: dict[int, bytes] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    _handler: Any = None

    @property
    def keys(self) -> KeyLog:
        return KeyLog.parse(self.secrets.getvalue())

    @property
    def now(self) -> float:
        return self.now_ns / 1e9

    def capture(self, place: str) -> tuple[Datagram, ...]:
        """What an interface saw: "client" or "server"; numbered with both interfaces as one capture."""
        ordered = sorted(self.seen, key=lambda one: one[0])
        return tuple(
            one[2]._replace(frame=number) for number, one in enumerate(ordered, 1) if one[1] == place
        )

    def frames(self, place: str) -> tuple[Frame, ...]:
        """The same as frames of `place`:eth0."""
        return tuple(udp_frame(one, place) for one in self.capture(place))

    # ---------------------------------------------------------------------------------- running

    def run(self, until: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Lets time pass until `until`. AssertionError where it doesn't come to that in `limit_s` (of its
        own time)."""
        end = self.now_ns + int(limit_s * 1e9)
        self._flush()
        while not until():
            assert self.now_ns < end, f"not done after {limit_s} s: {self.got}"
            self._step()
            self._flush()

    def settle(self, for_ns: int) -> None:
        """Lets `for_ns` pass."""
        end = self.now_ns + for_ns
        self._flush()
        while (at := self._next()) is not None and at <= end:
            self._step()
            self._flush()
        self.now_ns = end

    def _next(self) -> int | None:
        timers = [end.get_timer() for end in (self.client, self.server) if end is not None]
        times = [max(int(timer * 1e9) + 1000, self.now_ns) for timer in timers if timer is not None]
        times += [one[0] for one in self.flying]
        return min(times, default=None)

    def _step(self) -> None:
        at = self._next()
        assert at is not None, "nothing will happen any more"
        self.now_ns = max(at, self.now_ns)
        arrived = sorted(one for one in self.flying if one[0] <= self.now_ns)
        self.flying = [one for one in self.flying if one[0] > self.now_ns]
        for _, _, up, data, source in arrived:
            self._deliver(up, data, source)
        for end in (self.client, self.server):
            timer = None if end is None else end.get_timer()
            if end is not None and timer is not None and timer <= self.now:
                end.handle_timer(self.now)
        self._events()

    def _deliver(self, up: bool, data: bytes, source: tuple[str, int]) -> None:
        if not up:
            self._sight("client", data, SERVER, source)
            self.client.receive_datagram(data, SERVER, self.now)
            return
        self._sight("server", data, source, SERVER)
        if self.server is None and not self._accept(data, source):
            return
        assert self.server is not None
        self.server.receive_datagram(data, source, self.now)

    def _accept(self, data: bytes, source: tuple[str, int]) -> bool:
        header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        original, retry_id = header.destination_cid, None
        if self.negotiate and header.version != self.negotiate:
            self._send(False, _negotiation(header, self.negotiate), source)
            return False
        if self.retry:
            self._handler = self._handler or QuicRetryTokenHandler()
            if not header.token:
                self._send_retry(header, source)
                return False
            retry_id = header.destination_cid
            original = self._handler.validate_token(
                address=source, destination_cid=retry_id, token=header.token, now=self.now
            )
        self.server = self.make_server(original, retry_id)
        return True

    def _send_retry(self, header: Any, source: tuple[str, int]) -> None:
        from aioquic.quic.packet import encode_quic_retry

        name = b"retried!"
        token = self._handler.create_token(
            address=source,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=name,
            now=self.now,
        )
        data = encode_quic_retry(
            version=header.version,
            source_cid=name,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )
        self._send(False, data, source)

    def _flush(self) -> None:
        for end, up in ((self.client, True), (self.server, False)):
            if end is not None:
                for data, address in end.datagrams_to_send(self.now):
                    self._send(up, data, address)

    def _send(self, up: bool, data: bytes, address: tuple[str, int]) -> None:
        number = self.sent[up]
        self.sent[up] += 1
        src, dst = (self.client_address, SERVER) if up else (SERVER, address[:2])
        # 10 µs apart, as a sender can't send two at once
        at = self.now_ns + number % 100 * 10_000
        self.seen.append(
            (at, "client" if up else "server", Datagram(0, at, (src[0], src[1]), (dst[0], dst[1]), data))
        )
        if not (self.lost_up if up else self.lost_down)(number, data):
            self.flying.append((at + self.one_way_ns, number, up, data, src if up else dst))

    def _sight(self, place: str, data: bytes, src: tuple[str, int], dst: tuple[str, int]) -> None:
        self.seen.append((self.now_ns, place, Datagram(0, self.now_ns, src, dst, data)))

    # ------------------------------------------------------------------------------------- HTTP/3

    def _events(self) -> None:
        while (event := self.client.next_event()) is not None:
            if self.h3_client is not None:
                for one in self.h3_client.handle_event(event):
                    self._answered(one)
        while self.server is not None and (event := self.server.next_event()) is not None:
            if isinstance(event, ProtocolNegotiated) and self.h3_server is None:
                self.h3_server = H3Connection(self.server)
            if self.h3_server is not None:
                for one in self.h3_server.handle_event(event):
                    if isinstance(one, HeadersReceived):
                        self._asked(one)

    def _answered(self, one: object) -> None:
        if isinstance(one, (DataReceived, HeadersReceived)):
            if isinstance(one, DataReceived):
                self.got[one.stream_id] = self.got.get(one.stream_id, b"") + one.data
            if one.stream_ended:
                self.ended.add(one.stream_id)

    def _asked(self, one: HeadersReceived) -> None:
        assert self.h3_server is not None
        path = dict(one.headers)[b":path"].decode()
        if dict(one.headers).get(b":protocol"):  # a tunnel: the test itself says what goes through
            self.h3_server.send_headers(one.stream_id, [(b":status", b"200"), *self.tunnel_fields])
            return
        body = self.answer(path)
        fields = [(b":status", b"200"), (b"server", b"test"), (b"x-path", path.encode())]
        self.h3_server.send_headers(one.stream_id, fields)
        self.h3_server.send_data(one.stream_id, body, end_stream=True)

    def ask(self, path: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
        """Sends a request; its stream. Call `connect` first."""
        if self.h3_client is None:
            self.h3_client = H3Connection(self.client)
        stream = self.client.get_next_available_stream_id()
        fields = [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", NAME.encode()),
            (b":path", path.encode()),
            *headers,
        ]
        self.h3_client.send_headers(stream, fields, end_stream=True)
        return stream

    def connect(self) -> None:
        self.client.connect(SERVER, self.now)
        self._flush()

    def fetch(self, *paths: str) -> None:
        """Asks for all at once, and waits for all the answers."""
        streams = {self.ask(path) for path in paths}
        self.run(lambda: streams <= self.ended)


def _negotiation(header: Any, version: int) -> bytes:
    """RFC 9000, section 17.2.1."""
    names = b"".join(bytes((len(one),)) + one for one in (header.source_cid, header.destination_cid))
    return b"\x80" + bytes(4) + names + version.to_bytes(4, "big")


def udp_frame(one: Datagram, node: str, interface: str = "eth0") -> Frame:
    """An Ethernet frame with the datagram, checksums left 0."""
    segment = struct.pack("!HHHH", one.src[1], one.dst[1], 8 + len(one.data), 0) + one.data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 17, 0)
    addresses = ip_address(one.src[0]).packed + ip_address(one.dst[0]).packed
    data = bytes(12) + b"\x08\x00" + head + addresses + segment
    return Frame(one.frame, one.time_ns, node, interface, len(data), data)


@dataclass
class Tickets:
    """What a client and a server keep between connections."""

    client: list[SessionTicket] = field(default_factory=list)
    server: dict[bytes, SessionTicket] = field(default_factory=dict)


def network(
    tickets: Tickets | None = None,
    suite: CipherSuite | None = None,
    version: int | None = None,
    chain: int = 0,
    **options: Any,
) -> Network:
    """A client that hasn't connected yet, and the path to its server.

    `chain`: how many certificates more the server sends. `options`: as fields of Network. With `tickets`
    that hold one, the client resumes, and may send 0-RTT data.
    """
    kept, secrets = tickets or Tickets(), StringIO()
    pem = certificate_pem(NAME)
    certificate = x509.load_pem_x509_certificate(pem)

    def configuration(is_client: bool) -> QuicConfiguration:
        made = QuicConfiguration(is_client=is_client, alpn_protocols=H3_ALPN, secrets_log_file=secrets)
        if suite is not None:
            made.cipher_suites = [suite]
        if version is not None:
            made.supported_versions = [version]
            made.original_version = version if is_client else None
        return made

    client = configuration(is_client=True)
    client.server_name, client.verify_mode = NAME, ssl.CERT_NONE
    client.session_ticket = kept.client[-1] if kept.client else None
    server = configuration(is_client=False)
    server.certificate, server.private_key = certificate, load_pem_private_key(pem, None)

    server.certificate_chain = [certificate] * chain
    if options.get("negotiate"):
        server.supported_versions = [options["negotiate"]]

    def make_server(original: bytes, retried: bytes | None) -> QuicConnection:
        return QuicConnection(
            configuration=server,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
            session_ticket_fetcher=kept.server.get,
            session_ticket_handler=lambda one: kept.server.update({one.ticket: one}),
        )

    made = QuicConnection(configuration=client, session_ticket_handler=kept.client.append)
    return Network(made, None, make_server, secrets, **options)
