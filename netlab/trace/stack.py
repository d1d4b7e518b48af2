"""The guide's OSI stack of a packet: layers 7 to 1, each with its data unit, fields, bytes, and who does it
on the node where it was captured (guide, sections 3.1 to 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from netlab.decode.field import Field, Layer
from netlab.decode.fragments import Fragments
from netlab.decode.frame import Frame, headers
from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection
from netlab.trace.deep import Deep, deep
from netlab.trace.dissection import Dissection, dissect
from netlab.trace.index import Grouping
from netlab.trace.osi import physical
from netlab.trace.parts import APPLICATION, PRESENTATION, Part, Span
from netlab.trace.recording import Recording
from netlab.trace.run import Run

_UNITS = {7: "data", 6: "data", 5: "data", 4: "segment", 3: "packet", 2: "frame", 1: "bits"}


class StackLayer(NamedTuple):
    """A layer of the OSI model. `ranges`: which bytes of the frame it is, none where it has none of its own.
    `responsible`: what does this layer's work on this node, "" where the node doesn't look at it."""

    osi: int
    name: str
    unit: str
    fields: tuple[Field, ...]
    ranges: tuple[Span, ...]
    responsible: str


def stack(recording: Recording, number: int) -> tuple[StackLayer, ...]:
    """Of frame `number` of a run, layer 7 first. For many frames of one run take `Stacks`, which remembers
    connections. Raises IndexError where the capture has no such frame."""
    return Stacks(recording.frames, recording.keys, recording.run).of(number)


class Stacks:
    """The frames of a capture, decoded as they are asked for; each connection once."""

    def __init__(self, frames: Iterable[Frame], keys: KeyLog, run: Run | None = None) -> None:
        self.frames = {frame.number: frame for frame in frames}
        self.keys = keys
        self.run = run
        self._units: dict[object, list[Frame]] = {}
        self._unit_of: dict[int, object] = {}
        self._deep: dict[object, Deep] = {}
        grouping, joiner = Grouping(), Fragments()
        for frame in self.frames.values():
            whole = joiner.add(frame)
            key = _key(whole, grouping) if whole is not None else None
            if whole is not None and key is not None:
                for number in whole.fragments or (frame.number,):
                    self._unit_of[number] = key
                    self._units.setdefault(key, []).append(self.frames[number])

    def dissection(self, number: int) -> Dissection:
        """Raises IndexError where there is no such frame."""
        if number not in self.frames:
            raise IndexError(f"no frame {number} among {len(self.frames)}")
        key = self._unit_of.get(number)
        if key is not None and key not in self._deep:
            self._deep[key] = deep(self._units[key], self.keys)
        return dissect(self.frames[number], self._deep[key] if key is not None else None)

    def of(self, number: int) -> tuple[StackLayer, ...]:
        """The stack of a frame, layer 7 first. Raises IndexError as `dissection`."""
        return stack_of(self.dissection(number), self.run)


def _key(frame: Frame, grouping: Grouping) -> object | None:
    found = headers(frame.data, frame.linktype)
    own = frame.fragments or None  # a packet that was put together is decoded so, whatever it holds
    if found is None or found.fragment_offset or found.protocol not in ("tcp", "udp"):
        return own
    first = frame.data[found.payload_offset : found.payload_offset + 1]
    return grouping.key(frame.node, frame.interface, found, first) or own


# -------------------------------------------------------------------------------------------- stack


def stack_of(packet: Dissection, run: Run | None = None) -> tuple[StackLayer, ...]:
    """`run` tells what the node is, and what its link is made of."""
    who = _responsible(packet, run)
    application = [part for part in packet.parts if part.osi == APPLICATION]
    presentation = [part for part in packet.parts if part.osi == PRESENTATION]
    rows = [_upper(packet, 7, application, who), _upper(packet, 6, presentation, who), _session(packet, who)]
    if not packet.payload.end > packet.payload.start and not packet.parts:
        rows = []
    rows += [_lower(layer, who) for layer in packet.layers]
    rows.append(_physical(packet, run, who))
    return tuple(rows)


def _upper(packet: Dissection, osi: int, parts: list[Part], who: Callable[[int], str]) -> StackLayer:
    names = " in ".join(dict.fromkeys(part.protocol for part in reversed(parts)))
    number = packet.frame.number
    fields: list[Field] = []
    for part in parts:
        told = (
            part.summary if part.whole == number else f"a part of {part.name}, whole with frame {part.whole}"
        )
        fields.append(Field(part.protocol, part.name, told))
        fields += part.fields if part.whole == number else ()
    spans = tuple(dict.fromkeys(part.spans[number] for part in parts if any(part.spans.get(number, ()))))
    if not parts:
        names = "none"
        carries = any(part.osi == PRESENTATION for part in packet.parts)
        bare = "nothing of the application that could be read" if carries else "not decoded"
        said = "plain: nothing encrypts it here" if osi == PRESENTATION else bare
        missing = packet.connection.missing if packet.connection is not None else ()
        fields = [Field("content", "", said)]
        fields += [Field("missing", one, one) for one in missing]
        spans = (packet.payload,) if osi == APPLICATION and not carries else ()
    return StackLayer(osi, names, _UNITS[osi], tuple(fields), spans, who(osi) if parts else "")


def _session(packet: Dissection, who: Callable[[int], str]) -> StackLayer:
    connection = packet.connection
    if connection is None or not connection.handshake.version:
        what = "none of its own" if connection is None else "none of its own: the TCP connection"
        return StackLayer(5, "none", _UNITS[5], (Field("session", "", what),), (), "")
    fields = tuple(Field(name, value, value) for name, value in _agreed(connection))
    name = "QUIC connection" if connection.quic is not None else "TLS session"
    return StackLayer(5, name, _UNITS[5], fields, (), who(5))


def _agreed(connection: Connection) -> tuple[tuple[str, str], ...]:
    made = connection.handshake
    return (
        ("version", made.version),
        ("cipher", made.cipher),
        ("server name (SNI)", made.sni or "none"),
        ("application protocol (ALPN)", made.alpn or "none"),
        ("resumption", "resumed from a ticket" if made.resumed else "full handshake"),
    )


def _lower(layer: Layer, who: Callable[[int], str]) -> StackLayer:
    unit = "datagram" if layer.name == "UDP" else _UNITS[layer.osi]
    ranges = (Span(layer.start, layer.end),) if layer.end else ()
    return StackLayer(layer.osi, layer.name, unit, layer.fields, ranges, who(layer.osi))


def _physical(packet: Dissection, run: Run | None, who: Callable[[int], str]) -> StackLayer:
    frame = packet.frame
    sent = frame.direction == "out"
    if not frame.direction and run is not None and packet.headers is not None:
        sent = run.node_of(packet.headers.src) == frame.node
    fields = tuple(Field(name, value, value) for name, value in physical(frame, sent, run))
    return StackLayer(1, "link", _UNITS[1], fields, (Span(0, len(frame.data)),), who(1))


def _responsible(packet: Dissection, run: Run | None) -> Callable[[int], str]:
    """Who does the work of a layer on the node that captured the frame."""
    node = run.nodes.get(packet.frame.node) if run is not None else None
    if node is None:
        return lambda osi: _WHO[osi]
    ends = (packet.headers.src, packet.headers.dst) if packet.headers is not None else ()
    is_end = any(one in node.addresses for one in ends) or packet.headers is None
    roles = ", ".join(node.roles) or "a program"
    if is_end:
        return lambda osi: f"{roles} of {packet.frame.node}" if osi > 4 else _WHO[osi]
    return lambda osi: _WHO[osi] if osi < 4 else "its NAT, if it has one" if osi == 4 else ""


_WHO = {
    7: "the program",
    6: "the program's TLS or QUIC library",
    5: "the program's TLS or QUIC library",
    4: "the kernel's TCP or UDP (QUIC: the program)",
    3: "the kernel's IP: addresses and routes",
    2: "the network driver, and ARP in the kernel",
    1: "the network card and its medium",
}
