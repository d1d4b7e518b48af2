"""permessage-deflate (RFC 7692): what is negotiated, and messages squeezed and inflated by it.

Parameters are parsed by the grammar of RFC 6455 section 9.1. A window of 2⁸ is declined, because zlib
makes no raw deflate stream with so small a one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError

NAME = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"  # what ends a flushed block, and is left out on the wire (section 7.2.1)
_WINDOW = 12  # bits that we ask for: 4 KiB instead of 32 KiB, as a server may hold thousands of these
_MEMORY_LEVEL = 5  # of zlib; 8 would take eight times the memory for a percent or two
_MAX_STREAMS = 256  # in one part of a message; each costs more work than bytes
_BITS = re.compile(r"[89]|1[0-5]")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110 section 5.6.2, no secret
_PARAMETER = re.compile(rf'\s*;\s*({_TOKEN})(?:\s*=\s*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?\s*')
_NAMED = re.compile(rf"\s*({_TOKEN})\s*")

Parameters = list[tuple[str, str | None]]


class TooBigError(Exception):
    """A message is larger inflated than is allowed (a decompression bomb, or just long)."""


def parse_extensions(value: str) -> list[tuple[str, Parameters]]:
    """The extensions of a Sec-WebSocket-Extensions field, in order. Raises RemoteProtocolError (400)."""
    found: list[tuple[str, Parameters]] = []
    at = 0
    while at < len(value):
        named = _NAMED.match(value, at)
        if named is None:
            if not value[at].isspace() and value[at] != ",":  # empty members are allowed in lists
                raise RemoteProtocolError("malformed Sec-WebSocket-Extensions", 400)
            at += 1
            continue
        at = named.end()
        parameters: Parameters = []
        while parameter := _PARAMETER.match(value, at):
            parameters.append((parameter[1], parameter[2] if parameter[3] is None else parameter[3]))
            at = parameter.end()
        if at < len(value) and value[at] != ",":
            raise RemoteProtocolError("malformed Sec-WebSocket-Extensions", 400)
        found.append((named[1], parameters))
        at += 1
    return found


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides agreed on. Window sizes in bits (9 to 15) of what each side sends."""

    server_bits: int = 15
    client_bits: int = 15
    server_takeover: bool = True  # the server's next message may refer to its last one
    client_takeover: bool = True
    told_client_bits: bool = False  # the response says client_max_window_bits

    def parameters(self) -> str:
        """As a member of Sec-WebSocket-Extensions in the response."""
        said = [NAME]
        if not self.server_takeover:
            said.append("server_no_context_takeover")
        if not self.client_takeover:
            said.append("client_no_context_takeover")
        if self.server_bits != 15:
            said.append(f"server_max_window_bits={self.server_bits}")
        if self.told_client_bits:
            said.append(f"client_max_window_bits={self.client_bits}")
        return "; ".join(said)


def offer() -> str:
    """What our clients offer: any window, smaller ones if the server likes (section 7.1)."""
    return f"{NAME}; client_max_window_bits"


def choose(extensions: Iterable[tuple[str, Parameters]], *, server_takeover: bool = True) -> Agreed | None:
    """What a server accepts of a client's offers: the first that is well-formed and possible
    (section 7.1). None: no compression."""
    for name, parameters in extensions:
        if name.lower() == NAME:
            agreed = _accepted(parameters, server_takeover)
            if agreed is not None:
                return agreed
    return None


def _accepted(parameters: Parameters, server_takeover: bool) -> Agreed | None:
    values = dict(parameters)
    if len(values) != len(parameters) or not _well_formed(values):
        return None
    told = "client_max_window_bits" in values
    client_bits = values.get("client_max_window_bits") or "15"
    server_bits = int(values.get("server_max_window_bits") or 15)
    if server_bits == 8:
        return None
    return Agreed(
        server_bits=min(server_bits, _WINDOW),
        # a server may make it smaller only where the client says that it can (section 7.1.2.2)
        client_bits=min(max(int(client_bits), 9), _WINDOW) if told else 15,
        server_takeover=server_takeover and "server_no_context_takeover" not in values,
        client_takeover="client_no_context_takeover" not in values,
        told_client_bits=told,
    )


def _well_formed(values: dict[str, str | None]) -> bool:
    for name, value in values.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            fine = value is None
        elif name == "server_max_window_bits":
            fine = value is not None and _BITS.fullmatch(value) is not None
        elif name == "client_max_window_bits":
            fine = value is None or _BITS.fullmatch(value) is not None
        else:
            fine = False
        if not fine:
            return False
    return True


def conclude(extensions: list[tuple[str, Parameters]]) -> Agreed | None:
    """What a server's response means to a client that sent `offer()`.

    Raises RemoteProtocolError where it accepts what was not offered, or is malformed (section 7.1: the
    client must then fail the connection).
    """
    if not extensions:
        return None
    name, parameters = extensions[0]
    values = dict(parameters)
    if len(extensions) > 1 or name.lower() != NAME:
        raise RemoteProtocolError("the server accepted an extension that was not offered")
    bits = values.get("client_max_window_bits", "15"), values.get("server_max_window_bits", "15")
    if len(values) != len(parameters) or not _well_formed(values) or None in bits or bits[0] == "8":
        raise RemoteProtocolError("the server's permessage-deflate parameters can't be met")
    return Agreed(
        client_bits=int(bits[0] or 15),
        server_bits=int(bits[1] or 15),
        server_takeover="server_no_context_takeover" not in values,
        client_takeover="client_no_context_takeover" not in values,
    )


def squeezed(data: bytes, bits: int) -> bytes:
    """One message's payload, compressed without any context, so that it fits every such connection."""
    return _finish(_compressor(bits), data)


def _compressor(bits: int) -> zlib._Compress:
    return zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -bits, _MEMORY_LEVEL)


def _finish(compressor: zlib._Compress, data: bytes) -> bytes:
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


class Deflate:
    """One connection's compression, seen from one side."""

    __slots__ = ("_compressor", "_decompressor", "_receive_bits", "_receive_takeover", "bits", "takeover")

    def __init__(self, agreed: Agreed, *, client: bool) -> None:
        mine, peer = (
            (agreed.client_bits, agreed.client_takeover),
            (agreed.server_bits, agreed.server_takeover),
        )
        if not client:
            mine, peer = peer, mine
        self.bits, self.takeover = mine
        self._receive_bits, self._receive_takeover = peer
        self._compressor: zlib._Compress | None = None
        self._decompressor: zlib._Decompress | None = None

    def squeeze(self, data: bytes) -> bytes:
        """The payload of a whole message."""
        if not self.takeover:
            return squeezed(data, self.bits)
        if self._compressor is None:
            self._compressor = _compressor(self.bits)
        return _finish(self._compressor, data)

    def inflate(self, data: bytes, limit: int, *, last: bool) -> bytes:
        """What the next part of a message means, at most `limit` bytes; `last`: its end.

        Raises TooBigError, and RemoteProtocolError where it is no deflate stream.
        """
        try:
            inflated = self._inflate(data + _TAIL if last else data, limit)
        except zlib.error as error:
            raise RemoteProtocolError(f"a compressed message can't be inflated: {error}") from error
        if last and not self._receive_takeover:
            self._decompressor = None
        return inflated

    def _inflate(self, data: bytes, limit: int) -> bytes:
        inflated = bytearray()
        streams = 0
        while data:
            if self._decompressor is None:
                self._decompressor = zlib.decompressobj(-self._receive_bits)
            inflated += self._decompressor.decompress(data, limit - len(inflated) + 1)
            if len(inflated) > limit:
                raise TooBigError
            data = self._decompressor.unconsumed_tail
            if self._decompressor.eof:
                # A block with BFINAL set (section 7.2.3.4): what follows is a new stream after it.
                streams += 1
                if streams > _MAX_STREAMS:
                    raise RemoteProtocolError("too many final blocks in a compressed message")
                data = self._decompressor.unused_data
                window = bytes(inflated[-(1 << self._receive_bits) :])
                self._decompressor = zlib.decompressobj(-self._receive_bits, zdict=window)
        return bytes(inflated)
