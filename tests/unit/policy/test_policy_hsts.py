"""Strict-Transport-Security, by RFC 6797."""

from __future__ import annotations

import pytest

from netlab.policy.hsts import Policy, Store, parse, secure_port


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("max-age=31536000", Policy(31_536_000)),
        ("max-age=15768000 ; includeSubDomains", Policy(15_768_000, True)),
        ('max-age="31536000"', Policy(31_536_000)),
        ('MAX-AGE="1"; INCLUDESUBDOMAINS', Policy(1, True)),
        ("max-age=0", Policy(0)),
        (";; max-age=5;;", Policy(5)),
        ('max-age=5; preload; later="a;b"', Policy(5)),
        ("max-age=99999999999999999999", Policy(2**31)),
        ("", None),
        ("includeSubDomains", None),
        ("max-age", None),
        ("max-age=", None),
        ("max-age=-1", None),
        ("max-age=1s", None),
        ('max-age="1', None),
        ("max-age=1; max-age=2", None),
        ("max-age=1; includeSubDomains; includesubdomains", None),
        ("max-age=1; includeSubDomains=yes", None),
        ("max-age=1; a b", None),
        ("max-age=\u0661", None),
    ],
)
def test_the_field_s_grammar(value: str, policy: Policy | None) -> None:
    assert parse(value) == policy


def test_a_host_is_known_for_its_max_age() -> None:
    store = Store()
    assert store.note("Example.com.", ["max-age=10"], 100.0, secure=True) == Policy(10)
    assert store.left_s("example.COM", 100.0) == 10
    assert store.left_s("example.com", 109.5) == 1, "still known in its last second"
    assert store.left_s("example.com", 110.0) == 0
    assert store.left_s("www.example.com", 100.0) == 0


def test_subdomains_where_the_host_says_so() -> None:
    store = Store()
    store.note("example.com", ["max-age=10; includeSubDomains"], 0.0, secure=True)
    store.note("a.example.com", ["max-age=5"], 0.0, secure=True)
    assert store.left_s("a.example.com", 7.0) == 3, "its parent still says so"
    assert store.left_s("x.y.example.com", 0.0) == 10
    assert store.left_s("notexample.com", 0.0) == 0
    assert store.left_s("com", 0.0) == 0


def test_what_does_not_count() -> None:
    store = Store()
    assert store.note("example.com", ["max-age=10"], 0.0, secure=False) is None
    assert store.note("192.0.2.1", ["max-age=10"], 0.0, secure=True) is None
    assert store.note("[2001:db8::1]", ["max-age=10"], 0.0, secure=True) is None
    assert store.note("example.com", [], 0.0, secure=True) is None
    assert store.note("example.com", ["nonsense", "max-age=10"], 0.0, secure=True) is None, "the first counts"
    assert [store.left_s(host, 0.0) for host in ("example.com", "192.0.2.1", "2001:db8::1")] == [0, 0, 0]


def test_max_age_zero_forgets() -> None:
    store = Store()
    store.note("example.com", ["max-age=10"], 0.0, secure=True)
    store.note("example.com", ["max-age=0"], 1.0, secure=True)
    assert store.left_s("example.com", 1.0) == 0


def test_the_port_of_an_http_url_that_becomes_https() -> None:
    assert (secure_port(80), secure_port(8080)) == (443, 8080)
