"""The verdicts of `push` and `websocket`: each claim holds, and is refuted by a counter-case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netlab.decode.tls import KeyLog
from netlab.scenarios import push, websocket
from netlab.scenarios.channel import Delivered, Published, delivered, published
from netlab.scenarios.push import MESSAGES, WAYS, Cost
from netlab.scenarios.websocket import Heard
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.packet import packets_of
from netlab.trace.round_trips import Moment
from netlab.trace.websockets import websockets
from tests.kit.tcp_path import MS, TcpPath
from tests.unit.trace.test_trace_websockets import ASK, SWITCH

MESSAGE = b'{"id":7,"sent_ns":1,"text":"price 1"}'


def talk(client: bytes, server: bytes) -> Connection:
    """A plain WebSocket on which each side says this, as the client's interface saw it."""
    path = TcpPath()
    heard = bytearray()

    def answer(data: bytes) -> None:
        heard.extend(data)
        if bytes(heard) == ASK:
            path.server.send(SWITCH + server)

    path.server.heard = answer
    path.connect()
    path.client.send(ASK)
    path.settle(200 * MS)
    path.client.send(client)
    path.settle(200 * MS)
    (found,) = connections(path.frames("client"), KeyLog.parse(""))
    return found


def frame(payload: bytes, *, masked: bool) -> bytes:
    size = bytes([0x81, len(payload) | (0x80 if masked else 0)])
    return size + (bytes(4) if masked else b"") + payload


def told(claims: list[Claim]) -> dict[str, Verdict]:
    return {claim.id: claim.verdict for claim in claims}


def costs(sizes: dict[str, int], late_ms: dict[str, float]) -> dict[str, Cost]:
    """Of complete ways, with packets of that many bytes for each message."""
    frames = TcpPath()
    frames.connect()
    frames.settle(100 * MS)
    (first, *_) = packets_of(frames.frames("client"))
    messages = tuple(Delivered(f"m{n}", Moment(n, n), (n,)) for n in range(1, MESSAGES + 1))
    made = {}
    for way in WAYS:
        packets = tuple(
            replace(first, frame=replace(first.frame, length=sizes[way])) for _ in range(MESSAGES)
        )
        made[way] = Cost(way, messages, (late_ms[way],) * MESSAGES, (), packets, 1)
    return made


GOOD = costs(
    {"websocket": 300, "sse": 320, "long-poll": 900, "poll": 800},
    {"websocket": 120.0, "sse": 121.0, "long-poll": 122.0, "poll": 700.0},
)


def test_the_cheapest_and_soonest_is_best() -> None:
    verdicts = told(list(push._claims(GOOD, ())))
    assert verdicts["websocket-best"] is Verdict.HOLDS
    assert verdicts["long-polling-overhead"] is Verdict.HOLDS
    assert verdicts["polling-late"] is Verdict.HOLDS


@pytest.mark.parametrize(
    ("sizes", "late", "name", "verdict"),
    [
        ({"websocket": 330}, {}, "websocket-best", Verdict.PARTLY),
        ({"websocket": 990}, {"websocket": 500.0}, "websocket-best", Verdict.REFUTED),
        ({"long-poll": 200}, {}, "long-polling-overhead", Verdict.REFUTED),
        ({}, {"poll": 90.0}, "polling-late", Verdict.REFUTED),
    ],
)
def test_counter_cases(sizes: dict[str, int], late: dict[str, float], name: str, verdict: Verdict) -> None:
    usual = {"websocket": 300, "sse": 320, "long-poll": 900, "poll": 800}
    soon = {"websocket": 120.0, "sse": 121.0, "long-poll": 122.0, "poll": 700.0}
    found = told(list(push._claims(costs(usual | sizes, soon | late), ())))
    assert found[name] is verdict, found


def test_what_is_not_whole_or_lost_packets_is_not_run() -> None:
    short = {**GOOD, "sse": replace(GOOD["sse"], messages=GOOD["sse"].messages[:3])}
    assert told(list(push._claims(short, ())))["websocket-best"] is Verdict.NOT_RUN
    flawed = told(list(push._claims(GOOD, ("the capture lost 2 packets",))))
    assert set(flawed.values()) == {Verdict.NOT_RUN}, flawed
    assert set(told(list(push._claims({}, ()))).values()) == {Verdict.NOT_RUN}


# websocket


def heard(*texts: str, connection: Connection | None = None) -> list[Heard]:
    messages = tuple(Delivered(text, Moment(1, 1), (1,)) for text in texts)
    return [Heard(node, connection, messages, (40.0,) * len(texts)) for node in ("client-a", "client-b")]


def test_messages_are_read_from_the_packets_of_both_directions() -> None:
    connection = talk(frame(b"price 1", masked=True), frame(MESSAGE, masked=False))
    (said,) = published([connection])
    assert said.text == "price 1"
    assert said.frame.overhead == 6, "2 bytes and the mask (RFC 6455 section 5.2)"
    (got,) = delivered(connection)
    assert got.text == "price 1"
    assert set(got.frames) <= {packet.number for packet in connection.packets}


def test_a_client_that_misses_a_message_refutes_the_push_in_part() -> None:
    connection = talk(frame(b"price 1", masked=True), frame(MESSAGE, masked=False))
    sent: dict[str, Published] = {one.text: one for one in published([connection])}
    frames = [one for socket in websockets(connection) for one in socket.frames]
    both = heard("price 1", connection=connection)
    good = told(list(websocket._claims(both, sent, frames, ())))
    assert good["push-reaches-both"] is Verdict.HOLDS
    assert good["websocket-frame-overhead"] is Verdict.HOLDS
    only = [both[0], replace(both[1], messages=())]
    assert told(list(websocket._claims(only, sent, frames, ())))["push-reaches-both"] is Verdict.PARTLY
    nobody = [replace(one, messages=()) for one in both]
    assert told(list(websocket._claims(nobody, sent, frames, ())))["push-reaches-both"] is Verdict.REFUTED


def test_a_header_that_is_too_long_refutes_the_frame_s_size() -> None:
    connection = talk(frame(b"price 1", masked=True), frame(MESSAGE, masked=False))
    (one, *_) = [found for socket in websockets(connection) for found in socket.frames]
    long = replace(one, frame=one.frame._replace(header_length=15))
    assert told(list(websocket._claims([], {}, [long], ())))["websocket-frame-overhead"] is Verdict.REFUTED


def test_nothing_measured_and_drops_are_not_run() -> None:
    assert set(told(list(websocket._claims(heard(), {}, [], ()))).values()) == {Verdict.NOT_RUN}
    flawed = told(list(websocket._claims(heard("x"), {}, [], ("the capture lost 1 packets",))))
    assert set(flawed.values()) == {Verdict.NOT_RUN}
