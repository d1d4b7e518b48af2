"""The frames in flight, by release time. Pure: the time is passed in.

A lane per direction: frames of one lane nearly always come in the order of their release, so a lane is
a queue, and only frames that jitter puts before an earlier one go into the lane's heap. A heap of lanes
finds the next. That makes a frame cost the same with ten in flight as with ten thousand.
"""

from __future__ import annotations

import sys
from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """The frames of one direction. An entry is (release in ns, number of arrival, frame)."""

    __slots__ = ("heap", "queue")

    def __init__(self) -> None:
        self.queue: deque[tuple[int, int, T]] = deque()
        self.heap: list[tuple[int, int, T]] = []

    def add(self, entry: tuple[int, int, T]) -> None:
        if not self.queue or entry > self.queue[-1]:
            self.queue.append(entry)
        else:
            heappush(self.heap, entry)

    def first_ns(self) -> int | None:
        """The earliest release, None where the lane is empty."""
        if self.heap and (not self.queue or self.heap[0] < self.queue[0]):
            return self.heap[0][0]
        return self.queue[0][0] if self.queue else None

    def take(self, now_ns: int, most: int, out: list[tuple[int, int, T]]) -> None:
        """Move what is due by `now_ns` to `out`, in order of release, until `out` has `most` entries."""
        queue, heap = self.queue, self.heap
        while len(out) < most:
            if heap and (not queue or heap[0] < queue[0]):
                if heap[0][0] > now_ns:
                    return
                out.append(heappop(heap))
            elif queue and queue[0][0] <= now_ns:
                out.append(queue.popleft())
            else:
                return


class Schedule(Generic[T]):
    """`lanes` lanes, numbered from 0. Entries of one release time leave in the order of arrival."""

    def __init__(self, lanes: int) -> None:
        self._lanes: list[Lane[T]] = [Lane() for _ in range(lanes)]
        self._heads: list[tuple[int, int]] = []  # (earliest release, lane) of every lane with frames
        self._arrivals = 0

    def __len__(self) -> int:
        return sum(len(lane.queue) + len(lane.heap) for lane in self._lanes)

    def add(self, lane: int, release_ns: int, frame: T) -> None:
        """Keep `frame` until `release_ns`."""
        self._arrivals += 1
        into = self._lanes[lane]
        entry = (release_ns, self._arrivals, frame)
        if into.queue and entry > into.queue[-1]:
            into.queue.append(entry)  # by far the most: the lane's first stays what it is
            return
        first_ns = into.first_ns()
        into.add(entry)
        if first_ns is None:
            heappush(self._heads, (release_ns, lane))
        elif release_ns < first_ns:
            self._heads.remove((first_ns, lane))
            self._heads.append((release_ns, lane))
            heapify(self._heads)

    def clear(self, lane: int) -> list[T]:
        """Take every frame out of a lane, whatever its time."""
        out = list[tuple[int, int, T]]()
        emptied = self._lanes[lane]
        emptied.take(sys.maxsize, sys.maxsize, out)
        self._heads = [head for head in self._heads if head[1] != lane]
        heapify(self._heads)
        return [frame for _, _, frame in out]

    def next_ns(self) -> int | None:
        """When the next frame is due, None where none is in flight."""
        return self._heads[0][0] if self._heads else None

    def due(self, now_ns: int, most: int) -> list[tuple[int, int, T]]:
        """Take at most `most` entries that are due by `now_ns`; in order within each lane."""
        heads, out = self._heads, list[tuple[int, int, T]]()
        while heads and heads[0][0] <= now_ns and len(out) < most:
            number = heads[0][1]
            lane = self._lanes[number]
            lane.take(now_ns, most, out)
            first_ns = lane.first_ns()
            if first_ns is None:
                heappop(heads)
            else:
                heapreplace(heads, (first_ns, number))
        return out
