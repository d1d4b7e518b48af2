"""DNS as packets show it: questions with their answers, over UDP and plain TCP, and what a lookup costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError
from netlab.proto.dns import FrameCodec, Message, decode
from netlab.trace.packet import Packet, Socket
from netlab.trace.round_trips import Moment, Spoken, turns

_Flow = tuple[str, Socket, Socket]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, at the interface of one of the two."""

    question: Message
    answer: Message
    asked: Packet
    answered: Packet

    @property
    def ms(self) -> float:
        return (self.answered.time_ns - self.asked.time_ns) / 1e6

    @property
    def name(self) -> str:
        return self.question.question.name.lower() if self.question.question else ""

    @property
    def server(self) -> str:
        return self.asked.dst.address

    @property
    def tcp(self) -> bool:
        return self.asked.headers.protocol == "tcp"

    @property
    def frames(self) -> tuple[int, ...]:
        return self.asked.number, self.answered.number

    @property
    def data(self) -> tuple[str, ...]:
        """Of the answer's last record set: what the name's aliases lead to."""
        last = self.answer.answers[-1].type if self.answer.answers else ""
        return tuple(one.data for one in self.answer.answers if one.type == last)


def exchanges(packets: Iterable[Packet], port: int) -> tuple[Exchange, ...]:
    """With servers on `port`, by the time of the question. `packets`: of one interface, by time."""
    open_: dict[tuple[_Flow, int], tuple[Message, Packet]] = {}
    found = []
    for packet, message in _messages(packets, port):
        ends = (packet.dst, packet.src) if message.response else (packet.src, packet.dst)
        key = (packet.headers.protocol, *ends), message.id
        if not message.response:
            open_.setdefault(key, (message, packet))
        elif key in open_:
            question, asked = open_.pop(key)
            found.append(Exchange(question, message, asked, packet))
    return tuple(sorted(found, key=lambda one: one.asked.time_ns))


def _messages(packets: Iterable[Packet], port: int) -> Iterator[tuple[Packet, Message]]:
    """Each with the packet that made it whole. Of TCP, segments that come in order."""
    streams: dict[tuple[Socket, Socket], _Stream] = {}
    for packet in packets:
        if port not in (packet.src.port, packet.dst.port) or not packet.headers.payload_length:
            continue
        if packet.headers.protocol == "udp":
            whole = [packet.payload]
        else:
            whole = streams.setdefault((packet.src, packet.dst), _Stream()).receive(packet)
        for data in whole:
            try:
                yield packet, decode(data)
            except RemoteProtocolError:
                continue  # something else on this port


class _Stream:
    """One direction of a TCP connection, as far as it comes without a gap."""

    def __init__(self) -> None:
        self._codec = FrameCodec()
        self._next: int | None = None

    def receive(self, packet: Packet) -> list[bytes]:
        if self._next is not None and packet.headers.seq != self._next:
            return []  # again, or past a gap
        self._next = (packet.headers.seq + packet.headers.payload_length) % (1 << 32)
        return self._codec.receive(packet.payload)


@dataclass(frozen=True, slots=True)
class Talk:
    """What went between two pauses."""

    packets: tuple[Packet, ...]
    client: frozenset[str]

    def turns(self, rtt_ns: int) -> int:
        """Waits for the server, each of which takes at least about `rtt_ns` (netlab.trace.round_trips)."""
        spoken = (
            Spoken(Moment(one.time_ns, one.number), one.src.address in self.client)
            for one in self.packets
            if one.speaks
        )
        return len(turns(spoken, rtt_ns))

    @property
    def ms(self) -> float:
        """To the last thing that the server said."""
        spoken = [one for one in self.packets if one.speaks and one.src.address not in self.client]
        return (spoken[-1].time_ns - self.packets[0].time_ns) / 1e6 if spoken else 0.0

    @property
    def bytes(self) -> int:
        return sum(one.frame.length for one in self.packets)

    @property
    def frames(self) -> tuple[int, ...]:
        return self.packets[0].number, self.packets[-1].number


def talks(
    packets: Sequence[Packet], client: frozenset[str], server: frozenset[str], pause_s: float
) -> tuple[Talk, ...]:
    """What a client and a server, each known by its addresses, said to each other, cut where both were
    silent for `pause_s`."""
    parts: list[list[Packet]] = []
    for packet in packets:
        ends = (packet.src.address, packet.dst.address)
        if not any(one in client and other in server for one, other in (ends, ends[::-1])):
            continue
        if not parts or packet.time_ns - parts[-1][-1].time_ns > pause_s * 1e9:
            parts.append([])
        parts[-1].append(packet)
    return tuple(Talk(tuple(part), client) for part in parts)
