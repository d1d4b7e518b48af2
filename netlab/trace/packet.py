"""Packets: frames with an IP packet of TCP or UDP, and the journeys that they make across interfaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from netlab.decode.frame import Frame, Headers, headers, identity

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Socket(NamedTuple):
    """One end of a flow, as the packet says it."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame, its headers, and the identity that NAT and routers leave alone."""

    frame: Frame
    headers: Headers
    identity: bytes

    @property
    def src(self) -> Socket:
        return Socket(self.headers.src, self.headers.sport)

    @property
    def dst(self) -> Socket:
        return Socket(self.headers.dst, self.headers.dport)

    @property
    def place(self) -> tuple[str, str]:
        return self.frame.node, self.frame.interface

    @property
    def time_ns(self) -> int:
        return self.frame.time_ns

    @property
    def number(self) -> int:
        return self.frame.number

    @property
    def opens(self) -> bool:
        """A TCP segment with SYN and without ACK: the first of a connection."""
        return self.headers.protocol == "tcp" and self.headers.flags & (SYN | ACK) == SYN

    @property
    def accepts(self) -> bool:
        """SYN and ACK: the answer to the first."""
        return self.headers.protocol == "tcp" and self.headers.flags & (SYN | ACK) == SYN | ACK


def packets_of(frames: Iterable[Frame]) -> tuple[Packet, ...]:
    """The TCP and UDP packets among `frames`, by time. Others (ARP, ICMP, broken ones) are left out."""
    found = []
    for frame in frames:
        parsed, same = headers(frame.data), identity(frame.data)
        if parsed is not None and same is not None and parsed.protocol in ("tcp", "udp"):
            found.append(Packet(frame, parsed, same))
    return tuple(sorted(found, key=lambda packet: (packet.time_ns, packet.number)))


Journey = tuple[Packet, ...]


def journeys(packets: Iterable[Packet]) -> tuple[Journey, ...]:
    """Sightings of one packet at several interfaces, in the order of time.

    `packets` are ordered by time. A second sighting at an interface begins another journey: a
    retransmission. A later sighting elsewhere belongs to the latest journey that lacks that interface,
    since a retransmission is sent where the first one is thought lost.
    """
    by_identity: dict[bytes, list[list[Packet]]] = defaultdict(list)
    for packet in packets:
        open_ones = by_identity[packet.identity]
        latest = next((one for one in reversed(open_ones) if _lacks(one, packet)), None)
        if latest is None:
            open_ones.append([packet])
        else:
            latest.append(packet)
    return tuple(tuple(one) for several in by_identity.values() for one in several)


def _lacks(journey: list[Packet], packet: Packet) -> bool:
    return all(seen.place != packet.place for seen in journey)
