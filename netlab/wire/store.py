"""Where frames in flight are kept: memory whose addresses don't move, so that the kernel can read it."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable
from typing import Final

from netlab.wire.ring import SLOT_BYTES

_CAPACITY: Final = 1 << 19  # frames; 1 GiB of addresses, of which only what was used is real memory
_MAP_NORESERVE: Final = 0x4000  # the mmap module has it from Python 3.13


# Where a frame in flight lies: its address, and a slot of the store or memory of its own. A plain tuple:
# it is made and taken apart once per frame.
Kept = tuple[int, "int | ctypes.Array[ctypes.c_char]"]


class Store:
    """A stack of free slots: the slot last emptied, still in the cache, is filled first."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = mmap.mmap(-1, capacity * SLOT_BYTES, flags=flags)
        self._bytes = memoryview(self._map)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._capacity = capacity
        self._used = 0
        self._free: list[int] = []

    def keep(self, data: memoryview) -> Kept | None:
        """A copy of `data`, None where the store is full."""
        length = len(data)
        if length > SLOT_BYTES:
            own = (ctypes.c_char * length).from_buffer_copy(data)
            return ctypes.addressof(own), own
        if self._free:
            slot = self._free.pop()
        elif self._used < self._capacity:
            slot = self._used
            self._used += 1
        else:
            return None
        start = slot * SLOT_BYTES
        self._bytes[start : start + length] = data
        return self._address + start, slot

    def release(self, frames: Iterable[Kept]) -> None:
        """The frames have left."""
        self._free.extend([place for _, place in frames if isinstance(place, int)])
