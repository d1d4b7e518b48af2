"""QUIC frames by name, with their fields. Sources: RFC 9000, section 19; RFC 9221 (DATAGRAM)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from netlab.decode.quic_packet import Reader

Value = int | bytes | str | tuple[tuple[int, int], ...]
Fields = Mapping[str, Value]

# Frames that say nothing that has to be acknowledged (RFC 9002, section 2).
NOT_ELICITING = frozenset(("PADDING", "ACK", "CONNECTION_CLOSE"))


class QuicFrame(NamedTuple):
    """`start`, `end`: where it lies in its packet's plain payload. `fields` as the RFC names them, in
    lower case; an ACK's `ranges` are pairs (first, last) of packet numbers, highest first."""

    name: str
    fields: Fields
    start: int
    end: int

    def integer(self, field: str) -> int:
        """The field's value, 0 where there is none."""
        value = self.fields.get(field, 0)
        return value if isinstance(value, int) else 0

    def octets(self, field: str) -> bytes:
        """The field's bytes, empty where there are none."""
        value = self.fields.get(field, b"")
        return value if isinstance(value, bytes) else b""

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        value = self.fields.get("ranges", ())
        return value if isinstance(value, tuple) else ()

    @property
    def eliciting(self) -> bool:
        return self.name not in NOT_ELICITING

    def __str__(self) -> str:
        shown = ", ".join(
            f"{name}={f'{len(value)} bytes' if isinstance(value, bytes) else value}"
            for name, value in self.fields.items()
        )
        return f"{self.name}({shown})"


def frames(payload: bytes) -> tuple[tuple[QuicFrame, ...], str]:
    """The frames of a packet, and why reading stopped early ("" where it did not)."""
    reader = Reader(payload)
    found: list[QuicFrame] = []
    while reader.left():
        start = reader.position
        try:
            kind = reader.varint()
            name, fields = _frame(kind, reader)
        except ValueError as error:
            return tuple(found), f"frame at byte {start} of the payload: {error}"
        found.append(QuicFrame(name, fields, start, reader.position))
    return tuple(found), ""


def _frame(kind: int, reader: Reader) -> tuple[str, Fields]:
    if kind == 0:
        return "PADDING", _padding(reader)
    if 0x08 <= kind <= 0x0F:
        return "STREAM", _stream(kind, reader)
    simple = _SIMPLE.get(kind)
    if simple is not None:
        name, names = simple
        return name, {field: reader.varint() for field in names}
    special = _SPECIAL.get(kind)
    if special is None:
        raise ValueError(f"unknown frame type {kind:#x}")
    name, read = special
    return name, read(kind, reader)


def _padding(reader: Reader) -> Fields:
    start = reader.position - 1
    rest = reader.data[reader.position :]
    reader.position += len(rest) - len(rest.lstrip(b"\0"))
    return {"length": reader.position - start}


def _stream(kind: int, reader: Reader) -> Fields:
    stream = reader.varint()
    offset = reader.varint() if kind & 4 else 0
    length = reader.varint() if kind & 2 else reader.left()
    return {"stream_id": stream, "offset": offset, "fin": kind & 1, "data": reader.take(length)}


def _ack(kind: int, reader: Reader) -> Fields:
    largest, delay, count, first = (reader.varint() for _ in range(4))
    low = largest - first
    ranges = [(low, largest)]
    for _ in range(count):
        gap, length = reader.varint(), reader.varint()
        high = low - gap - 2
        low = high - length
        ranges.append((low, high))
    if low < 0:
        raise ValueError("an ACK of packet numbers below 0")
    fields: dict[str, Value] = {"largest_acknowledged": largest, "ack_delay": delay, "ranges": tuple(ranges)}
    if kind == 3:
        fields |= {name: reader.varint() for name in ("ect0", "ect1", "ecn_ce")}
    return fields


def _crypto(_: int, reader: Reader) -> Fields:
    offset = reader.varint()
    return {"offset": offset, "data": reader.take(reader.varint())}


def _new_token(_: int, reader: Reader) -> Fields:
    return {"token": reader.take(reader.varint())}


def _new_id(_: int, reader: Reader) -> Fields:
    sequence, retire = reader.varint(), reader.varint()
    length = reader.number(1)
    if not 1 <= length <= 20:
        raise ValueError(f"a connection ID of {length} bytes")
    return {
        "sequence_number": sequence,
        "retire_prior_to": retire,
        "connection_id": reader.take(length),
        "stateless_reset_token": reader.take(16),
    }


def _path(_: int, reader: Reader) -> Fields:
    return {"data": reader.take(8)}


def _close(kind: int, reader: Reader) -> Fields:
    fields: dict[str, Value] = {"error_code": reader.varint()}
    if kind == 0x1C:
        fields["frame_type"] = reader.varint()
    reason = reader.take(reader.varint()).decode(errors="replace")
    return fields | {"reason_phrase": reason, "application": int(kind == 0x1D)}


def _datagram(kind: int, reader: Reader) -> Fields:
    return {"data": reader.take(reader.varint() if kind & 1 else reader.left())}


_SIMPLE: dict[int, tuple[str, tuple[str, ...]]] = {
    0x01: ("PING", ()),
    0x04: ("RESET_STREAM", ("stream_id", "error_code", "final_size")),
    0x05: ("STOP_SENDING", ("stream_id", "error_code")),
    0x10: ("MAX_DATA", ("maximum",)),
    0x11: ("MAX_STREAM_DATA", ("stream_id", "maximum")),
    0x12: ("MAX_STREAMS_BIDI", ("maximum",)),
    0x13: ("MAX_STREAMS_UNI", ("maximum",)),
    0x14: ("DATA_BLOCKED", ("limit",)),
    0x15: ("STREAM_DATA_BLOCKED", ("stream_id", "limit")),
    0x16: ("STREAMS_BLOCKED_BIDI", ("limit",)),
    0x17: ("STREAMS_BLOCKED_UNI", ("limit",)),
    0x19: ("RETIRE_CONNECTION_ID", ("sequence_number",)),
    0x1E: ("HANDSHAKE_DONE", ()),
}
_SPECIAL: dict[int, tuple[str, Callable[[int, Reader], Fields]]] = {
    0x02: ("ACK", _ack),
    0x03: ("ACK", _ack),
    0x06: ("CRYPTO", _crypto),
    0x07: ("NEW_TOKEN", _new_token),
    0x18: ("NEW_CONNECTION_ID", _new_id),
    0x1A: ("PATH_CHALLENGE", _path),
    0x1B: ("PATH_RESPONSE", _path),
    0x1C: ("CONNECTION_CLOSE", _close),
    0x1D: ("CONNECTION_CLOSE", _close),
    0x30: ("DATAGRAM", _datagram),
    0x31: ("DATAGRAM", _datagram),
}
