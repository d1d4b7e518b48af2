"""The rules of the verdicts of scenario A (`rest`): pure functions of its three variants.

What "about" means is in `verdicts`. Round trips are counted, not timed, so they have no tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from netlab.scenarios.verdicts import Finding, about, band, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.story import Hop, Span, Variant

_FASTER = 1.5  # a hit that is not even this much faster than a miss is not "faster"

Variants = dict[str, Variant]


class _MissingError(Exception):
    """What the claim measures is not in the capture."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A statement of the guide, what it expects, and how it is judged."""

    id: str
    guide: str
    statement: str
    expected: str
    judge: Callable[[Variants], Finding]


def rest_claims(variants: Sequence[Variant], flaws: Sequence[str]) -> tuple[Claim, ...]:
    """The claims of guide 1.2, 3.3, 8.1, 8.3 and 10.1, judged on variants direct, miss and hit.

    `flaws` of the run (`Run.flaws`), and a variant or span that is missing, give `not run`.
    """
    by_name = {variant.name: variant for variant in variants}
    return tuple(_judged(rule, by_name, flaws) for rule in RULES)


def _judged(rule: Rule, variants: Variants, flaws: Sequence[str]) -> Claim:
    try:
        found = rule.judge(variants)
    except _MissingError as missing:
        found = Finding(f"no {missing} in the capture", Verdict.NOT_RUN, {})
    return claim(rule.id, rule.guide, rule.statement, rule.expected, found, flaws)


def _variant(variants: Variants, name: str) -> Variant:
    if name not in variants:
        raise _MissingError(f"variant {name}")
    return variants[name]


def _span(variants: Variants, name: str, span: str) -> Span:
    found = _variant(variants, name).span(span)
    if found is None:
        raise _MissingError(f"span {span} of variant {name}")
    return found


def _ends(variant: Variant) -> tuple[int, ...]:
    """The frames that bound a variant: its first packet and its last."""
    frames = [span.frames for span in variant.spans if span.depth == 0]
    return (frames[0][0], frames[-1][-1]) if frames else ()


def _total(variants: Variants) -> Finding:
    direct = _variant(variants, "direct")
    measured = f"{direct.total_ms:.1f} ms{_of_it_arp(direct, direct.click_ns, direct.end_ns)}"
    return Finding(measured, band(direct.total_ms, 220, 270), {"direct": _ends(direct)})


def _hit(variants: Variants) -> Finding:
    hit = _variant(variants, "hit")
    return Finding(f"{hit.total_ms:.1f} ms", about(hit.total_ms, 20), {"hit": _ends(hit)})


def _faster(variants: Variants) -> Finding:
    miss, hit = _variant(variants, "miss"), _variant(variants, "hit")
    ratio = miss.total_ms / hit.total_ms
    verdict = about(ratio, 11)
    if verdict is not Verdict.HOLDS:
        verdict = Verdict.PARTLY if ratio >= _FASTER else Verdict.REFUTED
    return Finding(
        f"miss {miss.total_ms:.1f} ms / hit {hit.total_ms:.1f} ms = {ratio:.1f}×",
        verdict,
        {"miss": _ends(miss), "hit": _ends(hit)},
    )


def _latency_cut(variants: Variants) -> Finding:
    direct, hit = _variant(variants, "direct"), _variant(variants, "hit")
    cut = 1 - hit.total_ms / direct.total_ms
    return Finding(
        f"{cut:.0%} (direct {direct.total_ms:.1f} ms, hit {hit.total_ms:.1f} ms)",
        Verdict.HOLDS if cut >= 0.85 else Verdict.PARTLY if cut >= 0.3 else Verdict.REFUTED,
        {"direct": _ends(direct), "hit": _ends(hit)},
    )


def _tcp_round_trips(variants: Variants) -> Finding:
    span = _span(variants, "direct", "TCP")
    return Finding(_trips(span.rtts), _counted(span.rtts, 1), {"direct": span.frames})


def _tcp_time(variants: Variants) -> Finding:
    span = _span(variants, "direct", "TCP")
    return Finding(f"{span.duration_ms:.1f} ms", about(span.duration_ms, 40), {"direct": span.frames})


def _tls_round_trips(variants: Variants) -> Finding:
    span, version = _span(variants, "direct", "TLS"), _variant(variants, "direct").tls_version
    verdict = _counted(span.rtts, 1) if version == "TLS 1.3" else Verdict.NOT_RUN
    return Finding(f"{_trips(span.rtts)} ({version or 'version unknown'})", verdict, {"direct": span.frames})


def _exchange_round_trips(variants: Variants) -> Finding:
    request, response = _span(variants, "direct", "request"), _span(variants, "direct", "response")
    trips = request.rtts + response.rtts
    moving = request.duration_ms + response.duration_ms
    return Finding(
        f"{_trips(trips)}, {moving:.1f} ms on the way",
        _counted(trips, 2),
        {"direct": (*request.frames, *response.frames)},
    )


def _nat_port(variants: Variants) -> Finding:
    if not variants:
        raise _MissingError("variant")
    pairs = {name: _translated(variant) for name, variant in variants.items()}
    found = {name: pair for name, pair in pairs.items() if pair is not None}
    if not found:
        raise _MissingError("source NAT of a request")
    kept = [before.sport == after.sport for before, after in found.values()]
    before, after = next(iter(found.values()))
    return Finding(
        f"{sum(kept)} of {len(kept)} kept; {before.src}:{before.sport} ─► {after.src}:{after.sport}",
        Verdict.HOLDS if all(kept) else Verdict.PARTLY if any(kept) else Verdict.REFUTED,
        {name: (one.frame, two.frame) for name, (one, two) in found.items()},
    )


def _translated(variant: Variant) -> tuple[Hop, Hop] | None:
    """The hops of the request's first connection on both sides of a source NAT."""
    requests = [hop for hop in variant.hops if hop.direction == "request"]
    for before, after in pairwise(requests):
        if (after.dst, after.dport) != (before.dst, before.dport):
            return None  # another connection begins: no NAT on the way
        if after.src != before.src:
            return before, after
    return None


def _dns_cold(variants: Variants) -> Finding:
    span = _span(variants, "direct", "DNS")
    waits = _of_it_arp(_variant(variants, "direct"), span.start_ns, span.end_ns)
    return Finding(f"{span.duration_ms:.1f} ms{waits}", about(span.duration_ms, 50), {"direct": span.frames})


def _server(variants: Variants) -> Finding:
    span = _span(variants, "direct", "proxy")
    return Finding(f"{span.duration_ms:.1f} ms", about(span.duration_ms, 20), {"direct": span.frames})


def _of_it_arp(variant: Variant, start_ns: int, end_ns: int) -> str:
    """How much of the time went into ARP, which the guide doesn't count: routers know their neighbours."""
    waits = [
        span.duration_ms
        for span in variant.spans
        if span.name.startswith("ARP ") and start_ns <= span.start_ns and span.end_ns <= end_ns
    ]
    return f", {sum(waits):.1f} of it ARP" if sum(waits) >= 1 else ""


def _counted(measured: float, expected: float) -> Verdict:
    return Verdict.HOLDS if measured == expected else Verdict.REFUTED


def _trips(count: float) -> str:
    return f"{count:g} round trip{'' if count == 1 else 's'}"


RULES: tuple[Rule, ...] = (
    Rule("total", "10.1", "a cold request from London to US East takes 220 to 270 ms", "220–270 ms", _total),
    Rule("dns-cold", "10.1", "a cold DNS lookup takes 50 ms", "50 ms", _dns_cold),
    Rule(
        "tcp-round-trips",
        "3.3",
        "the TCP handshake costs one round trip before data can be sent",
        "1 round trip",
        _tcp_round_trips,
    ),
    Rule("tcp-time", "10.1", "the TCP handshake from London to US East takes 40 ms", "40 ms", _tcp_time),
    Rule(
        "tls-round-trips",
        "8.1",
        "the TLS 1.3 handshake costs one round trip",
        "1 round trip",
        _tls_round_trips,
    ),
    Rule(
        "exchange-round-trips",
        "10.1",
        "the request costs one round trip (40 ms) and the response another (40 ms)",
        "2 round trips, 80 ms",
        _exchange_round_trips,
    ),
    Rule(
        "server", "10.1", "the server's processing (database query and logic) takes 20 ms", "20 ms", _server
    ),
    Rule("hit", "10.1", "with a CDN cache hit the request takes about 20 ms", "~20 ms", _hit),
    Rule("faster", "10.1", "a CDN hit is 11× faster", "11×", _faster),
    Rule("latency-cut", "8.3", "the CDN cuts the latency of cached content by 90%", "90%", _latency_cut),
    Rule(
        "nat-port",
        "1.2",
        "the home router maps 192.168.1.10:53124 to 203.0.113.5:53124: it keeps the port",
        "same port",
        _nat_port,
    ),
)
