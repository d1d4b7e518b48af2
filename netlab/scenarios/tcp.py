"""What TCP does (guide 3.3): the handshake, slow start, what repairs a loss and how soon, flow control with a
slow reader, and three congestion controls; TCP_INFO beside the packets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.model.roles import AppSpec, Request
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import Asked, asked, failures, unseen
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.findings import Findings
from netlab.trace.packet import Packet, Socket
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table
from netlab.trace.tcp_analysis import TcpAnalysis, analyse

CLIENT, SERVER, PORT = "client-a", "ns-com", 8080
LINE = "home-router:wan"
ALGORITHMS = ("reno", "cubic", "bbr")
_SIZE = 3_000_000  # bytes; some 30 round trips at 100 Mbit/s and 35 ms
_LONG = 20_000_000  # lasts until the line is dead, and after it lives again
_DEAD_AFTER_S, _DEAD_S = 0.6, 1.5
_SLOW = "2mbit"


def stimulus(bench: Bench) -> None:
    """Downloads in plain HTTP/1.1, so that everything but TCP keeps out of the way."""
    with bench.serving(SERVER, AppSpec(listen=PORT)), bench.tcp_info(SERVER, PORT):
        for algorithm in ALGORITHMS:
            bench.say(f"downloads with {algorithm}: on a clean line, and with 1% loss")
            with bench.congestion(SERVER, algorithm):
                for turn in range(1, bench.repeats + 1):
                    _download(bench, f"clean {algorithm} {turn}", _SIZE)
                    with bench.link(LINE, "loss=1%", direction="down"):
                        _download(bench, f"lossy {algorithm} {turn}", _SIZE)
        bench.say(f"a line that is dead for {_DEAD_S} s in the middle of a download")
        _dead_line(bench)
        bench.say(f"a reader that takes {_SLOW}")
        _download(bench, "slow reader", _SIZE // 2, read_rate=_SLOW)


def _download(bench: Bench, name: str, size: int, **fields: str) -> None:
    address = next(iter(bench.topology.nodes[SERVER].interfaces.values())).addresses[0].ip
    request = Request(
        name=name,
        url=f"http://{address}:{PORT}/bytes/{size}",
        http="1.1",
        fresh=True,
        timeout="60s",
        **fields,
    )
    refuse_failed(bench.ask(CLIENT, [request]))


def _dead_line(bench: Bench) -> None:
    failures: list[BaseException] = []

    def download() -> None:
        try:
            _download(bench, "dead line", _LONG)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=download, name="download")
    thread.start()
    time.sleep(_DEAD_AFTER_S)
    with bench.link(LINE, "loss=100%", direction="down"):
        time.sleep(_DEAD_S)
    thread.join()
    if failures:
        raise failures[0]


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


def judge(read: Recording) -> Findings:
    found = asked(read, CLIENT)
    senders = {
        one.exchanges[0].trace_id: one
        for one in connections(read.frames_at(SERVER), read.keys)
        if one.exchanges
    }
    downloads = [made for one in found if (made := _made(one, senders)) is not None]
    missing = [f"{name}: not in the capture" for name in unseen(read, CLIENT, found)]
    return Findings(
        (_controls(downloads, read), _growth(downloads), _timeouts(downloads)),
        tuple(_claims(downloads, found, read.run.flaws)),
        failed=(*failures(read, CLIENT), *missing),
    )


def _made(one: Asked, senders: dict[str, Connection]) -> Download | None:
    there = senders.get(one.span.exchange.trace_id)
    if there is None or there.view is None or one.connection.view is None:
        return None
    return Download(
        one.name, one, there, analyse(there.view, "server"), analyse(one.connection.view, "server")
    )


def _controls(downloads: Sequence[Download], read: Recording) -> Table:
    windows = _windows(read)
    rows = []
    for case in dict.fromkeys(one.case for one in downloads):
        group = [one for one in downloads if one.case == case]
        rows.append(_control(case, group, windows))
    return Table(
        f"Downloads from {SERVER} (3 MB; round trip 35 ms, 100 Mbit/s)",
        ("download", "ms", "Mbit/s", "again: fast", "probe", "timeout", "most in flight, kB", "cwnd, kB"),
        tuple(rows),
        (
            "again: segments that were sent again, and why. most in flight: sent and not acknowledged, from",
            f"the packets at {SERVER}; cwnd: the largest congestion window that its kernel told (TCP_INFO).",
        ),
    )


def _control(case: str, group: Sequence[Download], windows: dict[Socket, int]) -> Row:
    took = Spread.of([one.total_ms for one in group if one.total_ms is not None])
    kinds = [sum(len(one.sent.of_kind(kind)) for one in group) for kind in ("fast", "probe", "timeout")]
    first = group[0]
    size = first.asked.span.response_bytes
    told = [windows[one.there.client] for one in group if one.there.client in windows]
    again = first.sent.retransmissions
    return Row(
        (
            case,
            took.text(0) if took else None,
            round(size * 8 / took.median / 1000, 1) if took else None,
            *kinds,
            round(max(sample.value for one in group for sample in one.sent.flight) / 1000, 1),
            round(max(told) / 1000, 1) if told else None,
        ),
        (again[0].first, again[0].at.frame) if again else (first.asked.span.request_frames[0],),
    )


def _windows(read: Recording) -> dict[Socket, int]:
    """The client's socket, as the server knows it ─► the largest window that was told, in bytes."""
    found: dict[Socket, int] = {}
    for event in read.events:
        if event.event == "tcp-info" and event.flow is not None:
            key = Socket(event.flow.remote, event.flow.remote_port)
            window = int(event.data["cwnd"]) * int(event.data["mss"])
            found[key] = max(found.get(key, 0), window)
    return found


_ROUNDS = 6


def _rounds(one: Download) -> list[int]:
    """Bytes that left for the first time in each of the first round trips."""
    rtt = min((sample.value for sample in one.sent.rtts), default=0)
    if not rtt or not one.sent.sent:
        return []
    start, rounds, before = one.sent.sent[0].at.time_ns, [0] * _ROUNDS, 0
    for sample in one.sent.sent:
        turn = (sample.at.time_ns - start) // rtt
        if turn < _ROUNDS:
            rounds[turn] += sample.value - before
        before = sample.value
    return rounds


def _growth(downloads: Sequence[Download]) -> Table:
    rows = []
    for algorithm in ALGORITHMS:
        group = [one for one in downloads if one.case == f"clean {algorithm}"]
        if group and (rounds := _rounds(group[0])):
            rows.append(
                Row(
                    (algorithm, *(round(size / 1000, 1) for size in rounds)),
                    group[0].asked.span.response_frames[:1],
                )
            )
    return Table(
        "Slow start: kB that left in each round trip of a clean download",
        ("control", *(f"round trip {number}" for number in range(1, _ROUNDS + 1))),
        tuple(rows),
        ("The initial window is ten segments (RFC 6928): 14 kB.",),
    )


def _timeouts(downloads: Sequence[Download]) -> Table:
    found = next((one for one in downloads if one.case == "dead line"), None)
    again = found.sent.retransmissions if found is not None else ()
    timers = [one for one in again if one.kind != "fast" and one.waited_ns > _LEAST_RTO_NS]
    return Table(
        f"The line dead for {_DEAD_S} s: what the sender's timer sent again",
        ("bytes from", "why", "after, ms"),
        tuple(
            Row((one.start, one.kind, round(one.waited_ns / 1e6)), (one.first, one.at.frame))
            for one in timers[:12]
        ),
        ("after: since the same bytes were sent last. The timer doubles (RFC 6298 section 5.5).",),
    )


_LEAST_RTO_NS = 150_000_000  # Linux waits at least 200 ms; what came sooner is a probe or fast


def _claims(downloads: Sequence[Download], found: Sequence[Asked], flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "tcp-three-way",
        "3.3",
        "a connection begins with SYN, SYN-ACK, ACK; each acknowledges the other's number + 1",
        "3 packets",
        _three_way(found),
        flaws,
    )
    yield claim(
        "tcp-one-rtt",
        "3.3",
        "one round trip before data can be sent",
        "1",
        _one_round_trip(found),
        flaws,
    )
    yield claim(
        "tcp-retransmits-by-timeout",
        "3.3",
        "the sender resends lost packets based on ACK timeouts",
        "by timeout",
        _repairs(downloads),
        flaws,
    )
    yield claim(
        "tcp-duplicate-acks",
        "3.3",
        "the receiver signals out-of-order arrival by duplicate ACKs",
        "duplicates at gaps",
        _duplicates(downloads),
        flaws,
    )
    yield claim(
        "tcp-window-adapts",
        "3.3",
        "the congestion window adapts to the network",
        "grows, and shrinks at loss",
        _adapts(downloads),
        flaws,
    )
    yield claim(
        "tcp-flow-control",
        "3.3",
        "flow control keeps the sender from overwhelming the receiver",
        "never more than offered",
        _flow_control(downloads),
        flaws,
    )


def _three_way(found: Sequence[Asked]) -> Finding | None:
    good = 0
    evidence: tuple[int, ...] = ()
    for one in found:
        packets = one.connection.packets[:3]
        if len(packets) == 3 and _is_handshake(packets):
            good += 1
            evidence = evidence or tuple(packet.number for packet in packets)
    if not found:
        return None
    verdict = Verdict.HOLDS if good == len(found) else Verdict.PARTLY if good else Verdict.REFUTED
    return Finding(f"{good} of {len(found)} connections", verdict, {"first": evidence})


def _is_handshake(packets: Sequence[Packet]) -> bool:
    syn, accepted, ack = packets
    return (
        syn.opens
        and accepted.accepts
        and accepted.headers.ack == (syn.headers.seq + 1) % 2**32
        and not ack.opens
        and ack.headers.ack == (accepted.headers.seq + 1) % 2**32
    )


def _one_round_trip(found: Sequence[Asked]) -> Finding | None:
    trips = [one.connection.round_trips for one in found if one.connection.round_trips is not None]
    if not trips:
        return None
    counts = sorted({trip.before_request for trip in trips})
    words = f"{', '.join(map(str, counts))} in {len(trips)} connections"
    verdict = Verdict.HOLDS if counts == [1] else Verdict.PARTLY if 1 in counts else Verdict.REFUTED
    return Finding(words, verdict, {"first": trips[0].frames})


def _repairs(downloads: Sequence[Download]) -> Finding | None:
    lossy = [one for one in downloads if one.case.startswith("lossy")]
    again = [one for download in lossy for one in download.sent.retransmissions]
    if not again:
        return None
    by = {kind: sum(one.kind == kind for one in again) for kind in ("fast", "probe", "timeout")}
    waits = Spread.of([one.waited_ns / 1e6 for one in again if one.kind == "fast" and one.waited_ns])
    words = f"{by['timeout']} by timeout; {by['fast']} by duplicate ACKs or SACK"
    if waits is not None:
        words += f" (after {waits.text(0)} ms)"
    words += f"; {by['probe']} by a tail loss probe"
    share = by["timeout"] / len(again)
    verdict = (
        Verdict.HOLDS if share > 0.5 else Verdict.PARTLY if by["timeout"] or by["probe"] else Verdict.REFUTED
    )
    return Finding(words, verdict, {"again": (again[0].first, again[0].at.frame)})


def _duplicates(downloads: Sequence[Download]) -> Finding | None:
    lossy = [one for one in downloads if one.case.startswith("lossy")]
    gaps = sum(len(one.heard.gaps) for one in lossy)
    clean = [one for one in downloads if one.case.startswith("clean")]
    duplicates = [one for download in lossy for one in download.heard.duplicates]
    if not gaps or not duplicates:
        return None
    quiet = sum(len(one.heard.duplicates) for one in clean)
    words = f"{len(duplicates)} duplicates at {gaps} gaps; {quiet} in the downloads without loss"
    return Finding(words, Verdict.HOLDS, {"first": (duplicates[0].at.frame,)})


def _adapts(downloads: Sequence[Download]) -> Finding | None:
    clean = [one for one in downloads if one.case == "clean cubic"]
    lossy = [one for one in downloads if one.case == "lossy cubic"]
    if not clean or not lossy:
        return None
    rounds = _rounds(clean[0])
    most = {
        name: max(sample.value for one in group for sample in one.sent.flight)
        for name, group in (("clean", clean), ("lossy", lossy))
    }
    growth = ", ".join(f"{size / 1000:.0f}" for size in rounds)
    words = (
        f"kB per round trip {growth}; at most {most['clean'] / 1000:.0f} kB in flight without loss, "
        f"{most['lossy'] / 1000:.0f} kB with 1%"
    )
    doubles = len(rounds) > 2 and rounds[2] > 1.5 * rounds[0]
    verdict = Verdict.HOLDS if doubles and most["lossy"] < most["clean"] else Verdict.PARTLY
    return Finding(words, verdict, {"clean": clean[0].asked.span.request_frames})


def _flow_control(downloads: Sequence[Download]) -> Finding | None:
    """Bytes in flight against the window that the receiver offered, at the sender."""
    slow = next((one for one in downloads if one.case == "slow reader"), None)
    if slow is None:
        return None
    beyond, offered, windows = 0, 0, iter(slow.sent.windows)
    upcoming = next(windows, None)
    for sample in slow.sent.flight:
        while upcoming is not None and upcoming.at <= sample.at:
            offered, upcoming = upcoming.value, next(windows, None)
        beyond += sample.value > offered
    zero = slow.sent.zero
    most = max(sample.value for sample in slow.sent.flight)
    words = (
        f"a window of 0 was told {len(zero)} times; at most {most / 1000:.0f} kB in flight, beyond the "
        f"window {beyond} times"
    )
    evidence = {"window 0": (zero[0].frame,)} if zero else {}
    return Finding(words, Verdict.HOLDS if zero and not beyond else Verdict.PARTLY, evidence)
