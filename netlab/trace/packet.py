"""Packets: frames with TCP or UDP in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from netlab.decode.fragments import reassembled
from netlab.decode.frame import ACK, SYN, Frame, Headers, headers, identity_of


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
        """Node and interface."""
        return self.frame.node, self.frame.interface

    @property
    def time_ns(self) -> int:
        return self.frame.time_ns

    @property
    def number(self) -> int:
        return self.frame.number

    @property
    def payload(self) -> bytes:
        start = self.headers.payload_offset
        return self.frame.data[start : start + self.headers.payload_length]

    @property
    def opens(self) -> bool:
        """SYN without ACK: the first segment of a connection."""
        return self.headers.flags & (SYN | ACK) == SYN

    @property
    def accepts(self) -> bool:
        """SYN and ACK: the answer to the first."""
        return self.headers.flags & (SYN | ACK) == SYN | ACK

    @property
    def speaks(self) -> bool:
        """It says something that the other side may wait for: SYN or payload, and not a bare ACK."""
        return bool(self.headers.flags & SYN or self.headers.payload_length)


def packets_of(frames: Iterable[Frame]) -> tuple[Packet, ...]:
    """The TCP and UDP packets among `frames`, by time; a fragmented one where its last fragment came. Others
    (ARP, ICMP, fragments of packets that aren't whole) are left out."""
    found = []
    for frame in reassembled(frames):
        parsed = headers(frame.data, frame.linktype)
        if parsed is not None and parsed.protocol in ("tcp", "udp") and not parsed.fragment_offset:
            found.append(Packet(frame, parsed, identity_of(parsed, frame.data)))
    return tuple(sorted(found, key=lambda packet: (packet.time_ns, packet.number)))


# Sightings of one packet at several interfaces, in the order of time.
Journey = tuple[Packet, ...]
