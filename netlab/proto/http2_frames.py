"""HTTP/2 frames (RFC 9113 sections 3.4, 4 and 6): bytes ─► frames whose shape is right, and a few built.

The h2 library keeps the state of streams and windows, but answers some faults of a peer with another error
than the RFC asks for, hides extension frames, and takes a frame's length for granted until all of it has
come. So frames are split and checked here, and only sound ones go on to it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from h2.errors import ErrorCodes

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME: Final = 16_384  # SETTINGS_MAX_FRAME_SIZE: we keep the initial value

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
PRIORITY_UPDATE: Final = 0x10  # RFC 9218 section 7.1

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

_HEAD = struct.Struct(">HBBBL")
_STREAM_BITS = 0x7FFF_FFFF


class PeerError(Exception):
    """What a peer did wrong: an error of the stream, or of the connection where `stream` is 0
    (RFC 9113 section 5.4)."""

    def __init__(self, code: ErrorCodes, cause: str, stream: int = 0) -> None:
        super().__init__(cause)
        self.code = code
        self.stream = stream


@dataclass(slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes
    depends_on_itself: bool = False  # HEADERS with such a priority

    @property
    def ends_stream(self) -> bool:
        return bool(self.flags & END_STREAM)

    def serialize(self) -> bytes:
        return frame(self.kind, self.flags, self.stream, self.payload)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">L", code))


def goaway(last: int, code: int, cause: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last, code) + cause.encode("ascii", "replace"))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", increment))


class Settings(NamedTuple):
    """SETTINGS as pairs of identifier and value, in order."""

    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, payload: bytes) -> Settings:
        return cls(tuple(struct.iter_unpack(">HL", payload)))

    def serialize(self) -> bytes:
        return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in self.pairs))


class FrameReader:
    """One direction of a connection. With `preface` it starts with the client's connection preface."""

    def __init__(self, *, preface: bool = False, max_frame: int = MAX_FRAME) -> None:
        self._preface = PREFACE if preface else b""
        self._max_frame = max_frame
        self._buffer = bytearray()

    def buffered(self) -> int:
        """Bytes of a frame that is not whole."""
        return len(self._buffer)

    def receive(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole, as far as they are taken. Raises PeerError of the connection."""
        self._buffer += data
        if self._preface and not self._take_preface():
            return
        while len(self._buffer) >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(self._buffer)
            size = high << 8 | low
            if size > self._max_frame:
                raise PeerError(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            if len(self._buffer) < 9 + size:
                return
            payload = bytes(memoryview(self._buffer)[9 : 9 + size])
            del self._buffer[: 9 + size]
            found = Frame(kind, flags, stream & _STREAM_BITS, payload)
            check_shape(found)
            yield found

    def _take_preface(self) -> bool:
        got = bytes(self._buffer[: len(self._preface)])
        if not self._preface.startswith(got):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 connection preface")
        if len(got) < len(self._preface):
            return False
        del self._buffer[: len(self._preface)]
        self._preface = b""
        return True


# The shape of each kind, whatever the state of its stream: stream identifier, length, padding.


def unpadded(found: Frame) -> bytes:
    """The payload of DATA, HEADERS or PUSH_PROMISE without its padding (RFC 9113 section 6.1)."""
    payload = found.payload
    if not found.flags & PADDED:
        return payload
    if not payload:
        raise PeerError(ErrorCodes.FRAME_SIZE_ERROR, "a padded frame without a Pad Length")
    if payload[0] >= len(payload):
        raise PeerError(ErrorCodes.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def check_shape(found: Frame) -> None:
    """Raises PeerError. Kinds that nobody knows have no shape (RFC 9113 section 5.5)."""
    rule = _SHAPES.get(found.kind)
    if rule is None:
        return
    if rule.on_stream is not None and rule.on_stream != bool(found.stream):
        raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"frame type {found.kind} on stream {found.stream}")
    if not rule.size(len(found.payload), found.flags):
        # A PRIORITY of another size is the stream's own fault (RFC 9113 section 6.3).
        at = found.stream if found.kind == PRIORITY else 0
        raise PeerError(
            ErrorCodes.FRAME_SIZE_ERROR, f"frame type {found.kind}: {len(found.payload)} bytes", at
        )


class _Shape(NamedTuple):
    on_stream: bool | None
    size: Callable[[int, int], bool]


def _any_size(size: int, flags: int) -> bool:
    del size, flags
    return True


def _settings_size(size: int, flags: int) -> bool:
    return size == 0 if flags & ACK else size % 6 == 0


def _exactly(wanted: int) -> Callable[[int, int], bool]:
    return lambda size, _flags: size == wanted


def _at_least(wanted: int) -> Callable[[int, int], bool]:
    return lambda size, _flags: size >= wanted


_SHAPES = {
    DATA: _Shape(True, _any_size),
    HEADERS: _Shape(True, _any_size),
    PRIORITY: _Shape(True, _exactly(5)),
    RST_STREAM: _Shape(True, _exactly(4)),
    SETTINGS: _Shape(False, _settings_size),
    PUSH_PROMISE: _Shape(True, _at_least(4)),
    PING: _Shape(False, _exactly(8)),
    GOAWAY: _Shape(False, _at_least(8)),
    WINDOW_UPDATE: _Shape(None, _exactly(4)),
    CONTINUATION: _Shape(True, _any_size),
    PRIORITY_UPDATE: _Shape(False, _at_least(4)),
}
