"""Datagrams that say which they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.proto.numbered import SMALLEST, decode, encode


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(SMALLEST, 2000))
def test_what_was_sent_is_read(sequence: int, time_ns: int, size: int) -> None:
    payload = encode(sequence, time_ns, size)
    assert len(payload) == size
    assert decode(payload) == (sequence, time_ns)
    assert decode(payload[:SMALLEST]) == (sequence, time_ns), "a snapped capture has the head"


@pytest.mark.parametrize("payload", [b"", b"\xabnl\x01", encode(1, 2, 40)[: SMALLEST - 1], b"x" * 100])
def test_other_payloads_are_left_alone(payload: bytes) -> None:
    assert decode(payload) is None
