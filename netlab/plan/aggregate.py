"""Exact CIDR aggregation on integers: the fewest prefixes that cover just the given addresses."""

from __future__ import annotations

from collections.abc import Iterator


def cover(start: int, end: int, bits: int) -> Iterator[tuple[int, int]]:
    """The fewest (first address, prefix length) whose union is exactly `start` … `end`, both included.

    `bits` is 32 or 128. RFC 4632 section 3.1: a block is a power of two, aligned to its own size.
    """
    while start <= end:
        aligned = (start & -start).bit_length() - 1 if start else bits
        size = min(aligned, (end - start + 1).bit_length() - 1)
        yield start, bits - size
        start += 1 << size
