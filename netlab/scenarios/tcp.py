"""What TCP does (guide 3.3): the handshake, slow start, what repairs a loss and how soon, flow control with a
slow reader, and three congestion controls; TCP_INFO beside the packets."""

from __future__ import annotations

import time
from collections.abc import Sequence

from netlab.model.roles import AppSpec, Request
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import asked, failures, unseen
from netlab.scenarios.tcp_claims import claims_of
from netlab.scenarios.tcp_download import ROUNDS, Download, made, rounds_of
from netlab.trace.connection import connections
from netlab.trace.findings import Findings
from netlab.trace.packet import Socket
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

CLIENT, SERVER, PORT = "client-a", "ns-com", 8080
LINE = "home-router:wan"
ALGORITHMS = ("reno", "cubic", "bbr")
_SIZE = 3_000_000  # bytes; some 30 round trips at 100 Mbit/s and 35 ms
_LONG = 12_000_000  # lasts until the line is dead, and after it lives again
_DEAD_AFTER_S, _DEAD_S = 0.6, 1.5
_SLOW = "2mbit"
_LEAST_RTO_NS = 150_000_000  # Linux waits at least 200 ms; what came sooner is a probe or fast


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
    refuse_failed(bench.ask(CLIENT, [_request(bench, name, size, **fields)]))


def _request(bench: Bench, name: str, size: int, **fields: str) -> Request:
    address = next(iter(bench.topology.nodes[SERVER].interfaces.values())).addresses[0].ip
    return Request(
        name=name,
        url=f"http://{address}:{PORT}/bytes/{size}",
        http="1.1",
        fresh=True,
        timeout="60s",
        **fields,
    )


def _dead_line(bench: Bench) -> None:
    with bench.asking(CLIENT, [_request(bench, "dead line", _LONG)]):
        time.sleep(_DEAD_AFTER_S)
        with bench.link(LINE, "loss=100%", direction="down"):
            time.sleep(_DEAD_S)


def judge(read: Recording) -> Findings:
    found = asked(read, CLIENT)
    senders = {
        one.exchanges[0].trace_id: one
        for one in connections(read.frames_at(SERVER), read.keys)
        if one.exchanges
    }
    downloads = [both for one in found if (both := made(one, senders)) is not None]
    missing = [f"{name}: not in the capture" for name in unseen(read, CLIENT, found)]
    return Findings(
        (_controls(downloads, read), _growth(downloads), _timeouts(downloads)),
        tuple(claims_of(downloads, found, read.run.flaws)),
        failed=(*failures(read, CLIENT), *missing),
    )


def _controls(downloads: Sequence[Download], read: Recording) -> Table:
    windows = _windows(read)
    rows = []
    for case in dict.fromkeys(one.case for one in downloads):
        group = [one for one in downloads if one.case == case]
        rows.append(_control(case, group, windows))
    return Table(
        f"Downloads from {SERVER} (3 MB; round trip 35 ms, 100 Mbit/s)",
        ("download", "ms", "Mbit/s", "fast", "probe", "timeout", "flight, kB", "cwnd, kB"),
        tuple(rows),
        (
            "fast, probe, timeout: segments that were sent again, and why. flight: the most that was sent",
            f"and not acknowledged, from the packets at {SERVER}; cwnd: the largest congestion window that",
            "its kernel told (TCP_INFO).",
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


def _growth(downloads: Sequence[Download]) -> Table:
    rows = []
    for algorithm in ALGORITHMS:
        group = [one for one in downloads if one.case == f"clean {algorithm}"]
        if group and (rounds := rounds_of(group[0])):
            rows.append(
                Row(
                    (algorithm, *(round(size / 1000, 1) for size in rounds)),
                    group[0].asked.span.response_frames[:1],
                )
            )
    return Table(
        "Slow start: kB that left in each round trip of a clean download",
        ("control", *(f"trip {number}" for number in range(1, ROUNDS + 1))),
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
