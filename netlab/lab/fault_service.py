"""The control socket's operations on faults: they begin, are listed, and end, at the latest with the lab."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError, NetlabError
from netlab.lab.connection import Connection
from netlab.lab.control import Message
from netlab.lab.faulting import LiveFault, live_fault
from netlab.lab.links import Done
from netlab.lab.roster import RoleProcess
from netlab.model.event import Event
from netlab.model.fault import parse_fault

if TYPE_CHECKING:
    from netlab.lab.supervisor import Supervisor

_MAX_S = 30 * 86_400.0


@dataclass(eq=False)
class Entry:
    """A fault that there is, or will be in a moment."""

    number: int
    live: LiveFault
    for_s: float | None
    since: float = field(default_factory=time.time)
    begun: bool = False
    cause: str = ""  # why it ends, once it does
    waiting: list[Done] = field(default_factory=list)  # who wants to hear that it was undone

    def document(self) -> dict[str, Any]:
        fault, process = self.live.fault, self.live.process
        return {
            "id": self.number,
            "fault": list(fault.words()),
            "node": self.live.node,
            "role": process.role if process is not None else "",
            "since": self.since,
            "until": self.since + self.for_s if self.for_s is not None else None,
        }


class FaultService:
    """One method per operation; what can't be answered at once is answered from a callback."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor
        self._last = 0  # id
        self._entries: list[Entry] = []
        self._hears_of_ends = False
        self.operations: dict[str, Callable[[Connection, Message], None]] = {
            "fault-begin": self._begin,
            "fault-list": self._list,
            "fault-clear": self._clear,
        }

    def _begin(self, connection: Connection, request: Message) -> None:
        """{"words", "for_s": seconds or null, "hold": bool}.

        Answers with the fault when it is there. With `hold` that is a progress, the last answer comes when it
        has ended, and it ends with the connection.
        """
        if self._lab.phase != "up":
            raise LabError(f"the lab is {self._lab.phase}", "wait until netlab ps shows it as up")
        fault = parse_fault([str(word) for word in request["words"]])
        for_s = _duration(request.get("for_s"))
        hold, others = bool(request.get("hold")), self._live()
        entry = Entry(self._last + 1, live_fault(self._lab, fault, others), for_s)
        self._last += 1
        self._entries.append(entry)
        self._hear_of_ends()
        if hold:
            entry.waiting.append(lambda error: _answer(connection, error, entry.document()))
            connection.on_close.append(lambda: self._end(entry, "abandoned"))

        def begun(error: NetlabError | None) -> None:
            if error is None:
                self._begun(entry)
                (connection.progress if hold else connection.ok)(entry.document())
                return
            self._entries.remove(entry)
            if not hold:
                connection.error(error)
            for done in entry.waiting:  # one who holds it, and who has asked for its end meanwhile
                done(error)

        try:
            entry.live.begin(others, begun)
        except NetlabError as error:
            begun(error)

    def _begun(self, entry: Entry) -> None:
        entry.begun, entry.since = True, time.time()
        self._lab.faults.append(entry.document())
        self._note("fault-began", entry, for_s=entry.for_s)
        if entry.cause:  # it was to end before it was there
            self._undo(entry)
        elif entry.for_s is not None:
            self._lab.loop.after(entry.for_s, lambda: self._end(entry, "time"))

    def _list(self, connection: Connection, _: Message) -> None:
        connection.ok(self._lab.faults)

    def _clear(self, connection: Connection, request: Message) -> None:
        """{"id"}, null for all: answers with what was undone, when it is; nothing if it was before."""
        number = request.get("id")
        chosen = [entry for entry in self._entries if number in (None, entry.number)]
        if number is not None and not 0 < int(number) <= self._last:
            known = ", ".join(str(entry.number) for entry in self._entries) or "none"
            raise InputError(f"there never was a fault {number}", f"there are: {known}")
        documents = [entry.document() for entry in chosen]
        errors: list[NetlabError] = []
        left = len(chosen)

        def ended(error: NetlabError | None) -> None:
            nonlocal left
            left -= 1
            errors.extend([error] if error is not None else [])
            if left == 0:
                _answer(connection, errors[0] if errors else None, documents)

        if not chosen:
            connection.ok([])
        for entry in chosen:
            entry.waiting.append(ended)
            self._end(entry, "cleared")

    def _end(self, entry: Entry, cause: str) -> None:
        """Undo it, if nobody has begun to. Who waits is told."""
        if entry not in self._entries or entry.cause:
            return
        entry.cause = cause
        if entry.begun:
            self._undo(entry)

    def _undo(self, entry: Entry) -> None:
        def undone(error: NetlabError | None) -> None:
            self._ended(entry, error)

        others = [one.live for one in self._entries if one is not entry]
        try:
            entry.live.end(others, undone)
        except NetlabError as error:
            undone(error)

    def _ended(self, entry: Entry, error: NetlabError | None) -> None:
        self._entries.remove(entry)
        self._lab.faults.remove(entry.document())
        if error is not None:
            print(f"fault {entry.number} was not undone: {error}", file=sys.stderr)
        self._note("fault-ended", entry, cause=str(error) if error is not None else entry.cause)
        for done in entry.waiting:
            done(error)

    def _hear_of_ends(self) -> None:
        if not self._hears_of_ends:
            self._hears_of_ends = True
            self._lab.need_runner().ended.append(self._role_ended)

    def _role_ended(self, process: RoleProcess) -> None:
        for entry in tuple(self._entries):
            if (
                entry.live.process is process
                and entry.live.ends_with_role
                and entry.begun
                and not entry.cause
            ):
                entry.cause = "role ended"
                self._ended(entry, None)

    def _live(self) -> list[LiveFault]:
        return [entry.live for entry in self._entries]

    def _note(self, event: str, entry: Entry, **data: object) -> None:
        process = entry.live.process
        role = process.role if process is not None else "lab"
        told = {"id": entry.number, "fault": list(entry.live.fault.words()), **data}
        self._lab.need_runner().note(Event(time.time_ns(), entry.live.node, role, event, data=told))

    def end(self) -> None:
        """The lab ends."""
        for entry in self._entries:
            entry.live.lab_ends()
            for done in entry.waiting:
                done(None)


def _duration(value: object) -> float | None:
    if value is None:
        return None
    seconds = float(str(value))
    if not 0 < seconds <= _MAX_S:
        raise InputError("a fault lasts for more than 0 s and at most 30 days", "--for 10s")
    return seconds


def _answer(connection: Connection, error: NetlabError | None, content: object) -> None:
    if error is not None:
        connection.error(error)
    else:
        connection.ok(content)
