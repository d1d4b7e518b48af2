"""One direction of a link: what happens to a frame and when it comes out. Pure: the time is passed in.

The order is: queue (at most `limit_packets`, tail drop), loss, serialise at `rate_bps`, propagate for
`delay_ns` ± `jitter_ns`. A lost frame takes no time on the line, as in tc-netem.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

from netlab.model.impairment import Impairment

LATE_NS = 1_000_000  # a frame that leaves later than this after its time counts as late
_BIT_NS = 8 * 1_000_000_000  # one byte, in bits, times nanoseconds in a second


@dataclass(slots=True)
class Counters:
    """What one direction did. `frames` and `bytes` were put on the far end.

    `lost`: by the impairment. `overlimit`: tail drops of the queue. `late`: left more than 1 ms after
    their time. `unable`: dropped because the relay or the kernel could not carry them.
    """

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    overlimit: int = 0
    late: int = 0
    unable: int = 0


class Machine:
    """A direction's queue, line and randomness. All times are nanoseconds of one clock of the caller's.

    The same seed, impairment, arrivals and changes give the same releases and losses.
    """

    def __init__(self, impairment: Impairment, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311  (a model of chance, that must be repeatable)
        self._departures: deque[int] = deque()  # when each queued frame will have left the queue
        self._line_free_ns = 0
        self._remainder = 0  # of the division by the rate, so that a long run has no drift
        self.counters = Counters()
        self.impairment = impairment

    def change(self, impairment: Impairment) -> None:
        """From now on another impairment. Frames that already have a release time keep it."""
        self.impairment = impairment
        self._remainder = 0

    def queued(self, now_ns: int) -> int:
        """How many frames wait for the line, the one being serialised included."""
        departures = self._departures
        while departures and departures[0] <= now_ns:
            departures.popleft()
        return len(departures)

    def arrive(self, length: int, now_ns: int) -> int | None:
        """When a frame of `length` bytes that came at `now_ns` is to leave; None where it is dropped."""
        impairment = self.impairment
        if impairment.rate_bps and self.queued(now_ns) >= impairment.limit_packets:
            self.counters.overlimit += 1
            return None
        if impairment.loss and self._random.random() < impairment.loss:
            self.counters.lost += 1
            return None
        sent_ns = self._serialise(length, now_ns) if impairment.rate_bps else now_ns
        return sent_ns + (self._jittered() if impairment.jitter_ns else impairment.delay_ns)

    def released(self, length: int, due_ns: int, now_ns: int) -> None:
        """Count a frame that was put on the far end at `now_ns`."""
        counters = self.counters
        counters.frames += 1
        counters.bytes += length
        if now_ns - due_ns > LATE_NS:
            counters.late += 1

    def _serialise(self, length: int, now_ns: int) -> int:
        """The time at which the frame's last bit is on the line."""
        if now_ns >= self._line_free_ns:
            self._line_free_ns = now_ns
            self._remainder = 0
        took_ns, self._remainder = divmod(length * _BIT_NS + self._remainder, self.impairment.rate_bps)
        self._line_free_ns += took_ns
        self._departures.append(self._line_free_ns)
        return self._line_free_ns

    def _jittered(self) -> int:
        """The delay of one frame: uniform in delay ± jitter, never negative."""
        jitter_ns = self.impairment.jitter_ns
        return max(0, self.impairment.delay_ns + self._random.randint(-jitter_ns, jitter_ns))
