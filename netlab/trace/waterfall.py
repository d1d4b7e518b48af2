"""The waterfall: spans of one request, from the lookup of the name to the last byte, by packets alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.trace.run import Run
from netlab.trace.section import (
    Interval,
    Section,
    quic_handshake,
    round_trips,
    tcp_handshake,
    tls_handshake,
)
from netlab.trace.story import Span

# What views call the program of a role.
_CALLED = {"cdn": "edge"}


def waterfall(found: Sequence[Section], run: Run, click_ns: int) -> tuple[Span, ...]:
    """The spans of a request's sections, in the order of a reader: each span above those that explain it.

    Depth 0 is what the client waits for, one after another. Connections that were there before the
    click cost nothing, and have no span.
    """
    return tuple(_section(found, 0, run, click_ns, 0, ""))


def role_name(run: Run, node: str) -> str:
    """ "edge", "proxy", "app": the first role of `node`; or the node's name where it has none."""
    roles = run.nodes[node].roles if node in run.nodes else ()
    return _CALLED.get(roles[0], roles[0]) if roles else node


def _section(
    found: Sequence[Section], at: int, run: Run, click_ns: int, depth: int, prefix: str
) -> Iterator[Span]:
    """Connecting, asking, the server's work, and the answer. `prefix` says whose connection it is."""
    section = found[at]
    client = section.client
    yield from connecting(section, run, click_ns, depth, prefix)
    first, last = section.first, section.last
    trips = round_trips(section.client, first.asked.time_ns, first.received.time_ns, section.speaks)
    asking = (*first.request_frames, last.heard.number)
    answering = (last.answered.number, *first.response_frames)
    yield Span(
        f"{prefix}request", client.node, first.asked.time_ns, last.heard.time_ns, 0.5, _unique(asking), depth
    )
    yield from _work(found, at, run, click_ns, depth)
    yield Span(
        f"{prefix}response",
        client.node,
        last.answered.time_ns,
        first.received.time_ns,
        trips - 0.5,
        _unique(answering),
        depth,
    )


def connecting(section: Section, run: Run, click_ns: int, depth: int, prefix: str) -> Iterator[Span]:
    """The handshakes that were made for this request; below TCP, those of balancers on the way."""
    client = section.client
    tcp = tcp_handshake(client)
    if tcp is not None and tcp.start.time_ns >= click_ns:
        yield _handshake(f"{prefix}TCP", section, tcp, depth)
        for passage in section.passages[1:]:
            spliced = tcp_handshake(passage.client)
            if spliced is not None and spliced.start.time_ns >= click_ns:
                ends = (role_name(run, passage.client.node), role_name(run, passage.server.node))
                part = Section((passage,))
                yield _handshake(f"{ends[0]} ─► {ends[1]} TCP", part, spliced, depth + 1)
    tls = tls_handshake(section)
    if tls is not None and tls.start.time_ns >= click_ns:
        yield _handshake(f"{prefix}TLS", section, tls, depth)
    quic = quic_handshake(section)
    if quic is not None and quic.start.time_ns >= click_ns:
        yield _handshake(f"{prefix}QUIC", section, quic, depth)


def _handshake(name: str, section: Section, interval: Interval, depth: int) -> Span:
    start, end = interval.start.time_ns, interval.end.time_ns
    trips = round_trips(section.client, start, end, section.speaks)
    return Span(name, section.client.node, start, end, trips, _unique(interval.frames), depth)


def _work(found: Sequence[Section], at: int, run: Run, click_ns: int, depth: int) -> Iterator[Span]:
    """What the server of section `at` did before it answered; below, what it asked others for that."""
    section = found[at]
    name = role_name(run, section.server.node)
    heard, answered = section.last.heard, section.last.answered
    frames = _unique((heard.number, answered.number))
    yield Span(name, section.server.node, heard.time_ns, answered.time_ns, 0, frames, depth)
    if at + 1 == len(found):
        return
    below = found[at + 1]
    if below.sql:
        yield from connecting(below, run, click_ns, depth + 1, "SQL ")
        yield _exchange("SQL", below, depth + 1)
        return
    if below.secured is None:
        yield from connecting(below, run, click_ns, depth + 1, f"{name} ─► {_server(below, run)} ")
        yield from _work(found, at + 1, run, click_ns, depth + 1)
        return
    whole = _whole(f"{name} ─► origin", below, click_ns, depth + 1)
    yield whole
    yield from _section(found, at + 1, run, click_ns, depth + 2, f"{whole.name} ")


def _whole(name: str, section: Section, click_ns: int, depth: int) -> Span:
    """A call to another server with all that it costs its client, connecting included."""
    opening = tcp_handshake(section.client) or quic_handshake(section)
    asked = section.first.asked
    start = opening.start if opening is not None and opening.start.time_ns >= click_ns else asked
    end = section.first.received
    trips = round_trips(section.client, start.time_ns, end.time_ns, section.speaks)
    frames = _unique((start.number, asked.number, end.number))
    return Span(name, section.client.node, start.time_ns, end.time_ns, trips, frames, depth)


def _exchange(name: str, section: Section, depth: int) -> Span:
    first = section.first
    start, end = first.asked.time_ns, first.received.time_ns
    trips = round_trips(section.client, start, end, section.speaks)
    frames = _unique((*first.request_frames, *first.response_frames))
    return Span(name, section.client.node, start, end, trips, frames, depth)


def _server(section: Section, run: Run) -> str:
    return role_name(run, section.server.node)


def _unique(frames: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(frames))
