"""What a packet says above the transport: TLS records, QUIC packets, HTTP messages and frames, and so on.

A part can be spread over several packets, and one packet can hold several parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netlab.decode.field import Field
from netlab.decode.quic import Side
from netlab.decode.reassembly import Reassembly
from netlab.trace.carriage import Carriage
from netlab.trace.connection import Connection
from netlab.trace.message import Extent

PRESENTATION, APPLICATION = 6, 7


class Span(NamedTuple):
    """Bytes from `start` to before `end` of the frame's data."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """`protocol` "TLS 1.3", "HTTP/2"; `name` of the message or frame; `summary` for one line.

    `whole`: the frame with which it could be read. `spans`: which bytes of each frame that brought it are
    its own (of what is encrypted: the whole records or packets that it was in).
    """

    osi: int
    protocol: str
    name: str
    summary: str
    sender: Side
    whole: int
    spans: dict[int, Span]
    fields: tuple[Field, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        return tuple(sorted({self.whole, *self.spans}))


def fact(name: str, value: int | str | bytes, text: str = "") -> Field:
    """A field that isn't in the frame's bytes as it is. Bytes become hexadecimal digits."""
    shown = value.hex() if isinstance(value, bytes) else value
    return Field(name, shown, text or str(shown))


_LONG = 200


def cut(text: str, longest: int = _LONG) -> str:
    """At most `longest` characters, in one line."""
    line = "".join(one if one.isprintable() else "·" for one in text[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@dataclass
class Places:
    """Where the bytes of a TCP stream lie in the frames that brought them."""

    stream: Reassembly
    at: dict[int, tuple[int, int, int]]  # frame ─► stream offset, place in the frame, length

    def spans(self, start: int, end: int) -> dict[int, Span]:
        found: dict[int, Span] = {}
        for one in self.stream.arrivals(start, end):
            offset, place, length = self.at[one.carrier]
            first, last = one.start - offset + place, min(one.end - offset, length) + place
            known = found.get(one.carrier)
            found[one.carrier] = Span(first, last) if known is None else Span(known.start, last)
        return found


@dataclass
class Parts:
    """Collects the parts of one connection, by frame."""

    connection: Connection
    found: dict[int, list[Part]] = field(default_factory=lambda: defaultdict(list))
    _places: dict[Side, Places] = field(default_factory=dict)
    _payloads: dict[int, Span] = field(default_factory=dict)

    def carriage(self, sender: Side) -> Carriage:
        return self.connection.up if sender == "client" else self.connection.down

    def add(self, part: Part) -> None:
        for frame in part.frames:
            self.found[frame].append(part)

    def stream(
        self,
        osi: int,
        protocol: str,
        name: str,
        summary: str,
        sender: Side,
        start: int,
        end: int,
        fields: Iterable[Field] = (),
    ) -> None:
        """A part that is the bytes [start, end) of a side's TCP stream, as far as they came."""
        places = self.places(sender)
        end = min(end, len(places.stream))
        if start < end:
            spans, whole = places.spans(start, end), places.stream.frame_at(end - 1)
            self.add(Part(osi, protocol, name, summary, sender, whole, spans, tuple(fields)))

    def message(
        self,
        protocol: str,
        name: str,
        summary: str,
        sender: Side,
        extents: Sequence[Extent],
        fields: Iterable[Field] = (),
    ) -> None:
        """A part of the application's bytes (of a stream of QUIC), where all of them came."""
        carriage = self.carriage(sender)
        extents = tuple(one for one in extents if one.start < one.end)
        if not carriage.has(extents):
            return
        spans: dict[int, Span] = {}
        for extent in extents:
            start, end = carriage.place(extent)
            if self.connection.quic is None:
                spans |= self.places(sender).spans(start, end)
            else:
                frames = carriage.streams[extent.stream].frames_of(start, end)
                spans |= {frame: self.payload(frame) for frame in frames}
        self.add(
            Part(APPLICATION, protocol, name, summary, sender, carriage.whole(extents), spans, tuple(fields))
        )

    def places(self, sender: Side) -> Places:
        if sender not in self._places:
            self._places[sender] = self._make(sender)
        return self._places[sender]

    def _make(self, sender: Side) -> Places:
        view = self.connection.view
        assert view is not None
        stream = view.up if sender == "client" else view.down
        at = {}
        for packet in view.packets:
            if view.to_server(packet) == (sender == "client") and packet.headers.payload_length:
                seq = packet.headers.seq + (packet.headers.flags >> 1 & 1)  # SYN takes one number
                place = packet.headers.payload_offset
                at[packet.number] = stream.offset(seq % (1 << 32)), place, len(packet.payload)
        return Places(stream, at)

    def payload(self, frame: int) -> Span:
        """The transport's payload in the frame."""
        if not self._payloads:
            for packet in self.connection.packets:
                start = packet.headers.payload_offset
                self._payloads[packet.number] = Span(start, start + len(packet.payload))
        return self._payloads[frame]
