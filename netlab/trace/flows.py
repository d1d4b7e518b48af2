"""The connections of a run: who talked to whom, by which way, through which translations, in what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection, connections
from netlab.trace.leg import Leg, Network
from netlab.trace.packet import Socket
from netlab.trace.run import Run


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection (or a flow of UDP) from end to end. `names`: of the client's and the server's node.
    `translated`: the client's socket as the server sees it, where NAT changed it. `way`: the interfaces that
    saw it, from the client. `packets` and `bytes` (on the wire) at the client's side. `speaks`: "TLS 1.3,
    HTTP/2". `requests` that were seen in it. `frame`: its first."""

    protocol: str
    client: Socket
    server: Socket
    names: tuple[str, str]
    translated: Socket | None
    way: tuple[str, ...]
    start_ns: int
    end_ns: int
    packets: int
    bytes: int
    speaks: str
    requests: int
    frame: int


def flows(joined: Network, keys: KeyLog, run: Run) -> tuple[Flow, ...]:
    """By the time of their first packet."""
    made = [_flow(leg, "tcp", keys, run) for leg in joined.legs]
    made += [_flow(leg, "udp", keys, run) for leg in joined.flows]
    return tuple(sorted(made, key=lambda one: one.start_ns))


def _flow(leg: Leg, protocol: str, keys: KeyLog, run: Run) -> Flow:
    here, there = leg.client, leg.server
    read = _read(leg, keys)
    return Flow(
        "quic" if read is not None and read.transport == "quic" else protocol,
        here.client,
        here.server,
        (run.node_of(here.client.address), run.node_of(there.server.address)),
        there.client if there.client != here.client else None,
        tuple(f"{view.place[0]}:{view.place[1]}" for view in leg.views),
        here.packets[0].time_ns,
        here.packets[-1].time_ns,
        len(here.packets),
        sum(packet.frame.length for packet in here.packets),
        _speaks(read),
        len(read.requests) if read is not None else 0,
        here.packets[0].number,
    )


def _read(leg: Leg, keys: KeyLog) -> Connection | None:
    found = connections([packet.frame for packet in leg.client.packets], keys)
    return found[0] if found else None


def _speaks(read: Connection | None) -> str:
    if read is None:
        return ""
    parts: Iterable[str] = (
        read.handshake.version,
        "resumed" if read.handshake.resumed else "",
        f"HTTP/{read.http}" if read.http else "",
        "; ".join(read.missing[:1]),
    )
    return ", ".join(part for part in parts if part)
