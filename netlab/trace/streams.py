"""Exchanges of HTTP/2 and HTTP/3 connections, put together from their frames, stream by stream.

Sources: RFC 9113, section 8.1; RFC 9114, section 4.1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from netlab.decode.quic import QuicConnection
from netlab.errors import RemoteProtocolError
from netlab.proto.http import ResponseHead
from netlab.proto.http2_reader import Http2Frame, Http2Reader
from netlab.proto.http3_reader import Http3Frame, Http3Reader, Side
from netlab.trace.heads import Fields, request_head, response_head
from netlab.trace.message import Exchange, Extent, trace_id_in


@dataclass(slots=True)
class _Half:
    """What one side sent on one stream. `fields`: of each field section, in order."""

    extents: list[Extent] = field(default_factory=list)
    fields: list[Fields] = field(default_factory=list)
    body: int = 0
    ended: bool = False
    reset: bool = False
    problem: str = ""

    def cover(self, start: int, end: int, stream: int = 0) -> None:
        if self.extents and self.extents[-1].end == start:
            self.extents[-1] = Extent(self.extents[-1].start, end, stream)
        else:
            self.extents.append(Extent(start, end, stream))


_Halves = dict[tuple[int, Side], _Half]


# ------------------------------------------------------------------------------------------ HTTP/2


@dataclass(frozen=True, slots=True)
class Http2Dialogue:
    """`frames` of each side in the order of its bytes. `problem`: where reading stopped, and why."""

    exchanges: tuple[Exchange, ...]
    sent: tuple[Http2Frame, ...]
    answered: tuple[Http2Frame, ...]
    problem: str = ""


def http2_dialogue(up: bytes, down: bytes) -> Http2Dialogue:
    """Of the plain bytes of a connection in HTTP/2, its client's preface included."""
    sent: Sequence[Http2Frame] = ()
    problem = ""
    try:
        sent = Http2Reader(client=True).receive(up)
    except RemoteProtocolError as error:
        problem = str(error)
    answered = Http2Reader(client=False).receive(down)
    halves: _Halves = defaultdict(_Half)
    promised: dict[int, Http2Frame] = {}
    for frame in sent:
        _take2(halves, promised, "client", frame)
    for frame in answered:
        _take2(halves, promised, "server", frame)
    _push2(halves, promised)
    return Http2Dialogue(_exchanges(halves, "2"), tuple(sent), tuple(answered), problem)


def _take2(halves: _Halves, promised: dict[int, Http2Frame], side: Side, frame: Http2Frame) -> None:
    if frame.type in ("PUSH_PROMISE", "CONTINUATION") and frame.promised:
        promised[frame.promised] = frame
        return
    if frame.type not in ("HEADERS", "CONTINUATION", "DATA", "RST_STREAM") or not frame.stream:
        return
    half = halves[frame.stream, side]
    half.problem = half.problem or frame.problem
    if frame.type == "RST_STREAM":
        half.reset = True
        return
    half.cover(frame.start, frame.end)
    if frame.headers is not None:
        half.fields.append(frame.headers)
    if frame.type == "DATA":
        half.body += len(frame.content)
    half.ended = half.ended or frame.ends_stream


def _push2(halves: _Halves, promised: dict[int, Http2Frame]) -> None:
    """A pushed response answers the request that the server promised it for."""
    for stream, frame in promised.items():
        half = halves[stream, "client"]
        half.fields.insert(0, frame.headers or ())
        half.ended = True


# ------------------------------------------------------------------------------------------ HTTP/3


@dataclass(frozen=True, slots=True)
class Http3Dialogue:
    """`frames` in the order in which they could be read."""

    exchanges: tuple[Exchange, ...]
    frames: tuple[Http3Frame, ...]


def http3_dialogue(connection: QuicConnection) -> Http3Dialogue:
    """Of a QUIC connection whose ALPN is h3."""
    reader, frames = Http3Reader(), list[Http3Frame]()
    for side, stream, data in _readable(connection):
        frames += reader.receive(side, stream, data)
    frames += reader.finish()
    halves: _Halves = defaultdict(_Half)
    for frame in sorted(frames, key=lambda one: (one.stream, one.sender, one.start)):
        if not frame.stream & 2:
            _take3(halves[frame.stream, frame.sender], frame)
    for (stream, side), half in halves.items():
        found = connection.streams[stream, side]
        half.ended, half.reset = found.finished, found.reset is not None
    return Http3Dialogue(_exchanges(halves, "3"), tuple(frames))


def _readable(connection: QuicConnection) -> Iterator[tuple[Side, int, bytes]]:
    """Bytes of all streams, in the order in which their receiver could read them."""
    arrived = [
        (one.completer, side, stream, one.start, one.end)
        for (stream, side), found in connection.streams.items()
        for one in found.arrivals()
    ]
    for _, side, stream, start, end in sorted(arrived):
        yield side, stream, connection.streams[stream, side].part(start, end)


def _take3(half: _Half, frame: Http3Frame) -> None:
    half.problem = half.problem or frame.problem
    half.cover(frame.start, frame.end, frame.stream)
    if frame.type == "HEADERS":
        half.fields.append(frame.headers or ())
    elif frame.type == "DATA":
        half.body += len(frame.content)


# -------------------------------------------------------------------------------------------- both


def _exchanges(halves: _Halves, version: str) -> tuple[Exchange, ...]:
    streams = sorted({stream for stream, side in halves if side == "client"})
    found = (_exchange(stream, halves, version) for stream in streams)
    return tuple(one for one in found if one is not None)


def _exchange(stream: int, halves: _Halves, version: str) -> Exchange | None:
    up, down = halves[stream, "client"], halves.get((stream, "server"), _Half())
    if not up.fields:
        return None
    request = request_head(up.fields[0], stream, version)
    response, final = _final(down.fields, stream, version)
    return Exchange(
        trace_id_in(request.headers.get("traceparent").encode()),
        request,
        tuple(up.extents),
        response,
        tuple(down.extents) if final else (),
        stream,
        down.ended and not down.reset,
        up.body,
        down.body,
        up.problem or down.problem,
    )


def _final(sections: Iterable[Fields], stream: int, version: str) -> tuple[ResponseHead | None, bool]:
    """The final response's head; informational ones come before it."""
    for fields in sections:
        head = response_head(fields, stream, version)
        if head is not None and not head.informational:
            return head, True
    return None, False
