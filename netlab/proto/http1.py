"""HTTP/1.1 (RFC 9112): bytes ⇄ the words of `proto.http`.

`ServerCodec` and `ClientCodec` are one end of a connection. `RequestParser` and `ResponseParser` read
one direction of a connection that was captured, and never send.

The parser is our own. Measured on a GET with four fields (Python 3.11): this one 3 µs, httptools 3 µs,
h11 18 µs. httptools has no limits on heads, says neither how much it consumed nor that a request line was
HTTP/0.9's, can't be told that a response is to HEAD, and goes on into the next pipelined message.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import assert_never

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
    members,
)
from netlab.proto.http1_body import BodyReader, BodyWriter, reader_of
from netlab.proto.http1_head import (
    CHUNKED,
    MAX_HEAD,
    NO_BODY,
    UNTIL_CLOSE,
    Framing,
    Request,
    check_request_begun,
    head_end,
    parse_request,
    parse_response,
    request_text,
    response_text,
)

__all__ = ["MAX_HEAD", "ClientCodec", "RequestParser", "ResponseParser", "ServerCodec"]

_MAX_INFORMATIONAL = 64  # before one final response: a flood of them is no answer
_UNREAD = RequestHead("GET", "/")  # what an error answers that came before a request was whole
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class _Phase(Enum):
    """Where one direction of a message cycle is."""

    HEAD = "before the head, or between informational ones"
    BODY = "the head is through"
    DONE = "the message is whole"
    SWITCHED = "another protocol has begun"


class _Codec:
    """One end of a connection, one message cycle after another."""

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._buffer = b""
        self._ended = False  # the peer sends no more
        self._theirs = _Phase.HEAD
        self._ours = _Phase.HEAD
        self._reader: BodyReader | None = None
        self._writer = BodyWriter(NO_BODY)
        self._keep_alive = True

    def receive(self, data: bytes) -> list[HttpEvent]:
        """Events of the peer's bytes; b"" says that it sends no more.

        Bytes past the end of the message are kept until `next_cycle`.
        Raises RemoteProtocolError with the status to answer with.
        """
        if data:
            self._buffer = self._buffer + data if self._buffer else data
        else:
            self._ended = True
        return self._events()

    def _events(self) -> list[HttpEvent]:
        events: list[HttpEvent] = []
        while self._theirs is _Phase.HEAD and self._buffer:
            if not self._read_head(events):
                break
        if self._reader is not None and not self._reader.done:
            self._buffer = self._reader.read(self._buffer, events)
            if self._ended and not self._reader.done:
                self._reader.ended(events)
            if self._reader.done:
                self._theirs = _Phase.DONE
        elif self._ended and self._theirs is _Phase.HEAD:
            self._ended_early()
        return events

    @abstractmethod
    def _read_head(self, events: list[HttpEvent]) -> bool:
        """False where it has not come whole."""

    @abstractmethod
    def _ended_early(self) -> None:
        """The connection ended where a head was due."""

    def _cut_head(self) -> str:
        """A whole head's text up to its empty line; "" before."""
        end = head_end(self._buffer, self._max_head, "the head")
        text = self._buffer[: end - 2].decode("latin-1") if end else ""
        self._buffer = self._buffer[end:]
        return text

    def _receive_body(self, framing: Framing) -> None:
        self._theirs = _Phase.BODY
        self._reader = reader_of(framing, self._max_head)

    @abstractmethod
    def send(self, event: HttpEvent) -> bytes:
        """The bytes to write. Raises LocalProtocolError where the event may not come now."""

    def _send_part(self, event: HttpEvent) -> bytes:
        match event:
            case Data() if self._ours is _Phase.BODY:
                return self._writer.data(event.data)
            case End() if self._ours is _Phase.BODY:
                self._ours = _Phase.DONE
                return self._writer.end(event.trailers)
            case Reset() | GoAway() | Promise():
                raise LocalProtocolError(f"HTTP/1.1 has no {type(event).__name__}; close the connection")
            case RequestHead() | ResponseHead() | Data() | End():
                raise LocalProtocolError(f"{type(event).__name__} where our side is {self._ours.value}")
            case _:
                assert_never(event)

    def buffered(self) -> int:
        """Bytes received that have not become events."""
        return len(self._buffer)

    def trailing(self) -> bytes:
        """What came after the end of the message, or after a switch of protocols."""
        return self._buffer

    @property
    def keep_alive(self) -> bool:
        """Neither side has said that the connection ends after this cycle."""
        return self._keep_alive

    @property
    def received(self) -> bool:
        """The peer's message is whole."""
        return self._theirs is _Phase.DONE

    @property
    def sent(self) -> bool:
        """Our message is whole."""
        return self._ours is _Phase.DONE

    @property
    def reusable(self) -> bool:
        """Both messages are whole, and the connection may carry another cycle."""
        return self._keep_alive and self._ours is _Phase.DONE and self._theirs is _Phase.DONE

    def next_cycle(self) -> list[HttpEvent]:
        """Begin the next request on a reusable connection: events of bytes that have come already."""
        if not self.reusable:
            raise LocalProtocolError("this connection carries no other request")
        self._theirs = self._ours = _Phase.HEAD
        self._reader = None
        return self._events()


class ServerCodec(_Codec):
    """Receives requests, sends responses. `scheme`: of its requests, which don't say it themselves."""

    def __init__(self, max_head: int = MAX_HEAD, scheme: str = "http") -> None:
        super().__init__(max_head)
        self._scheme = scheme
        self._request: Request | None = None
        self._waits = False  # for 100 (Continue)
        self._blank = False  # an empty line came before the request line

    def receive(self, data: bytes) -> list[HttpEvent]:
        if data and self._theirs is _Phase.BODY:
            self._waits = False  # it has waited long enough
        return super().receive(data)

    def _read_head(self, events: list[HttpEvent]) -> bool:
        if not self._blank and self._buffer.startswith(b"\r\n"):
            self._blank = True  # one is passed over (RFC 9112 section 2.2)
            self._buffer = self._buffer[2:]
            return bool(self._buffer)
        if self._buffer.find(b"\r\n\r\n", 0, self._max_head) < 0:
            check_request_begun(self._buffer)
        text = self._cut_head()
        if not text:
            return False
        self._request = request = parse_request(text, self._scheme)
        self._keep_alive = request.keep_alive
        self._waits = request.expects_continue and not request.framing.empty and not self._buffer
        self._receive_body(request.framing)
        events.append(request.head)
        return True

    def _ended_early(self) -> None:
        if self._buffer.strip(b"\r\n"):
            raise RemoteProtocolError("the connection ended within a request's head", 400)

    @property
    def expects_continue(self) -> bool:
        """The client waits for 100 (Continue) before it sends its body."""
        return self._waits

    @property
    def can_answer(self) -> bool:
        """No response has begun, so an error can still be told."""
        return self._ours is _Phase.HEAD

    def send(self, event: HttpEvent) -> bytes:
        if not isinstance(event, ResponseHead):
            return self._send_part(event)
        if self._ours is not _Phase.HEAD:
            raise LocalProtocolError(f"a response head where our side is {self._ours.value}")
        if event.informational:
            return self._send_informational(event)
        # A client that waited for 100 may send its body yet, or not: nobody could tell (RFC 9110 10.1.1).
        self._keep_alive = self._keep_alive and self._request is not None and not self._waits
        self._waits = False
        request = self._request.head if self._request is not None else _UNREAD
        data, framing, self._keep_alive = _response(
            event, request.method == "HEAD", request.version, self._keep_alive
        )
        self._writer = BodyWriter(framing)
        self._ours = _Phase.BODY
        return data

    def _send_informational(self, event: ResponseHead) -> bytes:
        request = self._request
        if request is None or request.head.version == "1.0":
            return b""  # RFC 9110 section 15.2
        if event.status == 101:
            if not request.head.protocol or self._theirs is not _Phase.DONE:
                raise LocalProtocolError("101 (Switching Protocols) that nobody asked for, or within a body")
            self._ours = self._theirs = _Phase.SWITCHED
        self._waits = False
        return _response_bytes(event, event.headers)

    def next_cycle(self) -> list[HttpEvent]:
        self._request = None
        self._blank = False
        return super().next_cycle()


@lru_cache(maxsize=256)  # a server's responses are much alike within a second, their Date included
def _response(
    event: ResponseHead, bodiless: bool, version: str, keep_alive: bool
) -> tuple[bytes, Framing, bool]:
    """The head's bytes, how the body is cut (RFC 9112 sections 6.1 to 6.3), and whether the connection may go
    on. `bodiless`: the request was HEAD; `version`: the request's; `keep_alive`: as it was until now."""
    headers = event.headers
    given = {name.lower(): value for name, value in headers}
    if "transfer-encoding" in given:
        headers = headers.without("transfer-encoding", "content-length")
        given.pop("content-length", "")
    if bodiless or event.status in {204, 304}:
        framing = NO_BODY
        headers = headers.without("content-length") if event.status == 204 else headers
    elif "content-length" in given:
        framing = Framing(length=_our_length(headers, given["content-length"]))
    elif version == "1.0":
        framing, keep_alive = UNTIL_CLOSE, False
    else:
        framing, headers = CHUNKED, headers.plus("Transfer-Encoding", "chunked")
    if "connection" in given and _closes(headers):
        keep_alive = False  # RFC 9112 sections 9.3 and 9.6
    elif not keep_alive:
        headers = headers.plus("Connection", "close")
    elif version == "1.0":
        headers = headers.plus("Connection", "keep-alive")
    return _response_bytes(event, headers), framing, keep_alive


def _response_bytes(event: ResponseHead, headers: Headers) -> bytes:
    """With the usual reason phrase (RFC 9110 section 15), for people who read a capture."""
    return response_text(event.status, event.reason or _PHRASES.get(event.status, ""), headers)


def _our_length(headers: Headers, value: str) -> int:
    """`value`: of the last field of that name."""
    count = sum(len(name) == 14 and name.lower() == "content-length" for name, _ in headers)
    if count != 1 or not (value.isascii() and value.isdigit()):
        raise LocalProtocolError(f"Content-Length: {headers.get('content-length')}")
    return int(value)


def _closes(headers: Headers) -> bool:
    return "close" in (token.lower() for token in members(headers.get("connection")))


class ClientCodec(_Codec):
    """Sends requests, receives responses."""

    def __init__(self, max_head: int = MAX_HEAD) -> None:
        super().__init__(max_head)
        self._method = ""
        self._upgrade = False
        self._informational = 0

    def send(self, event: HttpEvent) -> bytes:
        if not isinstance(event, RequestHead):
            return self._send_part(event)
        if self._ours is not _Phase.HEAD:
            raise LocalProtocolError(f"a request where our side is {self._ours.value}")
        headers = event.headers
        if len(headers.all("host")) != 1:
            raise LocalProtocolError(f"a request has one Host field: {headers}")
        data = request_text(event, headers)
        self._writer = BodyWriter(_request_framing(headers))
        self._method = event.method
        self._upgrade = headers.has("upgrade")
        self._informational = 0
        self._keep_alive = not _closes(headers)
        self._ours = _Phase.BODY
        return data

    def _read_head(self, events: list[HttpEvent]) -> bool:
        if self._ours is _Phase.HEAD:
            raise RemoteProtocolError("bytes that nobody asked for")
        text = self._cut_head()
        if not text:
            return False
        start = parse_response(text)
        events.append(start.head)
        if start.head.informational:
            self._count_informational(start.head.status)
            return True
        self._keep_alive = self._keep_alive and start.keep_alive
        self._receive_body(self._framing(start.chunked, start.length))
        return True

    def _framing(self, chunked: bool, length: int | None) -> Framing:
        if self._method == "HEAD":
            return NO_BODY
        if chunked:
            return CHUNKED
        if length is None:
            self._keep_alive = False
            return UNTIL_CLOSE
        return Framing(length=length)

    def _count_informational(self, status: int) -> None:
        self._informational += 1
        if self._informational > _MAX_INFORMATIONAL:
            raise RemoteProtocolError(f"more than {_MAX_INFORMATIONAL} informational responses")
        if status == 101:
            if not self._upgrade or self._ours is not _Phase.DONE:
                raise RemoteProtocolError("101 (Switching Protocols) that nobody asked for")
            self._ours = self._theirs = _Phase.SWITCHED

    def _ended_early(self) -> None:
        if self._ours is not _Phase.HEAD:
            raise RemoteProtocolError("the connection ended before a response")


def _request_framing(headers: Headers) -> Framing:
    if headers.has("transfer-encoding"):
        if headers.has("content-length") or headers.get("transfer-encoding").lower() != "chunked":
            raise LocalProtocolError(f"a request is chunked, or has a length: {headers}")
        return CHUNKED
    length = headers.get("content-length")
    return Framing(length=_our_length(headers, length)) if headers.has("content-length") else NO_BODY


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
        fields = (("host", "captured"), ("upgrade", "whatever the request asked for"))
        codec.send(RequestHead(method, "/", Headers(fields)))
        codec.send(End())
        return codec


def _whole(events: list[HttpEvent]) -> bool:
    return bool(events) and isinstance(events[-1], End)
