"""ClientHello, ServerHello and EncryptedExtensions: what a TLS connection agrees on.

Sources: RFC 8446, section 4 (TLS 1.3), RFC 5246, section 7.4 (TLS 1.2), RFC 6066, section 3 (server
name), RFC 7301 (ALPN). All functions raise ValueError where a message ends too early.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

_SERVER_NAME, _ALPN, _PRE_SHARED_KEY, _EARLY_DATA, _SUPPORTED_VERSIONS = 0, 16, 41, 42, 43
QUIC_PARAMETERS = 0x39  # RFC 9001, section 8.2
RETRY_RANDOM = sha256(b"HelloRetryRequest").digest()  # RFC 8446, section 4.1.3


class ClientHello(NamedTuple):
    """`sni` "" where the client named no server. `suites`: offered, by number. `early_data`: it says that
    0-RTT data follows. `quic`: its QUIC transport parameters, undecoded, None without."""

    random: bytes
    session_id: bytes
    sni: str
    alpn: tuple[str, ...]
    suites: tuple[int, ...] = ()
    early_data: bool = False
    quic: bytes | None = None


class ServerHello(NamedTuple):
    """`version` as chosen (0x0304: TLS 1.3). `retry`: it is a HelloRetryRequest. `psk`: one was accepted."""

    version: int
    random: bytes
    session_id: bytes
    suite: int
    alpn: str
    psk: bool

    @property
    def retry(self) -> bool:
        return self.random == RETRY_RANDOM


class Reader:
    """Takes a TLS message apart from its start. ValueError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise ValueError("the message ends too early")
        piece, self.position = self.data[self.position : end], end
        return piece

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """A length of `width` bytes, and as many bytes."""
        return self.take(self.number(width))

    def left(self) -> bool:
        return self.position < len(self.data)


def client_hello(body: bytes) -> ClientHello:
    """Of the message's body (without the 4 bytes of its head)."""
    reader = Reader(body)
    reader.take(2)
    random, session_id = reader.take(32), reader.vector(1)
    suites = Reader(reader.vector(2))
    numbers = tuple(suites.number(2) for _ in range(len(suites.data) // 2))
    reader.vector(1)
    extensions = _extensions(reader)
    return ClientHello(
        random,
        session_id,
        _server_name(extensions),
        alpn_of(extensions),
        numbers,
        _EARLY_DATA in extensions,
        extensions.get(QUIC_PARAMETERS),
    )


def server_hello(body: bytes) -> ServerHello:
    """Of the message's body; a HelloRetryRequest is one too."""
    reader = Reader(body)
    version = reader.number(2)
    random, session_id, suite = reader.take(32), reader.vector(1), reader.number(2)
    reader.take(1)
    extensions = _extensions(reader)
    if _SUPPORTED_VERSIONS in extensions:
        version = Reader(extensions[_SUPPORTED_VERSIONS]).number(2)
    alpn = "".join(alpn_of(extensions))
    return ServerHello(version, random, session_id, suite, alpn, _PRE_SHARED_KEY in extensions)


class EncryptedExtensions(NamedTuple):
    """`alpn` "" without one. `early_data`: the server accepted 0-RTT data. `quic` as in ClientHello."""

    alpn: str
    early_data: bool
    quic: bytes | None


def encrypted_extensions(body: bytes) -> EncryptedExtensions:
    """Of the message's body."""
    extensions = _extensions(Reader(body))
    alpn = "".join(alpn_of(extensions))
    return EncryptedExtensions(alpn, _EARLY_DATA in extensions, extensions.get(QUIC_PARAMETERS))


def alpn_of(extensions: dict[int, bytes]) -> tuple[str, ...]:
    """The protocol names of an ALPN extension."""
    if _ALPN not in extensions:
        return ()
    names = Reader(Reader(extensions[_ALPN]).vector(2))
    return tuple(name.decode(errors="replace") for name in _vectors(names))


def _extensions(reader: Reader) -> dict[int, bytes]:
    if not reader.left():
        return {}
    inner = Reader(reader.vector(2))
    found: dict[int, bytes] = {}
    while inner.left():
        kind = inner.number(2)
        found[kind] = inner.vector(2)
    return found


def _vectors(reader: Reader) -> Iterator[bytes]:
    while reader.left():
        yield reader.vector(1)


def _server_name(extensions: dict[int, bytes]) -> str:
    """The first host_name (type 0) of the list."""
    if _SERVER_NAME not in extensions:
        return ""
    names = Reader(Reader(extensions[_SERVER_NAME]).vector(2))
    while names.left():
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name.decode(errors="replace")
    return ""
