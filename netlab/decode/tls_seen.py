"""What a capture shows of TLS: records, handshake messages, alerts, decrypted bytes. Plain values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from netlab.decode.tls_messages import alert_name

Side = Literal["client", "server"]

_CONTENT = {20: "change cipher spec", 21: "alert", 22: "handshake", 23: "application data", 24: "heartbeat"}


class Message(NamedTuple):
    """A handshake message; the records that hold it are the sender's bytes from `start` to before `end`."""

    name: str
    direction: Side
    start: int
    end: int
    body: bytes = b""


class TlsRecord(NamedTuple):
    """A record, 5 bytes of head and all, at [start, end) of its sender's stream. `kind` is the true content
    type, where it is opened or was in the clear; else that of its head. `length` of the content then."""

    kind: int
    sender: Side
    start: int
    end: int
    length: int
    opened: bool

    @property
    def name(self) -> str:
        return _CONTENT.get(self.kind, f"content type {self.kind}")


class Alert(NamedTuple):
    """`level` 1: warning, 2: fatal; `description` is the number of RFC 8446, section 6 (0: close_notify)."""

    level: int
    description: int
    direction: Side
    start: int
    end: int

    @property
    def name(self) -> str:
        """ "close_notify", "handshake_failure", …"""
        return alert_name(self.description)


@dataclass(slots=True)
class Plaintext:
    """One direction's decrypted application data, and the records that each of its bytes came in."""

    _data: bytearray = field(default_factory=bytearray)
    _ends: list[int] = field(default_factory=list)
    _records: list[tuple[int, int]] = field(default_factory=list)

    def add(self, piece: bytes, start: int, end: int) -> None:
        """Appends the content of the record that lies at [start, end) of the stream."""
        if piece:
            self._data += piece
            self._ends.append(len(self._data))
            self._records.append((start, end))

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def stream_range(self, start: int, end: int) -> tuple[int, int]:
        """Where in the TCP stream the whole records lie that brought the plaintext from `start` to `end`.

        A receiver can read a byte only once its record is whole, so the frames of this range are the
        byte's evidence. Raises IndexError where there are no such bytes.
        """
        if not 0 <= start < end <= len(self._data):
            raise IndexError(f"no bytes {start} to {end} in a plaintext of {len(self._data)}")
        first, last = bisect_right(self._ends, start), bisect_left(self._ends, end)
        return self._records[first][0], self._records[last][1]
