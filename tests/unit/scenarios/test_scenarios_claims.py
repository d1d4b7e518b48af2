"""The rules of the verdicts, each with numbers that it must accept, doubt and refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netlab.scenarios.claims import RULES, rest_claims
from netlab.scenarios.verdicts import about, band
from netlab.trace.claim import Claim, Verdict
from netlab.trace.story import Hop, Span, Variant

MS = 1_000_000
HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN


def span(name: str, ms: float, rtts: float = 1, frame: int = 1) -> Span:
    return Span(name, "client-a", 0, round(ms * MS), rtts, (frame, frame + 1))


def hop(src: str, sport: int, frame: int) -> Hop:
    return Hop(0, "request", "n", "i", "", "", src, sport, "93.184.216.34", 443, 64, "", frame)


def variant(name: str, total_ms: float, *spans: Span, mapped: int = 40_000) -> Variant:
    hops = (hop("192.168.1.10", 40_000, 90), hop("203.0.113.5", mapped, 91))
    return Variant(
        name, "https://x/", "t", 200, 0, round(total_ms * MS), spans, hops, (), tls_version="TLS 1.3"
    )


def guide_direct(**changes: Span) -> Variant:
    """The guide's own figures, as if all of them were true."""
    spans = {
        "DNS": span("DNS", 50),
        "TCP": span("TCP", 40),
        "TLS": span("TLS", 80),
        "request": span("request", 40),
        "proxy": span("proxy", 20, 0),
        "response": span("response", 40),
    }
    return variant("direct", 245, *(spans | changes).values())


def guide_variants() -> list[Variant]:
    return [guide_direct(), variant("miss", 220, span("TCP", 5)), variant("hit", 20, span("TCP", 5))]


def judged(variants: list[Variant], claim: str) -> Claim:
    return {one.id: one for one in rest_claims(variants, ())}[claim]


def replaced(variants: list[Variant], new: Variant) -> list[Variant]:
    return [new if one.name == new.name else one for one in variants]


def test_the_guides_own_figures_hold_in_every_claim() -> None:
    variants = replaced(guide_variants(), variant("hit", 20, span("TCP", 5)))
    verdicts = {one.id: (one.verdict, one.measured) for one in rest_claims(variants, ())}
    assert {verdict for verdict, _ in verdicts.values()} == {HOLDS}, verdicts
    assert set(verdicts) == {rule.id for rule in RULES}


Change = Callable[[], Variant]

# claim, a change of one variant, the verdict that it must come to
CASES: list[tuple[str, Change, Verdict]] = [
    ("total", lambda: variant("direct", 219), PARTLY),
    ("total", lambda: variant("direct", 271), PARTLY),
    ("total", lambda: variant("direct", 120), REFUTED),
    ("total", lambda: variant("direct", 400), REFUTED),
    ("dns-cold", lambda: guide_direct(DNS=span("DNS", 57)), PARTLY),
    ("dns-cold", lambda: guide_direct(DNS=span("DNS", 5)), REFUTED),
    ("dns-cold", lambda: guide_direct(DNS=span("DNS", 120)), REFUTED),
    ("tcp-round-trips", lambda: guide_direct(TCP=span("TCP", 40, 2)), REFUTED),
    ("tcp-time", lambda: guide_direct(TCP=span("TCP", 46)), PARTLY),
    ("tcp-time", lambda: guide_direct(TCP=span("TCP", 160)), REFUTED),
    ("tls-round-trips", lambda: guide_direct(TLS=span("TLS", 80, 2)), REFUTED),
    ("tls-round-trips", lambda: replace(guide_direct(), tls_version="TLS 1.2"), NOT_RUN),
    (
        "exchange-round-trips",
        lambda: guide_direct(request=span("request", 20, 0.5), response=span("response", 20, 0.5)),
        REFUTED,
    ),
    ("server", lambda: guide_direct(proxy=span("proxy", 16, 0)), PARTLY),
    ("server", lambda: guide_direct(proxy=span("proxy", 3, 0)), REFUTED),
    ("hit", lambda: variant("hit", 16), PARTLY),
    ("hit", lambda: variant("hit", 60), REFUTED),
    ("faster", lambda: variant("hit", 55), PARTLY),
    ("faster", lambda: variant("hit", 200), REFUTED),
    ("latency-cut", lambda: variant("hit", 100), PARTLY),
    ("latency-cut", lambda: variant("hit", 240), REFUTED),
    ("nat-port", lambda: variant("hit", 20, mapped=50_000), PARTLY),
]


@pytest.mark.parametrize(("claim", "change", "verdict"), CASES)
def test_changed_numbers_change_the_verdict(claim: str, change: Change, verdict: Verdict) -> None:
    found = judged(replaced(guide_variants(), change()), claim)
    assert found.verdict is verdict, found


def test_a_router_that_never_keeps_the_port_refutes_the_guide() -> None:
    variants = [replace(one, hops=variant("x", 1, mapped=50_000).hops) for one in guide_variants()]
    found = judged(variants, "nat-port")
    assert (found.verdict, found.evidence["hit"]) == (REFUTED, (90, 91))
    assert "0 of 3 kept" in found.measured


def test_every_claim_has_a_refuting_case() -> None:
    refuted = {claim for claim, _, verdict in CASES if verdict is REFUTED} | {"nat-port"}
    assert refuted == {rule.id for rule in RULES}


def test_a_capture_with_drops_proves_nothing() -> None:
    for one in rest_claims(guide_variants(), ("the capture lost 3 packets",)):
        assert one.verdict is NOT_RUN, one
        assert "lost 3 packets" in one.measured


def test_what_is_not_in_the_capture_is_not_run() -> None:
    for one in rest_claims([], ()):
        assert one.verdict is NOT_RUN, one
    without = variant("direct", 245, span("TCP", 40))
    assert judged(replaced(guide_variants(), without), "dns-cold").measured == (
        "no span DNS of variant direct in the capture"
    )
    no_nat = [replace(one, hops=one.hops[:1]) for one in guide_variants()]
    assert judged(no_nat, "nat-port").verdict is NOT_RUN


def test_claims_point_to_frames() -> None:
    for one in rest_claims(guide_variants(), ()):
        assert one.evidence, one
        assert all(frames for frames in one.evidence.values()), one


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(9, HOLDS), (11, HOLDS), (8, PARTLY), (13.7, PARTLY), (6.7, REFUTED), (14, REFUTED)],
)
def test_about_ten(value: float, verdict: Verdict) -> None:
    assert about(value, 10) is verdict
    assert band(value, 9, 11) is verdict


def test_time_that_went_into_arp_is_said_but_not_taken_off() -> None:
    waits = Span("ARP router:out", "router", 5 * MS, 40 * MS, 1, (7, 8), 1)
    cold = guide_direct(DNS=span("DNS", 120))
    found = judged(replaced(guide_variants(), replace(cold, spans=(*cold.spans, waits))), "dns-cold")
    assert (found.measured, found.verdict) == ("120.0 ms, 35.0 of it ARP", REFUTED)
