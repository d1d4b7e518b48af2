"""The story of a request whose first leg speaks HTTP/2, or HTTP/3 over QUIC, across a NAT."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.errors import CaptureError
from netlab.model.event import Event
from netlab.trace.load import variants
from netlab.trace.run import Run, RunNode
from netlab.trace.story import Variant
from tests.kit.quic_bytes import CLIENT, MS, NAME, SERVER, Network, Tickets, network
from tests.kit.tcp_path import EPOCH_NS, TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import Http2, secure

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
OUTSIDE = "203.0.113.5"


def run() -> Run:
    nodes = {
        "client-a": RunNode(roles=("client",), addresses=(CLIENT[0],)),
        "home-router": RunNode(kind="router", addresses=(OUTSIDE,)),
        "edge": RunNode(roles=("cdn",), addresses=(SERVER[0],)),
    }
    return Run(scenario="rest", lab="x", topology="x", started_ns=0, ended_ns=1, nodes=nodes)


def event() -> Event:
    data = {"name": "hit", "url": f"https://{NAME}/user/42", "traceparent": PARENT}
    return Event(EPOCH_NS - MS, "client-a", "client", "request-start", None, data)


def across_nat(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The client's and the server's sightings of packets, with a NAT between them that both sides see."""
    inner, outer = ip_address(CLIENT[0]).packed, ip_address(OUTSIDE).packed
    seen = []
    for sent in frames:
        one = _routed(sent, inner)
        if one.node == "client":
            seen.append(replace(one, node="client-a"))
            seen.append(replace(one, node="home-router", interface="lan", time_ns=_near(one, inner)))
        else:
            translated = one.data[:26] + one.data[26:34].replace(inner, outer) + one.data[34:]
            seen.append(replace(one, node="edge", data=translated))
    ordered = sorted(seen, key=lambda one: one.time_ns)
    return tuple(replace(one, number=number) for number, one in enumerate(ordered, 1))


def _routed(one: Frame, inner: bytes) -> Frame:
    """What has come through the router has a TTL that is one lower."""
    if (one.node == "client") == (one.data[26:30] == inner):
        return one
    return replace(one, data=one.data[:22] + bytes((one.data[22] - 1,)) + one.data[23:])


def _near(one: Frame, inner: bytes) -> int:
    """1 µs on the way from the client."""
    return one.time_ns + (1000 if one.data[26:30] == inner else -1000)


def told(frames: tuple[Frame, ...], keys: KeyLog) -> Variant:
    (variant,) = variants(across_nat(frames), [event()], keys, run())
    return variant


def asked_by_quic(made: Network) -> tuple[Frame, ...]:
    made.connect()
    stream = made.ask("/user/42", [(b"traceparent", PARENT.encode())])
    made.run(lambda: stream in made.ended)
    made.settle(100 * MS)
    return tuple(sorted((*made.frames("client"), *made.frames("server")), key=lambda one: one.number))


def spans(variant: Variant) -> dict[str, tuple[float, float]]:
    return {one.name: (round(one.duration_ms), one.rtts) for one in variant.spans}


def test_http3() -> None:
    made = network()
    variant = told(asked_by_quic(made), made.keys)
    assert (variant.http, variant.tls_version, variant.status) == ("3", "TLS 1.3", 200)
    assert spans(variant) == {
        "QUIC": (50, 1),
        "request": (25, 0.5),
        "edge": (0, 0),
        "response": (25, 0.5),
    }
    request = [one for one in variant.hops if one.direction == "request"]
    assert [one.node for one in request] == ["client-a", "home-router", "edge"]
    assert request[0].change == "the click's request: HTTP/3 in QUIC v1"
    assert request[2].change.startswith(f"NAT {CLIENT[0]}:5000 ─► {OUTSIDE}:5000")
    rows = {row.osi: row for row in variant.layers[0].rows}
    assert rows["L7"].name == "HTTP/3"
    assert ("request line", "GET /user/42 HTTP/3") in rows["L7"].fields
    assert rows["L6"].name == "QUIC"
    assert any("STREAM" in value for _, value in rows["L6"].fields)
    assert ("application protocol (ALPN)", "h3") in rows["L5"].fields
    assert rows["L4"].name == "UDP"


def test_http3_in_the_first_flight() -> None:
    tickets = Tickets()
    asked_by_quic(network(tickets=tickets))
    made = network(tickets=tickets)
    variant = told(asked_by_quic(made), made.keys)
    assert spans(variant)["request"] == (25, 0.5)
    assert variant.total_ms == pytest.approx(51, abs=1)
    assert ("resumption", "resumed from a ticket") in variant.layers[0].rows[2].fields


def test_http3_after_a_migration() -> None:
    """The request goes out from the second address; the connection began at the first."""
    made = network()
    made.connect()
    made.fetch("/before")
    made.settle(200 * MS)
    made.client_address = ("192.0.2.1", 6000)
    made.client.change_connection_id()
    stream = made.ask("/user/42", [(b"traceparent", PARENT.encode())])
    made.run(lambda: stream in made.ended)
    frames = sorted((*made.frames("client"), *made.frames("server")), key=lambda one: one.number)
    variant = told(tuple(frames), made.keys)
    assert variant.status == 200
    assert {one.sport for one in variant.hops if one.direction == "request"} == {6000}


def test_http2(tmp_path: Path) -> None:
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), headers=(("traceparent", PARENT),))
    http.client.ready = lambda: http.ask("/user/42")
    path.connect()
    path.run(lambda: bool(http.done))
    path.settle()
    variant = told(path.frames(), KeyLog.parse(log.read_text()))
    assert (variant.http, variant.tls_version, variant.status) == ("2", "TLS 1.3", 200)
    assert spans(variant) == {
        "TCP": (50, 1),
        "TLS": (50, 1),
        "request": (25, 0.5),
        "edge": (0, 0),
        "response": (25, 0.5),
    }
    assert variant.hops[0].change == "the click's request: HTTP/2 in TLS 1.3"
    assert variant.layers[0].rows[0].name == "HTTP/2"


def test_without_keys_it_says_what_is_missing() -> None:
    made = network()
    frames = asked_by_quic(made)
    with pytest.raises(CaptureError, match="the key log has no SERVER_HANDSHAKE_TRAFFIC_SECRET"):
        told(frames, KeyLog())
