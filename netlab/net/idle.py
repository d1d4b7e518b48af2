"""Waiting for a peer that may send nothing for long, or for ever."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netlab.net.context import RoleContext
    from netlab.net.stream import Stream


class IdleWatch:
    """`with watch:` around a read: TimeoutError once the read has taken `timeout_s`, or the role stops.

    One timer for all reads of a connection, started anew only when it fires: a timer for each request costs
    as much as parsing it. `close` when the connection ends.
    """

    def __init__(self, ctx: RoleContext, stream: Stream, timeout_s: float) -> None:
        self._ctx = ctx
        self._stream = stream
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._since = self._loop.time()
        self._ctx.waiting.add(self)
        if self._ctx.stopping:
            self._loop.call_soon(self.interrupt)  # not before what has come already is read
        elif self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._fired)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ctx.waiting.discard(self)

    def _fired(self) -> None:
        self._timer = None
        if self not in self._ctx.waiting:
            return  # the next wait starts it again
        left_s = self._since + self._timeout_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._fired)
        else:
            self.interrupt()

    def interrupt(self) -> None:
        """End the wait, if there is one."""
        if self in self._ctx.waiting:
            self._stream.interrupt()

    def close(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
