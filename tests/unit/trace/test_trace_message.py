"""HTTP messages in plain bytes: exact extents, and the trace that they are of."""

from __future__ import annotations

from netlab.proto.http import RequestHead, ResponseHead
from netlab.trace.message import Exchange, Extent, http_exchanges, trace_id_in

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"
GET = f"GET /user/42 HTTP/1.1\r\nHost: api\r\ntraceparent: {PARENT}\r\n\r\n".encode()
POST = b"POST /x HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + b"b" * 12
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


def test_the_trace_id_of_a_traceparent_anywhere() -> None:
    assert trace_id_in(f"SELECT 1 /*traceparent='{PARENT}'*/".encode()) == ID
    assert trace_id_in(b"SELECT 1 -- 00-4bf92f35") == ""


def test_requests_and_responses_are_paired_with_exact_extents() -> None:
    first, second = http_exchanges(GET + POST, OK + CHUNKED)
    assert first.trace_id == ID
    assert isinstance(first.request, RequestHead)
    assert first.request.target == "/user/42"
    assert (first.request_extent, first.response_extent) == (Extent(0, len(GET)), Extent(0, len(OK)))
    assert second.request_extent == Extent(len(GET), len(GET + POST))
    assert second.response_extent == Extent(len(OK), len(OK + CHUNKED))
    assert second.trace_id == ""


def test_a_head_response_has_no_body() -> None:
    head = b"HEAD / HTTP/1.1\r\nHost: api\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
    first, second = http_exchanges(head + GET, answer + OK)
    assert first.response_extent == Extent(0, len(answer))
    assert second.response_extent == Extent(len(answer), len(answer + OK))


def test_a_response_that_ends_with_the_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    (only,) = http_exchanges(GET, answer)
    assert only.response_extent == Extent(0, len(answer))


def test_a_missing_response_is_said() -> None:
    (only,) = http_exchanges(GET, b"HTTP/1.1 200 OK\r\nContent-Le")
    assert (only.response, only.response_extent) == (None, Extent(0, 0))


def test_an_informational_response_belongs_to_the_final_one() -> None:
    (only,) = http_exchanges(GET, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    assert isinstance(only.response, ResponseHead)
    assert (only.response.status, only.response_extent.start) == (200, 0)


def test_what_is_no_http_has_no_exchange() -> None:
    nothing: tuple[Exchange, ...] = ()
    assert http_exchanges(b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x03") == nothing
    assert http_exchanges(b"", b"") == nothing
