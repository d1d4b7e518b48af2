"""A second store behind the cache is told of every change, and what it has kept comes back; other rules of
what is kept, and for how long."""

from __future__ import annotations

import pytest

from netlab.policy.cache import Cache, Change, Dropped, Hit, Invalidated, Kept, Miss, Revalidate
from netlab.policy.stored import is_negative, stored
from netlab.proto.http import Headers, RequestHead, ResponseHead

NOW = 1_700_000_000.0


def request(target: str = "/a", method: str = "GET", **named: str) -> RequestHead:
    fields = ((name.replace("_", "-"), value) for name, value in named.items())
    return RequestHead(method, target, Headers((("Host", "x"), *fields)))


def response(*fields: tuple[str, str], status: int = 200) -> ResponseHead:
    return ResponseHead(status, Headers((("Cache-Control", "max-age=60"), *fields)))


def test_every_change_is_told_but_those_for_want_of_room() -> None:
    journal: list[Change] = []
    cache = Cache(1500, journal=journal)
    entry = cache.store(request(), response(("ETag", '"1"')), bytes(900), NOW, NOW)
    assert entry is not None
    assert journal == [Kept((("x", "/a"), ()), entry)]
    cache.store(request("/b"), response(), bytes(900), NOW, NOW)
    assert [type(one) for one in journal] == [Kept, Kept], "/a has been dropped, and nobody was told"
    b = cache.look_up(request("/b"), NOW)
    assert isinstance(b, Hit)
    assert cache.refresh(request("/b"), b.stored, ResponseHead(304), NOW, NOW + 1) is not None
    not_stored = ResponseHead(304, Headers((("Cache-Control", "no-store"),)))
    again = cache.look_up(request("/b"), NOW)
    assert isinstance(again, Hit)
    cache.refresh(request("/b"), again.stored, not_stored, NOW, NOW + 1)
    cache.invalidate(request("/b", "PUT"), ResponseHead(204), NOW)
    assert [type(one) for one in journal] == [Kept, Kept, Kept, Dropped, Invalidated]


def test_what_comes_back_is_found_and_tells_nobody() -> None:
    journal: list[Change] = []
    cache = Cache(5000, journal=journal)
    head = response(("Vary", "Accept-Language"))
    for language in ("de", "en"):
        asked = request(accept_language=language)
        entry = stored(head, language.encode(), NOW, NOW, asked)
        cache.admit((cache.key_of(asked), entry.varied), entry)
    assert journal == []
    assert len(cache.variants(("x", "/a"))) == 2
    found = cache.look_up(request(accept_language="en"), NOW + 1)
    assert isinstance(found, Hit)
    assert found.stored.body == b"en"
    newer = cache.store(request(accept_language="en"), head, b"new", NOW, NOW)
    assert newer is not None
    cache.admit((("x", "/a"), newer.varied), found.stored)
    assert cache.look_up(request(accept_language="en"), NOW) == Hit(newer), "the old one stays away"


def test_the_compressed_form_counts_and_goes_with_what_it_is_of() -> None:
    cache = Cache(5000)
    entry = cache.store(request(), response(), bytes(900), NOW, NOW)
    assert entry is not None
    before = cache.size
    packed = stored(response(), bytes(100), NOW, NOW)
    cache.add_packed(request(), entry, packed)
    found = cache.look_up(request(), NOW)
    assert isinstance(found, Hit)
    assert found.stored.packed is packed
    assert cache.size == before + packed.size
    fresh = cache.refresh(request(), found.stored, ResponseHead(304), NOW, NOW)
    assert fresh is not None
    assert fresh.packed is None
    assert cache.size == before


@pytest.mark.parametrize(
    ("status", "negative"), [(404, True), (410, True), (501, True), (200, False), (503, False), (403, False)]
)
def test_which_statuses_say_that_there_is_nothing(status: int, negative: bool) -> None:
    assert is_negative(status) is negative


def test_a_lifetime_by_default_is_for_who_says_none() -> None:
    cache = Cache(5000)
    cache.store(request("/silent"), ResponseHead(404), b"no", NOW, NOW, 10.0)
    cache.store(request("/told"), response(status=404), b"no", NOW, NOW, 10.0)
    cache.store(
        request("/zero"), ResponseHead(404, Headers((("Cache-Control", "max-age=0"),))), b"", NOW, NOW, 10
    )
    kinds = {
        after: [type(cache.look_up(request(one), NOW + after)) for one in ("/silent", "/told", "/zero")]
        for after in (5, 20, 70)
    }
    assert kinds == {
        5: [Hit, Hit, Revalidate],
        20: [Revalidate, Hit, Revalidate],
        70: [Revalidate, Revalidate, Revalidate],
    }


def test_min_fresh_of_0_wants_nothing_stale_and_says_why() -> None:
    cache = Cache(5000)
    told = ("Cache-Control", "max-age=60, stale-while-revalidate=600")
    cache.store(request(), ResponseHead(200, Headers((told,))), b"", NOW, NOW)
    asked = request(cache_control="min-fresh=0")
    assert isinstance(cache.look_up(asked, NOW + 59), Hit)
    stale = cache.look_up(asked, NOW + 61)
    assert isinstance(stale, Revalidate)
    assert stale.cause == "stale"
    assert isinstance(cache.look_up(request(), NOW + 61), Hit)
    assert isinstance(cache.look_up(request("/none"), NOW), Miss)
