"""Slots: frames gather and leave in bursts, as a radio that must wait for its turn. Pure."""

from __future__ import annotations

import sys
from random import Random

from netlab.model.impairment import Slot


class Slots:
    """When a slot opens, and what still has room in it (netem_dequeue and get_slot_next of sch_netem.c)."""

    def __init__(self, slot: Slot, random: Random) -> None:
        self._slot = slot
        self._random = random
        self._opens_ns = -1
        self._last_ns = 0  # when the last frame leaves
        self._packets_left = self._bytes_left = 0

    def release_ns(self, due_ns: int, now_ns: int, length: int) -> int:
        """When a frame leaves that came at `now_ns`, and could at `due_ns` if there were no slots.

        A slot carries the frames that are due when it opens; for one that is due later, the time until
        the next is drawn when it is first in the queue, and once more if that is before it is due.
        """
        if self._opens_ns < due_ns:
            self._next(max(now_ns, self._last_ns))
        if self._opens_ns < due_ns:
            self._next(due_ns)
        leaves_ns = self._last_ns = max(due_ns, self._opens_ns)
        self._packets_left -= 1
        self._bytes_left -= length
        if self._packets_left <= 0 or self._bytes_left <= 0:
            self._next(leaves_ns)
        return leaves_ns

    def _next(self, now_ns: int) -> None:
        slot = self._slot
        self._opens_ns = now_ns + slot.min_ns + int((slot.max_ns - slot.min_ns) * self._random.random())
        self._packets_left = slot.packets or sys.maxsize
        self._bytes_left = slot.bytes or sys.maxsize
