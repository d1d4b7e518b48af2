"""What `netlab decode --json` and tshark say of the same packets, field by field.

tshark is asked with `-T fields`: one row a packet, in a fraction of the text of `-T json`, which prints the
same fields of the same dissection, in trees. That these are the same values is tested too
(`json_differences`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from netlab.decode.tls import KeyLog
from netlab.proto.capture_file import CaptureFile
from netlab.report.packets import document
from netlab.trace.index import index
from netlab.trace.walk import Walk

Document = dict[str, Any]
Values = list[str]

_HTTP2 = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION"
HTTP2_TYPES = {name: str(number) for number, name in enumerate(_HTTP2.split())}
HTTP3_TYPES = {
    "DATA": "0", "HEADERS": "1", "CANCEL_PUSH": "3", "SETTINGS": "4", "PUSH_PROMISE": "5", "GOAWAY": "7",
}  # fmt: skip
_MESSAGES = {
    "ClientHello": 1,
    "ServerHello": 2,
    "HelloRetryRequest": 2,
    "NewSessionTicket": 4,
    "EndOfEarlyData": 5,
    "EncryptedExtensions": 8,
    "Certificate": 11,
    "ServerKeyExchange": 12,
    "CertificateRequest": 13,
    "ServerHelloDone": 14,
    "CertificateVerify": 15,
    "ClientKeyExchange": 16,
    "Finished": 20,
    "CertificateStatus": 22,
    "KeyUpdate": 24,
}
_HELLOS = ("ClientHello", "ServerHello", "HelloRetryRequest")
_QUIC_FRAMES = {
    "PADDING": "0",
    "PING": "1",
    "ACK": "2",
    "RESET_STREAM": "4",
    "STOP_SENDING": "5",
    "CRYPTO": "6",
    "NEW_TOKEN": "7",
    "STREAM": "8",
    "MAX_DATA": "16",
    "MAX_STREAM_DATA": "17",
    "MAX_STREAMS_BIDI": "18",
    "MAX_STREAMS_UNI": "19",
    "NEW_CONNECTION_ID": "24",
    "RETIRE_CONNECTION_ID": "25",
    "PATH_CHALLENGE": "26",
    "PATH_RESPONSE": "27",
    "CONNECTION_CLOSE": "28",
    "HANDSHAKE_DONE": "30",
}


# What tshark calls the messages that the documentation of PostgreSQL names otherwise.
_POSTGRES = {
    "Parse completion": "ParseComplete",
    "Bind completion": "BindComplete",
    "Close completion": "CloseComplete",
    "Row description": "RowDescription",
    "Data row": "DataRow",
    "Command completion": "CommandComplete",
    "Ready for query": "ReadyForQuery",
    "Simple query": "Query",
    "Startup message": "StartupMessage",
    "Authentication request": "Authentication",
    "Parameter status": "ParameterStatus",
    "Backend key data": "BackendKeyData",
    "No data": "NoData",
    "Parameter description": "ParameterDescription",
    "Termination": "Terminate",
}


class Compared(NamedTuple):
    """`theirs`: tshark's field; `ours` from a packet's document; `plain` makes tshark's text comparable."""

    theirs: str
    ours: Callable[[Document], Values]
    plain: Callable[[str], str] = str


class Difference(NamedTuple):
    """In one packet. `field` is tshark's name."""

    file: str
    packet: int
    field: str
    ours: Values
    theirs: Values
    document: Document

    def __str__(self) -> str:
        said = f"ours {self.ours}, tshark's {self.theirs}"
        return f"{self.file} packet {self.packet} ({self.document['summary']}) {self.field}: {said}"


def _number(text: str) -> str:
    return str(int({"True": "1", "False": "0"}.get(text, text), 0))


def _layer(names: str, field: str) -> Callable[[Document], Values]:
    def values(packet: Document) -> Values:
        layers = (one for one in packet["layers"] if one["name"] in names.split("/"))
        return [str(value) for layer in layers for name, value, *_ in layer["fields"] if name == field]

    return values


def _parts(packet: Document, protocol: str) -> list[dict[str, Any]]:
    whole = (one for one in packet["parts"] if one["whole"] == packet["number"])
    return [one for one in whole if one["protocol"].startswith(protocol)]


def _part(protocol: str, field: str) -> Callable[[Document], Values]:
    def values(packet: Document) -> Values:
        parts = _parts(packet, protocol)
        return [str(value) for part in parts for name, value, *_ in part["fields"] if name == field]

    return values


def _named(protocol: str, numbers: dict[str, Any]) -> Callable[[Document], Values]:
    return lambda packet: [
        str(numbers[part["name"]]) for part in _parts(packet, protocol) if part["name"] in numbers
    ]


def _headers(protocol: str, which: int) -> Callable[[Document], Values]:
    """Names (0) or values (1) of fields that a HEADERS frame brought: those before them are the frame's."""

    def values(packet: Document) -> Values:
        found = []
        for part in _parts(packet, protocol):
            if part["name"] in ("HEADERS", "CONTINUATION", "PUSH_PROMISE"):
                names = [one[0] for one in part["fields"]]
                start = next((at for at, name in enumerate(names) if name.startswith(":")), len(names))
                found += [str(one[which]) for one in part["fields"][start:]]
        return found

    return values


def _quic_frames(packet: Document) -> Values:
    parts = _parts(packet, "QUIC")
    return [_QUIC_FRAMES[value] for part in parts for name, value, *_ in part["fields"] if name == "frame"]


def _quic_type(text: str) -> str:
    kind = int(text, 0)
    return {3: "2", 29: "28"}.get(kind, "8" if 8 <= kind <= 15 else str(kind))


def _question(which: int) -> Callable[[Document], Values]:
    return lambda packet: [one.split()[which].rstrip(".") for one in _part("DNS", "question")(packet)]


def _suites(packet: Document) -> Values:
    found = []
    for part in _parts(packet, "TLS"):
        for name, value, *_ in part["fields"] if part["name"] in _HELLOS else ():
            if name == "cipher suites":
                found += [str(int(one, 16)) for one in value.split()]
            elif name == "cipher suite":
                found.append(str(value))
    return found


def _hello(field: str) -> Callable[[Document], Values]:
    return lambda packet: [
        str(value)
        for part in _parts(packet, "TLS")
        if part["name"] in _HELLOS
        for name, value, *_ in part["fields"]
        if name == field and value != ""
    ]


def _alpn(packet: Document) -> Values:
    found = _part("TLS", "ALPN")(packet)
    return [name for one in found for name in one.split(",")]


def _certificates(field: str) -> Callable[[Document], Values]:
    """Of all certificates of a chain."""
    return lambda packet: [
        one
        for part in _parts(packet, "TLS")
        for name, value, *_ in part["fields"]
        if name.startswith("certificate ") and name.endswith(f" {field}")
        for one in str(value).split(", ")
    ]


def _serial(text: str) -> str:
    return f"{int(text.removeprefix('0x').replace(':', ''), 16):x}"


def _known_http3(text: str) -> str:
    """ "" for types that a peer sends for nothing (RFC 9114, section 7.2.8)."""
    return str(int(text, 0)) if str(int(text, 0)) in HTTP3_TYPES.values() else ""


def _hex(text: str) -> str:
    return text.replace(":", "")


_IP, _ARP, _TCP, _UDP = "IPv4", "ARP", "TCP", "UDP"
FIELDS = (
    Compared("eth.dst", _layer("Ethernet II", "destination MAC")),
    Compared("eth.src", _layer("Ethernet II", "source MAC")),
    Compared("eth.type", _layer("Ethernet II", "EtherType"), _number),
    Compared("arp.opcode", _layer(_ARP, "operation"), _number),
    Compared("arp.src.hw_mac", _layer(_ARP, "sender MAC")),
    Compared("arp.src.proto_ipv4", _layer(_ARP, "sender address")),
    Compared("arp.dst.hw_mac", _layer(_ARP, "target MAC")),
    Compared("arp.dst.proto_ipv4", _layer(_ARP, "target address")),
    Compared("ip.hdr_len", _layer(_IP, "header length"), _number),
    Compared("ip.dsfield", _layer(_IP, "type of service"), _number),
    Compared("ip.len", _layer(_IP, "total length"), _number),
    Compared("ip.id", _layer(_IP, "identification"), _number),
    Compared("ip.flags", _layer(_IP, "flags"), _number),
    Compared("ip.ttl", _layer(_IP, "TTL"), _number),
    Compared("ip.proto", _layer(_IP, "protocol"), _number),
    Compared("ip.checksum", _layer(_IP, "header checksum"), _number),
    Compared("ip.src", _layer(_IP, "source")),
    Compared("ip.dst", _layer(_IP, "destination")),
    Compared("ipv6.tclass", _layer("IPv6", "traffic class"), _number),
    Compared("ipv6.flow", _layer("IPv6", "flow label"), _number),
    Compared("ipv6.plen", _layer("IPv6", "payload length"), _number),
    Compared("ipv6.nxt", _layer("IPv6", "next header"), _number),
    Compared("ipv6.hlim", _layer("IPv6", "hop limit"), _number),
    Compared("ipv6.src", _layer("IPv6", "source")),
    Compared("ipv6.dst", _layer("IPv6", "destination")),
    Compared("icmp.type", _layer("ICMP", "type"), _number),
    Compared("icmp.code", _layer("ICMP", "code"), _number),
    Compared("icmp.checksum", _layer("ICMP", "checksum"), _number),
    Compared("icmp.ident", _layer("ICMP", "identifier"), _number),
    Compared("icmp.seq", _layer("ICMP", "sequence number"), _number),
    Compared("icmpv6.type", _layer("ICMPv6", "type"), _number),
    Compared("icmpv6.code", _layer("ICMPv6", "code"), _number),
    Compared("icmpv6.checksum", _layer("ICMPv6", "checksum"), _number),
    Compared("udp.srcport", _layer(_UDP, "source port"), _number),
    Compared("udp.dstport", _layer(_UDP, "destination port"), _number),
    Compared("udp.length", _layer(_UDP, "length"), _number),
    Compared("udp.checksum", _layer(_UDP, "checksum"), _number),
    Compared("tcp.srcport", _layer(_TCP, "source port"), _number),
    Compared("tcp.dstport", _layer(_TCP, "destination port"), _number),
    Compared("tcp.seq_raw", _layer(_TCP, "sequence number"), _number),
    Compared("tcp.ack_raw", _layer(_TCP, "acknowledgment number"), _number),
    Compared("tcp.hdr_len", _layer(_TCP, "header length"), _number),
    Compared("tcp.flags", _layer(_TCP, "flags"), _number),
    Compared("tcp.window_size_value", _layer(_TCP, "window size"), _number),
    Compared("tcp.checksum", _layer(_TCP, "checksum"), _number),
    Compared("tcp.len", _layer(_TCP, "data"), _number),
    Compared("dns.id", _part("DNS", "id"), _number),
    Compared("dns.flags.response", _part("DNS", "response"), _number),
    Compared("dns.flags.authoritative", _part("DNS", "authoritative"), _number),
    Compared("dns.flags.recdesired", _part("DNS", "recursion desired"), _number),
    Compared("dns.qry.name", _question(0)),
    Compared("tls.handshake.type", _named("TLS", _MESSAGES), _number),
    Compared("tls.handshake.version", _hello("legacy version"), _number),
    Compared("tls.handshake.random", _hello("random"), _hex),
    Compared("tls.handshake.session_id", _hello("session id"), _hex),
    Compared("tls.handshake.ciphersuite", _suites, _number),
    Compared("tls.handshake.extensions_server_name", _hello("server name")),
    Compared("tls.handshake.extensions_alpn_str", _alpn),
    Compared("x509ce.dNSName", _certificates("subject alternative names")),
    Compared("x509af.serialNumber", _certificates("serial number"), _serial),
    Compared("http.request.method", _part("HTTP/1.1", "method")),
    Compared("http.request.uri", _part("HTTP/1.1", "target")),
    Compared("http.response.code", _part("HTTP/1.1", "status"), _number),
    Compared("http2.type", _named("HTTP/2", HTTP2_TYPES), _number),
    Compared("http2.header.name", _headers("HTTP/2", 0)),
    Compared("http2.header.value", _headers("HTTP/2", 1)),
    Compared("http3.frame_type", _named("HTTP/3", HTTP3_TYPES), _known_http3),
    Compared("quic.packet_number", _part("QUIC", "packet number"), _number),
    Compared("quic.frame_type", _quic_frames, _quic_type),
    Compared(
        "pgsql.type",
        lambda packet: [part["name"] for part in _parts(packet, "PostgreSQL")],
        lambda text: _POSTGRES.get(text, text),
    ),
    Compared("websocket.opcode", _part("WebSocket", "opcode"), _number),
    Compared("websocket.fin", _part("WebSocket", "FIN"), _number),
)


def ours(path: Path) -> list[Document]:
    """What `netlab decode --json` prints."""
    found = index(CaptureFile(path.read_bytes(), str(path)))
    walk = Walk(found, KeyLog.parse("\n".join(found.file.secrets)))
    return [document(packet) for packet in walk.packets()]


_BETWEEN = "\x1f"


def theirs(path: Path) -> list[list[str]]:
    """A row of texts for each packet."""
    chosen = [part for one in FIELDS for part in ("-e", one.theirs)]
    argv = ["tshark", "-r", str(path), "-o", "nameres.network_name:FALSE", "-T", "fields"]
    argv += ["-E", f"aggregator={_BETWEEN}", *chosen]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    width = len(FIELDS)
    return [(row.split("\t") + [""] * width)[:width] for row in done.stdout.split("\n")[:-1]]


def json_differences(path: Path) -> list[str]:
    """Where tshark's JSON of a packet has other values than its row of fields."""
    argv = ["tshark", "-r", str(path), "-o", "nameres.network_name:FALSE", "-T", "json"]
    done = subprocess.run([*argv, "--no-duplicate-keys"], capture_output=True, text=True, check=True)
    trees, rows = json.loads(done.stdout), theirs(path)
    assert len(trees) == len(rows)
    return [
        f"{path.name} packet {number} {one.theirs}: JSON has {there}, the row {here}"
        for number, (tree, row) in enumerate(zip(trees, rows, strict=True), 1)
        for one, text in zip(FIELDS, row, strict=True)
        for there in [_plain(one, _values(tree["_source"]["layers"], one.theirs))]
        for here in [_plain(one, text.split(_BETWEEN))]
        if there != here
    ]


def _plain(field: Compared, values: Iterable[str]) -> Values:
    return sorted(plain for value in values if value and (plain := field.plain(value)))


def _values(tree: Any, name: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == name:
                many = value if isinstance(value, list) else [value]
                yield from (one for one in many if isinstance(one, str))
            yield from _values(value, name)
    elif isinstance(tree, list):
        for one in tree:
            yield from _values(one, name)


class Outcome(NamedTuple):
    """`agreed`: by field, how many values were the same."""

    agreed: dict[str, int]
    differences: list[Difference]


def compare(paths: Iterable[Path]) -> Outcome:
    """Every packet of these files."""
    agreed: dict[str, int] = {one.theirs: 0 for one in FIELDS}
    differences: list[Difference] = []
    for path in paths:
        for found in _pairs(path):
            if isinstance(found, Difference):
                differences.append(found)
            else:
                agreed[found[0]] += found[1]
    return Outcome(agreed, differences)


def _pairs(path: Path) -> Iterator[Difference | tuple[str, int]]:
    mine, rows = ours(path), theirs(path)
    assert len(mine) == len(rows), (path, len(mine), len(rows))
    for packet, row in zip(mine, rows, strict=True):
        for one, text in zip(FIELDS, row, strict=True):
            told = _plain(one, text.split(_BETWEEN))
            said = one.ours(packet)
            if sorted(said) == told:
                yield one.theirs, len(said)
            else:
                yield Difference(path.name, packet["number"], one.theirs, said, told, packet)
