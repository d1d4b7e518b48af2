"""The requests of a run as their clients' own packets show them: every one, whatever the scenario.

What a browser's network panel tells of a request: when its name was looked up, when the connection was opened
and secured, when it was asked, and when the answer began and was whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netlab.decode.frame import Frame
from netlab.model.event import Event
from netlab.proto.http import RequestHead, ResponseHead
from netlab.trace.connection import Connection, Span, connections
from netlab.trace.message import trace_id_in
from netlab.trace.names import Lookup, lookups, turns_of
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording

_NUMBERED = re.compile(r"(.+?) \d+(?:/\d+)*")
_NEAR_NS = 1_000_000_000  # a lookup belongs to a connection that is opened so soon after it


class Interval(NamedTuple):
    """CLOCK_REALTIME ns. `frames`: its evidence. `trips`: round trips that it cost."""

    start_ns: int
    end_ns: int
    frames: tuple[int, ...]
    trips: int


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """`phase`: of the scenario, "" outside of all. `name`: what the client's event calls it, "" without one.
    `lookup`, `connect`, `tls`: what was done for this request; None where nothing was: the connection was
    there. `connect` has `tls` in it, in QUIC both are one."""

    node: str
    phase: str
    name: str
    connection: Connection
    span: Span
    lookup: Interval | None = None
    connect: Interval | None = None
    tls: Interval | None = None

    @property
    def request(self) -> RequestHead:
        found = self.span.exchange.request
        assert isinstance(found, RequestHead), "a Span is of HTTP"
        return found

    @property
    def response(self) -> ResponseHead | None:
        found = self.span.exchange.response
        return found if isinstance(found, ResponseHead) else None

    @property
    def url(self) -> str:
        secured = self.connection.tls is not None or self.connection.quic is not None
        if "://" in self.request.target:
            return self.request.target
        return f"{'https' if secured else 'http'}://{self.request.authority}{self.request.target}"

    @property
    def start_ns(self) -> int:
        first = self.lookup or self.connect
        return min(first.start_ns, self.span.asked.time_ns) if first is not None else self.span.asked.time_ns

    @property
    def end_ns(self) -> int:
        """When the answer was whole; else the last thing that was seen of it."""
        return (self.span.done or self.span.answered or self.span.sent).time_ns

    @property
    def exchange(self) -> tuple[tuple[str, Interval], ...]:
        """ "sending", "waiting", "receiving": what the request and its answer took, one after the other."""
        span, made = self.span, self.connection
        sent = min(
            span.sent.time_ns, span.answered.time_ns if span.answered is not None else span.sent.time_ns
        )
        parts = [("sending", span.asked.time_ns, sent, span.request_frames)]
        if span.answered is not None:
            answered = span.answered.time_ns
            parts.append(("waiting", sent, answered, (span.sent.frame, span.answered.frame)))
            done = span.done.time_ns if span.done is not None else answered
            parts.append(("receiving", answered, done, span.response_frames))
        return tuple(
            (name, _interval(made, start, end, frames)) for name, start, end, frames in parts if end > start
        )


def client_requests(read: Recording) -> tuple[ClientRequest, ...]:
    """Of all nodes with a client, by time. Empty where nothing was asked over HTTP, or nothing of it can be
    read. Raises CaptureError where the capture can't be read."""
    clients = {name for name, node in read.run.nodes.items() if "client" in node.roles}
    seen: dict[str, list[Frame]] = {name: [] for name in clients}
    for frame in read.frames:
        if frame.node in clients:
            seen[frame.node].append(frame)
    found = [one for name in sorted(clients) for one in _of_node(name, seen[name], read)]
    return tuple(sorted(found, key=lambda one: (one.start_ns, one.span.asked)))


def by_part(requests: Iterable[ClientRequest]) -> dict[str, list[ClientRequest]]:
    """By the parts of the scenario, in the order of their first requests: by phase, or where it has none, by
    the clients' names without the numbers at their ends ("5% HTTP/3 2/17")."""
    found: dict[str, list[ClientRequest]] = {}
    for one in requests:
        numbered = _NUMBERED.fullmatch(one.name)
        found.setdefault(one.phase or (numbered[1] if numbered else ""), []).append(one)
    return found


def _of_node(node: str, frames: Sequence[Frame], read: Recording) -> Iterator[ClientRequest]:
    own = set(read.run.nodes[node].addresses)
    asked, names = _Lookups(lookups(packets_of(frames), node)), _Names(node, read.events)
    for connection in connections(frames, read.keys):
        if connection.client.address in own:
            yield from _of_connection(connection, asked, names, read)


def _of_connection(
    connection: Connection, asked: _Lookups, names: _Names, read: Recording
) -> Iterator[ClientRequest]:
    for number, span in enumerate(connection.requests):
        which = names.node, _phase(span.asked.time_ns, read), names.of(span), connection, span
        if number:
            yield ClientRequest(*which)
            continue
        connect, tls = _opening(connection, span)
        head = span.exchange.request
        host = head.authority.rpartition(":")[0] or head.authority if isinstance(head, RequestHead) else ""
        lookup = asked.before(connection.start.time_ns, host) if connect is not None else None
        yield ClientRequest(*which, lookup, connect, tls)


def _opening(connection: Connection, span: Span) -> tuple[Interval | None, Interval | None]:
    """Until the client may ask; a request that goes out earlier (0-RTT) ends it."""
    start, done, last = connection.start, connection.handshake.done, span.asked
    if connection.quic is not None:
        if not connection.handshake.messages:
            return None, None
        end = min(done or last, last)
        both = _interval(connection, start.time_ns, end.time_ns, (start.frame, end.frame))
        return both, both
    if not connection.packets[0].opens:
        return None, None
    accepted = next((one for one in connection.packets if one.accepts), connection.packets[0])
    frames = start.frame, accepted.number
    if connection.tls is None:
        return _interval(connection, start.time_ns, accepted.time_ns, frames), None
    end = min(done or last, last)
    ends_ns = max(end.time_ns, accepted.time_ns)
    tls = _interval(connection, accepted.time_ns, ends_ns, (accepted.number, end.frame))
    return _interval(connection, start.time_ns, ends_ns, (*frames, end.frame)), tls


def _interval(connection: Connection, start_ns: int, end_ns: int, frames: tuple[int, ...]) -> Interval:
    return Interval(start_ns, end_ns, frames, connection.trips(start_ns, end_ns))


def _phase(time_ns: int, read: Recording) -> str:
    found = (one.name for one in read.run.phases if one.started_ns <= time_ns <= one.ended_ns)
    return next(found, "")


class _Names:
    """Of what a node's clients asked, by their events."""

    def __init__(self, node: str, events: Iterable[Event]) -> None:
        self.node = node
        self._clicks: dict[str, list[tuple[int, str]]] = {}
        for one in events:
            if one.event == "request-start" and one.node == node:
                trace_id = trace_id_in(str(one.data.get("traceparent", "")).encode())
                self._clicks.setdefault(trace_id, []).append((one.time_ns, str(one.data.get("name", ""))))

    def of(self, span: Span) -> str:
        """That of the last click with this trace-id before it: one may be used again."""
        clicks = self._clicks.get(span.exchange.trace_id, ()) if span.exchange.trace_id else ()
        return next((name for time_ns, name in reversed(clicks) if time_ns <= span.asked.time_ns), "")


class _Lookups:
    """Of one node; each belongs to the first connection that could use it."""

    def __init__(self, found: Iterable[Lookup]) -> None:
        self._open = list(found)

    def before(self, time_ns: int, host: str) -> Interval | None:
        """Those of `host` that were answered shortly before `time_ns`, IPv4 and IPv6 together."""
        name = host.lower().rstrip(".")
        used = [
            one
            for one in self._open
            if one.name == name and time_ns - _NEAR_NS <= one.answered.time_ns <= time_ns
        ]
        if not used:
            return None
        self._open = [one for one in self._open if one not in used]
        frames = sorted({number for one in used for number in (one.asked.number, one.answered.number)})
        start, end = min(one.asked.time_ns for one in used), max(one.answered.time_ns for one in used)
        return Interval(start, end, tuple(frames), turns_of(used))
