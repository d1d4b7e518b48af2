"""qlog of a process's QUIC connections: a JSON document per line, each a whole qlog 0.3 file for qvis.

The process contract names the file in NETLAB_QLOG; without it nothing is recorded, and nothing is spent.
"""

from __future__ import annotations

import json
import os

from aioquic.quic.logger import QLOG_VERSION, QuicLogger, QuicLoggerTrace

from netlab.model.event import Flow

_VARIABLE = "NETLAB_QLOG"


class ConnectionLog(QuicLogger):
    """The trace of one connection, kept in memory until it ends."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._trace: QuicLoggerTrace | None = None

    def start_trace(self, is_client: bool, odcid: bytes) -> QuicLoggerTrace:
        self._trace = super().start_trace(is_client, odcid)
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


def connection_log() -> ConnectionLog | None:
    """For a new connection; None where the process has no qlog file."""
    path = os.environ.get(_VARIABLE, "")
    return ConnectionLog(path) if path else None
