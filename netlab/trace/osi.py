"""The OSI table: one frame of a request, from layer 7 to layer 1 (guide 3.1 to 3.6)."""

from __future__ import annotations

from netlab.decode.frame import Frame
from netlab.decode.layers import layers
from netlab.model.impairment import Impairment
from netlab.model.media import media
from netlab.model.medium import Medium, serialisation_ns
from netlab.model.units import format_duration, format_rate
from netlab.proto.http import RequestHead
from netlab.trace.dialogue import Dialogue, Passage
from netlab.trace.packet import Packet
from netlab.trace.run import Run
from netlab.trace.story import LayerRow, LayerTable

Fields = tuple[tuple[str, str], ...]


def layer_table(passage: Passage, packet: Packet, run: Run) -> LayerTable:
    """`packet` is the first packet of the request of `passage`, as its client or its server saw it."""
    frame = packet.frame
    dialogue = passage.dialogue
    layer = "QUIC" if dialogue.quic is not None else "TLS" if dialogue.tls is not None else ""
    below = [
        LayerRow(f"L{layer.osi}", layer.name, layer.pairs) for layer in layers(frame.data, frame.linktype)
    ]
    rows = (
        LayerRow("L7", f"HTTP/{passage.dialogue.version}", _application(passage)),
        LayerRow("L6", layer or "none", _presentation(passage, packet)),
        LayerRow("L5", f"{layer} session" if layer else "none", _session(passage)),
        *below,
        LayerRow("L1", "link", physical(frame, packet.place == passage.client.place, run)),
    )
    return LayerTable(frame.node, frame.interface, frame.number, rows)


def _application(passage: Passage) -> Fields:
    head = passage.exchange.request
    if not isinstance(head, RequestHead):
        return (("query", head),)
    line = ("request line", f"{head.method} {head.target} HTTP/{head.version}")
    return (line, *head.headers)


def _presentation(passage: Passage, packet: Packet) -> Fields:
    secured, extents = passage.dialogue.secured, passage.exchange.request_extents
    if secured is None:
        return (("encryption", "none: plain HTTP, TLS ended at the proxy before"),)
    plain = ("plain bytes", str(sum(one.end - one.start for one in extents)))
    lines = ("version", secured.version), ("cipher", secured.cipher)
    if passage.dialogue.quic is not None:
        return (*lines, *_quic_packets(passage.dialogue, packet), plain)
    start, end = passage.dialogue.up(passage.client).place(passage.exchange.request_extent)
    record = ("record", f"application data, {end - start} bytes with its 5-byte head")
    return (*lines, record, plain)


def _quic_packets(dialogue: Dialogue, packet: Packet) -> Fields:
    """The QUIC packets in a datagram, with their frames."""
    seen = [one for quic in (dialogue.quic, dialogue.quic_server) if quic for one in quic.packets]
    return tuple(
        (f"{one.type} packet {one.number}", ", ".join(dict.fromkeys(frame.name for frame in one.frames)))
        for one in seen
        if one.frame == packet.number
    )


def _session(passage: Passage) -> Fields:
    secured = passage.dialogue.secured
    if secured is None:
        return (("session", "none of its own: the TCP connection"),)
    return (
        ("server name (SNI)", secured.sni),
        ("application protocol (ALPN)", secured.alpn or "none"),
        ("resumption", "resumed from a ticket" if secured.resumed else "full handshake"),
    )


def physical(frame: Frame, sent: bool, run: Run | None) -> Fields:
    """The link at this interface, its medium, and how long the frame's bits took on it. `sent`: by this node.
    Without a run, or for an interface that isn't on a link of it, only the bits."""
    end = f"{frame.node}:{frame.interface}"
    link = run.link_at(end) if run is not None else None
    facts: Fields = (("bits", f"{frame.length} bytes = {frame.length * 8:,} bits"),)
    if link is None:
        return facts
    direction, medium = link.sent_by(end if sent else link.other(end)), media.get(link.medium)
    facts += (*_serialisation(frame.length, direction, medium), *_propagation(direction, medium))
    if medium is None:
        return (("medium", link.medium or "link"), *facts)
    return (("medium", medium.title), ("encoding", medium.encoding), ("symbol", medium.symbol), *facts)


def _serialisation(frame_bytes: int, direction: Impairment, medium: Medium | None) -> Fields:
    if direction.rate_bps:
        took, where = serialisation_ns(direction, frame_bytes), f"at {format_rate(direction.rate_bps)}"
    elif medium is not None:
        took, where = medium.serialisation_ns(frame_bytes), "at line rate, with preamble, FCS and gap"
    else:
        return ()
    return (("serialisation", f"{took / 1000:.1f} µs {where}"),)


def _propagation(direction: Impairment, medium: Medium | None) -> Fields:
    """The delay of the link, and the distance that it stands for where the medium's delay is a distance."""
    if not direction.delay_ns:
        return (("propagation", "none: the link has no delay"),)
    text = format_duration(direction.delay_ns)
    if medium is not None and medium.ns_per_km:
        speed = f"{medium.ns_per_km / 1000:.3f} µs/km"
        text += f", as of {direction.delay_ns / medium.ns_per_km:,.0f} km at {speed}"
    return (("propagation", text),)
