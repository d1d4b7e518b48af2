"""Who the client is, believing trusted proxies only."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from netlab.policy.forwarded import Chain, resolve
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
    assert resolve(peer, headers, EDGES) == Chain(client, chain)


def test_several_lines_are_one_list() -> None:
    headers = Headers((("X-Forwarded-For", "203.0.113.5"), ("x-forwarded-for", "198.51.100.2")))
    assert resolve("198.51.100.1", headers, EDGES).client == "203.0.113.5"
