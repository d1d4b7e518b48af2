"""What an HTTP/3 connection remembers of its streams, and what each may carry when (RFC 9114 section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from netlab.proto.http3_frames import (
    KNOWN_FRAMES,
    RESERVED_FRAMES,
    ErrorCode,
    FrameReader,
    FrameType,
    Http3Error,
    StreamType,
)

# An encoded field section may be as long as a decoded one is allowed to be: more can't be meant well.
MAX_FIELDS = 64 * 1024
_NOT_ON_REQUESTS = RESERVED_FRAMES | KNOWN_FRAMES - {FrameType.DATA, FrameType.HEADERS}
_MAX_CONTROL = 16 * 1024  # bytes of one frame on the control stream


class StreamFailedError(Exception):
    """The peer broke one stream: it alone ends, with `code`. `status`: what a server answers first."""

    def __init__(self, code: ErrorCode, cause: str, status: int = 0) -> None:
        super().__init__(cause)
        self.code = code
        self.status = status


class Phase(Enum):
    """What a message's next frame may be."""

    HEAD = auto()
    BODY = auto()
    TRAILERS_SEEN = auto()


@dataclass(slots=True)
class Message:
    """A request stream, both directions. `tunnel`: DATA only, with no message (RFC 9114 section 4.4)."""

    stream: int
    method: str = ""
    phase: Phase = Phase.HEAD
    expected: int | None = None
    received: int = 0
    tunnel: bool = False
    ended: bool = False  # the peer has ended its direction
    sent: bool = False  # we have ended ours, or may send no more
    head_sent: bool = False
    told: bool = False  # an event told of it, so its end must be told too
    informational: int = 0  # responses before the final one
    reader: FrameReader = field(init=False)
    is_client: bool = False

    def __post_init__(self) -> None:
        self.reader = FrameReader(self._check)

    def _check(self, kind: int, length: int) -> None:
        """Raises Http3Error for a frame that may not come on a request stream, or not now;
        StreamFailedError for a field section that is too long (RFC 9114 sections 4.1, 7.2)."""
        if kind == FrameType.PUSH_PROMISE and self.is_client:
            # We sent no MAX_PUSH_ID, so any push ID is too large (RFC 9114 section 7.2.5).
            raise Http3Error(ErrorCode.ID_ERROR, "a push that was not allowed")
        if kind in _NOT_ON_REQUESTS:
            raise Http3Error(ErrorCode.FRAME_UNEXPECTED, f"frame {kind:#x} on a request stream")
        if kind == FrameType.DATA and self.phase is not Phase.BODY:
            raise Http3Error(ErrorCode.FRAME_UNEXPECTED, "DATA before the head, or after the trailers")
        if kind == FrameType.HEADERS:
            if self.phase is Phase.TRAILERS_SEEN or self.tunnel:
                raise Http3Error(ErrorCode.FRAME_UNEXPECTED, "HEADERS after the trailers, or in a tunnel")
            if length > MAX_FIELDS:
                raise StreamFailedError(ErrorCode.EXCESSIVE_LOAD, f"a field section of {length} bytes", 431)

    def count(self, size: int) -> None:
        """Raises StreamFailedError where the body is longer than it said (RFC 9114 section 4.1.2)."""
        self.received += size
        if self.expected is not None and self.received > self.expected and not self.tunnel:
            raise StreamFailedError(ErrorCode.MESSAGE_ERROR, "a body longer than its Content-Length")

    def finish(self) -> None:
        """The peer ended the stream. Raises Http3Error, StreamFailedError where it may not end here."""
        if not self.reader.between_frames:
            raise Http3Error(ErrorCode.FRAME_ERROR, "a stream that ends within a frame")
        if self.phase is Phase.HEAD:
            code = ErrorCode.MESSAGE_ERROR if self.is_client else ErrorCode.REQUEST_INCOMPLETE
            raise StreamFailedError(code, "a stream that ends before its message's head")
        if self.expected is not None and self.received != self.expected and not self.tunnel:
            raise StreamFailedError(ErrorCode.MESSAGE_ERROR, "a body shorter than its Content-Length")
        self.ended = True


class ControlStream:
    """The order of frames on the peer's control stream (RFC 9114 sections 6.2.1, 7.2)."""

    def __init__(self, is_client: bool) -> None:
        self._is_client = is_client
        self._begun = False
        self.reader = FrameReader(self._check)

    def _check(self, kind: int, length: int) -> None:
        if not self._begun and kind != FrameType.SETTINGS:
            raise Http3Error(ErrorCode.MISSING_SETTINGS, "the control stream does not begin with SETTINGS")
        if kind in RESERVED_FRAMES or kind in (FrameType.DATA, FrameType.HEADERS, FrameType.PUSH_PROMISE):
            raise Http3Error(ErrorCode.FRAME_UNEXPECTED, f"frame {kind:#x} on the control stream")
        if self._begun and kind == FrameType.SETTINGS:
            raise Http3Error(ErrorCode.FRAME_UNEXPECTED, "SETTINGS again")
        if kind == FrameType.MAX_PUSH_ID and self._is_client:
            raise Http3Error(ErrorCode.FRAME_UNEXPECTED, "MAX_PUSH_ID from a server")
        if kind in KNOWN_FRAMES and length > _MAX_CONTROL:
            raise Http3Error(ErrorCode.EXCESSIVE_LOAD, f"a control frame of {length} bytes")
        self._begun = True


@dataclass(slots=True)
class OneWay:
    """A unidirectional stream of the peer's; `kind` is -1 until its first integer is there."""

    kind: int = -1
    head: bytes = b""

    @property
    def critical(self) -> bool:
        """It must live as long as the connection (RFC 9114 section 6.2.1, RFC 9204 section 4.2)."""
        return self.kind in (StreamType.CONTROL, StreamType.QPACK_ENCODER, StreamType.QPACK_DECODER)
