"""Two hosts and the link of a topology between them, by either backend, the way that a lab makes it."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from netlab.fabric.kernel import Kernel
from netlab.fabric.probe import probe
from netlab.lab.live_link import live_links
from netlab.model.impairment import Impairment
from netlab.model.load import loads
from netlab.plan import plan
from netlab.plan.ops import WIRE, StartRole, StartWire
from netlab.wire.relay import serve
from tests.kit.inside import inside
from tests.kit.wired import frame_of, run_child

KIND = 0x88B5  # local experimental Ethernet type (IEEE 802, table of EtherTypes): nobody else sends it
SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_BUFFER = 64 * 1024 * 1024
_TOPOLOGY = """
name: linked
nodes:
  a: {{interfaces: {{eth0: 10.0.0.1/24}}}}
  b: {{interfaces: {{eth0: 10.0.0.2/24}}}}
links:
  - {{ends: [a:eth0, b:eth0], backend: {backend}, {words}}}
"""


class Arrival(NamedTuple):
    """A frame that came: its number, its bytes, when (by the kernel), and how long after it was sent."""

    number: int
    data: bytes
    time_ns: int
    delay_ns: int


class Linked:
    """Frames go from a to b, and are stamped by the kernel when they come."""

    def __init__(self, kernel: Kernel, backend: str, words: str) -> None:
        self._kernel = kernel
        self.pid = 0
        topology = loads(_TOPOLOGY.format(backend=backend, words=words), "linked.yaml")
        made = plan(topology, probe())
        kernel.apply([one for one in made.operations if not isinstance(one, StartWire | StartRole)])
        for start in made.operations:
            if isinstance(start, StartWire):
                self._start(start)
        self.live = live_links(topology, made)[0]
        self.a, self.b = kernel.namespace("a"), kernel.namespace("b")

    def _start(self, start: StartWire) -> None:
        self._control, theirs = socket.socketpair()
        self._link = start.links[0].name
        self.pid = os.fork()
        if self.pid == 0:
            self._control.close()
            run_child(lambda: serve(start, self._kernel.namespace(WIRE), theirs, seed=1))
        theirs.close()
        self._control.settimeout(10)
        self._answers = self._control.makefile("r")
        assert json.loads(self._answers.readline()) == {"ready": True}

    def set(self, up: Impairment) -> None:
        """Change at once what happens to frames from a to b."""
        if not self.pid:
            self._kernel.set_impairment(*self.live.qdisc("up"), up)
            return
        request = {"op": "set", "link": self._link, "up": up.document()}
        self._control.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        assert "ok" in answer, answer

    def close(self) -> None:
        if self.pid:
            self._answers.close()
            self._control.close()
            assert os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0

    @contextmanager
    def flight(self) -> Iterator[Flight]:
        """Sockets at both ends."""
        with _packets(self.a) as source, _packets(self.b) as sink:
            yield Flight(source, sink)


class Flight:
    """Frames on their way from a to b."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source, self._sink = source, sink
        self._sent: dict[int, int] = {}
        self.came: list[Arrival] = []

    def send(self, count: int, length: int = 100, gap_s: float = 0.0) -> None:
        """`count` frames of `length` bytes; numbers go on from the last. Takes what has come by then."""
        due = time.monotonic()
        for _ in range(count):
            number = len(self._sent)
            frame = frame_of(KIND, struct.pack("!I", number)).ljust(length, b"\x55")
            self._sent[number] = time.time_ns()
            try:
                self._source.send(frame)
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # a qdisc that drops at the tail tells its sender so
                    raise
            due += gap_s
            self.receive(until=lambda due=due: time.monotonic() >= due)  # type: ignore[misc]

    def receive(self, until: Callable[[], bool]) -> None:
        """Take what comes until it is so, and what is there by then."""
        while True:
            done = until()
            while self._take():
                pass
            if done:
                return
            self._sink.settimeout(0.002)
            self._take()
            self._sink.settimeout(0)

    def all_of(self, quiet_s: float = 0.4, deadline_s: float = 10) -> list[Arrival]:
        """All that came, when nothing has come for so long."""
        last, count, end = time.monotonic(), len(self.came), time.monotonic() + deadline_s

        def quiet() -> bool:
            nonlocal last, count
            if len(self.came) != count:
                last, count = time.monotonic(), len(self.came)
            return time.monotonic() > min(last + quiet_s, end)

        self.receive(quiet)
        return self.came

    def _take(self) -> bool:
        try:
            data, ancillary, _, _ = self._sink.recvmsg(2048, 64)
        except (BlockingIOError, TimeoutError):
            return False
        stamps = [value for _, kind, value in ancillary if kind == SO_TIMESTAMPNS]
        seconds, nanoseconds = struct.unpack("=qq", stamps[0])
        arrived = seconds * 1_000_000_000 + nanoseconds
        number = int.from_bytes(data[14:18], "big")
        self.came.append(Arrival(number, data, arrived, arrived - self._sent.get(number, arrived)))
        return True


def _packets(namespace_fd: int) -> socket.socket:
    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        raw.bind(("eth0", KIND))
        raw.settimeout(0)
        return raw

    return inside(namespace_fd, opened)
