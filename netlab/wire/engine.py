"""One direction of a link: what happens to a frame and when it comes out. Pure: the time is passed in.

The order is tc-netem's: duplicate, lose (or mark), corrupt, queue (at most `limit_packets`, tail drop),
serialise at `rate_bps`, propagate for `delay_ns` and jitter, unless the frame is reordered, then wait for a
slot. A lost frame takes no time on the line.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from random import Random
from typing import NamedTuple

from netlab.model.impairment import Impairment
from netlab.wire.chance import delays, event, losses
from netlab.wire.slots import Slots

LATE_NS = 1_000_000  # a frame that leaves later than this after its time counts as late
_BIT_NS = 8 * 1_000_000_000  # one byte, in bits, times nanoseconds in a second
# What the short way through a machine knows; an impairment with anything else takes the long one.
_SIMPLE = {"delay_ns", "jitter_ns", "loss", "rate_bps", "limit_packets", "seed"}


@dataclass(slots=True)
class Counters:
    """What one direction did. `frames` and `bytes` were put on the far end, copies included.

    `lost`: by the impairment. `overlimit`: tail drops of the queue. `duplicated`, `corrupted`, `marked`
    (Congestion Experienced) and `reordered` (did not wait for the delay): frames that met this.
    `unplugged`: dropped because the link is down. `late`: left more than 1 ms after their time. `unable`:
    dropped because the relay or the kernel could not carry them.
    """

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    overlimit: int = 0
    duplicated: int = 0
    corrupted: int = 0
    marked: int = 0
    reordered: int = 0
    unplugged: int = 0
    late: int = 0
    unable: int = 0


class Verdict(NamedTuple):
    """One frame to put out. `corrupt_bit`: which bit to flip, -1 for none. `mark`: set CE."""

    release_ns: int
    corrupt_bit: int = -1
    mark: bool = False


class Machine:
    """A direction's queue, line and randomness. All times are nanoseconds of one clock of the caller's.

    The same seed, impairment, arrivals and changes give the same verdicts. The impairment's own seed goes
    before `seed`; `name` tells machines of the same seed apart.
    """

    def __init__(self, impairment: Impairment, seed: int | str, name: str = "") -> None:
        self._seed = seed
        self._name = name
        self._random = self._seeded(impairment)
        self._departures: deque[int] = deque()  # when each queued frame will have left the queue
        self._line_free_ns = 0
        self._remainder = 0  # of the division by the rate, so that a long run has no drift
        self._connected = True
        self.counters = Counters()
        self.impairment = impairment
        self.simple = True  # True: `arrive` knows all; False: `meet` is needed
        self._begin(impairment, None)

    def change(self, impairment: Impairment) -> None:
        """From now on another impairment. Frames that already have a release time keep it.

        Raises KeyError where the distribution is unknown; then nothing has changed.
        """
        before: Impairment | None = self.impairment
        random = self._random
        if impairment.seed != self.impairment.seed:
            before, random = None, self._seeded(impairment)
        delays(random, impairment)  # raises before anything has changed
        self._random, self.impairment, self._remainder = random, impairment, 0
        self._begin(impairment, before)

    def connect(self, *, connected: bool) -> None:
        """Plug the cable in, or pull it: then every frame that comes is dropped."""
        self._connected = connected
        if not connected:
            self._departures.clear()
            self._line_free_ns = 0
        self.simple = self._connected and _is_simple(self.impairment)

    @property
    def connected(self) -> bool:
        return self._connected

    def queued(self, now_ns: int) -> int:
        """How many frames wait for the line, the one being serialised included."""
        departures = self._departures
        while departures and departures[0] <= now_ns:
            departures.popleft()
        return len(departures)

    def arrive(self, length: int, now_ns: int) -> int | None:
        """When a frame of `length` bytes that came at `now_ns` is to leave; None where it is dropped.

        Only where `simple` is true.
        """
        impairment = self.impairment
        if impairment.loss and self._random.random() < impairment.loss:
            self.counters.lost += 1
            return None
        if impairment.rate_bps:
            if self.queued(now_ns) >= impairment.limit_packets:
                self.counters.overlimit += 1
                return None
            sent_ns = self._serialise(length, now_ns)
        else:
            sent_ns = now_ns
        return sent_ns + (self._delay() if impairment.jitter_ns else impairment.delay_ns)

    def meet(self, length: int, now_ns: int, *, ecn_capable: bool = False) -> list[Verdict]:
        """What becomes of a frame: none, one or two of it. `ecn_capable`: it may be marked."""
        if not self._connected:
            self.counters.unplugged += 1
            return []
        copies = 2 if self._duplicate() else 1
        marked = False
        if self._lose():
            if self.impairment.ecn and ecn_capable:
                marked = True
                self.counters.marked += 1
            else:
                copies -= 1
        if not copies:
            self.counters.lost += 1
            return []
        first = self._admit(length, now_ns)
        if first is None:
            return []
        verdicts = []
        if copies == 2:
            self.counters.duplicated += 1
            verdicts = self._copy(length, now_ns, marked, ecn_capable)
        release_ns = self._release(length, now_ns)
        return [*verdicts, Verdict(release_ns, first, marked)]

    def released(self, length: int, due_ns: int, now_ns: int) -> None:
        """Count a frame that was put on the far end at `now_ns`."""
        counters = self.counters
        counters.frames += 1
        counters.bytes += length
        if now_ns - due_ns > LATE_NS:
            counters.late += 1

    def _seeded(self, impairment: Impairment) -> Random:
        seed = self._seed if impairment.seed is None else impairment.seed
        return Random(f"{seed}/{self._name}")  # noqa: S311  (a model of chance, that must be repeatable)

    def _begin(self, new: Impairment, old: Impairment | None) -> None:
        """Chance of this impairment. What is as in `old` goes on: a burst of losses doesn't end."""

        def other(*names: str) -> bool:
            return old is None or any(getattr(new, name) != getattr(old, name) for name in names)

        random = self._random
        if other("loss", "loss_correlation", "loss_model"):
            self._lose = losses(random, new)
        if other("duplicate", "duplicate_correlation"):
            self._duplicate = event(random, new.duplicate, new.duplicate_correlation)
        if other("corrupt", "corrupt_correlation"):
            self._corrupt = event(random, new.corrupt, new.corrupt_correlation)
        if other("reorder", "reorder_correlation", "reorder_gap"):
            self._reorder = event(random, new.reorder, new.reorder_correlation)
            self._since_reorder = 0
        if other("delay_ns", "jitter_ns", "delay_correlation", "distribution", "table"):
            self._delay = delays(random, new)
        if other("slot"):
            self._slots = Slots(new.slot, random) if new.slot else None
        self.simple = self._connected and _is_simple(new)

    def _copy(self, length: int, now_ns: int, marked: bool, ecn_capable: bool) -> list[Verdict]:
        """The duplicate: it meets loss, corruption and queue on its own, and goes first."""
        if self._lose():
            if not (self.impairment.ecn and ecn_capable):
                self.counters.lost += 1
                return []
            marked = True
            self.counters.marked += 1
        bit = self._admit(length, now_ns)
        return [] if bit is None else [Verdict(self._release(length, now_ns), bit, marked)]

    def _admit(self, length: int, now_ns: int) -> int | None:
        """The bit to flip, or -1; None where the queue has no room."""
        bit = self._random.randrange(length * 8) if self._corrupt() else -1
        if self.impairment.rate_bps and self.queued(now_ns) >= self.impairment.limit_packets:
            self.counters.overlimit += 1
            return None
        self.counters.corrupted += bit >= 0
        return bit

    def _release(self, length: int, now_ns: int) -> int:
        """When an admitted frame leaves."""
        impairment = self.impairment
        sent_ns = self._serialise(self._on_line(length), now_ns) if impairment.rate_bps else now_ns
        if impairment.reorder and self._since_reorder >= impairment.reorder_gap - 1 and self._reorder():
            self._since_reorder = 0
            self.counters.reordered += 1
            return sent_ns
        self._since_reorder += 1
        due_ns = sent_ns + self._delay()
        return self._slots.release_ns(due_ns, now_ns, length) if self._slots else due_ns

    def _on_line(self, length: int) -> int:
        """Bytes on the line: with the overhead, in whole cells (packet_time_ns of sch_netem.c)."""
        impairment = self.impairment
        length = max(0, length + impairment.rate_overhead_bytes)
        if not impairment.cell_bytes:
            return length
        cells = -(-length // impairment.cell_bytes)
        return cells * (impairment.cell_bytes + impairment.cell_overhead_bytes)

    def _serialise(self, length: int, now_ns: int) -> int:
        """The time at which the frame's last bit is on the line."""
        if now_ns >= self._line_free_ns:
            self._line_free_ns = now_ns
            self._remainder = 0
        took_ns, self._remainder = divmod(length * _BIT_NS + self._remainder, self.impairment.rate_bps)
        self._line_free_ns += took_ns
        self._departures.append(self._line_free_ns)
        return self._line_free_ns


def _is_simple(impairment: Impairment) -> bool:
    """True where only delay, jitter, random loss, rate and limit differ from a perfect wire."""
    perfect = Impairment()
    return all(
        field.name in _SIMPLE or getattr(impairment, field.name) == getattr(perfect, field.name)
        for field in fields(impairment)
    )
