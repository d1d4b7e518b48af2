"""Packets as text and as data: a line, a tree, the OSI stack, an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from netlab.decode.field import Field, Layer
from netlab.trace.dissection import Dissection
from netlab.trace.parts import Part
from netlab.trace.stack import StackLayer

_NS = 1_000_000_000


def line(packet: Dissection, start_ns: int) -> str:
    """Number, seconds since `start_ns`, interface, source ─► destination, protocol, what it says."""
    frame = packet.frame
    where = f"{frame.node}:{frame.interface}" if frame.node else frame.interface
    at = f"{(frame.time_ns - start_ns) / _NS:.6f}"
    ends = f"{packet.source} ─► {packet.destination}" if packet.source else "?"
    return (
        f"{frame.number:>6} {at:>12} {where:<20} {ends:<46} {packet.protocol:<10} {packet.summary}".rstrip()
    )


# -------------------------------------------------------------------------------------------- tree


def tree(packet: Dissection) -> str:
    """Every field with its offset and length in the frame."""
    frame = packet.frame
    captured = "" if len(frame.data) == frame.length else f", {len(frame.data)} of them captured"
    lines = [f"packet {frame.number}: {frame.length} bytes{captured}"]
    for layer in reversed(packet.layers):
        lines += _layer(layer)
    for part in packet.parts:
        lines += _part(part, frame.number)
    lines += [f"  note: {one}" for one in packet.notes]
    missing = packet.connection.missing if packet.connection is not None else ()
    lines += [f"  missing: {one}" for one in missing]
    return "\n".join(lines)


def _layer(layer: Layer) -> Iterator[str]:
    yield f"  {layer.name} [{layer.start}, {layer.end})"
    yield from _fields(layer.fields)


def _part(part: Part, number: int) -> Iterator[str]:
    span = part.spans.get(number)
    place = f" [{span.start}, {span.end})" if span is not None else ""
    if part.whole != number:
        yield f"  {part.protocol} {part.name}{place}: a part, whole with packet {part.whole}"
        return
    brought = f", from packets {', '.join(map(str, part.frames))}" if len(part.frames) > 1 else ""
    yield f"  {part.protocol} {part.name}{place}{brought}"
    yield from _fields(part.fields)


def _fields(fields: Iterable[Field]) -> Iterator[str]:
    for one in fields:
        place = f"{one.start:>5} +{one.length:<4}" if one.length else " " * 11
        yield f"    {place} {one.name}: {_printable(one.text)}"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "·" for one in text)


# ------------------------------------------------------------------------------------------- stack


def stack(packet: Dissection, rows: Iterable[StackLayer]) -> str:
    """Layers 7 to 1."""
    lines = [f"packet {packet.frame.number}"]
    for row in rows:
        ranges = " ".join(f"[{span.start}, {span.end})" for span in row.ranges)
        lines.append(f"L{row.osi} {row.name}  {row.unit}{'  bytes ' + ranges if ranges else ''}")
        if row.responsible:
            lines.append(f"   by: {row.responsible}")
        lines += [f"   {one.name}: {_printable(one.text)}" for one in row.fields]
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------- data


def document(packet: Dissection) -> dict[str, Any]:
    """Everything, for JSON. A field is [name, value, text, start, length], without the end of the list where
    text is the value, and where it isn't in the frame's bytes."""
    frame = packet.frame
    return {
        "number": frame.number,
        "time_ns": frame.time_ns,
        "node": frame.node,
        "interface": frame.interface,
        "length": frame.length,
        "captured": len(frame.data),
        "source": packet.source,
        "destination": packet.destination,
        "protocol": packet.protocol,
        "summary": packet.summary,
        "layers": [_layer_data(layer) for layer in reversed(packet.layers)],
        "parts": [_part_data(part, frame.number) for part in packet.parts],
        "notes": list(packet.notes),
        "missing": list(packet.connection.missing) if packet.connection is not None else [],
    }


def _layer_data(layer: Layer) -> dict[str, Any]:
    fields = [_field_data(one) for one in layer.fields]
    return {"osi": layer.osi, "name": layer.name, "start": layer.start, "end": layer.end, "fields": fields}


def _part_data(part: Part, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "osi": part.osi,
        "protocol": part.protocol,
        "name": part.name,
        "sender": part.sender,
        "whole": part.whole,
        "bytes": list(part.spans.get(number, ())),
    }
    if part.whole == number:
        made |= {"frames": part.frames, "fields": [_field_data(one) for one in part.fields]}
    return made


def _field_data(one: Field) -> list[Any]:
    if one.length:
        return list(one)
    return [one.name, one.value] if one.text == str(one.value) else [one.name, one.value, one.text]


def stack_document(packet: Dissection, rows: Iterable[StackLayer]) -> dict[str, Any]:
    """The OSI stack, for JSON."""
    layers = [
        {
            "osi": row.osi,
            "name": row.name,
            "unit": row.unit,
            "bytes": [list(span) for span in row.ranges],
            "responsible": row.responsible,
            "fields": [_field_data(one) for one in row.fields],
        }
        for row in rows
    ]
    return {"number": packet.frame.number, "stack": layers}
