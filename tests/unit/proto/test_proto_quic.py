"""QUIC in memory: credit that follows the reader, what waits to be sent, the endpoint's answers."""

from __future__ import annotations

import random
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import HandshakeCompleted, QuicEvent, StreamDataReceived
from aioquic.quic.packet import QuicProtocolVersion, encode_quic_version_negotiation
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

from netlab.pki.authority import Authority
from netlab.proto.quic_connection import Connection, ServerTls, transport_error
from netlab.proto.quic_endpoint import Address, Answer, Endpoint, Opening, long_header
from netlab.proto.quic_tickets import ClientTickets, ServerTickets

SERVER = Address("192.0.2.1", 443, "", 0)
CLIENT = Address("192.0.2.2", 5000, "192.0.2.1", 443)
WINDOW = 64 * 1024
IDENTITY = Authority.create("test", datetime(2030, 1, 1, tzinfo=UTC)).issue(("h",))


def configuration(is_client: bool) -> QuicConfiguration:
    made = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["h3"],
        server_name="h" if is_client else None,
        verify_mode=ssl.CERT_NONE,
        max_data=4 * WINDOW,
        max_stream_data=WINDOW,
    )
    if not is_client:
        made.certificate, *made.certificate_chain = load_pem_x509_certificates(IDENTITY.chain_pem.encode())
        made.private_key = load_pem_private_key(IDENTITY.key_pem.encode())
    return made


@dataclass
class Pair:
    """Two connections, and a wire with a delay of 5 ms that loses one datagram in `loss`."""

    loss: float = 0.0
    now: float = 0.0
    unread: frozenset[int] = frozenset()  # streams whose data the server does not use
    rng: random.Random = field(default_factory=lambda: random.Random(3))

    def __post_init__(self) -> None:
        self.kept = ServerTickets(limit=1)
        self.mine = ClientTickets(limit=1)
        self.client = Connection(
            configuration=configuration(True),
            session_ticket_handler=lambda ticket: self.mine.keep("server", ticket),
        )
        self.client.connect(SERVER, now=self.now)
        self.server = Connection(
            configuration=configuration(False),
            original_destination_connection_id=self.client.original_destination_connection_id,
            session_ticket_fetcher=self.kept.take,
            session_ticket_handler=self.kept.keep,
            server_tls=ServerTls(),
        )
        self.heard: dict[Connection, list[QuicEvent]] = {self.client: [], self.server: []}

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.005
            for side, other, source in (
                (self.client, self.server, CLIENT),
                (self.server, self.client, SERVER),
            ):
                timer = side.get_timer() if side is self.client or self.heard[side] else None
                if timer is not None and timer <= self.now:
                    side.handle_timer(self.now)
                if side is self.server and not self.heard[side]:
                    continue
                for datagram, _ in side.datagrams_to_send(now=self.now):
                    if self.rng.random() >= self.loss:
                        other.receive_datagram(datagram, source, self.now)
                        self._listen(other)

    def _listen(self, side: Connection) -> None:
        while (event := side.next_event()) is not None:
            self.heard[side].append(event)
            if isinstance(event, StreamDataReceived) and side is self.server:
                side.hold(event.stream_id, len(event.data) if event.stream_id in self.unread else 0)

    def received(self, side: Connection, stream: int) -> int:
        return sum(
            len(event.data)
            for event in self.heard[side]
            if isinstance(event, StreamDataReceived) and event.stream_id == stream
        )


def test_handshake_under_loss() -> None:
    pair = Pair(loss=0.1)
    pair.run(5)
    for side in (pair.client, pair.server):
        assert any(isinstance(event, HandshakeCompleted) for event in pair.heard[side]), pair.heard[side]
        assert side.cipher == "TLS_AES_256_GCM_SHA384"
    assert pair.client.peer_chain[0].subject.rfc4514_string() == "CN=h"
    assert len(pair.client.peer_chain) == 2
    assert pair.server.peer_chain == ()


def held_back(pair: Pair) -> None:
    """Reads nothing of stream 0, then all of it, while stream 4 goes on."""
    pair.run(1)
    content = bytes(10 * WINDOW)
    pair.client.send_stream_data(0, content, True)
    pair.unread = frozenset((0,))
    pair.run(2)
    assert WINDOW // 2 < pair.received(pair.server, 0) <= WINDOW, pair.received(pair.server, 0)
    assert pair.client.unsent(0) >= 8 * WINDOW
    pair.client.send_stream_data(4, content, True)
    pair.run(8)
    assert pair.received(pair.server, 4) == len(content), "the other stream is not held up"
    assert pair.server.held == pair.received(pair.server, 0)
    pair.unread = frozenset()
    pair.server.hold(0, -pair.server.held)
    pair.run(12)
    assert pair.received(pair.server, 0) == len(content)
    assert pair.client.unsent(0) == 0
    assert pair.client.delivered


def test_credit_follows_the_reader() -> None:
    held_back(Pair())


def test_credit_follows_the_reader_under_loss() -> None:
    held_back(Pair(loss=0.03))


def test_the_connection_s_credit_is_for_all_streams() -> None:
    pair = Pair()
    pair.run(1)
    for stream in range(0, 40, 4):
        pair.client.send_stream_data(stream, bytes(2 * WINDOW), True)
    pair.unread = frozenset(range(0, 40, 4))
    pair.run(2)
    assert 3 * WINDOW <= pair.server.held <= 4 * WINDOW, pair.server.held
    for stream in pair.unread:
        pair.server.hold(stream, -pair.received(pair.server, stream))
    assert pair.server.held == 0
    pair.unread = frozenset()
    pair.run(8)
    got = sum(pair.received(pair.server, stream) for stream in range(0, 40, 4))
    assert got == 20 * WINDOW


def test_a_closed_connection_says_so_at_once() -> None:
    pair = Pair()
    pair.run(1)
    assert pair.client.termination is None
    pair.client.close(0x100, reason_phrase="enough")
    pair.run(0.02)
    for side in (pair.client, pair.server):
        assert side.termination is not None
        assert (side.termination.error_code, side.termination.reason_phrase) == (0x100, "enough")


# The endpoint.


def initial() -> bytes:
    client = Connection(configuration=configuration(True))
    client.connect(SERVER, now=0.0)
    return client.datagrams_to_send(now=0.0)[0][0]


def test_opening_and_routing() -> None:
    endpoint: Endpoint[str] = Endpoint()
    datagram = initial()
    opening = endpoint.receive(datagram, CLIENT, 0.0)
    assert isinstance(opening, Opening)
    endpoint.add(opening.destination, "one")
    endpoint.add(b"12345678", "one")
    assert endpoint.receive(datagram, CLIENT, 0.0) == "one"
    assert endpoint.receive(b"\x40" + b"12345678" + bytes(30), CLIENT, 0.0) == "one"
    assert endpoint.receive(b"\x40" + b"87654321" + bytes(30), CLIENT, 0.0) is None
    endpoint.retire(b"12345678")
    endpoint.remove("one")
    assert (len(endpoint), endpoint.connections) == (0, [])


def test_retry_needs_a_token_from_the_same_address() -> None:
    endpoint: Endpoint[str] = Endpoint(retry=True)
    client = Connection(configuration=configuration(True))
    client.connect(SERVER, now=0.0)
    first = client.datagrams_to_send(now=0.0)[0][0]
    answer = endpoint.receive(first, CLIENT, 0.0)
    assert isinstance(answer, Answer)
    assert len(answer.datagram) < 3 * len(first)
    client.receive_datagram(answer.datagram, SERVER, 0.01)
    second = client.datagrams_to_send(now=0.01)[0][0]
    opening = endpoint.receive(second, CLIENT, 0.02)
    assert isinstance(opening, Opening)
    assert opening.original_destination == long_header(first).destination  # type: ignore[union-attr]
    elsewhere = CLIENT._replace(remote="192.0.2.9")
    refused = endpoint.receive(second, elsewhere, 0.02)
    assert isinstance(refused, Answer)
    client.receive_datagram(refused.datagram, SERVER, 0.03)
    assert client.termination is not None
    assert transport_error(client.termination.error_code) == "INVALID_TOKEN"
    late = endpoint.receive(second, CLIENT, 60.0)
    assert isinstance(late, Answer), "a token does not last"


def test_rubbish_gets_no_answer() -> None:
    endpoint: Endpoint[str] = Endpoint()
    rng = random.Random(5)
    negotiation = encode_quic_version_negotiation(
        source_cid=b"12345678", destination_cid=b"12345678", supported_versions=[1]
    )
    short = initial()[:1199]
    for datagram in (b"", b"\xc0", negotiation, negotiation + bytes(1200), short, b"\x00" * 1500):
        assert endpoint.receive(datagram, CLIENT, 0.0) is None, datagram[:40]
    for _ in range(2000):
        found = endpoint.receive(rng.randbytes(rng.randrange(1, 1400)), CLIENT, 0.0)
        assert found is None or isinstance(found, Answer)


def test_no_more_connections() -> None:
    endpoint: Endpoint[str] = Endpoint(limit=1)
    endpoint.add(b"12345678", "one")
    refused = endpoint.receive(initial(), CLIENT, 0.0)
    assert isinstance(refused, Answer)
    version = QuicProtocolVersion.VERSION_1
    assert long_header(refused.datagram).version == version  # type: ignore[union-attr]


def test_tickets_are_used_once() -> None:
    pair = Pair()
    pair.run(1)
    mine, kept = pair.mine, pair.kept
    assert mine.take("other") is None
    ticket = mine.take("server")
    assert ticket is not None
    assert mine.take("server") is None
    assert kept.take(ticket.ticket) is not None
    assert kept.take(ticket.ticket) is None
