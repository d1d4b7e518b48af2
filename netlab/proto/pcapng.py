"""The pcapng file format, both ways, without I/O: blocks ⇄ bytes.

Source: draft-ietf-opsawg-pcapng (block types in section 4, options in 3.5). Times are CLOCK_REALTIME
nanoseconds, lengths are bytes. Written files are little-endian with nanosecond time stamps; both byte
orders and every time resolution are read. Blocks of unknown types are skipped, as section 4 asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NamedTuple

from netlab.errors import CaptureError

MAGIC = b"\x0a\x0d\x0d\x0a"
ETHERNET = 1  # LINKTYPE_ETHERNET
TLS_KEY_LOG = 0x544C534B

_SECTION, _INTERFACE, _SIMPLE, _NAMES, _STATISTICS, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 3, 4, 5, 6, 10
_BYTE_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_NS = 1_000_000_000
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

Direction = Literal["", "in", "out"]
_DIRECTIONS: tuple[Direction, ...] = ("", "in", "out", "")


class Section(NamedTuple):
    """A Section Header Block: interface ids count from 0 again after it."""

    application: str
    comment: str


class Interface(NamedTuple):
    """An Interface Description Block. `speed_bps` 0: not said. `snaplen` 0: no limit."""

    name: str
    description: str
    linktype: int
    snaplen: int
    speed_bps: int


class Packet(NamedTuple):
    """An Enhanced Packet Block (or a Simple one: `time_ns` 0, interface 0).

    `interface` is the id within the section. `data` is what was captured of `length` bytes.
    """

    interface: int
    time_ns: int
    length: int
    data: bytes
    comment: str = ""
    direction: Direction = ""


class Names(NamedTuple):
    """A Name Resolution Block: address as text ─► its names."""

    names: dict[str, tuple[str, ...]]


class Statistics(NamedTuple):
    """An Interface Statistics Block; -1: not said. `delivered`: packets that are in the file."""

    interface: int
    time_ns: int
    received: int
    dropped: int
    delivered: int = -1
    comment: str = ""


class Secrets(NamedTuple):
    """A Decryption Secrets Block; `kind` TLS_KEY_LOG holds a key log in the NSS format."""

    kind: int
    data: bytes


Block = Section | Interface | Packet | Names | Statistics | Secrets


# ---------------------------------------------------------------------------------------- writing


def section(application: str = "netlab", comment: str = "") -> bytes:
    """The block that a file starts with. Its length is left open (-1), so that it can be streamed."""
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(_SECTION, body + _options([(1, comment.encode()), (4, application.encode())]))


def interface(
    name: str, description: str = "", *, linktype: int = ETHERNET, snaplen: int = 0, speed_bps: int = 0
) -> bytes:
    """An interface with nanosecond time stamps (if_tsresol 9)."""
    options = [
        (2, name.encode()),
        (3, description.encode()),
        (8, struct.pack("<Q", speed_bps) if speed_bps else b""),
        (9, b"\x09"),
    ]
    return _block(_INTERFACE, struct.pack("<HHI", linktype, 0, snaplen) + _options(options))


_END = b"\0\0\0\0"  # opt_endofopt
_FLAGS: dict[Direction, bytes] = {  # epb_flags (section 4.3.1): bits 0 and 1 are the direction
    "": b"",
    "in": b"\2\0\4\0\1\0\0\0" + _END,
    "out": b"\2\0\4\0\2\0\0\0" + _END,
}
_PACKET_HEAD = struct.Struct("<IIIIIII")
_LENGTH = struct.Struct("<I")


def packet(
    interface: int,
    time_ns: int,
    data: bytes,
    length: int = 0,
    comment: str = "",
    direction: Direction = "",
) -> bytes:
    """One frame. `length` is its length on the wire, 0: all of it is in `data`."""
    options = _FLAGS[direction]
    if comment:
        options = _option(1, comment.encode()[:0xFFFF]) + (options or _END)
    captured = len(data)
    padding = _PADDING[captured & 3]
    total = 32 + captured + len(padding) + len(options)
    high, low = time_ns >> 32, time_ns & 0xFFFFFFFF
    head = _PACKET_HEAD.pack(_PACKET, total, interface, high, low, captured, length or captured)
    return b"".join((head, data, padding, options, _LENGTH.pack(total)))


def renumbered(block: bytes, interface: int) -> bytes:
    """A block of `packet` or `statistics` for the interface with this number."""
    return block[:8] + _LENGTH.pack(interface) + block[12:]


def names(by_address: Mapping[str, Iterable[str]]) -> bytes:
    """Name resolution records: address (IPv4 or IPv6, as text) ─► its names."""
    records = b""
    for text, known_as in by_address.items():
        address = ip_address(text)
        value = address.packed + b"".join(name.encode() + b"\0" for name in known_as)
        records += _option(1 if address.version == 4 else 2, value)
    return _block(_NAMES, records + b"\0\0\0\0")


def statistics(
    interface: int,
    time_ns: int,
    received: int = -1,
    dropped: int = -1,
    delivered: int = -1,
    comment: str = "",
) -> bytes:
    """What an interface's capture counted, at `time_ns`: packets seen, those lost of them, and those that
    are in the file; -1: not said."""
    body = struct.pack("<III", interface, time_ns >> 32, time_ns & 0xFFFFFFFF)
    counts = [(4, received), (5, dropped), (8, delivered)]
    options = [(code, struct.pack("<Q", count)) for code, count in counts if count >= 0]
    return _block(_STATISTICS, body + _options([(1, comment.encode()), *options]))


def secrets(key_log: str) -> bytes:
    """A TLS key log; it must come before the packets that it decrypts."""
    data = key_log.encode()
    return _block(_SECRETS, struct.pack("<II", TLS_KEY_LOG, len(data)) + data + _PADDING[len(data) & 3])


def _block(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + _PADDING[len(value) & 3]


def _options(options: Sequence[tuple[int, bytes]]) -> bytes:
    """Those that have a value, with opt_endofopt after them; nothing where there are none."""
    written = b"".join(_option(code, value[:0xFFFF]) for code, value in options if value)
    return written + b"\0\0\0\0" if written else b""


# ---------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class _Clock:
    """How an interface's time stamps become nanoseconds: `numerator / denominator` each, plus an offset."""

    numerator: int
    denominator: int
    offset_ns: int

    def ns(self, stamp: int) -> int:
        return stamp * self.numerator // self.denominator + self.offset_ns


_NANOSECONDS = _Clock(1, 1, 0)


def read(data: bytes | memoryview, source: str = "capture") -> Iterator[Block]:
    """The blocks of `data` in order; a memory map of a large file is right too.

    Raises CaptureError, naming `source` and the byte, where the data is damaged or ends within a
    block. All the blocks before that place have been yielded by then.
    """
    return BlockReader(memoryview(data), source).blocks()


def annotated(
    data: bytes | memoryview, comments: Mapping[int, str], source: str = "capture"
) -> Iterator[bytes | memoryview]:
    """`data` again, in pieces, with comments on packets: number from 1 ─► text. Raises as `read` does."""
    reader, number, position = BlockReader(memoryview(data), source), 0, 0
    while position < len(reader.data):
        kind, total = reader.frame(position, len(reader.data))
        block = reader.data[position : position + total]
        number += kind in (_PACKET, _SIMPLE)
        commented = kind == _PACKET and number in comments
        yield reader.commented(bytes(block), comments[number]) if commented else block
        position += total


class BlockReader:
    """The state of one reading: the section's byte order, and its interfaces' clocks."""

    def __init__(self, data: memoryview, source: str) -> None:
        self.data = data
        self.source = source
        self.order = ""
        self.clocks: list[_Clock] = []

    def blocks(self) -> Iterator[Block]:
        position, size = 0, len(self.data)
        if not size:
            raise self.error(0, "the file is empty")
        while position < size:
            kind, total = self.frame(position, size)
            try:
                block = self.block(kind, position + 8, position + total - 4)
            except (struct.error, IndexError, ValueError) as error:
                raise self.error(position, f"damaged block of type {kind}: {error}") from error
            if block is not None:
                yield block
            position += total

    def frame(self, position: int, size: int) -> tuple[int, int]:
        """Type and total length of the block at `position`, with both checked."""
        data = self.data
        if size - position < 12:
            raise self.error(position, "the file ends within a block's head")
        if bytes(data[position : position + 4]) == MAGIC:
            self.start_section(position)
        elif not self.order:
            raise self.error(position, "not a pcapng file: no Section Header Block")
        kind: int
        total: int
        kind, total = struct.unpack_from(self.order + "II", data, position)
        if total < 12 or total & 3:
            raise self.error(position, f"block of type {kind} with an impossible length of {total} bytes")
        if position + total > size:
            raise self.error(position, f"the file ends within a block of {total} bytes")
        if struct.unpack_from(self.order + "I", data, position + total - 4)[0] != total:
            raise self.error(position, f"block of type {kind} whose two lengths differ")
        return kind, total

    def start_section(self, position: int) -> None:
        order = _BYTE_ORDER.get(bytes(self.data[position + 8 : position + 12]))
        if order is None:
            raise self.error(position + 8, "Section Header Block without a byte-order magic")
        self.order = order
        self.clocks = []

    def error(self, position: int, cause: str) -> CaptureError:
        return CaptureError(f"{self.source}: byte {position}: {cause}")

    def block(self, kind: int, start: int, end: int) -> Block | None:
        """The block whose body is from `start` to `end`; None for a type that isn't known."""
        if kind == _PACKET:
            return self.packet(start, end)
        body = bytes(self.data[start:end])
        match kind:
            case 0x0A0D0D0A:
                return self.section(body)
            case 1:
                return self.interface(body)
            case 3:
                return self.simple_packet(body)
            case 4:
                return self.names(body)
            case 5:
                return self.statistics(body)
            case 10:
                secret_kind, length = struct.unpack_from(self.order + "II", body)
                _require(8 + length <= len(body), "its secrets don't fit in it")
                return Secrets(secret_kind, body[8 : 8 + length])
        return None

    def packet(self, start: int, end: int) -> Packet:
        data, order = self.data, self.order
        interface, high, low, captured, length = struct.unpack_from(order + "IIIII", data, start)
        first = start + 20
        last = first + captured
        _require(last <= end, f"{captured} bytes of packet don't fit in it")
        clock = self.clock(interface)
        time_ns = high << 32 | low
        if clock is not _NANOSECONDS:
            time_ns = clock.ns(time_ns)
        frame = bytes(data[first:last])
        rest = last + (-captured & 3)
        if rest >= end:
            return Packet(interface, time_ns, length, frame)
        options = self.options(bytes(data[rest:end]))
        flags = struct.unpack(order + "I", options[2])[0] if 2 in options else 0
        return Packet(interface, time_ns, length, frame, _text(options, 1), _DIRECTIONS[flags & 3])

    def commented(self, block: bytes, comment: str) -> bytes:
        """A packet block with one more option, before those that it has."""
        captured: int = struct.unpack_from(self.order + "I", block, 20)[0]
        end = 28 + captured + (-captured & 3)
        _require(end <= len(block) - 4, f"{captured} bytes of packet don't fit in it")
        text = comment.encode()[:0xFFFF]
        option = struct.pack(self.order + "HH", 1, len(text)) + text + _PADDING[len(text) & 3]
        body = block[8:end] + option + (block[end:-4] or b"\0\0\0\0")
        total = len(body) + 12
        head, length = struct.pack(self.order + "II", _PACKET, total), struct.pack(self.order + "I", total)
        return head + body + length

    def simple_packet(self, body: bytes) -> Packet:
        length: int = struct.unpack_from(self.order + "I", body)[0]
        self.clock(0)
        return Packet(0, 0, length, body[4 : 4 + length])

    def clock(self, interface: int) -> _Clock:
        _require(interface < len(self.clocks), f"it names interface {interface}, which isn't described")
        return self.clocks[interface]

    def section(self, body: bytes) -> Section:
        major = struct.unpack_from(self.order + "H", body, 4)[0]
        _require(major == 1, f"version {major} of the format")
        options = self.options(body[16:])
        return Section(_text(options, 4), _text(options, 1))

    def interface(self, body: bytes) -> Interface:
        linktype, snaplen = struct.unpack_from(self.order + "HxxI", body)
        options = self.options(body[8:])
        resolution = options.get(9, b"\x06")[0]
        offset = struct.unpack(self.order + "q", options[14])[0] if 14 in options else 0
        base, exponent = (2, resolution & 0x7F) if resolution & 0x80 else (10, resolution)
        plain = resolution == 9 and not offset
        self.clocks.append(_NANOSECONDS if plain else _Clock(_NS, base**exponent, offset * _NS))
        speed = struct.unpack(self.order + "Q", options[8])[0] if 8 in options else 0
        return Interface(_text(options, 2), _text(options, 3), linktype, snaplen, speed)

    def names(self, body: bytes) -> Names:
        found: dict[str, tuple[str, ...]] = {}
        for kind, value in self.records(body):
            width = {1: 4, 2: 16}.get(kind)
            if width is None:
                continue
            _require(len(value) > width, "a name record without a name")
            known_as = value[width:].rstrip(b"\0").split(b"\0")
            found[str(ip_address(value[:width]))] = tuple(name.decode(errors="replace") for name in known_as)
        return Names(found)

    def statistics(self, body: bytes) -> Statistics:
        interface, high, low = struct.unpack_from(self.order + "III", body)
        options = self.options(body[12:])
        counts = [
            struct.unpack(self.order + "Q", options[code])[0] if code in options else -1 for code in (4, 5, 8)
        ]
        time_ns = self.clock(interface).ns(high << 32 | low)
        received, dropped, delivered = counts
        return Statistics(interface, time_ns, received, dropped, delivered, _text(options, 1))

    def options(self, data: bytes) -> dict[int, bytes]:
        """The first value of each code."""
        found: dict[int, bytes] = {}
        for code, value in self.records(data):
            found.setdefault(code, value)
        return found

    def records(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Code, length, value and padding, up to the record with code 0 or the end."""
        position = 0
        while position < len(data):
            code, length = struct.unpack_from(self.order + "HH", data, position)
            if code == 0:
                return
            value = data[position + 4 : position + 4 + length]
            _require(len(value) == length, "an option reaches past it")
            yield code, value
            position += 4 + length + (-length & 3)


def _require(condition: bool, cause: str) -> None:
    if not condition:
        raise ValueError(cause)


def _text(options: dict[int, bytes], code: int) -> str:
    return options.get(code, b"").decode(errors="replace")
