"""The PROXY protocol, versions 1 (read) and 2 (read and write).

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from netlab.errors import LocalProtocolError, RemoteProtocolError

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_LONGEST = 107  # section 2.1: with the CRLF
_V2_FIXED = 16
_V2_LONGEST_BODY = 4096  # of ours: the protocol allows 65,535, TLVs included
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


@dataclass(frozen=True, slots=True)
class Header:
    """Who the client is and where it connected. All empty: LOCAL or UNKNOWN, the connection speaks for
    itself (a health check)."""

    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0


def encode(header: Header) -> bytes:
    """A version 2 header: PROXY over TCP, or LOCAL where `header` is empty.

    Raises LocalProtocolError where the addresses are of different IP versions, or a port is out of range.
    """
    if not header.source:
        return SIGNATURE + bytes((_LOCAL, 0, 0, 0))
    try:
        source, destination = ip_address(header.source), ip_address(header.destination)
        ports = struct.pack("!HH", header.source_port, header.destination_port)
    except (ValueError, struct.error) as error:
        raise LocalProtocolError(f"no PROXY header for {header}: {error}") from error
    if source.version != destination.version:
        raise LocalProtocolError(f"no PROXY header for {header}: two IP versions")
    body = source.packed + destination.packed + ports
    family = _TCP4 if source.version == 4 else _TCP6
    return SIGNATURE + bytes((_PROXY, family)) + struct.pack("!H", len(body)) + body


class HeaderReader:
    """Reads one header from the start of a stream, however the bytes come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> Header | None:
        """The header as soon as it is whole. Raises RemoteProtocolError at the first wrong byte."""
        self._buffer += data
        start = bytes(self._buffer[: len(SIGNATURE)])
        if SIGNATURE.startswith(start):
            return self._version_2()
        if b"PROXY ".startswith(start[:6]):
            return self._version_1()
        raise RemoteProtocolError("the connection does not start with a PROXY header")

    def buffered(self) -> int:
        """Bytes held: of an unfinished header, or after a finished one."""
        return len(self._buffer)

    def trailing(self) -> bytes:
        """What came after the header; the reader forgets it."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _version_2(self) -> Header | None:
        if len(self._buffer) < _V2_FIXED:
            return None
        command, family, length = struct.unpack_from("!BBH", self._buffer, len(SIGNATURE))
        if command not in (_LOCAL, _PROXY):
            raise RemoteProtocolError(f"PROXY header with version and command 0x{command:02x}")
        if length > _V2_LONGEST_BODY:
            raise RemoteProtocolError(f"PROXY header of {length} bytes")
        if len(self._buffer) < _V2_FIXED + length:
            return None
        body = bytes(self._buffer[_V2_FIXED : _V2_FIXED + length])
        del self._buffer[: _V2_FIXED + length]
        return Header() if command == _LOCAL else _addresses(family, body)

    def _version_1(self) -> Header | None:
        end = self._buffer.find(b"\r\n", 0, _V1_LONGEST)
        if end < 0:
            if len(self._buffer) >= _V1_LONGEST:
                raise RemoteProtocolError("PROXY header, version 1, without an end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return _line(line)


def _addresses(family: int, body: bytes) -> Header:
    """Section 2.2. Other families than TCP over IP are for the connection to speak for itself; what
    follows the addresses (TLVs) is skipped."""
    if family not in (_TCP4, _TCP6):
        return Header()
    size = 4 if family == _TCP4 else 16
    if len(body) < 2 * size + 4:
        raise RemoteProtocolError(f"PROXY header with {len(body)} bytes of addresses")
    address = IPv4Address if size == 4 else IPv6Address
    source_port, destination_port = struct.unpack_from("!HH", body, 2 * size)
    return Header(
        str(address(body[:size])), source_port, str(address(body[size : 2 * size])), destination_port
    )


def _line(line: bytes) -> Header:
    """`PROXY TCP4 source destination sport dport`, or `PROXY UNKNOWN` and anything."""
    words = line.decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return Header()
    try:
        _, protocol, source, destination, source_port, destination_port = words
        address = {"TCP4": IPv4Address, "TCP6": IPv6Address}[protocol]
        ends = str(address(source)), str(address(destination))
        return Header(ends[0], _port(source_port), ends[1], _port(destination_port))
    except (ValueError, KeyError) as error:
        raise RemoteProtocolError(f"malformed PROXY header: {words}") from error


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and int(text) < 65536):
        raise ValueError(f"{text!r} is not a port")
    return int(text)
