"""Who gets gzip, of what."""

from __future__ import annotations

import gzip
import zlib

import pytest

from netlab.policy.compression import Gzip, compressible, gzipped, gzipped_head, varying, wants_gzip
from netlab.proto.http import Headers, RequestHead, ResponseHead


def request(*fields: tuple[str, str]) -> RequestHead:
    return RequestHead("GET", "/", Headers(fields))


def response(*fields: tuple[str, str], status: int = 200) -> ResponseHead:
    return ResponseHead(status, Headers((("Content-Type", "text/html"), *fields)))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("*;q=0.1, identity;q=0", True),
        ("x-gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=rubbish", False),
        ("gzip;q=2", False),
    ],
)
def test_accept_encoding_by_its_weights(value: str, wanted: bool) -> None:
    assert wants_gzip(request(("Accept-Encoding", value))) is wanted


def test_a_range_is_of_the_bytes_as_they_are() -> None:
    assert not wants_gzip(request(("Accept-Encoding", "gzip"), ("Range", "bytes=0-1")))
    assert not wants_gzip(request())


@pytest.mark.parametrize(
    ("head", "may"),
    [
        (response(), True),
        (response(("Content-Length", "256")), True),
        (response(("Content-Length", "255")), False),
        (response(("Cache-Control", "no-transform")), False),
        (response(("Content-Encoding", "br")), False),
        (response(("Content-Range", "bytes 0-1/2")), False),
        (response(status=206), False),
        (ResponseHead(200, Headers((("Content-Type", "application/problem+json; a=b"),))), True),
        (ResponseHead(200, Headers((("Content-Type", "image/png"),))), False),
        (ResponseHead(200, Headers((("Content-Type", "text/event-stream"),))), False),
        (ResponseHead(200), False),
    ],
)
def test_what_may_be_compressed(head: ResponseHead, may: bool) -> None:
    assert compressible(head) is may


def test_the_head_of_the_compressed_form() -> None:
    fields = (("ETag", '"a"'), ("Content-Length", "900"), ("Accept-Ranges", "bytes"), ("Vary", "Cookie"))
    made = gzipped_head(response(*fields), 90).headers
    assert made.get("etag") == 'W/"a"'
    assert made.get("content-length") == "90"
    assert made.get("content-encoding") == "gzip"
    assert made.get("vary") == "Cookie, Accept-Encoding"
    assert not made.has("accept-ranges")
    assert varying(response(("Vary", "accept-encoding"))).headers.get("vary") == "accept-encoding"
    assert varying(response(("Vary", "*"))).headers.get("vary") == "*"


def test_the_bytes_are_the_same_each_time_and_come_back() -> None:
    body = b"text, and more text. " * 500
    assert gzipped(body) == gzipped(body)
    assert gzip.decompress(gzipped(body)) == body
    streamed = Gzip()
    parts = [streamed.add(body[:1000]), streamed.add(body[1000:]), streamed.end()]
    assert zlib.decompress(b"".join(parts), 31) == body
