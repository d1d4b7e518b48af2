"""The verdicts of `cdn`: each claim holds for a cache that does it, and is refuted by one that doesn't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.scenarios import cdn
from netlab.scenarios.cdn_claims import cdn_claims
from netlab.scenarios.cdn_read import CacheNode, Talk
from netlab.scenarios.measured import Asked
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, Span
from netlab.trace.message import Exchange
from netlab.trace.round_trips import Moment

MS = 1_000_000
LONDON, TOKYO, SHIELD = "edge-london", "edge-tokyo", "shield"


class Story:
    """Requests one after the other; which of the caches sent which of them on."""

    def __init__(self) -> None:
        self._number = 0
        self._asked: dict[str, Asked] = {}
        self._front: dict[str, dict[str, Span]] = {LONDON: {}, TOKYO: {}, SHIELD: {}}
        self._back: dict[str, dict[str, list[Span]]] = {LONDON: {}, TOKYO: {}, SHIELD: {}}

    def span(
        self, name: str, after_ms: float, wait_ms: float, status: int, size: int, etag: str = ""
    ) -> Span:
        """Asked `after_ms` after the story's last request began."""
        start = self._number * 1_000 * MS + round(after_ms * MS)
        answered = Moment(start + round(wait_ms * MS), 2 * self._number + 2)
        head = ResponseHead(status, Headers((("ETag", etag),)))
        exchange = Exchange(f"{self._number:032x}", RequestHead("GET", name), (), head, response_body=size)
        asked = Moment(start, 2 * self._number + 1)
        return Span(
            0, "1.1", "GET", name, status, asked, asked, answered, answered, 100, size, 0, size,
            (asked.frame,), (answered.frame,), False, exchange,
        )  # fmt: skip

    def ask(
        self, name: str, *sent_on: str, wait_ms: float = 5.0, edge: str = LONDON, fresh_ms: float = 50.0,
        status: int = 200, upstream: tuple[int, int] = (200, 100), etag: str = "",
    ) -> Story:  # fmt: skip
        """`sent_on`: the caches that asked further; `upstream`: status and content that came back."""
        self._number += 1
        span = self.span(name, 0, wait_ms, status, 100, etag)
        self._asked[name] = Asked(name, cast("Connection", None), span)
        trace = span.exchange.trace_id
        if edge:
            self._front[edge][trace] = span
        for node in sent_on:
            self._back[node].setdefault(trace, []).append(self.span(name, 1, fresh_ms, *upstream))
        return self

    def talk(self, **changed: Any) -> Talk:
        caches = {
            node: CacheNode(
                node,
                self._front[node],
                {key: tuple(spans) for key, spans in self._back[node].items()},
                (),
                False,
            )
            for node in self._front
        }
        return Talk(self._asked, {node: replace(one, **changed) for node, one in caches.items()})


def claim(story: Story, name: str, **changed: Any) -> Claim:
    (found,) = [one for one in cdn_claims(story.talk(**changed), ()) if one.id == name]
    return found


def pairs(prefix: str, *sent_on: str, wait_ms: float = 5.0, edge: str = LONDON) -> Story:
    story = Story()
    for number in (1, 2):
        story.ask(f"{prefix}/{number}", *sent_on, wait_ms=wait_ms, edge=edge)
    return story


GOOD = {
    "cdn-hit": pairs("hit"),
    "cdn-miss": pairs("miss", LONDON, SHIELD),
    "cdn-latency": Story().ask("direct/1", edge="", wait_ms=42).ask("hit/1", wait_ms=4),
    "cdn-validate": Story().ask("validate/again", LONDON, upstream=(304, 0)),
    "cdn-stale-while-revalidate": Story().ask("swr/stale", LONDON).ask("swr/after"),
    "cdn-purge": Story().ask("purge/hit").ask("purge/purge").ask("purge/after", LONDON, SHIELD),
    "cdn-vary": Story()
    .ask("vary/en", LONDON, etag="1")
    .ask("vary/de", LONDON, etag="2")
    .ask("vary/en-again", etag="1"),
    "cdn-collapse": Story().ask("together/1", LONDON).ask("together/2"),
    "cdn-shield": Story().ask("shield/tokyo", TOKYO, edge=TOKYO),
    "cdn-near-edge": Story().ask("zipf-client-a/1").ask("zipf-client-b/1", edge=TOKYO),
}
BAD = {
    "cdn-hit": (pairs("hit", LONDON), Verdict.REFUTED),
    "cdn-miss": (pairs("miss"), Verdict.REFUTED),
    "cdn-latency": (Story().ask("direct/1", edge="", wait_ms=42).ask("hit/1", wait_ms=30), Verdict.REFUTED),
    "cdn-validate": (Story().ask("validate/again", LONDON, upstream=(200, 100)), Verdict.REFUTED),
    "cdn-stale-while-revalidate": (
        Story().ask("swr/stale", LONDON, wait_ms=60).ask("swr/after"),
        Verdict.REFUTED,
    ),
    "cdn-purge": (Story().ask("purge/hit").ask("purge/purge").ask("purge/after"), Verdict.REFUTED),
    "cdn-vary": (
        Story().ask("vary/en", LONDON, etag="1").ask("vary/de", etag="1").ask("vary/en-again", etag="1"),
        Verdict.REFUTED,
    ),
    "cdn-collapse": (Story().ask("together/1", LONDON).ask("together/2", LONDON), Verdict.REFUTED),
    "cdn-shield": (Story().ask("shield/tokyo", TOKYO, SHIELD, edge=TOKYO), Verdict.REFUTED),
    "cdn-near-edge": (Story().ask("zipf-client-b/1", edge=LONDON), Verdict.REFUTED),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_cache_that_does_it(name: str) -> None:
    found = claim(GOOD[name], name)
    assert found.verdict is Verdict.HOLDS, found
    assert found.evidence, found


@pytest.mark.parametrize("name", BAD)
def test_a_cache_that_does_not(name: str) -> None:
    story, verdict = BAD[name]
    found = claim(story, name)
    assert found.verdict is verdict, found


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"cdn-latency", "cdn-near-edge"}))
def test_what_a_cache_sent_on_can_be_unreadable(name: str) -> None:
    assert claim(GOOD[name], name, unread=True).verdict is Verdict.NOT_RUN


def test_halves_are_partly() -> None:
    half = Story().ask("hit/1").ask("hit/2", LONDON)
    assert claim(half, "cdn-hit").verdict is Verdict.PARTLY
    again = Story().ask("swr/stale", LONDON).ask("swr/after", LONDON)
    assert claim(again, "cdn-stale-while-revalidate").verdict is Verdict.PARTLY
    shielded = Story().ask("purge/hit").ask("purge/purge").ask("purge/after", LONDON)
    assert claim(shielded, "cdn-purge").verdict is Verdict.PARTLY, "the shield gave the old response"


def test_a_purge_that_is_refused_proves_nothing() -> None:
    story = Story().ask("purge/hit").ask("purge/purge", status=405).ask("purge/after")
    assert claim(story, "cdn-purge").verdict is Verdict.NOT_RUN


@pytest.mark.parametrize(
    ("misses", "verdict"),
    [(10, Verdict.HOLDS), (3, Verdict.PARTLY), (30, Verdict.PARTLY), (60, Verdict.REFUTED)],
)
def test_the_share_that_edges_answer(misses: int, verdict: Verdict) -> None:
    story = Story()
    for number in range(100):
        story.ask(f"zipf-client-a/{number}", *([LONDON] if number < misses else []))
    assert claim(story, "cdn-offload").verdict is verdict
    (table,) = [cdn._offload(story.talk())]
    assert table.rows[0].cells == (LONDON, 100, misses, 100.0 - misses)


def test_nothing_asked_is_not_run() -> None:
    assert {one.verdict for one in cdn_claims(Talk({}, {}), ())} == {Verdict.NOT_RUN}
    flawed = cdn_claims(GOOD["cdn-hit"].talk(), ("the capture lost 2 packets",))
    assert {one.verdict for one in flawed} == {Verdict.NOT_RUN}
