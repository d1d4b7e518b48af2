"""Frames of a network that isn't there: paths with NAT and routers, TCP and UDP across them.

For tests of what reads captures. Every packet is built byte by byte, checksums left 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from typing import NamedTuple

from netlab.decode.frame import ACK, FIN, PSH, SYN, Frame
from netlab.proto import pcapng

MS = 1_000_000


class End(NamedTuple):
    address: str
    port: int


@dataclass(frozen=True)
class Point:
    """An interface on a path. `client` and `server`: the sockets as packets there name them.

    `at_ns`: how long after the client's end a packet is here. `routed`: routers between the client and here.
    """

    node: str
    interface: str
    client: End
    server: End
    at_ns: int
    routed: int = 0


Path = Sequence[Point]  # from the client's interface to the server's


@dataclass
class Wire:
    """Collects sightings; `frames()` numbers them by time."""

    seen: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    ip_ids: count[int] = field(default_factory=lambda: count(1000))

    def cross(self, path: Path, start_ns: int, to_server: bool, protocol: int, segment: bytes) -> int:
        """One packet along `path`; `segment` has its ports left 0. Returns when it arrives."""
        ip_id = next(self.ip_ids)
        whole, routers = path[-1].at_ns, path[-1].routed
        for point in path:
            src, dst = (point.client, point.server) if to_server else (point.server, point.client)
            ttl = 64 - (point.routed if to_server else routers - point.routed)
            ports = struct.pack("!HH", src.port, dst.port)
            packet = _ipv4(src, dst, ttl, ip_id, protocol, ports + segment[4:])
            at = start_ns + (point.at_ns if to_server else whole - point.at_ns)
            self.seen.append((at, point.node, point.interface, _mac(dst) + _mac(src) + b"\x08\x00" + packet))
        return start_ns + whole

    def udp(self, path: Path, start_ns: int, to_server: bool, payload: bytes) -> int:
        return self.cross(
            path, start_ns, to_server, 17, struct.pack("!HHHH", 0, 0, 8 + len(payload), 0) + payload
        )

    def frames(self) -> tuple[Frame, ...]:
        ordered = sorted(self.seen, key=lambda one: one[0])
        return tuple(
            Frame(number, at, node, interface, len(data), data)
            for number, (at, node, interface, data) in enumerate(ordered, 1)
        )

    def pcapng(self) -> bytes:
        places = list(dict.fromkeys((frame.node, frame.interface) for frame in self.frames()))
        blocks = [pcapng.section("test")]
        blocks += [pcapng.interface(f"{node}:{interface}") for node, interface in places]
        for frame in self.frames():
            blocks.append(
                pcapng.packet(places.index((frame.node, frame.interface)), frame.time_ns, frame.data)
            )
        return b"".join(blocks)


@dataclass
class Tcp:
    """A TCP connection along `path`. Every call says when the sender sends, and returns when it arrives."""

    wire: Wire
    path: Path
    client_seq: int = 1000
    server_seq: int = 900_000
    mss: int = 1400

    def handshake(self, start_ns: int) -> int:
        """SYN, SYN-ACK and ACK. Returns when the client has sent its ACK: one round trip later."""
        arrived = self.segment(start_ns, True, SYN)
        self.client_seq += 1
        back = self.segment(arrived, False, SYN | ACK)
        self.server_seq += 1
        self.segment(back, True, ACK)
        return back

    def send(self, start_ns: int, to_server: bool, data: bytes) -> int:
        """In segments of at most `mss` bytes, acknowledged once. Returns when the last one arrives."""
        arrived = start_ns
        for place in range(0, len(data), self.mss):
            arrived = self.segment(start_ns + place, to_server, PSH | ACK, data[place : place + self.mss])
        self.segment(arrived, not to_server, ACK)
        return arrived

    def close(self, start_ns: int) -> int:
        arrived = self.segment(start_ns, True, FIN | ACK)
        self.client_seq += 1
        back = self.segment(arrived, False, FIN | ACK)
        self.server_seq += 1
        return self.segment(back, True, ACK)

    def segment(self, start_ns: int, to_server: bool, flags: int, data: bytes = b"") -> int:
        seq, ack = (self.client_seq, self.server_seq) if to_server else (self.server_seq, self.client_seq)
        head = struct.pack("!HHIIBBHHH", 0, 0, seq, ack if flags & ACK else 0, 5 << 4, flags, 64000, 0, 0)
        arrived = self.wire.cross(self.path, start_ns, to_server, 6, head + data)
        if to_server:
            self.client_seq += len(data)
        else:
            self.server_seq += len(data)
        return arrived


def _ipv4(src: End, dst: End, ttl: int, ip_id: int, protocol: int, payload: bytes) -> bytes:
    fields = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ip_id, 0x4000, ttl, protocol, 0)
    return fields + ip_address(src.address).packed + ip_address(dst.address).packed + payload


def _mac(end: End) -> bytes:
    return b"\x02\x00" + ip_address(end.address).packed
