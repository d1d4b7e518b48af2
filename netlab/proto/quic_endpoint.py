"""The server's UDP port of QUIC: whose datagram it is, and answers that need no connection.

Version Negotiation (RFC 9000 section 6), Retry and its tokens (8.1.2), refusals, and silence for rubbish.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from aioquic.buffer import Buffer  # type: ignore[attr-defined] # it is, in its documentation
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

VERSIONS = (int(QuicProtocolVersion.VERSION_1), int(QuicProtocolVersion.VERSION_2))
CID_LENGTH = 8  # of the connection IDs that we choose
SMALLEST = 1200  # bytes of a datagram that may open a connection (RFC 9000 section 14.1)
_FAREWELLS = 1024
_CLOSE_CAPACITY = 1 + 3 * 8

T = TypeVar("T")


class Address(NamedTuple):
    """A network path as a server sees it: the client's address first, as aioquic wants it; then our own,
    which answers leave from. `socket` says by which of the endpoint's sockets."""

    remote: str
    remote_port: int
    local: str
    local_port: int
    socket: int = 0
    scope: int = 0  # of a link-local IPv6 address


class Invariant(NamedTuple):
    """What the long headers of all versions have (RFC 8999 section 5.1)."""

    version: int
    destination: bytes
    source: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A datagram to send back; no connection knows of it."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """A new connection: `destination` is the ID that the client chose for us; the rest is what a
    QuicConnection must know."""

    destination: bytes
    original_destination: bytes
    retry_source: bytes | None = None


@dataclass(slots=True)
class _Farewell:
    datagram: bytes
    until: float
    asked: int = 0


def long_header(datagram: bytes) -> Invariant | None:
    """None where it is a short header, or none at all."""
    if len(datagram) < 7 or not datagram[0] & 0x80:
        return None
    version = int.from_bytes(datagram[1:5], "big")
    ids = []
    offset = 5
    for _ in range(2):
        end = offset + 1 + datagram[offset] if offset < len(datagram) else len(datagram) + 1
        if end > len(datagram):
            return None
        ids.append(datagram[offset + 1 : end])
        offset = end
    return Invariant(version, ids[0], ids[1])


def version_negotiation(header: Invariant) -> bytes:
    return encode_quic_version_negotiation(
        source_cid=header.destination, destination_cid=header.source, supported_versions=list(VERSIONS)
    )


def refusal(header: Invariant, code: int) -> bytes:
    """An Initial packet with CONNECTION_CLOSE: the client's connection ends before it is one."""
    crypto = CryptoPair()
    crypto.setup_initial(cid=header.destination, is_client=False, version=header.version)
    builder = QuicPacketBuilder(
        host_cid=header.destination,
        is_client=False,
        max_datagram_size=SMALLEST,
        peer_cid=header.source,
        version=header.version,
    )
    builder.start_packet(QuicPacketType.INITIAL, crypto)
    frame = builder.start_frame(QuicFrameType.TRANSPORT_CLOSE, capacity=_CLOSE_CAPACITY)
    for value in (code, QuicFrameType.PADDING, 0):
        frame.push_uint_var(value)
    datagrams, _ = builder.flush()
    return datagrams[0]


class Endpoint(Generic[T]):
    """Connection IDs and the connections that they belong to.

    `retry`: clients must show, by a token, that they get what is sent to their address (RFC 9000 section
    8.1.2). `limit`: connections at once; more are refused.
    """

    def __init__(self, *, retry: bool = False, limit: int = 10_000) -> None:
        self._connections: dict[bytes, T] = {}
        self._ids: dict[T, set[bytes]] = {}
        self._retry = retry
        self._tokens = QuicRetryTokenHandler()
        self._limit = limit
        self._farewells: OrderedDict[bytes, _Farewell] = OrderedDict()
        self.accepting = True

    def receive(self, datagram: bytes, address: Address, now: float) -> T | Answer | Opening | None:
        """Whose it is, what to answer, or which connection to open; None: it is dropped."""
        header = long_header(datagram)
        if header is None:
            short = datagram[1 : 1 + CID_LENGTH]
            return self._connections.get(short) or self._again(short, now)
        if header.version not in VERSIONS:
            # Version Negotiation packets (version 0) get no answer, or two servers would go on for ever;
            # nor do small ones, for the answer might be larger (RFC 9000 sections 5.2.2 and 6.1).
            small = len(datagram) < SMALLEST
            return None if small or header.version == 0 else Answer(version_negotiation(header))
        known = self._connections.get(header.destination)
        if known is not None:
            return known
        if header.destination in self._farewells:
            return self._again(header.destination, now)
        if len(datagram) < SMALLEST or len(header.destination) < 8:
            return None  # RFC 9000 sections 14.1 and 7.2
        return self._open(datagram, header, address, now)

    def _open(
        self, datagram: bytes, header: Invariant, address: Address, now: float
    ) -> Answer | Opening | None:
        initial = _initial(datagram)
        if initial is None:
            return None
        if not self.accepting or len(self._ids) >= self._limit:
            return Answer(refusal(header, QuicErrorCode.CONNECTION_REFUSED))
        if not self._retry:
            return Opening(header.destination, header.destination)
        if not initial.token:
            return Answer(self._retry_packet(header, address, now))
        try:
            original = self._tokens.validate_token(
                address=address, destination_cid=header.destination, token=initial.token, now=now
            )
        except ValueError:
            return Answer(refusal(header, QuicErrorCode.INVALID_TOKEN))  # RFC 9000 section 8.1.3
        return Opening(header.destination, original, header.destination)

    def _retry_packet(self, header: Invariant, address: Address, now: float) -> bytes:
        source = os.urandom(CID_LENGTH)
        token = self._tokens.create_token(
            address=address,
            original_destination_connection_id=header.destination,
            retry_source_connection_id=source,
            now=now,
        )
        return encode_quic_retry(
            version=header.version,
            source_cid=source,
            destination_cid=header.source,
            original_destination_cid=header.destination,
            retry_token=token,
        )

    # The table.

    def add(self, connection_id: bytes, connection: T) -> None:
        self._connections[connection_id] = connection
        self._ids.setdefault(connection, set()).add(connection_id)

    def retire(self, connection_id: bytes) -> None:
        connection = self._connections.pop(connection_id, None)
        if connection is not None:
            self._ids[connection].discard(connection_id)

    def remove(self, connection: T, farewell: bytes = b"", until: float = 0.0) -> None:
        """It has ended: none of its IDs is known any more. `farewell`: the CONNECTION_CLOSE that it sent,
        with which whatever still comes for it is answered, ever more rarely, `until` then (RFC 9000
        section 10.2.1)."""
        last = _Farewell(farewell, until)
        for connection_id in self._ids.pop(connection, ()):
            self._connections.pop(connection_id, None)
            if farewell:
                self._farewells[connection_id] = last
        while len(self._farewells) > _FAREWELLS:
            self._farewells.popitem(last=False)

    def _again(self, connection_id: bytes, now: float) -> Answer | None:
        last = self._farewells.get(connection_id)
        if last is None:
            return None
        if now > last.until:
            del self._farewells[connection_id]
            return None
        last.asked += 1
        return Answer(last.datagram) if last.asked & (last.asked - 1) == 0 else None

    @property
    def connections(self) -> list[T]:
        return list(self._ids)

    def __len__(self) -> int:
        return len(self._connections)


def _initial(datagram: bytes) -> QuicHeader | None:
    """The header of an Initial packet; None where it is another, or broken."""
    try:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=CID_LENGTH)
    except ValueError:
        return None
    return header if header.packet_type == QuicPacketType.INITIAL else None
