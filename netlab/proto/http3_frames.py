"""HTTP/3 on the wire: variable-length integers, frames, settings, and the error codes (RFC 9114).

It knows nothing of QUIC: bytes of one stream go in, frames come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import NamedTuple


class ErrorCode(IntEnum):
    """RFC 9114 section 8.1 and RFC 9204 section 6."""

    NO_ERROR = 0x100
    GENERAL_PROTOCOL_ERROR = 0x101
    INTERNAL_ERROR = 0x102
    STREAM_CREATION_ERROR = 0x103
    CLOSED_CRITICAL_STREAM = 0x104
    FRAME_UNEXPECTED = 0x105
    FRAME_ERROR = 0x106
    EXCESSIVE_LOAD = 0x107
    ID_ERROR = 0x108
    SETTINGS_ERROR = 0x109
    MISSING_SETTINGS = 0x10A
    REQUEST_REJECTED = 0x10B
    REQUEST_CANCELLED = 0x10C
    REQUEST_INCOMPLETE = 0x10D
    MESSAGE_ERROR = 0x10E
    CONNECT_ERROR = 0x10F
    VERSION_FALLBACK = 0x110
    QPACK_DECOMPRESSION_FAILED = 0x200
    QPACK_ENCODER_STREAM_ERROR = 0x201
    QPACK_DECODER_STREAM_ERROR = 0x202


class FrameType(IntEnum):
    """RFC 9114 section 7.2."""

    DATA = 0x0
    HEADERS = 0x1
    CANCEL_PUSH = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    GOAWAY = 0x7
    MAX_PUSH_ID = 0xD


class StreamType(IntEnum):
    """The first integer of a unidirectional stream (RFC 9114 section 6.2, RFC 9204 section 4.2)."""

    CONTROL = 0
    PUSH = 1
    QPACK_ENCODER = 2
    QPACK_DECODER = 3


class Setting(IntEnum):
    """RFC 9114 section 7.2.4.1, RFC 9204 section 5, RFC 9220 section 5."""

    QPACK_MAX_TABLE_CAPACITY = 0x1
    MAX_FIELD_SECTION_SIZE = 0x6
    QPACK_BLOCKED_STREAMS = 0x7
    ENABLE_CONNECT_PROTOCOL = 0x8


# Of HTTP/2, with no meaning here: an error wherever they are (RFC 9114 sections 7.2.8 and 7.2.4.1).
RESERVED_FRAMES = frozenset((0x2, 0x6, 0x8, 0x9))
_RESERVED_SETTINGS = frozenset((0x0, 0x2, 0x3, 0x4, 0x5))
KNOWN_FRAMES = frozenset(int(kind) for kind in FrameType)
_WHOLE = KNOWN_FRAMES - {FrameType.DATA}
_LARGEST = (1 << 62) - 1


class Http3Error(Exception):
    """The peer broke HTTP/3 so that the connection must end (RFC 9114 section 8)."""

    def __init__(self, code: ErrorCode, cause: str) -> None:
        super().__init__(cause)
        self.code = code


def encode_varint(value: int) -> bytes:
    """RFC 9000 section 16, as short as it can be. Raises ValueError outside 0 … 2^62-1."""
    if value < 0x40:
        return value.to_bytes(1, "big")
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value < 0x4000_0000:
        return (value | 0x8000_0000).to_bytes(4, "big")
    if value <= _LARGEST:
        return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")
    raise ValueError(f"{value} is too large for a variable-length integer")


def read_varint(data: bytes | bytearray, offset: int) -> tuple[int, int] | None:
    """The integer at `offset` and where it ends; None where it is not whole yet."""
    if offset >= len(data):
        return None
    first = data[offset]
    end = offset + (1 << (first >> 6))
    if end > len(data):
        return None
    return int.from_bytes(data[offset:end], "big") & ((1 << (8 * (end - offset) - 2)) - 1), end


def encode_frame(kind: int, payload: bytes) -> bytes:
    return encode_varint(kind) + encode_varint(len(payload)) + payload


def encode_settings(settings: dict[int, int]) -> bytes:
    """The frame SETTINGS."""
    payload = b"".join(encode_varint(name) + encode_varint(value) for name, value in settings.items())
    return encode_frame(FrameType.SETTINGS, payload)


def decode_settings(payload: bytes) -> dict[int, int]:
    """Raises Http3Error: SETTINGS_ERROR, FRAME_ERROR (RFC 9114 sections 7.2.4 and 7.1)."""
    settings: dict[int, int] = {}
    offset = 0
    while offset < len(payload):
        name = read_varint(payload, offset)
        value = read_varint(payload, name[1]) if name is not None else None
        if name is None or value is None:
            raise Http3Error(ErrorCode.FRAME_ERROR, "a setting that is cut short")
        if name[0] in _RESERVED_SETTINGS or name[0] in settings:
            raise Http3Error(ErrorCode.SETTINGS_ERROR, f"setting {name[0]:#x} is reserved or repeated")
        settings[name[0]], offset = value
    if settings.get(Setting.ENABLE_CONNECT_PROTOCOL, 0) > 1:
        raise Http3Error(ErrorCode.SETTINGS_ERROR, "ENABLE_CONNECT_PROTOCOL is neither 0 nor 1")
    return settings


def decode_id(payload: bytes) -> int:
    """The one integer of GOAWAY, MAX_PUSH_ID, CANCEL_PUSH. Raises Http3Error."""
    found = read_varint(payload, 0)
    if found is None or found[1] != len(payload):
        raise Http3Error(ErrorCode.FRAME_ERROR, "a frame that is not one integer")
    return found[0]


class Frame(NamedTuple):
    """`payload` is whole, except for DATA, whose payload comes in parts as it came in."""

    kind: int
    payload: bytes


class FrameReader:
    """The frames of one stream. Those of unknown types are passed over without keeping them
    (RFC 9114 section 9).

    `check` is called with the type and length of each frame as soon as they are known, and raises where it
    may not come now, or is too long.
    """

    def __init__(self, check: Callable[[int, int], None]) -> None:
        self._check = check
        self._buffer = bytearray()
        self._kind = -1  # none: a frame's type is next
        self._left = 0

    def receive(self, data: bytes) -> Iterator[Frame]:
        """The frames, one by one: what the caller does with one decides whether the next may come."""
        self._buffer += data
        while self._kind >= 0 or self._begin():
            if self._kind == FrameType.DATA:
                if self._left and not self._buffer:
                    return
                yield Frame(self._kind, self._take())
            elif self._kind in _WHOLE:
                if len(self._buffer) < self._left:
                    return
                yield Frame(self._kind, self._take())
            else:
                self._take()
                if self._kind >= 0:
                    return

    def _begin(self) -> bool:
        kind = read_varint(self._buffer, 0)
        length = read_varint(self._buffer, kind[1]) if kind is not None else None
        if kind is None or length is None:
            return False
        self._check(kind[0], length[0])
        self._kind, self._left = kind[0], length[0]
        del self._buffer[: length[1]]
        return True

    def _take(self) -> bytes:
        """What is there of the frame; it ends where nothing is left of it."""
        part = bytes(self._buffer[: self._left])
        del self._buffer[: len(part)]
        self._left -= len(part)
        if not self._left:
            self._kind = -1
        return part

    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def between_frames(self) -> bool:
        """Whether the stream may end here (RFC 9114 section 7.1)."""
        return self._kind < 0 and not self._buffer
