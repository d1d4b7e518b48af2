"""Which upstream a QUIC datagram belongs to, from its invariant header alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import RemoteProtocolError
from netlab.policy.quic_routing import QuicRoutes, long_header


def long(destination: bytes, source: bytes, version: int = 1) -> bytes:
    ids = bytes([len(destination)]) + destination + bytes([len(source)]) + source
    return b"\xc0" + version.to_bytes(4, "big") + ids + b"payload"


def test_a_long_header_is_read_whole() -> None:
    assert long_header(long(b"12345678", b"abcd")) == (1, b"12345678", b"abcd")
    assert long_header(b"\x40" + b"12345678" + b"rest") is None


@pytest.mark.parametrize("cut", range(1, len(long(b"12345678", b"abcd")) - len(b"payload")))
def test_a_header_that_ends_early_is_refused(cut: int) -> None:
    with pytest.raises(RemoteProtocolError):
        long_header(long(b"12345678", b"abcd")[:cut])


def test_what_a_server_calls_itself_leads_to_it() -> None:
    routes = QuicRoutes()
    assert routes.upstream_of(long(b"clientch", b"c")) is None
    routes.learn(long(b"c", b"server-1"), "one")
    routes.learn(long(b"c", b"server-2"), "two")
    assert routes.upstream_of(long(b"server-2", b"c")) == "two"
    assert routes.upstream_of(b"\x40server-1" + b"encrypted") == "one"
    assert routes.upstream_of(b"\x40stranger" + b"encrypted") is None


def test_the_oldest_are_forgotten_and_their_lengths_with_them() -> None:
    routes = QuicRoutes(limit=2)
    for name in (b"a" * 4, b"b" * 8, b"c" * 8):
        routes.learn(long(b"", name), name.decode())
    assert len(routes) == 2
    assert routes.upstream_of(b"\x40" + b"a" * 8) is None
    assert routes.upstream_of(b"\x40" + b"c" * 12) == "c" * 8


@given(st.binary(max_size=60))
def test_no_datagram_breaks_it(datagram: bytes) -> None:
    routes = QuicRoutes()
    routes.learn(datagram, "one")
    try:
        found = routes.upstream_of(datagram)
    except RemoteProtocolError:
        assert not datagram or datagram[0] & 0x80
    else:
        assert found in {None, "one"}
