"""The relay: one process that carries every impaired link of a lab, where the kernel has no netem.

The links' middle ends are interfaces of one namespace. What comes in at one is put out of the other after
the delay, counted from the kernel's own time stamp, so that queueing in this process adds nothing.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import time
from types import FrameType
from typing import Final

from netlab.errors import KernelError
from netlab.plan.ops import StartWire
from netlab.wire.control import Control, Requests
from netlab.wire.engine import Machine, Verdict
from netlab.wire.frame import VNET, corrupt, ecn_capable, mark
from netlab.wire.interface import set_up
from netlab.wire.ring import Ring, open_socket
from netlab.wire.schedule import Schedule
from netlab.wire.store import Store
from netlab.wire.syscalls import Sleeper, enter_network, sharpen_timers
from netlab.wire.transmit import BATCH, Frame, Transmitter
from netlab.wire.wakeup import EARLY_NS, Wakeup

_CONTROL_EVERY_NS: Final = 10_000_000  # a busy relay still looks at its control socket so often
_CROWD: Final = 8  # frames in one round, coming and going, that make it a crowd
_PRIORITY: Final = 10  # of SCHED_FIFO; above ordinary programs, below the kernel's own threads


class Relay:
    """Machines, frames in flight, and the sockets that they come from and go to."""

    def __init__(self, start: StartWire, control: socket.socket, seed: int) -> None:
        self._machines: list[Machine] = []
        self._lanes: dict[int, tuple[int, Machine]] = {}  # index of the incoming interface ─► lane, machine
        self._out: list[int] = []  # lane ─► index of the outgoing interface
        self._links = {link.name: link for link in start.links}
        links: dict[str, tuple[Machine, Machine]] = {}
        for link in start.links:
            up = self._lane(link.a, link.b, Machine(link.up, seed, f"{link.name}/up"))
            down = self._lane(link.b, link.a, Machine(link.down, seed, f"{link.name}/down"))
            links[link.name] = (up, down)
        self._schedule: Schedule[Frame] = Schedule(len(self._machines))
        self._store = Store()
        self._socket = open_socket()
        self._ring = Ring(self._socket)
        self._transmitter = Transmitter(self._socket.fileno(), tuple(self._out))
        requests = Requests(links, self._ring.dropped, self._schedule.__len__, self._plug)
        self._control = Control(control, requests)
        self._ended = False
        signal.signal(signal.SIGTERM, self._end)
        self._sleeper = Sleeper((control.fileno(), self._socket.fileno()), signal.SIGTERM)
        self._wakeup = Wakeup()
        self._control_seen_ns = 0

    def run(self) -> None:
        """Relay until SIGTERM, or the end of file of the control socket."""
        self._control.ready()
        crowded = False
        while not self._ended:
            came = self._ring.read(self._arrive, BATCH)
            now_ns = time.monotonic_ns()
            due = self._schedule.due(now_ns + self._wakeup.lead_ns + (EARLY_NS if crowded else 0), BATCH)
            if due:
                self._release(due, now_ns)
            crowded = came + len(due) >= _CROWD
            if now_ns - self._control_seen_ns > _CONTROL_EVERY_NS:
                self._sleep(0, now_ns)
            elif came < BATCH and len(due) < BATCH:
                self._rest(crowded)

    def _lane(self, from_: str, to: str, machine: Machine) -> Machine:
        indexes = [_index(name) for name in (from_, to)]
        self._lanes[indexes[0]] = (len(self._machines), machine)
        self._machines.append(machine)
        self._out.append(indexes[1])
        return machine

    def _plug(self, name: str, up: bool) -> None:
        """Give a link's ends their carrier, or take it away with all frames in flight. Raises OSError."""
        link = self._links[name]
        for interface in (link.a, link.b):
            lane, machine = self._lanes[_index(interface)]
            machine.connect(connected=up)
            if not up:
                lost = self._schedule.clear(lane)
                machine.counters.unplugged += len(lost)
                self._store.release(kept for _, _, kept in lost)
            set_up(interface, up=up)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._ended = True

    def _arrive(self, index: int, now_ns: int, data: memoryview) -> None:
        """A frame came in."""
        if index not in self._lanes:  # lo, or an interface that no link names
            return
        lane, machine = self._lanes[index]
        if not machine.simple:
            self._meet(lane, machine, now_ns, data)
            return
        release_ns = machine.arrive(len(data) - VNET, now_ns)
        if release_ns is not None:
            self._keep(lane, machine, release_ns, data)

    def _meet(self, lane: int, machine: Machine, now_ns: int, data: memoryview) -> None:
        """A frame came in to a machine that does more than to delay, lose and queue."""
        may_mark = machine.impairment.ecn and ecn_capable(data[VNET:])
        for verdict in machine.meet(len(data) - VNET, now_ns, ecn_capable=may_mark):
            changed = _changed(data, verdict)
            if changed is None:
                machine.counters.lost += 1
            else:
                self._keep(lane, machine, verdict.release_ns, changed)

    def _keep(self, lane: int, machine: Machine, release_ns: int, data: memoryview) -> None:
        kept = self._store.keep(data)
        if kept is None:
            machine.counters.unable += 1
        else:
            self._schedule.add(lane, release_ns, (lane, len(data), kept))

    def _release(self, due: list[tuple[int, int, Frame]], now_ns: int) -> None:
        """Put out the frames whose time has come."""
        refused = self._transmitter.send([frame for _, _, frame in due])
        for place, number in reversed(refused):
            lane, _, kept = due.pop(place)[2]
            counters = self._machines[lane].counters
            if number == errno.ENETDOWN:  # the far end was brought down: no cable could carry it either
                counters.unplugged += 1
            else:
                counters.unable += 1
            self._store.release((kept,))
        for due_ns, _, (lane, length, _) in due:
            self._machines[lane].released(length - VNET, due_ns, now_ns)
        self._store.release(kept for _, _, (_, _, kept) in due)
        if len(due) == 1:
            self._wakeup.sent(due[0][0], now_ns, time.monotonic_ns())

    def _rest(self, crowded: bool) -> None:
        """Sleep until a frame comes or is nearly due; the last microseconds are spent awake.

        In a crowd of frames, let them gather for a moment instead: that halves the cost of each.
        """
        next_ns = self._schedule.next_ns()
        now_ns = time.monotonic_ns()
        if crowded:
            self._sleep(self._wakeup.nap_ns(), now_ns, frames=False)
        elif next_ns is None:
            self._sleep(None, now_ns)
        else:
            rest_ns = self._wakeup.rest_ns(next_ns, now_ns)
            if rest_ns > 0:
                self._sleep(rest_ns, now_ns)

    def _sleep(self, rest_ns: int | None, now_ns: int, *, frames: bool = True) -> None:
        asked, came = self._sleeper.wait(rest_ns, 2 if frames else 1)
        self._control_seen_ns = time.monotonic_ns()
        if rest_ns and not asked and not came:
            self._wakeup.woke(now_ns + rest_ns, self._control_seen_ns)
        if asked:
            self._ended = not self._control.answer() or self._ended


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:  # Python gives it no errno, and there is no other reason
        raise KernelError(f"wire: find interface {interface}", errno.ENODEV) from error


def _changed(data: memoryview, verdict: Verdict) -> memoryview | None:
    """The frame as the verdict wants it; None where a long frame's bit can't be flipped."""
    if verdict.corrupt_bit < 0 and not verdict.mark:
        return data
    changed = bytearray(data)
    if verdict.mark:
        mark(memoryview(changed)[VNET:])
    if verdict.corrupt_bit >= 0 and not corrupt(changed, verdict.corrupt_bit):
        return None
    return memoryview(changed)


def _hurry() -> None:
    """Run before ordinary programs; where that is not permitted, as early as `nice` allows."""
    sharpen_timers()
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY))
    except PermissionError:  # no real-time share in this control group: less exact, but right
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)


def serve(start: StartWire, namespace_fd: int, control: socket.socket, seed: int) -> None:
    """Relay the links of `start` in the namespace until `control` ends or SIGTERM comes.

    The body of a process of its own, as root. Writes `{"ready": true}` to `control` once it relays.
    Raises KernelError where the namespace, an interface or the packet socket can't be had.
    """
    try:
        enter_network(namespace_fd)
        relay = Relay(start, control, seed)
        _hurry()
    except OSError as error:
        raise KernelError("wire: open the relay's socket", error.errno or 0, str(error)) from error
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing in the loop makes cycles, and a collection would delay frames
    relay.run()
