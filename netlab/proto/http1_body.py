"""The body of an HTTP/1.1 message (RFC 9112 sections 6 and 7): its bytes ⇄ Data and End."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent
from netlab.proto.http1_head import Framing, fields_bytes, head_end, parse_trailers, sendable_trailers

_MAX_CHUNK_LINE = 256
_MAX_EXTENSIONS = 16 * 1024  # bytes of all chunk extensions of a body, which nobody reads
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t -\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:%b)*)" % _EXTENSION)
_CHUNK_BEGUN = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t;].*|\r?)", re.DOTALL)
_END = End()


class BodyReader(ABC):
    """Cuts a body out of the bytes behind its head."""

    done: bool = False

    @abstractmethod
    def read(self, buffer: bytes, events: list[HttpEvent]) -> bytes:
        """Adds events, the last an End (then `done`); the bytes that are left. RemoteProtocolError."""

    def ended(self, events: list[HttpEvent]) -> None:
        """The connection ended. Raises RemoteProtocolError where the body did not."""
        del events
        raise RemoteProtocolError("the connection ended within a body", 400)


class LengthReader(BodyReader):
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length

    def read(self, buffer: bytes, events: list[HttpEvent]) -> bytes:
        if buffer and self._left:
            part = buffer[: self._left]
            self._left -= len(part)
            buffer = buffer[len(part) :]
            events.append(Data(part))
        if not self._left:
            self.done = True
            events.append(_END)
        return buffer


class CloseReader(BodyReader):
    """A body that ends with its connection."""

    def read(self, buffer: bytes, events: list[HttpEvent]) -> bytes:
        if buffer:
            events.append(Data(buffer))
        return b""

    def ended(self, events: list[HttpEvent]) -> None:
        self.done = True
        events.append(_END)


class ChunkedReader(BodyReader):
    """A body in chunks (RFC 9112 section 7.1)."""

    def __init__(self, max_trailers: int) -> None:
        self._max_trailers = max_trailers
        self._left = 0  # of this chunk's data
        self._closing = False  # the CRLF behind a chunk's data is due
        self._last = False
        self._extensions = 0

    def read(self, buffer: bytes, events: list[HttpEvent]) -> bytes:
        place = 0
        while True:
            if self._left:
                part = buffer[place : place + self._left]
                if not part:
                    return b""
                place += len(part)
                self._left -= len(part)
                self._closing = not self._left
                events.append(Data(part))
            elif self._last:
                return self._trailers(buffer[place:], events)
            else:
                after = self._between(buffer, place)
                if not after:
                    return buffer[place:]
                place = after

    def _between(self, buffer: bytes, place: int) -> int:
        """Past the CRLF behind a chunk, or past a chunk's line; 0 where it has not come whole."""
        if self._closing:
            found = buffer[place : place + 2]
            if not b"\r\n".startswith(found):
                raise RemoteProtocolError("a chunk is not followed by CRLF", 400)
            self._closing = len(found) < 2
            return 0 if self._closing else place + 2
        end = buffer.find(b"\r\n", place, place + _MAX_CHUNK_LINE + 2)
        if end < 0:
            self._check_begun(buffer[place : place + _MAX_CHUNK_LINE + 2])
            return 0
        self._begin(buffer[place:end])
        return end + 2

    def _check_begun(self, line: bytes) -> None:
        bad = line and not _CHUNK_BEGUN.fullmatch(line)
        if bad or len(line) > _MAX_CHUNK_LINE or b"\n" in line or b"\r" in line[:-1]:
            raise RemoteProtocolError("a chunk's size is malformed", 400)

    def _begin(self, line: bytes) -> None:
        found = _CHUNK_LINE.fullmatch(line)
        if found is None:
            raise RemoteProtocolError("a chunk's size is malformed", 400)
        self._extensions += len(found[2])
        if self._extensions > _MAX_EXTENSIONS:
            raise RemoteProtocolError("too many chunk extensions", 400)
        self._left = int(found[1], 16)
        self._last = not self._left

    def _trailers(self, buffer: bytes, events: list[HttpEvent]) -> bytes:
        if buffer.startswith(b"\r\n"):  # mostly there are none
            self.done = True
            events.append(_END)
            return buffer[2:]
        end = head_end(buffer, self._max_trailers, "the trailers")
        if end:
            self.done = True
            events.append(End(parse_trailers(buffer[: end - 2].decode("latin-1"))))
        return buffer[end:]


def reader_of(framing: Framing, max_trailers: int) -> BodyReader:
    """What reads a body that is framed so."""
    if framing.chunked:
        return ChunkedReader(max_trailers)
    return CloseReader() if framing.length is None else LengthReader(framing.length)


class BodyWriter:
    """Frames a body that we send, and holds us to what its head said."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._left = framing.length or 0

    def data(self, data: bytes) -> bytes:
        """Raises LocalProtocolError where it is more than Content-Length said."""
        if self._framing.chunked:
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if self._framing.length is not None:
            self._left -= len(data)
            if self._left < 0:
                raise LocalProtocolError(f"{-self._left} bytes more than Content-Length")
        return data

    def end(self, trailers: Headers = NO_HEADERS) -> bytes:
        """The last bytes; only a chunked body can have trailers, which are dropped elsewhere (RFC 9110
        section 6.5.1). Raises LocalProtocolError where it is less than Content-Length said."""
        if self._framing.chunked:
            return b"0\r\n" + fields_bytes(sendable_trailers(trailers)) + b"\r\n"
        if self._left:
            raise LocalProtocolError(f"{self._left} bytes less than Content-Length")
        return b""
