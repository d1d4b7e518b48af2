"""Handshakes, requests and round trips measured from packets with known times."""

from __future__ import annotations

import random
import ssl
from pathlib import Path

import pytest

from netlab.decode.quic import Side
from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection, connections
from netlab.trace.stalls import stalls
from netlab.trace.tcp_analysis import analyse
from netlab.trace.websockets import websockets
from tests.kit.quic_bytes import MS as QUIC_MS
from tests.kit.quic_bytes import Tickets, network
from tests.kit.tcp_path import MS, TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, Secure, secure

RTT = 50 * MS
SIDES: tuple[Side, ...] = ("client", "server")
GET = b"GET /a HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def only(path: TcpPath, keys: str = "", place: str = "client") -> Connection:
    (found,) = connections(path.frames(place), KeyLog.parse(keys))
    return found


def exchange(path: TcpPath, client: Secure, server: Secure) -> None:
    """One request of HTTP/1.1 and its answer."""
    answer: list[bytes] = []
    client.ready, client.heard = (lambda: client.send(GET)), answer.append
    server.heard = lambda _: server.send(OK)
    path.connect()
    path.run(lambda: b"".join(answer) == OK)
    path.settle()


@pytest.mark.parametrize(("version", "trips"), [("1.2", 4), ("1.3", 3)])
def test_tls_over_tcp(tmp_path: Path, version: str, trips: int) -> None:
    client, server, log = contexts(tmp_path, NAME, version)
    path = TcpPath()
    exchange(path, *secure(path, (client, server)))
    found = only(path, log.read_text())
    assert found.missing == ()
    shake = found.handshake
    assert (shake.version, shake.resumed, shake.sni, shake.alpn) == (
        f"TLS {version}",
        False,
        NAME,
        "http/1.1",
    )
    turned = found.round_trips
    assert turned is not None
    assert (turned.count, turned.before_request) == (trips, trips - 1)
    assert turned.by_time == pytest.approx(trips, abs=0.01)
    assert turned.rtt_ns == RTT
    assert len(turned.frames) == 2 * trips
    (request,) = found.requests
    assert (request.method, request.target, request.status) == ("GET", "/a", 200)
    assert (request.request_bytes, request.response_bytes, request.response_body) == (len(GET), len(OK), 5)
    assert request.wait_ns is not None
    assert request.wait_ns == pytest.approx(RTT, rel=0.01)
    assert shake.done is not None
    assert shake.done.time_ns <= request.asked.time_ns


def test_tls_12_resumed_takes_a_round_trip_less(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.2")
    first = TcpPath()
    ends = secure(first, (client, server))
    exchange(first, *ends)
    path = TcpPath()
    again, other = Secure(path.client, client, ends[0].tls.session), Secure(path.server, server)
    again.start()
    exchange(path, again, other)
    found = only(path, log.read_text())
    assert (found.missing, found.handshake.resumed) == ((), True)
    assert found.round_trips is not None
    assert found.round_trips.count == 3
    assert "Certificate" not in [one.name for one in found.handshake.messages]


def test_tls_13_resumed(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.3")
    first = TcpPath()
    ends = secure(first, (client, server))
    exchange(first, *ends)
    path = TcpPath()
    again, other = Secure(path.client, client, ends[0].tls.session), Secure(path.server, server)
    again.start()
    exchange(path, again, other)
    found = only(path, log.read_text())
    assert (found.missing, found.handshake.resumed) == ((), True)
    assert found.round_trips is not None
    assert found.round_trips.count == 3


def test_plain_tcp() -> None:
    path, answer = TcpPath(), list[bytes]()
    path.client.heard = answer.append
    path.server.heard = lambda _: path.server.send(OK)
    path.client.send(GET)
    path.connect()
    path.run(lambda: b"".join(answer) == OK)
    found = only(path)
    assert (found.http, found.handshake.version, found.missing) == ("1.1", "", ())
    assert found.round_trips is not None
    assert found.round_trips.count == 2
    assert found.handshake.done is not None
    assert found.handshake.done.time_ns - found.start.time_ns == RTT


def test_http2_requests_at_once(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)))
    http.client.ready = lambda: http.ask("/a", "/b", "/c")
    path.connect()
    path.run(lambda: len(http.done) == 3)
    found = only(path, log.read_text())
    assert (found.http, found.handshake.alpn, found.missing) == ("2", "h2", ())
    assert [(one.stream, one.target, one.status) for one in found.requests] == [
        (1, "/a", 200),
        (3, "/b", 200),
        (5, "/c", 200),
    ]
    assert found.round_trips is not None
    assert found.round_trips.count == 3
    for one in found.requests:
        assert one.response_body == len(b"answer to /a")
        assert one.response_frames
        assert one.done is not None


def test_quic_first_contact_resumption_and_retry() -> None:
    tickets = Tickets()
    expected: list[tuple[dict[str, object], int, str]] = [
        ({"tickets": tickets}, 2, ""),
        ({"tickets": tickets}, 1, "accepted"),
        ({"retry": True}, 3, ""),
    ]
    for options, trips, early in expected:
        made = network(**options)  # type: ignore[arg-type]
        made.connect()
        made.fetch("/a", "/b")
        made.settle(200 * QUIC_MS)
        (found,) = connections(made.frames("client"), made.keys)
        assert (found.transport, found.http, found.missing) == ("quic", "3", ())
        assert (found.handshake.version, found.handshake.early_data) == ("TLS 1.3", early)
        assert found.handshake.retry is ("retry" in options)
        assert found.round_trips is not None
        assert found.round_trips.count == trips, found.round_trips
        assert found.round_trips.by_time == pytest.approx(trips, abs=0.02)
        assert [one.target for one in found.requests] == ["/a", "/b"]
        assert {one.early for one in found.requests} == {early == "accepted"}


def test_a_lost_packet_costs_time_but_no_round_trip() -> None:
    made = network(lost_up=lambda number, _: number == 0)
    made.connect()
    made.fetch("/a")
    (found,) = connections(made.frames("client"), made.keys)
    assert found.round_trips is not None
    assert found.round_trips.count == 2
    assert found.round_trips.by_time > 3


def test_a_server_with_a_long_chain_waits_for_an_acknowledgement() -> None:
    """RFC 9000, section 8.1: three times what the client sent, and not a byte more."""
    made = network(chain=12)
    made.connect()
    made.fetch("/a")
    (found,) = connections(made.frames("client"), made.keys)
    assert found.round_trips is not None
    assert found.round_trips.count == 3
    assert found.round_trips.by_time == pytest.approx(3, abs=0.05)


def test_window_updates_are_no_turns(tmp_path: Path) -> None:
    """The client of the kit gives back its window while the answer comes; nobody waits for that."""
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), answer=lambda _: bytes(60_000))
    http.client.ready = lambda: http.ask("/a")
    path.connect()
    path.run(lambda: bool(http.done))
    path.settle(300 * MS)
    found = only(path, log.read_text())
    assert found.view is not None
    updates = [one for one in found.packets if found.view.to_server(one) and one.number in found._silent]
    assert updates
    spoken = {one.at.frame for one in found.spoken}
    assert not spoken & {one.number for one in updates}
    (request,) = found.requests
    assert not set(request.request_frames) & {one.number for one in updates}


def test_a_client_that_migrates_is_one_connection() -> None:
    made = network()
    made.connect()
    made.fetch("/a")
    made.client_address = ("198.51.100.9", 6000)
    made.client.change_connection_id()
    made.fetch("/b")
    (found,) = connections(made.frames("client"), made.keys)
    assert [one.status for one in found.requests] == [200, 200]
    assert found.quic is not None
    assert len(found.quic.paths) == 2


def test_two_connections_in_their_order(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.3")
    one, other = TcpPath(), TcpPath(now_ns=1_700_000_001 * 1_000_000_000)
    other.client.isn = 77_000
    for path in (other, one):
        exchange(path, *secure(path, (client, server)))
    both = (*one.frames("client"), *other.frames("client"))
    found = connections(both, KeyLog.parse(log.read_text()))
    assert [len(one.requests) for one in found] == [1, 1]
    assert found[0].start < found[1].start


# ------------------------------------------------------------------------------- what isn't there


def told(tmp_path: Path, snaplen: int = 1 << 16) -> tuple[TcpPath, str]:
    client, server, log = contexts(tmp_path, NAME, "1.3")
    path = TcpPath(snaplen=snaplen)
    exchange(path, *secure(path, (client, server)))
    return path, log.read_text()


def test_a_snapshot_length_is_told(tmp_path: Path) -> None:
    path, keys = told(tmp_path, snaplen=128)
    found = only(path, keys)
    assert any("cut short by the snapshot length" in one for one in found.missing)
    assert found.requests == ()
    assert found.round_trips is None


def test_missing_secrets_are_told(tmp_path: Path) -> None:
    path, _ = told(tmp_path)
    found = only(path)
    assert found.handshake.sni == NAME
    assert any("no secrets for the client random" in one for one in found.missing)


def test_a_capture_that_begins_late_is_told(tmp_path: Path) -> None:
    path, keys = told(tmp_path)
    (found,) = connections(path.frames("client")[4:], KeyLog.parse(keys))
    assert any("begins within the connection" in one for one in found.missing)


def test_packets_that_the_capture_lost_are_told(tmp_path: Path) -> None:
    path, keys = told(tmp_path)
    frames = list(path.frames("client"))
    largest = max(frames, key=lambda one: one.length)
    frames.remove(largest)
    (found,) = connections(frames, KeyLog.parse(keys))
    assert any("aren't in the capture" in one or "ends within" in one for one in found.missing), found.missing


@pytest.mark.parametrize("seed", range(25))
def test_damaged_captures_never_raise(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path, keys = told(tmp_path)
    made = network()
    made.connect()
    made.fetch("/a")
    frames = [*path.frames("client"), *made.frames("client")]
    for _ in range(6):
        at = rng.randrange(len(frames))
        data = bytearray(frames[at].data)
        data[rng.randrange(len(data))] = rng.randrange(256)
        cut = rng.randrange(len(data)) if rng.random() < 0.3 else len(data)
        frames[at] = type(frames[at])(
            frames[at].number, frames[at].time_ns, "client", "eth0", len(data), bytes(data[:cut])
        )
    rng.shuffle(frames)
    for found in connections(frames, KeyLog({**KeyLog.parse(keys).secrets, **made.keys.secrets})):
        assert found.round_trips is None or found.round_trips.count >= 1
        for side in SIDES:
            for stall in stalls(found, side):
                assert stall.duration_ns > 0
            if found.view is not None:
                assert all(one.value >= 0 for one in analyse(found.view, side).windows)
        assert all(one.frames == () or one.opened.whole for one in websockets(found))


def test_the_kit_speaks_tls(tmp_path: Path) -> None:
    client, server, _ = contexts(tmp_path, NAME, "1.2")
    assert client.maximum_version is server.minimum_version is ssl.TLSVersion.TLSv1_2
