"""A small event loop for the supervisor: descriptors, signals, timers, and waiting for a condition.

Not asyncio: importing it costs a third of what bringing up 250 nodes takes, and the supervisor needs no
more than this.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

Callback = Callable[[], object]
_LONGEST_S = 3600.0  # select(2) and its like can't wait for any number of seconds


class Loop:
    """Runs callbacks in one thread. `until` nests nowhere: callbacks must not call it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callback]] = []
        self._serial = itertools.count()
        self._signals: dict[int, Callback] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self.watch(self._wake_in, self._deliver_signals)

    def watch(self, source: Any, callback: Callback) -> None:
        """Call back whenever `source` (a descriptor or an object with one) can be read or has ended."""
        self._selector.register(source, selectors.EVENT_READ, callback)

    def unwatch(self, source: Any) -> None:
        self._selector.unregister(source)

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back, from the loop and not from the handler, after the signal came."""
        self._signals[number] = callback
        signal.signal(number, _noted)
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)

    def after(self, delay_s: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._serial), callback))

    def until(self, condition: Callable[[], bool], deadline: float | None = None) -> bool:
        """Run until the condition holds, or until the deadline (monotonic seconds); whether it holds.

        An exception of a callback ends it, and is the caller's.
        """
        while not condition():
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return False
            self._run_timers(now)
            self._turn(deadline)
        return True

    def _turn(self, deadline: float | None) -> None:
        moments = [self._timers[0][0]] if self._timers else []
        moments += [deadline] if deadline is not None else []
        timeout = min(_LONGEST_S, max(0.0, min(moments) - time.monotonic())) if moments else None
        for key, _ in self._selector.select(timeout):
            # an earlier callback of this turn may have stopped watching it
            if self._selector.get_map().get(key.fd) is key:
                key.data()

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _deliver_signals(self) -> None:
        try:
            numbers = set(self._wake_in.recv(4096))
        except BlockingIOError:
            return
        for number in numbers:
            if number in self._signals:
                self._signals[number]()

    def forget_in_child(self) -> None:
        """After a fork, in the child: signals do again what they do by default. It closes no descriptor."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)


def _noted(_number: int, _frame: object) -> None:
    """Python's own wake-up descriptor tells the loop."""
