"""text/event-stream: server-sent events to bytes and back (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from netlab.errors import LocalProtocolError, RemoteProtocolError

CONTENT_TYPE = "text/event-stream"
MAX_EVENT = 1024 * 1024
_LINE_END = re.compile("\r\n|\n|\r")
_BREAKS = ("\r", "\n", "\0")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id`: the last one that the stream gave, also by an earlier event."""

    data: str
    event: str = "message"
    id: str = ""


def encode(data: str, *, event: str = "", event_id: str = "") -> bytes:
    """One event; `data` may have several lines (each kind of line end becomes LF).

    Raises LocalProtocolError where `event` or `event_id` has a line end or NUL.
    """
    if any(character in event + event_id for character in _BREAKS):
        raise LocalProtocolError("an event's name and id are one line each")
    lines = [f"id: {event_id}"] if event_id else []
    if event:
        lines.append(f"event: {event}")
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return "\n".join((*lines, "", "")).encode()


def comment(text: str = "") -> bytes:
    """What a reader ignores: keeps a connection from looking dead."""
    return "".join(f": {line}\n" for line in _LINE_END.split(text)).encode() + b"\n"


def retry(delay_ms: int) -> bytes:
    """How long the client waits before it connects again."""
    return f"retry: {delay_ms}\n\n".encode()


class EventParser:
    """Reads a stream as it comes. `last_id` and `retry_ms` hold for the next connection."""

    def __init__(self, last_id: str = "", max_event: int = MAX_EVENT) -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._max_event = max_event
        # Bytes that are no UTF-8 become U+FFFD, and one BOM at the start is dropped (UTF-8 decode).
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._started = False
        self._after_cr = False
        self._line: list[str] = []  # pieces of a line that has not ended
        self._line_size = 0
        self._id = last_id
        self._event = ""
        self._data: list[str] = []
        self._data_size = 0

    def buffered(self) -> int:
        """Characters of what is not whole yet."""
        return self._data_size + self._line_size

    def receive(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` makes whole. An event that the stream's end (b"") cuts is dropped.

        Raises RemoteProtocolError where an event is too large.
        """
        text = self._decoder.decode(data, not data)
        if not self._started and text:
            self._started = True
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        self._after_cr = self._after_cr or text.endswith("\r")
        return self._lines(text)

    def _lines(self, text: str) -> list[ServerSentEvent]:
        events = []
        *whole, rest = _LINE_END.split(text)
        for piece in whole:
            event = self._on_line("".join((*self._line, piece)))
            self._line.clear()
            self._line_size = 0
            if event is not None:
                events.append(event)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            self._check_size()
        return events

    def _check_size(self) -> None:
        if self.buffered() > self._max_event:
            raise RemoteProtocolError(f"a server-sent event has more than {self._max_event} characters")

    def _on_line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_size += len(value) + 1
            self._line_size = 0
            self._check_size()
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value[:9])  # eleven days; more would be a slip, or mischief
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        """At an empty line. The id holds from now on even where there is no data."""
        self.last_id = self._id
        data, name = self._data, self._event
        self._data, self._event, self._data_size = [], "", 0
        return ServerSentEvent("\n".join(data), name or "message", self.last_id) if data else None
