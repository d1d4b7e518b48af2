"""From a recording to what a judge measures: connections at one node, and which request is which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netlab.model.event import Event
from netlab.trace.connection import Connection, Span, connections
from netlab.trace.message import trace_id_in
from netlab.trace.recording import Recording


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a client announced, found in the packets. `name` is what the stimulus called it."""

    name: str
    connection: Connection
    span: Span


def named(read: Recording, node: str) -> dict[str, str]:
    """Trace-id ─► name, of the requests that a node's client announced."""
    return {
        trace_id_in(str(event.data.get("traceparent", "")).encode()): str(event.data.get("name", ""))
        for event in starts(read.events, node)
    }


def starts(events: Iterable[Event], node: str) -> Iterator[Event]:
    """The `request-start` of a node."""
    return (event for event in events if event.event == "request-start" and event.node == node)


def asked(read: Recording, node: str, interface: str = "") -> tuple[Asked, ...]:
    """What the node's clients asked, as the packets at the node show it, by time."""
    names = named(read, node)
    found = [
        Asked(names[span.exchange.trace_id], connection, span)
        for connection in connections(read.frames_at(node, interface), read.keys)
        for span in connection.requests
        if span.exchange.trace_id in names
    ]
    return tuple(sorted(found, key=lambda one: one.span.asked))


def unseen(read: Recording, node: str, found: Iterable[Asked]) -> tuple[str, ...]:
    """Names of requests that the packets don't show, although the client announced them."""
    seen = {one.name for one in found}
    return tuple(name for name in named(read, node).values() if name not in seen)


def failures(read: Recording, node: str) -> tuple[str, ...]:
    """Requests of a node that got no answer, with the cause."""
    return tuple(
        f"{event.data.get('name')}: {event.data.get('cause')}"
        for event in read.events
        if event.event == "request-failed" and event.node == node
    )
