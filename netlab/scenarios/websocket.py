"""Scenario B of the guide: clients in London and in Tokyo on one channel, and the server pushes to both
(guide 2, 6.2). They end at different app servers, which share the channel through PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.scenarios.bench import Bench
from netlab.scenarios.channel import LONDON, TOKYO, Delivered, Published, delivered, published, subscription
from netlab.scenarios.measured import failures
from netlab.scenarios.verdicts import Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table
from netlab.trace.websockets import SocketFrame, websockets

MESSAGES = 10
TEXT = "price {number}: 178.50"
_PLACES = {LONDON: "eth0", TOKYO: "wwan0"}


def stimulus(bench: Bench) -> None:
    """Tokyo listens; London subscribes, and publishes what both get."""
    http = bench.http[0]
    texts = [TEXT.format(number=number) for number in range(1, MESSAGES + 1)]
    bench.say(f"{LONDON} and {TOKYO} on one channel, HTTP/{http}; {MESSAGES} messages from {LONDON}")
    listening = subscription("live", "websocket", http, MESSAGES, name="tokyo")
    talking = subscription(
        "live", "websocket", http, MESSAGES, name="london", publish=texts, publish_interval="200ms"
    )
    with bench.subscribed(TOKYO, listening):
        bench.ask(LONDON, (), subscriptions=(talking,))


@dataclass(frozen=True, slots=True)
class Heard:
    """What one client got. `latencies_ms`: from the first byte that the sender sent, by message."""

    node: str
    connection: Connection | None
    messages: tuple[Delivered, ...]
    latencies_ms: tuple[float, ...]


def judge(read: Recording) -> Findings:
    here = {node: connections(read.frames_at(node, port), read.keys) for node, port in _PLACES.items()}
    sent = {one.text: one for one in published(here[LONDON])}
    heard = [_heard(node, found, sent) for node, found in here.items()]
    frames = [frame for one in heard if one.connection for frame in _frames(one.connection)]
    return Findings(
        (_latencies(heard), _sizes(frames, heard)),
        tuple(_claims(heard, sent, frames, read.run.flaws)),
        failed=tuple(cause for node in _PLACES for cause in failures(read, node)),
    )


def _heard(node: str, found: Sequence[Connection], sent: dict[str, Published]) -> Heard:
    connection = next((one for one in found if websockets(one)), None)
    messages = tuple(one for one in delivered(connection) if one.text in sent) if connection else ()
    latencies = tuple((one.at.time_ns - sent[one.text].at.time_ns) / 1e6 for one in messages)
    return Heard(node, connection, messages, latencies)


def _frames(connection: Connection) -> tuple[SocketFrame, ...]:
    return tuple(frame for socket in websockets(connection) for frame in socket.frames)


def _latencies(heard: Sequence[Heard]) -> Table:
    rows = []
    for one in heard:
        spread = Spread.of(one.latencies_ms)
        handshakes = [] if one.connection is None else [one.connection.handshake.done]
        rows.append(
            Row(
                (
                    one.node,
                    len(one.messages),
                    spread.text() if spread else None,
                    len(handshakes),
                    _setup_ms(one),
                ),
                one.messages[0].frames if one.messages else (),
            )
        )
    return Table(
        f"{MESSAGES} messages from {LONDON}, pushed to both",
        ("client", "got", "after, ms", "connections", "its handshakes, ms"),
        tuple(rows),
        (
            "after: from the sender's first packet until the message could be read. handshakes: until the",
            "request for the WebSocket left, once for all messages.",
        ),
    )


def _setup_ms(one: Heard) -> float | None:
    if one.connection is None or not one.connection.requests:
        return None
    asked = one.connection.requests[0].asked.time_ns
    return round((asked - one.connection.start.time_ns) / 1e6, 1)


def _sizes(frames: Sequence[SocketFrame], heard: Sequence[Heard]) -> Table:
    rows = []
    for sender, what in (("client", "client ─► server (masked)"), ("server", "server ─► client")):
        mine = [one for one in frames if one.sender == sender and one.frame.message is not None]
        if mine:
            sizes = [
                _sizes_of([one.overhead for one in mine]),
                _sizes_of([one.payload_length for one in mine]),
                _sizes_of([one.stream_bytes for one in mine]),
            ]
            rows.append(Row((what, len(mine), *sizes), mine[0].frames))
    request = next((one.connection for one in heard if one.connection and one.connection.requests), None)
    if request is not None:
        span = request.requests[0]
        asked = "the upgrade's request, for comparison", 1, str(span.request_bytes), "0", None
        answered = "and its response", 1, str(span.response_bytes), "0", None
        rows += [Row(asked, span.request_frames), Row(answered, span.response_frames)]
    return Table(
        "WebSocket frames of messages, in bytes",
        ("direction", "count", "header", "payload", "of the stream, with TLS"),
        tuple(rows),
    )


def _sizes_of(values: Sequence[int]) -> str | None:
    spread = Spread.of(values)
    if spread is None:
        return None
    return spread.text(0) if spread.low < spread.high else f"{spread.median:.0f}"


def _claims(
    heard: Sequence[Heard], sent: dict[str, Published], frames: Sequence[SocketFrame], flaws: Sequence[str]
) -> Iterator[Claim]:
    yield claim(
        "push-reaches-both",
        "2",
        "Client A subscribes, the server pushes new data, and Client B in Tokyo also receives it",
        f"{MESSAGES} messages to each",
        _reaches(heard, sent),
        flaws,
    )
    yield claim(
        "websocket-frame-overhead",
        "6.2",
        "a WebSocket frame costs 2 to 14 bytes, where HTTP has headers",
        "2–14 bytes",
        _overhead(frames),
        flaws,
    )
    yield claim(
        "websocket-persistent",
        "6.2",
        "a single persistent connection, no repeated handshakes",
        "1 connection each",
        _persistent(heard),
        flaws,
    )
    yield claim(
        "websocket-saves-40ms",
        "6.2",
        "no repeated handshakes saves about 40 ms per message",
        "~40 ms",
        _saved(heard),
        flaws,
    )


def _reaches(heard: Sequence[Heard], sent: dict[str, Published]) -> Finding | None:
    if not sent:
        return None
    words = ", ".join(f"{one.node} {len(one.messages)} of {len(sent)}" for one in heard)
    good = all({message.text for message in one.messages} == set(sent) for one in heard)
    some = any(one.messages for one in heard)
    verdict = Verdict.HOLDS if good else Verdict.PARTLY if some else Verdict.REFUTED
    return Finding(words, verdict, {one.node: one.messages[0].frames for one in heard if one.messages})


def _overhead(frames: Sequence[SocketFrame]) -> Finding | None:
    messages = [one for one in frames if one.frame.message is not None]
    if not messages:
        return None
    least, most = min(one.overhead for one in messages), max(one.overhead for one in messages)
    words = f"{least} to {most} bytes in {len(messages)} frames"
    verdict = Verdict.HOLDS if least >= 2 and most <= 14 else Verdict.REFUTED
    return Finding(words, verdict, {"first": messages[0].frames})


def _persistent(heard: Sequence[Heard]) -> Finding | None:
    found = [one for one in heard if one.connection is not None]
    if len(found) < len(heard):
        return None
    hellos = [
        sum(message.name == "ClientHello" for message in one.connection.handshake.messages)
        for one in found
        if one.connection is not None
    ]
    words = ", ".join(
        f"{one.node}: {count} handshake for {len(one.messages)} messages"
        for one, count in zip(found, hellos, strict=True)
    )
    verdict = Verdict.HOLDS if set(hellos) == {1} else Verdict.REFUTED
    return Finding(
        words, verdict, {one.node: (one.connection.start.frame,) for one in found if one.connection}
    )


def _saved(heard: Sequence[Heard]) -> Finding | None:
    """What a new connection for each message would have cost: the handshakes that were made once."""
    london = next((one for one in heard if one.node == LONDON), None)
    if london is None or (cost := _setup_ms(london)) is None or london.connection is None:
        return None
    verdict = about(cost, 40)
    if cost > 40 and verdict is not Verdict.HOLDS:
        verdict = Verdict.PARTLY  # it saves at least that: the guide counts TCP's round trip alone
    words = f"a new connection costs {cost:.0f} ms from London (TCP and TLS), not one of the messages had it"
    return Finding(words, verdict, {LONDON: (london.connection.start.frame,)})
