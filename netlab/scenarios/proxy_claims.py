"""The guide's claims about reverse proxies (1.2, 3.7), by what an app saw and what it never saw."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from netlab.scenarios.proxy_read import Hop, Talk, answer, frames
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict

BAD_TOKENS = {
    "none": "no token",
    "expired": "expired",
    "wrong-key": "signed by another key",
    "alg-none": "algorithm none",
    "hs256-public-key": "HS256 by the public key",
}
SPOOFED = "198.18.6.6"
_POLICY = re.compile(r";q=(\d+)")


def proxy_claims(talk: Talk, flaws: Sequence[str]) -> tuple[Claim, ...]:
    return tuple(_claims(talk, flaws))


def _claims(talk: Talk, flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "proxy-tls",
        "3.7",
        "the proxy ends TLS, and the application gets the request in the clear",
        "TLS before it, none behind it",
        _decrypted(talk.hops),
        flaws,
    )
    yield claim(
        "proxy-forwarded",
        "3.7",
        "the application gets the client's address in X-Forwarded-For and X-Real-IP",
        "the public address alone",
        _forwarded(talk.hops),
        flaws,
    )
    yield claim(
        "proxy-trace",
        "3.7",
        "header manipulation: request id, Via and traceparent at every hop",
        "one trace, a new parent at each hop",
        _traced(talk.hops),
        flaws,
    )
    yield claim(
        "proxy-routing",
        "3.7",
        "the proxy routes requests to different application servers",
        "members at app-3, others spread",
        _routed(talk),
        flaws,
    )
    yield claim(
        "proxy-canary",
        "9.3",
        "traffic is split between versions: canary deployments",
        "a share of the clients, each in its arm",
        _split(talk),
        flaws,
    )
    yield claim(
        "proxy-jwt",
        "3.7",
        "the proxy validates the JWT before application code sees the request",
        "401, and no app saw it",
        _refused(talk),
        flaws,
    )
    yield claim(
        "proxy-rate-limit",
        "3.7",
        "rate limiting rejects a request if the quota is exceeded",
        "the quota passes, the rest 429",
        _limited(talk),
        flaws,
    )
    yield claim(
        "proxy-waf",
        "1.2",
        "an application firewall inspects HTTP and blocks SQL injection",
        "attacks 403 and unseen, others pass",
        _walled(talk),
        flaws,
    )


def _evidence(hops: Sequence[Hop]) -> dict[str, tuple[int, ...]]:
    return {hop.node: hop.span.request_frames for hop in hops}


def _decrypted(hops: Sequence[Hop]) -> Finding | None:
    """Every hop but the proxy's own encrypts."""
    if len(hops) < 2:
        return None
    before, last = hops[:-1], hops[-1]
    told = f"{sum(hop.encrypted for hop in before)} of {len(before)} hops before it encrypted; behind it "
    told += "TLS" if last.encrypted else "plain HTTP"
    good = all(hop.encrypted for hop in before) and not last.encrypted
    return Finding(told, Verdict.HOLDS if good else Verdict.REFUTED, _evidence(hops))


def _forwarded(hops: Sequence[Hop]) -> Finding | None:
    """The public address is the one from which the first hop behind the client was asked."""
    if len(hops) < 2 or not hops[1].came_from:
        return None
    public, last = hops[1].came_from, hops[-1]
    chain = [one.strip() for one in last.headers.get("x-forwarded-for").split(",")]
    real = last.headers.get("x-real-ip")
    told = f"X-Forwarded-For: {', '.join(chain) or 'none'}; X-Real-IP: {real or 'none'}"
    values = " ".join(value for name, value in last.headers if name.lower().startswith(("x-", "forwarded")))
    if SPOOFED in values:
        return Finding(f"{told}; what the client made up is in it", Verdict.REFUTED, _evidence(hops))
    good = chain[0] == public
    verdict = Verdict.HOLDS if good and real == public else Verdict.PARTLY if good else Verdict.REFUTED
    return Finding(told, verdict, _evidence(hops))


def _traced(hops: Sequence[Hop]) -> Finding | None:
    if len(hops) < 2:
        return None
    parents = [hop.headers.get("traceparent").split("-")[2:3] for hop in hops]
    new = len({one[0] for one in parents if one})
    last = hops[-1].headers
    via = [one for one in last.get("via").split(",") if one.strip()]
    named = bool(last.get("x-request-id"))
    told = f"{new} parents at {len(hops)} hops, {len(via)} in Via, a request id: {'yes' if named else 'no'}"
    good = new == len(hops) and named and len(via) == len(hops) - 1
    return Finding(told, Verdict.HOLDS if good else Verdict.PARTLY, _evidence(hops))


def _routed(talk: Talk) -> Finding | None:
    members = talk.group("waf-benign") + talk.group("token-good")
    limited = talk.group("limit")
    if not members or not limited or talk.unread:
        return None
    there = sorted({talk.app_of(one) for one in members})
    others = sorted({found for one in limited if (found := talk.app_of(one))})
    told = f"members at {', '.join(there)}; others at {', '.join(others) or 'none'}"
    good = len(there) == 1 and bool(there[0]) and len(others) > 1
    verdict = Verdict.HOLDS if good else Verdict.REFUTED
    return Finding(told, verdict, {"members": frames(members[:2]), "others": frames(limited[:2])})


def _split(talk: Talk) -> Finding | None:
    """By client: which apps got its requests."""
    group = talk.group("canary")
    if not group or talk.unread:
        return None
    arms: dict[str, set[str]] = defaultdict(set)
    for one in group:
        arms[one.name.split("/")[1]].add(talk.app_of(one))
    steady = [found for found in arms.values() if len(found) == 1]
    used = Counter(app for found in steady for app in found if app)
    told = f"{len(steady)} of {len(arms)} clients stayed at one app: "
    told += ", ".join(f"{count} at {app}" for app, count in sorted(used.items())) or "at none"
    split = len({talk.app_of(one) for one in group} - {""}) > 1
    whole = split and len(steady) == len(arms) == sum(used.values())
    verdict = Verdict.HOLDS if whole else Verdict.PARTLY if split else Verdict.REFUTED
    return Finding(told, verdict, {"clients": frames(group)})


def _refused(talk: Talk) -> Finding | None:
    bad = [one for kind in BAD_TOKENS for one in talk.group(f"token-{kind}")]
    good = talk.group("token-good")
    if len(bad) < len(BAD_TOKENS) or not good or talk.unread:
        return None
    refused = [one for one in bad if one.span.status == 401]
    seen = [one for one in bad if talk.app_of(one)]
    passed = [one for one in good if one.span.status == 200 and talk.app_of(one)]
    told = f"{len(refused)} of {len(bad)} bad tokens got 401, apps saw {len(seen)} of them; "
    told += f"{len(passed)} of {len(good)} good ones passed"
    evidence = {"bad": frames(bad), "good": frames(good)}
    if seen or len(passed) < len(good):
        return Finding(told, Verdict.REFUTED, evidence)
    return Finding(told, Verdict.HOLDS if len(refused) == len(bad) else Verdict.PARTLY, evidence)


def _limited(talk: Talk) -> Finding | None:
    """The quota is what the responses say in RateLimit-Policy."""
    group, other = talk.group("limit"), talk.group("limit-other")
    if not group or talk.unread:
        return None
    policy = _POLICY.search(answer(group[0]).get("ratelimit-policy"))
    passed = [one for one in group if one.span.status == 200]
    refused = [one for one in group if one.span.status == 429]
    seen = sum(bool(talk.app_of(one)) for one in group)
    told = f"{len(passed)} of {len(group)} passed, {len(refused)} got 429, apps saw {seen}"
    if policy is None:
        verdict = Verdict.PARTLY if refused and seen == len(passed) else Verdict.REFUTED
        return Finding(f"{told}; no quota was said", verdict, {"client": frames(group)})
    quota = int(policy[1])
    told += f"; the quota is {quota}"
    exact = len(passed) == quota == seen and len(passed) + len(refused) == len(group) > quota
    waits = all(answer(one).get("retry-after").isdigit() for one in refused)
    free = all(one.span.status == 200 for one in other)
    told += "" if free else "; another client got 429, as if it were the same"
    verdict = Verdict.HOLDS if exact and waits and free else Verdict.PARTLY if refused else Verdict.REFUTED
    return Finding(told, verdict, {"client": frames(group), "another": frames(other)})


def _walled(talk: Talk) -> Finding | None:
    attacks, benign = talk.group("waf-attack"), talk.group("waf-benign")
    if not attacks or not benign or talk.unread:
        return None
    blocked = [one for one in attacks if one.span.status == 403 and not talk.app_of(one)]
    passed = [one for one in benign if talk.app_of(one)]
    told = f"{len(blocked)} of {len(attacks)} attacks blocked and unseen; "
    told += f"{len(passed)} of {len(benign)} others passed"
    whole = len(blocked) == len(attacks) and len(passed) == len(benign)
    verdict = Verdict.HOLDS if whole else Verdict.PARTLY if blocked else Verdict.REFUTED
    return Finding(told, verdict, {"attacks": frames(attacks), "others": frames(benign)})
