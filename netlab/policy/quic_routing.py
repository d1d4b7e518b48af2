"""Which upstream a QUIC datagram belongs to: by connection ID, for a client's address may change.

A balancer cannot read what is encrypted. It learns a server's connection IDs from the long headers that the
server sends (RFC 9000 section 17.2: the source connection ID); those of NEW_CONNECTION_ID frames stay
hidden, so a client that moves and takes a new one at the same time is unknown. What all versions of QUIC
share is in RFC 8999.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from netlab.errors import RemoteProtocolError

_LONGEST = 20  # of connection IDs, in version 1
_REMEMBERED = 65_536


class LongHeader(NamedTuple):
    """`version` 0: Version Negotiation."""

    version: int
    destination: bytes
    source: bytes


def long_header(datagram: bytes) -> LongHeader | None:
    """Of the first packet; None where it has a short header (RFC 8999 section 5).

    Raises RemoteProtocolError where there is no whole header.
    """
    if not datagram:
        raise RemoteProtocolError("an empty datagram")
    if not datagram[0] & 0x80:
        return None
    found, at = [], 5
    for _ in range(2):
        if at >= len(datagram) or at + 1 + datagram[at] > len(datagram):
            raise RemoteProtocolError("a QUIC header that ends early")
        found.append(datagram[at + 1 : at + 1 + datagram[at]])
        at += 1 + datagram[at]
    return LongHeader(int.from_bytes(datagram[1:5], "big"), found[0], found[1])


class QuicRoutes:
    """Connection IDs and their upstreams; the oldest are forgotten."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._upstreams: OrderedDict[bytes, str] = OrderedDict()
        self._lengths: dict[int, int] = {}  # of the connection IDs that are known ─► how many there are

    def learn(self, datagram: bytes, upstream: str) -> None:
        """A datagram that `upstream` sent. One that isn't QUIC teaches nothing."""
        try:
            header = long_header(datagram)
        except RemoteProtocolError:
            return
        if header is None or not 0 < len(header.source) <= _LONGEST or header.source in self._upstreams:
            return
        self._upstreams[header.source] = upstream
        self._lengths[len(header.source)] = self._lengths.get(len(header.source), 0) + 1
        if len(self._upstreams) > self._limit:
            forgotten, _ = self._upstreams.popitem(last=False)
            self._lengths[len(forgotten)] -= 1

    def upstream_of(self, datagram: bytes) -> str | None:
        """Whose connection a client's datagram belongs to; None where that isn't known.

        Raises RemoteProtocolError where it isn't QUIC.
        """
        header = long_header(datagram)
        if header is not None:
            return self._upstreams.get(header.destination)
        for length, count in self._lengths.items():
            if count and (found := self._upstreams.get(datagram[1 : 1 + length])) is not None:
                return found
        return None

    def __len__(self) -> int:
        return len(self._upstreams)
