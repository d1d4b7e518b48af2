"""Pcap streams in pieces, merged by time; and key logs that grow."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture.live import KeyLogs
from netlab.capture.merging import Merger
from netlab.errors import CaptureError
from netlab.proto import pcapng
from netlab.proto.pcapng import Packet

SECOND = 1_000_000_000
HEADER = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)


def record(time_ns: int, data: bytes) -> bytes:
    return struct.pack("<IIII", time_ns // SECOND, time_ns % SECOND, len(data), len(data)) + data


def packets(blocks: bytes, interfaces: int) -> list[Packet]:
    head = pcapng.section() + b"".join(pcapng.interface(f"{n}") for n in range(interfaces))
    return [block for block in pcapng.read(head + blocks) if isinstance(block, Packet)]


def quiet(_: int, __: bytes) -> str:
    return ""


@given(
    times=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5 * SECOND)), max_size=30),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=10),
)
def test_streams_in_any_pieces_come_out_in_the_order_of_time(
    times: list[tuple[int, int]], cuts: list[int]
) -> None:
    merger = Merger(2, quiet)
    for source in range(4):
        mine = sorted(time_ns for at, time_ns in times if at == source)
        stream = HEADER + b"".join(record(time_ns, b"%d" % time_ns) for time_ns in mine)
        position = 0
        while position < len(stream):
            size = cuts[position % len(cuts)]
            merger.receive(source, stream[position : position + size])
            position += size
    found = packets(merger.due(6 * SECOND, 1 << 20), 2)
    assert [one.time_ns for one in found] == sorted(time_ns for _, time_ns in times)
    assert all(one.data == b"%d" % one.time_ns for one in found)
    wanted = sorted((time_ns, at // 2, "out" if at % 2 else "in") for at, time_ns in times)
    assert sorted((one.time_ns, one.interface, one.direction) for one in found) == wanted
    assert (merger.held_bytes, sum(merger.written)) == (0, len(times))


def test_packets_wait_until_they_are_due() -> None:
    merger = Merger(1, lambda where, data: f"{data.decode()} at {where}")
    merger.receive(0, HEADER + record(10, b"a") + record(30, b"c"))
    merger.receive(1, HEADER + record(20, b"b"))
    assert [one.comment for one in packets(merger.due(30, 1000), 1)] == ["a at 0", "b at 0"]
    merger.receive(1, record(15, b"late"))
    assert [one.comment for one in packets(merger.due(31, 1000), 1)] == ["late at 0", "c at 0"]


def test_no_more_is_given_than_is_asked_for() -> None:
    merger = Merger(1, quiet)
    merger.receive(0, HEADER + b"".join(record(at, bytes(100)) for at in range(10)))
    assert [len(packets(merger.due(99, 300), 1)) for _ in range(5)] == [3, 3, 3, 1, 0]


@pytest.mark.parametrize("stream", [b"x" * 24, HEADER + struct.pack("<IIII", 0, 0, 300_000, 300_000)])
def test_what_is_no_pcap_is_told(stream: bytes) -> None:
    with pytest.raises(CaptureError, match="a capture's stream"):
        Merger(1, quiet).receive(0, stream)


def test_key_logs_are_read_by_whole_lines(tmp_path: Path) -> None:
    keys, path = KeyLogs(tmp_path), tmp_path / "a.app.keys"
    assert keys.fresh() == ""
    path.write_text("ONE\nTW")
    assert keys.fresh() == "ONE\n"
    with path.open("a") as file:
        file.write("O\nTHREE\n")
    (tmp_path / "b.exec.keys").write_text("FOUR\n")
    (tmp_path / "other.txt").write_text("no\n")
    assert keys.fresh() == "TWO\nTHREE\nFOUR\n"
    assert keys.fresh() == ""
