"""What a server may do wrong in HTTP/2, by section, and how a client takes it (RFC 9113)."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from netlab.errors import RemoteProtocolError
from netlab.proto.http import End, Headers, RequestHead, Reset
from netlab.proto.http2 import ClientCodec
from tests.kit.http2_peer import GET, Encoding, data, faults, raw, settings


def hearing(*, push: bool = False, method: str = "GET") -> ClientCodec:
    client = ClientCodec(push=push)
    client.receive(settings())
    client.send(
        RequestHead(method, "/", Headers((("host", "a.example"),)), client.next_stream()), End(stream=1)
    )
    client.outgoing()
    return client


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ([("x", "y")], b""),
        ([(":status", "20")], b""),
        ([(":status", "101")], b""),
        ([(":status", "200"), (":status", "200")], b""),
        ([(":status", "200"), (":path", "/")], b""),
        ([(":status", "200"), ("Upper", "x")], b""),
        ([(":status", "200"), ("connection", "close")], b""),
        ([(":status", "200"), ("content-length", "3")], data(1, b"four")),
        ([(":status", "204")], data(1, b"x")),
        ([(":status", "103")], data(1, b"x")),
    ],
)
def test_8_a_malformed_response(fields: list[tuple[str, str]], body: bytes) -> None:
    client = hearing()
    events = client.receive(Encoding().headers(1, fields, ends=not body) + body)
    assert events[-1] == Reset(ErrorCodes.PROTOCOL_ERROR, 1)
    assert faults(client.outgoing()) == [("reset", 1, 1)]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_content_length_of_a_response_without_a_body(method: str) -> None:
    client = hearing(method=method)
    status = "200" if method == "HEAD" else "304"
    events = client.receive(Encoding().headers(1, [(":status", status), ("content-length", "1000")]))
    assert events[-1] == End(stream=1)


@pytest.mark.parametrize(
    "said",
    [
        raw(5, 4, 1, b"\0\0\0\x02\x82"),
        settings(ENABLE_PUSH=1),
        Encoding().headers(2, [(":status", "200")]),
        Encoding().headers(3, [(":status", "200")]),
        raw(0x10, 0, 0, b"\0\0\0\1"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=[
        "8.4 a push that is off",
        "6.5.2 ENABLE_PUSH",
        "5.1 idle",
        "5.1 idle of ours",
        "RFC 9218 7.1",
        "3.4",
    ],
)
def test_a_server_that_breaks_the_connection(said: bytes) -> None:
    client = hearing()
    with pytest.raises(RemoteProtocolError):
        client.receive(said)
    assert faults(client.outgoing())[0][0] == "goaway"


@pytest.mark.parametrize(
    ("method", "promised", "of_stream"), [("POST", 2, True), ("GET", 3, False), ("GET", 0, False)]
)
def test_8_4_1_a_promise_that_may_not_be(method: str, promised: int, of_stream: bool) -> None:
    client = hearing(push=True)
    block = Encoding().encoder.encode([(":method", method), *GET[1:]])
    said = raw(5, 4, 1, promised.to_bytes(4, "big") + block)
    if of_stream:
        assert client.receive(said) == []
        assert faults(client.outgoing()) == [("reset", 1, promised)]
    else:
        with pytest.raises(RemoteProtocolError):
            client.receive(said)


def test_10_5_more_promises_than_streams_are_refused() -> None:
    client = hearing(push=True)
    block = Encoding().encoder.encode(GET)
    client.receive(raw(5, 4, 1, (2).to_bytes(4, "big") + block))
    said = b"".join(
        raw(5, 4, 1, number.to_bytes(4, "big") + b"\x82\x86\x84\xbe") for number in range(4, 210, 2)
    )
    assert len(client.receive(said)) == 99
    refused = [(code, stream) for _, code, stream in faults(client.outgoing())]
    assert refused == [(7, stream) for stream in (202, 204, 206, 208)]
