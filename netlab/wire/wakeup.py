"""When to wake for a frame that is due, and how early to start to send it. Pure: the time is passed in.

A timer fires some 30 to 100 µs after its time, and sending takes some more. Both are measured as they
happen: the relay asks to be woken early by the usual lateness, spends the rest awake (50 µs at most), and
starts to send early by half of what sending one frame takes.
"""

from __future__ import annotations

from typing import Final

EARLY_NS: Final = 40_000  # in a crowd frames leave in groups, each up to this much too early or too late
_SPIN_NS: Final = 50_000  # at most awake before a frame is due, beyond the usual lateness
_LATENESS_NS: Final = 200_000  # a machine that wakes later than this is too busy to learn from
_LEAD_NS: Final = 40_000
_WEIGHT: Final = 16  # of the past, against one measurement


class Wakeup:
    """The usual lateness of timers, and the usual duration of a send."""

    def __init__(self) -> None:
        self._late_ns = 50_000
        self._spread_ns = 20_000
        self.lead_ns = 5_000

    def rest_ns(self, next_ns: int, now_ns: int) -> int:
        """How long to sleep before a frame that is due at `next_ns`; 0 or less: stay awake."""
        spare_ns = min(2 * self._spread_ns, _SPIN_NS)
        return next_ns - self.lead_ns - self._late_ns - spare_ns - now_ns

    def nap_ns(self) -> int:
        """How long to sleep in a crowd, so that groups are twice `EARLY_NS` apart."""
        return max(1, 2 * EARLY_NS - self._late_ns)

    def woke(self, asked_ns: int, woke_ns: int) -> None:
        """A sleep that was to end at `asked_ns` ended at `woke_ns`."""
        late_ns = min(woke_ns - asked_ns, _LATENESS_NS)
        self._spread_ns += (abs(late_ns - self._late_ns) - self._spread_ns) // _WEIGHT
        self._late_ns += (late_ns - self._late_ns) // _WEIGHT

    def sent(self, due_ns: int, began_ns: int, ended_ns: int) -> None:
        """One frame, due at `due_ns`, was sent from `began_ns` to `ended_ns`."""
        if due_ns - self.lead_ns <= began_ns and ended_ns - began_ns < 2 * _LEAD_NS:
            half_ns = (ended_ns - began_ns) // 2
            self.lead_ns += (half_ns - self.lead_ns) // _WEIGHT
