"""TLS in a connection: records, handshake messages with their fields, alerts; also what stays encrypted."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.decode.field import Field
from netlab.decode.tls import TlsRecord, TlsSession, unopened
from netlab.decode.tls_certificate import certificate_fields, compressed_fields
from netlab.decode.tls_hello import client_hello, encrypted_extensions, server_hello
from netlab.decode.tls_keys import SUITES_12, SUITES_13
from netlab.trace.parts import PRESENTATION, Parts, fact

_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_HANDSHAKE, _APPLICATION_DATA = 22, 23
_SHOWN = ("server name", "ALPN", "cipher suite", "certificate 1 subject")


def tls_parts(parts: Parts) -> None:
    """Adds those of a TLS connection over TCP."""
    session = parts.connection.tls
    if session is None:
        _mid_stream(parts)
        return
    protocol = session.version or "TLS"
    for message in session.messages:
        fields = tuple(message_fields(message.name, message.body))
        text = _summary(message.name, fields)
        where = message.direction, message.start, message.end
        parts.stream(PRESENTATION, protocol, message.name, text, *where, fields)
    for alert in session.alerts:
        text = f"alert: {alert.name}{' (fatal)' if alert.level == 2 else ''}"
        fields = (fact("level", alert.level), fact("description", alert.description, alert.name))
        parts.stream(
            PRESENTATION,
            protocol,
            f"alert {alert.name}",
            text,
            alert.direction,
            alert.start,
            alert.end,
            fields,
        )
    for record in session.records:
        if not record.opened or record.kind not in (_HANDSHAKE, 21):
            _record(parts, protocol, record, session)


def _record(parts: Parts, protocol: str, record: TlsRecord, session: TlsSession | None) -> None:
    name, why = record.name, ""
    if not record.opened and record.kind != 20:
        why = session.undecrypted if session is not None else "the handshake isn't in the capture"
        name = f"encrypted {name}"
    text = f"{name}, {record.length} bytes" + (f": {why}" if why else "")
    fields = [fact("content type", record.kind, record.name), fact("length", record.length)]
    if why:
        fields.append(fact("not decrypted", why))
    parts.stream(PRESENTATION, protocol, name, text, record.sender, record.start, record.end, fields)


def _mid_stream(parts: Parts) -> None:
    """TLS whose ClientHello isn't there, told by its records."""
    view = parts.connection.view
    assert view is not None
    both = [*unopened("client", view.up.data), *unopened("server", view.down.data)]
    for record in both:
        _record(parts, "TLS", record, None)


def _summary(name: str, fields: tuple[Field, ...]) -> str:
    shown = [one for one in fields if one.name in _SHOWN]
    return " ".join((name, *(one.text for one in shown)))


def message_fields(name: str, body: bytes) -> Iterator[Field]:
    """Of a handshake message; only its length where it is neither a hello nor a certificate, or damaged."""
    yield fact("length", len(body), f"{len(body)} bytes")
    try:
        if name == "ClientHello":
            yield from _client_hello(body)
        elif name in ("ServerHello", "HelloRetryRequest"):
            yield from _server_hello(body)
        elif name == "Certificate":
            yield from certificate_fields(body)
        elif name == "CompressedCertificate":
            yield from compressed_fields(body)
        elif name == "EncryptedExtensions" and (alpn := encrypted_extensions(body).alpn):
            yield fact("ALPN", alpn)
    except ValueError as error:
        yield fact("damaged", str(error))


def _client_hello(body: bytes) -> Iterator[Field]:
    hello, legacy = client_hello(body), int.from_bytes(body[:2], "big")
    yield fact("legacy version", legacy, _VERSIONS.get(legacy, f"0x{legacy:04x}"))
    yield fact("random", hello.random)
    yield fact("session id", hello.session_id)
    yield fact("cipher suites", " ".join(f"0x{one:04x}" for one in hello.suites))
    if hello.sni:
        yield fact("server name", hello.sni)
    if hello.alpn:
        yield fact("ALPN", ",".join(hello.alpn))
    if hello.early_data:
        yield fact("early data", "offered")


def _server_hello(body: bytes) -> Iterator[Field]:
    hello, legacy = server_hello(body), int.from_bytes(body[:2], "big")
    suite = (SUITES_13 if hello.version == 0x0304 else SUITES_12).get(hello.suite)
    yield fact("legacy version", legacy, _VERSIONS.get(legacy, f"0x{legacy:04x}"))
    yield fact("version", hello.version, _VERSIONS.get(hello.version, f"0x{hello.version:04x}"))
    yield fact("random", hello.random)
    yield fact("session id", hello.session_id)
    yield fact("cipher suite", hello.suite, suite.name if suite else f"0x{hello.suite:04x}")
    if hello.alpn:
        yield fact("ALPN", hello.alpn)
    if hello.psk:
        yield fact("pre-shared key", "accepted")
