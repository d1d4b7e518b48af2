"""The deep decode of connections: what each of their packets says, and what TCP did with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from netlab.decode.fragments import Fragments
from netlab.decode.frame import Frame
from netlab.decode.quic import Side
from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection, connections
from netlab.trace.http_parts import http_parts
from netlab.trace.other_parts import DNS_PORTS, dns_over_tcp, postgres_parts, quic_parts
from netlab.trace.parts import Part, Parts
from netlab.trace.tcp_analysis import TcpAnalysis, analyse
from netlab.trace.tls_parts import tls_parts


@dataclass(frozen=True)
class Deep:
    """By frame: its parts, notes on TCP ("retransmission of frame 12"), and its connection. `wholes`: of each
    fragment of a packet that is whole, the packet."""

    parts: dict[int, tuple[Part, ...]] = field(default_factory=dict)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)
    wholes: dict[int, Frame] = field(default_factory=dict)


def deep(frames: Iterable[Frame], keys: KeyLog) -> Deep:
    """Of the frames of one interface, or of several that see different packets. Never raises for what
    the frames hold."""
    parts: dict[int, list[Part]] = defaultdict(list)
    notes: dict[int, list[str]] = defaultdict(list)
    owners: dict[int, Connection] = {}
    joiner = Fragments()
    packets = [whole for frame in frames if (whole := joiner.add(frame)) is not None]
    for number, why in joiner.refused.items():
        notes[number].append(f"refused: {why}")
    for connection in connections(packets, keys):
        owners |= {packet.number: connection for packet in connection.packets}
        for number, found in connection_parts(connection).items():
            parts[number] += found
        for number, note in _notes(connection):
            notes[number].append(note)
    return Deep(
        {number: tuple(found) for number, found in parts.items()},
        {number: tuple(dict.fromkeys(found)) for number, found in notes.items()},
        owners,
        {number: whole for whole in packets for number in whole.fragments},
    )


def connection_parts(connection: Connection) -> dict[int, list[Part]]:
    """By frame, from the outer to the inner."""
    parts = Parts(connection)
    if connection.transport == "tcp":
        tls_parts(parts)
    else:
        quic_parts(parts)
    if connection.http or connection.quic is not None:
        http_parts(parts)
    elif connection.server.port in DNS_PORTS:
        dns_over_tcp(parts)
    else:
        postgres_parts(parts)
    return parts.found


# --------------------------------------------------------------------------------------------- TCP


def _notes(connection: Connection) -> Iterator[tuple[int, str]]:
    if connection.view is None:
        return
    sides: tuple[Side, Side] = ("client", "server")
    for side in sides:
        yield from _side_notes(analyse(connection.view, side))


def _side_notes(found: TcpAnalysis) -> Iterator[tuple[int, str]]:
    for again in found.retransmissions:
        of = f" of frame {again.first}" if again.first else ", the first copy isn't in the capture"
        after = f", {again.waited_ns / 1e6:.3f} ms after it" if again.waited_ns else ""
        yield again.at.frame, f"{'SYN ' if again.syn else ''}retransmission ({again.kind}){of}{after}"
    for late in found.disorder:
        yield late.at.frame, f"out of order: bytes {late.start} to {late.end} came after later ones"
    for gap in found.gaps:
        yield gap.at.frame, f"bytes {gap.start} to {gap.end} before it aren't here yet"
    for ack in found.duplicates:
        yield ack.at.frame, f"duplicate ACK {ack.number}"
    for moment in found.zero:
        yield moment.frame, "zero window"
    for sample in found.rtts:
        yield sample.at.frame, f"round trip {sample.value / 1e6:.3f} ms"
