"""Faults, as the command line and scenarios write them: `slow app-2 200ms 20%`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netlab.errors import InputError
from netlab.model.suggest import nearest
from netlab.model.units import duration_ns, format_duration, format_probability, probability

MAX_PROCESSES = 64
_MAX_DELAY_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `target` is a node, or node.role for kill, pause, slow and error.

    `delay_ns`: of slow. `status`: of error. `share`: of the requests that slow and error meet, 0 to 1.
    `other`: the second node of a partition, or "". `processes`: of cpu.
    """

    kind: str
    target: str
    delay_ns: int = 0
    status: int = 0
    share: float = 1.0
    other: str = ""
    processes: int = 1

    def words(self) -> tuple[str, ...]:
        """As `parse_fault` reads them."""
        share = (format_probability(self.share),) if self.share < 1 else ()
        match self.kind:
            case "slow":
                return self.kind, self.target, format_duration(self.delay_ns), *share
            case "error":
                return self.kind, self.target, str(self.status), *share
            case "partition" if self.other:
                return self.kind, self.target, self.other
            case "cpu":
                return self.kind, self.target, str(self.processes)
        return self.kind, self.target


def parse_fault(words: Sequence[str]) -> Fault:
    """Words ─► a fault. Raises InputError that says which word is wrong, and how the fault is written."""
    kind = words[0] if words else ""
    if kind not in _FORMS:
        raise InputError(f"no fault {kind!r}", nearest(kind, _FORMS, "faults"))
    form, fewest, most, make = _FORMS[kind]
    if not fewest <= len(words) - 1 <= most:
        raise InputError(f"the fault {kind} is written: {form}", f"such as: netlab fault {_EXAMPLES[kind]}")
    try:
        return make(kind, *words[1:])
    except ValueError as error:
        raise InputError(f"{kind}: {error}", f"such as: netlab fault {_EXAMPLES[kind]}") from error


def _slow(kind: str, target: str, delay: str, share: str = "100%") -> Fault:
    delay_ns = duration_ns(delay)
    if not 0 < delay_ns <= _MAX_DELAY_NS:
        raise ValueError(f"a response is late by more than 0 and at most an hour, not by {delay}")
    return Fault(kind, target, delay_ns=delay_ns, share=_share(share))


def _error(kind: str, target: str, status: str, share: str = "100%") -> Fault:
    if not (status.isascii() and status.isdigit() and 400 <= int(status) <= 599):
        raise ValueError(f"{status!r} is no status of an error, from 400 to 599")
    return Fault(kind, target, status=int(status), share=_share(share))


def _partition(kind: str, target: str, other: str = "") -> Fault:
    if target == other:
        raise ValueError(f"{target} has no link to itself")
    return Fault(kind, target, other=other)


def _cpu(kind: str, target: str, count: str = "1") -> Fault:
    if not (count.isascii() and count.isdigit() and 1 <= int(count) <= MAX_PROCESSES):
        raise ValueError(f"{count!r} is no number of processes from 1 to {MAX_PROCESSES}")
    return Fault(kind, target, processes=int(count))


def _share(text: str) -> float:
    share = probability(text)
    if not share:
        raise ValueError("a share of 0 is no fault")
    return share


# kind ─► (how it is written, fewest and most words after it, what reads them)
_FORMS: dict[str, tuple[str, int, int, Callable[..., Fault]]] = {
    "kill": ("kill ROLE", 1, 1, Fault),
    "pause": ("pause ROLE", 1, 1, Fault),
    "slow": ("slow ROLE TIME [SHARE]", 2, 3, _slow),
    "error": ("error ROLE STATUS [SHARE]", 2, 3, _error),
    "partition": ("partition NODE [NODE]", 1, 2, _partition),
    "cpu": ("cpu NODE [COUNT]", 1, 2, _cpu),
}
_EXAMPLES = {
    "kill": "kill app-2",
    "pause": "pause app-2",
    "slow": "slow app-2 200ms",
    "error": "error app-2 503 20%",
    "partition": "partition cloud-edge",
    "cpu": "cpu app-2 2",
}
