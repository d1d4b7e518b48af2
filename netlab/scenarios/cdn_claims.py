"""The guide's claims of CDNs (8.3, 10.1), judged by what the caches sent on and what came back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from netlab.scenarios.cdn_read import EDGES, SHIELD, Talk, field
from netlab.scenarios.verdicts import Finding, band, claim
from netlab.trace.claim import Claim, Verdict

_REDUCTION = 90.0  # the guide's, in percent
_OFFLOAD = (80.0, 95.0)


class _Rule(NamedTuple):
    id: str
    guide: str
    statement: str
    expected: str
    rule: Callable[[Talk], Finding | None]


def cdn_claims(talk: Talk, flaws: Sequence[str]) -> tuple[Claim, ...]:
    return tuple(
        claim(one.id, one.guide, one.statement, one.expected, one.rule(talk), flaws) for one in _RULES
    )


def _waits(talk: Talk, prefix: str) -> list[float]:
    """Milliseconds to the first byte."""
    return [wait / 1e6 for one in talk.group(prefix) if (wait := one.span.wait_ns) is not None]


def _frames(talk: Talk, *names: str) -> dict[str, tuple[int, ...]]:
    found = {}
    for name in names:
        one = talk.asked.get(name)
        if one is not None:
            found[name] = (*one.span.request_frames, *one.span.response_frames[:1])
    return found


def _hit(talk: Talk) -> Finding | None:
    hits = talk.group("hit")
    backs = [talk.back(one.name) for one in hits]
    if not hits or None in backs:
        return None
    local = sum(not back for back in backs)
    words = f"{local} of {len(hits)} repeated requests were answered while the edge asked nobody"
    verdict = Verdict.HOLDS if local == len(hits) else Verdict.PARTLY if local else Verdict.REFUTED
    return Finding(words, verdict, _frames(talk, hits[0].name))


def _miss(talk: Talk) -> Finding | None:
    backs = [talk.back(one.name) for one in talk.group("miss")]
    if not backs or None in backs:
        return None
    asked = sum(len(back or ()) == 1 for back in backs)
    words = f"{asked} of {len(backs)} first requests were sent on, once each"
    verdict = Verdict.HOLDS if asked == len(backs) else Verdict.PARTLY if asked else Verdict.REFUTED
    return Finding(words, verdict, _frames(talk, "miss/1"))


def _reduction(talk: Talk) -> Finding | None:
    direct, hit = _waits(talk, "direct"), _waits(talk, "hit")
    if not direct or not hit:
        return None
    saved = 100 * (1 - median(hit) / median(direct))
    words = f"{median(hit):.1f} ms of a hit, {median(direct):.1f} ms of the origin: {saved:.0f}% less"
    verdict = band(saved, _REDUCTION * 0.9, 100.0)
    return Finding(words, verdict, _frames(talk, "direct/1", "hit/1"))


def _validated(talk: Talk) -> Finding | None:
    back, again = talk.back("validate/again"), talk.asked.get("validate/again")
    if back is None or again is None:
        return None
    if not back:
        return Finding("the stale response was used without a question", Verdict.REFUTED)
    (span, *_) = back
    words = (
        f"the edge was answered {span.status} with {span.response_body} bytes of content, the client "
        f"{again.span.status} with {again.span.response_body}"
    )
    whole = again.span.status == 200 and again.span.response_body > 0
    right = span.status == 304 and span.response_body == 0 and whole
    evidence = {**_frames(talk, "validate/again"), "304": (*span.request_frames, *span.response_frames)}
    return Finding(words, Verdict.HOLDS if right else Verdict.REFUTED, evidence)


def _while_revalidating(talk: Talk) -> Finding | None:
    stale, back, edge = talk.asked.get("swr/stale"), talk.back("swr/stale"), talk.edge("swr/stale")
    if stale is None or back is None or edge is None:
        return None
    front = edge.front[stale.span.exchange.trace_id]
    fetched = back[0].answered if back else None
    if front.answered is None:
        return None
    if not back or fetched is None:
        return Finding("the stale response was used, and nobody was asked", Verdict.PARTLY)
    early = front.answered.time_ns < fetched.time_ns
    after = talk.back("swr/after")
    renewed = after == ()
    gap = (fetched.time_ns - front.answered.time_ns) / 1e6
    words = (
        f"the edge answered {abs(gap):.1f} ms {'before' if early else 'after'} the fresh response came; "
        f"the next request was {'' if renewed else 'not '}answered from it"
    )
    verdict = Verdict.HOLDS if early and renewed else Verdict.PARTLY if early else Verdict.REFUTED
    evidence = {**_frames(talk, "swr/stale", "swr/after"), "refresh": back[0].request_frames}
    return Finding(words, verdict, evidence)


def _purged(talk: Talk) -> Finding | None:
    before, after, purge = talk.back("purge/hit"), talk.back("purge/after"), talk.asked.get("purge/purge")
    if before is None or after is None or purge is None or before:
        return None
    if not 200 <= purge.span.status < 300:
        return Finding(
            f"PURGE was answered with {purge.span.status}", Verdict.NOT_RUN, _frames(talk, "purge/purge")
        )
    origin = talk.back("purge/after", SHIELD) if SHIELD in talk.caches else after
    gone = bool(after) and bool(origin)
    words = "a hit before the purge; after it the " + (
        "origin was asked" if gone else "old response was used"
    )
    verdict = Verdict.HOLDS if gone else Verdict.PARTLY if after else Verdict.REFUTED
    return Finding(words, verdict, _frames(talk, "purge/hit", "purge/purge", "purge/after"))


def _varied(talk: Talk) -> Finding | None:
    names = ("vary/en", "vary/de", "vary/en-again")
    backs = [talk.back(name) for name in names]
    if None in backs:
        return None
    asked = [len(back or ()) for back in backs]
    tags = [field(talk.asked[name].span, "etag") for name in names]
    apart = tags[0] == tags[2] != tags[1]
    words = (
        f"sent on: {asked[0]} for English, {asked[1]} for German, {asked[2]} for English again; "
        f"the contents are {'their own' if apart else 'mixed up'}"
    )
    verdict = Verdict.HOLDS if asked == [1, 1, 0] and apart else Verdict.PARTLY if apart else Verdict.REFUTED
    return Finding(words, verdict, _frames(talk, *names))


def _together(talk: Talk) -> Finding | None:
    group = talk.group("together")
    backs = [talk.back(one.name) for one in group]
    if len(group) < 2 or None in backs:
        return None
    sent = sum(len(back or ()) for back in backs)
    words = f"{len(group)} requests at once for one object were {sent} to the origin"
    verdict = Verdict.HOLDS if sent == 1 else Verdict.PARTLY if sent < len(group) else Verdict.REFUTED
    return Finding(words, verdict, _frames(talk, group[0].name))


def _shield(talk: Talk) -> Finding | None:
    edge, shield = talk.back("shield/tokyo"), talk.back("shield/tokyo", SHIELD)
    if edge is None or shield is None or not edge:
        return None
    words = f"Tokyo's miss went to the shield, which sent on {len(shield)} for it"
    verdict = Verdict.REFUTED if shield else Verdict.HOLDS
    return Finding(words, verdict, _frames(talk, "shield/tokyo") | {"edge": edge[0].request_frames})


def _offload(talk: Talk) -> Finding | None:
    asked = [one for node in EDGES for one in talk.group(f"zipf-{node}")]
    backs = [talk.back(one.name) for one in asked]
    if not asked or None in backs:
        return None
    sent = sum(len(back or ()) for back in backs)
    share = 100 * (1 - sent / len(asked))
    words = f"{share:.1f}% of {len(asked)} requests were answered by the edges"
    return Finding(words, band(share, *_OFFLOAD), _frames(talk, asked[0].name, asked[-1].name))


def _near(talk: Talk) -> Finding | None:
    asked = [(edge, one.name) for node, edge in EDGES.items() for one in talk.group(f"zipf-{node}")]
    if not asked or any(edge not in talk.caches for edge, _ in asked):
        return None
    answered = [(edge, talk.edge(name)) for edge, name in asked]
    near = sum(found is not None and found.node == edge for edge, found in answered)
    words = f"{near} of {len(asked)} requests from London and Tokyo were answered by the edge of the place"
    verdict = Verdict.HOLDS if near == len(asked) else Verdict.PARTLY if near else Verdict.REFUTED
    return Finding(words, verdict, _frames(talk, asked[0][1], asked[-1][1]))


def _warm(talk: Talk) -> Finding | None:
    caches = [talk.caches[node] for node in EDGES.values() if node in talk.caches]
    sent = sum(one.sent_on for one in caches)
    opened = [connection for one in caches for connection in one.opened]
    if not sent or any(one.unread for one in caches):
        return None
    words = f"{sent} requests of the edges went over {len(opened)} connections"
    verdict = (
        Verdict.HOLDS
        if len(opened) <= sent / 2
        else Verdict.PARTLY
        if len(opened) < sent
        else Verdict.REFUTED
    )
    return Finding(words, verdict, {"opened": tuple(one.start.frame for one in opened[:3])})


_RULES = (
    _Rule("cdn-hit", "8.3", "a hit is answered by the edge at once", "nothing is sent on", _hit),
    _Rule("cdn-miss", "8.3", "a miss is fetched from the origin, and kept", "sent on once", _miss),
    _Rule("cdn-latency", "8.3", "cached content has 90% less latency", "90% less", _reduction),
    _Rule(
        "cdn-validate", "8.3", "an ETag is a fingerprint to validate by", "304 without content", _validated
    ),
    _Rule(
        "cdn-stale-while-revalidate",
        "8.3",
        "stale content is returned while an update is fetched in the background",
        "answered before the update",
        _while_revalidating,
    ),
    _Rule(
        "cdn-purge", "8.3", "cached content is invalidated by a purge", "the origin is asked again", _purged
    ),
    _Rule("cdn-vary", "8.3", "Vary says which request fields make another version", "each its own", _varied),
    _Rule("cdn-collapse", "8.3", "the edge absorbs many requests at once", "one is sent on", _together),
    _Rule(
        "cdn-shield", "8.3", "a shield reduces the requests to the origin", "the origin is not asked", _shield
    ),
    _Rule("cdn-offload", "8.3", "80 to 95% of requests are served from the edge", "80–95%", _offload),
    _Rule(
        "cdn-near-edge",
        "1.2",
        "edges in many locations; each user is answered by a near one",
        "by the edge of the place",
        _near,
    ),
    _Rule(
        "cdn-warm-origin",
        "8.3",
        "a CDN keeps warm connections to the origin",
        "connections are used again",
        _warm,
    ),
)
