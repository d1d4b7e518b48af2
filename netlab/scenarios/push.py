"""What a pushed message costs: WebSocket, server-sent events, long polling and plain polling side by side
(guide 6.2 to 6.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from netlab.scenarios.bench import Bench
from netlab.scenarios.channel import LONDON, TOKYO, Delivered, delivered, published, subscription
from netlab.scenarios.measured import failures
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.findings import Findings
from netlab.trace.packet import Packet
from netlab.trace.recording import Recording
from netlab.trace.run import RunPhase
from netlab.trace.table import Row, Spread, Table

WAYS = {
    "websocket": "WebSocket",
    "sse": "server-sent events",
    "long-poll": "long polling",
    "poll": "polling, each second",
}
MESSAGES = 8
INTERVAL = "700ms"  # not in step with the polls
_INTERFACE, _SENDER = "eth0", "wwan0"


def stimulus(bench: Bench) -> None:
    """London listens, in each way in turn; Tokyo publishes over a WebSocket of its own."""
    http = bench.http[0]
    for way, title in WAYS.items():
        bench.say(f"{MESSAGES} messages from {TOKYO} to {LONDON} by {title}, HTTP/{http}")
        texts = [f"{way} {number}" for number in range(1, MESSAGES + 1)]
        with bench.phase(way, http=http):
            listening = subscription(f"push-{way}", way, http, MESSAGES, name=way, interval="1s")
            talking = subscription(
                f"push-{way}",
                "websocket",
                "1.1",
                MESSAGES,
                name="publisher",
                publish=texts,
                publish_interval=INTERVAL,
            )
            with bench.subscribed(LONDON, listening):
                bench.ask(TOKYO, (), subscriptions=(talking,))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one way: what London's connections carried, both ways, while the messages came.

    `requests` includes the one that opened a WebSocket or an event stream.
    """

    way: str
    messages: tuple[Delivered, ...]
    latencies_ms: tuple[float, ...]
    connections: tuple[Connection, ...]
    packets: tuple[Packet, ...]
    requests: int

    @property
    def bytes_each(self) -> float:
        return sum(one.frame.length for one in self.packets) / max(len(self.messages), 1)

    @property
    def packets_each(self) -> float:
        return len(self.packets) / max(len(self.messages), 1)

    @property
    def latency_ms(self) -> float | None:
        spread = Spread.of(self.latencies_ms)
        return None if spread is None else spread.median

    @property
    def evidence(self) -> tuple[int, ...]:
        return self.messages[0].frames if self.messages else ()


def judge(read: Recording) -> Findings:
    costs = {phase.name: _cost(read, phase) for phase in read.run.phases if phase.name in WAYS}
    return Findings(
        (_table(costs),),
        tuple(_claims(costs, read.run.flaws)),
        failed=tuple(cause for node in (LONDON, TOKYO) for cause in failures(read, node)),
    )


def _cost(read: Recording, phase: RunPhase) -> Cost:
    def at(node: str, interface: str) -> tuple[Connection, ...]:
        frames = read.frames_at(node, interface)
        mine = [one for one in frames if phase.started_ns <= one.time_ns <= phase.ended_ns]
        return connections(mine, read.keys)

    sent = {one.text: one.at for one in published(at(TOKYO, _SENDER))}
    listening = [one for one in at(LONDON, _INTERFACE) if one.exchanges]
    messages = tuple(
        sorted(
            (one for connection in listening for one in delivered(connection) if one.text in sent),
            key=lambda one: one.at,
        )
    )
    return Cost(
        phase.name,
        messages,
        tuple((one.at.time_ns - sent[one.text].time_ns) / 1e6 for one in messages),
        tuple(listening),
        _between(listening, messages),
        sum(len(one.requests) for one in listening),
    )


def _between(listening: Sequence[Connection], messages: Sequence[Delivered]) -> tuple[Packet, ...]:
    """What went over the connections once they stood: handshakes are paid once, whatever the way."""
    if not messages:
        return ()
    # A tunnel's request ends with the tunnel, so the answer's first byte says when it stood.
    begun = max(
        (one.requests[0].answered or one.requests[0].asked).time_ns for one in listening if one.requests
    )
    return tuple(packet for one in listening for packet in one.packets if packet.time_ns > begun)


def _table(costs: Mapping[str, Cost]) -> Table:
    rows = []
    for way, one in costs.items():
        spread = Spread.of(one.latencies_ms)
        rows.append(
            Row(
                (
                    WAYS[way],
                    len(one.messages),
                    round(one.packets_each, 1),
                    round(one.bytes_each),
                    spread.text() if spread else None,
                    one.requests,
                ),
                one.evidence,
            )
        )
    return Table(
        f"{MESSAGES} messages of 10 bytes, one every {INTERVAL}, from Tokyo to London",
        ("way", "got", "packets each", "bytes each", "after, ms", "requests"),
        tuple(rows),
        (
            "packets and bytes: on the wire, both ways, of the listener's connections once they stood, per",
            "message. after: from the publisher's first packet until the listener could read the message.",
        ),
    )


def _claims(costs: Mapping[str, Cost], flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "websocket-best",
        "6.2",
        "WebSockets show best performance for high-frequency messaging",
        "fewest bytes, no later",
        _best(costs),
        flaws,
    )
    yield claim(
        "long-polling-overhead",
        "6.5",
        "long polling has a higher overhead than WebSocket",
        "more bytes",
        _more(costs, "long-poll", "websocket"),
        flaws,
    )
    yield claim(
        "polling-late",
        "6.2",
        "with a push no polling is required, and latency is low",
        "polls are later",
        _later(costs),
        flaws,
    )
    yield claim(
        "long-poll-again",
        "6.5",
        "the client sends the next poll immediately after each response",
        "a request for each message",
        _again(costs),
        flaws,
    )


def _evidence(costs: Mapping[str, Cost], *ways: str) -> dict[str, tuple[int, ...]]:
    return {way: costs[way].evidence for way in ways if way in costs and costs[way].evidence}


def _complete(costs: Mapping[str, Cost], *ways: str) -> bool:
    return all(way in costs and len(costs[way].messages) == MESSAGES for way in ways)


def _best(costs: Mapping[str, Cost]) -> Finding | None:
    if not _complete(costs, *WAYS):
        return None
    size = {way: one.bytes_each for way, one in costs.items()}
    late = {way: one.latency_ms or 0.0 for way, one in costs.items()}
    words = ", ".join(f"{WAYS[way]} {size[way]:.0f} bytes and {late[way]:.0f} ms" for way in WAYS)
    fewest = min(size, key=lambda way: size[way]) == "websocket"
    soon = late["websocket"] <= min(late.values()) * 1.1  # within a tenth of the fastest
    verdict = Verdict.HOLDS if fewest and soon else Verdict.PARTLY if fewest or soon else Verdict.REFUTED
    return Finding(words, verdict, _evidence(costs, *WAYS))


def _more(costs: Mapping[str, Cost], one: str, other: str) -> Finding | None:
    if not _complete(costs, one, other):
        return None
    ratio = costs[one].bytes_each / costs[other].bytes_each
    words = f"{costs[one].bytes_each:.0f} bytes a message against {costs[other].bytes_each:.0f}: {ratio:.1f}×"
    return Finding(words, Verdict.HOLDS if ratio > 1 else Verdict.REFUTED, _evidence(costs, one, other))


def _later(costs: Mapping[str, Cost]) -> Finding | None:
    if not _complete(costs, "poll", "websocket"):
        return None
    polled, pushed = costs["poll"].latency_ms, costs["websocket"].latency_ms
    assert polled is not None
    assert pushed is not None
    words = f"{pushed:.0f} ms by WebSocket, {polled:.0f} ms by a poll each second (medians)"
    verdict = Verdict.HOLDS if polled > pushed else Verdict.REFUTED
    return Finding(words, verdict, _evidence(costs, "poll", "websocket"))


def _again(costs: Mapping[str, Cost]) -> Finding | None:
    if not _complete(costs, "long-poll"):
        return None
    polls = [
        span
        for one in costs["long-poll"].connections
        for span in one.requests
        if span.target.partition("?")[0].endswith("/poll")
    ]
    gaps = [
        (after.asked.time_ns - before.done.time_ns) / 1e6
        for before, after in pairwise(polls)
        if before.done is not None
    ]
    spread = Spread.of(gaps)
    if spread is None:
        return None
    words = f"{len(polls)} polls for {MESSAGES} messages; the next {spread.text()} ms after a response"
    verdict = Verdict.HOLDS if len(polls) >= MESSAGES and spread.median < 50 else Verdict.REFUTED
    return Finding(words, verdict, {"long-poll": polls[0].request_frames})
