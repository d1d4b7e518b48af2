"""Verdicts on TCP: downloads over a path that loses known segments, and what was changed in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import pytest

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.scenarios.measured import Asked
from netlab.scenarios.tcp import CLIENT, SERVER, judge
from netlab.scenarios.tcp_claims import claims_of
from netlab.scenarios.tcp_download import Download, made, rounds_of
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import connections
from netlab.trace.round_trips import Moment
from netlab.trace.tcp_analysis import Retransmission, Sample
from tests.kit.recordings import asked_for, by_id, placed, recording, traceparent
from tests.kit.tcp_path import MS, TcpPath

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
PLACES = {"client": (CLIENT, "eth0"), "server": (SERVER, "eth0")}


def frames(number: int, *lost: int, size: int = 60_000, window: int = 1 << 20) -> tuple[Frame, ...]:
    """A download in plain HTTP/1.1 at both ends; the segments `lost` on the way down never come."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    head = f"GET /bytes HTTP/1.1\r\nHost: x\r\ntraceparent: {traceparent(number)}\r\n\r\n".encode()
    got = bytearray()
    path = TcpPath(lost_down=lambda at, _: at in lost)
    path.now_ns += number * 10_000 * MS
    path.client.isn += number * 1_000_000
    path.client.window = path.server.peer_window = window
    path.client.heard = got.extend
    path.server.heard = lambda _: path.server.send(answer)
    path.client.send(head)
    path.connect()
    path.run(lambda: len(got) == len(answer))
    path.settle()
    return placed(path.frames(), PLACES)


@lru_cache
def download(name: str, *lost: int, window: int = 1 << 20) -> Download:
    found = frames(1, *lost, window=window)
    here, there = (
        connections([one for one in found if one.node == node], KeyLog({}))[0] for node in (CLIENT, SERVER)
    )
    both = made(Asked(name, here, here.requests[0]), {there.exchanges[0].trace_id: there})
    assert both is not None
    return both


def grows(one: Download, most: int, rounds: tuple[int, ...]) -> Download:
    """The same with another growth, and this much in flight."""
    sent, end = [], 0
    for number, size in enumerate(rounds):
        end += size
        sent.append(Sample(Moment(number * 50 * MS, number + 1), end))
    rtts = (Sample(Moment(50 * MS, 1), 50 * MS),)
    flight = (Sample(Moment(1, 1), most),)
    return replace(one, sent=replace(one.sent, sent=tuple(sent), rtts=rtts, flight=flight))


SLOW_START = (14_000, 28_000, 56_000, 112_000)


def usual() -> dict[str, Download]:
    return {
        "clean": grows(download("clean cubic 1"), 1_000_000, SLOW_START),
        "lossy": grows(download("lossy cubic 1", 10, 20), 50_000, SLOW_START),
        "dead": download("dead line"),
        "slow": download("slow reader"),
    }


def judged(downloads: dict[str, Download], *flaws: str) -> dict[str, Claim]:
    every = tuple(downloads.values())
    return by_id(claims_of(every, [one.asked for one in every], flaws))


def offered(one: Download, *windows: int, flight: int) -> Download:
    """The receiver offered these windows in turn, and then so much was in flight."""
    samples = tuple(Sample(Moment(number, number + 1), size) for number, size in enumerate(windows))
    zero = tuple(one.at for one in samples if one.value == 0)
    late = (Sample(Moment(100, 100), flight),)
    return replace(one, sent=replace(one.sent, windows=samples, zero=zero, flight=late))


def test_handshakes_from_their_packets() -> None:
    found = judged(usual())
    three = found["tcp-three-way"]
    assert (three.verdict, three.measured) == (HOLDS, "4 of 4 connections")
    assert len(three.evidence["first"]) == 3
    assert found["tcp-one-rtt"].verdict is HOLDS
    assert found["tcp-one-rtt"].measured == "1 in 4 connections"


def test_a_handshake_without_its_third_packet_refutes() -> None:
    one = download("clean cubic 1")
    packets = (one.asked.connection.packets[0], *one.asked.connection.packets[2:])
    cut = replace(one, asked=replace(one.asked, connection=replace(one.asked.connection, packets=packets)))
    assert judged({"clean": cut})["tcp-three-way"].verdict is REFUTED
    assert judged({"clean": cut, "lossy": one})["tcp-three-way"].verdict is PARTLY


def again(kind: str) -> Retransmission:
    return Retransmission(Moment(9, 9), 0, 1400, 5, kind, 40 * MS, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lossy", "dead", "verdict"),
    [
        (("timeout", "timeout", "fast"), (), HOLDS),
        (("fast", "fast", "timeout"), (), PARTLY),
        (("fast", "fast"), ("timeout",), PARTLY),
        (("fast", "fast"), (), REFUTED),
        ((), ("timeout",), NOT_RUN),
    ],
)
def test_what_repairs_a_loss(lossy: tuple[str, ...], dead: tuple[str, ...], verdict: Verdict) -> None:
    downloads = usual()
    for case, kinds in (("lossy", lossy), ("dead", dead)):
        one = downloads[case]
        sent = replace(one.sent, retransmissions=tuple(again(kind) for kind in kinds))
        downloads[case] = replace(one, sent=sent)
    found = judged(downloads)["tcp-retransmits-by-timeout"]
    assert found.verdict is verdict, found
    if lossy:
        assert found.evidence == {"again": (5, 9)}


def test_a_lost_segment_is_sent_again_by_duplicate_acknowledgements() -> None:
    found = judged(usual())
    assert "2 by duplicate ACKs" in found["tcp-retransmits-by-timeout"].measured, found
    told = found["tcp-duplicate-acks"]
    assert (told.verdict, told.measured) == (HOLDS, "2 of 2 gaps; 0 duplicates in the downloads without loss")
    gap, duplicate = told.evidence["first"]
    assert gap < duplicate


def test_a_receiver_that_says_nothing_of_gaps_refutes() -> None:
    silent, half = usual(), usual()
    lossy = silent["lossy"]
    silent["lossy"] = replace(lossy, heard=replace(lossy.heard, duplicates=()))
    assert judged(silent)["tcp-duplicate-acks"].verdict is REFUTED
    end = lossy.heard.gaps[0].filled
    assert end is not None
    told = tuple(
        one for one in lossy.heard.duplicates if one.at <= lossy.heard.gaps[0].at._replace(frame=1 << 30)
    )
    first = tuple(one for one in lossy.heard.duplicates if one.at < lossy.heard.gaps[1].at) or told
    half["lossy"] = replace(lossy, heard=replace(lossy.heard, duplicates=first))
    assert judged(half)["tcp-duplicate-acks"].verdict is PARTLY


@pytest.mark.parametrize(
    ("rounds", "lossy", "verdict"),
    [
        (SLOW_START, 50_000, HOLDS),
        (SLOW_START, 2_000_000, PARTLY),
        ((14_000, 14_000, 14_000), 50_000, PARTLY),
        ((14_000, 14_000, 14_000), 2_000_000, REFUTED),
    ],
)
def test_the_window_grows_and_shrinks(rounds: tuple[int, ...], lossy: int, verdict: Verdict) -> None:
    downloads = usual()
    downloads["clean"] = grows(downloads["clean"], 1_000_000, rounds)
    downloads["lossy"] = grows(downloads["lossy"], lossy, rounds)
    found = judged(downloads)["tcp-window-adapts"]
    assert found.verdict is verdict, found


@pytest.mark.parametrize(
    ("windows", "flight", "verdict"),
    [
        ((64_000, 0, 32_000), 32_000, HOLDS),
        ((64_000,), 32_000, PARTLY),
        ((64_000, 0, 32_000), 33_000, REFUTED),
    ],
)
def test_no_more_than_the_window_is_in_flight(
    windows: tuple[int, ...], flight: int, verdict: Verdict
) -> None:
    downloads = usual()
    downloads["slow"] = offered(downloads["slow"], *windows, flight=flight)
    found = judged(downloads)["tcp-flow-control"]
    assert found.verdict is verdict, found


def test_growth_is_counted_by_round_trips() -> None:
    assert rounds_of(grows(download("clean cubic 1"), 1, SLOW_START))[:4] == list(SLOW_START)


def test_a_flawed_capture_and_an_empty_one_prove_nothing() -> None:
    for found in (judged(usual(), "the capture lost 3 packets"), judged({})):
        assert {one.verdict for one in found.values()} == {NOT_RUN}, found


NAMES: Callable[[int], str] = ("clean cubic 1", "lossy cubic 1", "never sent").__getitem__


def test_downloads_from_a_recording() -> None:
    both = [*frames(1), *frames(2, 10)]
    merged = placed(both, {node: (node, "eth0") for node in (CLIENT, SERVER)})
    found = judge(recording(merged, [asked_for(NAMES(number), number + 1) for number in range(3)]))
    (controls, growth, timeouts) = found.tables
    assert [(row.cells[0], row.cells[3]) for row in controls.rows] == [("clean cubic", 0), ("lossy cubic", 1)]
    assert len(growth.rows) == 1
    assert timeouts.rows == ()
    assert found.failed == ("never sent: not in the capture",)
    assert by_id(found.claims)["tcp-flow-control"].verdict is NOT_RUN
