"""Which requests meet a fault that a lab's user has asked for, and which."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from netlab.model.fault import Fault


@dataclass(frozen=True, slots=True)
class Met:
    """What one request meets: nothing, a delay before it is handled, an error in place of the response."""

    delay_s: float = 0.0
    status: int = 0


class RequestFaults:
    """The faults `slow` and `error` of one role. Each has random numbers of its own from `seed`, and begins
    them anew when it begins: the same requests meet the same faults, whatever other faults there are."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._active: dict[Fault, random.Random] = {}

    def __bool__(self) -> bool:
        return bool(self._active)

    def replace(self, faults: Sequence[Fault]) -> None:
        """From now on these. Those that were there before go on."""
        self._active = {
            # The seed is a text, so that it is the same in every process.
            fault: self._active.get(fault) or random.Random(f"{self._seed} {fault.words()}")  # noqa: S311
            for fault in faults
        }

    def next(self) -> Met:
        """For the next request: delays add up, and of several errors the first counts."""
        delay_ns, status = 0, 0
        for fault, rng in self._active.items():
            if rng.random() < fault.share:
                delay_ns += fault.delay_ns
                status = status or fault.status
        return Met(delay_ns / 1e9, status)
