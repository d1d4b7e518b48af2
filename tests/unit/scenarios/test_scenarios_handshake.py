"""Verdicts on handshakes: from connections with known round trips, and from packets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.model.event import Event
from netlab.scenarios.handshake import _claims, judge, ways
from netlab.scenarios.measured import Asked
from netlab.scenarios.scenario import TlsChoice
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Handshake
from netlab.trace.round_trips import Moment, RoundTrips, Turn
from tests.kit.quic_bytes import MS, Tickets, network
from tests.kit.recordings import CLIENT, asked_for, by_id, placed, recording, traceparent

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
Groups = dict[tuple[str, TlsChoice], list[Asked]]


def made(trips: int, version: str = "TLS 1.3", *, resumed: bool = False, waited_ms: float = 0) -> Asked:
    """A connection on which the request left after `trips` round trips of 50 ms."""
    before_ns = round((waited_ms or 50 * (trips + 1)) * MS) - 50 * MS
    counted = RoundTrips(
        trips + 1, trips, (Turn(Moment(0, 7), Moment(50 * MS, 8)),), before_ns + 50 * MS, 50 * MS
    )
    connection = SimpleNamespace(
        handshake=Handshake(version, resumed=resumed), round_trips=counted, start=Moment(0, 7), packets=()
    )
    return cast(
        "Asked", SimpleNamespace(connection=connection, span=SimpleNamespace(asked=Moment(before_ns, 9)))
    )


def guide() -> Groups:
    """As the guide says, except that a resumed session over TCP has no 0-RTT there."""
    return {
        ("1.1", "1.2"): [made(3, "TLS 1.2")],
        ("2", "1.2"): [made(3, "TLS 1.2")],
        ("2", "1.3"): [made(2)],
        ("2", "resumed"): [made(1, resumed=True)],
        ("3", "1.3"): [made(1)],
        ("3", "0rtt"): [made(0, resumed=True)],
    }


def judged(groups: Groups, *flaws: str) -> dict[str, Claim]:
    return by_id(_claims(groups, flaws))


def test_the_guides_own_round_trips_hold() -> None:
    found = judged(guide())
    assert {name: one.verdict for name, one in found.items() if one.verdict is not HOLDS} == {
        "tls12-150ms": PARTLY  # the first byte of the answer comes a round trip after 150 ms
    }
    assert found["quic-0rtt"].evidence == {"quic 0rtt": (7, 8)}


@pytest.mark.parametrize(
    ("key", "trips", "claim"),
    [
        (("2", "1.2"), 2, "tls12-round-trips"),
        (("2", "1.3"), 3, "tls13-round-trips"),
        (("2", "resumed"), 2, "tls13-resumed"),
        (("3", "1.3"), 2, "quic-round-trips"),
        (("3", "0rtt"), 1, "quic-0rtt"),
    ],
)
def test_another_count_refutes_and_several_refute_in_part(
    key: tuple[str, TlsChoice], trips: int, claim: str
) -> None:
    groups = guide()
    (usual,) = groups[key]
    version, resumed = usual.connection.handshake.version, usual.connection.handshake.resumed
    other = made(trips, version, resumed=resumed)
    groups.pop(("1.1", "1.2"))
    assert judged(groups | {key: [other]})[claim].verdict is REFUTED
    both = judged(groups | {key: [usual, other]})[claim]
    assert (both.verdict, "in 2 connections" in both.measured) == (PARTLY, True), both


@pytest.mark.parametrize(("waited", "verdict"), [(200, PARTLY), (100, REFUTED), (400, REFUTED)])
def test_the_time_of_tls_12(waited: float, verdict: Verdict) -> None:
    found = judged({("2", "1.2"): [made(3, "TLS 1.2", waited_ms=waited)]})["tls12-150ms"]
    assert found.verdict is verdict, found


def test_connections_of_another_kind_prove_nothing() -> None:
    """A server that spoke TLS 1.3 says nothing of 1.2; one that didn't resume, nothing of resumption."""
    found = judged({("2", "1.2"): [made(2)], ("2", "resumed"): [made(2)], ("3", "0rtt"): [made(1)]})
    for name in ("tls12-round-trips", "tls13-resumed", "quic-0rtt"):
        assert found[name].verdict is NOT_RUN, found[name]
        assert "none of them" in found[name].measured


def test_a_flawed_capture_and_an_empty_one_prove_nothing() -> None:
    for found in (judged(guide(), "the capture lost 3 packets"), judged({})):
        assert {one.verdict for one in found.values()} == {NOT_RUN}, found
    assert "lost 3 packets" in judged(guide(), "the capture lost 3 packets")["quic-0rtt"].measured


def test_only_the_pairs_that_exist_are_asked_for() -> None:
    assert list(ways(("1.1", "3"), ("1.2", "1.3", "resumed", "0rtt"))) == [
        ("1.1", "1.2"),
        ("1.1", "1.3"),
        ("1.1", "resumed"),
        ("3", "1.3"),
        ("3", "resumed"),
        ("3", "0rtt"),
    ]


def test_quic_from_its_packets() -> None:
    tickets, frames, events, keys = Tickets(), list[Frame](), list[Event](), KeyLog({})
    for number, name in enumerate(("3 1.3 1", "3 0rtt 1"), 1):
        one = network(tickets)
        one.client_address = ("192.0.2.1", 5000 + number)
        one.now_ns += number * 1_000 * MS
        one.connect()
        stream = one.ask("/health", [(b"traceparent", traceparent(number).encode())])
        one.run(lambda one=one, stream=stream: stream in one.ended)  # type: ignore[misc]
        one.settle(200 * MS)
        frames += placed(one.frames("client"), {"client": (CLIENT, "eth0")})
        events.append(asked_for(name, number))
        keys = KeyLog({**keys.secrets, **one.keys.secrets})
    events.append(asked_for("3 1.3 2", 3))
    found = judge(recording(placed(frames, {CLIENT: (CLIENT, "eth0")}), events, keys))
    claims = by_id(found.claims)
    assert (claims["quic-round-trips"].verdict, claims["quic-0rtt"].verdict) == (HOLDS, HOLDS), claims
    assert claims["tls12-round-trips"].verdict is NOT_RUN
    (table,) = found.tables
    assert [row.cells[:4] for row in table.rows] == [
        ("HTTP/3 QUIC + TLS 1.3", 1, 1, 2),
        ("HTTP/3 QUIC + 0-RTT", 0, 0, 1),
    ]
    assert found.failed == ("3 1.3 2: not in the capture",)
