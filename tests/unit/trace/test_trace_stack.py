"""The OSI stack of packets: every layer's bytes, fields and whose work it is."""

from __future__ import annotations

from pathlib import Path

from netlab.decode.tls import KeyLog
from netlab.trace.run import Run, RunLink, RunNode
from netlab.trace.stack import Stacks
from tests.kit.quic_bytes import MS, network
from tests.kit.tcp_path import TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure


def run_of(address: str) -> Run:
    """A run in which the client's node has this address."""
    nodes = {"client": RunNode(roles=("client",), addresses=(address,))}
    links = (RunLink(ends=("client:eth0", "server:eth0"), medium="ethernet"),)
    return Run(scenario="s", lab="l", topology="t", started_ns=0, ended_ns=0, nodes=nodes, links=links)


def test_http2_in_tls(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), together=1, answer=lambda _: bytes(9000))
    http.client.ready = lambda: http.ask("/a")
    path.connect()
    path.run(lambda: len(http.done) == 1)
    frames = path.frames("client")
    stacks = Stacks(frames, KeyLog.parse(log.read_text()))
    asked = next(
        number
        for number in stacks.frames
        if any("GET /a" in part.summary for part in stacks.dissection(number).whole)
    )
    rows = {layer.osi: layer for layer in stacks.of(asked)}
    assert list(rows) == [7, 6, 5, 4, 3, 2, 1]
    assert (rows[7].name, rows[6].name, rows[5].name) == ("HTTP/2", "TLS 1.3", "TLS session")
    packet = stacks.dissection(asked)
    for osi in (7, 6):
        assert all(
            packet.payload.start <= span.start < span.end <= packet.payload.end for span in rows[osi].ranges
        ), rows[osi]
    assert rows[2].ranges == ((0, 14),)
    assert rows[3].ranges == ((14, 34),)
    assert ("application protocol (ALPN)", "h2") in [(one.name, one.value) for one in rows[5].fields]
    assert any(field.name == ":path" and field.value == "/a" for field in rows[7].fields), rows[7].fields


def test_missing_secrets_are_named(tmp_path: Path) -> None:
    client, server, _ = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), together=1, answer=lambda _: b"")
    http.client.ready = lambda: http.ask("/a")
    path.connect()
    path.run(lambda: len(http.done) == 1)
    stacks = Stacks(path.frames("client"), KeyLog.parse(""))
    told = [stacks.dissection(number).summary for number in stacks.frames]
    assert any("ClientHello" in one for one in told), told
    sealed = [one for one in told if "encrypted application data" in one]
    assert sealed, told
    assert all("key log has no secrets" in one for one in sealed), told


def test_quic_with_a_run() -> None:
    made = network()
    made.connect()
    made.fetch("/a")
    made.settle(100 * MS)
    frames = made.frames("client")
    stacks = Stacks(frames, made.keys)
    packets = [stacks.dissection(number) for number in stacks.frames]
    assert any(
        part.protocol == "HTTP/3" and "GET /a" in part.summary for one in packets for part in one.whole
    )
    first = packets[0]
    assert "ClientHello" in first.summary
    assert first.headers is not None
    rows = Stacks(frames, made.keys, run_of(first.headers.src)).of(packets[0].frame.number)
    assert rows[1].responsible == "client of client"
    assert all(part.whole in stacks.frames for one in packets for part in one.parts)
