"""What the events of a run say of its requests."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.errors import LabError
from netlab.model.event import Event


def refuse_failed(events: Sequence[Event]) -> None:
    """Raises LabError with every request that got no answer."""
    causes = [
        f"{event.node}: {event.data.get('name')}: {event.data.get('cause')}"
        for event in events
        if event.event == "request-failed"
    ]
    if causes:
        raise LabError(
            "no answer: " + "; ".join(causes), "run it again with --keep, then see: netlab logs NODE"
        )


def merged(asked: Sequence[Event], others: Sequence[Event]) -> tuple[Event, ...]:
    """Events of the client and of the lab, each once, by time."""
    lines = {event.to_line(): event for event in (*asked, *others)}
    return tuple(sorted(lines.values(), key=lambda event: event.time_ns))
