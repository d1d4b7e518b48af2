"""HPACK (RFC 7541) over the hpack library, with less work for what is most frequent.

Measured on GET with small responses, its own loops took a sixth of a server's time for each request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder, OversizedHeaderListError
from hpack.table import HeaderTable, table_entry_size

_KEPT = 8  # encoded sections of one connection
_KEPT_SIZE = 512  # bytes of each


class SectionDecoder:
    """Decodes the peer's field sections. `most`: bytes of one, decoded, as table entries count."""

    def __init__(self, most: int) -> None:
        self._decoder = Decoder(most)
        self._most = most

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Raises HPACKError; OversizedHeaderListError where the section is larger than `most`.

        Most sections begin with fields that are in the table whole, at an index of one byte (section 6.1):
        these are looked up here, and the library gets the rest.
        """
        fields: list[tuple[bytes, bytes]] = []
        table, size = self._decoder.header_table, 0
        for byte in block:
            if not 0x80 <= byte < 0xFF:
                break
            field = table.get_by_index(byte & 0x7F)
            fields.append(field)
            size += table_entry_size(*field)
            if size > self._most:
                raise OversizedHeaderListError(f"a field section of more than {self._most} bytes")
        rest = block[len(fields) :]
        if rest or not fields:
            # A change of the table's size must come first (section 4.2), which the library has to see.
            if fields and rest[0] & 0xE0 == 0x20:
                self._decoder.decode(block, raw=True)  # raises
            self._decoder.max_header_list_size = self._most - size
            fields += [(field[0], field[1]) for field in self._decoder.decode(rest, raw=True)]
        return fields


class SectionEncoder(Encoder):
    """Encodes our field sections. One that comes again, while the table is as it was, is not encoded anew:
    responses to the same request differ in Date at most, and that once a second."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[tuple[tuple[Any, ...], ...], bytes] = {}
        self._ends = _ends(self.header_table)

    def encode(self, headers: Iterable[Any] | dict[Any, Any], huffman: bool = True) -> bytes:
        """As Encoder.encode. Whether a field is a NeverIndexedHeaderTuple must follow from its name."""
        section = tuple(headers.items()) if isinstance(headers, dict) else tuple(headers)
        # A change of size must be said (section 4.2); the library forgets it where the same is set again.
        resized = self.header_table.resized = bool(self.table_size_changes)
        if resized or not self._is_as_it_was():
            self._kept.clear()
        elif (known := self._kept.get(section)) is not None:
            return known
        before = _ends(self.header_table)
        block = super().encode(section, huffman)
        self._ends = _ends(self.header_table)
        if not _same(before, self._ends):
            self._kept.clear()
        elif len(block) <= _KEPT_SIZE and not resized:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[section] = block
        return block

    def _is_as_it_was(self) -> bool:
        return _same(self._ends, _ends(self.header_table))


_Ends = tuple[tuple[bytes, bytes] | None, tuple[bytes, bytes] | None]


def _ends(table: HeaderTable) -> _Ends:
    """Entries come at one end of the dynamic table and go at the other, so these two, as objects, say
    which ones are there."""
    entries = table.dynamic_entries
    return (entries[0], entries[-1]) if entries else (None, None)


def _same(one: _Ends, other: _Ends) -> bool:
    return one[0] is other[0] and one[1] is other[1]
