"""HTTP/1.1 heads on which two parsers could disagree, or that cost too much: each has its status."""

from __future__ import annotations

import pytest

from netlab.errors import RemoteProtocolError
from netlab.proto.http import End, Headers, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import ClientCodec, ServerCodec
from tests.kit.feed3 import bytewise, feed3

HOST = b"Host: h\r\n"


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


BAD = {
    # RFC 9112 section 6.1 and 6.3, RFC 9110 section 8.6: where does the body end?
    "CL.TE": (get(b"Content-Length: 6", b"Transfer-Encoding: chunked"), 400),
    "TE.CL": (get(b"Transfer-Encoding: chunked", b"Content-Length: 6"), 400),
    "TE.TE": (get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 400),
    "TE twice": (get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "TE chunked not last": (get(b"Transfer-Encoding: chunked, gzip"), 400),
    "TE empty": (get(b"Transfer-Encoding:"), 400),
    "TE unknown": (get(b"Transfer-Encoding: xchunked"), 501),
    "TE behind a comma": (get(b"Transfer-Encoding: , chunked"), 501),
    "TE with a parameter": (get(b"Transfer-Encoding: chunked;q=1"), 501),
    "TE before chunked": (get(b"Transfer-Encoding: gzip, chunked"), 501),
    "TE quoted": (get(b'Transfer-Encoding: "chunked"'), 501),
    "TE with vertical tab": (get(b"Transfer-Encoding: \x0bchunked"), 400),
    "TE with no-break space": (get(b"Transfer-Encoding: \xa0chunked"), 501),
    "TE in HTTP/1.0": (get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"), 400),
    "CL differing": (get(b"Content-Length: 1", b"Content-Length: 2"), 400),
    "CL equal": (get(b"Content-Length: 1", b"Content-Length: 1"), 400),
    "CL as a list": (get(b"Content-Length: 1, 1"), 400),
    "CL signed": (get(b"Content-Length: +1"), 400),
    "CL negative": (get(b"Content-Length: -1"), 400),
    "CL hexadecimal": (get(b"Content-Length: 0x1"), 400),
    "CL with underscore": (get(b"Content-Length: 1_0"), 400),
    "CL of other digits": (get("Content-Length: ٣".encode()), 400),
    "CL superscript": (get(b"Content-Length: \xb2"), 400),
    "CL empty": (get(b"Content-Length:"), 400),
    "CL too large": (get(b"Content-Length: " + b"9" * 19), 400),
    # RFC 9112 section 5: field lines
    "folding": (get(b"X: a", b" b"), 400),
    "folding by tab": (get(b"X: a", b"\tb"), 400),
    "folded first": (get(host=b" X: a\r\nHost: h\r\n"), 400),
    "space before colon": (get(b"Content-Length : 1"), 400),
    "tab before colon": (get(b"X\t: 1"), 400),
    "no name": (get(b": 1"), 400),
    "no colon": (get(b"X"), 400),
    "control in a name": (get(b"X\x01: 1"), 400),
    "byte over 127 in a name": (get(b"X\xe4: 1"), 400),
    "NUL in a value": (get(b"X: a\0b"), 400),
    "control in a value": (get(b"X: a\x08b"), 400),
    "DEL in a value": (get(b"X: a\x7fb"), 400),
    "bare CR in a value": (get(b"X: a\rb"), 400),
    "bare LF in a value": (get(b"X: a\nY: b"), 400),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "bare LF after the line": (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
    "bare CR as a line end": (b"GET / HTTP/1.1\rHost: h\r\r", 400),
    # RFC 9112 section 3: the request line
    "HTTP/0.9": (b"GET /\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3.0": (get(line=b"GET / HTTP/3.0"), 505),
    "version in lower case": (get(line=b"GET / http/1.1"), 400),
    "version of more digits": (get(line=b"GET / HTTP/1.10"), 400),
    "two spaces": (get(line=b"GET  / HTTP/1.1"), 400),
    "space in the target": (get(line=b"GET /a b HTTP/1.1"), 400),
    "tab as separator": (get(line=b"GET\t/ HTTP/1.1"), 400),
    "space at the end": (get(line=b"GET / HTTP/1.1 "), 400),
    "space at the start": (get(line=b" GET / HTTP/1.1"), 400),
    "byte over 127 in the target": (get(line=b"GET /\xe4 HTTP/1.1"), 400),
    "NUL in the target": (get(line=b"GET /\0 HTTP/1.1"), 400),
    "fragment": (get(line=b"GET /#a HTTP/1.1"), 400),
    "method of odd characters": (get(line=b"G{T / HTTP/1.1"), 400),
    "endless method": (get(line=b"G" * 40 + b" / HTTP/1.1"), 501),
    "two empty lines before": (b"\r\n\r\n" + get(), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    # RFC 9112 section 3.2: target and Host
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(b"Host: h"), 400),
    "empty Host": (get(host=b"Host:\r\n"), 400),
    "Host with a path": (get(host=b"Host: a/b\r\n"), 400),
    "Host with a user": (get(host=b"Host: u@a\r\n"), 400),
    "Host with a space": (get(host=b"Host: a b\r\n"), 400),
    "Host of a list": (get(host=b"Host: a, b\r\n"), 400),
    "Host with an odd port": (get(host=b"Host: a:b\r\n"), 400),
    "asterisk with GET": (get(line=b"GET * HTTP/1.1"), 400),
    "authority with GET": (get(line=b"GET h:80 HTTP/1.1"), 400),
    "relative target": (get(line=b"GET a/b HTTP/1.1"), 400),
    "another scheme": (get(line=b"GET ftp://h/ HTTP/1.1"), 400),
    "absolute with a user": (get(line=b"GET http://u@h/ HTTP/1.1"), 400),
    "absolute without a host": (get(line=b"GET http:///a HTTP/1.1"), 400),
    "absolute, and no Host": (get(line=b"GET http://h/ HTTP/1.1", host=b""), 400),
    "CONNECT to a path": (get(line=b"CONNECT / HTTP/1.1"), 400),
    "CONNECT to an absolute": (get(line=b"CONNECT http://h/ HTTP/1.1"), 400),
    "CONNECT": (get(line=b"CONNECT h:443 HTTP/1.1"), 501),
    # what costs too much
    "long target": (get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    "endless target": (b"GET /" + b"a" * 9000, 414),
    "long field": (get(b"X: " + b"a" * 17_000), 431),
    "endless field": (b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000, 431),
    "many fields": (get(*[b"X: 1"] * 101), 431),
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, (data, _) in BAD.items()])
def test_a_head_is_refused_whole_and_bytewise(data: bytes) -> None:
    """Bytewise, too, so that no refusal waits for a timeout or depends on how the network cuts."""
    status = next(status for known, status in BAD.values() if known == data)
    with pytest.raises(RemoteProtocolError) as caught:
        ServerCodec().receive(data)
    assert caught.value.status == status, caught.value
    codec = ServerCodec()
    with pytest.raises(RemoteProtocolError) as caught:
        bytewise(codec, data)
    assert caught.value.status == status, caught.value


GOOD = {
    "plain": (get(), ("GET", "/", "h", "1.1")),
    "an empty line before": (b"\r\n" + get(), ("GET", "/", "h", "1.1")),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", ("GET", "/", "", "1.0")),
    "a higher minor version": (get(line=b"GET / HTTP/1.2"), ("GET", "/", "h", "1.1")),
    "absolute": (get(line=b"GET http://other:81/a?b HTTP/1.1"), ("GET", "/a?b", "other:81", "1.1")),
    "absolute without a path": (get(line=b"GET HTTP://other HTTP/1.1"), ("GET", "/", "other", "1.1")),
    "absolute with a query": (get(line=b"GET https://o?q HTTP/1.1"), ("GET", "/?q", "o", "1.1")),
    "asterisk": (get(line=b"OPTIONS * HTTP/1.1"), ("OPTIONS", "*", "h", "1.1")),
    "absolute for asterisk": (get(line=b"OPTIONS http://o HTTP/1.1"), ("OPTIONS", "*", "o", "1.1")),
    "an address": (get(host=b"Host: [2001:db8::1]:80\r\n"), ("GET", "/", "[2001:db8::1]:80", "1.1")),
    "another method": (get(line=b"M-SEARCH / HTTP/1.1"), ("M-SEARCH", "/", "h", "1.1")),
    "odd characters": (get(line=b'GET /a?b=[c]|"{}" HTTP/1.1'), ("GET", '/a?b=[c]|"{}"', "h", "1.1")),
}


@pytest.mark.parametrize(("data", "wanted"), GOOD.values(), ids=GOOD)
def test_a_head_is_read(data: bytes, wanted: tuple[str, ...]) -> None:
    events = feed3(ServerCodec, data, list, trailing=get())
    head = events[0]
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.authority, head.version) == wanted
    assert events[1:] == [End()]


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    events = feed3(ServerCodec, get(b"A:", b"B: \t b \t c\t ", b"C:\xe4"), list)
    assert isinstance(events[0], RequestHead)
    assert events[0].headers[1:] == (("A", ""), ("B", "b \t c"), ("C", "ä"))


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ((b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket"), "websocket"),
        ((b"Upgrade: websocket",), ""),
        ((b"Connection: upgrade",), ""),
        ((b"Connection: upgrade", b"Upgrade: h2c, websocket"), "websocket"),
        ((b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"), ""),
    ],
)
def test_what_upgrade_asks_for(fields: tuple[bytes, ...], protocol: str) -> None:
    (head, _) = ServerCodec().receive(get(*fields))
    assert isinstance(head, RequestHead)
    assert head.protocol == protocol


BAD_RESPONSES = {
    "nonsense": b"nonsense\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "folding": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "informational flood": b"HTTP/1.1 102 Processing\r\n\r\n" * 65,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
}


def client() -> ClientCodec:
    codec = ClientCodec()
    codec.send(RequestHead("GET", "/", Headers((("Host", "h"),))))
    codec.send(End())
    return codec


@pytest.mark.parametrize("data", BAD_RESPONSES.values(), ids=BAD_RESPONSES)
def test_a_response_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        client().receive(data)
    codec = client()
    with pytest.raises(RemoteProtocolError):
        bytewise(codec, data)


def test_a_client_takes_nothing_that_it_did_not_ask_for() -> None:
    with pytest.raises(RemoteProtocolError):
        ClientCodec().receive(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    codec = client()
    codec.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(RemoteProtocolError):
        codec.next_cycle()


def test_informational_responses_come_before_the_final_one() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 \r\n\r\n"
    events: list[HttpEvent] = feed3(client, data, list)
    assert [event.status for event in events if isinstance(event, ResponseHead)] == [100, 103, 204]
    assert events[-1] == End()
