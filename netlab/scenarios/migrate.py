"""A client moves from Wi-Fi to LTE in the middle of a download: QUIC goes on by its connection ID, TCP does
not (guide 3.1, 3.3, 12.4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
_AWAY = "away "  # begins the name of the phase in which the Wi-Fi has no carrier
_NAMES: dict[HttpVersion, str] = {"3": "QUIC (HTTP/3)", "2": "TCP (HTTP/2)", "1.1": "TCP (HTTP/1.1)"}


def stimulus(bench: Bench) -> None:
    """The same download by each version; the Wi-Fi loses its carrier on the way."""
    for turn in range(1, bench.repeats + 1):
        for http in bench.http:
            bench.say(f"a download by {_NAMES[http]}; the Wi-Fi goes away in the middle")
            with bench.phase(f"{http} {turn}"):
                _moving(bench, http, turn)


def _moving(bench: Bench, http: HttpVersion, turn: int) -> None:
    """Whether it ends well is what is measured, so a request that fails is no error here."""
    request = Request(
        name=f"{http} download", url=URL, http=http, tls=recorded(TlsClient()), fresh=True, timeout=_PATIENCE
    )
    with bench.asking(CLIENT, [request], may_fail=True) as answered:
        time.sleep(_MOVE_AFTER_S)
        with bench.phase(f"{_AWAY}{http} {turn}"), bench.unplugged(f"{CLIENT}:{WIFI}"):
            answered()


@dataclass(frozen=True, slots=True)
class Move:
    """`moved_ns`: when the server was first heard on the new path; `left_ns`: when it was last heard on the
    old one before. `early`: the download was over before the Wi-Fi went away. `paths`: the client's
    addresses, in order. `new_id`: whether the client used a connection ID on the new path that it had
    not used on the old one (RFC 9000 section 9.5)."""

    http: HttpVersion
    connection: Connection
    done: bool
    received: int
    total_ms: float | None
    left_ns: int
    moved_ns: int
    paths: tuple[str, ...]
    frames: tuple[int, ...]
    early: bool = False
    new_id: bool = False

    @property
    def handshakes(self) -> int:
        return sum(one.name == "ClientHello" for one in self.connection.handshake.messages)

    @property
    def gap_ms(self) -> float | None:
        return (self.moved_ns - self.left_ns) / 1e6 if self.moved_ns else None


def judge(read: Recording) -> Findings:
    phases = [one for one in read.run.phases if not one.name.startswith(_AWAY)]
    moves = [move for phase in phases if (move := _move(read, phase)) is not None]
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
            total = float(done.data["total_ms"]) if done is not None else None
            away = next((one for one in read.run.phases if one.name == f"{_AWAY}{phase.name}"), None)
            early = done is not None and away is not None and done.time_ns < away.started_ns
            return replace(_moved(http, connection, total), early=early)
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
        new_id=bool(_ids(connection, LTE) - _ids(connection, WIFI)),
    )


def _ids(connection: Connection, interface: str) -> frozenset[bytes]:
    """The connection IDs that the client named its server by, at one of its interfaces."""
    if connection.quic is None:
        return frozenset()
    there = {one.number for one in connection.packets if one.frame.interface == interface}
    return frozenset(
        one.sealed.destination
        for one in connection.quic.packets
        if one.sender == "client" and one.frame in there
    )


def _table(moves: Sequence[Move]) -> Table:
    return Table(
        f"{SIZE // 1_000_000} MB are downloaded; {CLIENT} moves from {WIFI} to {LTE} in the middle",
        (
            "transport",
            "whole",
            "bytes",
            "ms",
            "client's addresses",
            "handshakes",
            "silence, ms",
        ),
        tuple(
            Row(
                (
                    _NAMES[one.http],
                    "yes" if one.done else "no",
                    one.received,
                    round(one.total_ms) if one.total_ms is not None else None,
                    " ─► ".join(one.paths),
                    one.handshakes,
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
    moved = [one for one in mine if not one.early]
    if not moved:
        return _too_early(mine)
    good = [one for one in moved if _goes_on(one)]
    shown = (good or moved)[0]
    words = f"{len(good)} of {len(moved)} downloads went on from {' to '.join(shown.paths)}"
    if good and shown.gap_ms is not None:
        words += f", after {shown.gap_ms:.0f} ms"
    verdict = Verdict.HOLDS if len(good) == len(moved) else Verdict.PARTLY if good else Verdict.REFUTED
    return Finding(words, verdict, {"QUIC": shown.frames})


def _goes_on(one: Move) -> bool:
    """All of it came on one connection, by two paths, with one handshake and another connection ID."""
    return one.done and one.received == SIZE and len(one.paths) > 1 and one.handshakes == 1 and one.new_id


def _dies(moves: Sequence[Move]) -> Finding | None:
    mine = [one for one in moves if one.http != "3"]
    moved = [one for one in mine if not one.early]
    if not moved:
        return _too_early(mine)
    dead = [one for one in moved if not one.done]
    shown = (dead or moved)[0]
    words = f"{len(dead)} of {len(moved)} downloads over TCP stopped for good"
    if dead:
        words += f", at {shown.received} bytes"
    verdict = Verdict.HOLDS if len(dead) == len(moved) else Verdict.PARTLY if dead else Verdict.REFUTED
    return Finding(words, verdict, {"TCP": shown.frames})


def _too_early(moves: Sequence[Move]) -> Finding | None:
    """Nothing is measured where the client had all of it before it moved."""
    return Finding("the download was over before the move", Verdict.NOT_RUN) if moves else None
