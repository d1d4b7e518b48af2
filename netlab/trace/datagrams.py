"""What became of datagrams between two interfaces, by a sequence number in their payload.

Where nothing repairs losses (UDP), this counts them; the number in the payload survives NAT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from netlab.decode.frame import Frame
from netlab.trace.packet import Packet, packets_of
from netlab.trace.round_trips import Moment

# The sequence number of a payload; None where it isn't one of the datagrams to follow.
SequenceOf = Callable[[bytes], int | None]


@dataclass(frozen=True)
class Delivery:
    """`sent` and `received`: sequence number ─► its first sighting. `copies`: how often each came beyond the
    first time. `late`: those that came after one with a higher number. `again`: how often
    each was sent beyond the first time. `stray`: came, and weren't sent here.
    """

    sent: dict[int, Moment]
    received: dict[int, Moment]
    copies: dict[int, int]
    late: tuple[int, ...]
    again: dict[int, int] = field(default_factory=dict)

    @property
    def lost(self) -> tuple[int, ...]:
        return tuple(sorted(self.sent.keys() - self.received.keys()))

    @property
    def stray(self) -> tuple[int, ...]:
        return tuple(sorted(self.received.keys() - self.sent.keys()))

    @property
    def loss(self) -> float:
        """The part of the sent ones that didn't come, 0 to 1."""
        return len(self.lost) / len(self.sent) if self.sent else 0.0

    @property
    def delays_ns(self) -> dict[int, int]:
        """How long each was on the way."""
        return {
            number: at.time_ns - self.sent[number].time_ns
            for number, at in self.received.items()
            if number in self.sent
        }


def delivery(sender: Iterable[Frame], receiver: Iterable[Frame], sequence_of: SequenceOf) -> Delivery:
    """Frames of the sender's and of the receiver's interface; UDP only, other frames are passed over."""
    sent, received = dict[int, Moment](), dict[int, Moment]()
    copies, again, late = dict[int, int](), dict[int, int](), list[int]()
    for packet in _udp(sender):
        number = sequence_of(packet.payload)
        if number in sent:
            again[number] = again.get(number, 0) + 1
        elif number is not None:
            sent[number] = Moment(packet.time_ns, packet.number)
    highest = -1
    for packet in _udp(receiver):
        number = sequence_of(packet.payload)
        if number is None:
            continue
        if number in received:
            copies[number] = copies.get(number, 0) + 1
            continue
        received[number] = Moment(packet.time_ns, packet.number)
        if number < highest:
            late.append(number)
        highest = max(highest, number)
    return Delivery(sent, received, copies, tuple(late), again)


def _udp(frames: Iterable[Frame]) -> tuple[Packet, ...]:
    return tuple(packet for packet in packets_of(frames) if packet.headers.protocol == "udp")


def leading_number(size: int = 8) -> SequenceOf:
    """The payload begins with its number: `size` bytes, big-endian. A shorter one has none."""
    return lambda payload: int.from_bytes(payload[:size], "big") if len(payload) >= size else None
