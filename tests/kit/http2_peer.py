"""A peer that speaks raw HTTP/2 frames by hyperframe and hpack, apart from the code under test."""

from __future__ import annotations

from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = list[tuple[str, str]]
GET: Fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")]
POST: Fields = [(":method", "POST"), *GET[1:]]


def raw(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame of any shape; `length` may lie."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(**values: int) -> bytes:
    """SETTINGS with these, by their names in hyperframe."""
    pairs = {getattr(SettingsFrame, name): value for name, value in values.items()}
    return SettingsFrame(0, pairs).serialize()


def opening() -> bytes:
    """What a client sends first."""
    return PREFACE + settings()


class Encoding:
    """One direction's compression, with frames made of field sections."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self._decoder = Decoder()

    def status(self, frame: HeadersFrame) -> str:
        """Of the first response."""
        return next(iter(self._decoder.decode(frame.data, raw=True)))[1].decode()

    def headers(self, stream: int, fields: Fields, *flags: str, ends: bool = True, **more: Any) -> bytes:
        frame = HeadersFrame(stream, self.encoder.encode(fields), flags=["END_HEADERS", *flags], **more)
        if ends:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def split(self, stream: int, fields: Fields, parts: int) -> list[bytes]:
        """HEADERS and CONTINUATION frames; the request ends with them."""
        block = self.encoder.encode(fields)
        size = len(block) // parts
        cut = [block[i * size : (i + 1) * size] for i in range(parts - 1)] + [block[(parts - 1) * size :]]
        first = HeadersFrame(stream, cut[0], flags=["END_STREAM"]).serialize()
        middle = [ContinuationFrame(stream, part).serialize() for part in cut[1:-1]]
        return [first, *middle, ContinuationFrame(stream, cut[-1], flags=["END_HEADERS"]).serialize()]


def data(stream: int, body: bytes = b"", *flags: str, ends: bool = True, **more: Any) -> bytes:
    frame = DataFrame(stream, body, flags=list(flags), **more)
    if ends:
        frame.flags.add("END_STREAM")
    return frame.serialize()


def parsed(answer: bytes) -> list[Frame]:
    """The frames of `answer`, which holds whole ones."""
    found = []
    while answer:
        frame, length = Frame.parse_frame_header(memoryview(answer[:9]))
        frame.parse_body(memoryview(answer[9 : 9 + length]))
        found.append(frame)
        answer = answer[9 + length :]
    return found


def faults(answer: bytes) -> list[tuple[str, int, int]]:
    """RST_STREAM and GOAWAY of `answer`: which, its code, its stream (of GOAWAY the last one)."""
    found = []
    for frame in parsed(answer):
        if isinstance(frame, RstStreamFrame):
            found.append(("reset", frame.error_code, frame.stream_id))
        elif isinstance(frame, GoAwayFrame):
            found.append(("goaway", frame.error_code, frame.last_stream_id))
    return found
