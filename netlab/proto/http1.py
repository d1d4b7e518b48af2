"""HTTP/1.1 (RFC 9112), over h11: bytes ⇄ the words of `proto.http`.

`ServerCodec` and `ClientCodec` are one end of a connection. `RequestParser` and `ResponseParser` read
one direction of a connection that was captured, and never send.
"""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import Any

import h11

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.http import (
    Data,
    End,
    GoAway,
    Headers,
    HttpEvent,
    Promise,
    RequestHead,
    Reset,
    ResponseHead,
)

MAX_HEAD = 16 * 1024


def _phrase(status: int) -> str:
    """The usual reason phrase (RFC 9110 section 15), for people who read a capture; "" for an unknown one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _text(value: bytes) -> str:
    return bytes(value).decode("latin-1")


def _fields(headers: Any) -> Headers:
    return Headers((_text(name), _text(value)) for name, value in headers.raw_items())


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def _from_h11(event: Any) -> HttpEvent | None:
    """None for what ends no message: the end of the connection."""
    match event:
        case h11.Request():
            version = _text(event.http_version)
            return RequestHead(
                _text(event.method), _text(event.target), _fields(event.headers), version=version
            )
        case h11.InformationalResponse() | h11.Response():
            version = _text(event.http_version)
            reason = _text(event.reason)
            return ResponseHead(event.status_code, _fields(event.headers), reason, version=version)
        case h11.Data():
            return Data(bytes(event.data))
        case h11.EndOfMessage():
            return End(_fields(event.headers))
        case _:
            return None


def _to_h11(event: HttpEvent) -> Any:
    match event:
        case RequestHead():
            return h11.Request(
                method=event.method.encode("ascii"),
                target=event.target.encode("ascii"),
                headers=_raw(event.headers),
            )
        case ResponseHead():
            kind = h11.InformationalResponse if event.informational else h11.Response
            reason = (event.reason or _phrase(event.status)).encode("latin-1")
            return kind(status_code=event.status, headers=_raw(event.headers), reason=reason)
        case Data():
            return h11.Data(data=event.data)
        case End():
            return h11.EndOfMessage(headers=_raw(event.trailers))
        case Reset() | GoAway() | Promise():
            raise LocalProtocolError(f"HTTP/1.1 has no {type(event).__name__}; close the connection")


class _Codec:
    """One end of a connection, one message cycle after another."""

    def __init__(self, role: Any, max_head: int) -> None:
        self._connection = h11.Connection(role, max_incomplete_event_size=max_head)

    def receive(self, data: bytes) -> list[HttpEvent]:
        """Events of the peer's bytes; b"" says that it sends no more.

        Bytes past the end of the message are kept until `next_cycle`.
        Raises RemoteProtocolError with the status to answer with.
        """
        try:
            self._connection.receive_data(data)
            return self._events()
        except h11.RemoteProtocolError as error:
            raise RemoteProtocolError(str(error), error.error_status_hint) from error

    def _events(self) -> list[HttpEvent]:
        events: list[HttpEvent] = []
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return events
            ours = _from_h11(event)
            if ours is None:
                return events
            events.append(ours)

    def send(self, event: HttpEvent) -> bytes:
        """The bytes to write. Raises LocalProtocolError where the event may not come now."""
        try:
            return self._connection.send(_to_h11(event)) or b""
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise LocalProtocolError(f"{error}, sending {event}") from error

    def buffered(self) -> int:
        """Bytes received that have not become events."""
        return len(self._connection.trailing_data[0])

    def trailing(self) -> bytes:
        """What came after the end of the message, or after a switch of protocols."""
        return bytes(self._connection.trailing_data[0])

    @property
    def reusable(self) -> bool:
        """Both messages are whole, and the connection may carry another cycle."""
        connection = self._connection
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def next_cycle(self) -> list[HttpEvent]:
        """Begin the next request on a reusable connection: events of bytes that have come already."""
        try:
            self._connection.start_next_cycle()
            return self._events()
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        except h11.RemoteProtocolError as error:
            raise RemoteProtocolError(str(error), error.error_status_hint) from error


class ServerCodec(_Codec):
    """Receives requests, sends responses."""

    def __init__(self, max_head: int = MAX_HEAD) -> None:
        super().__init__(h11.SERVER, max_head)

    @property
    def expects_continue(self) -> bool:
        """The client waits for 100 (Continue) before it sends its body."""
        return bool(self._connection.they_are_waiting_for_100_continue)

    @property
    def can_answer(self) -> bool:
        """No response has begun, so an error can still be told."""
        return self._connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}


class ClientCodec(_Codec):
    """Sends requests, receives responses."""

    def __init__(self, max_head: int = MAX_HEAD) -> None:
        super().__init__(h11.CLIENT, max_head)


class RequestParser:
    """The client's direction of a captured connection: request after request."""

    def __init__(self, max_head: int = MAX_HEAD) -> None:
        self._max_head = max_head
        self._codec = ServerCodec(max_head)

    def receive(self, data: bytes) -> list[HttpEvent]:
        """Events of the parts that are whole; b"" is the end. Raises RemoteProtocolError."""
        events = self._codec.receive(data)
        found = list(events)
        while _whole(events):
            rest = self._codec.trailing()
            self._codec = ServerCodec(self._max_head)
            events = self._codec.receive(rest) if rest else []
            found += events
        return found

    def buffered(self) -> int:
        """Bytes received that have not become events."""
        return self._codec.buffered()


class ResponseParser:
    """The server's direction of a captured connection.

    Where a response ends depends on its request's method, so tell each request by `expect` before its
    response comes. A response that nobody expected is read as one to a GET.
    """

    def __init__(self, max_head: int = MAX_HEAD) -> None:
        self._max_head = max_head
        self._methods: deque[str] = deque()
        self._codec: ClientCodec | None = None

    def expect(self, method: str) -> None:
        """A request with this method was sent."""
        self._methods.append(method)

    def receive(self, data: bytes) -> list[HttpEvent]:
        """Events of the parts that are whole; b"" is the end. Raises RemoteProtocolError."""
        found: list[HttpEvent] = []
        while data or self._codec is not None:
            if self._codec is None:
                self._codec = self._reader()
            events = self._codec.receive(data)
            found += events
            if not _whole(events):
                break
            data = self._codec.trailing()
            self._codec = None
        return found

    def buffered(self) -> int:
        """Bytes received that have not become events."""
        return self._codec.buffered() if self._codec is not None else 0

    def _reader(self) -> ClientCodec:
        codec = ClientCodec(self._max_head)
        method = self._methods.popleft() if self._methods else "GET"
        codec.send(RequestHead(method, "/", Headers((("host", "captured"),))))
        codec.send(End())
        return codec


def _whole(events: list[HttpEvent]) -> bool:
    return bool(events) and isinstance(events[-1], End)
