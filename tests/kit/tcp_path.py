"""TCP without a kernel: two ends with timers, SACK and fast retransmission, over a path with losses.

Small and by the book (RFC 9293, 5681, 2018, 6298), with a window that never closes unless it is told to.
Every segment is sighted at the client's interface and at the server's. What it does is logged, so that tests
of analyses know what must come out.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count

from netlab.decode.frame import ACK, PSH, SYN, Frame

MS = 1_000_000
EPOCH_NS = 1_700_000_000_000_000_000
CLIENT, SERVER = ("192.0.2.1", 40000), ("192.0.2.2", 443)
RTO_NS = 300 * MS
MSS = 1400
_SCALE = 7

# Whether the network loses a segment: (its number among those of its direction, from 0; its payload).
Loss = Callable[[int, bytes], bool]


def _keeps(_: int, __: bytes) -> bool:
    return False


@dataclass
class Sending:
    """What an end did: `why` "new", "fast" or "timeout"; offsets from 0."""

    time_ns: int
    start: int
    end: int
    why: str


@dataclass
class End:
    """One end. `heard` gets its bytes in order."""

    path: TcpPath
    is_client: bool
    isn: int
    heard: Callable[[bytes], None] = lambda _: None
    buffer: bytearray = field(default_factory=bytearray)
    sent: int = 0
    acked: int = 0
    expected: int = 0
    peer_isn: int = 0
    early: dict[int, bytes] = field(default_factory=dict)
    duplicates: int = 0
    recover: int = -1
    timer: int = 0
    opened: bool = False
    window: int = 1 << 20
    peer_window: int = 1 << 20
    log: list[Sending] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.buffer += data
        self._push()

    def _push(self) -> None:
        while self.opened and self.sent < len(self.buffer) and self.sent - self.acked < self.peer_window:
            room = self.peer_window - (self.sent - self.acked)
            end = min(self.sent + min(MSS, room), len(self.buffer))
            self._segment(self.sent, end, "new")
            self.sent = end

    def _segment(self, start: int, end: int, why: str) -> None:
        self.log.append(Sending(self.path.now_ns, start, end, why))
        self.path.transmit(self, start, PSH | ACK, bytes(self.buffer[start:end]))
        self._start_timer()

    def _start_timer(self) -> None:
        self.timer += 1
        stamp = self.timer
        self.path.at(RTO_NS, lambda: self._expired(stamp))

    def _expired(self, stamp: int) -> None:
        if stamp == self.timer and self.acked < self.sent:
            self.duplicates, self.recover = 0, -1
            self._segment(self.acked, min(self.acked + MSS, self.sent), "timeout")

    def receive(self, start: int, data: bytes, ack: int, window: int) -> None:
        self.peer_window = window
        self._acknowledged(ack, bool(data))
        if data:
            self._data(start, data)
        self._push()

    def _acknowledged(self, ack: int, with_data: bool) -> None:
        if ack > self.acked:
            self.acked, self.duplicates = ack, 0
            self.timer += 1
            if self.acked < self.sent:
                self._start_timer()
                if ack < self.recover:  # a partial acknowledgement: the next hole (RFC 6582)
                    self._segment(ack, min(ack + MSS, self.sent), "fast")
        elif ack == self.acked < self.sent and not with_data:
            self.duplicates += 1
            if self.duplicates == 3 and self.acked >= self.recover:
                self.recover = self.sent
                self._segment(self.acked, min(self.acked + MSS, self.sent), "fast")

    def _data(self, start: int, data: bytes) -> None:
        if start > self.expected:
            self.early[start] = data
        elif start + len(data) > self.expected:
            self._deliver(start, data)
            while self.early and min(self.early) <= self.expected:
                at = min(self.early)
                self._deliver(at, self.early.pop(at))
        self.acknowledge()

    def acknowledge(self) -> None:
        self.path.transmit(self, self.sent, ACK, b"")

    def _deliver(self, start: int, data: bytes) -> None:
        fresh = data[self.expected - start :]
        if fresh:
            self.expected += len(fresh)
            self.heard(fresh)


@dataclass
class TcpPath:
    """`one_way_ns` in each direction; segments of one end leave 10 µs apart."""

    one_way_ns: int = 25 * MS
    lost_up: Loss = _keeps
    lost_down: Loss = _keeps
    now_ns: int = EPOCH_NS
    events: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    order: count[int] = field(default_factory=count)
    seen: list[tuple[int, int, str, bytes]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=lambda: [0, 0])
    free_ns: list[int] = field(default_factory=lambda: [0, 0])
    ids: count[int] = field(default_factory=lambda: count(100))
    snaplen: int = 1 << 16

    def __post_init__(self) -> None:
        self.client = End(self, True, 1000)
        self.server = End(self, False, 0xFFFFFF00)  # wraps soon

    def at(self, delay_ns: int, call: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now_ns + delay_ns, next(self.order), call))

    def connect(self) -> None:
        """SYN, SYN-ACK, ACK; none of them is lost unless `lost_up` and `lost_down` say so."""
        self.client.peer_isn, self.server.peer_isn = self.server.isn, self.client.isn
        self._syn()

    def _syn(self) -> None:
        if not self.client.opened:
            self.transmit(self.client, -1, SYN, b"")
            self.at(1000 * MS, self._syn)

    def run(self, until: Callable[[], bool], limit_ns: int = 60_000 * MS) -> None:
        end = self.now_ns + limit_ns
        while not until():
            assert self.events, "nothing will happen any more"
            self.now_ns, _, call = heapq.heappop(self.events)
            assert self.now_ns < end, "not done in time"
            call()

    def settle(self, for_ns: int = 100 * MS) -> None:
        end = self.now_ns + for_ns
        while self.events and self.events[0][0] <= end:
            self.now_ns, _, call = heapq.heappop(self.events)
            call()
        self.now_ns = end

    def transmit(self, end: End, start: int, flags: int, data: bytes) -> None:
        up = end.is_client
        leaves = max(self.now_ns, self.free_ns[up])
        self.free_ns[up] = leaves + 10_000
        number = self.numbers[up]
        self.numbers[up] += 1
        frame = self._frame(end, start, flags, data)
        self.seen.append((leaves, next(self.order), "client" if up else "server", frame))
        if not (self.lost_up if up else self.lost_down)(number, data):
            state = (end.expected, end.window)
            arrives = leaves + self.one_way_ns - self.now_ns
            self.at(arrives, lambda: self._arrive(not up, frame, (start, flags, data, *state)))

    def _arrive(self, at_client: bool, frame: bytes, segment: tuple[int, int, bytes, int, int]) -> None:
        start, flags, data, ack, window = segment
        end = self.client if at_client else self.server
        self.seen.append((self.now_ns, next(self.order), "client" if at_client else "server", frame))
        if flags & SYN:
            end.opened = True
            if at_client:
                self.transmit(end, 0, ACK, b"")
                end._push()
            else:
                self.transmit(end, -1, SYN | ACK, b"")
            return
        end.receive(start, data, ack, window)

    def _frame(self, end: End, start: int, flags: int, data: bytes) -> bytes:
        src, dst = (CLIENT, SERVER) if end.is_client else (SERVER, CLIENT)
        seq = (end.isn + 1 + start) % (1 << 32)
        ack = (end.peer_isn + 1 + end.expected) % (1 << 32) if flags & ACK else 0
        options = self._options(end, flags)
        window = 65535 if flags & SYN else end.window >> _SCALE
        head = struct.pack(
            "!HHIIBBHHH", src[1], dst[1], seq, ack, (20 + len(options)) // 4 << 4, flags, window, 0, 0
        )
        tcp = head + options + data
        fields = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), next(self.ids), 0x4000, 64, 6, 0)
        ip = fields + ip_address(src[0]).packed + ip_address(dst[0]).packed
        return bytes(12) + b"\x08\x00" + ip + tcp

    def _options(self, end: End, flags: int) -> bytes:
        if flags & SYN:
            return b"\x02\x04" + MSS.to_bytes(2, "big") + b"\x04\x02\x03\x03" + bytes((_SCALE,)) + b"\x01" * 3
        if not end.early:
            return b""
        base = end.peer_isn + 1
        blocks = [
            struct.pack("!II", (base + at) % (1 << 32), (base + at + len(data)) % (1 << 32))
            for at, data in list(end.early.items())[-3:]
        ]
        return b"\x01\x01\x05" + bytes((2 + 8 * len(blocks),)) + b"".join(blocks)

    def frames(self, *places: str) -> tuple[Frame, ...]:
        """What interfaces saw ("client", "server"; by default both), numbered by time as one capture."""
        ordered = sorted(self.seen)
        return tuple(
            Frame(number, at, place, "eth0", len(data), data[: self.snaplen])
            for number, (at, _, place, data) in enumerate(ordered, 1)
            if place in (places or ("client", "server"))
        )
