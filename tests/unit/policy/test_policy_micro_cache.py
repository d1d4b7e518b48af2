"""A cache for a moment: what it gives to whom, and for how long."""

from __future__ import annotations

import pytest

from netlab.policy.micro_cache import MicroCache, key_of, may_share
from netlab.proto.http import Headers, RequestHead, ResponseHead

OK = ResponseHead(200)


def test_an_answer_is_given_for_its_time() -> None:
    cache = MicroCache(1.0)
    assert cache.put("a", OK, b"body", 5.0)
    kept = cache.get("a", 5.99)
    assert kept is not None
    assert (kept.head, kept.body, kept.at) == (OK, b"body", 5.0)
    assert cache.get("b", 5.0) is None
    assert cache.get("a", 6.0) is None


@pytest.mark.parametrize(
    ("status", "field"),
    [
        (200, ("Set-Cookie", "a=b")),
        (200, ("Vary", "Accept-Language")),
        (200, ("Cache-Control", "max-age=9, Private")),
        (200, ("Cache-Control", "no-store")),
        (200, ("Cache-Control", 'no-cache="x"')),
        (201, ("X", "y")),
        (302, ("X", "y")),
        (500, ("X", "y")),
    ],
)
def test_what_is_for_one_alone_is_not_kept(status: int, field: tuple[str, str]) -> None:
    cache = MicroCache(1.0)
    assert not cache.put("a", ResponseHead(status, Headers((field,))), b"", 0.0)
    assert cache.get("a", 0.0) is None
    assert cache.put("a", ResponseHead(404), b"", 0.0)


def test_it_is_bounded_and_the_oldest_go() -> None:
    few = MicroCache(60.0, entries=2)
    for number, key in enumerate("abc"):
        few.put(key, OK, b"", number)
    assert [few.get(key, 3.0) is not None for key in "abc"] == [False, True, True]
    small = MicroCache(60.0, size=100)
    assert not small.put("large", OK, bytes(26), 0.0)
    for number in range(9):
        assert small.put(str(number), OK, bytes(25), 1.0)
    assert [small.get(str(number), 2.0) is not None for number in range(9)] == [False] * 5 + [True] * 4
    small.put("8", OK, bytes(5), 2.0)
    assert small.put("9", OK, bytes(20), 2.0), "what it replaced takes no room"
    assert small.get("5", 2.0) is not None


def asked(
    method: str = "GET", *fields: tuple[str, str], target: str = "/a", protocol: str = ""
) -> RequestHead:
    return RequestHead(method, target, Headers((("Host", "H.example"), *fields)), protocol=protocol)


def test_whose_requests_are_the_same() -> None:
    assert may_share(asked())
    assert may_share(asked("HEAD"))
    assert not may_share(asked("POST"))
    assert not may_share(asked(protocol="websocket"))
    for name in ("Authorization", "Cookie", "Range", "Cache-Control", "Pragma"):
        assert not may_share(asked("GET", (name, "x"))), name
    keys = {key_of(one) for one in (asked(), asked("HEAD"), asked(target="/a?b"))}
    assert len(keys) == 3
    assert key_of(asked("GET", ("X", "y"))) == key_of(asked())
