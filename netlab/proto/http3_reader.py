"""HTTP/3 as a reader of captures needs it: every frame of every stream with its place, field by field.

Sources: RFC 9114, sections 6 and 7; RFC 9204 (QPACK). It has no opinion on what may be sent when.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal, NamedTuple

import pylsqpack

Side = Literal["client", "server"]
Fields = tuple[tuple[str, str], ...]

_CONTROL, _PUSH, _ENCODER, _DECODER = 0, 1, 2, 3
_STREAMS = {_CONTROL: "control", _PUSH: "push", _ENCODER: "QPACK encoder", _DECODER: "QPACK decoder"}
_FRAMES = {
    0: "DATA",
    1: "HEADERS",
    3: "CANCEL_PUSH",
    4: "SETTINGS",
    5: "PUSH_PROMISE",
    7: "GOAWAY",
    13: "MAX_PUSH_ID",
    0xF0700: "PRIORITY_UPDATE",
    0xF0701: "PRIORITY_UPDATE",
}
_SETTINGS = {
    1: "QPACK_MAX_TABLE_CAPACITY",
    6: "MAX_FIELD_SECTION_SIZE",
    7: "QPACK_BLOCKED_STREAMS",
    8: "ENABLE_CONNECT_PROTOCOL",
    0x33: "H3_DATAGRAM",
}
_TABLE_CAPACITY = 1
_LARGEST_TABLE = 1 << 24
_BLOCKED_STREAMS = 65535
_LARGEST_FRAME = 1 << 26  # bytes of a frame other than DATA: what is longer is left unread

StreamKey = tuple[Side, int]


class Http3Frame(NamedTuple):
    """A frame at [start, end) of a stream's bytes; its own header is `header_length` bytes of them.

    `type` "HEADERS", "DATA", …, or "type 0x21". `content`: of DATA, and the payload of the others. `facts`:
    its numbers by name. `headers`: of HEADERS and PUSH_PROMISE, None where they can't be decoded:
    `problem` says why.
    """

    type: str
    sender: Side
    stream: int
    start: int
    end: int
    header_length: int
    content: bytes
    facts: tuple[tuple[str, int], ...] = ()
    headers: Fields | None = None
    problem: str = ""

    def fact(self, name: str) -> int | None:
        return dict(self.facts).get(name)


class _Stream:
    """`kind`: of a unidirectional stream, -1 until it is known; `place`: where `held` begins."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.place = 0
        self.kind = -1

    def drop(self, count: int) -> None:
        del self.held[:count]
        self.place += count


class _Qpack:
    """Field sections that one side encoded. What refers to the dynamic table waits for the other side's
    SETTINGS, which say how large it may be, and for the encoder stream."""

    def __init__(self) -> None:
        self.static = pylsqpack.Decoder(0, 0)
        self.dynamic: pylsqpack.Decoder | None = None
        self.early: list[bytes] = []  # of the encoder stream, before the capacity is known
        self.waiting: dict[int, list[tuple[Http3Frame, bytes]]] = defaultdict(list)
        self.blocked: dict[int, Http3Frame] = {}
        self.broken = ""

    def capacity(self, capacity: int) -> list[Http3Frame]:
        if self.dynamic is not None:
            return []
        self.dynamic = pylsqpack.Decoder(min(capacity, _LARGEST_TABLE), _BLOCKED_STREAMS)
        found = [frame for data in self.early for frame in self.encoder(data)]
        self.early.clear()
        for stream in list(self.waiting):
            found += self._release(stream)
        return found

    def encoder(self, data: bytes) -> list[Http3Frame]:
        if self.dynamic is None:
            self.early.append(data)
            return []
        if self.broken:
            return []
        try:
            unblocked = self.dynamic.feed_encoder(data)
        except pylsqpack.EncoderStreamError as error:
            self.broken = f"the encoder stream of QPACK is damaged: {error}"
            return []
        found: list[Http3Frame] = []
        for stream in unblocked:
            frame = self.blocked.pop(stream, None)
            if frame is not None:
                found.append(self._resume(stream, frame))
                found += self._release(stream)
        return found

    def section(self, frame: Http3Frame, block: bytes) -> list[Http3Frame]:
        """The frame with its fields, or nothing as long as it has to wait."""
        if block[:1] == b"\0":  # Required Insert Count 0: no reference to the dynamic table
            return [self._decode(self.static, frame, block)]
        self.waiting[frame.stream].append((frame, block))
        return self._release(frame.stream)

    def _release(self, stream: int) -> list[Http3Frame]:
        found: list[Http3Frame] = []
        while self.dynamic is not None and self.waiting[stream] and stream not in self.blocked:
            frame, block = self.waiting[stream].pop(0)
            try:
                found.append(self._decode(self.dynamic, frame, block))
            except pylsqpack.StreamBlocked:
                self.blocked[stream] = frame
        return found

    def _decode(self, decoder: pylsqpack.Decoder, frame: Http3Frame, block: bytes) -> Http3Frame:
        try:
            _, fields = decoder.feed_header(frame.stream, block)
        except pylsqpack.DecompressionFailed as error:
            return frame._replace(problem=f"a field section that QPACK can't decode: {error}")
        return _with(frame, fields)

    def _resume(self, stream: int, frame: Http3Frame) -> Http3Frame:
        assert self.dynamic is not None
        try:
            _, fields = self.dynamic.resume_header(stream)
        except pylsqpack.DecompressionFailed as error:
            return frame._replace(problem=f"a field section that QPACK can't decode: {error}")
        return _with(frame, fields)

    def left(self) -> list[Http3Frame]:
        """What waits still, with the reason."""
        why = self.broken or (
            "its fields refer to QPACK's dynamic table, whose "
            + ("instructions" if self.dynamic is not None else "size (SETTINGS)")
            + " the capture lacks"
        )
        waiting = [frame for several in self.waiting.values() for frame, _ in several]
        return [frame._replace(problem=why) for frame in (*self.blocked.values(), *waiting)]


def _with(frame: Http3Frame, fields: list[tuple[bytes, bytes]]) -> Http3Frame:
    shown = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
    return frame._replace(headers=shown)


class Http3Reader:
    """A connection, both directions. Feed the streams' bytes in the order in which they could be read."""

    def __init__(self) -> None:
        self._streams: dict[StreamKey, _Stream] = defaultdict(_Stream)
        self._qpack: dict[Side, _Qpack] = {"client": _Qpack(), "server": _Qpack()}

    def receive(self, sender: Side, stream: int, data: bytes) -> list[Http3Frame]:
        """The frames that can be read since; one may be of another stream, which waited for this one."""
        one = self._streams[sender, stream]
        one.held += data
        if stream & 2 and one.kind < 0:
            self._begin(one)
            if one.kind < 0:
                return []
        if stream & 2 and one.kind not in (_CONTROL, _PUSH):
            taken = bytes(one.held)
            one.drop(len(taken))
            return self._qpack[sender].encoder(taken) if one.kind == _ENCODER else []
        found: list[Http3Frame] = []
        while (frame := self._next(sender, stream, one)) is not None:
            found += self._given(frame)
        return found

    def finish(self) -> list[Http3Frame]:
        """HEADERS that could not be decoded, at the end of the capture; each says why."""
        return [frame for one in self._qpack.values() for frame in one.left()]

    def kind(self, sender: Side, stream: int) -> str:
        """ "request", "control", "push", "QPACK encoder", "QPACK decoder", "type 0x…", or "" if unknown."""
        if not stream & 2:
            return "request"
        kind = self._streams[sender, stream].kind
        return "" if kind < 0 else _STREAMS.get(kind, f"type {kind:#x}")

    def buffered(self) -> int:
        """Bytes of frames that aren't whole."""
        return sum(len(one.held) for one in self._streams.values())

    def _begin(self, one: _Stream) -> None:
        """Takes the stream's type, and a push stream's push ID (RFC 9114, section 6.2)."""
        kind, place = _varint(one.held, 0)
        if kind == _PUSH and place:
            _, place = _varint(one.held, place)
        if place:
            one.kind = kind
            one.drop(place)

    def _next(self, sender: Side, stream: int, one: _Stream) -> Http3Frame | None:
        kind, place = _varint(one.held, 0)
        length, place = _varint(one.held, place) if place else (0, 0)
        end = place + length
        if not place or end > len(one.held) or (kind != 0 and length > _LARGEST_FRAME):
            return None
        content, start = bytes(one.held[place:end]), one.place
        one.drop(end)
        name = _FRAMES.get(kind, f"type {kind:#x}")
        return Http3Frame(name, sender, stream, start, start + end, place, content, _facts(name, content))

    def _given(self, frame: Http3Frame) -> list[Http3Frame]:
        if frame.type == "SETTINGS":
            other: Side = "server" if frame.sender == "client" else "client"
            capacity = frame.fact("QPACK_MAX_TABLE_CAPACITY") or 0
            return [frame, *self._qpack[other].capacity(capacity)]
        if frame.type == "HEADERS":
            return self._qpack[frame.sender].section(frame, frame.content)
        if frame.type == "PUSH_PROMISE":
            _, place = _varint(frame.content, 0)
            return self._qpack[frame.sender].section(frame, frame.content[place:])
        return [frame]


def _varint(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """The number at `start` and the offset after it; (0, 0) where it isn't whole (RFC 9000, section 16)."""
    if start >= len(data):
        return 0, 0
    end = start + (1 << (data[start] >> 6))
    if end > len(data):
        return 0, 0
    return int.from_bytes(data[start:end], "big") & ((1 << (8 * (end - start) - 2)) - 1), end


def _facts(name: str, content: bytes) -> tuple[tuple[str, int], ...]:
    if name == "SETTINGS":
        found, place = [], 0
        while place < len(content):
            key, place = _varint(content, place)
            value, place = _varint(content, place) if place else (0, 0)
            if not place:
                break
            found.append((_SETTINGS.get(key, f"{key:#x}"), value))
        return tuple(found)
    names = {"GOAWAY": "id", "MAX_PUSH_ID": "push_id", "CANCEL_PUSH": "push_id", "PUSH_PROMISE": "push_id"}
    if name in names:
        value, place = _varint(content, 0)
        return ((names[name], value),) if place else ()
    return ()
