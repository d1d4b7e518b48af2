"""Bytes between two connected sockets, in user space, as fast as one process can: a layer 4 balancer's work.

No streams and no tasks per direction: what is read is sent on in the same call of the loop. A reader that is
slow holds its sender back, since nothing is read while something waits to be sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

_BUFFER = 256 * 1024  # larger ones gained nothing in benchmarks/middle_balancer.py
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER for no time: close() sends RST


class _Shared:
    """One buffer for all connections of a process: nothing stays in it between two calls of the loop."""

    whole = memoryview(bytearray(_BUFFER))


class Splice:
    """Between `one` and `other`, non-blocking both, until both directions have ended. The end of one is
    passed on alone (half-close). `answered`: called once, when the first byte of `other` is here. `silent`:
    called once, when `other` breaks or ends without a byte, although it was told something and `one` waits.
    That is at once: the connection may go on for as long as `one` likes."""

    def __init__(
        self,
        one: socket.socket,
        other: socket.socket,
        answered: Callable[[], None] = lambda: None,
        silent: Callable[[], None] = lambda: None,
    ) -> None:
        self._sockets = one, other
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._silent: Callable[[], None] | None = silent
        self.up = _Direction(one, other, self._done)
        self.down = _Direction(other, one, self._done, answered)

    async def run(self) -> None:
        """Raises OSError where either connection broke; then both are reset. Both are closed at the end."""
        try:
            self.up.start()
            self.down.start()
            await self._ended
        except OSError:
            for sock in self._sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            raise
        finally:
            self.up.stop()
            self.down.stop()
            for sock in self._sockets:
                sock.close()

    def _done(self, at: socket.socket, error: OSError | None) -> None:
        if self._ended.done():
            return
        if (
            self._silent is not None
            and at is self._sockets[1]
            and not self.up.ended
            and self.up.moved
            and not self.down.moved
        ):
            self._silent()
            self._silent = None
        if error is not None:
            self._ended.set_exception(error)
        elif self.up.ended and self.down.ended:
            self._ended.set_result(None)


class _Direction:
    """`moved`: bytes that have been read so far. `done` is told which socket has ended, or broken.

    The loop is told descriptors, not sockets: it would write a socket's repr for each that it does not know.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        done: Callable[[socket.socket, OSError | None], None],
        began: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._done = done
        self._began = began
        self._rest = memoryview(b"")  # read, and not sent yet
        self._loop = asyncio.get_running_loop()
        self._reading = self._writing = False
        self.moved = 0
        self.ended = False

    def start(self) -> None:
        """What is here already goes on at once."""
        self._read(True)
        self._readable()

    def stop(self) -> None:
        self._read(False)
        self._write(False)

    def _read(self, wanted: bool) -> None:
        if wanted and not self._reading:
            self._loop.add_reader(self._source.fileno(), self._readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._source.fileno())
        self._reading = wanted

    def _write(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._sink.fileno(), self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._sink.fileno())
        self._writing = wanted

    def _readable(self) -> None:
        try:
            size = self._source.recv_into(_Shared.whole)
        except BlockingIOError:
            return
        except OSError as error:
            self._done(self._source, error)
            return
        if not self.moved and size:
            self._began()
        self.moved += size
        try:
            if size:
                self._send(_Shared.whole[:size])
            else:
                self._end()
        except OSError as error:
            self._done(self._sink, error)

    def _send(self, data: memoryview) -> None:
        try:
            sent = self._sink.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._rest = memoryview(bytes(data[sent:]))
            self._read(False)
            self._write(True)

    def _writable(self) -> None:
        try:
            self._rest = self._rest[self._sink.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._done(self._sink, error)
            return
        if not self._rest:
            self._write(False)
            self._read(True)

    def _end(self) -> None:
        self._read(False)
        self.ended = True
        self._sink.shutdown(socket.SHUT_WR)
        self._done(self._source, None)
