"""What the packets say of a reverse proxy: what clients asked, what it passed on to which app, and what every
hop said in its header fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.scenarios.measured import Asked, asked
from netlab.trace.connection import Connection, Span, connections
from netlab.trace.recording import Recording

CLIENTS = ("client-a", "client-1", "client-2", "client-3")
MANY = ("client-a", "client-c", "client-1", "client-2", "client-3", "client-4", "client-b")
WAY = ("client-a", "edge-london", "shield", "proxy")
PROXY = "proxy"
INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class Hop:
    """A request as `node` sent it. `came_from`: the address of the connection on which it had come; empty for
    the first."""

    node: str
    span: Span
    came_from: str
    encrypted: bool

    @property
    def headers(self) -> Headers:
        head = self.span.exchange.request
        return head.headers if isinstance(head, RequestHead) else Headers()


@dataclass(frozen=True)
class Talk:
    """`asked`: by name. `at_app`: the requests that apps got, by trace-id, each with the app. `hops`: the
    way of the request `headers/1`. `unread`: a connection to an app can't be read, so that what apps did not
    see is not known."""

    asked: dict[str, Asked]
    at_app: dict[str, tuple[str, Span]]
    hops: tuple[Hop, ...] = ()
    unread: bool = False

    def group(self, prefix: str) -> tuple[Asked, ...]:
        """Those called PREFIX/…, by time."""
        return tuple(one for name, one in self.asked.items() if name.startswith(f"{prefix}/"))

    def app_of(self, one: Asked) -> str:
        """Which app got it; empty: none."""
        return self.at_app[trace_id(one)][0] if trace_id(one) in self.at_app else ""


def trace_id(one: Asked) -> str:
    return one.span.exchange.trace_id


def answer(one: Asked) -> Headers:
    """The fields of its response."""
    head = one.span.exchange.response
    return head.headers if isinstance(head, ResponseHead) else Headers()


def frames(group: Iterable[Asked]) -> tuple[int, ...]:
    """Of each the first packet of the request and, where there is one, of the response."""
    found: list[int] = []
    for one in group:
        found += [one.span.asked.frame, *([one.span.answered.frame] if one.span.answered else [])]
    return tuple(found)


def apps(read: Recording) -> tuple[str, ...]:
    return tuple(sorted(node for node in read.run.nodes if node.startswith("app-")))


def read_talk(read: Recording) -> Talk:
    nodes = [node for node in dict.fromkeys((*CLIENTS, *MANY)) if node in read.run.nodes]
    told = [one for node in nodes for one in asked(read, node, INTERFACE)]
    here = {node: connections(read.frames_at(node, INTERFACE), read.keys) for node in apps(read)}
    at_app = {
        span.exchange.trace_id: (node, span)
        for node, found in here.items()
        for one in found
        for span in one.requests
    }
    own = set(read.run.nodes[PROXY].addresses)  # others only check whether an app lives
    proxied = [one for found in here.values() for one in found if one.client.address in own]
    unread = any(one.missing and not one.requests for one in proxied)
    names = {one.name: one for one in told}
    first = names.get("headers/1")
    return Talk(names, at_app, _hops(read, trace_id(first)) if first else (), unread)


def _hops(read: Recording, trace: str) -> tuple[Hop, ...]:
    """Node by node, what went out of it."""
    found: list[Hop] = []
    for node in WAY:
        if node not in read.run.nodes:
            continue
        own = set(read.run.nodes[node].addresses)
        here = connections(read.frames_at(node, INTERFACE), read.keys)
        came = [one for one in here if one.server.address in own and _span(one, trace)]
        for one in here:
            span = _span(one, trace) if one.client.address in own else None
            if span is not None:
                encrypted = one.tls is not None or one.quic is not None
                found.append(Hop(node, span, came[0].client.address if came else "", encrypted))
                break
    return tuple(found)


def _span(one: Connection, trace: str) -> Span | None:
    return next((span for span in one.requests if span.exchange.trace_id == trace), None)
