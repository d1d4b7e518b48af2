"""Comments for the packets that bring encrypted requests."""

from __future__ import annotations

from pathlib import Path

from netlab.decode.tls import KeyLog
from netlab.trace.request_comments import request_comments
from tests.kit.quic_bytes import MS, network
from tests.kit.tcp_path import CLIENT, SERVER, TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure

NAMES = {"client-a": (CLIENT[0],), "edge": (SERVER[0], "2001:db8::1")}


def test_requests_in_tls(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)))
    http.client.ready = lambda: http.ask("/a", "/b")
    path.connect()
    path.run(lambda: len(http.done) == 2)
    keys = KeyLog.parse(log.read_text())
    said = request_comments(path.frames("client"), keys, NAMES)
    texts = "; ".join(said.values())
    assert texts == "HTTP/2 GET /a, client-a ─► edge; HTTP/2 GET /b, client-a ─► edge"
    lengths = {frame.number: frame.length for frame in path.frames("client")}
    assert all(lengths[number] > 66 for number in said), "they are on packets with content"
    assert request_comments(path.frames("client"), KeyLog.parse(""), NAMES) == {}


def test_requests_in_quic() -> None:
    made = network()
    made.connect()
    made.fetch("/a")
    made.settle(200 * MS)
    said = request_comments(made.frames("client"), made.keys, {})
    assert [text.partition(",")[0] for text in said.values()] == ["HTTP/3 GET /a"]


def test_plain_requests_say_it_themselves() -> None:
    path = TcpPath()
    path.client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    path.server.heard = lambda _: path.server.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    path.connect()
    path.settle()
    assert request_comments(path.frames("client"), KeyLog.parse(""), NAMES) == {}
