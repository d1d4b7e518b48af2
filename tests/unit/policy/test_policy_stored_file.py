"""Stored responses as files: what was written comes back, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.ranges import Span
from netlab.policy.stored import Stored
from netlab.policy.stored_file import PREFIX, DamagedError, decode, decode_head, encode, head_size
from netlab.proto.http import Headers, ResponseHead

KEY = ("x.example", "/a?b=1\ncookie arm=é")
HEAD = ResponseHead(206, Headers((("Cache-Control", "max-age=60"), ("X-Odd", "caf\xe9"))), "Partial Content")
ENTRY = Stored(
    HEAD, b"0123", 1.5, 0.25, (("accept", "a"), ("accept-language", None)), True, (Span(0, 3), 9), 2.5
)


def test_all_comes_back() -> None:
    data = encode(KEY, ENTRY)
    assert decode(data) == (KEY, ENTRY)
    size = head_size(data[:PREFIX])
    head = decode_head(data[PREFIX : PREFIX + size], len(data))
    assert (head.key, head.entry.head, head.entry.body, head.size) == (KEY, HEAD, b"", 4)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_damaged_byte_is_overlooked(position: int, change: int) -> None:
    data = bytearray(encode(KEY, ENTRY))
    data[position % len(data)] ^= change
    with pytest.raises(DamagedError):
        decode(bytes(data))


@given(st.integers(0, 10_000))
def test_no_half_file_is_a_response(length: int) -> None:
    data = encode(KEY, ENTRY)
    with pytest.raises(DamagedError):
        decode(data[: length % len(data)])
    with pytest.raises(DamagedError):
        decode(data + b"x")


@given(st.binary(max_size=200))
def test_rubbish_is_damaged(rubbish: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(rubbish)
