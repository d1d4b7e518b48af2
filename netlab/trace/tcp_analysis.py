"""What TCP did in one direction of a connection, from the packets of one interface.

Sources: RFC 9293; RFC 5681 (duplicate acknowledgements, fast retransmit); RFC 2018 (SACK); RFC 6298
(timeout); RFC 8985, section 7 (tail loss probe). Sequence numbers are unwrapped: offsets count from the first
byte after SYN.

Retransmissions, their kinds, and bytes in flight are the sender's doing: give the packets of its interface.
Gaps and disorder are the receiver's view: give those of its interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from netlab.decode.frame import FIN, RST, SYN
from netlab.decode.quic import Side
from netlab.decode.tcp_options import Options, options
from netlab.trace.leg import View
from netlab.trace.packet import Packet
from netlab.trace.round_trips import Moment

_WRAP = 1 << 32
_DUPLICATES = 3  # RFC 5681, section 3.2
_KEPT = 64  # acknowledged segments that stay, to recognise what is sent for nothing

Kind = Literal["fast", "timeout", "probe"]


class Retransmission(NamedTuple):
    """Bytes [start, end) again. `first`: the frame that carried the first of them before, 0 where the capture
    doesn't have it (this is the receiver's side, and it was lost).

    `kind`: "fast" where three duplicate acknowledgements, or SACK blocks for later bytes, had come;
    "probe" for the last segment sent again with others before it unacknowledged; else "timeout": nothing
    but a timer can have caused it. `waited_ns`: since these bytes were sent last, 0 if unknown.
    `duplicates`: acknowledgements that asked for these bytes again before it. `syn`: it is a SYN.
    """

    at: Moment
    start: int
    end: int
    first: int
    kind: Kind
    waited_ns: int
    duplicates: int
    syn: bool = False


class Disorder(NamedTuple):
    """A segment that came after later ones, but was sent before them."""

    at: Moment
    start: int
    end: int


class Gap(NamedTuple):
    """Bytes [start, end) were missing when later ones came in frame `at`. `filled`: the frame that brought
    the last of them, None where none did."""

    at: Moment
    start: int
    end: int
    filled: Moment | None


class DuplicateAck(NamedTuple):
    """`number` counts from 1 since the acknowledgement that it repeats."""

    at: Moment
    ack: int
    number: int


class Sample(NamedTuple):
    """A number at a time: bytes, or ns of a round trip."""

    at: Moment
    value: int


@dataclass(frozen=True)
class TcpAnalysis:
    """`sender` of the data. `windows`: what the receiver offered, in bytes, whenever it changed; `zero`: the
    moments at which it was 0. `flight`: bytes sent and not acknowledged, after each packet. `sent`: the
    highest offset, with each new data segment. `unscaled`: the capture lacks a SYN, so that windows
    may have to be multiplied."""

    sender: Side
    retransmissions: tuple[Retransmission, ...]
    disorder: tuple[Disorder, ...]
    gaps: tuple[Gap, ...]
    duplicates: tuple[DuplicateAck, ...]
    windows: tuple[Sample, ...]
    zero: tuple[Moment, ...]
    rtts: tuple[Sample, ...]
    flight: tuple[Sample, ...]
    sent: tuple[Sample, ...]
    unscaled: bool
    mss: int

    def of_kind(self, kind: Kind) -> tuple[Retransmission, ...]:
        return tuple(one for one in self.retransmissions if one.kind == kind)


class _Sent(NamedTuple):
    start: int
    end: int
    at: Moment
    ip_id: int


@dataclass
class _State:
    """`una`: the highest acknowledgement; `highest`: where the bytes end that were seen."""

    base: int | None = None
    una: int = 0
    highest: int = 0
    sacked: int = 0
    duplicates: int = 0
    window: int = -1
    scale: int = 0
    unscaled: bool = True
    syn: Moment | None = None
    mss: int = 0
    segments: list[_Sent] = field(default_factory=list)
    again: set[tuple[int, int]] = field(default_factory=set)
    open_gaps: list[Gap] = field(default_factory=list)


def analyse(view: View, sender: Side) -> TcpAnalysis:
    """Of the data that `sender` sent, as `view`'s interface saw it."""
    return _Analyser(view, sender).run()


class _Analyser:
    def __init__(self, view: View, sender: Side) -> None:
        self.view = view
        self.sender = sender
        self.state = _State()
        self.retransmissions: list[Retransmission] = []
        self.disorder: list[Disorder] = []
        self.gaps: list[Gap] = []
        self.duplicates: list[DuplicateAck] = []
        self.windows: list[Sample] = []
        self.zero: list[Moment] = []
        self.rtts: list[Sample] = []
        self.flight: list[Sample] = []
        self.sent: list[Sample] = []
        self.limit = 4 * _KEPT  # of segments to remember, before the old ones are dropped

    def run(self) -> TcpAnalysis:
        for packet in self.view.packets:
            at = Moment(packet.time_ns, packet.number)
            if self.view.to_server(packet) == (self.sender == "client"):
                self._data(packet, at)
            else:
                self._acknowledged(packet, at)
        state = self.state
        return TcpAnalysis(
            self.sender,
            tuple(self.retransmissions),
            tuple(self.disorder),
            tuple(sorted((*self.gaps, *state.open_gaps))),
            tuple(self.duplicates),
            tuple(self.windows),
            tuple(self.zero),
            tuple(self.rtts),
            tuple(self.flight),
            tuple(self.sent),
            state.unscaled,
            state.mss,
        )

    def _offset(self, seq: int) -> int:
        """Unwrapped, near to the highest so far."""
        state = self.state
        assert state.base is not None
        ahead = (seq - state.base - state.highest + _WRAP // 2) % _WRAP - _WRAP // 2
        return state.highest + ahead

    # --------------------------------------------------------------------------------- its segments

    def _data(self, packet: Packet, at: Moment) -> None:
        headers, state = packet.headers, self.state
        if headers.flags & SYN:
            self._syn(packet, at)
            return
        if state.base is None:
            state.base = headers.seq
        start = self._offset(headers.seq)
        end = start + headers.payload_length + (1 if headers.flags & FIN else 0)
        if end == start or headers.flags & RST or self._keeps_alive(start, end):
            return
        if start >= state.highest:
            self._new(start, end, at, headers.ip_id)
        elif self._sent_before_others(start, end, headers.ip_id):
            self.disorder.append(Disorder(at, start, end))
            self._fill(start, end, at)
        else:
            self._again(start, end, at, headers.ip_id)
        self.flight.append(Sample(at, state.highest - state.una))

    def _keeps_alive(self, start: int, end: int) -> bool:
        """A probe with one byte that has been acknowledged already (RFC 9293, section 3.8.4)."""
        return end - start == 1 and end == self.state.highest == self.state.una

    def _syn(self, packet: Packet, at: Moment) -> None:
        state = self.state
        state.mss = _options(packet).mss
        if state.syn is not None and state.base == (packet.headers.seq + 1) % _WRAP:
            waited = at.time_ns - state.syn.time_ns
            self.retransmissions.append(
                Retransmission(at, 0, 0, state.syn.frame, "timeout", waited, 0, syn=True)
            )
        state.base, state.syn = (packet.headers.seq + 1) % _WRAP, at

    def _new(self, start: int, end: int, at: Moment, ip_id: int) -> None:
        state = self.state
        if start > state.highest:
            state.open_gaps.append(Gap(at, state.highest, start, None))
        state.highest = end
        state.segments.append(_Sent(start, end, at, ip_id))
        self.sent.append(Sample(at, end))

    def _sent_before_others(self, start: int, end: int, ip_id: int) -> bool:
        """Bytes not seen yet, in a packet that its IP identification shows to be older than one that came
        before it. Without identifications (IPv6, or 0), what fills a gap counts as sent again."""
        if not any(gap.start < end and start < gap.end for gap in self.state.open_gaps) or not ip_id:
            return False
        later = next((one for one in reversed(self.state.segments) if one.start >= end), None)
        return later is not None and bool(later.ip_id) and 0 < (later.ip_id - ip_id) % 65536 < 32768

    def _again(self, start: int, end: int, at: Moment, ip_id: int) -> None:
        state = self.state
        copies = list(self._copies(start))
        last = max((one.at for one in copies), default=None)
        waited = at.time_ns - last.time_ns if last is not None else 0
        asked = state.duplicates if start == state.una else 0
        self.retransmissions.append(
            Retransmission(
                at,
                start,
                end,
                min((one.at.frame for one in copies), default=0),
                self._kind(start, end, asked),
                waited,
                asked,
            )
        )
        self._fill(start, end, at)
        state.again.add((start, end))
        state.segments.append(_Sent(start, end, at, ip_id))
        if end > state.highest:
            state.highest = end
            self.sent.append(Sample(at, end))

    def _kind(self, start: int, end: int, asked: int) -> Kind:
        state = self.state
        if asked >= _DUPLICATES or state.sacked > start:
            return "fast"
        return "probe" if end >= state.highest and start > state.una else "timeout"

    def _copies(self, start: int) -> Iterator[_Sent]:
        """What carried the first of these bytes before."""
        return (one for one in self.state.segments if one.start <= start < one.end)

    def _fill(self, start: int, end: int, at: Moment) -> None:
        """Closes, shortens or splits the gaps that these bytes lie in."""
        left: list[Gap] = []
        for gap in self.state.open_gaps:
            if end <= gap.start or start >= gap.end:
                left.append(gap)
                continue
            self.gaps.append(gap._replace(start=max(gap.start, start), end=min(gap.end, end), filled=at))
            if gap.start < start:
                left.append(gap._replace(end=start))
            if end < gap.end:
                left.append(gap._replace(start=end))
        self.state.open_gaps = left

    # ------------------------------------------------------------------------- what the other says

    def _acknowledged(self, packet: Packet, at: Moment) -> None:
        headers, state = packet.headers, self.state
        found = _options(packet)
        if headers.flags & SYN:
            state.scale, state.unscaled = max(found.scale, 0), False
        if headers.flags & RST or state.base is None:
            return
        ack = self._offset(headers.ack)
        window = headers.window << (0 if headers.flags & SYN else state.scale)
        changed = window != state.window
        self._offer(window, at)
        if found.sack:
            state.sacked = max(state.sacked, *(self._offset(right) for _, right in found.sack))
        bare = not headers.payload_length and not headers.flags & (SYN | FIN)
        if ack > state.una:
            self._advance(ack, at)
        elif bare and ack == state.una and state.highest > ack and (not changed or found.sack):
            state.duplicates += 1
            self.duplicates.append(DuplicateAck(at, ack, state.duplicates))
        self.flight.append(Sample(at, max(state.highest - state.una, 0)))

    def _offer(self, window: int, at: Moment) -> None:
        if window != self.state.window:
            self.state.window = window
            self.windows.append(Sample(at, window))
            if not window:
                self.zero.append(at)

    def _advance(self, ack: int, at: Moment) -> None:
        """A sample of the round trip, from the newest segment that it acknowledges, unless that was sent
        twice (RFC 6298, section 3)."""
        state = self.state
        newest = next((one for one in reversed(state.segments) if state.una < one.end <= ack), None)
        if newest is not None and not any(s < newest.end and newest.start < e for s, e in state.again):
            self.rtts.append(Sample(at, at.time_ns - newest.at.time_ns))
        state.una, state.duplicates = ack, 0
        state.again = {one for one in state.again if one[1] > ack}
        if len(state.segments) > self.limit:
            done = [one for one in state.segments if one.end <= ack]
            open_ = [one for one in state.segments if one.end > ack]
            state.segments = [*done[-_KEPT:], *open_]
            self.limit = 2 * len(state.segments) + _KEPT


def _options(packet: Packet) -> Options:
    start = packet.headers.transport_offset + 20
    return options(packet.frame.data[start : packet.headers.payload_offset])
