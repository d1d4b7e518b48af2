"""Legs: TCP connections, or flows of UDP, end to end between two sockets, as every interface saw them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from netlab.decode.stream import Stream
from netlab.trace.journeys import journeys
from netlab.trace.packet import Journey, Packet, Socket

_DNS = 53
_WELL_KNOWN = 1024  # ports below it are those of services (RFC 6335, section 6)


class _Key(NamedTuple):
    """A connection at one interface. `opening`: which of those that had these sockets, from 0."""

    place: tuple[str, str]
    sockets: frozenset[Socket]
    opening: int


@dataclass(frozen=True)
class View:
    """A connection as one interface saw it. `client` opened it; `up` is what it sent, `down` the answer, in
    TCP, put together when they are first asked for; of UDP, whose payloads aren't one stream, both are
    empty."""

    place: tuple[str, str]
    client: Socket
    server: Socket
    packets: tuple[Packet, ...]

    @property
    def node(self) -> str:
        return self.place[0]

    @property
    def up(self) -> Stream:
        return self._streams[0]

    @property
    def down(self) -> Stream:
        return self._streams[1]

    @cached_property
    def _streams(self) -> tuple[Stream, Stream]:
        up, down = Stream(), Stream()
        for packet in self.packets if self.packets[0].headers.protocol == "tcp" else ():
            stream = up if packet.src == self.client else down
            stream.add(packet.number, packet.headers.seq, packet.payload, packet.headers.flags)
        return up, down

    def to_server(self, packet: Packet) -> bool:
        return packet.dst == self.server


@dataclass(frozen=True, slots=True)
class Leg:
    """`views` in the order in which the client's packets cross them: first its own, last the server's."""

    views: tuple[View, ...]

    @property
    def client(self) -> View:
        return self.views[0]

    @property
    def server(self) -> View:
        return self.views[-1]

    @property
    def start_ns(self) -> int:
        return self.client.packets[0].time_ns


@dataclass(frozen=True)
class Network:
    """All packets of a capture, joined. `legs` of TCP, `flows` of UDP but for DNS."""

    packets: tuple[Packet, ...]
    legs: tuple[Leg, ...]
    flows: tuple[Leg, ...]
    by_number: dict[int, Packet] = field(repr=False)
    journey_of: dict[int, Journey] = field(repr=False)

    @property
    def journeys(self) -> tuple[Journey, ...]:
        """Each once, by the first packet."""
        return tuple({journey[0].number: journey for journey in self.journey_of.values()}.values())


def network(packets: tuple[Packet, ...]) -> Network:
    """Joins `packets`, which are ordered by time."""
    found = journeys(packets)
    return Network(
        packets,
        legs([packet for packet in packets if packet.headers.protocol == "tcp"], found),
        legs([packet for packet in packets if _is_flow(packet)], found),
        {packet.number: packet for packet in packets},
        {packet.number: journey for journey in found for packet in journey},
    )


def _is_flow(packet: Packet) -> bool:
    headers = packet.headers
    return headers.protocol == "udp" and _DNS not in (headers.sport, headers.dport)


def legs(packets: Iterable[Packet], found: Iterable[Journey]) -> tuple[Leg, ...]:
    """The TCP connections (or flows of UDP) among `packets`, in the order in which they begin.

    What two interfaces saw is one connection where one packet made a journey across both.
    """
    connections = _connections(packets)
    key_of = {packet.number: key for key, members in connections.items() for packet in members}
    groups = _Groups()
    journeys_of: dict[_Key, list[Journey]] = defaultdict(list)
    for journey in found:
        keys = [key_of[packet.number] for packet in journey if packet.number in key_of]
        for key in keys:
            groups.join(keys[0], key)
            journeys_of[key].append(journey)
    made = [_leg(keys, connections, journeys_of) for keys in groups.all()]
    return tuple(sorted(made, key=lambda leg: leg.start_ns))


def tcp_views(packets: Iterable[Packet]) -> tuple[View, ...]:
    """The TCP connections at each interface, each for itself, in the order in which they begin."""
    return tuple(_view(key, members) for key, members in _connections(packets).items())


def _connections(packets: Iterable[Packet]) -> dict[_Key, list[Packet]]:
    """Packets by interface and sockets; a SYN with a new sequence number opens another connection."""
    openings: dict[tuple[tuple[str, str], frozenset[Socket]], tuple[int, int]] = {}
    found: dict[_Key, list[Packet]] = defaultdict(list)
    for packet in packets:
        where = packet.place, frozenset((packet.src, packet.dst))
        opening, seq = openings.get(where, (0, -1))
        if packet.opens and packet.headers.seq != seq:
            opening += seq >= 0 or bool(found.get(_Key(*where, opening)))
            openings[where] = opening, packet.headers.seq
        found[_Key(*where, opening)].append(packet)
    return found


class _Groups:
    """Keys that belong together, by union and find."""

    def __init__(self) -> None:
        self._parent: dict[_Key, _Key] = {}

    def join(self, one: _Key, other: _Key) -> None:
        self._parent[self._root(other)] = self._root(one)

    def _root(self, key: _Key) -> _Key:
        self._parent.setdefault(key, key)
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key

    def all(self) -> list[list[_Key]]:
        found: dict[_Key, list[_Key]] = defaultdict(list)
        for key in self._parent:
            found[self._root(key)].append(key)
        return list(found.values())


def _leg(
    keys: list[_Key], connections: dict[_Key, list[Packet]], journeys_of: dict[_Key, list[Journey]]
) -> Leg:
    views = {key.place: _view(key, connections[key]) for key in keys}
    up = [one for key in keys for one in journeys_of[key] if views[one[0].place].to_server(one[0])]
    if not up:  # only the answers were seen: their way back is the best that is known
        down = [one for key in keys for one in journeys_of[key]]
        return Leg(tuple(views[packet.place] for packet in reversed(max(down, key=len))))
    way = list(dict.fromkeys(packet.place for packet in max(up, key=len)))
    aside = [place for place in views if place not in way]  # the way back differs from the way there
    return Leg(tuple(views[place] for place in (*way[:-1], *aside, way[-1])))


def _view(key: _Key, packets: list[Packet]) -> View:
    client, server = _ends(packets)
    return View(key.place, client, server, tuple(packets))


def _ends(packets: list[Packet]) -> tuple[Socket, Socket]:
    """Who opened the connection, and who accepted it. Without a SYN, the lower port accepted it; but of UDP
    without a well-known port, whoever is heard first opened it."""
    for packet in packets:
        if packet.opens:
            return packet.src, packet.dst
        if packet.accepts:
            return packet.dst, packet.src
    first = packets[0]
    if first.headers.protocol == "udp" and min(first.src.port, first.dst.port) >= _WELL_KNOWN:
        return first.src, first.dst
    return (first.src, first.dst) if first.dst.port <= first.src.port else (first.dst, first.src)
