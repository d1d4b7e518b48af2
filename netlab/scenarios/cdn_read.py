"""What the packets say of a cache: which requests of clients it sent on, what came back, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from netlab.proto.http import ResponseHead
from netlab.scenarios.measured import Asked, asked
from netlab.trace.connection import Connection, Span, connections
from netlab.trace.recording import Recording

LONDON, TOKYO = "client-a", "client-b"
EDGES = {LONDON: "edge-london", TOKYO: "edge-tokyo"}
SHIELD = "shield"
INTERFACE = "eth0"


@dataclass(frozen=True)
class CacheNode:
    """At the interface of one cache. `front`: requests of clients, as they came in; `back`: those that it
    sent on, by trace-id. `opened`: connections that it used towards the origin. `unread`: some of them
    can't be read, so that nothing is known of what it asked."""

    node: str
    front: dict[str, Span]
    back: dict[str, tuple[Span, ...]]
    opened: tuple[Connection, ...]
    unread: bool

    @property
    def sent_on(self) -> int:
        return sum(len(spans) for spans in self.back.values())


@dataclass(frozen=True)
class Talk:
    """All that the scenario's clients asked, by name, and the caches on the way."""

    asked: dict[str, Asked]
    caches: dict[str, CacheNode]

    def group(self, prefix: str) -> tuple[Asked, ...]:
        """Those called PREFIX/…, by time."""
        return tuple(one for name, one in self.asked.items() if name.startswith(f"{prefix}/"))

    def edge(self, name: str) -> CacheNode | None:
        """The edge that answered the request `name`."""
        found = self.asked.get(name)
        if found is None:
            return None
        for node in EDGES.values():
            cache = self.caches.get(node)
            if cache is not None and trace_id(found) in cache.front:
                return cache
        return None

    def back(self, name: str, node: str = "") -> tuple[Span, ...] | None:
        """What the request's edge, or `node`, sent on for it; None where that is not known."""
        cache = self.caches.get(node) if node else self.edge(name)
        if cache is None or cache.unread or name not in self.asked:
            return None
        return cache.back.get(trace_id(self.asked[name]), ())


def trace_id(one: Asked) -> str:
    return one.span.exchange.trace_id


def field(span: Span, name: str) -> str:
    """A field of the response; empty where there is none."""
    head = span.exchange.response
    return head.headers.get(name) if isinstance(head, ResponseHead) else ""


def read_talk(read: Recording) -> Talk:
    """Of a run: what both clients asked, and the caches whose interfaces were captured."""
    found = [one for node in EDGES for one in asked(read, node, INTERFACE)]
    nodes = [node for node in (*EDGES.values(), SHIELD) if node in read.run.nodes]
    caches = {node: _cache(read, node) for node in nodes}
    return Talk({one.name: one for one in found}, caches)


def _cache(read: Recording, node: str) -> CacheNode:
    own = set(read.run.nodes[node].addresses)
    found = connections(read.frames_at(node, INTERFACE), read.keys)
    back = [one for one in found if one.client.address in own]
    front = [one for one in found if one.server.address in own]
    carrying = [one for one in back if one.server.port != 53]
    return CacheNode(
        node,
        {span.exchange.trace_id: span for one in front for span in one.requests},
        _by_trace(span for one in back for span in one.requests),
        tuple(one for one in carrying if one.requests),
        any(not one.requests and one.missing for one in carrying),
    )


def _by_trace(spans: Iterable[Span]) -> dict[str, tuple[Span, ...]]:
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.exchange.trace_id].append(span)
    return {key: tuple(sorted(group, key=lambda span: span.asked)) for key, group in found.items()}
