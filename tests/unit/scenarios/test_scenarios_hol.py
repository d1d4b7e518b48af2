"""Verdicts on head-of-line blocking: stalls and objects with known times."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from netlab.scenarios.hol import LOSSES, Loaded, _claims, _example, _table
from netlab.scenarios.measured import Asked
from netlab.scenarios.objects import Page
from netlab.trace.claim import Claim, Verdict
from netlab.trace.round_trips import Moment
from netlab.trace.stalls import Stall
from tests.kit.recordings import by_id

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
MS = 1_000_000
Groups = dict[tuple[str, str], list[Loaded]]
ONE, SIX, TWO, THREE = "HTTP/1.1 × 1", "HTTP/1.1 × 6", "HTTP/2", "HTTP/3"


def stall(stream: int, start_ms: int, end_ms: int, *, own: bool, lost: int = 70) -> Stall:
    start, end = Moment(start_ms * MS, 100 + start_ms), Moment(end_ms * MS, 100 + end_ms)
    return Stall(stream, f"/objects/{stream}", start, end, 1400, ((0, 1400),), end.frame, (lost,), own)


def loaded(all_ms: int, *stalls: Stall, done_ms: tuple[int, ...] = (), lag_ms: int = 1) -> Loaded:
    """`done_ms`: when objects of streams 4, 8 … were whole; the program read each `lag_ms` later."""
    asked = tuple(
        cast(
            "Asked",
            SimpleNamespace(
                name=f"p/{number}", span=SimpleNamespace(stream=4 * number, done=Moment(at * MS, 100 + at))
            ),
        )
        for number, at in enumerate(done_ms, 1)
    )
    page = SimpleNamespace(all_ns=all_ms * MS, frames=(1, 2), connections=(1,), asked=asked)
    read_ns = {f"p/{number}": (at + lag_ms) * MS for number, at in enumerate(done_ms, 1)}
    return Loaded(cast("Page", page), stalls, read_ns)


def guide() -> Groups:
    """As the guide says: HTTP/2 waits, HTTP/3 doesn't, and is four times as fast."""
    groups: Groups = {}
    for loss in LOSSES:
        lossy = loss != "0%"
        blocked = (stall(1, 50, 90, own=True), stall(3, 50, 90, own=False)) if lossy else ()
        groups[loss, ONE] = groups[loss, SIX] = [loaded(2000)]
        groups[loss, TWO] = [loaded(900 if lossy else 400, *blocked)]
        alone = (stall(0, 50, 90, own=True),) if lossy else ()
        groups[loss, THREE] = [loaded(400, *alone, done_ms=(60, 85))]
    return groups


def judged(groups: Groups, *flaws: str) -> dict[str, Claim]:
    return by_id(_claims(groups, flaws))


def lossy(groups: Groups, title: str, one: Loaded) -> Groups:
    """The groups with this page at every loss."""
    return groups | {(loss, title): [one] for loss in LOSSES if loss != "0%"}


def test_the_guides_own_claims_hold() -> None:
    found = judged(guide())
    assert {one.verdict for one in found.values()} == {HOLDS}, found
    assert found["tcp-head-of-line"].evidence == {TWO: (70, 150, 190)}
    assert found["quic-independent-streams"].evidence == {THREE: (70, 150, 160, 190)}


def test_streams_that_wait_for_bytes_of_their_own_only_refute_blocking() -> None:
    groups = lossy(guide(), TWO, loaded(900, stall(1, 50, 90, own=True)))
    assert judged(groups)["tcp-head-of-line"].verdict is REFUTED


@pytest.mark.parametrize(("lag_ms", "verdict"), [(1, HOLDS), (60, REFUTED)])
def test_a_program_that_reads_only_after_the_repair_refutes_independence(
    lag_ms: int, verdict: Verdict
) -> None:
    """A counter-case: QUIC packets as they should be, and a receiver that gives its program all in order."""
    one = loaded(400, stall(0, 50, 90, own=True), done_ms=(60, 70), lag_ms=lag_ms)
    found = judged(lossy(guide(), THREE, one))["quic-independent-streams"]
    assert found.verdict is verdict, found


def test_some_that_are_read_late_refute_independence_in_part() -> None:
    one = loaded(400, stall(0, 50, 90, own=True), done_ms=(60, 70))
    late = replace(one, read_ns={**one.read_ns, "p/1": 100 * MS})
    assert judged(lossy(guide(), THREE, late))["quic-independent-streams"].verdict is PARTLY


def test_what_came_just_before_the_repair_or_belongs_to_the_stream_says_nothing() -> None:
    close = loaded(400, stall(0, 50, 90, own=True), done_ms=(85,), lag_ms=10)
    same = loaded(400, stall(4, 50, 90, own=True), done_ms=(60,), lag_ms=100)
    before = loaded(400, stall(0, 50, 90, own=True), done_ms=(40,), lag_ms=100)
    for one in (close, same, before):
        assert one.meanwhile == ()
        assert judged(lossy(guide(), THREE, one))["quic-independent-streams"].verdict is NOT_RUN


@pytest.mark.parametrize(
    ("at", "verdict"), [(("5%",), PARTLY), (("1%", "2%", "5%"), REFUTED)], ids=["at 5%", "always"]
)
def test_http3_must_win_at_every_loss(at: tuple[str, ...], verdict: Verdict) -> None:
    groups = guide() | {(loss, THREE): [loaded(2000)] for loss in at}
    found = judged(groups)["http3-wins-under-loss"]
    assert found.verdict is verdict, found


def test_faster_by_less_than_the_tolerance_is_no_win() -> None:
    groups = lossy(guide(), THREE, loaded(850))
    assert judged(groups)["http3-wins-under-loss"].verdict is REFUTED


@pytest.mark.parametrize(
    ("six", "one", "verdict"), [(2000, 2000, HOLDS), (700, 2000, PARTLY), (700, 700, REFUTED)]
)
def test_four_times_faster(six: int, one: int, verdict: Verdict) -> None:
    groups = guide()
    for loss in LOSSES:
        groups[loss, SIX], groups[loss, ONE] = [loaded(six)], [loaded(one)]
    found = judged(groups)["http3-four-times-lossy"]
    assert found.verdict is verdict, found


def test_a_flawed_capture_and_an_empty_one_prove_nothing() -> None:
    for found in (judged(guide(), "the capture lost 3 packets"), judged({})):
        assert {one.verdict for one in found.values()} == {NOT_RUN}, found


def test_without_loss_nothing_is_judged_of_waiting() -> None:
    clean = {key: group for key, group in guide().items() if key[0] == "0%"}
    found = judged(clean)
    assert found["tcp-head-of-line"].verdict is NOT_RUN
    assert found["quic-independent-streams"].verdict is NOT_RUN


def test_the_tables_point_to_the_packets() -> None:
    table = _table(guide())
    row = next(row for row in table.rows if row.cells[:2] == ("1%", TWO))
    assert row.cells == ("1%", TWO, "900", 2, 1, 40.0)
    assert row.evidence == (150, 190)
    two, three = _example(guide())
    assert "frame 70" in two.title
    assert [row.cells[4] for row in two.rows][:2] == ["yes", "no"]
    assert three.title.startswith(THREE)
