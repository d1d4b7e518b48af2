"""The PROXY protocol, however the bytes come."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.proxy_protocol import SIGNATURE, Header, HeaderReader, encode
from tests.kit.feed3 import feed3

V4 = Header("203.0.113.5", 40000, "93.184.216.34", 443)
V6 = Header("2001:db8::5", 40000, "2001:db8::34", 443)


class Listed:
    """The reader as a codec of events."""

    def __init__(self) -> None:
        self._reader = HeaderReader()

    def receive(self, data: bytes) -> list[Header]:
        header = self._reader.receive(data)
        return [] if header is None else [header]

    def buffered(self) -> int:
        return self._reader.buffered()


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (encode(V4), V4),
        (encode(V6), V6),
        (encode(Header()), Header()),
        (b"PROXY TCP4 203.0.113.5 93.184.216.34 40000 443\r\n", V4),
        (b"PROXY TCP6 2001:db8::5 2001:db8::34 40000 443\r\n", V6),
        (b"PROXY UNKNOWN whatever it is\r\n", Header()),
        # A unix socket's addresses, and TLVs after the addresses of TCP over IPv4.
        (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), Header()),
        (SIGNATURE + b"\x21\x11\x00\x10" + encode(V4)[16:] + b"\x04\x00\x01x", V4),
    ],
)
def test_headers(data: bytes, header: Header) -> None:
    assert feed3(Listed, data, list, trailing=b"\x16\x03\x01") == [header]


def test_bytes_on_the_wire() -> None:
    assert encode(V4) == SIGNATURE + bytes.fromhex("2111000ccb0071055db8d8229c4001bb")


def test_what_follows_is_kept() -> None:
    reader = HeaderReader()
    assert reader.receive(encode(V4) + b"GET /") == V4
    assert (reader.trailing(), reader.buffered()) == (b"GET /", 0)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16",
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),  # version 1 in a version 2 header
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),  # an unknown command
        SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),  # too short for its addresses
        SIGNATURE + b"\x21\x11\xff\xff",  # longer than we take
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY " + b"x" * 200,
    ],
)
def test_malformed_headers(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        HeaderReader().receive(data)


@pytest.mark.parametrize(
    "header",
    [Header("1.2.3.4", 1, "::1", 2), Header("host", 1, "1.2.3.4", 2), Header("1.2.3.4", 70000, "1.2.3.4", 2)],
)
def test_headers_that_cannot_be_written(header: Header) -> None:
    with pytest.raises(LocalProtocolError):
        encode(header)


@given(st.sampled_from([SIGNATURE, b"PROXY ", b"PROXY TCP4 ", encode(V4)[:20]]), st.binary(max_size=300))
def test_no_bytes_raise_anything_else(start: bytes, noise: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        header = HeaderReader().receive(start + noise)
        assert header is None or encode(header).startswith(SIGNATURE)
