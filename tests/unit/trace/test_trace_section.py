"""Round trips counted from packets, and the shapes of the connections that a request takes."""

from __future__ import annotations

from netlab.decode.tls import KeyLog
from netlab.trace.dialogue import dialogue
from netlab.trace.leg import Leg, network
from netlab.trace.packet import packets_of
from netlab.trace.section import round_trips, tcp_handshake
from netlab.trace.sql import sql_exchanges
from tests.kit.story import TRACE_ID, pg, query, rows
from tests.kit.wire_capture import MS, End, Path, Point, Tcp, Wire

PATH: Path = (
    Point("a", "eth0", End("10.0.0.1", 40_000), End("10.0.0.2", 80), 0),
    Point("b", "eth0", End("10.0.0.1", 40_000), End("10.0.0.2", 80), 20 * MS),
)
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def leg_of(wire: Wire) -> Leg:
    (leg,) = network(packets_of(wire.frames())).legs
    return leg


def test_a_handshake_is_one_round_trip() -> None:
    wire = Wire()
    Tcp(wire, PATH).handshake(0)
    leg = leg_of(wire)
    found = tcp_handshake(leg.client)
    assert found is not None
    assert (found.start.time_ns, found.end.time_ns, len(found.frames)) == (0, 40 * MS, 3)
    assert round_trips(leg.client, 0, 40 * MS) == 1


def test_a_retransmitted_syn_costs_time_but_no_round_trip() -> None:
    wire = Wire()
    Tcp(wire, PATH[:1]).segment(0, True, 2)  # lost after the first interface
    Tcp(wire, PATH).handshake(1000 * MS)
    leg = leg_of(wire)
    found = tcp_handshake(leg.client)
    assert found is not None
    assert (found.end.time_ns - found.start.time_ns) // MS == 1040
    assert round_trips(leg.client, 0, found.end.time_ns) == 1


def test_turns_are_counted_not_packets_or_acknowledgements() -> None:
    wire = Wire()
    tcp = Tcp(wire, PATH)
    at = tcp.handshake(0)
    for turn in range(3):
        at = tcp.send(tcp.send(at, True, b"q" * (1 + 3000 * turn)), False, b"a" * 5000) + MS
    assert round_trips(leg_of(wire).client, 41 * MS - MS, at) == 3


def test_a_handshake_that_nobody_answered_is_none() -> None:
    wire = Wire()
    Tcp(wire, PATH).segment(0, True, 2)
    assert tcp_handshake(leg_of(wire).client) is None


def test_plain_http_is_read_without_tls() -> None:
    wire = Wire()
    tcp = Tcp(wire, PATH)
    asked = f"GET / HTTP/1.1\r\nHost: b\r\ntraceparent: {PARENT}\r\n\r\n".encode()
    arrived = tcp.send(tcp.handshake(0), True, asked)
    tcp.send(arrived, False, b"HTTP/1.1 204 No Content\r\n\r\n")
    found = dialogue(leg_of(wire), KeyLog.parse(""))
    assert (found.protocol, found.tls, found.exchanges[0].trace_id) == ("http", None, TRACE_ID)


def test_statements_are_found_from_the_start_of_a_connection_and_in_an_older_one() -> None:
    start_up = b"\0\0\0\0\0\x03\0\0user\0netlab\0\0"
    start_up = len(start_up).to_bytes(4, "big") + start_up[4:]
    ready = pg(b"R", b"\0\0\0\0") + pg(b"Z", b"I")
    for before, answer in ((b"", b""), (start_up, ready)):
        (found,) = sql_exchanges(before + query(PARENT), answer + rows())
        assert (found.trace_id, found.response) == (TRACE_ID, "SELECT 1")
        assert (found.request_extent.start, found.response_extent.start) == (len(before), len(answer))
        assert found.request_extent.end == len(before + query(PARENT))
        assert found.response_extent.end == len(answer + rows())


def test_a_statement_without_an_answer_says_so() -> None:
    (found,) = sql_exchanges(query(PARENT), b"")
    assert found.response is None
    assert sql_exchanges(b"GET / HTTP/1.1\r\n\r\n", b"") == ()
