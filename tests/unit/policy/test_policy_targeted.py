"""CDN-Cache-Control (RFC 9213), keys, tags, dates, Cache-Status: what is read, and what is refused."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.cache import Cache, Hit, Lookup, Miss, Revalidate
from netlab.policy.cache_answer import answer
from netlab.policy.cache_control import directives, http_date, seconds
from netlab.policy.cache_key import KeySettings, key_of
from netlab.policy.cache_status import forwarded, marked
from netlab.policy.purge import purge_condition
from netlab.policy.stored import lifetime, storable, stored
from netlab.policy.targeted import targeted
from netlab.proto.http import Headers, RequestHead, ResponseHead

NOW = 1_700_000_000.0


def fields(**named: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in named.items())


def get(target: str = "/x", method: str = "GET", **named: str) -> RequestHead:
    return RequestHead(method, target, Headers((("Host", "a"), *fields(**named))))


def kept(response: Headers, **asked: str) -> Cache:
    cache = Cache(10_000)
    assert cache.store(get(**asked), ResponseHead(200, response), b"body", NOW, NOW) is not None
    return cache


def look(cache: Cache, after: float = 0, target: str = "/x", **asked: str) -> Lookup:
    return cache.look_up(get(target, **asked), NOW + after)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", {"max-age": "60"}),
        ('max-age=60;a=1; b ,  no-store, x="q\\"", y=?0', {"max-age": "60", "no-store": "", "x": 'q"'}),
        ("max-age=1, max-age=2", {"max-age": "2"}),
        ("max-age=abc, must-revalidate", {"must-revalidate": ""}),
        ('max-age="60", public', {"public": ""}),
        ("max-age=1.5, public", {"public": ""}),
        ("", None),
        ("MAX-AGE=60", None),
        ("max-age =60", None),
        ("max-age= 60", None),
        ("max-age=60,", None),
        ("max-age=60 no-store", None),
        ("&", None),
    ],
)
def test_targeted(value: str, expected: dict[str, str] | None) -> None:
    assert targeted(value) == expected


@given(st.text(alphabet='ab=;,"?1 -*:\t', max_size=30))
def test_no_targeted_field_raises(text: str) -> None:
    targeted(text)


@pytest.mark.parametrize(
    ("told", "expected_s"),
    [
        ({"cdn_cache_control": "max-age=9", "cache_control": "max-age=1"}, 9),
        ({"cdn_cache_control": "max-age=9", "cache_control": "no-store"}, 9),
        ({"cdn_cache_control": "public", "expires": formatdate(NOW + 60, usegmt=True)}, 0),
        ({"cdn_cache_control": "MAX-AGE=9", "cache_control": "max-age=1"}, 1),
    ],
)
def test_the_targeted_field_counts_alone(told: dict[str, str], expected_s: float) -> None:
    head = ResponseHead(200, fields(**told))
    assert storable(get(), head)
    assert (lifetime(head, NOW) or 0.0) == expected_s


def test_targeted_no_store_wins() -> None:
    head = ResponseHead(200, fields(cdn_cache_control="no-store", cache_control="max-age=60"))
    assert not storable(get(), head)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("sUN, 06 nov 1994 08:49:37 gmt", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None),
        ("Sun, 06 Nov 1994 08:49:37 +0000", None),
        ("Sun, 06 Nov 1994 8:49:37 GMT", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06-Nov-1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08.49.37 GMT", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("0", None),
        ("-1", None),
    ],
)
def test_dates(text: str, expected: float | None) -> None:
    assert http_date(text) == expected


def test_a_year_of_two_digits_is_at_most_50_years_ahead() -> None:
    assert http_date("Sunday, 06-Nov-74 08:49:37 GMT", NOW) == http_date("Tue, 06 Nov 1974 08:49:37 GMT")
    assert http_date("Sunday, 06-Nov-73 08:49:37 GMT", NOW) == http_date("Mon, 06 Nov 2073 08:49:37 GMT")


@pytest.mark.parametrize(
    ("value", "age"), [("a=1, max-age=9", 9), ('x="max-age=9"', 0), ("max-age =9", 0), ("max-age= 9", 0)]
)
def test_only_a_well_formed_max_age_counts(value: str, age: int) -> None:
    assert (lifetime(ResponseHead(200, fields(cache_control=value)), NOW) or 0.0) == age
    assert seconds("9" * 5000) == 2**31


def test_no_cache_and_private_with_fields() -> None:
    assert directives(fields(cache_control='no-cache="a", no-cache'))["no-cache"] == ""
    told = fields(cache_control='max-age=9, no-cache="x-a", private="x-b"', x_a="1", x_b="2", x_c="3")
    found = look(kept(told))
    assert isinstance(found, Hit)
    head, _ = answer(get(), found.stored, NOW)
    assert [head.headers.has(name) for name in ("x-a", "x-b", "x-c")] == [False, False, True]
    head, _ = answer(get(), found.stored, NOW, validated=True)
    assert head.headers.has("x-a")


def test_nobody_guesses_a_lifetime_for_a_cookie() -> None:
    old = formatdate(NOW - 1000, usegmt=True)
    assert not storable(get(), ResponseHead(200, fields(last_modified=old, set_cookie="a=b")))
    assert storable(get(), ResponseHead(200, fields(cache_control="max-age=9", set_cookie="a=b")))


@pytest.mark.parametrize(("age", "expected"), [("5", 5), ("5, 0", 5), ("x", 0), ("-5", 0), ("5.5", 0)])
def test_age_as_it_comes(age: str, expected: int) -> None:
    assert stored(ResponseHead(200, fields(age=age)), b"", NOW, NOW).age(NOW) == expected


def test_stale_while_revalidate() -> None:
    cache = kept(fields(cache_control="max-age=10, stale-while-revalidate=20"))
    kinds = [look(cache, after) for after in (9, 10, 29, 31)]
    assert [(type(one), getattr(one, "refresh", None)) for one in kinds] == [
        (Hit, False),
        (Hit, True),
        (Hit, True),
        (Revalidate, None),
    ]


@pytest.mark.parametrize("told", ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=10"])
def test_what_must_be_asked_about_is_never_stale(told: str) -> None:
    directive = f"max-age=10, stale-while-revalidate=90, stale-if-error=90, {told}"
    found = look(kept(fields(cache_control=directive)), 20)
    assert isinstance(found, Revalidate)
    assert not found.stored.stale_for("stale-if-error", NOW + 20, 1000)


def test_stale_if_error_has_its_time() -> None:
    entry = stored(ResponseHead(200, fields(cache_control="max-age=10, stale-if-error=5")), b"", NOW, NOW)
    assert [entry.stale_for("stale-if-error", NOW + t) for t in (9, 10, 14, 15)] == [False, True, True, False]


def test_variants_of_different_vary_live_side_by_side() -> None:
    cache = Cache(10_000)
    for name in ("en", "fr"):
        head = ResponseHead(200, fields(cache_control="max-age=9", vary="Accept-Language, Foo"))
        cache.store(get(accept_language=name), head, name.encode(), NOW, NOW)
    found = look(cache, accept_language=" EN ")
    assert isinstance(found, Hit), "the language's case and spaces mean nothing"
    assert found.stored.body == b"en"
    assert look(cache, accept_language="en", foo="1") == Miss("vary-miss")
    assert look(cache) == Miss("vary-miss")


def test_an_empty_field_is_not_an_absent_one() -> None:
    cache = kept(fields(cache_control="max-age=9", vary="Foo"))
    assert isinstance(look(cache), Hit)
    assert look(cache, foo="") == Miss("vary-miss")


def test_made_up_variants_do_not_fill_the_cache() -> None:
    cache = Cache(1_000_000)
    head = ResponseHead(200, fields(cache_control="max-age=9", vary="User-Agent"))
    for number in range(500):
        cache.store(get(user_agent=str(number)), head, b"", NOW, NOW)
    assert len(cache) == 64
    assert isinstance(look(cache, user_agent="499"), Hit)


@pytest.mark.parametrize(
    ("location", "dropped"),
    [
        ("/y", True),
        ("y?q", False),
        ("https://a/y", True),
        ("https://A:443/y", True),
        ("http://a/y", False),
        ("https://b/y", False),
        ("//b/y", False),
        ("https://[/y", False),
    ],
)
@pytest.mark.parametrize("name", ["location", "content_location"])
def test_invalidation_of_the_same_origin(name: str, location: str, dropped: bool) -> None:
    cache = Cache(10_000)
    cache.store(get("/y"), ResponseHead(200, fields(cache_control="max-age=9")), b"", NOW, NOW)
    cache.invalidate(get("/x", "PATCH"), ResponseHead(201, fields(**{name: location})), NOW)
    assert len(cache) == (0 if dropped else 1)


@pytest.mark.parametrize(
    ("head", "state"),
    [
        (ResponseHead(200, fields(cache_control="max-age=50", etag='"a"', x_new="1")), Hit),
        (ResponseHead(200, fields(cache_control="max-age=50", etag='"b"')), Revalidate),
        (ResponseHead(200, fields(cache_control="max-age=50", content_length="9")), Revalidate),
        (ResponseHead(404, fields(cache_control="max-age=50")), Revalidate),
    ],
)
def test_what_a_head_says_of_a_stored_get(head: ResponseHead, state: type) -> None:
    cache = kept(fields(cache_control="max-age=9", etag='"a"'))
    cache.head_seen(get(method="HEAD"), head, NOW + 20, NOW + 20)
    found = look(cache, 21)
    assert isinstance(found, state), found
    if isinstance(found, Hit):
        assert (found.stored.head.headers.get("x-new"), found.stored.body) == ("1", b"body")


def test_a_304_of_another_response_changes_nothing() -> None:
    found = look(kept(fields(cache_control="max-age=9", etag='"a"')), 20)
    assert isinstance(found, Revalidate)
    assert found.stored.refreshed(ResponseHead(304, fields(etag='"b"')), NOW, NOW) is None
    twice = Headers((("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", "0")))
    fresh = found.stored.refreshed(ResponseHead(304, twice), NOW, NOW)
    assert fresh is not None
    assert fresh.head.headers.all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("settings", "one", "other", "same"),
    [
        (KeySettings(), get("/x?a=1"), get("/x?a=2"), False),
        (KeySettings(query=False), get("/x?a=1"), get("/x?a=2"), True),
        (KeySettings(drop=("utm",)), get("/x?utm=1&a=1"), get("/x?a=1"), True),
        (KeySettings(drop=("utm",)), get("/x?%75tm=1"), get("/x"), True),
        (KeySettings(keep=("a",)), get("/x?a=1&b=1"), get("/x?b=2&a=1"), True),
        (KeySettings(keep=("a",)), get("/x?a=1"), get("/x?a=2"), False),
        (KeySettings(headers=("X-Ab",)), get(x_ab="1"), get(x_ab="2"), False),
        (KeySettings(cookies=("ab",)), get(cookie="z=1; ab=1"), get(cookie="ab=1; z=2"), True),
        (KeySettings(cookies=("ab",)), get(cookie="ab=1"), get(cookie="ab=2"), False),
    ],
)
def test_keys(settings: KeySettings, one: RequestHead, other: RequestHead, same: bool) -> None:
    assert (key_of(one, settings) == key_of(other, settings)) is same


def test_purge_by_url_prefix_and_tag() -> None:
    cache = Cache(10_000)
    for path, tag in (("/a/1", "x, y"), ("/a/2", "y"), ("/b", "")):
        head = ResponseHead(200, fields(cache_control="max-age=9", surrogate_key=tag))
        cache.store(get(path), head, b"", NOW, NOW)
    assert cache.purge(purge_condition(("a", "/"), fields(cache_tag="x")), NOW, soft=True) == 1
    assert isinstance(look(cache, target="/a/1"), Revalidate)
    assert cache.purge(purge_condition(("other", "/a/*"), Headers()), NOW) == 0
    assert cache.purge(purge_condition(("a", "/a/*"), Headers()), NOW) == 2
    assert cache.purge(purge_condition(("a", "/b"), Headers()), NOW) == 1
    assert (len(cache), cache.size) == (0, 0)


def test_what_was_asked_for_before_a_purge_is_not_stored_after_it() -> None:
    """Also where more purges came since than are remembered."""
    head = ResponseHead(200, fields(cache_control="max-age=9"))
    cache = Cache(10_000)
    cache.purge(purge_condition(("a", "/x*"), Headers()), NOW + 1)
    assert cache.store(get(), head, b"", NOW, NOW + 2) is None
    assert cache.store(get("/y"), head, b"", NOW, NOW + 2) is not None
    assert cache.store(get(), head, b"", NOW + 2, NOW + 3) is not None
    for _ in range(300):
        cache.purge(purge_condition(("a", "/other"), Headers()), NOW + 1)
    assert cache.store(get(), head, b"", NOW, NOW + 2) is None
    assert cache.invalidate(get(method="PUT"), ResponseHead(204), NOW + 5)
    assert cache.store(get(), head, b"old", NOW + 4, NOW + 6) is None


def test_cache_status_is_a_list_nearest_to_the_origin_first() -> None:
    head = marked(
        ResponseHead(200, fields(cache_status="shield; hit")), "edge", forwarded("stale", 200, stored=True)
    )
    assert head.headers.get("cache-status") == "shield; hit, edge; fwd=stale; fwd-status=200; stored"
    assert marked(ResponseHead(200), "1st", "hit").headers.get("cache-status") == '"1st"; hit'
