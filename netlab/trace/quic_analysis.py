"""What QUIC did in one direction of a connection, from the packets of the sender's interface, opened.

Sources: RFC 9002, section 5.1 (samples of the round-trip time), section 6.1 (when a packet counts as lost).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netlab.decode.quic import QuicConnection, Side
from netlab.decode.quic_seen import QuicPacket
from netlab.trace.round_trips import Moment
from netlab.trace.tcp_analysis import Sample

_THRESHOLD = 3  # packets that were sent later and acknowledged (RFC 9002, section 6.1.1)


@dataclass(frozen=True, slots=True)
class QuicAnalysis:
    """`rtts` in ns; the acknowledgement's delay at the peer is in them. `flight`: bytes sent and neither
    acknowledged nor counted as lost, after each packet that changes it. `lost`: by when the packets that the
    sender had to count as lost were sent."""

    rtts: tuple[Sample, ...]
    flight: tuple[Sample, ...]
    lost: tuple[Moment, ...]


@dataclass(slots=True)
class _Open:
    """A packet that is on its way, as far as the sender knows."""

    at: Moment
    size: int


def analyse_quic(connection: QuicConnection, sender: Side) -> QuicAnalysis:
    """Of what `sender` sent."""
    rtts: list[Sample] = []
    flight: list[Sample] = []
    lost: list[Moment] = []
    open_: dict[str, dict[int, _Open]] = {}
    held = 0
    for packet in connection.packets:
        at = Moment(packet.time_ns, packet.frame)
        sent = open_.setdefault(packet.space, {})
        if packet.sender == sender:
            if packet.number < 0 or not any(one.eliciting for one in packet.frames):
                continue
            sent[packet.number] = _Open(at, packet.size)
            held += packet.size
        else:
            acked = dict(_acknowledged(packet, sent))
            if not acked:
                continue
            largest = max(acked)
            if largest == max(one.integer("largest_acknowledged") for one in packet.frames if one.ranges):
                rtts.append(Sample(at, at.time_ns - acked[largest].at.time_ns))
            gone = {number: sent[number] for number in sent if number <= largest - _THRESHOLD}
            gone = {number: one for number, one in gone.items() if number not in acked}
            lost += [one.at for one in gone.values()]
            for number, one in {**acked, **gone}.items():
                held -= one.size
                del sent[number]
        flight.append(Sample(at, held))
    return QuicAnalysis(tuple(rtts), tuple(flight), tuple(sorted(lost)))


def _acknowledged(packet: QuicPacket, sent: dict[int, _Open]) -> Iterator[tuple[int, _Open]]:
    ranges = [one for frame in packet.frames if frame.name == "ACK" for one in frame.ranges]
    for number, one in sent.items():
        if any(low <= number <= high for low, high in ranges):
            yield number, one
