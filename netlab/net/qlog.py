"""qlog of a process's QUIC connections: a JSON document per line, each a whole qlog 0.3 file for qvis.

The process contract names the file in NETLAB_QLOG. Nothing is recorded, and nothing is spent, unless the
spec asks for it (`Quic.qlog`).
"""

from __future__ import annotations

import json
import os
from typing import Any

from aioquic.quic.logger import QLOG_VERSION, QuicLogger, QuicLoggerTrace

from netlab.model.event import Flow
from netlab.model.roles import Quic

_VARIABLE = "NETLAB_QLOG"
_MOST = 100_000  # events of one connection; about 1 kB each in memory


class _Trace(QuicLoggerTrace):
    """What is beyond _MOST is not kept: a long download would fill the memory."""

    def __init__(self, *, is_client: bool, odcid: bytes) -> None:
        super().__init__(is_client=is_client, odcid=odcid)
        self._left = _MOST

    def log_event(self, *, category: str, event: str, data: dict[str, Any]) -> None:
        if self._left > 0:
            self._left -= 1
            super().log_event(category=category, event=event, data=data)


class ConnectionLog(QuicLogger):
    """The trace of one connection, kept in memory until it ends."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._trace: QuicLoggerTrace | None = None

    def start_trace(self, is_client: bool, odcid: bytes) -> QuicLoggerTrace:
        self._trace = _Trace(is_client=is_client, odcid=odcid)
        return self._trace

    def write(self, flow: Flow) -> None:
        """Append it to the process's file, once."""
        if self._trace is None:
            return
        trace = self._trace.to_dict() | {
            "title": f"{flow.local}:{flow.local_port} {flow.remote}:{flow.remote_port}"
        }
        self._trace = None
        document = {"qlog_format": "JSON", "qlog_version": QLOG_VERSION, "traces": [trace]}
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)


def connection_log(options: Quic) -> ConnectionLog | None:
    """For a new connection; None where nobody asked for it, or the process has no file for it."""
    path = os.environ.get(_VARIABLE, "") if options.qlog else ""
    return ConnectionLog(path) if path else None
