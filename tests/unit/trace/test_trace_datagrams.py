"""Datagrams followed by the number in their payload."""

from __future__ import annotations

from netlab.decode.quic import Datagram
from netlab.trace.datagrams import delivery, leading_number
from tests.kit.quic_bytes import udp_frame

A, B = ("192.0.2.1", 7000), ("192.0.2.2", 7001)


def datagram(frame: int, time_ns: int, number: int) -> Datagram:
    return Datagram(frame, time_ns, A, B, number.to_bytes(8, "big") + bytes(20))


def test_lost_late_and_copied() -> None:
    sent = [udp_frame(datagram(n + 1, 1000 + n, n), "a") for n in range(6)]
    came = [(0, 1500), (2, 1502), (1, 1503), (2, 1504), (5, 1505), (9, 1506)]
    received = [udp_frame(datagram(20 + at, ns, n), "b") for at, (n, ns) in enumerate(came)]
    received.append(udp_frame(Datagram(40, 1600, A, B, b"short"), "b"))
    found = delivery(sent, received, leading_number())
    assert found.lost == (3, 4)
    assert found.loss == 2 / 6
    assert found.late == (1,)
    assert found.copies == {2: 1}
    assert found.stray == (9,)
    assert found.delays_ns == {0: 500, 1: 502, 2: 500, 5: 500}
    assert found.received[5].frame == 24


def test_nothing_sent() -> None:
    assert delivery((), (), leading_number()).loss == 0.0
