"""What a capture shows of QUIC: datagrams, their packets, handshake messages, paths. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from netlab.decode import quic_packet as wire
from netlab.decode.quic_frames import QuicFrame
from netlab.decode.quic_packet import Sealed

Side = Literal["client", "server"]
Address = tuple[str, int]
_SPACES = {wire.INITIAL: "Initial", wire.HANDSHAKE: "Handshake"}
APPLICATION = "Application"


class Datagram(NamedTuple):
    """The payload of a UDP packet. `frame` counts from 1 in the capture; `time_ns` is CLOCK_REALTIME."""

    frame: int
    time_ns: int
    src: Address
    dst: Address
    data: bytes


@dataclass(slots=True)
class QuicPacket:
    """`number` is -1 and `frames` empty where it isn't opened; `problem` then says why.

    `size`: bytes in the datagram, header and tag included. `sender` "client" or "server".
    """

    datagram: Datagram
    sealed: Sealed
    sender: Side
    number: int = -1
    frames: tuple[QuicFrame, ...] = ()
    header_length: int = 0
    key_phase: int = 0
    spin: int = 0
    generation: int = 0
    problem: str = ""

    @property
    def type(self) -> str:
        return self.sealed.type

    @property
    def frame(self) -> int:
        return self.datagram.frame

    @property
    def time_ns(self) -> int:
        return self.datagram.time_ns

    @property
    def size(self) -> int:
        return self.sealed.end - self.sealed.start

    @property
    def space(self) -> str:
        """The packet number space: "Initial", "Handshake" or "Application" (RFC 9000, section 12.3)."""
        return _SPACES.get(self.type, APPLICATION)

    @property
    def speaks(self) -> bool:
        """It says something that the other side may wait for: part of the handshake or of a stream, a Retry
        or Version Negotiation; and not an acknowledgement, window update or probe."""
        return self.type in (wire.RETRY, wire.NEGOTIATION) or any(
            one.name in ("CRYPTO", "HANDSHAKE_DONE") or (one.name == "STREAM" and _has_content(one))
            for one in self.frames
        )


def _has_content(frame: QuicFrame) -> bool:
    return bool(frame.octets("data") or frame.integer("fin"))


class QuicMessage(NamedTuple):
    """A TLS handshake message; `frames` of the capture brought it, `done` is the one that made it whole."""

    name: str
    sender: Side
    space: str
    frames: tuple[int, ...]
    done: int
    body: bytes = b""


class Path(NamedTuple):
    """A pair of addresses that the connection used, from the frame of its first packet on."""

    client: Address
    server: Address
    frame: int
