"""Verdicts on moving from one network to another: moves as values, and a move in packets."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from netlab.decode.frame import Frame
from netlab.model.event import Event
from netlab.scenarios import migrate
from netlab.scenarios.migrate import CLIENT, LTE, SIZE, WIFI, Move, _claims, judge
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection
from netlab.trace.recording import Recording
from netlab.trace.run import RunPhase
from tests.kit.quic_bytes import EPOCH_NS, MS, Network, network
from tests.kit.recordings import asked_for, by_id, recording, traceparent

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
HOME, MOBILE = "192.0.2.1", "198.51.100.9"


def connection(hellos: int = 1) -> Connection:
    messages = tuple(SimpleNamespace(name="ClientHello") for _ in range(hellos))
    return cast("Connection", SimpleNamespace(handshake=SimpleNamespace(messages=messages)))


QUIC = Move(
    "3", connection(), True, SIZE, 900.0, 500 * MS, 600 * MS, (HOME, MOBILE), (4, 9), early=False, new_id=True
)
TCP = Move("2", connection(), False, 700_000, None, 500 * MS, 0, (HOME,), (20,))


def judged(*moves: Move, flaws: tuple[str, ...] = ()) -> dict[str, Claim]:
    return by_id(_claims(moves, flaws))


def test_quic_goes_on_and_tcp_ends() -> None:
    found = judged(QUIC, TCP)
    assert {one.verdict for one in found.values()} == {HOLDS}, found
    assert found["quic-migrates"].measured == (
        "1 of 1 downloads went on from 192.0.2.1 to 198.51.100.9, after 100 ms"
    )
    assert found["quic-migrates"].evidence == {"QUIC": (4, 9)}
    assert found["tcp-does-not-migrate"].evidence == {"TCP": (20,)}


@pytest.mark.parametrize(
    "change",
    [
        {"done": False},
        {"received": SIZE - 1},
        {"paths": (HOME,)},
        {"connection": connection(2)},
        {"new_id": False},
    ],
    ids=["it ends", "bytes are missing", "it stays", "a new handshake", "the old connection ID"],
)
def test_a_quic_download_that_does_not_go_on_refutes(change: dict[str, Any]) -> None:
    bad = replace(QUIC, **change)
    assert judged(bad, TCP)["quic-migrates"].verdict is REFUTED
    assert judged(bad, QUIC, TCP)["quic-migrates"].verdict is PARTLY


def test_tcp_that_goes_on_refutes() -> None:
    alive = replace(TCP, done=True, received=SIZE)
    assert judged(QUIC, alive)["tcp-does-not-migrate"].verdict is REFUTED
    assert judged(QUIC, TCP, alive)["tcp-does-not-migrate"].verdict is PARTLY


def test_a_download_that_was_over_before_the_move_proves_nothing() -> None:
    early = judged(replace(QUIC, early=True, paths=(HOME,)), replace(TCP, early=True, done=True))
    for one in early.values():
        assert (one.verdict, one.measured) == (NOT_RUN, "the download was over before the move")


def test_a_flawed_capture_and_an_empty_one_prove_nothing() -> None:
    for found in (judged(QUIC, TCP, flaws=("the capture lost 3 packets",)), judged()):
        assert {one.verdict for one in found.values()} == {NOT_RUN}, found


def download(*, moves: bool) -> tuple[Network, int]:
    """An HTTP/3 download of 40 kB; the client has another address after 1.5 round trips of the data."""
    made = network(answer=lambda _: bytes(40_000))
    made.connect()
    stream = made.ask("/bytes", [(b"traceparent", traceparent(1).encode())])
    made.run(lambda: len(made.got.get(stream, b"")) > 8_000)
    if moves:
        made.client_address = (MOBILE, 6000)
        made.client.change_connection_id()
        made.client.send_ping(1)
    left = made.now_ns
    made.run(lambda: stream in made.ended)
    return made, left


def told(made: Network, left: int, *, done: bool = True) -> Recording:
    """The run in which it happened."""
    found = []
    for frame in made.frames("client"):
        port = LTE if bytes(map(int, MOBILE.split("."))) in frame.data[26:34] else WIFI
        found.append(Frame(frame.number, frame.time_ns, CLIENT, port, frame.length, frame.data))
    events = [asked_for("3 download", 1, EPOCH_NS + 1)]
    if done:
        data = {"name": "3 download", "total_ms": 300.0}
        events.append(Event(made.now_ns, CLIENT, "client", "request-done", None, data))
    phases = [
        RunPhase(name="away 3 1", started_ns=left, ended_ns=made.now_ns),
        RunPhase(name="3 1", started_ns=EPOCH_NS, ended_ns=made.now_ns + 1),
    ]
    return recording(found, events, made.keys, phases)


def test_a_move_from_its_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "SIZE", 40_000)
    made, left = download(moves=True)
    found = judge(told(made, left))
    claims = by_id(found.claims)
    assert claims["quic-migrates"].verdict is HOLDS, (claims, found.tables)
    assert claims["tcp-does-not-migrate"].verdict is NOT_RUN
    (row,) = found.tables[0].rows
    assert row.cells[:6] == ("QUIC (HTTP/3)", "yes", 40_000, 300, f"{HOME} ─► {MOBILE}", 1)
    before, after = row.evidence
    assert before < after


def test_a_client_that_stays_where_it_is_refutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "SIZE", 40_000)
    made, left = download(moves=False)
    assert by_id(judge(told(made, left)).claims)["quic-migrates"].verdict is REFUTED
    late = by_id(judge(told(made, made.now_ns + 1)).claims)["quic-migrates"]
    assert (late.verdict, late.measured) == (NOT_RUN, "the download was over before the move")
    failed = by_id(judge(told(made, left, done=False)).claims)["quic-migrates"]
    assert failed.verdict is REFUTED
