"""Verdicts on UDP beside TCP and QUIC: deliveries with known losses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from netlab.decode.frame import Frame
from netlab.decode.quic import Datagram
from netlab.proto import numbered
from netlab.scenarios.measured import Asked
from netlab.scenarios.udp import BYTES, CLIENT, FAR, Carried, _claims, judge
from netlab.trace.claim import Claim, Verdict
from netlab.trace.datagrams import Delivery
from netlab.trace.round_trips import Moment
from netlab.trace.run import RunPhase
from tests.kit.quic_bytes import MS, udp_frame
from tests.kit.recordings import by_id, recording

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
COUNT = 1000


def plain(lost: int = 20, again: int = 0, late_ms: float = 0.0, first: int = 0) -> Delivery:
    """Datagram n leaves at n ms in frame n + 1, and is 18 ms on the way; the last hundredth later."""
    sent = {number: Moment(number * MS, number + 1) for number in range(first, COUNT)}
    received = {
        number: Moment(
            at.time_ns + 18 * MS + (round(late_ms * MS) if number >= COUNT - 20 else 0), 5000 + number
        )
        for number, at in sent.items()
        if number >= first + lost
    }
    return Delivery(sent, received, {}, (), {first: again} if again else {})


def carried(lost: int = 10, repeated: int = 10_000, delivered: int = BYTES, status: int = 200) -> Carried:
    asked = SimpleNamespace(span=SimpleNamespace(status=status, request_bytes=BYTES))
    return Carried(cast("Asked", asked), 1000, tuple(range(1, lost + 1)), repeated, delivered)


Groups = dict[str, list[Carried]]


def judged(
    found: Delivery | None = None, tcp: Carried | None = None, quic: Carried | None = None, *flaws: str
) -> dict[str, Claim]:
    groups: Groups = {"tcp": [tcp or carried()], "quic": [quic or carried()]}
    return by_id(_claims([found or plain()], groups, flaws))


def test_the_rfcs_own_claims_hold() -> None:
    found = judged()
    assert found.pop("quic-no-fec").verdict is REFUTED, "RFC 9000 has no forward error correction"
    assert {one.verdict for one in found.values()} == {HOLDS}, found
    assert found["udp-no-guarantee"].evidence == {"udp": (1, 2, 3)}
    assert found["udp-no-handshake"].evidence == {"udp": (1,)}
    assert found["tcp-reliable"].evidence == {"tcp": (1, 2, 3)}


@pytest.mark.parametrize(
    ("claim", "found", "verdict"),
    [
        ("udp-no-guarantee", plain(again=1), REFUTED),
        ("udp-no-guarantee", plain(lost=0), NOT_RUN),
        ("udp-no-retransmission-delay", plain(late_ms=35), REFUTED),
        ("udp-no-retransmission-delay", plain(late_ms=1), HOLDS),
        ("udp-no-handshake", plain(first=1), REFUTED),
    ],
)
def test_other_deliveries_change_the_verdict(claim: str, found: Delivery, verdict: Verdict) -> None:
    assert judged(found)[claim].verdict is verdict, judged(found)[claim]


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (carried(delivered=BYTES - 1000), REFUTED),
        (carried(status=500), REFUTED),
        (carried(lost=0, repeated=0), NOT_RUN),
    ],
)
def test_bytes_that_never_came_refute_reliability(one: Carried, verdict: Verdict) -> None:
    assert judged(None, one)["tcp-reliable"].verdict is verdict
    assert judged(None, None, one)["quic-reliable"].verdict is verdict


@pytest.mark.parametrize(
    ("repeated", "verdict"), [(10_000, REFUTED), (8_000, REFUTED), (5_000, PARTLY), (0, HOLDS)]
)
def test_losses_that_need_no_repair_would_show_error_correction(repeated: int, verdict: Verdict) -> None:
    found = judged(None, None, carried(repeated=repeated))["quic-no-fec"]
    assert found.verdict is verdict, found


def test_a_flawed_capture_and_an_empty_one_prove_nothing() -> None:
    for found in (judged(None, None, None, "the capture lost 3 packets"), by_id(_claims([], {}, ()))):
        assert {one.verdict for one in found.values()} == {NOT_RUN}, found


def frames(*lost: int, again: int = -1) -> tuple[Frame, ...]:
    """Ten datagrams at both ends; `again`: one that is sent a second time."""
    found = list[Frame]()
    numbers = [*range(10), *([again] if again >= 0 else [])]
    for at, number in enumerate(numbers):
        data = numbered.encode(number, at, 100)
        for node, delay in ((CLIENT, 0), (FAR, 18)):
            if node == CLIENT or number not in lost or at >= 10:
                when = (at + delay) * MS
                one = Datagram(len(found) + 1, when, ("192.0.2.1", 5000), ("192.0.2.2", 9009), data)
                found.append(udp_frame(one, node))
    return tuple(found)


def test_datagrams_from_their_packets() -> None:
    phase = RunPhase(name="udp 1", started_ns=0, ended_ns=1000 * MS)
    found = judge(recording(frames(3, 7), phases=[phase]))
    claims = by_id(found.claims)
    assert claims["udp-no-guarantee"].measured == "2 of 10 never arrived; 0 were sent again"
    assert claims["udp-no-guarantee"].verdict is HOLDS
    assert claims["tcp-reliable"].verdict is NOT_RUN
    assert found.tables[0].rows[0].cells[:5] == ("UDP", 10, 2, 0, 80.0)
    repaired = by_id(judge(recording(frames(3, again=3), phases=[phase])).claims)["udp-no-guarantee"]
    assert (repaired.verdict, repaired.measured) == (REFUTED, "0 of 10 never arrived; 1 were sent again")
    dropped = judge(recording(frames(3, 7), phases=[phase], dropped=1)).claims
    assert {one.verdict for one in dropped} == {NOT_RUN}
