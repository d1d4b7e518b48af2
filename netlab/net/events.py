"""The event writer: what a role did, as JSON lines on an inherited descriptor."""

from __future__ import annotations

import asyncio
import os
import select
import time
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

from netlab.errors import LocalProtocolError
from netlab.model.event import EVENTS, Flow

_MAX_PENDING = 32 * 1024  # bytes; half of a pipe
_MAX_FLOWS = 4096
# json's C encoder, made once: JSONEncoder.encode makes one for each call, which doubles an event's cost.
_chunks = c_make_encoder(None, str, encode_basestring_ascii, None, ":", ",", False, False, True)


def _encode(value: Any) -> str:
    """As json.dumps with `default=str` and no spaces."""
    return "".join(_chunks(value, 0))


class EventWriter:
    """Writes events of one role to `descriptor`, in order, each whole before the next.

    Events of one iteration of the event loop leave in one write at its end (measured: a write and the
    wake-up of its reader for each event cost a fifth of a small request). A role that fails, stops or
    is told to end has written all of them (`flush`); one that is killed outright loses what the iteration
    at hand emitted, and nothing older. Outside a loop each event is written at once. A full pipe makes
    the role wait: no event is dropped.
    """

    def __init__(self, descriptor: int, node: str, role: str) -> None:
        self._descriptor = descriptor
        self._from = f',"node":{_encode(node)},"role":{_encode(role)},"event":'
        self._flows: dict[Flow, str] = {}  # as they are written: a connection has many events
        self._lines: list[str] = []
        self._pending = 0

    def emit(self, event: str, flow: Flow | None = None, time_ns: int = 0, **data: Any) -> None:
        """Write one event; `time_ns` (CLOCK_REALTIME) defaults to now. Raises LocalProtocolError
        where the event is not in EVENTS."""
        if event not in EVENTS:
            raise LocalProtocolError(f"there is no event {event!r}")
        line = f'{{"time_ns":{time_ns or time.time_ns()}{self._from}"{event}"'
        if flow is not None:
            line += self._flows.get(flow) or self._written(flow)
        # As Event.to_line does it, but for what is the same in every event of a role.
        line += f",{_encode(data)[1:]}\n" if data else "}\n"
        self._lines.append(line)
        self._pending += len(line)
        if len(self._lines) == 1:
            self._flush_soon()
        elif self._pending > _MAX_PENDING:
            self.flush()

    def _written(self, flow: Flow) -> str:
        if len(self._flows) >= _MAX_FLOWS:
            self._flows.clear()
        text = self._flows[flow] = f',"flow":{_encode(list(flow))}'
        return text

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:  # no loop runs
            self.flush()

    def flush(self) -> None:
        """Write what has been emitted."""
        if self._lines:
            data = "".join(self._lines).encode()
            self._lines.clear()
            self._pending = 0
            self._write(data)

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
