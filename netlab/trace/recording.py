"""What a run directory holds, read: packets, events, secrets. Needs neither root nor the lab."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from netlab.decode.frame import Frame, frames
from netlab.decode.tls import KeyLog
from netlab.errors import CaptureError
from netlab.model.event import Event
from netlab.trace.run import Run, RunPhase

AGAIN = "run the scenario again"


@dataclass(frozen=True)
class Recording:
    """run.json, events.jsonl, keys.log at once; the capture when it is first asked for."""

    folder: Path
    run: Run
    events: tuple[Event, ...]
    keys: KeyLog

    @classmethod
    def load(cls, folder: Path) -> Recording:
        """Raises CaptureError where a file is missing or damaged."""
        return cls(
            folder,
            Run.from_json(_text(folder / "run.json")),
            _events(folder / "events.jsonl"),
            KeyLog.parse(_text(folder / "keys.log")),
        )

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The packets of every captured interface, by time. Raises CaptureError."""
        path = self.folder / self.run.capture.file
        return tuple(frames(_bytes(path), str(path)))

    def frames_at(self, node: str, interface: str = "") -> tuple[Frame, ...]:
        """Those of one interface, or of all interfaces of a node."""
        return tuple(
            frame
            for frame in self.frames
            if frame.node == node and (not interface or frame.interface == interface)
        )

    def qlog(self, node: str, original_id: str) -> Mapping[str, Any]:
        """What `node` wrote of the QUIC connection with this original destination connection ID (in hex).
        Empty where it recorded none."""
        for path in sorted((self.folder / "qlog").glob(f"{node}.*.{original_id}.qlog")):
            try:
                found: Mapping[str, Any] = json.loads(_text(path))
            except ValueError as error:
                raise CaptureError(f"{path}: {error}", AGAIN) from error
            return found
        return {}

    def events_of(self, phase: RunPhase) -> tuple[Event, ...]:
        """What roles said while `phase` lasted."""
        return tuple(event for event in self.events if phase.started_ns <= event.time_ns <= phase.ended_ns)


def _events(path: Path) -> tuple[Event, ...]:
    found = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        try:
            found.append(Event.from_line(line))
        except ValueError as error:
            raise CaptureError(f"{path}:{number}: {error}", AGAIN) from error
    return tuple(found)


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CaptureError(
            f"{path}: {error.strerror}", "give a directory that `netlab trace` wrote"
        ) from error
