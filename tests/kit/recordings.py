"""Recordings without a run: packets, events and secrets of a test, as a judge reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.model.event import Event
from netlab.trace.claim import Claim
from netlab.trace.recording import Recording
from netlab.trace.run import Run, RunCapture, RunPhase

CLIENT = "client-a"


def recording(
    frames: Sequence[Frame] = (),
    events: Sequence[Event] = (),
    keys: KeyLog | None = None,
    phases: Sequence[RunPhase] = (),
    dropped: int = 0,
) -> Recording:
    """`dropped`: packets that the capture lost."""
    run = Run(
        scenario="test",
        lab="test",
        topology="test",
        started_ns=0,
        ended_ns=1,
        nodes={},
        phases=tuple(phases),
        capture=RunCapture(packets=len(frames), dropped=dropped),
    )
    made = Recording(Path(), run, tuple(events), keys or KeyLog({}))
    made.__dict__["frames"] = tuple(frames)  # what the capture's file would give
    return made


def placed(frames: Iterable[Frame], places: Mapping[str, tuple[str, str]]) -> tuple[Frame, ...]:
    """Frames of the kit's interfaces at the interfaces of a lab, numbered anew by time."""
    found = sorted((frame for frame in frames if frame.node in places), key=lambda one: one.time_ns)
    return tuple(
        replace(frame, number=number, node=places[frame.node][0], interface=places[frame.node][1])
        for number, frame in enumerate(found, 1)
    )


def traceparent(number: int) -> str:
    return f"00-{number:032x}-00f067aa0ba902b7-01"


def asked_for(name: str, number: int, time_ns: int = 0) -> Event:
    """The client announces a request."""
    data = {"name": name, "traceparent": traceparent(number), "url": "https://x/"}
    return Event(time_ns, CLIENT, "client", "request-start", None, data)


def answered(name: str, time_ns: int) -> Event:
    return Event(time_ns, CLIENT, "client", "request-done", None, {"name": name, "total_ms": 1.0})


def by_id(claims: Iterable[Claim]) -> dict[str, Claim]:
    return {one.id: one for one in claims}
