"""A client moves from Wi-Fi to LTE in the middle of a download: QUIC goes on by its connection ID, TCP does
not (guide 3.1, 3.3, 12.4)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.model.roles import HttpVersion, Request, TlsClient
from netlab.scenarios.bench import Bench
from netlab.scenarios.scenario import recorded
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.findings import Findings
from netlab.trace.message import trace_id_in
from netlab.trace.recording import Recording
from netlab.trace.run import RunPhase
from netlab.trace.table import Row, Table

CLIENT = "client-a"
WIFI, LTE = "eth0", "wwan0"
SIZE = 6_000_000  # bytes; a second at what Python's QUIC does
URL = f"https://origin.example.com/bytes/{SIZE}"
_MOVE_AFTER_S = 0.6  # from the start of the client's process: the download has begun
_PATIENCE = "8s"  # of the request over TCP, which will not end
_NAMES: dict[HttpVersion, str] = {"3": "QUIC (HTTP/3)", "2": "TCP (HTTP/2)", "1.1": "TCP (HTTP/1.1)"}


def stimulus(bench: Bench) -> None:
    """The same download by each version; the Wi-Fi loses its carrier on the way."""
    for turn in range(1, bench.repeats + 1):
        for http in bench.http:
            bench.say(f"a download by {_NAMES[http]}; the Wi-Fi goes away in the middle")
            with bench.phase(f"{http} {turn}"):
                _moving(bench, http)


def _moving(bench: Bench, http: HttpVersion) -> None:
    """Whether it ends well is what is measured, so a request that fails is no error here."""
    request = Request(
        name=f"{http} download", url=URL, http=http, tls=recorded(TlsClient()), fresh=True, timeout=_PATIENCE
    )
    failures: list[BaseException] = []

    def download() -> None:
        try:
            bench.attempt(CLIENT, [request])
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=download, name="download")
    thread.start()
    time.sleep(_MOVE_AFTER_S)
    with bench.unplugged(f"{CLIENT}:{WIFI}"):
        thread.join()
    if failures:
        raise failures[0]


@dataclass(frozen=True, slots=True)
class Move:
    """`moved_ns`: when the server was first heard on the new path; `left_ns`: when it was last heard on the
    old one before. `paths`: the client's addresses, in order. `by_connection_ids`: whether the client used
    another connection ID after the move."""

    http: HttpVersion
    connection: Connection
    done: bool
    received: int
    total_ms: float | None
    left_ns: int
    moved_ns: int
    paths: tuple[str, ...]
    frames: tuple[int, ...]

    @property
    def gap_ms(self) -> float | None:
        return (self.moved_ns - self.left_ns) / 1e6 if self.moved_ns else None


def judge(read: Recording) -> Findings:
    moves = [move for phase in read.run.phases if (move := _move(read, phase)) is not None]
    return Findings((_table(moves),), tuple(_claims(moves, read.run.flaws)))


def _move(read: Recording, phase: RunPhase) -> Move | None:
    http: HttpVersion = "3" if phase.name.startswith("3") else "2" if phase.name.startswith("2") else "1.1"
    events = [one for one in read.events_of(phase) if one.node == CLIENT]
    asked = next((one for one in events if one.event == "request-start"), None)
    if asked is None:
        return None
    trace_id = trace_id_in(str(asked.data["traceparent"]).encode())
    frames = [one for one in read.frames_at(CLIENT) if phase.started_ns <= one.time_ns <= phase.ended_ns]
    for connection in connections(frames, read.keys):
        if any(exchange.trace_id == trace_id for exchange in connection.exchanges):
            done = next((one for one in events if one.event == "request-done"), None)
            return _moved(http, connection, float(done.data["total_ms"]) if done is not None else None)
    return None


def _moved(http: HttpVersion, connection: Connection, total_ms: float | None) -> Move:
    heard = [one for one in connection.packets if one.src.port == connection.server.port]
    on_lte = [one for one in heard if one.frame.interface == LTE]
    before = [one for one in heard if one.frame.interface == WIFI]
    mine = [one for one in connection.packets if one.src.port != connection.server.port]
    evidence = [one.number for one in (before[-1:] + on_lte[:1])]
    return Move(
        http,
        connection,
        total_ms is not None,
        sum(span.response_body for span in connection.requests),
        total_ms,
        before[-1].time_ns if before else 0,
        on_lte[0].time_ns if on_lte else 0,
        tuple(dict.fromkeys(one.src.address for one in mine)),
        tuple(evidence),
    )


def _table(moves: Sequence[Move]) -> Table:
    return Table(
        f"{SIZE // 1_000_000} MB are downloaded; {CLIENT} moves from {WIFI} to {LTE} in the middle",
        (
            "transport",
            "ended well",
            "bytes",
            "ms",
            "client's addresses",
            "handshakes",
            "silence at the move, ms",
        ),
        tuple(
            Row(
                (
                    _NAMES[one.http],
                    "yes" if one.done else "no",
                    one.received,
                    round(one.total_ms) if one.total_ms is not None else None,
                    " ─► ".join(one.paths),
                    sum(message.name == "ClientHello" for message in one.connection.handshake.messages),
                    round(one.gap_ms) if one.gap_ms is not None else None,
                ),
                one.frames,
            )
            for one in moves
        ),
        ("silence: from the last packet of the server on the old path to its first on the new one.",),
    )


def _claims(moves: Sequence[Move], flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "quic-migrates",
        "3.3",
        "a QUIC connection survives a change of the client's address, by its connection ID",
        "goes on, one handshake",
        _survives(moves),
        flaws,
    )
    yield claim(
        "tcp-does-not-migrate",
        "12.4",
        "connection migration (Wi-Fi to cellular) is a benefit over TCP",
        "TCP ends",
        _dies(moves),
        flaws,
    )


def _survives(moves: Sequence[Move]) -> Finding | None:
    mine = [one for one in moves if one.http == "3"]
    if not mine:
        return None
    good = [one for one in mine if one.done and len(one.paths) > 1 and one.received == SIZE]
    words = f"{len(good)} of {len(mine)} downloads went on from {' to '.join(mine[0].paths)}"
    if good and good[0].gap_ms is not None:
        words += f", after {good[0].gap_ms:.0f} ms"
    verdict = Verdict.HOLDS if len(good) == len(mine) else Verdict.PARTLY if good else Verdict.REFUTED
    return Finding(words, verdict, {"QUIC": mine[0].frames})


def _dies(moves: Sequence[Move]) -> Finding | None:
    mine = [one for one in moves if one.http != "3"]
    if not mine:
        return None
    dead = [one for one in mine if not one.done]
    words = f"{len(dead)} of {len(mine)} downloads over TCP stopped for good, at {mine[0].received} bytes"
    return Finding(
        words, Verdict.HOLDS if len(dead) == len(mine) else Verdict.REFUTED, {"TCP": mine[0].frames}
    )
