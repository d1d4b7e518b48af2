"""What a balancer at layer 4 leaves alone, and what a proxy at layer 7 changes: the same requests before and
behind each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from netlab.decode.tls import hello_offset
from netlab.proto.http import RequestHead
from netlab.trace.connection import Connection, Span

Named = Callable[[Span], str]  # a request's name; "" where it is none of the stimulus


@dataclass(frozen=True, slots=True)
class Layers:
    """`connections`: client's connections that were found on both sides of the balancer, `same` of them with
    the same bytes in TLS. `four_ms`, `seven_ms`: from a request's first packet at the balancer, or its last
    at the proxy, until its first goes on. `added`: header fields that an app got and no client had sent."""

    connections: int
    same: int
    four_ms: tuple[float, ...]
    seven_ms: tuple[float, ...]
    added: tuple[str, ...]
    evidence: Mapping[str, tuple[int, ...]]


def layers(
    outside: Iterable[Connection], inside: Iterable[Connection], proxy: Iterable[Connection], named: Named
) -> Layers | None:
    """`outside` and `inside`: at the balancer's two interfaces; `proxy`: at the proxy behind it. None where
    no request is seen on all three ways."""
    asked = _by_name((one for one in outside if one.tls is not None), named)
    passed = _by_name((one for one in inside if one.tls is not None), named)
    arrived = _by_name((one for one in proxy if one.tls is not None), named)
    called = _by_name((one for one in proxy if one.tls is None), named)
    names = [name for name in asked if name in passed and name in arrived and name in called]
    if not names:
        return None
    pairs = {id(asked[name][0]): (asked[name][0], passed[name][0]) for name in names}
    first = names[0]
    return Layers(
        len(pairs),
        sum(_unread(before) == _unread(after) for before, after in pairs.values()),
        tuple((passed[name][1].asked.time_ns - asked[name][1].asked.time_ns) / 1e6 for name in names),
        tuple((called[name][1].asked.time_ns - arrived[name][1].sent.time_ns) / 1e6 for name in names),
        tuple(sorted(_fields(called[first][1]) - _fields(asked[first][1]))),
        {
            "layer 4": (asked[first][1].asked.frame, passed[first][1].asked.frame),
            "layer 7": (arrived[first][1].sent.frame, called[first][1].asked.frame),
        },
    )


def _by_name(found: Iterable[Connection], named: Named) -> dict[str, tuple[Connection, Span]]:
    """Each request, at the connection on which it was asked last (it may be asked again)."""
    return {name: (one, span) for one, span in _spans(found) if (name := named(span))}


def _spans(found: Iterable[Connection]) -> Iterator[tuple[Connection, Span]]:
    return ((one, span) for one in found for span in one.requests)


def _unread(connection: Connection) -> tuple[bytes, bytes]:
    """The TLS bytes of both directions, without a PROXY header."""
    assert connection.view is not None  # as TLS over TCP has been read
    up = connection.view.up.data
    return up[hello_offset(up) or 0 :], connection.view.down.data


def _fields(span: Span) -> set[str]:
    request = span.exchange.request
    return {name.lower() for name, _ in request.headers} if isinstance(request, RequestHead) else set()
