"""Byte ranges (RFC 9110 section 14) and what a cache makes of parts (RFC 9111 section 3.3 and 3.4)."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.cache import Cache, Hit, Miss
from netlab.policy.cache_answer import answer
from netlab.policy.conditional import range_applies
from netlab.policy.ranges import Span, content_range, multipart, requested
from netlab.policy.stored import stored
from netlab.proto.http import Headers, RequestHead, ResponseHead

NOW = 1_700_000_000.0
BODY = b"0123456789"


def fields(**named: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in named.items())


def get(method: str = "GET", **named: str) -> RequestHead:
    return RequestHead(method, "/x", Headers((("Host", "a"), *fields(**named))))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-4", [(0, 4)]),
        ("bytes=5-", [(5, 9)]),
        ("bytes=-3", [(7, 9)]),
        ("bytes=-30", [(0, 9)]),
        ("bytes=0-99999999999999999999999", [(0, 9)]),
        ("Bytes=0-0, 9-9", [(0, 0), (9, 9)]),
        ("bytes=9-9,0-0", [(9, 9), (0, 0)]),
        ("bytes=0-4,3-6", [(0, 6)]),
        ("bytes=0-4,5-6", [(0, 6)]),
        ("bytes=0-1,20-30", [(0, 1)]),
        ("bytes=10-", []),
        ("bytes=-0", []),
        ("", None),
        ("bytes=", None),
        ("bytes=4-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1;2", None),
        ("lines=0-1", None),
        (
            "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2000, 2)),
            [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8)],
        ),
        ("bytes=" + ",".join(["0-"] * 1000), None),
    ],
)
def test_requested(asked: str, expected: list[tuple[int, int]] | None) -> None:
    found = requested(fields(range=asked), len(BODY))
    assert (None if found is None else [(one.first, one.last) for one in found]) == expected


def test_many_small_ranges_are_answered_by_the_whole() -> None:
    bomb = "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2000, 2))
    assert requested(fields(range=bomb), 2000) is None


@given(st.text(max_size=40), st.integers(0, 100))
def test_no_range_raises(text: str, total: int) -> None:
    for span in requested(fields(range=text, content_range=text), total) or ():
        assert 0 <= span.first <= span.last < total
    content_range(fields(content_range=text))


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=1, max_size=12))
def test_spans_are_apart_and_hold_what_was_asked(pairs: list[tuple[int, int]]) -> None:
    pairs = [(min(pair), max(pair)) for pair in pairs]
    found = requested(fields(range="bytes=" + ",".join(f"{a}-{b}" for a, b in pairs)), 100)
    if found is not None:
        held = [n for span in found for n in range(span.first, span.last + 1)]
        assert len(held) == len(set(held))
        assert set(held) == {n for a, b in pairs for n in range(a, b + 1) if n < 100}


def test_multipart_keeps_its_boundary_out_of_the_content() -> None:
    body = b"x--netlab-0yy"
    kind, made = multipart([Span(0, 10), Span(12, 12)], body, 0, 13, "text/plain")
    boundary = kind.removeprefix("multipart/byteranges; boundary=").encode()
    assert boundary not in body
    assert made.startswith(
        b"--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-10/13\r\n\r\nx--" % boundary
    )
    assert made.endswith(b"y\r\n--%b--\r\n" % boundary)
    other, _ = multipart([Span(0, 10), Span(12, 12)], body + b"?", 0, 14, "text/plain")
    assert other == kind  # the same parts, the same boundary
    assert multipart([Span(0, 9), Span(12, 12)], body, 0, 13, "")[0] != kind  # which nobody knows before


@pytest.mark.parametrize(
    ("wanted", "yes"),
    [
        ('"a"', True),
        ('"b"', False),
        ('W/"a"', False),
        (formatdate(NOW - 60, usegmt=True), True),
        (formatdate(NOW - 61, usegmt=True), False),
    ],
)
def test_if_range(wanted: str, yes: bool) -> None:
    kept = fields(
        etag='"a"',
        date=formatdate(NOW, usegmt=True),
        last_modified=formatdate(NOW - 60, usegmt=True),
    )
    assert range_applies(fields(if_range=wanted), kept) is yes


def test_a_date_too_near_is_weak() -> None:
    date = formatdate(NOW, usegmt=True)
    assert not range_applies(fields(if_range=date), fields(date=date, last_modified=date))


def whole() -> Headers:
    return fields(cache_control="max-age=60", etag='"a"', content_type="text/plain", content_length="10")


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ({"range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
        ({"range": "bytes=2-4", "if_range": '"b"'}, 200, BODY, ""),
        ({"range": "bytes=50-"}, 416, b"", "bytes */10"),
        ({"range": "bytes=2-4", "if_none_match": '"a"'}, 304, b"", ""),
        ({"range": "nonsense"}, 200, BODY, ""),
    ],
)
def test_parts_of_a_stored_whole(asked: dict[str, str], status: int, body: bytes, told: str) -> None:
    entry = stored(ResponseHead(200, whole()), BODY, NOW, NOW)
    head, found = answer(get(**asked), entry, NOW)
    assert (head.status, found, head.headers.get("content-range")) == (status, body, told)


def part(first: int, last: int, etag: str = '"a"', total: int = 10) -> ResponseHead:
    told = fields(
        cache_control="max-age=60",
        etag=etag,
        content_range=f"bytes {first}-{last}/{total}",
        content_length=str(last - first + 1),
    )
    return ResponseHead(206, told)


def keep(cache: Cache, first: int, last: int, etag: str = '"a"') -> None:
    asked = get(range=f"bytes={first}-{last}")
    assert cache.store(asked, part(first, last, etag), BODY[first : last + 1], NOW, NOW) is not None


def test_a_part_answers_what_is_in_it_and_nothing_else() -> None:
    cache = Cache(10_000)
    keep(cache, 2, 6)
    found = cache.look_up(get(range="bytes=3-4"), NOW)
    assert isinstance(found, Hit)
    head, body = answer(get(range="bytes=3-4"), found.stored, NOW)
    assert (head.status, body, head.headers.get("content-range")) == (206, b"34", "bytes 3-4/10")
    for asked in (get(), get(range="bytes=0-3"), get(range="bytes=-1"), get("HEAD")):
        assert cache.look_up(asked, NOW) == Miss("partial"), asked


def test_parts_that_touch_become_the_whole() -> None:
    cache = Cache(10_000)
    for first, last in ((4, 6), (0, 4), (6, 9)):
        keep(cache, first, last)
    found = cache.look_up(get(), NOW)
    assert isinstance(found, Hit)
    assert (found.stored.head.status, found.stored.body, found.stored.part) == (200, BODY, None)
    assert found.stored.head.headers.get("content-length") == "10"
    assert not found.stored.head.headers.has("content-range")


@pytest.mark.parametrize("etag", ['"b"', 'W/"a"'])
def test_parts_of_different_responses_are_not_combined(etag: str) -> None:
    cache = Cache(10_000)
    keep(cache, 0, 4)
    keep(cache, 5, 9, etag)
    assert cache.look_up(get(), NOW) == Miss("partial")
    assert cache.look_up(get(range="bytes=0-1"), NOW) == Miss("partial")


def test_a_part_that_lies_is_not_kept() -> None:
    cache = Cache(10_000)
    assert cache.store(get(), part(0, 4), b"012", NOW, NOW) is None
    assert cache.store(get(), ResponseHead(206, whole()), BODY, NOW, NOW) is None
    assert cache.store(get(), ResponseHead(200, whole()), BODY[:-1], NOW, NOW) is None
    assert len(cache) == 0
