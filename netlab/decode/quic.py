"""QUIC connections among UDP datagrams, followed by their connection IDs across address changes.

Sources: RFC 9000, sections 5.1, 5.2, 9 and 10.3; RFC 9001. Versions 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from netlab.decode import quic_packet as wire
from netlab.decode.quic_connection import QuicConnection
from netlab.decode.quic_keys import initial_keys
from netlab.decode.quic_packet import Sealed, split, unprotect
from netlab.decode.quic_seen import Address, Datagram, Path, QuicMessage, QuicPacket, Side
from netlab.decode.tls_keys import KeyLog

__all__ = [
    "Datagram",
    "Path",
    "QuicConnection",
    "QuicMessage",
    "QuicPacket",
    "QuicTracker",
    "Side",
    "quic_connections",
]


@dataclass
class QuicTracker:
    """Call `add` for every datagram of one place, in the order of the capture.

    `unknown`: datagrams that belong to no connection whose start was seen; `resets`: the connections that
    a stateless reset ended, with its frame.
    """

    keys: KeyLog
    connections: list[QuicConnection] = field(default_factory=list)
    unknown: list[Datagram] = field(default_factory=list)
    resets: list[tuple[QuicConnection, int]] = field(default_factory=list)
    _by_id: dict[bytes, QuicConnection] = field(default_factory=dict)
    _by_ends: dict[frozenset[Address], QuicConnection] = field(default_factory=dict)
    _lengths: list[int] = field(default_factory=list)

    def add(self, datagram: Datagram) -> QuicConnection | None:
        """The connection that it belongs to, if any."""
        packets = split(datagram.data)
        found: QuicConnection | None = None
        for sealed in packets:
            # The packets of one datagram belong to one connection (RFC 9000, section 12.2), except where
            # the first could be told by nothing.
            owner = self._owner(datagram, sealed) or found
            if owner is None:
                continue
            found = owner
            self._give(owner, datagram, sealed)
        if found is None:
            self.unknown.append(datagram)
        else:
            self._by_ends[frozenset((datagram.src, datagram.dst))] = found
        return found

    def _owner(self, datagram: Datagram, sealed: Sealed) -> QuicConnection | None:
        if sealed.source is None:
            for length in self._lengths:
                one = self._by_id.get(sealed.destination[:length])
                if one is not None:
                    return one
            return self._by_ends.get(frozenset((datagram.src, datagram.dst)))
        known = self._by_id.get(sealed.destination) if sealed.destination else None
        if known is not None:
            return known
        if sealed.type == wire.ZERO_RTT or _is_first(datagram, sealed):
            return self._new(datagram, sealed)
        return self._by_ends.get(frozenset((datagram.src, datagram.dst)))

    def _new(self, datagram: Datagram, sealed: Sealed) -> QuicConnection:
        made = QuicConnection(datagram.src, datagram.dst, self.keys)
        made.begin(sealed.destination)
        self.connections.append(made)
        return made

    def _give(self, owner: QuicConnection, datagram: Datagram, sealed: Sealed) -> None:
        sender = self._sender(owner, datagram, sealed)
        if sealed.source is None:
            length = self._id_length(owner, sealed, sender)
            destination = sealed.destination[:length]
            sealed = sealed._replace(destination=destination, number_at=sealed.start + 1 + length)
        before = len(owner.ids)
        packet = owner.add(datagram, sealed, sender)
        if packet.number < 0 and sealed.source is None and datagram.data[-16:] in owner.reset_tokens:
            packet.problem = "a stateless reset"
            self.resets.append((owner, datagram.frame))
        if sealed.source is None and packet.number >= 0 and sealed.destination:
            owner.ids.setdefault(sealed.destination, "client" if sender == "server" else "server")
        if len(owner.ids) != before or before == 1:
            self._learn(owner)

    def _learn(self, owner: QuicConnection) -> None:
        for one in owner.ids:
            if one:
                self._by_id.setdefault(one, owner)
                if len(one) not in self._lengths:
                    self._lengths.append(len(one))
                    self._lengths.sort(reverse=True)

    def _sender(self, owner: QuicConnection, datagram: Datagram, sealed: Sealed) -> Side:
        """Who sent it: the one that its destination ID doesn't name; else, by the server's address."""
        named: Side | None = None
        if sealed.source is None:
            for length in self._lengths:
                named = named or owner.ids.get(sealed.destination[:length])
        elif sealed.destination:
            named = owner.ids.get(sealed.destination)
        if named is not None:
            return "client" if named == "server" else "server"
        return "server" if datagram.src == owner.server else "client"

    def _id_length(self, owner: QuicConnection, sealed: Sealed, sender: Side) -> int:
        """The length of a short header's destination ID.

        An unknown ID is taken to be as long as the receiver's others: its NEW_CONNECTION_ID frame may
        be missing from the capture.
        """
        receiver: Side = "client" if sender == "server" else "server"
        for length in self._lengths:
            if owner.ids.get(sealed.destination[:length]) == receiver:
                return length
        own = [len(one) for one, side in owner.ids.items() if side == receiver]
        return own[-1] if own else 0  # the last one: the first name of a server was the client's guess


def _is_first(datagram: Datagram, sealed: Sealed) -> bool:
    """It opens with the client's Initial keys of its own destination ID, as a client's first packets do."""
    if sealed.type != wire.INITIAL:
        return False
    client, _ = initial_keys(sealed.destination, sealed.version)
    return unprotect(datagram.data, sealed, client, -1, lambda _: (client,)) is not None


def quic_connections(datagrams: Iterable[Datagram], keys: KeyLog) -> tuple[QuicConnection, ...]:
    """The connections among `datagrams` of one place, in the order in which they begin."""
    tracker = QuicTracker(keys)
    for one in datagrams:
        tracker.add(one)
    return tuple(tracker.connections)
