"""What an edge function may change, and what it may not."""

from __future__ import annotations

import pytest

from netlab.policy.edge_function import (
    EdgeRequest,
    EdgeResponse,
    Fields,
    changed_request,
    changed_response,
    own_response,
)
from netlab.proto.http import Headers, RequestHead, ResponseHead

HEAD = RequestHead("GET", "/a", Headers((("Host", "x"), ("Content-Length", "3"), ("Cookie", "arm=b; c=d"))))


def test_headers_and_target_change_framing_and_host_do_not() -> None:
    asked = EdgeRequest.of(HEAD, "192.0.2.1")
    assert (asked.cookie("arm"), asked.cookie("c"), asked.cookie("none")) == ("b", "d", "")
    asked.target = "/b?c"
    asked.headers["X-Arm"] = "b"
    asked.headers["HOST"] = "evil"
    asked.headers["Transfer-Encoding"] = "chunked"
    del asked.headers["content-length"], asked.headers["cookie"]
    assert changed_request(HEAD, asked) == RequestHead(
        "GET", "/b?c", Headers((("Host", "x"), ("Content-Length", "3"), ("X-Arm", "b")))
    )


@pytest.mark.parametrize("target", ["", "b", "/a b", "/a\r\nX: y", "http://x/", None])
def test_a_target_that_is_none(target: str) -> None:
    asked = EdgeRequest.of(HEAD, "")
    asked.target = target
    with pytest.raises(ValueError, match="no target"):
        changed_request(HEAD, asked)


@pytest.mark.parametrize(
    ("name", "value"), [("X", "a\r\nSet-Cookie: b"), ("X Y", "a"), ("", "a"), ("X", "☃")]
)
def test_no_field_is_smuggled_in(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="no header field"):
        Fields(Headers()).add(name, value)


def test_statuses_that_have_no_body_are_kept_apart() -> None:
    head = ResponseHead(304)
    with pytest.raises(ValueError, match="status"):
        changed_response(head, EdgeResponse(200, Fields(head.headers)))
    assert changed_response(ResponseHead(200), EdgeResponse(404, Fields(Headers()))).status == 404


def test_an_answer_of_its_own_is_not_for_other_caches() -> None:
    head, body = own_response(EdgeRequest.answer(401, {"WWW-Authenticate": "Bearer"}, "no"))
    assert (head.status, body, head.headers.get("cache-control")) == (401, b"no", "no-store")
    with pytest.raises(ValueError, match="no status"):
        own_response(EdgeRequest.answer(100))
