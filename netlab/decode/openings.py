"""Which packets open something, and comments that say so."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from netlab.decode.frame import ACK, SYN, Headers, headers
from netlab.decode.link import ETHERNET

_DNS = 53
_MOST_FLOWS = 10_000  # that are remembered, for a QUIC connection is commented once
# RFC 9112, 3: a request line. RFC 9113, 3.4: the preface of HTTP/2.
_REQUEST = re.compile(rb"([A-Z]{3,7}) ([^\s]{1,200})[^\s]* HTTP/(1\.[01])\r\n")
_PREFACE = b"PRI * HTTP/2.0\r\n"
_INITIALS = {1: 0x00, 0x6B3343CF: 0x10}  # QUIC version ─► type bits of an Initial (RFC 9000, 17.2; RFC 9369)


class Openings:
    """ "TLS ClientHello, edge-london ─► lb": for the first packets of TCP connections, TLS handshakes, QUIC
    connections and plain HTTP requests, and for DNS questions over UDP."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        """`names`: name ─► addresses; another address stands for itself."""
        self._known = {address: name for name, addresses in names.items() for address in addresses}
        self._flows: OrderedDict[tuple[int, frozenset[tuple[str, int]]], None] = OrderedDict()

    def comment(self, where: int, data: bytes, linktype: int = ETHERNET) -> str:
        """Of a frame, "" for most; `where` numbers the interfaces that are captured."""
        seen = headers(data, linktype)
        if seen is None:
            return ""
        payload = data[seen.payload_offset : seen.payload_offset + seen.payload_length]
        if seen.protocol == "tcp":
            what = _tcp(seen.flags, payload)
        elif seen.protocol == "udp" and payload:
            what = self._udp(where, seen, payload)
        else:
            return ""
        return f"{what}, {self._name(seen.src)} ─► {self._name(seen.dst)}" if what else ""

    def _name(self, address: str) -> str:
        return self._known.get(address, address)

    def _udp(self, where: int, seen: Headers, payload: bytes) -> str:
        """RFC 1035, 4.1.1."""
        if seen.dport == _DNS:
            return "DNS query" if len(payload) >= 12 and not payload[2] & 0x80 else ""
        if not _is_initial(payload):
            return ""
        flow = where, frozenset(((seen.src, seen.sport), (seen.dst, seen.dport)))
        known = flow in self._flows
        self._flows[flow] = None
        self._flows.move_to_end(flow)
        if len(self._flows) > _MOST_FLOWS:
            self._flows.popitem(last=False)
        return "" if known else "QUIC Initial"


def _tcp(flags: int, payload: bytes) -> str:
    """RFC 9293, 3.1; RFC 8446, 5.1 and 4."""
    if flags & (SYN | ACK) == SYN:
        return "TCP SYN"
    if payload[:2] == b"\x16\x03":
        return "TLS ClientHello" if payload[5:6] == b"\x01" else ""
    if payload.startswith(_PREFACE):
        return "HTTP/2 preface"
    asked = _REQUEST.match(payload)
    if not asked:
        return ""
    method, target, version = (part.decode(errors="replace") for part in asked.groups())
    return f"HTTP/{version} {method} {target}"


def _is_initial(payload: bytes) -> bool:
    if payload[0] & 0xC0 != 0xC0 or len(payload) < 7:
        return False
    return _INITIALS.get(int.from_bytes(payload[1:5], "big")) == payload[0] & 0x30
