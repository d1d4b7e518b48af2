"""Waiting for ARP: packets that a node held back until it knew its neighbour's MAC address (RFC 826).

In a lab that has just come up, the first packet of each link pays for it, and with it the first request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from netlab.decode.frame import Frame, arp
from netlab.trace.leg import Network
from netlab.trace.story import Span

_REQUEST, _REPLY = 1, 2


@dataclass(frozen=True, slots=True)
class Resolution:
    """A question and its answer at the interface that asked."""

    asked: Frame
    answered: Frame


def resolutions(captured: Iterable[Frame]) -> tuple[Resolution, ...]:
    """ARP requests with the replies that came for them, by time of the request.

    A request is sighted on many interfaces; the first to see it is the one that asked.
    """
    asked: dict[tuple[str, str, str], Frame] = {}
    found = []
    for frame in sorted(captured, key=lambda one: (one.time_ns, one.number)):
        message = arp(frame.data)
        if message is None:
            continue
        if message.operation == _REQUEST:
            asked.setdefault((message.sender_mac, message.sender, message.target), frame)
        elif message.operation == _REPLY:
            key = (message.target_mac, message.target, message.sender)
            question = asked.get(key)
            if question is not None and _place(question) == _place(frame):
                found.append(Resolution(asked.pop(key), frame))
    return tuple(sorted(found, key=lambda one: one.asked.time_ns))


def with_waits(spans: Sequence[Span], found: Iterable[Resolution], joined: Network) -> tuple[Span, ...]:
    """`spans`, and below each those resolutions for which one of its packets waited, each once."""
    left = list(found)
    made: list[Span] = []
    for span in spans:
        made.append(span)
        for one in [one for one in left if _held(span, one, joined)]:
            left.remove(one)
            name = f"ARP {one.asked.node}:{one.asked.interface}"
            frames = one.asked.number, one.answered.number
            times = one.asked.time_ns, one.answered.time_ns
            made.append(Span(name, one.asked.node, *times, 1, frames, span.depth + 1))
    return tuple(made)


def _held(span: Span, one: Resolution, joined: Network) -> bool:
    """A packet of the span came into the node before the question, and went out there after the answer."""
    return any(
        _place(after) == _place(one.asked)
        and before.node == after.node
        and before.time_ns <= one.asked.time_ns
        and one.answered.time_ns <= after.time_ns
        for before, after in _steps(span, joined)
    )


def _steps(span: Span, joined: Network) -> Iterator[tuple[Frame, Frame]]:
    """From interface to interface, for every packet that is evidence of the span."""
    for number in span.frames:
        for before, after in pairwise(joined.journey_of.get(number, ())):
            yield before.frame, after.frame


def _place(frame: Frame) -> tuple[str, str]:
    return frame.node, frame.interface
