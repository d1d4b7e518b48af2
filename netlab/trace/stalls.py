"""Head-of-line blocking, seen from the packets: bytes that had arrived and could not be delivered.

In TCP, bytes wait while any earlier byte of the connection is missing, whichever HTTP stream that belongs to
(RFC 9293, section 3.4); in QUIC, only while one of their own stream is (RFC 9000, section 2.2). Give the
connection as its receiver's interface saw it; and as its sender's did, to name the packets that were lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from netlab.decode.quic import Side
from netlab.decode.reassembly import Arrival, Reassembly
from netlab.proto.http import RequestHead
from netlab.trace.carriage import Carriage
from netlab.trace.connection import Connection
from netlab.trace.message import Exchange, Extent
from netlab.trace.round_trips import Moment


@dataclass(frozen=True, slots=True)
class Stall:
    """Bytes of the message on `stream` that came at `start` or later and could be read at `end` only.

    `waiting`: how many bytes, on the transport's stream. `missing`: the ranges of the transport's stream
    that they waited for. `repaired`: the frame that brought the last of these. `lost`: frames of the
    sender's interface that carried the missing bytes first; empty without that capture, or where it was
    only late. `own`: some of the missing bytes belong to this message itself; without them, the message
    waited for others: head-of-line blocking.
    """

    stream: int
    target: str
    start: Moment
    end: Moment
    waiting: int
    missing: tuple[tuple[int, int], ...]
    repaired: int
    lost: tuple[int, ...]
    own: bool

    @property
    def duration_ns(self) -> int:
        return self.end.time_ns - self.start.time_ns

    @property
    def blocked_by_others(self) -> bool:
        return not self.own


def stalls(received: Connection, side: Side = "server", sent: Connection | None = None) -> tuple[Stall, ...]:
    """Of what `side` said: of the responses where it is the server. `received` at the other side's interface.

    `sent`: the same connection at `side`'s own interface.
    """
    carriage = received.down if side == "server" else received.up
    origin = None if sent is None else (sent.down if side == "server" else sent.up)
    found: list[Stall] = []
    for exchange, extents in _messages(received.exchanges, side, carriage):
        found += _stalls(exchange, extents, carriage, origin, received.moment)
    return tuple(sorted(found, key=lambda one: (one.start, one.stream)))


def _messages(
    exchanges: Iterable[Exchange], side: Side, carriage: Carriage
) -> Iterator[tuple[Exchange, tuple[Extent, ...]]]:
    for exchange in exchanges:
        extents = exchange.response_extents if side == "server" else exchange.request_extents
        if carriage.has(extents):
            yield exchange, extents


def _stalls(
    exchange: Exchange,
    extents: Sequence[Extent],
    carriage: Carriage,
    origin: Carriage | None,
    moment: Callable[[int], Moment],
) -> Iterator[Stall]:
    """One for each packet that ended a wait: what it released was waiting for the same repair."""
    stream = carriage.streams[extents[0].stream]
    own = [carriage.place(extent) for extent in extents]
    waited: dict[int, list[Arrival]] = {}
    for arrival in carriage.arrivals(extents):
        if moment(arrival.carrier).time_ns < moment(arrival.completer).time_ns:
            waited.setdefault(arrival.completer, []).append(arrival)
    for completer, arrivals in waited.items():
        missing = _missing(stream, arrivals, moment)
        yield Stall(
            exchange.stream,
            exchange.request.target if isinstance(exchange.request, RequestHead) else "",
            min(moment(one.carrier) for one in arrivals),
            moment(completer),
            sum(one.end - one.start for one in arrivals),
            missing,
            completer,
            _lost(missing, extents[0].stream, origin),
            any(start < b and a < end for a, b in missing for start, end in own),
        )


def _missing(
    stream: Reassembly, arrivals: Sequence[Arrival], moment: Callable[[int], Moment]
) -> tuple[tuple[int, int], ...]:
    """The bytes before these that came after them, as ranges."""

    def came(frame: int) -> int:
        return moment(frame).time_ns

    behind = sorted(arrivals)
    start = stream.delivered_before(min(came(one.carrier) for one in behind), came)
    found: list[tuple[int, int]] = []
    earliest: int | None = None  # of the waiting bytes that lie after the row
    for row in reversed(list(stream.arrivals(start, behind[-1].start))):
        while behind and behind[-1].start >= row.end:
            time_ns = came(behind.pop().carrier)
            earliest = time_ns if earliest is None else min(earliest, time_ns)
        if earliest is not None and came(row.carrier) > earliest:
            if found and found[-1][0] == row.end:
                found[-1] = (row.start, found[-1][1])
            else:
                found.append((row.start, row.end))
    return tuple(reversed(found))


def _lost(missing: Iterable[tuple[int, int]], stream: int, origin: Carriage | None) -> tuple[int, ...]:
    """The frames that carried the missing bytes first, at the sender's interface."""
    there = None if origin is None else origin.streams.get(stream)
    if there is None:
        return ()
    return tuple(sorted({frame for start, end in missing for frame in there.frames_of(start, end)}))
