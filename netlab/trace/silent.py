"""Packets of an HTTP/2 connection that only manage it: nothing in them is what the other side waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netlab.proto.http2_reader import Http2Frame
from netlab.trace.carriage import Carriage
from netlab.trace.message import Extent
from netlab.trace.streams import http2_dialogue

_MANAGING = frozenset(("WINDOW_UPDATE", "PING", "PRIORITY"))


def silent_frames(plain: tuple[bytes, bytes], up: Carriage, down: Carriage) -> frozenset[int]:
    """The frame numbers of packets with nothing but WINDOW_UPDATE, PING, PRIORITY or acknowledged SETTINGS
    in them. `plain`: what client and server said; `up`, `down`: which packets brought it."""
    read = http2_dialogue(*plain)
    found: set[int] = set()
    for carriage, frames in ((up, read.sent), (down, read.answered)):
        managing = _carriers(carriage, frames, _manages)
        found |= managing - _carriers(carriage, frames, lambda one: not _manages(one))
    return frozenset(found)


def _manages(frame: Http2Frame) -> bool:
    return frame.type in _MANAGING or (frame.type == "SETTINGS" and "ACK" in frame.flags)


def _carriers(
    carriage: Carriage, frames: Iterable[Http2Frame], chosen: Callable[[Http2Frame], bool]
) -> set[int]:
    extents = [Extent(one.start, one.end) for one in frames if chosen(one)]
    return {number for one in extents if carriage.has((one,)) for number in carriage.frames_of((one,))}
