"""Requests of clients as stories: spans and hops of each, for scenarios that follow none all the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.trace.client_requests import ClientRequest, Interval
from netlab.trace.hops import crossing
from netlab.trace.leg import Network
from netlab.trace.run import Run
from netlab.trace.story import Hop, Span, Variant


def client_stories(requests: Sequence[ClientRequest], joined: Network, run: Run) -> tuple[Variant, ...]:
    """Of each request: what its client waited for, and the interfaces that its first packet and the first one
    of its answer crossed, on the client's own connection. `name`: its number, and the client's name for it,
    or method and target."""
    return tuple(_story(one, number, joined, run) for number, one in enumerate(requests, 1))


def _story(one: ClientRequest, number: int, joined: Network, run: Run) -> Variant:
    connection = one.connection
    return Variant(
        f"{number} {one.name or f'{one.span.method} {one.span.target}'}",
        one.url,
        one.span.exchange.trace_id,
        one.span.status,
        one.start_ns,
        one.end_ns,
        tuple(_spans(one)),
        (*_hops(one, joined, run, "request"), *_hops(one, joined, run, "response")),
        (),
        connection.handshake.version,
        one.span.version,
    )


def _spans(one: ClientRequest) -> Iterator[Span]:
    quic = one.connection.quic is not None
    if one.lookup is not None:
        yield _span("DNS", one, one.lookup)
    if one.connect is not None and (quic or one.tls is None):
        yield _span("QUIC" if quic else "TCP", one, one.connect)
    elif one.connect is not None and one.tls is not None:
        yield _span(
            "TCP", one, one.connect._replace(end_ns=one.tls.start_ns, trips=one.connect.trips - one.tls.trips)
        )
        yield _span("TLS", one, one.tls)
    yield from (_span(name, one, found) for name, found in one.exchange)


def _span(name: str, one: ClientRequest, found: Interval) -> Span:
    return Span(name, one.node, found.start_ns, found.end_ns, found.trips, found.frames)


def _hops(one: ClientRequest, joined: Network, run: Run, direction: str) -> Iterator[Hop]:
    frames = one.span.request_frames if direction == "request" else one.span.response_frames
    journey = joined.journey_of.get(frames[0]) if frames else None
    if journey is None:
        return
    said = f"HTTP/{one.span.version}" if direction == "request" else f"answer: {one.span.status}"
    yield from crossing(journey, direction, said, run, one.start_ns)
