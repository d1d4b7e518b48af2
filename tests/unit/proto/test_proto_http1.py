"""HTTP/1.1 codec and parsers: fed whole, byte by byte, with trailing bytes, and with nonsense."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.http import (
    Data,
    End,
    GoAway,
    Headers,
    HttpEvent,
    RequestHead,
    ResponseHead,
    end_to_end,
    members,
)
from netlab.proto.http1 import ClientCodec, RequestParser, ResponseParser, ServerCodec
from tests.kit.feed3 import feed3

GET = b"GET /user/42?q=1 HTTP/1.1\r\nHost: api.example.com\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
POST = (
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 5\r\n\r\n'


def joined(events: list[HttpEvent]) -> list[object]:
    """Data that follows data becomes one."""
    found: list[object] = []
    for event in events:
        if isinstance(event, Data) and found and isinstance(found[-1], bytes):
            found[-1] += event.data
        else:
            found.append(event.data if isinstance(event, Data) else event)
    return found


def client(method: str = "GET") -> ClientCodec:
    codec = ClientCodec()
    codec.send(RequestHead(method, "/", Headers((("Host", "h"),))))
    codec.send(End())
    return codec


def test_a_server_reads_a_request_and_keeps_the_next_one() -> None:
    head, end = feed3(ServerCodec, GET, joined, trailing=GET)
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.path) == ("GET", "/user/42?q=1", "/user/42")
    assert (head.authority, head.headers.get("X-a")) == ("api.example.com", "1, 2")
    assert head.headers == (("Host", "api.example.com"), ("X-A", "1"), ("x-a", "2"))
    assert end == End()


def test_a_chunked_body_and_its_trailer() -> None:
    events = feed3(ServerCodec, POST, joined, trailing=GET)
    assert joined(events)[1:] == [b"abcde", End(Headers((("T", "1"),)))]


@pytest.mark.parametrize(("method", "data", "body"), [("GET", OK, b"hello"), ("GET", NOT_MODIFIED, b"")])
def test_a_client_reads_a_response(method: str, data: bytes, body: bytes) -> None:
    events = feed3(lambda: client(method), data, joined, trailing=OK)
    assert b"".join(event.data for event in events if isinstance(event, Data)) == body
    assert events[-1] == End()


def test_a_response_to_head_has_no_body() -> None:
    events = client("HEAD").receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert [type(event) for event in events] == [ResponseHead, End]


def test_a_response_may_end_with_the_connection() -> None:
    codec = client()
    assert joined(codec.receive(b"HTTP/1.1 200 OK\r\n\r\nhel"))[1:] == [b"hel"]
    assert codec.receive(b"") == [End()]
    assert not codec.reusable


def test_cycles_on_one_connection() -> None:
    codec = ServerCodec()
    codec.receive(GET + GET)
    head = codec.send(ResponseHead(200, Headers((("Content-Length", "2"),)), "OK"))
    assert head + codec.send(Data(b"hi")) + codec.send(End()) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert codec.reusable
    assert [type(event) for event in codec.next_cycle()] == [RequestHead, End]
    with pytest.raises(LocalProtocolError):
        codec.next_cycle()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 3 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000, 431),
    ],
)
def test_a_request_that_breaks_the_protocol_says_the_status(data: bytes, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        ServerCodec().receive(data)
    assert caught.value.status == status, caught.value


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (ResponseHead(200), b"HTTP/1.1 200 OK"),
        (ResponseHead(404, reason="No such user"), b"HTTP/1.1 404 No such user"),
        (ResponseHead(499), b"HTTP/1.1 499 "),
    ],
)
def test_a_status_has_its_usual_phrase_unless_it_has_one(head: ResponseHead, line: bytes) -> None:
    codec = ServerCodec()
    codec.receive(GET)
    assert codec.send(head).splitlines()[0] == line


def test_what_we_may_not_send() -> None:
    codec = ServerCodec()
    for event in (Data(b"x"), GoAway(), RequestHead("GET", "/")):
        with pytest.raises(LocalProtocolError):
            codec.send(event)
    with pytest.raises(LocalProtocolError):
        ClientCodec().send(RequestHead("GET", "/", Headers((("Host", "h"), ("X", "a\r\nB: c")))))
    with pytest.raises(LocalProtocolError):
        ClientCodec().send(RequestHead("GET", "/ü", Headers((("Host", "h"),))))


def test_a_captured_stream_of_requests() -> None:
    events = feed3(RequestParser, GET + POST + GET, joined)
    heads = [event.method for event in events if isinstance(event, RequestHead)]
    assert heads == ["GET", "POST", "GET"]
    assert sum(isinstance(event, End) for event in events) == 3


def test_a_captured_stream_of_responses_needs_the_methods() -> None:
    def parser() -> ResponseParser:
        made = ResponseParser()
        for method in ("GET", "HEAD", "GET"):
            made.expect(method)
        return made

    head_only = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    events = feed3(parser, OK + head_only + early + NOT_MODIFIED, joined)
    assert [event.status for event in events if isinstance(event, ResponseHead)] == [200, 200, 103, 304]
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"hello"
    made = parser()
    made.receive(b"HTTP/1.1 200 OK\r\n\r\nrest")
    assert made.receive(b"") == [End()]
    assert made.receive(b"") == []


def test_a_capture_that_stops_in_a_message() -> None:
    parser = RequestParser()
    assert parser.receive(GET[:20]) == []
    assert parser.buffered() == 20
    with pytest.raises(RemoteProtocolError):
        parser.receive(b"")


@given(st.binary(max_size=200), st.integers(0, len(POST)))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    for make in (ServerCodec, RequestParser, ResponseParser, client):
        codec = make()
        with contextlib.suppress(RemoteProtocolError):
            codec.receive(POST[:at] + noise)
            codec.receive(b"")


def test_members_leave_quoted_commas_alone() -> None:
    assert members('a, "b, c" ,, d="x\\",y"') == ["a", '"b, c"', 'd="x\\",y"']
    assert members(" , ") == []


def test_end_to_end_drops_what_belongs_to_one_connection() -> None:
    headers = Headers(
        (("Connection", "close, X-Hop"), ("x-hop", "1"), ("TE", "x"), ("Upgrade", "h2c"), ("A", "1"))
    )
    assert end_to_end(headers) == (("A", "1"),)


def test_headers_are_replaced_in_place() -> None:
    headers = Headers((("A", "1"), ("B", "2"), ("a", "3")))
    assert headers.having("a", "9") == (("A", "9"), ("B", "2"))
    assert headers.having("C", "9") == (("A", "1"), ("B", "2"), ("a", "3"), ("C", "9"))
    assert headers.without("A") == (("B", "2"),)
