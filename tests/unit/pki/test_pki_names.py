"""Names in certificates (RFC 9525)."""

from __future__ import annotations

import pytest

from netlab.pki.names import dns_matches, matches, names_of
from tests.kit.certificates import chain

NAMES = chain(names=("api.example.com", "*.cdn.example.com", "192.0.2.1", "2001:db8::1")).leaf.shown


@pytest.mark.parametrize(
    ("pattern", "name", "good"),
    [
        ("api.example.com", "api.example.com", True),
        ("API.example.COM", "api.EXAMPLE.com", True),
        ("api.example.com", "api.example.com.", True),
        ("api.example.com", "example.com", False),
        ("api.example.com", "x.api.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "A.Example.Com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "*.example.com", True),  # as a literal label
        ("*.com", "example.com", False),
        ("*", "com", False),
        ("f*.example.com", "foo.example.com", False),
        ("*o.example.com", "foo.example.com", False),
        ("a.*.example.com", "a.b.example.com", False),
        ("*.*.example.com", "a.b.example.com", False),
        ("xn--*.example.com", "xn--a.example.com", False),
        ("*.xn--bcher-kva.example", "a.xn--bcher-kva.example", True),
        ("", "", False),
        ("a..com", "a..com", False),
    ],
)
def test_patterns(pattern: str, name: str, good: bool) -> None:
    assert dns_matches(pattern, name) is good


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("api.example.com", True),
        ("x.cdn.example.com", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8::1", True),
        ("2001:0db8:0:0::1", True),
        ("2001:db8::2", False),
        ("", False),
    ],
)
def test_names_of_a_certificate(name: str, good: bool) -> None:
    assert matches(NAMES, name) is good


def test_an_address_is_no_dns_name() -> None:
    """RFC 9525 section 6.2: 1.2.3.4 as a dNSName, or under a wildcard, is not the address."""
    assert not matches(chain(names=("*.2.3.4", "a.b.c.d")).leaf.shown, "1.2.3.4")


def test_the_subject_never_counts() -> None:
    nameless = chain(names=()).leaf.shown
    assert names_of(nameless) == ()
    assert not matches(nameless, "nameless")
    assert names_of(NAMES) == ("api.example.com", "*.cdn.example.com", "192.0.2.1", "2001:db8::1")
