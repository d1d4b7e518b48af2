"""What the roles of a lab wrote, line by line: output from `logs/`, events from `events.jsonl`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

from netlab.errors import InputError
from netlab.lab import state
from netlab.lab.client import LabClient
from netlab.lab.control import Lines
from netlab.model.event import Event

_LOOK_S = 0.2  # a log is a file on tmpfs: nothing tells that it grew, short of inotify
_CHUNK = 1024 * 1024


class Line(Protocol):
    def text(self) -> str: ...

    def json(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Output:
    """A line of a role's stdout or stderr."""

    node: str
    role: str
    line: str

    def text(self) -> str:
        return f"{self.node}.{self.role}: {self.line}"

    def json(self) -> str:
        return json.dumps({"node": self.node, "role": self.role, "line": self.line})


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, with its time in UTC."""

    event: Event

    def text(self) -> str:
        event = self.event
        seconds, nanoseconds = divmod(event.time_ns, 1_000_000_000)
        clock = f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{nanoseconds // 1000:06d}"
        flow = event.flow
        ends = f" {flow.local}:{flow.local_port} {flow.remote}:{flow.remote_port}" if flow else ""
        data = "".join(f" {key}={json.dumps(value)}" for key, value in event.data.items())
        return f"{clock} {event.node}.{event.role}: {event.event}{ends}{data}"

    def json(self) -> str:
        return self.event.to_line()


@dataclass(frozen=True, slots=True)
class Target:
    """Whose lines are wanted; an empty name is everyone's."""

    node: str = ""
    role: str = ""

    @classmethod
    def of(cls, text: str, status: dict[str, Any]) -> Self:
        """`NODE` or `NODE.ROLE` of a lab with this status. Raises InputError where there is no such node."""
        if not text:
            return cls()
        nodes = [node["node"] for node in status["nodes"]]
        if text in nodes:
            return cls(text)
        node, _, role = text.rpartition(".")
        if node not in nodes:
            raise InputError(f"the lab has no node {text!r}", f"it has {', '.join(nodes)}")
        return cls(node, role)

    def matches(self, node: str, role: str) -> bool:
        return self.node in ("", node) and self.role in ("", role)


def log_lines(lab: LabClient, target: Target, follow: bool) -> Iterator[Line]:
    """Lines of the logs, role after role; with `follow`, then as they come, until the lab ends."""
    tails: dict[Path, _Tail] = {}
    for _ in _rounds(lab, follow):
        for path in sorted((lab.state / "logs").glob("*.log")):
            node, _, role = path.stem.rpartition(".")
            if target.matches(node, role):
                tail = tails.setdefault(path, _Tail(path))
                for line in tail.lines():
                    yield Output(node, role, line.decode(errors="replace"))
    for path, tail in tails.items():
        if rest := tail.rest():
            node, _, role = path.stem.rpartition(".")
            yield Output(node, role, rest.decode(errors="replace"))


def event_lines(lab: LabClient, target: Target, follow: bool) -> Iterator[Line]:
    """Events in the order of their arrival; with `follow`, then as they come, until the lab ends."""
    tail = _Tail(lab.state / "events.jsonl")
    for _ in _rounds(lab, follow):
        for line in tail.lines():
            event = Event.from_line(line)
            if target.matches(event.node, event.role):
                yield Happened(event)


def _rounds(lab: LabClient, follow: bool) -> Iterator[None]:
    """One round, or one after another while the lab lives and a last one after its end."""
    record = state.read_record(lab.state)
    alive = follow and record is not None
    while alive and record is not None:
        yield None
        alive = record.owner.alive()
        time.sleep(_LOOK_S)
    yield None


class _Tail:
    """A file that grows: its new lines, each time. It is kept open, so that what is left of it can be read
    when the lab has removed it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb") if path.exists() else None
        self._pending = Lines()

    def lines(self) -> Iterator[bytes]:
        if self._file is None and self._path.exists():
            self._file = self._path.open("rb")
        while self._file is not None and (data := self._file.read(_CHUNK)):
            yield from self._pending.receive(data)

    def rest(self) -> bytes:
        """A last line without its newline."""
        return self._pending.rest()
