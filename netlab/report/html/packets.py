"""The packets of a page: every one in a line of numbers, those of the story with all layers and bytes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from netlab.decode.frame import Frame, Headers, headers
from netlab.decode.tls import KeyLog
from netlab.model.media import media
from netlab.model.units import format_duration, format_rate
from netlab.trace.connection import Connection
from netlab.trace.deep import Deep, deep
from netlab.trace.dissection import Dissection, dissect
from netlab.trace.findings import Findings
from netlab.trace.leg import Leg, Network
from netlab.trace.parts import Part, Span, cut
from netlab.trace.run import Run

_MOST = 2000  # packets that are thought of
_ROOM = 1_500_000  # characters for packets with all layers and bytes, about 3,000 each
_SHOWN_OF_A_CLAIM = 6  # packets that are a click away
_DEEP = 1500  # packets of a connection at an interface that are decoded up to layer 7
_PARTS = 12  # above the transport, of one packet
_LONG = 600  # of a field's text


def columns(frames: Sequence[Frame], joined: Network, start_ns: int) -> dict[str, Any]:
    """All packets, a list per column: µs since `start_ns`, place, text of what it is, length, journey."""
    places: dict[str, int] = {}
    texts: dict[str, int] = {}
    journeys: dict[int, int] = {}
    rows: list[tuple[int, int, int, int, int]] = []
    for frame in frames:
        place = places.setdefault(f"{frame.node}:{frame.interface}", len(places))
        packet = joined.by_number.get(frame.number)
        found = packet.headers if packet is not None else headers(frame.data)
        said = texts.setdefault(_flow(found), len(texts))
        journey = joined.journey_of.get(frame.number)
        key = journeys.setdefault(id(journey), len(journeys)) if journey is not None else -1
        rows.append(((frame.time_ns - start_ns) // 1000, place, said, frame.length, key))
    time, place_of, text_of, length, of_journey = (
        (list(one) for one in zip(*rows, strict=True)) if rows else ([],) * 5
    )
    return {
        "places": list(places), "texts": list(texts), "time": time, "place": place_of, "text": text_of,
        "length": length, "journey": of_journey,
    }  # fmt: skip


def flags_of(found: Headers) -> str:
    """ "SYN, ACK"; "" where it isn't TCP."""
    names = ((2, "SYN"), (16, "ACK"), (1, "FIN"), (4, "RST"), (8, "PSH"))
    return ", ".join(name for bit, name in names if found.flags & bit)


def _flow(found: Headers | None) -> str:
    if found is None:
        return "ARP, or another frame without IP"
    ends = f"{found.src}:{found.sport} ─► {found.dst}:{found.dport}"
    return " ".join(filter(None, (found.protocol, ends, flags_of(found))))


def chosen(findings: Findings, joined: Network) -> list[int]:
    """The packets that a page wants whole, what views need first: hops of requests, evidence of claims, spans
    and tables; then the sightings of all these elsewhere."""
    variants = findings.trace.variants if findings.trace is not None else ()
    wanted = dict.fromkeys(hop.frame for variant in variants for hop in variant.hops)
    evidence = [some for claim in findings.claims for some in claim.evidence.values()]
    spans = [span.frames for variant in variants for span in variant.spans]
    rows = [row.evidence for table in findings.tables for row in table.rows]
    for frames in (*evidence, *spans, *rows):
        wanted |= dict.fromkeys(frames[:_SHOWN_OF_A_CLAIM])
    for frames in (*evidence, *spans):
        wanted |= dict.fromkeys(frames)
    for number in list(wanted):
        wanted |= dict.fromkeys(packet.number for packet in joined.journey_of.get(number, ()))
    return list(wanted)[:_MOST]


def decoded(joined: Network, legs: Iterable[Leg], wanted: set[int], keys: KeyLog) -> Deep:
    """The deep decode of connections at their ends and wherever a wanted packet was seen."""
    parts: dict[int, tuple[Part, ...]] = {}
    notes: dict[int, tuple[str, ...]] = {}
    owners: dict[int, Connection] = {}
    wholes: dict[int, Frame] = {}
    for leg in legs:
        for view in leg.views:
            ends = view is leg.client or view is leg.server
            numbers = {packet.number for packet in view.packets}
            if len(numbers) <= _DEEP and (ends or numbers & wanted):
                found = deep([packet.frame for packet in view.packets], keys)
                parts |= found.parts
                notes |= found.notes
                owners |= found.connections
                wholes |= found.wholes
    return Deep(parts, notes, owners, wholes)


def whole(
    frames: Sequence[Frame], numbers: Iterable[int], known: Deep, run: Run
) -> dict[str, dict[str, Any]]:
    """Frame number ─► its bytes (base64), a line of what it says, and its layers from 7 to 1; of the first of
    `numbers` for which there is room."""
    by_number = {frame.number: frame for frame in frames}
    made: dict[str, dict[str, Any]] = {}
    room = _ROOM
    for number in numbers:
        frame = by_number.get(number)
        if frame is None:
            continue
        found = dissect(frame, known)
        one = {
            "bytes": b64encode(frame.data).decode(), "says": found.summary, "layers": stack(found, run),
        }  # fmt: skip
        room -= len(json.dumps(one, ensure_ascii=False, separators=(",", ":")))
        if room < 0:
            break
        made[str(number)] = one
    return made


def stack(found: Dissection, run: Run) -> list[dict[str, Any]]:
    """Layers of a frame from 7 to 1."""
    frame, payload = found.frame, found.payload
    rows = [
        _layer(
            f"L{part.osi}",
            f"{part.protocol} {part.name}",
            part.spans.get(frame.number, Span(0, 0)),
            [(one.name, cut(one.text, _LONG), one.start, one.length) for one in part.fields],
            frame,
            run,
        )
        for part in reversed(found.parts[:_PARTS])
    ]
    if not rows and payload.start < payload.end:
        size = payload.end - payload.start
        rows.append(
            _layer("L5–7", "payload", payload, [("data", f"{size} bytes", payload.start, size)], frame, run)
        )
    for layer in found.layers:
        fields = [(one.name, one.text, one.start, one.length) for one in layer.fields]
        rows.append(_layer(f"L{layer.osi}", layer.name, (layer.start, layer.end), fields, frame, run))
    return [*rows, _layer("L1", "link", (0, len(frame.data)), _physical(frame, run), frame, run)]


Field = tuple[str, str, int, int]


def _layer(
    osi: str, name: str, bounds: tuple[int, int], fields: Sequence[Field], frame: Frame, run: Run
) -> dict[str, Any]:
    return {
        "osi": osi, "name": name, "start": bounds[0], "end": bounds[1],
        "who": _responsible(osi, frame.node, run), "fields": [list(one) for one in fields],
    }  # fmt: skip


def _responsible(osi: str, node: str, run: Run) -> str:
    """Who on this node deals with the layer."""
    found = run.nodes.get(node)
    kind, roles = (found.kind, ", ".join(found.roles)) if found is not None else ("host", "")
    if osi == "L1":
        return "the medium and the interfaces at its ends"
    if osi == "L2":
        return "the bridge switches it by its MAC address" if kind == "switch" else "the kernel's interface"
    if kind == "switch":
        return "not looked at by a switch"
    if osi == "L3":
        return "the kernel forwards it" if kind == "router" else "the kernel's IP"
    if kind == "router":
        return "not looked at by a router" if osi != "L4" else "looked at only by NAT and filters"
    return "the kernel's TCP or UDP (QUIC: the program)" if osi == "L4" else f"the program: {roles or 'none'}"


def _physical(frame: Frame, run: Run) -> list[Field]:
    end = f"{frame.node}:{frame.interface}"
    facts: list[tuple[str, str]] = [("bits", f"{frame.length} bytes = {frame.length * 8:,} bits")]
    link = run.link_at(end)
    if link is not None:
        facts.append(("link", f"{link.ends[0]} ─ {link.ends[1]}"))
        medium = media.get(link.medium)
        if medium is not None:
            facts += [("medium", medium.title), ("encoding", medium.encoding), ("symbol", medium.symbol)]
        for way, one in ((f"sent by {link.ends[0]}", link.up), (f"sent by {link.ends[1]}", link.down)):
            rate = f", {format_rate(one.rate_bps)}" if one.rate_bps else ""
            took = f", serialisation {frame.length * 8e6 / one.rate_bps:.1f} µs" if one.rate_bps else ""
            facts.append((way, f"delay {format_duration(one.delay_ns)}{rate}{took}"))
    return [(name, value, 0, 0) for name, value in facts]
