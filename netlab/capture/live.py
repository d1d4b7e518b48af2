"""A capture as a stream of pcapng, while it goes on: the body of the process behind `netlab capture live`.

libpcap's loops write into pipes, and one thread merges what comes out of them. Whatever is too slow, this
process or the reader of its stream, makes pipes fill up and then the kernel's rings, which count what they
drop: memory stays bounded.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from netlab.capture.assemble import by_address
from netlab.capture.files import DIRECTIONS, Counts, Direction, allow_descriptors
from netlab.capture.merging import Merger
from netlab.capture.recorder import Recording, Target, tell, telling
from netlab.capture.writing import Pipe
from netlab.decode.openings import Openings
from netlab.proto import pcapng

_TICK_S = 0.05
# The kernel hands packets over within two of its timeouts, and stdio within a tick; the rest is for a busy
# machine. Secrets are logged before the packets that they decrypt, and so are there when the packets are due.
_HOLD_NS = 250_000_000
_TIMEOUT_MS = 20  # of the kernel's ring; shorter than where nobody waits for the packets
_MOST_HELD_BYTES = 64 * 1024 * 1024
_MOST_PENDING_BYTES = 1024 * 1024  # that the reader has not taken yet
_READ_BYTES = 256 * 1024
_PIPE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Described:
    """What the stream says of the lab before any packet. `names`: name ─► addresses; `descriptions` and
    `speeds` (bit/s, sending): by "node:interface"; `keys`: the directory of the roles' key logs."""

    names: Mapping[str, Sequence[str]]
    descriptions: Mapping[str, str]
    speeds: Mapping[str, int]
    keys: Path


def serve(
    targets: Sequence[Target],
    snaplen: int,
    capture_filter: str,
    control: socket.socket,
    output: int,
    described: Described,
) -> None:
    """Captures `targets` into the pipe `output` until told to stop, or nobody reads it; needs root.

    `control` is as that of recorder.serve.
    """
    with telling(control):
        _Live(targets, snaplen, capture_filter, control, output, described).run()


@dataclass
class KeyLogs:
    """What is new in a directory's key logs, whole lines only."""

    directory: Path
    _read: dict[Path, int] = field(default_factory=dict)

    def fresh(self) -> str:
        """What came since the last call."""
        return "".join(self._more(path) for path in sorted(self.directory.glob("*.keys")))

    def _more(self, path: Path) -> str:
        start = self._read.get(path, 0)
        with suppress(FileNotFoundError):
            if path.stat().st_size > start:
                with path.open("rb") as file:
                    file.seek(start)
                    whole = file.read().rpartition(b"\n")
                self._read[path] = start + len(whole[0]) + len(whole[1])
                return (whole[0] + whole[1]).decode("ascii", errors="replace")
        return ""


class _Live:
    def __init__(
        self,
        targets: Sequence[Target],
        snaplen: int,
        capture_filter: str,
        control: socket.socket,
        output: int,
        described: Described,
    ) -> None:
        self.targets = targets
        self.snaplen = snaplen
        self.control = control
        self.output = output
        self.described = described
        self.keys = KeyLogs(described.keys)
        self.merger = Merger(len(targets), Openings(described.names).comment)
        self.sources: dict[int, int] = {}  # the read end of a pipe ─► its source
        self.pending = bytearray()
        self.more = False  # whether packets wait only for the reader
        self.read = True  # whether anybody still reads the output
        self.counts: list[Counts] = []
        self.failure: Exception | None = None
        self.ending: threading.Thread | None = None
        allow_descriptors(len(targets) * len(DIRECTIONS))
        self.recording = Recording(targets, self._outputs, snaplen, capture_filter, _TIMEOUT_MS)

    def _outputs(self, _: Target) -> dict[Direction, Pipe]:
        """A pipe for each direction, in the order of `targets`."""
        made: dict[Direction, Pipe] = {}
        for way in DIRECTIONS:
            read_end, write_end = os.pipe()
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self.sources[read_end] = len(self.sources)
            made[way] = Pipe(write_end)
        return made

    def run(self) -> None:
        """Until told to stop, or nobody reads."""
        tell(self.control, {"ready": True})
        os.set_blocking(self.output, False)
        flushing = threading.Thread(target=self._flush, daemon=True)
        flushing.start()
        self.pending += self._head()
        while self.read and (self.sources or self.pending or self.more):
            self._step()
        self._end()
        for read_end in self.sources:  # of loops that wait until somebody takes what they have
            os.close(read_end)
        assert self.ending is not None
        self.ending.join()
        if self.read:
            self._write_statistics()
        os.close(self.output)
        if self.failure is not None and self.read:
            raise self.failure
        tell(self.control, {"stopped": self.counts})

    def _head(self) -> bytes:
        described = [f"{target.node}:{target.interface}" for target in self.targets]
        interfaces = [
            pcapng.interface(
                name,
                self.described.descriptions.get(name, ""),
                snaplen=self.snaplen,
                speed_bps=self.described.speeds.get(name, 0),
            )
            for name in described
        ]
        return b"".join((pcapng.section(), *interfaces, pcapng.names(by_address(self.described.names))))

    def _flush(self) -> None:
        """The body of a thread: the merging one must not wait for a pipe that only it empties."""
        while self.ending is None:
            self.recording.flush()
            time.sleep(_TICK_S)

    def _step(self) -> None:
        poll = select.poll()
        poll.register(self.output, select.POLLOUT if self.pending else 0)
        if self.ending is None:
            poll.register(self.control, select.POLLIN)
        crowded = self.merger.held_bytes > _MOST_HELD_BYTES or len(self.pending) > _MOST_PENDING_BYTES
        for read_end in () if crowded else self.sources:
            poll.register(read_end, select.POLLIN)
        for descriptor, events in poll.poll(0 if self.more and not self.pending else _TICK_S * 1000):
            if descriptor == self.output:
                self.read = self.read and not events & select.POLLERR
            elif descriptor == self.control.fileno():
                self._end()  # stop is all that there is to be told
            else:
                self._receive(descriptor)
        self._due()
        self._write()

    def _receive(self, read_end: int) -> None:
        data = os.read(read_end, _READ_BYTES)
        if data:
            self.merger.receive(self.sources[read_end], data)
        else:
            os.close(read_end)
            del self.sources[read_end]

    def _due(self) -> None:
        """What is old enough, as long as the reader takes it."""
        before_ns = time.time_ns() + (-_HOLD_NS if self.sources else _HOLD_NS)
        keys = self.keys.fresh()
        if keys:
            self.pending += pcapng.secrets(keys)
        self.more = True
        while self.more and len(self.pending) < _MOST_PENDING_BYTES:
            blocks = self.merger.due(before_ns, _READ_BYTES)
            self.pending += blocks
            self.more = bool(blocks)

    def _write(self) -> None:
        try:
            with suppress(BlockingIOError):
                while self.pending:
                    del self.pending[: os.write(self.output, self.pending)]
        except BrokenPipeError:
            self.read = False

    def _end(self) -> None:
        """Stops the loops from a thread, for what they have still must be taken here."""
        if self.ending is None:
            self.ending = threading.Thread(target=self._stop)
            self.ending.start()

    def _stop(self) -> None:
        try:
            self.counts = self.recording.stop()
        except Exception as error:  # noqa: BLE001  run() raises it again
            self.failure = error

    def _write_statistics(self) -> None:
        os.set_blocking(self.output, True)
        now = time.time_ns()
        for number, counts in enumerate(self.counts):
            written, dropped = self.merger.written[number], counts["dropped"]
            self.pending += pcapng.statistics(number, now, written + dropped, dropped, written)
        self._write()
