"""URLs of HTTP."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import InputError
from netlab.proto.url import Url, parse_url


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        ("http://example.com", Url("http", "example.com", 80, "/"), "example.com"),
        ("https://Example.com:443/a?b#c", Url("https", "example.com", 443, "/a?b"), "example.com"),
        ("https://example.com:8443/a//b", Url("https", "example.com", 8443, "/a//b"), "example.com:8443"),
        (
            "http://Bücher.example/ä b?c d",
            Url("http", "xn--bcher-kva.example", 80, "/%C3%A4%20b?c%20d"),
            "xn--bcher-kva.example",
        ),
        ("http://user@192.0.2.1:443/", Url("http", "192.0.2.1", 443, "/"), "192.0.2.1:443"),
        ("http://[2001:db8::1]:81?q", Url("http", "2001:db8::1", 81, "/?q"), "[2001:db8::1]:81"),
    ],
)
def test_what_a_client_needs_of_it(text: str, url: Url, authority: str) -> None:
    assert parse_url(text) == url
    assert url.authority == authority
    assert url.origin == f"{url.scheme}://{authority}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/path",
        "ftp://h/",
        "http://",
        "http:///p",
        "http://h:0/",
        "http://h:x/",
        "http://[::1/",
        "http://a b/",
        "http://a\x00b/",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InputError, match=r"URL|host|port"):
        parse_url(text)


def test_made_secure() -> None:
    assert parse_url("http://h:8080/p").made_secure(8080) == Url("https", "h", 8080, "/p")


@given(st.text(max_size=80))
def test_rubbish_is_an_error_that_is_told(text: str) -> None:
    try:
        url = parse_url(f"http://{text}")
    except InputError:
        return
    line = f"{url.authority} {url.target}"
    assert re.fullmatch(r"[!-~]+ /?[!-~]*", line), "it fits a request line and a Host field"
    assert parse_url(f"{url.origin}{url.target}") == url, "what was made is the same URL"
