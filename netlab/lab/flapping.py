"""Takes a link down and up again, at a steady pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from netlab.errors import NetlabError
from netlab.lab.links import Done, Links
from netlab.lab.live_link import LiveLink
from netlab.lab.loop import Loop


@dataclass
class Flapper:
    """Down for `for_s` seconds in every `every_s`, beginning now; `count` times, 0: without end.

    `tell` hears how many times it went down, each time that it does; `done` when it is over, and the
    link up.
    """

    links: Links
    loop: Loop
    link: LiveLink
    near: str
    every_s: float
    for_s: float
    count: int
    tell: Callable[[int], None]
    done: Done
    _flaps: int = 0
    _next: float = 0.0
    _ended: bool = False

    def start(self) -> None:
        self._next = time.monotonic()
        self._down()

    def stop(self) -> None:
        """Whoever wanted it is gone: the link comes up."""
        if not self._ended:
            self._ended = True
            self.links.bring_up(self.link, self.done)

    def _down(self) -> None:
        if not self._ended:
            self.links.take_down(self.link, self.near, self._is_down)

    def _is_down(self, error: NetlabError | None) -> None:
        if error is not None:
            self._give_up(error)
            return
        if self._ended:  # it was stopped while this was under way
            self.links.bring_up(self.link, self.done)
            return
        self._flaps += 1
        self.tell(self._flaps)
        self._at(self._next + self.for_s, self._up)

    def _up(self) -> None:
        if not self._ended:
            self.links.bring_up(self.link, self._is_up)

    def _is_up(self, error: NetlabError | None) -> None:
        if error is not None or self._flaps == self.count:
            self._give_up(error)
            return
        self._next += self.every_s
        self._at(self._next, self._down)

    def _give_up(self, error: NetlabError | None) -> None:
        self._ended = True
        self.done(error)

    def _at(self, moment: float, callback: Callable[[], None]) -> None:
        self.loop.after(max(0.0, moment - time.monotonic()), callback)
