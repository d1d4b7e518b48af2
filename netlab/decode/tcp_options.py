"""TCP options by struct: what an analysis of captures needs.

Sources: RFC 9293, section 3.2; RFC 7323 (window scale, time stamps); RFC 2018 (SACK).
"""

from __future__ import annotations

import struct
from typing import NamedTuple


class Options(NamedTuple):
    """`mss` 0, `scale` and `stamp` -1 where there is none. `sack`: the blocks' (left, right) edges."""

    mss: int = 0
    scale: int = -1
    sack_permitted: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    stamp: int = -1


def options(data: bytes) -> Options:
    """Of the bytes between a segment's first 20 and its payload. Stops where they make no sense."""
    found, place = Options(), 0
    while place < len(data) and data[place] != 0:
        if data[place] == 1:
            place += 1
            continue
        size = data[place + 1] if place + 1 < len(data) else 0
        if size < 2 or place + size > len(data):
            break
        found = _with(found, data[place], data[place + 2 : place + size])
        place += size
    return found


def _with(found: Options, kind: int, value: bytes) -> Options:
    if kind == 2 and len(value) == 2:
        return found._replace(mss=int.from_bytes(value, "big"))
    if kind == 3 and len(value) == 1:
        return found._replace(scale=min(value[0], 14))
    if kind == 4:
        return found._replace(sack_permitted=True)
    if kind == 5 and len(value) % 8 == 0:
        return found._replace(sack=tuple(struct.iter_unpack(">II", value)))
    if kind == 8 and len(value) == 8:
        return found._replace(stamp=int.from_bytes(value[:4], "big"))
    return found
