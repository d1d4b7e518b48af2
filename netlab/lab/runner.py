"""Starts roles through the zygote, hears their events, and sees them end."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from netlab.errors import LabError
from netlab.lab.events import EventLog, exited_event
from netlab.lab.helpers import Helper
from netlab.lab.loop import Loop
from netlab.lab.roster import RoleProcess, RoleState
from netlab.lab.sandbox import Account
from netlab.lab.talk import Talk
from netlab.lab.zygote import MAX_PACKET, Hands, Order, send_order
from netlab.model.event import Event
from netlab.model.launch import Launch
from netlab.model.roles import CdnSpec

READ_AT_ONCE = 64 * 1024  # bytes; one role's flood must not keep the others waiting

Listener = Callable[[RoleProcess, list[Event]], None]


class Runner:
    """The roles' processes of one lab. `listeners` hear all events; `ended` hears of every role's end."""

    def __init__(
        self, directory: Path, loop: Loop, zygote: Helper, lab: str, open_files: tuple[int, int]
    ) -> None:
        self._directory = directory
        self._loop = loop
        self._zygote = zygote
        self._lab = lab
        self._account = Account.unprivileged()
        self._open_files = open_files
        self._serial = itertools.count(1)
        self._ordered: dict[int, RoleProcess] = {}
        self._by_pid: dict[int, RoleProcess] = {}
        self._log = EventLog(directory / "events.jsonl")
        self.listeners: list[Listener] = []
        self.ended: list[Callable[[RoleProcess], None]] = []
        loop.watch(zygote.channel, self._zygote_answered)

    def start(self, process: RoleProcess, launch: Launch, namespace: int, files: Path) -> None:
        """Have the zygote fork it. Raises LabError where the zygote is dead."""
        order = Order(
            next(self._serial),
            self._lab,
            process.node,
            process.role,
            process.spec.kind,
            str(files),
            self._account.uid,
            self._account.gid,
            self._open_files,
            self._store(process),
        )
        events_in, events_out = os.pipe()
        os.set_blocking(events_in, False)
        process.events_fd = events_in
        process.state = RoleState.STARTING
        self._ordered[order.serial] = process
        self._loop.watch(events_in, lambda: self._read(process))
        control = self._talk(process)
        with contextlib.ExitStack() as stack, control:
            stack.callback(os.close, events_out)
            spec = self._spec_file(launch)
            stack.callback(os.close, spec)
            keys = self._file("keys", f"{process.node}.{process.role}.keys")
            stack.callback(os.close, keys)
            log = self._file("logs", f"{process.node}.{process.role}.log")
            stack.callback(os.close, log)
            process.log_start = os.fstat(log).st_size
            qlog = self._file("qlog", f"{process.node}.{process.role}.qlog")
            stack.callback(os.close, qlog)
            self._send(order, Hands(namespace, spec, events_out, keys, log, qlog, control.fileno()), process)

    def _talk(self, process: RoleProcess) -> socket.socket:
        """The role's end of what it is told over while it runs."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)  # a role that reads nothing, as one that is paused, keeps nobody waiting
        process.talk = Talk(f"{process.node}.{process.role}", ours)
        process.talk.listen(self._loop)
        return theirs

    def _send(self, order: Order, hands: Hands, process: RoleProcess) -> None:
        try:
            send_order(self._zygote.channel, order, hands)
        except OSError as error:
            self._ordered.pop(order.serial, None)
            self._end(process, lambda: process.failed("was not started: the zygote is dead"))
            raise LabError(
                f"{process.node}: role {process.role} can't be started: the lab's zygote is dead",
                f"netlab down {self._lab}, and bring it up again",
            ) from error

    def _store(self, process: RoleProcess) -> str:
        """The directory of a role with a disk, which outlives its process; "" for others."""
        if not isinstance(process.spec, CdnSpec) or process.spec.disk is None:
            return ""
        place = self._directory / "store" / f"{process.node}.{process.role}"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(place, self._account.uid, self._account.gid)
        return str(place)

    @staticmethod
    def _spec_file(launch: Launch) -> int:
        descriptor = os.memfd_create("netlab-spec")
        remaining = memoryview(launch.model_dump_json().encode())
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def _file(self, directory: str, name: str) -> int:
        """Owned by the role's user, for it opens it again by its descriptor; nobody else can reach it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._directory / directory / name, flags, 0o600)
        os.fchown(descriptor, self._account.uid, self._account.gid)
        return descriptor

    # What comes back.

    def _zygote_answered(self) -> None:
        data = self._zygote.channel.recv(MAX_PACKET)
        if not data:
            self._loop.unwatch(self._zygote.channel)
            for process in self._ordered.values():
                self._end(process, lambda lost=process: lost.failed("was not started: the zygote died"))  # type: ignore[misc]
            self._ordered.clear()
            return
        self._started(json.loads(data))

    def _drain_zygote(self) -> None:
        """Answers come before the end of the role that they are about: read them first."""
        while self._zygote.alive:
            try:
                data = self._zygote.channel.recv(MAX_PACKET, 0x40)  # MSG_DONTWAIT
            except BlockingIOError:
                return
            if not data:
                return  # the loop sees the end of file too
            self._started(json.loads(data))

    def _started(self, answer: dict[str, object]) -> None:
        process = self._ordered.pop(int(str(answer["serial"])))
        process.pid = int(str(answer["pid"]))
        if process.pid:
            self._by_pid[process.pid] = process
            if process.unwanted:
                self.stop(process)
        else:
            cause = str(answer["cause"]).splitlines()[-1]
            self._end(process, lambda: process.failed(f"was not started: {cause}"))

    def reaped(self, pid: int, code: int) -> bool:
        """A child of the supervisor ended; whether it was a role."""
        self._drain_zygote()
        process = self._by_pid.pop(pid, None)
        if process is None:
            return False
        self._end(process, lambda: process.ended(code))
        return True

    def _end(self, process: RoleProcess, note: Callable[[], None]) -> None:
        """Whatever it wrote is in the pipe by now, for its children ended before it."""
        while process.events_fd >= 0 and self._read(process):
            pass
        self._close_events(process)
        if process.talk is not None:
            process.talk.close()
            process.talk = None
        note()
        self._record(process, [exited_event(process.node, process.role, process.status)])
        for listener in tuple(self.ended):  # one that has heard enough takes itself off the list
            listener(process)

    def _read(self, process: RoleProcess) -> bool:
        """Whether there was anything."""
        try:
            data = os.read(process.events_fd, READ_AT_ONCE)
        except BlockingIOError:
            return False
        self._record(process, list(process.stream.receive(data, time.time_ns())))
        if not data:
            self._close_events(process)
        return bool(data)

    def _close_events(self, process: RoleProcess) -> None:
        if process.events_fd >= 0:
            self._loop.unwatch(process.events_fd)
            os.close(process.events_fd)
            process.events_fd = -1

    def note(self, event: Event) -> None:
        """An event of the supervisor's own, into the log alone."""
        self._log.append([event])

    def _record(self, process: RoleProcess, events: list[Event]) -> None:
        if not events:
            return
        for event in events:
            process.heard(event)
        self._log.append(events)
        for listener in tuple(self.listeners):
            listener(process, events)

    # How it ends.

    @property
    def lost_events(self) -> int:
        return self._log.lost

    @property
    def running(self) -> int:
        """How many roles have a process, or will."""
        return len(self._by_pid) + len(self._ordered)

    def signal_all(self, number: int) -> None:
        for pid in self._by_pid:
            os.kill(pid, number)  # not reaped yet, so the PID is still this role's

    def terminate(self, process: RoleProcess) -> None:
        """SIGTERM, if it runs: it drains and ends."""
        if process.pid in self._by_pid:
            os.kill(process.pid, signal.SIGTERM)

    def stop(self, process: RoleProcess) -> None:
        """Kill it, now or as soon as it is known which process it is."""
        process.unwanted = True
        if process.pid in self._by_pid:
            os.kill(process.pid, signal.SIGKILL)
