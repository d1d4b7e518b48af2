"""QUIC packets with their frames, DNS messages, PostgreSQL messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlab.decode import postgres
from netlab.decode.field import Field
from netlab.decode.quic import QuicConnection, QuicPacket, Side
from netlab.decode.quic_keys import VERSIONS
from netlab.decode.quic_packet import NEGOTIATION, split
from netlab.errors import RemoteProtocolError
from netlab.proto.dns import Message, ResourceRecord, decode
from netlab.trace.message import Extent
from netlab.trace.parts import APPLICATION, PRESENTATION, Part, Parts, Span, cut, fact
from netlab.trace.tls_parts import message_fields

DNS_PORTS = frozenset((53, 5353))
HTTPS = 443
_POSTGRES = 5432

# -------------------------------------------------------------------------------------------- QUIC


def quic_parts(parts: Parts) -> None:
    quic = parts.connection.quic
    if quic is None:
        return
    for packet in quic.packets:
        _quic_packet(parts, packet)
    _quic_messages(parts, quic)


def _quic_packet(parts: Parts, packet: QuicPacket) -> None:
    number = "" if packet.number < 0 else f" {packet.number}"
    names = ", ".join(dict.fromkeys(frame.name for frame in packet.frames))
    told = f": {packet.problem}" if packet.problem else f": {names}" if names else ""
    start = parts.payload(packet.frame).start
    span = Span(start + packet.sealed.start, start + packet.sealed.end)
    fields = tuple(_packet_fields(packet))
    name, text = f"{packet.type}{number}", f"{packet.type}{number}{told}"
    parts.add(
        Part(PRESENTATION, "QUIC", name, text, packet.sender, packet.frame, {packet.frame: span}, fields)
    )


def _packet_fields(packet: QuicPacket) -> Iterator[Field]:
    sealed = packet.sealed
    yield fact("packet type", packet.type)
    if sealed.version:
        yield fact("version", sealed.version, f"0x{sealed.version:08x}")
    yield fact("destination connection ID", sealed.destination)
    if sealed.source is not None:
        yield fact("source connection ID", sealed.source)
    if sealed.token:
        yield fact("token", sealed.token)
    if packet.number >= 0:
        yield fact("packet number", packet.number)
    yield fact("length", packet.size, f"{packet.size} bytes")
    for frame in packet.frames:
        yield fact("frame", frame.name, str(frame))
    if packet.problem:
        yield fact("not decrypted", packet.problem)


def _quic_messages(parts: Parts, quic: QuicConnection) -> None:
    for one in quic.messages:
        fields = tuple(message_fields(one.name, one.body))
        shown = [field.text for field in fields if field.name in ("server name", "ALPN", "cipher suite")]
        spans = {frame: parts.payload(frame) for frame in one.frames}
        text = " ".join((one.name, *shown))
        parts.add(Part(PRESENTATION, "TLS 1.3", one.name, text, one.sender, one.done, spans, fields))


def stray_quic(data: bytes, frame: int, start: int, ports: tuple[int, int]) -> tuple[Part, ...]:
    """QUIC packets of a connection whose start isn't in the capture: by their long headers, or the port."""
    found = []
    for sealed in split(data):
        known = sealed.version in VERSIONS or (sealed.version == 0 and sealed.type != NEGOTIATION)
        if not known or (sealed.source is None and HTTPS not in ports):
            break
        sender: Side = "client" if ports[1] == HTTPS else "server"
        span = Span(start + sealed.start, start + sealed.end)
        why = "the connection's start isn't in the capture"
        fields = (fact("packet type", sealed.type), fact("not decrypted", why))
        text = f"{sealed.type}: encrypted, {why}"
        found.append(Part(PRESENTATION, "QUIC", sealed.type, text, sender, frame, {frame: span}, fields))
    return tuple(found)


# --------------------------------------------------------------------------------------------- DNS


def dns_part(data: bytes, frame: int, span: Span, to_server: bool) -> Part:
    """Of a UDP datagram to or from a name server."""
    sender: Side = "client" if to_server else "server"
    name, text, fields = _dns(data)
    return Part(APPLICATION, "DNS", name, text, sender, frame, {frame: span}, fields)


def _dns(data: bytes) -> tuple[str, str, tuple[Field, ...]]:
    try:
        message = decode(data)
    except RemoteProtocolError as error:
        return "damaged", cut(str(error)), (fact("problem", str(error)),)
    name = "response" if message.response else "query"
    words = [name]
    if message.question is not None:
        words.append(f"{message.question.type} {message.question.name}")
    if message.response:
        words.append(message.rcode if message.rcode != "NOERROR" else _answers(message.answers))
    return name, cut(" ".join(words)), tuple(_dns_fields(message))


def _answers(answers: Iterable[ResourceRecord]) -> str:
    return ", ".join(f"{one.type} {one.data}" for one in answers) or "no answers"


def _dns_fields(message: Message) -> Iterator[Field]:
    yield fact("id", message.id, f"0x{message.id:04x}")
    yield fact("response", int(message.response))
    yield fact("opcode", message.opcode)
    yield fact("authoritative", int(message.authoritative))
    yield fact("truncated", int(message.truncated))
    yield fact("recursion desired", int(message.recursion_desired))
    yield fact("recursion available", int(message.recursion_available))
    yield fact("rcode", message.rcode)
    if message.question is not None:
        yield fact("question", f"{message.question.name} {message.question.type} {message.question.cls}")
    sections = (
        ("answer", message.answers),
        ("authority", message.authority),
        ("additional", message.additional),
    )
    for name, records in sections:
        for one in records:
            yield fact(name, f"{one.name} {one.ttl} {one.type} {one.data}")


def dns_over_tcp(parts: Parts) -> None:
    """Each message after its length in two bytes (RFC 1035, section 4.2.2)."""
    up, down = parts.connection.plain
    sides: tuple[tuple[Side, bytes], ...] = (("client", up), ("server", down))
    for sender, data in sides:
        start = 0
        while start + 2 <= len(data):
            end = start + 2 + int.from_bytes(data[start : start + 2], "big")
            if end > len(data):
                break
            name, text, fields = _dns(data[start + 2 : end])
            parts.message("DNS", name, text, sender, (Extent(start, end),), fields)
            start = end


# -------------------------------------------------------------------------------------- PostgreSQL


def postgres_parts(parts: Parts) -> bool:
    """Whether it is PostgreSQL; then its messages have been added. A pooled connection is mostly older than
    the capture: then the port tells it."""
    plain = parts.connection.plain
    found = postgres.messages(*plain)
    if found is None and parts.connection.server.port == _POSTGRES:
        found = postgres.messages(*plain, within=True)
    if found is None:
        return False
    for message in found.client:
        _postgres(parts, message, "client")
    for message in found.server:
        _postgres(parts, message, "server")
    return True


def _postgres(parts: Parts, message: postgres.Message, sender: Side) -> None:
    secret = message.name == "PasswordMessage"
    words = b"" if secret else message.body.replace(b"\0", b" ")
    said = cut(words.decode(errors="replace").strip(), 80) if _worded(message.name) else ""
    fields = [fact("length", message.end - message.start, f"{message.end - message.start} bytes")]
    if said:
        fields.append(fact("content", words.decode(errors="replace").strip()))
    text = f"{message.name} {said}".rstrip()
    parts.message("PostgreSQL", message.name, text, sender, (Extent(message.start, message.end),), fields)


def _worded(name: str) -> bool:
    """Messages that are mostly text."""
    return name in ("Query", "Parse", "CommandComplete", "ErrorResponse", "NoticeResponse", "ParameterStatus")
