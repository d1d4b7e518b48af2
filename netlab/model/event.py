"""Events: the lines that roles write about what they did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Flow(NamedTuple):
    """A five-tuple as the writer of the event saw it: its own end first."""

    protocol: str  # "tcp" or "udp"
    local: str
    local_port: int
    remote: str
    remote_port: int


# Every event, and what `data` holds. Reference pages are generated from this.
EVENTS: dict[str, str] = {
    "ready": "the role accepts; address, port of its listener where it has one",
    "request-start": "client: the click; name, url, traceparent",
    "request-done": "client: the response is whole; name, status, version, reused, bytes, headers, trailers, "
    "informational, head_ms, total_ms",
    "request-failed": "client: no whole response; name, cause, check (as in tls-failed)",
    "dns-query": "a question was sent or came in; side (client, server), qname, qtype, cached",
    "dns-answer": "an answer was sent or came in; side, qname, qtype, rcode, answers, cached, cause",
    "connect-start": "a TCP connection is being opened",
    "connection-opened": "a TCP connection is established; side (client, server)",
    "connection-closed": "a TCP connection ended; cause",
    "tls-handshake": "TLS is established; side, version, cipher, alpn, server_name, resumed, peer, ocsp",
    "tls-failed": "TLS failed; side, cause, check (of the certificate: chain, dates, name, pin, revocation)",
    "quic-handshake": "QUIC is established; side, version, cipher, alpn, server_name, resumed, early_data",
    "quic-failed": "QUIC failed; side, cause",
    "quic-migrated": "a QUIC connection goes on from another address; side, path (local and remote socket)",
    "connection-reused": "a request goes on a connection that is open; version, requests, traceparent",
    "pool-wait": "a request waits for a connection, because a limit of the pool is reached; limit, waiting, "
    "pool, traceparent",
    "alt-svc": "an origin told of another version; origin, alternatives, max_age_s, source",
    "fallback": "another version is spoken than was tried first; wanted, version, cause",
    "request-retried": "a request is sent again; attempt, cause, after_ms, traceparent",
    "hedged": "a request goes once more beside one that has no answer yet; attempt, upstream, traceparent",
    "breaker-changed": "a circuit breaker is now closed, open or half-open; upstream, state, cause",
    "breaker-refused": "a circuit breaker let a request fail at once; upstream, traceparent",
    "bulkhead-full": "a request failed as its upstream has as many as it may; upstream, limit, traceparent",
    "deadline-exceeded": "a request's time was over; cause, traceparent",
    "shed": "a server refused what it could answer only late; cause, traceparent",
    "hsts": "an origin said that it is reached by https only, or an http URL was made https; host, "
    "max_age_s, url",
    "websocket-opened": "a WebSocket is open; side, url, version, extensions, traceparent",
    "websocket-sent": "a message went out; kind, bytes, channel, id",
    "websocket-received": "a message came in; kind, bytes, channel, id",
    "websocket-closed": "a WebSocket ended; side, code, reason, cause",
    "subscribed": "a client gets what a channel says; channel, way (websocket, sse, long-poll, poll)",
    "published": "a message went to a channel; channel, id, receivers",
    "message": "a client got a message of a channel; channel, id, way, sent_ns",
    "reconnect": "a client connects again; way, attempt, delay_ms, cause, last_id",
    "tcp-info": "what the kernel knows of a connection (TCP_INFO); state, cwnd, ssthresh, mss, unacked, …",
    "datagrams": "UDP datagrams that went out or came in; sent, received, lost, duplicates, out_of_order",
    "request-sent": "an HTTP request went to an upstream; method, target, traceparent",
    "request-received": "an HTTP request came in; method, target, traceparent, headers",
    "response-sent": "an HTTP response went out; status, bytes, traceparent",
    "response-received": "an HTTP response came from an upstream; status, bytes, traceparent",
    "cache-hit": "the cache answered; key, age_s, traceparent",
    "cache-miss": "the cache could not answer; key, cause, traceparent",
    "cache-stored": "a response went into the cache; key, lifetime_s, traceparent",
    "bot-refused": "a request looks like a program's; client, score, signs",
    "function-failed": "an edge function raised an error, or took too long; call, cause, on_error",
    "store-damaged": "a file of the cache's disk was no whole response, and is deleted; file, cause",
    "store-failed": "the cache's disk could not be written; file, cause",
    "shield-failed": "a shield can't be reached, so the origin is asked instead; shield, cause",
    "upstream-chosen": "a balancer or proxy chose an upstream; upstream",
    "health-changed": "an upstream became healthy or unhealthy; upstream, healthy, cause",
    "jwt-accepted": "a token was verified; subject, traceparent",
    "jwt-refused": "a token was refused; cause, traceparent",
    "jwks": "the key set of tokens has other keys than before; keys",
    "rate-limited": "a request is one too many; limit, client, traceparent",
    "waf-matched": "the firewall's threshold was reached; score, blocked, rules, traceparent",
    "request-refused": "a proxy answered by itself; status, cause, traceparent",
    "sql-query": "a query went to the database; sql, traceparent",
    "sql-result": "its rows came back; rows, traceparent",
    "settings-changed": "settings of a role changed while it runs; settings, before",
    "fault-began": "a fault that a user asked for is there (netlab fault); id, fault, for_s",
    "fault-ended": "it was undone; id, fault, cause (cleared, time, abandoned, role ended, or what failed)",
    "error": "something went wrong that the role survived; cause",
    "exited": "the supervisor saw the process end; status",
}


@dataclass(frozen=True, slots=True)
class Event:
    """`time_ns` is CLOCK_REALTIME, so that events and packets of one kernel join without clock sync."""

    time_ns: int
    node: str
    role: str
    event: str
    flow: Flow | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def to_line(self) -> str:
        """One JSON line, without its newline."""
        document: dict[str, Any] = {
            "time_ns": self.time_ns,
            "node": self.node,
            "role": self.role,
            "event": self.event,
        }
        if self.flow is not None:
            document["flow"] = list(self.flow)
        return json.dumps(document | self.data, separators=(",", ":"), default=str)

    @classmethod
    def from_line(cls, line: str | bytes) -> Event:
        """The event of one JSON line. Raises ValueError where it is none."""
        try:
            document = dict(json.loads(line))
            flow = document.pop("flow", None)
            return cls(
                int(document.pop("time_ns")),
                str(document.pop("node")),
                str(document.pop("role")),
                str(document.pop("event")),
                Flow(*flow) if flow is not None else None,
                document,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an event: {error!r} in {line!r}") from error
