"""Captures of plain HTTP/1.1 over TCP, made by hand: who said what when, at which interfaces."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count

from netlab.decode.frame import ACK, FIN, PSH, RST, SYN, Frame
from netlab.model.event import Event
from netlab.trace.run import RunPhase
from tests.kit.recordings import traceparent

EPOCH_NS = 1_700_000_000_000_000_000
CALLER_ADDRESS, SERVER_ADDRESS = "192.0.2.1", "192.0.2.2"
Place = tuple[str, str]


def at_ns(ms: float) -> int:
    return EPOCH_NS + round(ms * 1e6)


@dataclass
class Capture:
    """Times in ms. Packets are seen at all of `places` (of a call: its own), one after another."""

    places: tuple[Place, ...]
    caller: str = ""  # the node that announces its calls; by default that of the first place
    seen: list[tuple[int, int, Place, bytes]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ports: count[int] = field(default_factory=lambda: count(40_000))
    order: count[int] = field(default_factory=count)
    ids: count[int] = field(default_factory=lambda: count(1))

    def syns(self, port: int, *times_ms: float, refused_ms: float | None = None) -> None:
        """SYNs of one connection; the last may be refused."""
        ends = (CALLER_ADDRESS, next(self.ports)), (SERVER_ADDRESS, port)
        for ms in times_ms:
            self._packet(ms, *ends, 999, 0, SYN)
        if refused_ms is not None:
            self._packet(refused_ms, ends[1], ends[0], 0, 1000, RST | ACK)

    def call(
        self,
        name: str,
        number: int,
        ms: float,
        *,
        port: int = 8080,
        status: int = 200,
        took_ms: float | None = 1.0,
        body: bytes = b"",
        parts: tuple[float, ...] = (),
        ended_ms: float | None = None,
        fields: str = "",
        method: str = "GET",
        places: tuple[Place, ...] = (),
    ) -> None:
        """A connection for one request. `number`: of its trace. The answer comes after `took_ms` (None: none
        does), its body then or in as many parts as `parts` has times; `ended_ms` after the request the caller
        ends the connection."""
        here, there = (CALLER_ADDRESS, next(self.ports)), (SERVER_ADDRESS, port)
        self._packet(ms - 0.3, here, there, 999, 0, SYN, places=places)
        self._packet(ms - 0.2, there, here, 4999, 1000, SYN | ACK, places=places)
        self._packet(ms - 0.1, here, there, 1000, 5000, ACK, places=places)
        asked = f"{method} /x HTTP/1.1\r\nHost: x\r\ntraceparent: {traceparent(number)}\r\n\r\n".encode()
        self._packet(ms, here, there, 1000, 5000, PSH | ACK, asked, places)
        sequence, later = 5000, 1000 + len(asked)
        if took_ms is not None:
            length = len(body) * max(len(parts), 1)
            head = f"HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n{fields}\r\n".encode()
            first = head if parts else head + body
            for after, data in ((took_ms, first), *((part, body) for part in parts)):
                self._packet(ms + after, there, here, sequence, later, PSH | ACK, data, places)
                sequence += len(data)
        if ended_ms is not None:
            self._packet(ms + ended_ms, here, there, later, sequence, FIN | ACK, places=places)
        self.events.append(self.announced(name, number, ms - 0.4))

    def announced(self, name: str, number: int, ms: float) -> Event:
        data = {"name": name, "traceparent": traceparent(number), "url": "http://x/"}
        return Event(at_ns(ms), self.caller or self.places[0][0], "client", "request-start", None, data)

    def frames(self) -> tuple[Frame, ...]:
        return tuple(
            Frame(number, at, place[0], place[1], len(data), data)
            for number, (at, _, place, data) in enumerate(sorted(self.seen), 1)
        )

    def _packet(
        self,
        ms: float,
        src: tuple[str, int],
        dst: tuple[str, int],
        sequence: int,
        acknowledged: int,
        flags: int,
        data: bytes = b"",
        places: tuple[Place, ...] = (),
    ) -> None:
        tcp = struct.pack("!HHIIBBHHH", src[1], dst[1], sequence, acknowledged, 5 << 4, flags, 65535, 0, 0)
        length = 20 + len(tcp) + len(data)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, length, next(self.ids) % 65536, 0x4000, 64, 6, 0)
        whole = bytes(12) + b"\x08\x00" + ip + ip_address(src[0]).packed + ip_address(dst[0]).packed + tcp
        for hop, place in enumerate(places or self.places):
            self.seen.append((at_ns(ms) + hop * 1000, next(self.order), place, whole + data))


def phase(name: str, start_ms: float, end_ms: float) -> RunPhase:
    return RunPhase(name=name, started_ns=at_ns(start_ms), ended_ns=at_ns(end_ms))
