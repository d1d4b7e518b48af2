"""HTTP/2's two codecs against each other, and against h2 as an independent peer (RFC 9113)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, ResponseReceived, StreamReset, TrailersReceived

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
from netlab.proto.http2 import NO_STREAM_YET, ClientCodec, Limits, ServerCodec
from tests.kit.feed3 import feed3
from tests.kit.http2_peer import GET, POST, Encoding, data, opening, parsed, raw, settings

HOST = Headers((("host", "a.example"),))
Heard = tuple[list[HttpEvent], list[HttpEvent]]


def pump(client: ClientCodec, server: ServerCodec) -> Heard:
    """What each side hears until both are quiet: the server, the client."""
    by_server: list[HttpEvent] = []
    by_client: list[HttpEvent] = []
    while True:
        up, down = client.outgoing(), server.outgoing()
        if not up and not down:
            return by_server, by_client
        by_server += server.receive(up) if up else []
        by_client += client.receive(down) if down else []


def pair(*, push: bool = False, limits: Limits | None = None) -> tuple[ClientCodec, ServerCodec]:
    client, server = ClientCodec(push=push), ServerCodec(limits)
    pump(client, server)
    return client, server


def ask(client: ClientCodec, head: RequestHead | None = None, *, ends: bool = True) -> int:
    """Send a request; its stream."""
    stream = client.next_stream()
    head = head or RequestHead("GET", "/", HOST, scheme="http")
    made = RequestHead(head.method, head.target, head.headers, stream, "2", head.scheme, head.protocol)
    client.send(made, *((End(stream=stream),) if ends else ()))
    return stream


def joined(events: list[HttpEvent]) -> object:
    """Events with the parts of each body put together."""
    bodies: dict[int, bytes] = {}
    for event in events:
        if isinstance(event, Data):
            bodies[event.stream] = bodies.get(event.stream, b"") + event.data
    return [event for event in events if not isinstance(event, Data)], bodies


def test_a_dialogue_in_each_feeding() -> None:
    encoding = Encoding()
    said = (
        opening()
        + encoding.headers(1, [*POST, ("cookie", "a=1"), ("x-y", "z"), ("cookie", "b=2")], ends=False)
        + raw(0x77, 0xFF, 1, b"unknown")
        + data(1, b"some", ends=False)
        + b"".join(encoding.split(3, [*GET, ("a", "b" * 50)], 4))
        + data(1, b" body", "PADDED", ends=False, pad_length=200)
        + encoding.headers(1, [("x-sum", "9")])
        + raw(6, 0, 0, b"pingping")
    )
    trailing = encoding.headers(5, GET)[:-3]
    events = feed3(ServerCodec, said, joined, trailing)
    first = Headers((("host", "a.example"), ("cookie", "a=1; b=2"), ("x-y", "z")))
    second = Headers((("host", "a.example"), ("a", "b" * 50)))
    assert joined(events) == (
        [
            RequestHead("POST", "/", first, 1, "2", "http"),
            RequestHead("GET", "/", second, 3, "2", "http"),
            End(stream=3),
            End(Headers((("x-sum", "9"),)), 1),
        ],
        {1: b"some body"},
    )


def test_an_exchange_both_ways() -> None:
    client, server = pair()
    assert (client.max_concurrent, client.extended_connect, client.settled) == (100, True, True)
    head = RequestHead("POST", "/x?y", Headers((("Host", "a.example"), ("TE", "trailers"))), scheme="http")
    stream = ask(client, head, ends=False)
    client.send(Data(b"question", stream), End(Headers((("x-end", "1"),)), stream))
    heard, _ = pump(client, server)
    fields = Headers((("host", "a.example"), ("te", "trailers")))
    assert heard == [
        RequestHead("POST", "/x?y", fields, 1, "2", "http"),
        Data(b"question", 1),
        End(Headers((("x-end", "1"),)), 1),
    ]
    server.consumed(1, 8)
    server.send(ResponseHead(103, Headers((("link", "</a>"),)), stream=1))
    server.send(ResponseHead(200, Headers((("X-Upper", "1"), ("Connection", "close"))), stream=1))
    server.send(Data(b"answer", 1), End(stream=1))
    _, heard = pump(client, server)
    assert heard == [
        ResponseHead(103, Headers((("link", "</a>"),)), "", 1, "2"),
        ResponseHead(200, Headers((("x-upper", "1"),)), "", 1, "2"),
        Data(b"answer", 1),
        End(stream=1),
    ]
    client.consumed(1, 6)
    assert (client.active, server.active) == (0, 0)


def test_a_small_response_is_two_frames() -> None:
    client, server = pair()
    ask(client)
    pump(client, server)
    server.send(ResponseHead(200, stream=1), Data(b"x", 1), End(stream=1))
    assert [type(frame).__name__ for frame in parsed(server.outgoing())] == ["HeadersFrame", "DataFrame"]


def test_extended_connect_is_a_get_with_a_protocol() -> None:
    client, server = pair()
    stream = ask(client, RequestHead("GET", "/chat", HOST, scheme="https", protocol="websocket"), ends=False)
    heard, _ = pump(client, server)
    assert heard == [RequestHead("GET", "/chat", HOST, stream, "2", "https", "websocket")]
    server.send(ResponseHead(200, stream=stream))
    server.send(Data(b"down", stream))
    client.send(Data(b"up", stream))
    heard, answer = pump(client, server)
    assert heard == [Data(b"up", stream)]
    assert answer[1:] == [Data(b"down", stream)]


def test_connect_has_an_authority_for_its_target() -> None:
    client, server = pair()
    ask(client, RequestHead("CONNECT", "b.example:80", Headers((("host", "b.example:80"),))), ends=False)
    heard, _ = pump(client, server)
    assert heard == [RequestHead("CONNECT", "b.example:80", Headers((("host", "b.example:80"),)), 1, "2", "")]


def test_host_alone_is_an_authority() -> None:
    server = ServerCodec()
    events = server.receive(opening() + Encoding().headers(1, [*GET[:3], ("a", "b"), ("host", "b.example")]))
    assert events[0] == RequestHead("GET", "/", Headers((("host", "b.example"), ("a", "b"))), 1, "2", "http")


# Flow control, section 5.2.


def test_credit_comes_back_only_as_the_application_reads() -> None:
    client, server = pair(limits=Limits(stream_window=65_535, connection_window=65_535))
    stream = ask(client, ends=False)
    pump(client, server)
    assert client.window(stream) == 65_535
    client.send(Data(bytes(65_535), stream))
    heard, _ = pump(client, server)
    assert sum(len(event.data) for event in heard if isinstance(event, Data)) == 65_535
    assert client.window(stream) == 0
    with pytest.raises(LocalProtocolError):
        client.send(Data(b"x", stream))
    server.consumed(stream, 40_000)
    pump(client, server)
    assert client.window(stream) == 40_000


def test_what_a_reset_stream_left_unread_goes_back_to_the_connection() -> None:
    client, server = pair(limits=Limits(stream_window=65_535, connection_window=65_535))
    stream = ask(client, ends=False)
    client.send(Data(bytes(60_000), stream))
    pump(client, server)
    server.send(Reset(ErrorCodes.CANCEL, stream))
    _, heard = pump(client, server)
    assert heard == [Reset(8, stream)]
    second = ask(client, ends=False)
    pump(client, server)
    assert client.window(second) > 60_000


def test_windows_of_the_peers_choice() -> None:
    server = ServerCodec()
    server.receive(opening() + settings(INITIAL_WINDOW_SIZE=3) + Encoding().headers(1, GET))
    server.send(ResponseHead(200, stream=1))
    assert server.window(1) == 3
    server.receive(settings(INITIAL_WINDOW_SIZE=0))
    assert server.window(1) == 0
    server.receive(raw(8, 0, 1, b"\0\0\0\x05"))
    assert server.window(1) == 5
    server.send(Data(b"12345", 1))
    server.receive(settings(INITIAL_WINDOW_SIZE=10))
    assert server.window(1) == 10


# Priorities, RFC 9218.


def test_priorities_come_by_field_and_by_frame_and_old_ones_are_ignored() -> None:
    server = ServerCodec()
    encoding = Encoding()
    server.receive(opening())
    server.receive(raw(0x10, 0, 0, b"\0\0\0\x01u=6"))
    server.receive(encoding.headers(1, [*GET, ("priority", "u=1")]))
    assert server.priority(1) == (6, False), "the frame came for this stream, the field for all of its hops"
    server.receive(encoding.headers(3, [*GET, ("priority", "u=1, i")]))
    assert server.priority(3) == (1, True)
    server.receive(raw(0x10, 0, 0, b"\0\0\0\x03u=0") + raw(2, 0, 3, b"\0\0\0\x01\xff"))
    assert server.priority(3) == (0, False)


# GOAWAY, section 6.8.


def test_a_shutdown_in_two_steps() -> None:
    client, server = pair()
    first = ask(client)
    pump(client, server)
    server.go_away(last=NO_STREAM_YET)
    second = ask(client)
    heard, answer = pump(client, server)
    assert answer == [GoAway(0, NO_STREAM_YET)]
    assert heard[0].stream == second
    server.go_away()
    third = ask(client)
    heard, answer = pump(client, server)
    assert heard == [], "a request after the last stream is not acted on"
    assert answer == [GoAway(0, second)]
    for stream in (first, second):
        server.send(ResponseHead(204, stream=stream), End(stream=stream))
    _, answer = pump(client, server)
    assert len(answer) == 4, "what was active is finished"
    assert third not in {event.stream for event in answer}


def test_a_push_from_its_promise_to_its_end() -> None:
    client, server = pair(push=True)
    assert server.can_push
    stream = ask(client)
    pump(client, server)
    promised = server.promise(stream, RequestHead("GET", "/style.css", HOST, scheme="http"))
    server.send(ResponseHead(200, stream=promised), Data(b"p {}", promised), End(stream=promised))
    _, heard = pump(client, server)
    assert heard == [
        Promise(RequestHead("GET", "/style.css", HOST, 2, "2", "http"), stream),
        ResponseHead(200, stream=2, version="2"),
        Data(b"p {}", 2),
        End(stream=2),
    ]
    assert not pair()[1].can_push, "a client without push says so"


# Against h2.


def spoken_to_h2(say: Callable[[H2Connection], None], server: ServerCodec) -> list[Event]:
    """h2's events, as a client, of a server that answers each request with trailers."""
    peer = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    peer.initiate_connection()
    say(peer)
    found: list[Event] = []
    while sent := peer.data_to_send():
        for event in server.receive(sent):
            if isinstance(event, RequestHead):
                server.send(ResponseHead(200, stream=event.stream), Data(b"hello", event.stream))
                server.send(End(Headers((("x-t", "1"),)), event.stream))
        found += peer.receive_data(server.outgoing())
    return found


def test_h2_understands_what_is_sent() -> None:
    def say(peer: H2Connection) -> None:
        for stream in (1, 3):
            peer.send_headers(stream, GET, end_stream=True, priority_weight=10)

    found = spoken_to_h2(say, ServerCodec())
    assert [event.stream_id for event in found if isinstance(event, ResponseReceived)] == [1, 3]
    trailers = [dict(event.headers) for event in found if isinstance(event, TrailersReceived)]
    assert [str(sections) for sections in trailers] == ["{'x-t': '1'}"] * 2
    assert not [event for event in found if isinstance(event, StreamReset)]


def test_what_may_not_be_sent() -> None:
    client, server = pair()
    stream = ask(client)
    pump(client, server)
    for event in (
        ResponseHead(200, stream=9),
        Data(b"x", 9),
        End(stream=9),
        RequestHead("GET", "/", stream=3),
    ):
        with pytest.raises(LocalProtocolError):
            server.send(event)
    with pytest.raises(LocalProtocolError):
        client.send(Promise(RequestHead("GET", "/"), stream))


def test_the_end_within_a_frame() -> None:
    server = ServerCodec()
    server.receive(opening())
    assert server.receive(b"") == []
    server.receive(b"\0")
    with pytest.raises(RemoteProtocolError):
        server.receive(b"")
