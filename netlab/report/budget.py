"""The guide's latency budget (10.1) beside what was measured, and where its arithmetic doesn't hold."""

from __future__ import annotations

from netlab.trace.story import Variant

# Span ─► the guide's figure in ms, as text. "server" is what the first program that reads the request does.
_DIRECT = {"DNS": "0–50", "TCP": "40", "request": "40", "server": "20", "response": "40"}
_HIT = {"DNS": "0", "TCP": "5", "TLS": "5", "request": "5", "response": "5"}
_TOTAL = {"direct": "220–270", "miss": "220–270", "hit": "~20"}


def budget(variant: Variant) -> dict[str, str]:
    """Span name (of depth 0) ─► the guide's figure. Nothing for a miss: the guide gives its total only."""
    if variant.name == "hit":
        return _HIT
    if variant.name != "direct":
        return {}
    tls = "40" if variant.tls_version == "TLS 1.3" else "80"
    figures = _DIRECT | {"TLS": tls}
    server = next((span.name for span in variant.spans if span.depth == 0 and span.rtts == 0), "")
    return figures | {server: figures["server"]}


def total(variant: Variant) -> str:
    """The guide's figure for the whole, "" where it has none."""
    return _TOTAL.get(variant.name, "")


def arithmetic(variant: Variant) -> str:
    """What this capture says of the guide's sum, which counts two round trips for one exchange."""
    request, response = variant.span("request"), variant.span("response")
    tcp = variant.span("TCP")
    if request is None or response is None or tcp is None:
        return ""
    trips = request.rtts + response.rtts
    moving = request.duration_ms + response.duration_ms
    frames = f"frames {request.frames[0]} to {response.frames[-1]}"
    measured = (
        f"In this capture the request was {request.duration_ms:.1f} ms on its way and the response "
        f"{response.duration_ms:.1f} ms: {trips:g} round trip{'s' if trips != 1 else ''}, "
        f"{moving:.1f} ms in all ({frames}); a round trip is {tcp.duration_ms:.1f} ms (TCP's handshake)."
    )
    guide = "The guide counts a round trip for the request (40 ms) and another for the response (40 ms)."
    if trips >= 2:
        return f"{guide} {measured} Here its sum holds."
    return (
        f"{guide} {measured} An exchange costs one round trip, half of it each way, so the guide's sum "
        f"is a round trip too long; and its 220 ms has TLS 1.2 in it, {tcp.duration_ms:.1f} ms more than "
        f"TLS 1.3."
        if variant.tls_version == "TLS 1.3"
        else f"{guide} {measured} An exchange costs one round trip, half of it each way."
    )


def faster(miss: Variant, hit: Variant) -> str:
    """The ratio beside the guide's."""
    return (
        f"A hit is {miss.total_ms / hit.total_ms:.1f}× faster than a miss "
        f"({hit.total_ms:.1f} ms, {miss.total_ms:.1f} ms); the guide says 11×."
    )
