"""Loss that nobody repairs: UDP beside TCP and QUIC on the same line (guide 3.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlab.model.roles import DatagramsSpec, Request
from netlab.proto.numbered import decode
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import Asked, asked, failures, unseen
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.datagrams import Delivery, delivery
from netlab.trace.findings import Findings
from netlab.trace.journeys import journeys
from netlab.trace.packet import Packet, packets_of
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table
from netlab.trace.tcp_analysis import analyse

CLIENT, INTERFACE = "client-a", "eth0"
FAR, PORT = "ns-com", 9009  # where datagrams are counted
SERVER = ("lb", "public")
LINE = "home-router:wan"
LOSS = "2%"
COUNT, SIZE, INTERVAL = 1000, 1000, "2ms"  # 4 Mbit/s, of the line's 10
BYTES = COUNT * SIZE
URL = "https://origin.example.com/sink"
_TITLES = {"tcp": "TCP (HTTP/2)", "quic": "QUIC (HTTP/3)"}


def stimulus(bench: Bench) -> None:
    """The same number of bytes from the client by each, while the line loses packets on their way."""
    with bench.link(LINE, f"loss={LOSS}", direction="up"), bench.serving(FAR, DatagramsSpec(listen=PORT)):
        for turn in range(1, bench.repeats + 1):
            bench.say(f"turn {turn} of {bench.repeats}: {COUNT} datagrams, and as many bytes by TCP and QUIC")
            with bench.phase(f"udp {turn}"):
                bench.run(CLIENT, _datagrams(bench))
            for name, http in (("tcp", "2"), ("quic", "3")):
                request = Request(
                    name=f"{name} {turn}",
                    url=URL,
                    method="POST",
                    upload_bytes=BYTES,
                    http=http,
                    fresh=True,
                    timeout="60s",
                )
                refuse_failed(bench.ask(CLIENT, [request]))


def _datagrams(bench: Bench) -> DatagramsSpec:
    address = next(iter(bench.topology.nodes[FAR].interfaces.values())).addresses[0].ip
    return DatagramsSpec(to=f"{address}:{PORT}", count=COUNT, size=SIZE, interval=INTERVAL)


def judge(read: Recording) -> Findings:
    found = asked(read, CLIENT, INTERFACE)
    plain = _deliveries(read)
    groups: dict[str, list[Carried]] = defaultdict(list)
    arrived, there = _arrived(read), _delivered(read)
    for one in found:
        delivered = there.get(one.span.exchange.trace_id, 0)
        groups[one.name.partition(" ")[0]].append(_carried(one, arrived, delivered))
    missing = [f"{name}: not in the capture" for name in unseen(read, CLIENT, found)]
    return Findings(
        (_table(plain, groups),),
        tuple(_claims(plain, groups, read.run.flaws)),
        failed=(*failures(read, CLIENT), *missing),
    )


@dataclass(frozen=True, slots=True)
class Carried:
    """An upload. `sent`: packets with payload that left the client; `lost`: frames of those that did not
    arrive; `repeated`: bytes of the body's stream that left more than once; `delivered`: bytes of the body
    that the packets at the server hold, in order and without a gap."""

    asked: Asked
    sent: int
    lost: tuple[int, ...]
    repeated: int
    delivered: int

    @property
    def ms(self) -> float | None:
        """From the connection's first packet to the answer."""
        done = self.asked.span.done
        return None if done is None else (done.time_ns - self.asked.connection.start.time_ns) / 1e6


def _deliveries(read: Recording) -> list[Delivery]:
    """Turn by turn: the numbers begin anew in each."""
    found = []
    for phase in read.run.phases:
        if phase.name.startswith("udp"):
            ends = [
                [one for one in read.frames_at(node) if phase.started_ns <= one.time_ns <= phase.ended_ns]
                for node in (CLIENT, FAR)
            ]
            found.append(delivery(ends[0], ends[1], _number))
    return found


def _number(payload: bytes) -> int | None:
    found = decode(payload)
    return found.sequence if found is not None else None


def _arrived(read: Recording) -> frozenset[int]:
    """Frames at the client that were seen at the server too."""
    packets = packets_of([*read.frames_at(CLIENT, INTERFACE), *read.frames_at(*SERVER)])
    return frozenset(
        journey[0].number for journey in journeys(packets) if journey[-1].frame.node == SERVER[0]
    )


def _delivered(read: Recording) -> dict[str, int]:
    """Trace-id ─► bytes of the request's body, as they were at the server's interface."""
    return {
        span.exchange.trace_id: span.request_body
        for one in connections(read.frames_at(*SERVER), read.keys)
        for span in one.requests
    }


def _carried(one: Asked, arrived: frozenset[int], delivered: int) -> Carried:
    connection = one.connection
    mine = [
        packet
        for packet in connection.packets
        if packet.frame.node == CLIENT and packet.src.port == connection.client.port and _has_payload(packet)
    ]
    lost = tuple(packet.number for packet in mine if packet.number not in arrived)
    return Carried(one, len(mine), lost, _repeated(connection), delivered)


def _has_payload(packet: Packet) -> bool:
    return bool(packet.headers.payload_length)


def _repeated(connection: Connection) -> int:
    if connection.view is not None:
        again = analyse(connection.view, "client").retransmissions
        return sum(one.end - one.start for one in again)
    assert connection.quic is not None
    parts = [
        (frame.integer("stream_id"), frame.integer("offset"), len(frame.octets("data")))
        for packet in connection.quic.packets
        if packet.sender == "client"
        for frame in packet.frames
        if frame.name == "STREAM"
    ]
    unique: dict[int, int] = {}
    for stream, offset, size in parts:
        unique[stream] = max(unique.get(stream, 0), offset + size)
    return sum(size for _, _, size in parts) - sum(unique.values())


def _table(plain: Sequence[Delivery], groups: Mapping[str, Sequence[Carried]]) -> Table:
    rows = []
    if plain:
        sent, lost = sum(len(one.sent) for one in plain), [frame for one in plain for frame in _lost(one)]
        missing = sum(len(one.lost) for one in plain)
        rows.append(
            Row(
                ("UDP", sent, len(lost), 0, round(100 * (1 - missing / sent), 2), None, _tail(plain)),
                tuple(lost[:3]),
            )
        )
    for name, title in _TITLES.items():
        group = groups.get(name, ())
        if group:
            rows.append(_row(title, group))
    return Table(
        f"{BYTES // 1_000_000} MB from the client, {LOSS} of packets lost on the way, by turns",
        ("transport", "packets", "lost", "bytes again", "whole, %", "ms", "last 1% late, ms"),
        tuple(rows),
        (
            "bytes again: of the stream, sent more than once. whole: of what was sent, at the other end.",
            "last 1% late: how much longer than the median the slowest hundredth of datagrams took.",
        ),
    )


def _lost(one: Delivery) -> list[int]:
    return [one.sent[number].frame for number in one.lost]


def _tail(plain: Sequence[Delivery]) -> float | None:
    delays = sorted(delay for one in plain for delay in one.delays_ns.values())
    if len(delays) < 100:
        return None
    return round((delays[int(len(delays) * 0.99)] - delays[len(delays) // 2]) / 1e6, 2)


def _row(title: str, group: Sequence[Carried]) -> Row:
    took = Spread.of([one.ms for one in group if one.ms is not None])
    body = sum(one.delivered for one in group)
    lost = [frame for one in group for frame in one.lost]
    return Row(
        (
            title,
            sum(one.sent for one in group),
            len(lost),
            sum(one.repeated for one in group),
            round(100 * body / (BYTES * len(group)), 2),
            took.text(0) if took else None,
            None,
        ),
        tuple(lost[:3]),
    )


def _claims(
    plain: Sequence[Delivery], groups: Mapping[str, Sequence[Carried]], flaws: Sequence[str]
) -> Iterator[Claim]:
    yield claim(
        "udp-no-guarantee",
        "3.3",
        "UDP gives no guarantee of delivery",
        "what is lost stays lost",
        _unrepaired(plain),
        flaws,
    )
    yield claim(
        "udp-no-handshake",
        "3.3",
        "UDP has no handshake: data is in the first packet",
        "0 round trips",
        _at_once(plain),
        flaws,
    )
    yield claim(
        "udp-no-retransmission-delay",
        "3.3",
        "UDP has low latency: no delays by retransmission",
        "no late datagrams",
        _punctual(plain),
        flaws,
    )
    yield claim(
        "tcp-reliable", "3.3", "TCP guarantees delivery, in order", "100%", _whole(groups, "tcp"), flaws
    )
    yield claim(
        "quic-reliable",
        "3.3",
        "QUIC adds reliability to UDP",
        "100%",
        _whole(groups, "quic"),
        flaws,
    )
    yield claim(
        "quic-no-fec",
        "3.3",
        "QUIC recovers some loss without retransmission, by forward error correction",
        "less sent again than lost",
        _no_fec(groups),
        flaws,
    )


def _unrepaired(plain: Sequence[Delivery]) -> Finding | None:
    if not plain:
        return None
    lost, sent = sum(len(one.lost) for one in plain), sum(len(one.sent) for one in plain)
    again = sum(sum(one.again.values()) for one in plain)
    words = f"{lost} of {sent} never arrived; {again} were sent again"
    evidence = {"udp": tuple(frame for one in plain for frame in _lost(one))[:3]}
    if again:
        return Finding(words, Verdict.REFUTED, evidence)
    return Finding(words, Verdict.HOLDS if lost else Verdict.NOT_RUN, evidence)


def _at_once(plain: Sequence[Delivery]) -> Finding | None:
    firsts = [min(one.sent.items(), key=lambda sent: sent[1]) for one in plain if one.sent]
    if not firsts:
        return None
    right = all(number == 0 for number, _ in firsts)
    words = "the first packet carries the first datagram" if right else "the first datagram is not there"
    evidence = {"udp": tuple(moment.frame for _, moment in firsts)}
    return Finding(words, Verdict.HOLDS if right else Verdict.REFUTED, evidence)


_LATE_MS = 5.0  # a retransmission takes at least a round trip, which is 35 ms here


def _punctual(plain: Sequence[Delivery]) -> Finding | None:
    tail = _tail(plain)
    if tail is None:
        return None
    words = f"the slowest hundredth took {tail:.2f} ms more than the median"
    slowest = max(plain, key=lambda one: max(one.delays_ns.values(), default=0))
    number = max(slowest.delays_ns, key=slowest.delays_ns.__getitem__)
    evidence = {"slowest": (slowest.sent[number].frame, slowest.received[number].frame)}
    return Finding(words, Verdict.HOLDS if tail < _LATE_MS else Verdict.REFUTED, evidence)


def _whole(groups: Mapping[str, Sequence[Carried]], name: str) -> Finding | None:
    group = groups.get(name, ())
    if not group:
        return None
    lost, body = sum(len(one.lost) for one in group), sum(one.delivered for one in group)
    right = body == BYTES * len(group) and all(one.asked.span.status == 200 for one in group)
    words = f"{body} of {BYTES * len(group)} bytes, although {lost} packets were lost"
    evidence = {name: tuple(frame for one in group for frame in one.lost)[:3]}
    if right and not lost:
        return Finding("no packet was lost: nothing had to be repaired", Verdict.NOT_RUN)
    return Finding(words, Verdict.HOLDS if right else Verdict.REFUTED, evidence)


# Of the lost bytes: lost packets that held only an acknowledgement need no repair, so it may be less than 1.
_ALL = 0.8


def _no_fec(groups: Mapping[str, Sequence[Carried]]) -> Finding | None:
    """With correction codes, a part of the losses would not need to be sent again. RFC 9000 has no frame
    for them."""
    group = groups.get("quic", ())
    lost = sum(len(one.lost) for one in group)
    if not lost:
        return None
    again = sum(one.repeated for one in group)
    size = sum(one.asked.span.request_bytes for one in group) / max(sum(one.sent for one in group), 1)
    words = f"{lost} packets lost, {again / size:.0f} packets' worth sent again; RFC 9000 has no such frame"
    evidence = {"quic": tuple(frame for one in group for frame in one.lost)[:3]}
    share = again / (lost * size)
    verdict = Verdict.REFUTED if share >= _ALL else Verdict.PARTLY if share > 1 - _ALL else Verdict.HOLDS
    return Finding(words, verdict, evidence)
