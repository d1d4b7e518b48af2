"""Verdicts on many objects at once: pages with known times and sizes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from netlab.scenarios.multiplex import CASES, FAR, MANY, Case, _claims
from netlab.scenarios.objects import Page
from netlab.trace.claim import Claim, Verdict
from tests.kit.recordings import by_id

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
Groups = dict[tuple[str, str], list[Page]]
ONE, SIX, TWO, THREE = "HTTP/1.1 × 1", "HTTP/1.1 × 6", "HTTP/2", "HTTP/3"


def page(all_ms: int, at_once: int = 1, connections: int = 1, request: int = 200, frame: int = 1) -> Page:
    asked = [SimpleNamespace(span=SimpleNamespace(request_bytes=request))]
    made = SimpleNamespace(
        all_ns=all_ms * 1_000_000,
        first_ns=1,
        at_once=at_once,
        connections=tuple(range(connections)),
        asked=asked,
        frames=(frame, frame + 1),
    )
    return cast("Page", made)


def guide(case: Case = MANY) -> Groups:
    return {
        (case.title, ONE): [page(4000, frame=10)],
        (case.title, SIX): [page(4000, 1, 6, frame=20)],
        (case.title, TWO): [page(900, 100, 1, 60, frame=30)],
        (case.title, THREE): [page(900, 100, frame=40)],
    }


def judged(groups: Groups, *flaws: str) -> dict[str, Claim]:
    return by_id(_claims(groups, flaws))


def test_the_guides_own_numbers_hold() -> None:
    found = judged(guide())
    assert {one.verdict for one in found.values()} == {HOLDS}, found
    assert found["http2-multiplexes"].evidence == {TWO: (30, 31)}
    assert found["http3-four-times"].evidence == {SIX: (20, 21), THREE: (40, 41)}


@pytest.mark.parametrize(
    ("claim", "way", "other", "verdict"),
    [
        ("http1-one-at-a-time", SIX, page(4000, 2, 6), REFUTED),
        ("http2-multiplexes", TWO, page(900, 1, 1, 60), REFUTED),
        ("http2-multiplexes", TWO, page(900, 100, 2, 60), REFUTED),
        ("http2-no-more-connections", TWO, page(4300, 100), HOLDS),
        ("http2-no-more-connections", TWO, page(5000, 100), REFUTED),
        ("http2-compresses-headers", TWO, page(900, 100, 1, 200), REFUTED),
        ("http3-four-times", THREE, page(1300), PARTLY),
        ("http3-four-times", THREE, page(2000), REFUTED),
        ("http3-four-times-one", THREE, page(1300), PARTLY),
        ("http3-four-times-one", THREE, page(2000), REFUTED),
    ],
)
def test_another_number_changes_the_verdict(claim: str, way: str, other: Page, verdict: Verdict) -> None:
    found = judged(guide() | {(MANY.title, way): [other]})[claim]
    assert found.verdict is verdict, found


def test_one_line_on_which_it_is_so_is_enough_for_some_scenarios() -> None:
    groups = guide() | {(MANY.title, THREE): [page(3000)]}
    assert judged(groups)["http3-four-times"].verdict is REFUTED
    found = judged(groups | guide(FAR))["http3-four-times"]
    assert found.verdict is HOLDS, found
    assert FAR.title in found.measured


def test_the_median_of_the_turns_is_judged() -> None:
    turns = [page(900, 100), page(9000, 100), page(950, 100)]
    assert judged(guide() | {(MANY.title, TWO): turns})["http2-no-more-connections"].verdict is HOLDS


def test_a_flawed_capture_and_an_empty_one_prove_nothing() -> None:
    for found in (judged(guide(), "the capture lost 3 packets"), judged({})):
        assert {one.verdict for one in found.values()} == {NOT_RUN}, found


def test_a_version_that_was_not_asked_for_is_not_judged() -> None:
    groups = {key: group for key, group in guide().items() if key[1] == TWO}
    verdicts = {name: one.verdict for name, one in judged(groups).items()}
    assert verdicts.pop("http2-multiplexes") is HOLDS
    assert set(verdicts.values()) == {NOT_RUN}


def test_the_cases_differ() -> None:
    assert len({case.title for case in CASES}) == len(CASES)
