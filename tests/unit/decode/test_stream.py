"""Reassembly of a TCP direction: order, copies, overlaps, gaps, wraparound."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.decode.frame import ACK, FIN, SYN
from netlab.decode.stream import Stream


def stream(*segments: tuple[int, int, bytes], isn: int = 1000) -> Stream:
    made = Stream()
    made.add(1, isn, b"", SYN)
    for frame, offset, payload in segments:
        made.add(frame, (isn + 1 + offset) % 2**32, payload, ACK)
    return made


def test_segments_in_order() -> None:
    made = stream((2, 0, b"abc"), (3, 3, b"def"))
    assert made.data == b"abcdef"
    assert made.frames_of(0, 3) == (2,)
    assert made.frames_of(2, 4) == (2, 3)
    assert made.frames_of(3, 6) == (3,)
    assert [made.frame_at(offset) for offset in range(6)] == [2, 2, 2, 3, 3, 3]
    assert made.gaps == ()


def test_bytes_out_of_order_are_complete_when_the_gap_closes() -> None:
    made = stream((2, 3, b"def"))
    assert made.data == b""
    assert made.gaps == ((0, 3),)
    made.add(3, 1001, b"abc", ACK)
    assert made.data == b"abcdef"
    assert made.frames_of(3, 6) == (2,)
    assert made.frame_at(5) == 3


def test_retransmission_and_overlap_keep_the_first_copy() -> None:
    made = stream((2, 0, b"abcd"), (3, 0, b"abcd"), (4, 2, b"XXef"))
    assert made.data == b"abcdef"
    assert made.frames_of(0, 6) == (2, 4)
    assert made.frames_of(0, 4) == (2,)


def test_keep_alive_probe_adds_nothing() -> None:
    made = stream((2, 0, b"abcd"), (3, 3, b"?"))
    assert made.data == b"abcd"


@pytest.mark.parametrize("isn", [2**32 - 1, 2**32 - 2, 2**32 - 4])
def test_sequence_numbers_wrap(isn: int) -> None:
    made = stream((2, 0, b"abc"), (4, 6, b"ghi"), (3, 3, b"def"), isn=isn)
    assert made.data == b"abcdefghi"


def test_fin_counts_once_all_before_it_came() -> None:
    made = stream((2, 0, b"abc"))
    made.add(4, 1007, b"", ACK | FIN)
    assert not made.finished
    made.add(5, 1004, b"def", ACK)
    assert made.finished


def test_a_capture_that_starts_within_the_connection() -> None:
    made = Stream()
    made.add(1, 5000, b"later", ACK)
    made.add(2, 4990, b"earlier---", ACK)
    assert made.data == b"later"


def test_no_byte_no_frame() -> None:
    made = stream((2, 0, b"a"))
    assert made.frames_of(1, 1) == ()
    assert made.frames_of(1, 9) == ()
    with pytest.raises(IndexError, match="offset 1 of a stream of 1"):
        made.frame_at(1)


@given(
    st.binary(min_size=1, max_size=300),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 299), st.integers(1, 40)), max_size=30),
    st.integers(0, 10**6),
)
def test_any_order_and_any_copies_give_the_same_bytes(
    data: bytes, isn: int, copies: list[tuple[int, int]], seed: int
) -> None:
    pieces = [(start, data[start : start + 7]) for start in range(0, len(data), 7)]
    pieces += [(start, data[start : start + length]) for start, length in copies if start < len(data)]
    random.Random(seed).shuffle(pieces)
    made = stream(*((frame, start, piece) for frame, (start, piece) in enumerate(pieces, 2)), isn=isn)
    assert made.data == data
    assert made.gaps == ()
    for offset in range(len(data)):
        (carrier,) = made.frames_of(offset, offset + 1)
        start, piece = pieces[carrier - 2]
        assert start <= offset < start + len(piece)
        assert made.frame_at(offset) >= carrier
