"""The event writer: what a role did, as JSON lines on an inherited descriptor."""

from __future__ import annotations

import os
import select
import time
from typing import Any

from netlab.errors import LocalProtocolError
from netlab.model.event import EVENTS, Event, Flow


class EventWriter:
    """Writes events of one role to `descriptor`, in order, each whole before the next.

    A full pipe makes the role wait: an event that was emitted is never lost.
    """

    def __init__(self, descriptor: int, node: str, role: str) -> None:
        self._descriptor = descriptor
        self._node = node
        self._role = role

    def emit(self, event: str, flow: Flow | None = None, time_ns: int = 0, **data: Any) -> None:
        """Write one event; `time_ns` (CLOCK_REALTIME) defaults to now. Raises LocalProtocolError
        where the event is not in EVENTS."""
        if event not in EVENTS:
            raise LocalProtocolError(f"there is no event {event!r}")
        line = Event(time_ns or time.time_ns(), self._node, self._role, event, flow, data).to_line()
        self._write(line.encode() + b"\n")

    def _write(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
