"""The shared cache, rule by rule. Sections are of RFC 9111."""

from __future__ import annotations

from email.utils import formatdate
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.cache import Cache, Hit, Lookup, Miss, Revalidate
from netlab.policy.cache_answer import answer
from netlab.policy.cache_control import directives, http_date, request_directives, seconds
from netlab.policy.conditional import client_has
from netlab.policy.stored import Stored, initial_age, lifetime, storable
from netlab.proto.http import Headers, RequestHead, ResponseHead

NOW = 1_700_000_000.0


def fields(**named: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in named.items())


def request(target: str = "/user/42", method: str = "GET", **named: str) -> RequestHead:
    return RequestHead(method, target, Headers((("Host", "api.example.com"), *fields(**named))))


def response(status: int = 200, /, **named: str) -> ResponseHead:
    return ResponseHead(status, fields(**({"date": formatdate(NOW, usegmt=True)} | named)))


def cached(**named: str) -> Cache:
    cache = Cache(10_000)
    cache.store(request(), response(**named), b"body", NOW, NOW)
    return cache


def found(cache: Cache, after: float, **asked: str) -> Lookup:
    return cache.look_up(request(**asked), NOW + after)


def stored_of(lookup: Lookup) -> Stored:
    assert isinstance(lookup, Hit | Revalidate), lookup
    return lookup.stored


@pytest.mark.parametrize(
    ("asked", "answered", "yes"),
    [
        ({}, {"cache_control": "max-age=300"}, True),
        ({}, {"cache_control": "max-age=300, private"}, False),
        ({}, {"cache_control": 'max-age=300, private="x-a"'}, True),
        ({}, {"cache_control": "No-Store"}, False),
        ({}, {"cache_control": "no-store, must-understand, max-age=1"}, True),
        ({"cache_control": "no-store"}, {"cache_control": "max-age=300"}, False),
        ({}, {"cache_control": "max-age=300", "vary": "*"}, False),
        ({}, {"cache_control": "no-cache"}, True),
        ({}, {"last_modified": "x"}, True),
        # Section 3.5, which the guide's `max-age=300` alone does not satisfy.
        ({"authorization": "Bearer x"}, {"cache_control": "max-age=300"}, False),
        ({"authorization": "Bearer x"}, {"cache_control": "public, max-age=300"}, True),
        ({"authorization": "Bearer x"}, {"cache_control": "s-maxage=300"}, True),
        ({"authorization": "Bearer x"}, {"cache_control": "must-revalidate"}, True),
    ],
)
def test_storable(asked: dict[str, str], answered: dict[str, str], yes: bool) -> None:
    assert storable(request(**asked), response(**answered)) is yes


@pytest.mark.parametrize(
    ("method", "status", "explicit", "yes"),
    [
        ("POST", 200, True, False),
        ("HEAD", 200, True, False),
        ("GET", 206, True, False),
        ("GET", 304, True, False),
        ("GET", 404, False, True),
        ("GET", 500, False, False),
        ("GET", 500, True, True),
        ("GET", 599, True, True),
        ("GET", 416, True, False),
    ],
)
def test_storable_by_method_and_status(method: str, status: int, explicit: bool, yes: bool) -> None:
    head = response(status, **({"cache_control": "max-age=9"} if explicit else {}))
    assert storable(request(method=method), head) is yes


@pytest.mark.parametrize(
    ("answered", "expected_s"),
    [
        ({"cache_control": "s-maxage=86400, max-age=3600"}, 86_400),
        ({"cache_control": "max-age=3600", "expires": formatdate(NOW + 5, usegmt=True)}, 3600),
        ({"expires": formatdate(NOW + 60, usegmt=True)}, 60),
        ({"expires": formatdate(NOW - 60, usegmt=True)}, 0),
        ({"expires": "0"}, 0),
        ({"cache_control": "max-age=x"}, 0),
        ({"cache_control": "max-age=5, max-age=9"}, 5),
        ({"cache_control": 'max-age="7"'}, 7),
        ({"last_modified": formatdate(NOW - 1000, usegmt=True)}, 100),
        ({"last_modified": formatdate(NOW - 1e8, usegmt=True)}, 86_400),
        ({}, 0),
    ],
)
def test_lifetime(answered: dict[str, str], expected_s: float) -> None:
    assert (lifetime(response(**answered), NOW) or 0.0) == expected_s


def test_age_counts_the_way_here() -> None:
    assert initial_age(response(), NOW, NOW) == 0
    assert initial_age(response(age="10"), NOW - 2, NOW) == 12
    assert initial_age(response(), NOW + 30, NOW + 31) == 31
    assert initial_age(ResponseHead(200), NOW, NOW) == 0


def test_fresh_then_stale() -> None:
    cache = cached(cache_control="public, max-age=300", etag='"a"')
    assert isinstance(found(cache, 299), Hit)
    late = found(cache, 300)
    assert isinstance(late, Revalidate)
    assert late.cause == "stale"
    assert late.stored.validators == fields(If_None_Match='"a"')
    assert found(Cache(100), 0) == Miss("uri-miss")


def test_no_cache_is_always_asked_about() -> None:
    assert isinstance(found(cached(cache_control="no-cache, max-age=300", etag='"a"'), 1), Revalidate)


@pytest.mark.parametrize(
    ("asked", "after", "kind"),
    [
        ({"cache_control": "no-cache"}, 1, Revalidate),
        ({"pragma": "no-cache"}, 1, Revalidate),
        ({"pragma": "no-cache", "cache_control": "max-age=9"}, 1, Hit),
        ({"cache_control": "max-age=10"}, 9, Hit),
        ({"cache_control": "max-age=10"}, 11, Revalidate),
        ({"cache_control": "min-fresh=100"}, 199, Hit),
        ({"cache_control": "min-fresh=100"}, 201, Revalidate),
        ({"cache_control": "max-stale"}, 1000, Hit),
        ({"cache_control": "max-stale=10"}, 309, Hit),
        ({"cache_control": "max-stale=10"}, 311, Revalidate),
    ],
)
def test_what_the_request_wants(asked: dict[str, str], after: float, kind: type) -> None:
    assert isinstance(found(cached(cache_control="max-age=300"), after, **asked), kind)


@pytest.mark.parametrize("told", ["must-revalidate, max-age=1", "proxy-revalidate, max-age=1", "s-maxage=1"])
def test_a_response_may_forbid_to_be_stale(told: str) -> None:
    assert isinstance(found(cached(cache_control=told), 9, cache_control="max-stale"), Revalidate)


def test_only_if_cached() -> None:
    assert found(Cache(100), 0, cache_control="only-if-cached") == Miss("uri-miss", only_cached=True)


def test_vary_keeps_variants_apart() -> None:
    cache = Cache(10_000)
    answered = response(cache_control="max-age=300", vary="Accept-Language")
    for language in ("en", "fr"):
        cache.store(request(accept_language=language), answered, language.encode(), NOW, NOW)
    assert stored_of(found(cache, 1, accept_language="fr")).body == b"fr"
    assert stored_of(found(cache, 1, accept_language="en")).body == b"en"
    assert found(cache, 1, accept_language="de") == Miss("vary-miss")


def test_head_is_answered_from_a_stored_get() -> None:
    cache = cached(cache_control="max-age=300")
    assert isinstance(cache.look_up(request(method="HEAD"), NOW), Hit)
    assert cache.look_up(request(method="POST"), NOW) == Miss("method")


def test_a_304_makes_it_fresh_again_and_updates_its_fields() -> None:
    cache = cached(cache_control="max-age=300", etag='"a"', x_version="1", content_length="4", age="7")
    old = stored_of(found(cache, 400))
    head = ResponseHead(
        304, fields(date=formatdate(NOW + 400, usegmt=True), x_version="2", content_length="0")
    )
    new = cache.refresh(request(), old, head, NOW + 400, NOW + 401)
    assert new is not None
    assert new.body == b"body"
    assert (new.head.status, new.head.headers.get("x-version")) == (200, "2")
    assert new.head.headers.get("content-length") == "4"
    assert new.age(NOW + 401) == 1
    assert stored_of(found(cache, 402)) is new


def test_a_304_for_what_was_dropped_meanwhile_is_not_kept() -> None:
    cache = cached(cache_control="max-age=300", etag='"a"')
    old = stored_of(found(cache, 0))
    cache.invalidate(request(method="PUT"), ResponseHead(204), NOW)
    new = cache.refresh(request(), old, ResponseHead(304), NOW, NOW)
    assert new is not None
    assert new.body == b"body"
    assert len(cache) == 0


def test_unsafe_methods_invalidate_when_they_succeed() -> None:
    for method, status, left in (("POST", 500, 1), ("GET", 200, 1), ("DELETE", 204, 0)):
        cache = cached(cache_control="max-age=300")
        cache.invalidate(request(method=method), ResponseHead(status), NOW)
        assert len(cache) == left, (method, status)


def test_the_answer_has_its_age_and_may_be_304() -> None:
    entry = stored_of(found(cached(cache_control="max-age=300", etag='"a"', content_type="text/x"), 0))
    head, body = answer(request(), entry, NOW + 42.9)
    assert (head.status, head.headers.get("age"), body) == (200, "42", b"body")
    head, body = answer(request(if_none_match='"b", W/"a"'), entry, NOW + 42)
    assert (head.status, body) == (304, b"")
    assert head.headers.get("etag") == '"a"'
    assert not head.headers.has("content-type")


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        ({"if_none_match": '"a"'}, True),
        ({"if_none_match": "*"}, True),
        ({"if_none_match": '"b"', "if_modified_since": formatdate(NOW, usegmt=True)}, False),
        ({"if_modified_since": formatdate(NOW, usegmt=True)}, True),
        ({"if_modified_since": formatdate(NOW - 1, usegmt=True)}, False),
        ({"if_modified_since": "yesterday"}, False),
        ({}, False),
    ],
)
def test_conditions(asked: dict[str, str], has: bool) -> None:
    kept = fields(etag='"a"', last_modified=formatdate(NOW, usegmt=True))
    assert client_has(fields(**asked), kept) is has


def test_the_least_recently_used_goes_first() -> None:
    cache = Cache(1000)
    answered = ResponseHead(200, fields(cache_control="max-age=300"))
    for target in ("/a", "/b"):
        assert cache.store(request(target), answered, bytes(400), NOW, NOW) is not None
    cache.look_up(request("/a"), NOW)
    cache.store(request("/c"), answered, bytes(400), NOW, NOW)
    kinds = [type(cache.look_up(request(target), NOW)) for target in ("/a", "/b", "/c")]
    assert kinds == [Hit, Miss, Hit]
    assert cache.store(request("/d"), answered, bytes(1001), NOW, NOW) is None
    assert cache.size <= 1000


def test_long_urls_and_many_small_responses_are_bounded_too() -> None:
    answered = ResponseHead(200, fields(cache_control="max-age=300"))
    cache = Cache(1_000_000)
    for number in range(500):
        cache.store(request(f"/?{'x' * 8000}{number}"), answered, b"", NOW, NOW)
    assert len(cache) <= 1_000_000 // 8000
    for number in range(2000):
        cache.store(request(f"/{number}"), answered, b"", NOW, NOW)
    assert len(cache) <= 1_000_000 // 1024


def test_an_unsafe_method_costs_the_same_in_a_full_cache_and_holds_for_what_is_under_way() -> None:
    answered = ResponseHead(200, fields(cache_control="max-age=300"))
    cache = Cache(10_000_000)
    for number in range(5000):
        cache.store(request(f"/{number}"), answered, b"", NOW, NOW)
    with patch.object(cache, "matching", side_effect=AssertionError("it looked at everything")):
        for _ in range(300):
            assert cache.invalidate(request("/7", "POST"), ResponseHead(204), NOW + 2)
    assert len(cache) == 4999
    assert cache.store(request("/7"), answered, b"", NOW + 1, NOW + 3) is None
    assert cache.store(request("/other"), answered, b"", NOW + 1, NOW + 3) is not None
    assert cache.store(request("/7"), answered, b"", NOW + 3, NOW + 4) is not None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 600), st.sampled_from(["", "en", "fr"]))),
    st.integers(50, 1500),
)
def test_the_bound_holds_whatever_is_stored(steps: list[tuple[str, int, str]], capacity: int) -> None:
    cache = Cache(capacity)
    for target, size, language in steps:
        vary = {"vary": "accept-language"} if language else {}
        asked = request(f"/{target}", accept_language=language)
        cache.store(asked, response(cache_control="max-age=9", **vary), bytes(size), NOW, NOW)
        assert 0 <= cache.size <= capacity
        assert cache.size >= sum(entry.size for entry in cache._stored.values())
        assert set(cache._variants) == {variant[0] for variant in cache._stored}


@given(st.text())
def test_no_field_value_raises(text: str) -> None:
    headers = fields(cache_control=text, age=text, date=text, expires=text, last_modified=text, vary=text)
    head = ResponseHead(200, headers)
    assert (lifetime(head, NOW) or 0.0) >= 0
    assert initial_age(head, NOW, NOW) >= 0
    assert isinstance(storable(request(cache_control=text), head), bool)


def test_reading_directives() -> None:
    assert directives(fields(cache_control='Max-Age=3, private="a, b", x')) == {
        "max-age": "3",
        "private": "a, b",
        "x": "",
    }
    assert request_directives(fields(pragma="No-Cache")) == {"no-cache": ""}
    assert (seconds("12"), seconds("-1"), seconds("9" * 40), seconds("")) == (12, 0, 2**31, 0)
    assert http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    assert http_date("nonsense") is None
