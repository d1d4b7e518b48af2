"""Assembling pcap files into pcapng: order, descriptions, drops, comments, and what can't be assembled."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from netlab.capture.assemble import Kept, annotate, assemble, salvage
from netlab.capture.files import DIRECTIONS, Counts, Direction, RingSize, piece, raw, ring_size, stem
from netlab.decode.frame import frames
from netlab.errors import CaptureError, InputError
from netlab.proto import pcapng
from netlab.proto.pcapng import Interface, Names, Packet, Secrets, Statistics

SECOND = 1_000_000_000


def pcap_of(packets: Sequence[tuple[int, bytes]]) -> bytes:
    """As libpcap writes it; `packets` are nanoseconds and data."""
    data = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    for time_ns, frame in packets:
        data += struct.pack("<IIII", time_ns // SECOND, time_ns % SECOND, len(frame), len(frame)) + frame
    return data


def record(
    directory: Path,
    node: str,
    interface: str,
    sent: Sequence[tuple[int, bytes]],
    received: Sequence[tuple[int, bytes]] = (),
) -> Counts:
    """The pcap files of an interface as the recorder leaves them."""
    for way, packets in zip(DIRECTIONS, (received, sent), strict=True):
        raw(directory, node, interface, way).write_bytes(pcap_of(packets))
    return Counts(node=node, interface=interface, packets=len(sent) + len(received), dropped=0)


def blocks(path: Path) -> list[pcapng.Block]:
    return list(pcapng.read(path.read_bytes(), path.name))


def test_two_interfaces_are_merged_by_time(tmp_path: Path) -> None:
    stats = [
        record(tmp_path, "a", "eth0", [(5 * SECOND + 1, b"first"), (5 * SECOND + 4, b"fourth")]),
        record(tmp_path, "b", "eth0", [(5 * SECOND + 3, b"third"), (5 * SECOND + 2, b"second")]),
    ]
    summary = assemble(tmp_path, stats, "", {}, {})
    trace = list(frames(summary.files[0].read_bytes()))
    assert [frame.data for frame in trace] == [b"first", b"second", b"third", b"fourth"]
    assert [frame.node for frame in trace] == ["a", "b", "b", "a"]
    assert [frame.time_ns for frame in trace] == [5 * SECOND + n for n in (1, 2, 3, 4)]
    hops = [path.relative_to(tmp_path).as_posix() for path in summary.files[1:]]
    assert hops == ["hops/a.eth0.pcapng", "hops/b.eth0.pcapng"]
    assert [frame.data for frame in frames(summary.files[2].read_bytes())] == [b"second", b"third"]
    assert summary.packets == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hops", "trace.pcapng"]


def test_packets_of_one_time_keep_the_order_of_the_interfaces(tmp_path: Path) -> None:
    stats = [record(tmp_path, node, "eth0", [(SECOND, node.encode())] * 2) for node in ("z", "m", "a")]
    summary = assemble(tmp_path, stats, "", {}, {})
    assert [frame.node for frame in frames(summary.files[0].read_bytes())] == ["z", "z", "m", "m", "a", "a"]


def test_what_is_known_goes_into_every_file_before_the_packets(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(7, b"x")]), record(tmp_path, "b", "eth1", [])]
    stats[0]["dropped"] = 3
    names = {"a.example": ["192.0.2.1", "2001:db8::1"], "b.example": ["192.0.2.1"]}
    summary = assemble(tmp_path, stats, "CLIENT_RANDOM 00 11\n", names, {("a", "eth0"): "London"})
    _, first, second, secrets, known, packet, one, other = blocks(summary.files[0])
    assert (first, second) == (
        Interface("a:eth0", "London", 1, 65535, 0),
        Interface("b:eth1", "", 1, 65535, 0),
    )
    assert secrets == Secrets(pcapng.TLS_KEY_LOG, b"CLIENT_RANDOM 00 11\n")
    assert known == Names({"192.0.2.1": ("a.example", "b.example"), "2001:db8::1": ("a.example",)})
    assert packet == Packet(0, 7, 1, b"x", "", "out")
    assert (one, other) == (Statistics(0, 7, 4, 3, 1), Statistics(1, 7, 0, 0, 0))
    assert summary.dropped == 3
    assert [type(block).__name__ for block in blocks(summary.files[2])] == [
        "Section",
        "Interface",
        "Secrets",
        "Names",
        "Statistics",
    ]


def test_odd_interface_names_are_safe_file_names(tmp_path: Path) -> None:
    assert stem("client-a", "eth0.100") == "client-a.eth0.100"
    assert stem("a", "x/../y") == "a.x%2F..%2Fy"
    assert len({stem("a", name) for name in ("a:b", "a_b", "a%3Ab")}) == 3
    summary = assemble(tmp_path, [record(tmp_path, "a", "x:y", [(1, b"z")])], "", {}, {})
    assert [frame.interface for frame in frames(summary.files[1].read_bytes())] == ["x:y"]


def test_a_damaged_file_stops_the_assembly_and_stays(tmp_path: Path) -> None:
    stats = [record(tmp_path, node, "eth0", [(1, b"abc")]) for node in ("a", "b")]
    path = raw(tmp_path, "b", "eth0", "out")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        CaptureError, match=r"b\.eth0\.out\.pcap: byte 24: the file ends within a packet of 3 bytes"
    ):
        assemble(tmp_path, stats, "", {}, {})
    left = sorted(found.name for found in tmp_path.rglob("*.pcap*"))
    assert left == [f"{node}.eth0.{way}.pcap" for node in ("a", "b") for way in DIRECTIONS]


@pytest.mark.parametrize(("content", "cause"), [(None, "No such file"), (b"", "byte 0: not a pcap file")])
def test_a_missing_or_empty_file_is_told(tmp_path: Path, content: bytes | None, cause: str) -> None:
    if content is not None:
        raw(tmp_path, "a", "eth0", "in").write_bytes(content)
    with pytest.raises(CaptureError, match=cause):
        assemble(tmp_path, [Counts(node="a", interface="eth0", packets=0, dropped=0)], "", {}, {})


def test_packets_have_the_direction_of_the_file_that_they_came_in(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(1, b"asked"), (3, b"again")], [(2, b"answered")])]
    for path in assemble(tmp_path, stats, "", {}, {}).files:
        packets = [block for block in blocks(path) if isinstance(block, Packet)]
        assert [(one.data, one.direction) for one in packets] == [
            (b"asked", "out"),
            (b"answered", "in"),
            (b"again", "out"),
        ]


def ring(
    directory: Path, way: Direction, packets: Sequence[Sequence[tuple[int, bytes]]], before: int
) -> None:
    """The files that a ring has left, after it gave up `before` packets."""
    for number, some in enumerate(packets, 7):
        piece(raw(directory, "a", "eth0", way), number, before).write_bytes(pcap_of(some))
        before += len(some)


def test_a_ring_is_whole_from_its_horizon_on_and_says_what_is_missing(tmp_path: Path) -> None:
    """What was sent is there from 30 s on; what was received all the time, and is cut there too."""
    ring(tmp_path, "out", [[(30 * SECOND, b"s3")], [(40 * SECOND, b"s4"), (50 * SECOND, b"s5")]], 20)
    ring(tmp_path, "in", [[(10 * SECOND, b"r1"), (29 * SECOND, b"r2"), (35 * SECOND, b"r3")]], 0)
    counts = Counts(node="a", interface="eth0", packets=26, dropped=1)
    summary = assemble(tmp_path, [counts], "", {}, {}, started_ns=8 * SECOND)
    assert summary.interfaces == (Kept("a", "eth0", 4, 1, 22, 22.0),)
    for path in summary.files:
        *_, told = blocks(path)
        assert [one.data for one in blocks(path) if isinstance(one, Packet)] == [b"s3", b"r3", b"s4", b"s5"]
        missing = "the ring gave up 22 packets, of the first 22.000 s"
        assert told == Statistics(0, 50 * SECOND, 27, 1, 4, missing)
    assert list(tmp_path.glob("*.pcap")) == []


def test_more_packets_than_are_held_are_put_in_order(tmp_path: Path) -> None:
    """Within a direction as far as the kernel may mix them, between directions and interfaces always."""
    times = [number ^ 3 for number in range(6000)]
    stats = [
        record(
            tmp_path,
            node,
            "eth0",
            [(4 * at + n, b"%d" % at) for at in times],
            [(4 * at + n + 1, b"") for at in times],
        )
        for n, node in ((0, "a"), (2, "b"))
    ]
    summary = assemble(tmp_path, stats, "", {}, {})
    found = [frame.time_ns for frame in frames(summary.files[0].read_bytes())]
    assert found == list(range(24_000))


def test_memory_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 8_000):
        directory = tmp_path / str(count)
        directory.mkdir()
        stats = [record(directory, node, "eth0", [(at, bytes(60)) for at in range(count)]) for node in "ab"]
        tracemalloc.start()
        assert assemble(directory, stats, "", {}, {}).packets == 2 * count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0], peaks


def test_a_comment_goes_into_both_files(tmp_path: Path) -> None:
    stats = [
        record(tmp_path, node, "eth0", [(at, b"x"), (at + 2, b"y")]) for at, node in ((1, "a"), (2, "b"))
    ]
    asked = lambda number, data: f"{data.decode()} at {number}" if data == b"x" else ""  # noqa: E731
    for path, wanted in zip(
        assemble(tmp_path, stats, "", {}, {}, comment=asked).files,
        (["x at 0", "x at 1", "", ""], ["x at 0", ""], ["x at 1", ""]),
        strict=True,
    ):
        assert [one.comment for one in blocks(path) if isinstance(one, Packet)] == wanted


def test_what_a_killed_recorder_wrote_is_read_to_the_last_whole_packet(tmp_path: Path) -> None:
    record(tmp_path, "a", "eth0", [(1, b"abc"), (3, b"def")], [(2, b"ghi")])
    record(tmp_path, "b", "eth0", [(1, b"abc")])
    record(tmp_path, "c", "eth0", [(1, b"abc")])
    cut = raw(tmp_path, "a", "eth0", "out")
    cut.write_bytes(cut.read_bytes()[:-2])
    raw(tmp_path, "b", "eth0", "in").write_bytes(b"")  # of one direction there is not even a header
    for way in DIRECTIONS:
        raw(tmp_path, "c", "eth0", way).write_bytes(b"")
    stats = salvage(tmp_path, [("a", "eth0"), ("b", "eth0"), ("c", "eth0")])
    assert [one["node"] for one in stats] == ["a", "b"]
    summary = assemble(tmp_path, stats, "", {}, {})
    assert (summary.packets, summary.dropped) == (3, 0)
    assert [frame.data for frame in frames(summary.files[1].read_bytes())] == [b"abc", b"ghi"]
    assert not any(isinstance(block, Statistics) for block in blocks(summary.files[0]))


@pytest.mark.parametrize("text", ["100MB×10", "100MBx10", "100mb*10"])
def test_ways_to_write_a_ring(text: str) -> None:
    assert ring_size(text) == RingSize(100 * 1024 * 1024, 10)


@pytest.mark.parametrize("text", ["", "100MB", "100MB×", "×10", "1KB×10", "100MB×1", "100MB×5000", "1MB×2×3"])
def test_what_is_no_ring(text: str) -> None:
    with pytest.raises(InputError, match="a ring of"):
        ring_size(text)


def test_comments_are_put_on_frames(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(n, b"%d" % n) for n in range(1, 6)])]
    path = assemble(tmp_path, stats, "", {}, {}).files[0]
    annotate(path, {2: "the request", 5: "the response"})
    found = {block.data: block.comment for block in blocks(path) if isinstance(block, Packet)}
    assert found == {b"1": "", b"2": "the request", b"3": "", b"4": "", b"5": "the response"}
    assert [item.name for item in tmp_path.iterdir() if item.suffix == ".new"] == []


def test_a_damaged_file_is_not_replaced_by_its_comments(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(1, b"abc")])]
    path = assemble(tmp_path, stats, "", {}, {}).files[0]
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    with pytest.raises(CaptureError, match=r"trace\.pcapng: byte \d+: the file ends within a block"):
        annotate(path, {1: "x"})
    assert path.read_bytes() == damaged
    assert sorted(item.name for item in tmp_path.iterdir()) == ["hops", "trace.pcapng"]
