"""A packet with all that is known of it: headers, parts above the transport, notes, one line for a list."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netlab.decode.field import Layer
from netlab.decode.frame import Frame, Headers, headers
from netlab.decode.layers import layers
from netlab.decode.link import LINKTYPES
from netlab.trace.connection import Connection
from netlab.trace.deep import Deep
from netlab.trace.other_parts import DNS_PORTS, dns_part, stray_quic
from netlab.trace.parts import Part, Span

_SHOWN = 4  # parts in a line


@dataclass(frozen=True)
class Dissection:
    """`layers` from 4 down to 2. `parts` in which this frame has bytes, from the outer to the inner.
    `connection` None where there is none, or it isn't decoded. `whole_packet`: of a fragment, the packet that
    was put together; what is above IP is then that packet's, and told with the fragment that completes it."""

    frame: Frame
    headers: Headers | None
    layers: tuple[Layer, ...]
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    connection: Connection | None = None
    whole_packet: Frame | None = None

    @property
    def payload(self) -> Span:
        """The transport's payload in the frame; of a packet that was put together, empty."""
        if self.headers is None or self.whole_packet is not None:
            return Span(len(self.frame.data), len(self.frame.data))
        start = min(self.headers.payload_offset, len(self.frame.data))
        return Span(start, min(start + self.headers.payload_length, len(self.frame.data)))

    @property
    def whole(self) -> tuple[Part, ...]:
        """The parts that this frame makes whole."""
        return tuple(part for part in self.parts if part.whole == self.frame.number)

    @property
    def source(self) -> str:
        return self._ends[0]

    @property
    def destination(self) -> str:
        return self._ends[1]

    @property
    def _ends(self) -> tuple[str, str]:
        found = self.headers
        if found is not None:
            return _socket(found.src, found.sport), _socket(found.dst, found.dport)
        for layer in self.layers:
            ends = layer.field("source"), layer.field("destination")
            if ends[0] is not None:
                return str(ends[0]), str(ends[1])
            if layer.field("source MAC") is not None:
                return str(layer.field("source MAC")), str(layer.field("destination MAC") or "")
        return "", ""

    @property
    def protocol(self) -> str:
        """The highest one that it has a whole message of, or bytes."""
        inner = self.whole or self.parts
        if inner:
            return inner[-1].protocol
        return self.layers[0].name if self.layers else "unknown"

    @property
    def summary(self) -> str:
        """What it says, in one line."""
        said = self._said()
        return f"{said} [{'; '.join(self.notes)}]" if self.notes else said

    def _said(self) -> str:
        whole = self.whole
        top = whole[-1].protocol if whole else ""
        texts = [part.summary for part in whole if part.protocol == top]
        if texts:
            more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
            return ", ".join(texts[:_SHOWN]) + more
        if self.parts:
            part = self.parts[-1]
            return f"a part of {part.name}, whole with frame {part.whole}"
        return _line(self)


def dissect(frame: Frame, known: Deep | None = None) -> Dissection:
    """`known`: the deep decode of its connection; without, what the frame itself says. Never raises for
    what the frame holds."""
    found = headers(frame.data, frame.linktype)
    below = layers(frame.data, frame.linktype)
    if known is None:
        known = Deep()
    whole = known.wholes.get(frame.number)
    if whole is not None:
        return _fragment(frame, whole, below, known)
    parts = known.parts.get(frame.number, ())
    if not parts and found is not None and found.protocol == "udp":
        parts = _datagram(frame, found)
    notes = known.notes.get(frame.number, ())
    if len(frame.data) < frame.length:
        notes += (f"{len(frame.data)} of {frame.length} bytes captured",)
    return Dissection(frame, found, below, parts, notes, known.connections.get(frame.number))


def _fragment(frame: Frame, whole: Frame, below: tuple[Layer, ...], known: Deep) -> Dissection:
    """What is above IP isn't in the frame's bytes as it is: its layers and fields have no place there."""
    notes = known.notes.get(frame.number, ())
    found = headers(whole.data, whole.linktype)
    below = tuple(layer for layer in below if layer.osi < 4 and not layer.name.startswith("ICMP"))
    if frame.number != whole.number or found is None:
        return Dissection(frame, found, below, (), notes, None, whole)
    upper = [
        _without_place(layer)
        for layer in layers(whole.data, whole.linktype)
        if layer.start >= found.transport_offset
    ]
    parts = known.parts.get(frame.number, ())
    if not parts and found.protocol == "udp":
        parts = _datagram(whole, found)
    brought = f"put together from the fragments in frames {', '.join(map(str, whole.fragments))}"
    return Dissection(
        frame,
        found,
        (*upper, *below),
        tuple(replace(part, spans=part.spans | {frame.number: Span(0, 0)}) for part in parts),
        (*notes, brought),
        known.connections.get(frame.number),
        whole,
    )


def _without_place(layer: Layer) -> Layer:
    fields = tuple(one._replace(start=0, length=0) for one in layer.fields)
    return layer._replace(fields=fields, start=0, end=0)


def _datagram(frame: Frame, found: Headers) -> tuple[Part, ...]:
    """UDP protocols that need no connection."""
    if found.fragment_offset or found.more_fragments:
        return ()
    span = Span(found.payload_offset, found.payload_offset + found.payload_length)
    data = frame.data[span.start : span.end]
    if len(data) < found.payload_length:
        return ()
    if {found.sport, found.dport} & DNS_PORTS:
        return (dns_part(data, frame.number, span, found.dport in DNS_PORTS),)
    return stray_quic(data, frame.number, span.start, (found.sport, found.dport))


# ------------------------------------------------------------------------- a line without deep decode


def _socket(address: str, port: int) -> str:
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _line(packet: Dissection) -> str:
    whole = packet.whole_packet
    if whole is not None and whole.number != packet.frame.number:
        return f"a fragment, whole with frame {whole.number}"
    if not packet.layers:
        linktype = packet.frame.linktype
        why = "" if linktype in LINKTYPES else f" of link type {linktype}, which isn't decoded"
        return f"{len(packet.frame.data)} bytes{why}"
    layer = packet.layers[0]
    text = {field.name: field.text for field in layer.fields}
    if layer.name == "TCP":
        return (
            f"{text['flags']} seq={text['sequence number']} ack={text['acknowledgment number']} "
            f"win={text['window size']} {text['data']}"
        )
    if layer.name == "UDP":
        return text["data"]
    if layer.name == "ARP" and "sender MAC" in text:
        return _arp(text)
    if layer.name in ("ICMP", "ICMPv6"):
        seq = f", sequence number {text['sequence number']}" if "sequence number" in text else ""
        return f"{text['type']}, code {text['code']}{seq}"
    if packet.headers is not None and packet.headers.fragment_offset:
        return f"fragment at byte {packet.headers.fragment_offset}"
    return ", ".join(f"{one.name} {one.text}" for one in layer.fields[-2:])


def _arp(text: dict[str, str]) -> str:
    if text["operation"] == "request":
        return f"who has {text['target address']}? tell {text['sender address']}"
    return f"{text['sender address']} is at {text['sender MAC']}"
