"""pcapng and pcap: what is written is read again, by the format's own description, damage included."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import CaptureError
from netlab.proto import pcap, pcapng
from netlab.proto.pcapng import Interface, Names, Packet, Secrets, Section, Statistics

FILE = b"".join(
    (
        pcapng.section(comment="a run"),
        pcapng.interface("client-a:eth0", "London", snaplen=65535, speed_bps=10**9),
        pcapng.interface("proxy:eth0"),
        pcapng.secrets("CLIENT_RANDOM 00 11\n"),
        pcapng.names({"192.0.2.1": ("a.example", "b.example"), "2001:db8::1": ("c.example",)}),
        pcapng.packet(0, 1_700_000_000_123_456_789, b"abcde"),
        pcapng.packet(1, 1_700_000_000_123_456_790, b"abcdefgh", 1500, "a comment: é", "out"),
        pcapng.statistics(0, 1_700_000_001_000_000_000, 12, 3),
    )
)
BLOCKS = [
    Section("netlab", "a run"),
    Interface("client-a:eth0", "London", 1, 65535, 10**9),
    Interface("proxy:eth0", "", 1, 0, 0),
    Secrets(pcapng.TLS_KEY_LOG, b"CLIENT_RANDOM 00 11\n"),
    Names({"192.0.2.1": ("a.example", "b.example"), "2001:db8::1": ("c.example",)}),
    Packet(0, 1_700_000_000_123_456_789, 5, b"abcde"),
    Packet(1, 1_700_000_000_123_456_790, 1500, b"abcdefgh", "a comment: é", "out"),
    Statistics(0, 1_700_000_001_000_000_000, 12, 3),
]


def block(order: str, kind: int, body: bytes) -> bytes:
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + options)


def packet(order: str, stamp: int, data: bytes) -> bytes:
    head = struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
    return block(order, 6, head + data + bytes(-len(data) % 4))


def test_what_is_written_is_read() -> None:
    assert list(pcapng.read(FILE)) == BLOCKS
    assert list(pcapng.read(memoryview(FILE))) == BLOCKS


def test_every_block_is_a_multiple_of_4_bytes() -> None:
    for length in range(9):
        assert len(pcapng.packet(0, 0, bytes(length))) % 4 == 0
        assert len(pcapng.secrets("x" * length)) % 4 == 0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "stamp", "time_ns"),
    [
        (None, 1_700_000_000_000_001, 1_700_000_000_000_001_000),
        (3, 1_700_000_000_001, 1_700_000_000_001_000_000),
        (9, 1_700_000_000_000_000_001, 1_700_000_000_000_000_001),
        (12, 5_000, 5),
        (0x81, 3, 1_500_000_000),
    ],
)
def test_byte_orders_and_time_resolutions(
    order: str, resolution: int | None, stamp: int, time_ns: int
) -> None:
    options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0) if resolution is not None else b""
    data = section(order) + interface(order, options) + packet(order, stamp, b"abcde")
    assert list(pcapng.read(data))[2] == Packet(0, time_ns, 5, b"abcde")


def test_a_time_offset_is_added() -> None:
    options = struct.pack("<HHB3xHHqHH", 9, 1, 9, 14, 8, 1_700_000_000, 0, 0)
    data = section("<") + interface("<", options) + packet("<", 5, b"")
    assert list(pcapng.read(data))[2] == Packet(0, 1_700_000_000_000_000_005, 0, b"")


def test_unknown_blocks_and_options_are_skipped() -> None:
    options = struct.pack("<HH4sHH", 0x7FFF, 3, b"xyz", 0, 0)
    data = section("<") + block("<", 0x7FFFFFFF, b"????") + interface("<", options) + packet("<", 0, b"x")
    assert [type(found) for found in pcapng.read(data)] == [Section, Interface, Packet]


def test_a_second_section_has_its_own_interfaces_and_byte_order() -> None:
    data = FILE + section(">") + interface(">") + packet(">", 7, b"x")
    assert list(pcapng.read(data))[-1] == Packet(0, 7000, 1, b"x")
    with pytest.raises(CaptureError, match="interface 0, which isn't described"):
        list(pcapng.read(FILE + section(">") + packet(">", 7, b"x")))


def test_simple_packets() -> None:
    data = section("<") + interface("<") + block("<", 3, struct.pack("<I", 3) + b"abc\0")
    assert list(pcapng.read(data))[2] == Packet(0, 0, 3, b"abc")


def read_until_damage(data: bytes) -> tuple[list[pcapng.Block], str]:
    found: list[pcapng.Block] = []
    try:
        found.extend(pcapng.read(data, "x.pcapng"))
    except CaptureError as error:
        return found, str(error)
    return found, ""


def test_the_blocks_before_a_cut_are_read() -> None:
    starts = [start for start, _ in whole_blocks(FILE)]
    for length in range(len(FILE)):
        found, cause = read_until_damage(FILE[:length])
        whole = sum(start <= length for start in [*starts[1:], len(FILE)])
        assert found == BLOCKS[:whole], length
        if length not in starts or length == 0:
            assert cause.startswith(
                f"x.pcapng: byte {max(start for start in starts if start <= length)}: "
            ), cause


def whole_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(data):
        length = struct.unpack_from("<I", data, start + 4)[0]
        yield start, start + length
        start += length


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda data: b"", "byte 0: the file is empty"),
        (lambda data: b"x" * 40, "byte 0: not a pcapng file: no Section Header Block"),
        (
            lambda data: data[:8] + b"????" + data[12:],
            "byte 8: Section Header Block without a byte-order magic",
        ),
        (lambda data: data[:12] + b"\7" + data[13:], "byte 0: damaged block of type 168627466: version 7"),
        (
            lambda data: data + struct.pack("<III", 9, 13, 13),
            "block of type 9 with an impossible length of 13",
        ),
        (lambda data: data + struct.pack("<III", 9, 12, 16), "block of type 9 whose two lengths differ"),
        (lambda data: data + struct.pack("<III", 9, 4000, 0), "the file ends within a block of 4000 bytes"),
        (
            lambda data: data + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 99, 99)),
            "99 bytes of packet don't fit",
        ),
        (lambda data: data + block("<", 10, struct.pack("<II", 1, 99)), "its secrets don't fit"),
        (
            lambda data: data + block("<", 5, struct.pack("<IIIHH", 0, 0, 0, 4, 99)),
            "an option reaches past it",
        ),
    ],
)
def test_damage_is_told_with_its_place(damage: Callable[[bytes], bytes], cause: str) -> None:
    assert cause in read_until_damage(damage(FILE))[1]


def test_comments_are_added_to_packets_by_their_number() -> None:
    data = b"".join(pcapng.annotated(FILE, {1: "first", 2: "second"}))
    packets = [found for found in pcapng.read(data) if isinstance(found, Packet)]
    assert [(found.comment, found.data) for found in packets] == [
        ("first", b"abcde"),
        ("second", b"abcdefgh"),
    ]
    others = [found for found in pcapng.read(data) if not isinstance(found, Packet)]
    assert others == BLOCKS[:5] + BLOCKS[7:]
    assert b"".join(pcapng.annotated(FILE, {})) == FILE


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    read_until_damage(data)
    read_until_damage(section("<") + data)


@given(st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 255)), max_size=6))
def test_mutations_raise_nothing_else(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(FILE)
    for place, value in changes:
        damaged[place] = value
    read_until_damage(bytes(damaged))


# ---------------------------------------------------------------------------------------- pcap


def classic(order: str, magic: int, records: list[tuple[int, int, bytes]]) -> bytes:
    head = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, 1)
    return head + b"".join(
        struct.pack(order + "IIII", seconds, fraction, len(data), 1500) + data
        for seconds, fraction, data in records
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_pcap(order: str, magic: int, unit_ns: int) -> None:
    data = classic(order, magic, [(1_700_000_000, 5, b"abc"), (1_700_000_001, 999, b"")])
    assert pcap.header(data) == pcap.Header(order, unit_ns, 65535, 1)
    assert list(pcap.records(data)) == [
        pcap.Record(1_700_000_000_000_000_000 + 5 * unit_ns, 1500, 40, 43),
        pcap.Record(1_700_000_001_000_000_000 + 999 * unit_ns, 1500, 59, 59),
    ]
    assert data[40:43] == b"abc"


def test_the_packets_before_a_cut_are_read() -> None:
    data = classic("<", 0xA1B23C4D, [(1, 0, b"abc"), (2, 0, b"defg")])
    for length in range(24, len(data)):
        found: list[pcap.Record] = []
        cause = ""
        try:
            found.extend(pcap.records(data[:length], "x.pcap"))
        except CaptureError as error:
            cause = str(error)
        assert len(found) == (length >= 43)
        if length not in (24, 43):
            assert cause.startswith(f"x.pcap: byte {43 if length > 43 else 24}: the file ends within"), cause


def test_what_is_no_pcap() -> None:
    with pytest.raises(CaptureError, match="byte 0: not a pcap file"):
        pcap.header(b"GIF89a" * 10)
    huge = classic("<", 0xA1B23C4D, []) + struct.pack("<IIII", 0, 0, 2**31, 2**31)
    with pytest.raises(CaptureError, match="byte 24: damaged: a packet of 2147483648 bytes"):
        list(pcap.records(huge))
