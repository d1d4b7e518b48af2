"""WebSocket frames in captured connections over HTTP/1.1, 2 and 3."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection, connections
from netlab.trace.websockets import WebSocket, websockets
from tests.kit.quic_bytes import MS as QUIC_MS
from tests.kit.quic_bytes import network
from tests.kit.tcp_path import MS, TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, secure

ASK = (
    b"GET /chat HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", NAME),
    (":path", "/chat"),
]


def client_frames() -> list[bytes]:
    one = Frames(ConnectionType.CLIENT)
    return [one.send(event) for event in (TextMessage("hello"), Ping(b"?"), CloseConnection(1000))]


def server_frames() -> list[bytes]:
    one = Frames(ConnectionType.SERVER)
    return [one.send(event) for event in (TextMessage("x" * 3000), Pong(b"?"))]


def over_http11(tmp_path: Path) -> Connection:
    client, server, log = contexts(tmp_path, NAME)
    path = TcpPath()
    one, other = secure(path, (client, server))
    one.ready = lambda: one.send(ASK)
    other.heard = lambda data: other.send(SWITCH) if data == ASK else None
    path.connect()
    path.settle(300 * MS)
    _talk(one.send, other.send, lambda: path.settle(100 * MS))
    (found,) = connections(path.frames("client"), KeyLog.parse(log.read_text()))
    return found


def _talk(up: object, down: object, wait: object) -> None:
    assert callable(up)
    assert callable(down)
    assert callable(wait)
    for send, frames in ((up, client_frames()), (down, server_frames())):
        for frame in frames:
            send(frame)
            wait()


def over_http2(tmp_path: Path) -> Connection:
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    one, other = secure(path, (client, server))
    asks = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    answers = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    answers.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1

    def at_client(data: bytes) -> None:
        asks.receive_data(data)
        one.send(asks.data_to_send())

    def at_server(data: bytes) -> None:
        for event in answers.receive_data(data):
            if isinstance(event, RequestReceived):
                answers.send_headers(1, [(":status", "200")])
        if more := answers.data_to_send():
            other.send(more)

    def begin() -> None:
        asks.initiate_connection()
        asks.send_headers(1, CONNECT)
        one.send(asks.data_to_send())

    def up(frame: bytes) -> None:
        asks.send_data(1, frame)
        one.send(asks.data_to_send())

    def down(frame: bytes) -> None:
        # in two DATA frames, of which the first is padded
        answers.send_data(1, frame[:1], pad_length=7)
        answers.send_data(1, frame[1:])
        other.send(answers.data_to_send())

    one.ready, one.heard, other.heard = begin, at_client, at_server
    answers.initiate_connection()
    path.connect()
    path.settle(300 * MS)
    _talk(up, down, lambda: path.settle(100 * MS))
    (found,) = connections(path.frames("client"), KeyLog.parse(log.read_text()))
    return found


def over_http3(_: Path) -> Connection:
    made = network()
    made.connect()
    made.fetch("/warm")
    assert made.h3_client is not None
    assert made.h3_server is not None
    stream = made.client.get_next_available_stream_id()
    fields = [(name.encode(), value.encode()) for name, value in CONNECT]
    made.h3_client.send_headers(stream, fields)
    made.settle(100 * QUIC_MS)
    up, down = made.h3_client, made.h3_server

    def say(frame: bytes) -> None:
        up.send_data(stream, frame, end_stream=False)

    def answer(frame: bytes) -> None:
        down.send_data(stream, frame, end_stream=False)

    _talk(say, answer, lambda: made.settle(100 * QUIC_MS))
    (found,) = connections(made.frames("client"), made.keys)
    return found


def socket_of(connection: Connection) -> WebSocket:
    (found,) = websockets(connection)
    return found


@pytest.mark.parametrize("over", [over_http11, over_http2])
def test_frames_with_their_sizes_times_and_packets(tmp_path: Path, over: object) -> None:
    assert callable(over)
    connection = over(tmp_path)
    assert connection.missing == ()
    found = socket_of(connection)
    assert found.deflate is None
    assert [(one.sender, one.frame.name) for one in found.frames] == [
        ("client", "text"),
        ("client", "ping"),
        ("client", "close"),
        ("server", "text"),
        ("server", "pong"),
    ]
    assert [one.overhead for one in found.frames] == [6, 6, 6, 4, 2]
    assert [one.payload_length for one in found.frames] == [5, 1, 2, 3000, 1]
    assert found.frames[0].frame.message == b"hello"
    times = [one.sent.time_ns for one in found.frames]
    assert times == sorted(times)
    assert [later - earlier for earlier, later in pairwise(times[:3])] == [100 * MS] * 2
    for one in found.frames:
        assert one.frames
        assert one.stream_bytes >= one.payload_length + one.overhead + 5 + 16
        assert one.whole >= one.sent
    assert len(found.frames[3].frames) == 3
    assert len(found.of("server")) == 2


def test_a_request_that_is_no_websocket_has_none(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME)
    path = TcpPath()
    one, other = secure(path, (client, server))
    one.ready = lambda: one.send(ASK)
    other.heard = lambda _: other.send(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
    path.connect()
    path.settle(300 * MS)
    (found,) = connections(path.frames("client"), KeyLog.parse(log.read_text()))
    assert [request.status for request in found.requests] == [426]
    assert websockets(found) == ()


def test_over_http3(tmp_path: Path) -> None:
    found = socket_of(over_http3(tmp_path))
    assert [one.frame.name for one in found.of("client")] == ["text", "ping", "close"]
    assert [one.frame.name for one in found.of("server")] == ["text", "pong"]
    assert [one.payload_length for one in found.of("server")] == [3000, 1]
    assert all(one.frames for one in found.frames)
