"""Events from roles' pipes into `events.jsonl`: lines may be cut, wrong or endless, and that is recorded."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from netlab.model.event import Event

MAX_LINE = 1024 * 1024  # bytes; longer lines are dropped and recorded as an error
MAX_ROLE = 64 * 1024 * 1024  # bytes of events kept per role: /run is memory


class EventStream:
    """The bytes of one role's event pipe ─► events. Who wrote them is known, whatever they say."""

    def __init__(self, node: str, role: str) -> None:
        self.node = node
        self.role = role
        self._buffer = bytearray()
        self._skipping = False  # inside a line that is too long
        self._total = 0

    def receive(self, data: bytes, now_ns: int) -> Iterator[Event]:
        """`b""` is the end of file. What is no event becomes an `error` event at `now_ns`."""
        if not data:
            if self._buffer and not self._skipping:
                yield self._event(bytes(self._buffer), now_ns)
            self._buffer.clear()
            return
        before, self._total = self._total, self._total + len(data)
        if self._total > MAX_ROLE:
            if before <= MAX_ROLE:
                yield self._error(f"more than {MAX_ROLE} bytes of events: the rest is dropped", now_ns)
            return
        yield from self._lines(data, now_ns)

    def _lines(self, data: bytes, now_ns: int) -> Iterator[Event]:
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._buffer += line
            if not self._skipping and self._buffer:
                yield self._event(bytes(self._buffer), now_ns)
            self._buffer.clear()
            self._skipping = False
        if self._skipping:
            return
        self._buffer += rest
        if len(self._buffer) > MAX_LINE:
            self._skipping = True
            self._buffer.clear()
            yield self._error(f"an event of more than {MAX_LINE} bytes: dropped", now_ns)

    def _event(self, line: bytes, now_ns: int) -> Event:
        try:
            return replace(Event.from_line(line), node=self.node, role=self.role)
        except ValueError as error:
            return self._error(str(error)[:500], now_ns)

    def _error(self, cause: str, now_ns: int) -> Event:
        return Event(now_ns, self.node, self.role, "error", data={"cause": cause})


class EventLog:
    """`events.jsonl`: appended to by the supervisor alone, in the order of arrival."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.lost = 0  # events for which there was no room

    def append(self, events: list[Event]) -> None:
        """Writes all of them, or none where the file system is full: the log holds whole lines only."""
        size = os.fstat(self._descriptor).st_size
        remaining = memoryview("".join(event.to_line() + "\n" for event in events).encode())
        try:
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(self._descriptor, size)
            if not self.lost:
                print(f"events are lost from now on: {error}", file=sys.stderr)
            self.lost += len(events)

    def close(self) -> None:
        os.close(self._descriptor)


def exited_event(node: str, role: str, status: str) -> Event:
    """What the supervisor saw."""
    return Event(time.time_ns(), node, role, "exited", data={"status": status})
