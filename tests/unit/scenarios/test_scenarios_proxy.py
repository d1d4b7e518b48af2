"""The verdicts of `proxy`: each claim holds for a proxy that does it, and does not for one that doesn't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.scenarios import proxy
from netlab.scenarios.measured import Asked
from netlab.scenarios.proxy_claims import BAD_TOKENS, SPOOFED, proxy_claims
from netlab.scenarios.proxy_read import Hop, Talk
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, Span
from netlab.trace.message import Exchange
from netlab.trace.round_trips import Moment

CLIENT, EDGE = "203.0.113.5", "198.51.100.10"
LIMIT = (("RateLimit-Policy", '"default";q=2;w=20'), ("RateLimit", '"default";r=0;t=9'), ("Retry-After", "4"))


def span(number: int, status: int = 200, asked: Headers = Headers(), told: Headers = Headers()) -> Span:  # noqa: B008 - a tuple
    """A request whose first frame is 2 × `number`."""
    exchange = Exchange(
        f"{number:032x}", RequestHead("GET", "/", asked), (), ResponseHead(status, told), response_body=1
    )
    first, last = Moment(number, 2 * number), Moment(number + 1, 2 * number + 1)
    return Span(
        0, "1.1", "GET", "/", status, first, first, last, last, 1, 1, 0, 1,
        (first.frame,), (last.frame,), False, exchange,
    )  # fmt: skip


def hop(node: str, number: int, came_from: str, encrypted: bool, **fields: str) -> Hop:
    parent = f"{number:016x}"
    headers = {"traceparent": f"00-{1:032x}-{parent}-01", **fields}
    named = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    return Hop(node, span(number, asked=named), came_from, encrypted)


WAY = (
    hop("client-a", 1, "", True, x_forwarded_for=SPOOFED, forwarded=f"for={SPOOFED}"),
    hop("edge-london", 2, CLIENT, True, x_forwarded_for=CLIENT, via="1.1 edge-london"),
    hop(
        "proxy",
        3,
        EDGE,
        False,
        x_forwarded_for=f"{CLIENT}, {EDGE}",
        x_real_ip=CLIENT,
        x_request_id="a",
        via="1.1 edge-london, 1.1 proxy",
    ),
)


class Story:
    """Requests, their answers, and which app got them."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._seen: dict[str, tuple[str, Span]] = {}

    def ask(self, name: str, status: int = 200, app: str = "", *told: tuple[str, str]) -> Story:
        number = len(self._asked) + 10
        made = span(number, status, told=Headers(told))
        self._asked[name] = Asked(name, cast("Connection", None), made)
        if app:
            self._seen[made.exchange.trace_id] = (app, made)
        return self

    def talk(self) -> Talk:
        return Talk(dict(self._asked), dict(self._seen), WAY)


def tokens(status: int = 401, seen: str = "", good: str = "app-3") -> Story:
    story = Story().ask("token-good/1", 200 if good else 401, good)
    for number, kind in enumerate(BAD_TOKENS):
        story.ask(f"token-{kind}/1", status if number == 3 else 401, seen if number == 3 else "")
    return story


def limits(
    passing: int = 2, refused: int = 3, told: tuple[tuple[str, str], ...] = LIMIT, other: int = 200
) -> Story:
    story = Story()
    for number in range(passing):
        story.ask(f"limit/{number}", 200, f"app-{number % 3 + 1}", *told)
    for number in range(passing, passing + refused):
        story.ask(f"limit/{number}", 429, "", *told)
    return story.ask("limit-other/1", other, "app-1" if other == 200 else "", *told)


def wall(blocked: int = 3, passed: int = 2) -> Story:
    story = Story()
    for number in range(3):
        story.ask(f"waf-attack/{number}", *((403, "") if number < blocked else (200, "app-3")))
    for number in range(2):
        story.ask(f"waf-benign/{number}", *((200, "app-3") if number < passed else (403, "")))
    return story


def canary(*arms: str) -> Story:
    """Each a client, and the numbers of the apps that its requests went to."""
    story = Story()
    for client, apps in enumerate(arms):
        for number, app in enumerate(apps):
            story.ask(f"canary/client-{client}/{number}", 200, f"app-{app}" if app != "-" else "")
    return story


def routed(*apps: str) -> Story:
    story = limits()
    for number, app in enumerate(apps):
        story.ask(f"waf-benign/{number}", 200, app)
    return story


def claim(talk: Talk, name: str) -> Claim:
    (found,) = [one for one in proxy_claims(talk, ()) if one.id == f"proxy-{name}"]
    return found


@pytest.mark.parametrize(
    ("name", "story"),
    [
        ("tls", Story()),
        ("forwarded", Story()),
        ("trace", Story()),
        ("routing", routed("app-3", "app-3")),
        ("canary", canary("11", "22", "11")),
        ("jwt", tokens()),
        ("rate-limit", limits()),
        ("waf", wall()),
    ],
)
def test_a_proxy_that_does_it(name: str, story: Story) -> None:
    found = claim(story.talk(), name)
    assert found.verdict is Verdict.HOLDS, found
    assert found.evidence, found
    flawed = [one for one in proxy_claims(story.talk(), ("9 packets lost",)) if one.id == found.id]
    assert flawed[0].verdict is Verdict.NOT_RUN


@pytest.mark.parametrize(
    ("name", "story", "verdict"),
    [
        ("routing", routed("app-3", "app-1"), Verdict.REFUTED),
        ("routing", routed("", ""), Verdict.REFUTED),
        ("canary", canary("12", "22", "11"), Verdict.PARTLY),
        ("canary", canary("11", "2-", "11"), Verdict.PARTLY),
        ("canary", canary("11", "11", "11"), Verdict.REFUTED),
        ("canary", canary("--", "--"), Verdict.REFUTED),
        ("jwt", tokens(200, "app-3"), Verdict.REFUTED),
        ("jwt", tokens(403), Verdict.PARTLY),
        ("jwt", tokens(good=""), Verdict.REFUTED),
        ("rate-limit", limits(3, 2), Verdict.PARTLY),
        ("rate-limit", limits(5, 0), Verdict.REFUTED),
        ("rate-limit", limits(other=429), Verdict.PARTLY),
        ("rate-limit", limits(told=LIMIT[:2]), Verdict.PARTLY),
        ("rate-limit", limits(told=()), Verdict.PARTLY),
        ("waf", wall(blocked=2), Verdict.PARTLY),
        ("waf", wall(passed=1), Verdict.PARTLY),
        ("waf", wall(blocked=0), Verdict.REFUTED),
    ],
)
def test_a_proxy_that_does_not(name: str, story: Story, verdict: Verdict) -> None:
    found = claim(story.talk(), name)
    assert found.verdict is verdict, found


def changed(change: Callable[[Hop], Hop], at: int = -1) -> Talk:
    hops = list(WAY)
    hops[at] = change(hops[at])
    return replace(Story().talk(), hops=tuple(hops))


def fields(**changes: str) -> Callable[[Hop], Hop]:
    def change(one: Hop) -> Hop:
        headers = one.headers
        for name, value in changes.items():
            headers = headers.having(name.replace("_", "-"), value)
        exchange = replace(one.span.exchange, request=RequestHead("GET", "/", headers))
        return replace(one, span=replace(one.span, exchange=exchange))

    return change


@pytest.mark.parametrize(
    ("name", "talk", "verdict"),
    [
        ("tls", changed(lambda one: replace(one, encrypted=True)), Verdict.REFUTED),
        ("tls", changed(lambda one: replace(one, encrypted=False), 1), Verdict.REFUTED),
        ("forwarded", changed(fields(x_forwarded_for=f"{SPOOFED}, {CLIENT}")), Verdict.REFUTED),
        ("forwarded", changed(fields(forwarded=f"for={SPOOFED}")), Verdict.REFUTED),
        ("forwarded", changed(fields(x_forwarded_for=EDGE)), Verdict.REFUTED),
        ("forwarded", changed(fields(x_real_ip="")), Verdict.PARTLY),
        ("trace", changed(fields(traceparent=WAY[1].headers.get("traceparent"))), Verdict.PARTLY),
        ("trace", changed(fields(via="1.1 proxy")), Verdict.PARTLY),
        ("trace", changed(fields(x_request_id="")), Verdict.PARTLY),
    ],
)
def test_a_way_that_is_wrong(name: str, talk: Talk, verdict: Verdict) -> None:
    found = claim(talk, name)
    assert found.verdict is verdict, found


def test_nothing_asked_is_not_run() -> None:
    nothing = Talk({}, {})
    assert {one.verdict for one in proxy_claims(nothing, ())} == {Verdict.NOT_RUN}
    hidden = replace(wall().talk(), unread=True)
    assert claim(hidden, "waf").verdict is Verdict.NOT_RUN, "what can't be read proves nothing"


def test_tables() -> None:
    hops, decisions = proxy._tables(tokens().talk())
    assert [row.cells[0] for row in hops.rows] == ["client-a", "edge-london", "proxy"]
    assert hops.rows[2].cells[1:3] == ("plain", f"{CLIENT}, {EDGE}")
    assert hops.rows[2].cells[-1] == f"{3:016x}"
    assert decisions.rows[0].cells == ("a good token", 1, "1 × 200", 1, "–")
    assert decisions.rows[1].cells[:4] == ("no token", 1, "1 × 401", 0)
