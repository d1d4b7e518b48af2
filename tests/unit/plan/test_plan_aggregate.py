"""Aggregation covers exactly the given addresses."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from netlab.plan.aggregate import cover


def _blocks(start: int, end: int, bits: int = 32) -> list[tuple[int, int]]:
    """(first, last) of each prefix."""
    return [(first, first + (1 << (bits - length)) - 1) for first, length in cover(start, end, bits)]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_covers_the_range_and_nothing_else(one: int, other: int) -> None:
    start, end = sorted((one, other))
    blocks = _blocks(start, end)
    assert blocks[0][0] == start
    assert blocks[-1][1] == end
    assert all(b[0] == a[1] + 1 for a, b in pairwise(blocks)), blocks


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16))
def test_blocks_are_aligned_and_few(start: int, size: int) -> None:
    end = min(start + size, 2**32 - 1)
    blocks = _blocks(start, end)
    for first, last in blocks:
        assert first % (last - first + 1) == 0
    assert len(blocks) <= 2 * 17


def test_all_of_a_family_is_one_block() -> None:
    assert list(cover(0, 2**32 - 1, 32)) == [(0, 0)]
    assert list(cover(0, 2**128 - 1, 128)) == [(0, 0)]
