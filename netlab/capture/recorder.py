"""Records many interfaces in many network namespaces at once: the body of the lab's capture process.

A thread for each direction of an interface moves into its namespace and runs libpcap's loop. One process,
so that one clock and one stop hold for all of them.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import sleep
from typing import Any

from netlab.capture import libpcap
from netlab.capture.files import DIRECTIONS, Counts, Direction, RingSize, allow_descriptors, raw
from netlab.capture.handle import Capture
from netlab.capture.writing import Budget, File, Pipe, Ring
from netlab.errors import LabError, NetlabError

_DRAIN_TIMEOUTS = 3  # the kernel hands a block of its ring over after one or two; a busy machine is late
_FLUSH_S = 0.5  # what a SIGKILL can lose is what came since the last flush
_DESCRIPTORS_EACH = 8  # of a capture: the ring's socket, an eventfd, the file; some more while libpcap starts


@dataclass(frozen=True, slots=True)
class Target:
    """An interface to record, and a descriptor of the network namespace that it is in."""

    node: str
    interface: str
    namespace_fd: int


Outputs = Callable[[Target], Mapping[Direction, Pipe]]


def serve(
    targets: Sequence[Target],
    directory: Path,
    snaplen: int,
    capture_filter: str,
    control: socket.socket,
    ring: RingSize | None = None,
) -> None:
    """Records `targets` into `directory` (files.raw) until told to stop; needs root.

    On `control`, a stream socket, JSON lines: writes {"ready": true} once every interface records;
    at {"op": "stop"}, or the end of file, writes out what the kernel holds, then
    {"stopped": [Counts]}. What goes wrong is written as {"error": {"kind", "cause", "remedy"}}, and
    ends it.
    """
    with telling(control):
        recording = Recording(targets, files(directory, ring), snaplen, capture_filter)
        try:
            tell(control, {"ready": True})
            control.settimeout(_FLUSH_S)
            _wait_for_stop(control, recording.flush)
        finally:
            counts = recording.stop()
        tell(control, {"stopped": counts})


@contextmanager
def telling(control: socket.socket) -> Iterator[None]:
    """What goes wrong in the body is written to `control`."""
    try:
        yield
    except NetlabError as error:
        kind, cause = type(error).__name__, error.cause
        tell(control, {"error": {"kind": kind, "cause": cause, "remedy": error.remedy}})


def files(directory: Path, ring: RingSize | None) -> Outputs:
    """Where each interface's packets go. A ring's two directions share what its interface may keep, in files
    of half the size; one of each is being written."""

    def outputs(target: Target) -> dict[Direction, Pipe]:
        whole = {way: raw(directory, target.node, target.interface, way) for way in DIRECTIONS}
        if ring is None:
            return {way: File(path) for way, path in whole.items()}
        budget = Budget(len(DIRECTIONS) * (ring.files - 1))
        return {way: Ring(path, ring.size // len(DIRECTIONS), budget) for way, path in whole.items()}

    return outputs


def tell(control: socket.socket, message: dict[str, Any]) -> None:
    """Writes a line; nobody need listen."""
    # Nobody listens any more after the end of file; the files are what counts then.
    with suppress(BrokenPipeError, ConnectionResetError):
        control.sendall(json.dumps(message).encode() + b"\n")


def _wait_for_stop(control: socket.socket, idle: Callable[[], None]) -> None:
    for line in _lines(control, idle):
        try:
            request = json.loads(line)
        except ValueError as error:
            raise LabError(f"the recorder was sent {line!r}, which is not JSON") from error
        if request == {"op": "stop"}:
            return
        raise LabError(f"the recorder was asked for {request!r}; it knows only stop")


def _lines(control: socket.socket, idle: Callable[[], None]) -> Iterator[bytes]:
    """Until the peer closes, or is gone. `idle` is called whenever nothing comes within the timeout."""
    buffer = b""
    with suppress(ConnectionResetError):
        while True:
            try:
                data = control.recv(4096)
            except TimeoutError:
                idle()
                continue
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            yield from lines


class Recording:
    """All the captures, each with its thread. The constructor returns when every one records."""

    def __init__(
        self,
        targets: Sequence[Target],
        outputs: Outputs,
        snaplen: int,
        capture_filter: str,
        timeout_ms: int = libpcap.TIMEOUT_MS,
    ) -> None:
        """`timeout_ms`: how long the kernel may keep what comes. Raises the first failure of any."""
        libpcap.check_filter(capture_filter, snaplen)
        allow_descriptors(len(targets) * len(DIRECTIONS) * _DESCRIPTORS_EACH)
        self.targets = targets
        self.snaplen = snaplen
        self.filter = capture_filter
        self.timeout_ms = timeout_ms
        self.ring = libpcap.ring_bytes(len(targets) * len(DIRECTIONS))
        self.captures: dict[tuple[Target, Direction], Capture] = {}
        self.failures: list[Exception] = []
        self.started: SimpleQueue[Target] = SimpleQueue()
        self.threads = [
            threading.Thread(target=self._record, args=(target, way, output))
            for target in targets
            for way, output in outputs(target).items()
        ]
        for thread in self.threads:
            thread.start()
        for _ in self.threads:
            self.started.get()
        if self.failures:
            self.stop()

    def _record(self, target: Target, way: Direction, output: Pipe) -> None:
        """The body of a thread."""
        try:
            try:
                libpcap.enter(target.namespace_fd)
                settings = self.snaplen, self.filter, self.ring, self.timeout_ms
                self.captures[target, way] = capture = Capture(target.interface, way, output, *settings)
            finally:
                self.started.put(target)
            capture.run()
        except NetlabError as error:
            error.cause = f"{target.node}: {error.cause}"
            self.failures.append(error)
        except Exception as error:  # noqa: BLE001  a thread can't raise to anybody; stop() raises it again
            self.failures.append(error)

    def flush(self) -> None:
        """Has every file hold what was captured until now, for who reads them after a SIGKILL."""
        for capture in self.captures.values():
            capture.flush()

    def stop(self) -> list[Counts]:
        """Ends every capture. Raises the first failure that any of them had."""
        sleep(_DRAIN_TIMEOUTS * self.timeout_ms / 1000)
        for capture in self.captures.values():
            capture.stop()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]
        return [self._counts(target) for target in self.targets]

    def _counts(self, target: Target) -> Counts:
        both = [self.captures[target, way] for way in DIRECTIONS]
        return Counts(
            node=target.node,
            interface=target.interface,
            packets=sum(one.packets for one in both),
            dropped=sum(one.dropped for one in both),
        )
