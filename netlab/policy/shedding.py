"""Load shedding: a server that has too much to do refuses at once what it could answer only late."""

from __future__ import annotations

from netlab.model.roles import Shed

_WEIGHT = 0.2  # of the newest answer in the average


class Shedder:
    """Whether a request is worked on. Each one that enters leaves once, with the seconds that it took."""

    def __init__(self, shed: Shed) -> None:
        self._most = shed.concurrency
        self._slow_s = shed.latency_ns / 1e9
        self.inside = 0
        self.average_s = 0.0

    def enter(self) -> str:
        """Why it is refused; empty: it enters. One at a time always may, so that what is no longer slow is
        noticed."""
        if self.inside >= self._most:
            return f"{self.inside} requests are being answered"
        if self._slow_s and self.inside and self.average_s >= self._slow_s:
            return f"answers take {self.average_s * 1000:.0f} ms"
        self.inside += 1
        return ""

    def leave(self, took_s: float) -> None:
        self.inside -= 1
        self.average_s += _WEIGHT * (took_s - self.average_s)
