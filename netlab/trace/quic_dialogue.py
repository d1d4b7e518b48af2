"""What was said in QUIC connections: flows of UDP, joined by connection ID where a client migrated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from netlab.decode.quic import Datagram, QuicConnection, quic_connections
from netlab.decode.tls import KeyLog
from netlab.trace.dialogue import Dialogue
from netlab.trace.leg import Leg, View
from netlab.trace.packet import Packet, Socket
from netlab.trace.streams import http3_dialogue


def quic_dialogues(flows: Iterable[Leg], keys: KeyLog) -> list[Dialogue]:
    """The QUIC connections among flows of UDP; other flows are left out.

    One connection's flows end at one server's socket, from several of the client's where it migrated:
    its leg has the way of the first, and at both ends the packets of all.
    """
    at_server: dict[tuple[tuple[str, str], Socket], list[Leg]] = defaultdict(list)
    for flow in flows:
        at_server[flow.server.place, flow.server.server].append(flow)
    return [one for several in at_server.values() for one in _dialogues(several, keys)]


def _dialogues(flows: Sequence[Leg], keys: KeyLog) -> Iterator[Dialogue]:
    heard = quic_connections(_datagrams(flow.server for flow in flows), keys)
    for server in heard:
        frames = _frames(server)
        own = [flow for flow in flows if any(packet.number in frames for packet in flow.server.packets)]
        said = quic_connections(_datagrams(flow.client for flow in own), keys)
        client = next((one for one in said if _same(one, server)), None)
        if client is not None:
            exchanges = http3_dialogue(client).exchanges
            protocol, version = ("http", "3") if exchanges else ("", "")
            leg = _leg(own, client, server)
            yield Dialogue(leg, protocol, None, None, 0, exchanges, version, client, server)


def _datagrams(views: Iterable[View]) -> list[Datagram]:
    packets = sorted(
        (one for view in views for one in view.packets), key=lambda one: (one.time_ns, one.number)
    )
    return [Datagram(one.number, one.time_ns, one.src, one.dst, one.payload) for one in packets]


def _frames(connection: QuicConnection) -> set[int]:
    return {packet.frame for packet in connection.packets}


def _same(one: QuicConnection, other: QuicConnection) -> bool:
    """The same ClientHello; or, where none could be read, a connection ID that both saw."""
    if one.client_random or other.client_random:
        return one.client_random == other.client_random
    return bool(one.ids.keys() & other.ids.keys())


def _leg(flows: Sequence[Leg], client: QuicConnection, server: QuicConnection) -> Leg:
    first = flows[0]
    if len(first.views) == 1:
        return Leg((_view([flow.client for flow in flows], _frames(client)),))
    ends = (
        _view([flow.client for flow in flows], _frames(client)),
        _view([flow.server for flow in flows], _frames(server)),
    )
    return Leg((ends[0], *first.views[1:-1], ends[1]))


def _view(views: Sequence[View], frames: set[int]) -> View:
    packets: list[Packet] = [one for view in views for one in view.packets if one.number in frames]
    ordered = tuple(sorted(packets, key=lambda one: (one.time_ns, one.number)))
    return replace(views[0], packets=ordered)
