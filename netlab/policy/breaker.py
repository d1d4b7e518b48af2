"""A circuit breaker: an upstream that keeps failing is not asked for a while (guide 8.4).

Closed: requests go. Open: they fail at once. Half-open, when the time is over: a few may go to see; good
answers close it, a bad one opens it again.

`now` is in seconds of any steady clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from netlab.model.roles import Breaker

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Permit:
    """A request may go. `turn` counts the changes of state: what ends after another change says nothing of
    the state that it finds."""

    turn: int


@dataclass(frozen=True, slots=True)
class Change:
    """Another state, and why."""

    state: State
    cause: str


class Circuit:
    """Of one upstream. Each permit is given back once: by `success`, `failure`, or `forget`."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._open_s = breaker.open_ns / 1e9
        self._window_s = breaker.window_ns / 1e9
        self.state: State = "closed"
        self._turn = 0
        self._streak = 0  # failures in a row; in half-open good answers in a row
        self._ended: deque[tuple[float, bool]] = deque()  # of the window: when, and whether well
        self._opened_at = 0.0
        self._probing = 0
        self._changes: list[Change] = []

    def ask(self, now: float) -> Permit | None:
        """None: the request fails at once."""
        if self.state == "open" and now - self._opened_at >= self._open_s:
            self._become("half-open", f"it was open for {self._open_s:g} s")
        if self.state == "open":
            return None
        if self.state == "half-open":
            if self._probing >= self._breaker.probes:
                return None
            self._probing += 1
        return Permit(self._turn)

    def left_s(self, now: float) -> float:
        """Until a request may go again; 0 where the next one may try."""
        return max(0.0, self._opened_at + self._open_s - now) if self.state == "open" else 0.0

    def success(self, permit: Permit, now: float) -> None:
        if permit.turn != self._turn:
            return
        if self.state == "half-open":
            self._probing -= 1
            self._streak += 1
            if self._streak >= self._breaker.probes:
                self._become("closed", f"{_count(self._streak, 'good answer')}")
            return
        self._streak = 0
        self._note(now, well=True)

    def failure(self, permit: Permit, now: float, cause: str) -> None:
        if permit.turn != self._turn:
            return
        if self.state == "half-open":
            self._open(now, f"the test failed: {cause}")
            return
        self._streak += 1
        self._note(now, well=False)
        failed = sum(not well for _, well in self._ended)
        if self._streak >= self._breaker.failures:
            self._open(now, f"{_count(self._streak, 'failure')} in a row, the last: {cause}")
        elif len(self._ended) >= self._breaker.volume and failed >= self._breaker.ratio * len(self._ended):
            self._open(now, f"{failed} of {len(self._ended)} failed, the last: {cause}")

    def forget(self, permit: Permit) -> None:
        """The request was given up by whoever asked; it says nothing of the upstream."""
        if permit.turn == self._turn and self.state == "half-open":
            self._probing -= 1

    def changes(self) -> list[Change]:
        """Those since the last call."""
        found, self._changes = self._changes, []
        return found

    def _note(self, now: float, *, well: bool) -> None:
        if not self._breaker.ratio:
            return
        self._ended.append((now, well))
        while now - self._ended[0][0] > self._window_s or len(self._ended) > _MOST_KEPT:
            self._ended.popleft()

    def _open(self, now: float, cause: str) -> None:
        self._opened_at = now
        self._become("open", cause)

    def _become(self, state: State, cause: str) -> None:
        self.state = state
        self._turn += 1
        self._streak = self._probing = 0
        self._ended.clear()
        self._changes.append(Change(state, cause))


_MOST_KEPT = 10_000  # results of a window, whatever the rate


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
