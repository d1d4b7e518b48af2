"""HTTP/1.1 bodies both ways: framing, chunks, trailers, and what breaks them."""

from __future__ import annotations

import pytest

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.http import Data, End, Headers, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import ClientCodec, ServerCodec
from tests.kit.feed3 import bytewise, feed3

CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
GET10 = b"GET / HTTP/1.0\r\n\r\n"


def whole(events: list[HttpEvent]) -> tuple[bytes, object]:
    """The body, and the last event."""
    return b"".join(event.data for event in events if isinstance(event, Data)), events[-1]


@pytest.mark.parametrize(
    ("chunks", "body", "trailers"),
    [
        (b"0\r\n\r\n", b"", ()),
        (b"00000000005\r\nhello\r\n000\r\n\r\n", b"hello", ()),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, ()),
        (b'5;a;b=c ; d="\\"\xe4;"\r\nhello\r\n0;x\r\n\r\n', b"hello", ()),
        (b"5\r\nhello\r\n0\r\nA: 1\r\nb:2\r\n\r\n", b"hello", (("A", "1"), ("b", "2"))),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", ()),
    ],
    ids=["empty", "zeros", "hexadecimal", "extensions", "trailers", "CRLF as data"],
)
def test_chunks(chunks: bytes, body: bytes, trailers: tuple[tuple[str, str], ...]) -> None:
    events = feed3(ServerCodec, CHUNKED + chunks, whole, trailing=GET)
    assert whole(events) == (body, End(Headers(trailers)))


BAD_CHUNKS = {
    "no size": b"\r\nhello\r\n",
    "no hexadecimal": b"g\r\n",
    "signed": b"+5\r\nhello\r\n",
    "negative": b"-5\r\nhello\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "underscore": b"1_0\r\n",
    "overflow": b"FFFFFFFFFFFFFFFFF\r\n",
    "space before": b" 5\r\nhello\r\n",
    "space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "bare LF": b"5\nhello\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "NUL in an extension": b"5;a\0b\r\nhello\r\n",
    "empty extension": b"5;\r\nhello\r\n",
    "endless extension": b"5;" + b"a" * 300,
    "endless extensions": b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n" * 500,
    "longer data": b"3\r\nhello\r\n",
    "shorter data": b"7\r\nhello\r\n0\r\n\r\n",
    "LF behind data": b"5\r\nhello\n0\r\n\r\n",
    "Content-Length in trailers": b"0\r\nContent-Length: 5\r\n\r\n",
    "Transfer-Encoding in trailers": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Host in trailers": b"0\r\nHost: h\r\n\r\n",
    "folded trailer": b"0\r\nA: 1\r\n b\r\n\r\n",
    "bare LF in trailers": b"0\r\nA: 1\n\r\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_chunks_that_are_refused(chunks: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        ServerCodec().receive(CHUNKED + chunks)
    assert caught.value.status == 400, caught.value
    codec = ServerCodec()
    codec.receive(CHUNKED)
    with pytest.raises(RemoteProtocolError):
        bytewise(codec, chunks)


def test_trailers_have_a_limit() -> None:
    codec = ServerCodec()
    codec.receive(CHUNKED)
    with pytest.raises(RemoteProtocolError) as caught:
        codec.receive(b"0\r\nX: " + b"a" * 17_000)
    assert caught.value.status == 431


@pytest.mark.parametrize("data", [CHUNKED + b"5\r\nhel", GET[:-2] + b"Content-Length: 5\r\n\r\nhel"])
def test_a_body_that_is_cut_is_no_end(data: bytes) -> None:
    codec = ServerCodec()
    codec.receive(data)
    with pytest.raises(RemoteProtocolError):
        codec.receive(b"")


def test_a_body_is_passed_on_before_it_is_whole() -> None:
    codec = ServerCodec()
    codec.receive(CHUNKED)
    assert codec.receive(b"FFFFFFFFFFFFFFF\r\nhello") == [Data(b"hello")]
    assert codec.buffered() == 0


def answered(request: bytes, head: ResponseHead, *parts: HttpEvent) -> tuple[bytes, bool]:
    """What the server sends, and whether the connection goes on."""
    codec = ServerCodec()
    codec.receive(request)
    return b"".join(codec.send(event) for event in (head, *parts)), codec.reusable


def length(size: int, *more: tuple[str, str]) -> Headers:
    return Headers((*more, ("Content-Length", str(size))))


HI = (Data(b"hi"), End())
CODED = b"Transfer-Encoding: chunked\r\n\r\n"
KEPT10 = GET10[:-2] + b"Connection: keep-alive\r\n\r\n"
CLOSING = GET[:-2] + b"Connection: close\r\n\r\n"
TAG = Headers((("ETag", "a"),))
ODD = Headers((("content-length", "9"), ("ETag", "a")))
FRAMED: dict[str, tuple[bytes, ResponseHead, tuple[HttpEvent, ...], bytes, bool]] = {
    "chunked": (GET, ResponseHead(200), HI, CODED + b"2\r\nhi\r\n0\r\n\r\n", True),
    "trailers": (GET, ResponseHead(200), (End(TAG),), CODED + b"0\r\nETag: a\r\n\r\n", True),
    "trailers that frame": (GET, ResponseHead(200), (End(ODD),), CODED + b"0\r\nETag: a\r\n\r\n", True),
    "length": (GET, ResponseHead(200, length(2)), HI, b"OK\r\nContent-Length: 2\r\n\r\nhi", True),
    "1.0": (GET10, ResponseHead(200), HI, b"OK\r\nConnection: close\r\n\r\nhi", False),
    "1.0 kept": (KEPT10, ResponseHead(200, length(2)), HI, b"\r\nConnection: keep-alive\r\n\r\nhi", True),
    "asked": (CLOSING, ResponseHead(200, length(2)), HI, b"\r\nConnection: close\r\n\r\nhi", False),
    "said": (
        GET,
        ResponseHead(200, length(2, ("Connection", "close"))),
        HI,
        b"OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        False,
    ),
    "HEAD": (HEAD, ResponseHead(200, length(9)), (End(),), b"Content-Length: 9\r\n\r\n", True),
    "204": (GET, ResponseHead(204, length(0)), (End(),), b"204 No Content\r\n\r\n", True),
    "304": (GET, ResponseHead(304, TAG), (End(),), b"Modified\r\nETag: a\r\n\r\n", True),
}


@pytest.mark.parametrize(("request_", "head", "parts", "wanted", "goes_on"), FRAMED.values(), ids=FRAMED)
def test_how_a_response_is_framed(
    request_: bytes, head: ResponseHead, parts: tuple[HttpEvent, ...], wanted: bytes, goes_on: bool
) -> None:
    data, reusable = answered(request_, head, *parts)
    assert data.startswith(b"HTTP/1.1 "), data
    assert data.endswith(wanted), data
    assert reusable == goes_on


@pytest.mark.parametrize("body", [b"hello", b"hell"])
def test_a_body_is_as_long_as_its_head_says(body: bytes) -> None:
    head = ResponseHead(200, Headers((("Content-Length", "4"),)))
    with pytest.raises(LocalProtocolError):
        answered(GET, head, Data(body), Data(b"o"))
    with pytest.raises(LocalProtocolError):
        answered(GET, head, Data(body[:3]), End())


def test_a_client_that_waits_for_100_closes_without_it() -> None:
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    codec = ServerCodec()
    codec.receive(request)
    assert codec.expects_continue
    assert codec.send(ResponseHead(100)) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not codec.expects_continue
    codec = ServerCodec()
    codec.receive(request)
    assert b"Connection: close" in codec.send(ResponseHead(417, Headers((("Content-Length", "0"),))))
    codec = ServerCodec()
    codec.receive(request + b"hello")
    assert not codec.expects_continue, "its body is here"


def test_100_is_nothing_for_http_1_0() -> None:
    codec = ServerCodec()
    codec.receive(b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert not codec.expects_continue
    assert codec.send(ResponseHead(103)) == b""


def test_a_switch_of_protocols_keeps_the_bytes_behind_it() -> None:
    server = ServerCodec()
    server.receive(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
    assert server.send(ResponseHead(101)).startswith(b"HTTP/1.1 101 ")
    assert server.trailing() == b"early"
    assert server.receive(b"more") == []
    assert server.trailing() == b"earlymore"
    with pytest.raises(LocalProtocolError):
        answered(GET, ResponseHead(101))
    client = ClientCodec()
    client.send(RequestHead("GET", "/", Headers((("Host", "h"), ("Upgrade", "websocket")))))
    client.send(End())
    assert len(client.receive(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nearly")) == 1
    assert client.trailing() == b"early"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("Host", "a"), ("Host", "b")),
        (("Host", "h"), ("Content-Length", "1"), ("Transfer-Encoding", "chunked")),
        (("Host", "h"), ("Content-Length", "x")),
        (("Host", "h"), ("A B", "1")),
        (("Host", "h"), ("A", "1\r\nB: 2")),
        (("Host", "h"), ("A", "1\0")),
        (("Host", "h"), ("A", "€")),
    ],
)
def test_a_client_sends_no_request_that_others_would_refuse(fields: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(LocalProtocolError):
        ClientCodec().send(RequestHead("POST", "/", Headers(fields)))


def test_a_client_frames_its_body() -> None:
    codec = ClientCodec()
    fields = (("Host", "h"), ("Transfer-Encoding", "chunked"))
    codec.send(RequestHead("POST", "/", Headers(fields)))
    assert codec.send(Data(b"hello")) == b"5\r\nhello\r\n"
    assert codec.send(Data(b"")) == b"", "an empty chunk would be the end"
    assert codec.send(End(Headers((("T", "1"),)))) == b"0\r\nT: 1\r\n\r\n"
    bare = ClientCodec()
    bare.send(RequestHead("POST", "/", Headers((("Host", "h"),))))
    with pytest.raises(LocalProtocolError):
        bare.send(Data(b"x"))
