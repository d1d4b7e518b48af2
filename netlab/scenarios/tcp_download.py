"""A download of scenario `tcp`, as both ends' interfaces saw it."""

from __future__ import annotations

from dataclasses import dataclass

from netlab.scenarios.measured import Asked
from netlab.trace.connection import Connection
from netlab.trace.tcp_analysis import TcpAnalysis, analyse

ROUNDS = 6  # the round trips from the start that are looked at


@dataclass(frozen=True, slots=True)
class Download:
    """One, as both ends' interfaces saw it. `sent` is what the sender did, `heard` the receiver's view."""

    name: str
    asked: Asked
    there: Connection  # at the server
    sent: TcpAnalysis
    heard: TcpAnalysis

    @property
    def case(self) -> str:
        return self.name.rsplit(" ", maxsplit=1)[0] if self.name[-1].isdigit() else self.name

    @property
    def total_ms(self) -> float | None:
        return None if self.asked.span.total_ns is None else self.asked.span.total_ns / 1e6


def made(one: Asked, senders: dict[str, Connection]) -> Download | None:
    there = senders.get(one.span.exchange.trace_id)
    if there is None or there.view is None or one.connection.view is None:
        return None
    return Download(
        one.name, one, there, analyse(there.view, "server"), analyse(one.connection.view, "server")
    )


def rounds_of(one: Download) -> list[int]:
    """Bytes that left for the first time in each of the first round trips."""
    rtt = min((sample.value for sample in one.sent.rtts), default=0)
    if not rtt or not one.sent.sent:
        return []
    start, rounds, before = one.sent.sent[0].at.time_ns, [0] * ROUNDS, 0
    for sample in one.sent.sent:
        turn = (sample.at.time_ns - start) // rtt
        if turn < ROUNDS:
            rounds[turn] += sample.value - before
        before = sample.value
    return rounds
