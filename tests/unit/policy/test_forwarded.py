"""Who the client is, believing trusted proxies only."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.forwarded import Chain, request_id, resolve
from netlab.proto.http import Headers

EDGES = (ip_network("198.51.100.0/24"), ip_network("2001:db8:e::/48"))


@pytest.mark.parametrize(
    ("peer", "field", "client", "chain"),
    [
        ("203.0.113.5", None, "203.0.113.5", "203.0.113.5"),
        ("203.0.113.5", "6.6.6.6", "203.0.113.5", "203.0.113.5"),  # from outside: not believed
        ("198.51.100.1", "203.0.113.5", "203.0.113.5", "203.0.113.5, 198.51.100.1"),
        ("198.51.100.1", "6.6.6.6, 203.0.113.5", "203.0.113.5", "203.0.113.5, 198.51.100.1"),
        (
            "198.51.100.1",
            "203.0.113.5, 198.51.100.2",
            "203.0.113.5",
            "203.0.113.5, 198.51.100.2, 198.51.100.1",
        ),
        ("198.51.100.1", None, "198.51.100.1", "198.51.100.1"),
        ("198.51.100.1", "unknown", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:e::1", "2001:db8:1::9", "2001:db8:1::9", "2001:db8:1::9, 2001:db8:e::1"),
        ("198.51.100.1", "::ffff:203.0.113.5", "203.0.113.5", "203.0.113.5, 198.51.100.1"),
    ],
)
def test_resolve(peer: str, field: str | None, client: str, chain: str) -> None:
    headers = Headers((("X-Forwarded-For", field),)) if field is not None else Headers()
    found = resolve(peer, headers, EDGES)
    assert (found.client, found.forwarded_for) == (client, chain)


def test_several_lines_are_one_list() -> None:
    headers = Headers((("X-Forwarded-For", "203.0.113.5"), ("x-forwarded-for", "198.51.100.2")))
    assert resolve("198.51.100.1", headers, EDGES).client == "203.0.113.5"


@pytest.mark.parametrize(
    ("peer", "field", "chain", "proto", "host"),
    [
        ("198.51.100.1", "for=203.0.113.5;proto=http;host=a.example", ("203.0.113.5",), "http", "a.example"),
        ("198.51.100.1", 'For="203.0.113.5:4711"', ("203.0.113.5",), "https", "own"),
        ("198.51.100.1", 'for="[2001:db8::9]:80";by=_x', ("2001:db8::9",), "https", "own"),
        ("198.51.100.1", "for=6.6.6.6;proto=http, for=203.0.113.5", ("203.0.113.5",), "https", "own"),
        (
            "198.51.100.1",
            "for=203.0.113.5, for=198.51.100.2",
            ("203.0.113.5", "198.51.100.2"),
            "https",
            "own",
        ),
        ("198.51.100.1", "for=unknown", (), "https", "own"),
        ("198.51.100.1", "for=_hidden", (), "https", "own"),
        ("198.51.100.1", "for=203.0.113.5;for=6.6.6.6", (), "https", "own"),
        ("198.51.100.1", 'for="203.0.113.5', (), "https", "own"),
        ("198.51.100.1", 'for=203.0.113.5;host="a\r"', ("203.0.113.5",), "https", "own"),
        ("198.51.100.1", "for=203.0.113.5;proto=gopher", ("203.0.113.5",), "https", "own"),
        ("203.0.113.5", "for=6.6.6.6;proto=http;host=evil", (), "https", "own"),
    ],
)
def test_forwarded_is_read(peer: str, field: str, chain: tuple[str, ...], proto: str, host: str) -> None:
    found = resolve(peer, Headers((("Forwarded", field),)), EDGES, host="own")
    assert found == Chain((*chain, peer), proto, host)


def test_x_forwarded_proto_and_host_of_a_trusted_peer() -> None:
    said = Headers((("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "a.example:8080")))
    trusted = resolve("198.51.100.1", said, EDGES, host="own")
    assert (trusted.proto, trusted.host) == ("http", "a.example:8080")
    stranger = resolve("203.0.113.5", said, EDGES, host="own")
    assert (stranger.proto, stranger.host) == ("https", "own")


def test_forwarded_is_written_and_read_again() -> None:
    chain = Chain(("2001:db8::9", "198.51.100.2", "198.51.100.1"), "https", "a.example")
    value = chain.forwarded("proxy", "https", "origin.example:8443")
    assert value == (
        'for="[2001:db8::9]";host=a.example;proto=https, for=198.51.100.2, '
        'for=198.51.100.1;by=_proxy;host="origin.example:8443";proto=https'
    )
    again = resolve("198.51.100.7", Headers((("Forwarded", value),)), EDGES)
    assert again == Chain((*chain.addresses, "198.51.100.7"), "https", "a.example")
    assert Chain(("192.0.2.1",)).forwarded("p", "http", "") == "for=192.0.2.1;by=_p;proto=http"


@pytest.mark.parametrize(
    ("peer", "given", "kept"),
    [
        ("198.51.100.1", "a1b2-c3", True),
        ("203.0.113.5", "a1b2-c3", False),
        ("198.51.100.1", "", False),
        ("198.51.100.1", "a b", False),
        ("198.51.100.1", "a" * 129, False),
    ],
)
def test_a_request_id_of_a_trusted_peer_is_kept(peer: str, given: str, kept: bool) -> None:
    found = request_id(peer, Headers((("X-Request-Id", given),)), EDGES, "made")
    assert found == (given if kept else "made")


@given(text=st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_field_raises(text: str) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"):
        found = resolve("198.51.100.1", Headers(((name, text),)), EDGES, host="own")
        again = Headers((("Forwarded", found.forwarded("p", "https", "own")),))
        assert resolve("198.51.100.9", again, EDGES).addresses == (*found.addresses, "198.51.100.9")
