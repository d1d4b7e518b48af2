"""A live capture as the command line sees it: a pipe to read, and the connection that it lives by."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from netlab.errors import HostError, LabError
from netlab.lab.control import Message, converse

_READ_BYTES = 64 * 1024
_LONG_S = 20 * 86_400.0  # about what poll(2) can wait


class LiveCapture:
    """Begins on a connected control socket; see the operation capture-live. Raises what the lab answers."""

    def __init__(self, connection: socket.socket, request: Message) -> None:
        self._connection = connection
        self._answers = converse(connection, request, time.monotonic() + _LONG_S)
        self._asked = False
        begun = next(self._answers)
        self.document: Message = begun["progress"]
        self._stream = int(begun["descriptor"])

    def finish(self) -> None:
        """Ends the capture; `copy` returns when it has everything."""
        self._asked = True
        self._connection.shutdown(socket.SHUT_WR)

    def copy(self, output: int) -> None:
        """Writes the stream to `output`, as it comes, until it ends, `finish` is called, or nobody reads
        `output` any more. Raises LabError where the capture failed, HostError where `output` can't be
        written."""
        try:
            while (data := self._next(output)) is not None:
                _write(output, data)
                if not data:
                    self._result()
                    return
        except BrokenPipeError:
            return
        except OSError as error:
            raise HostError(f"the capture can't be written: {error.strerror}", "give it more room") from error

    def _next(self, output: int) -> bytes | None:
        """The next bytes, none at the end; None where nobody reads the output."""
        poll = select.poll()
        poll.register(self._stream, select.POLLIN)
        poll.register(output, 0)
        ready = dict(poll.poll())
        if ready.get(output, 0) & (select.POLLERR | select.POLLHUP):
            return None
        return os.read(self._stream, _READ_BYTES)

    def _result(self) -> None:
        if self._asked:
            return  # the lab has nobody to answer to
        if not any("ok" in answer for answer in self._answers):
            raise LabError("the lab ended", "see: netlab ps")

    def close(self) -> None:
        os.close(self._stream)


def _write(output: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(output, view) :]


@contextmanager
def ending_on_signals(capture: LiveCapture) -> Iterator[None]:
    """SIGINT and SIGTERM end the capture, so that what it has is whole; a second one ends the process."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        capture.finish()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
