"""Extensible priorities (RFC 9218): what a client asks for, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from netlab.proto.http import members


class Priority(NamedTuple):
    """`urgency` from 0 (first) to 7; `incremental`: useful in parts (RFC 9218 section 4)."""

    urgency: int = 3
    incremental: bool = False


DEFAULT = Priority()


def parse_priority(value: str) -> Priority:
    """The Priority field (a dictionary, RFC 8941). What is unknown, malformed or out of range is ignored
    (RFC 9218 section 4), so that the default holds."""
    urgency, incremental = DEFAULT
    for member in members(value):
        key, _, item = member.partition(";")[0].strip().partition("=")
        if key == "u" and item in {"0", "1", "2", "3", "4", "5", "6", "7"}:
            urgency = int(item)
        elif key == "i" and item in {"", "?1", "?0"}:
            incremental = item != "?0"
    return Priority(urgency, incremental)


@dataclass(slots=True, eq=False)
class Turn:
    """A stream that has something to send. `served`: when it was served last, in turns of everybody."""

    stream: int
    priority: Priority = DEFAULT
    served: int = 0


def next_turn(waiting: Iterable[Turn]) -> Turn | None:
    """Whose turn it is (RFC 9218 section 10): the most urgent; of these, responses that are useful only as
    a whole one after another, in the order of their requests, and those useful in parts round robin."""
    best: Turn | None = None
    whole: Turn | None = None
    parts: list[Turn] = []
    for turn in waiting:
        if best is not None and turn.priority.urgency > best.priority.urgency:
            continue
        if best is None or turn.priority.urgency < best.priority.urgency:
            best, whole, parts = turn, None, []
        if turn.priority.incremental:
            parts.append(turn)
        elif whole is None or turn.stream < whole.stream:
            whole = turn
    if whole is not None:
        parts.append(whole)
    return min(parts, key=lambda turn: (turn.served, turn.stream), default=None)
